//! Events for whoever listens: each listener has its own bounded queue, and the oldest events are
//! dropped where it does not keep up.

use relay_core::Event;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Poll, Waker};

/// Events of a node, from the moment of subscription.
#[derive(Debug)]
pub struct EventStream(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    waker: Option<Waker>,
    ended: bool,
}

impl EventStream {
    /// The next event; nothing when the node is gone.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| {
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(event) = queue.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            if queue.ended {
                return Poll::Ready(None);
            }
            queue.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Everyone who listens.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Vec<Weak<Mutex<Queue>>>);

impl Listeners {
    pub(crate) fn subscribe(&mut self) -> EventStream {
        let queue = Arc::default();
        self.0.push(Arc::downgrade(&queue));
        EventStream(queue)
    }

    pub(crate) fn publish(&mut self, event: &Event, wakes: &mut Vec<Waker>) {
        self.0.retain(|listener| {
            let Some(queue) = listener.upgrade() else { return false };
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.events.len() == EVENTS_MAX {
                queue.events.pop_front();
            }
            queue.events.push_back(event.clone());
            wakes.extend(queue.waker.take());
            true
        });
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for listener in self.0.iter().filter_map(Weak::upgrade) {
            let mut queue = listener.lock().unwrap_or_else(PoisonError::into_inner);
            queue.ended = true;
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }
}

/// Events kept for a listener that does not read them.
const EVENTS_MAX: usize = 1_024;
