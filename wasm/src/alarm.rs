//! Everyone who sleeps, and the one timer of the host that wakes them.

use crate::clock::Clock;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &JsValue, millis: i32) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// Sleepers of one node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Alarm(Rc<Shared>);

struct Shared {
    clock: Clock,
    sleepers: RefCell<Sleepers>,
    ring: JsValue,
}

#[derive(Default)]
struct Sleepers {
    /// By when and in which order they came.
    waiting: BTreeMap<Place, Waker>,
    last: u64,
    /// The timer of the host and when it fires.
    timer: Option<(Duration, JsValue)>,
    is_ended: bool,
}

type Place = (Duration, u64);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(Rc::new_cyclic(|shared: &std::rc::Weak<Shared>| {
            let shared = shared.clone();
            // Called for as long as the page lives; what it calls ends with the node.
            let ring = Closure::<dyn Fn()>::new(move || {
                if let Some(shared) = shared.upgrade() {
                    Self(shared).ring();
                }
            });
            Shared { clock: Clock::new(), sleepers: RefCell::default(), ring: ring.into_js_value() }
        }))
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.clock.now()
    }

    /// Ready when so much time has passed.
    pub(crate) fn sleep(&self, pause: Duration) -> Sleep {
        let mut sleepers = self.0.sleepers.borrow_mut();
        sleepers.last += 1;
        let place = (self.now().saturating_add(pause), sleepers.last);
        if !sleepers.is_ended {
            sleepers.waiting.insert(place, Waker::noop().clone());
            self.set_timer(&mut sleepers);
        }
        Sleep { alarm: self.clone(), place }
    }

    /// Lets everyone look at the clock: it may have been stopped, or its timers may come late.
    pub(crate) fn wake_all(&self) {
        self.0.clock.notice_sleep();
        let wakers: Vec<Waker> = self.0.sleepers.borrow().waiting.values().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The node is gone: nobody wakes any more, and no timer keeps the process alive.
    pub(crate) fn end(&self) {
        let mut sleepers = self.0.sleepers.borrow_mut();
        sleepers.is_ended = true;
        let waiting = std::mem::take(&mut sleepers.waiting);
        self.set_timer(&mut sleepers);
        drop(sleepers);
        // Out of the borrow: tasks may end with their wakers, and their sleepers with them.
        drop(waiting);
    }

    fn ring(&self) {
        self.0.clock.notice_sleep();
        let now = self.now();
        let mut sleepers = self.0.sleepers.borrow_mut();
        sleepers.timer = None;
        let later = sleepers.waiting.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut sleepers.waiting, later);
        self.set_timer(&mut sleepers);
        drop(sleepers);
        due.into_values().for_each(Waker::wake);
    }

    /// Sees to it that the timer of the host fires no later than the first sleeper is due.
    fn set_timer(&self, sleepers: &mut Sleepers) {
        let first = sleepers.waiting.keys().next().map(|place| place.0);
        let first = first.filter(|_| !sleepers.is_ended);
        match (first, &sleepers.timer) {
            (Some(first), Some((at, _))) if *at <= first => {}
            (None, None) => {}
            (first, _) => {
                if let Some((_, timer)) = sleepers.timer.take() {
                    clear_timeout(&timer);
                }
                let Some(at) = first else { return };
                let pause = at.saturating_sub(self.now()).as_micros().div_ceil(1_000);
                let pause = i32::try_from(pause).unwrap_or(i32::MAX);
                sleepers.timer = Some((at, set_timeout(&self.0.ring, pause)));
            }
        }
    }
}

/// See [`Alarm::sleep`].
pub(crate) struct Sleep {
    alarm: Alarm,
    place: Place,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { alarm, place } = &*self;
        let mut sleepers = alarm.0.sleepers.borrow_mut();
        if sleepers.is_ended {
            return Poll::Pending;
        }
        if alarm.now() >= place.0 {
            return Poll::Ready(());
        }
        sleepers.waiting.insert(*place, cx.waker().clone());
        alarm.set_timer(&mut sleepers);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let mut sleepers = self.alarm.0.sleepers.borrow_mut();
        let waker = sleepers.waiting.remove(&self.place);
        if sleepers.waiting.is_empty() {
            self.alarm.set_timer(&mut sleepers);
        }
        drop(sleepers);
        // Dropped out of the borrow: the last handle on a task may be in it, with a sleeper.
        drop(waker);
    }
}
