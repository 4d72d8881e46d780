//! Dials under the lock of the engine: what is kept, what is to be tried now, and what went wrong.

use super::{Engine, Inner};
use relay_core::{Dial, DialId, DialState, Open};
use std::sync::Arc;
use std::task::{Context, Poll};

impl Engine {
    /// Waits for the next address to connect to.
    pub fn poll_dial(&self, cx: &mut Context<'_>) -> Poll<Open> {
        let mut inner = self.lock();
        if let Some(open) = inner.dials.pop_front() {
            return Poll::Ready(open);
        }
        inner.dial_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reports that no connection could be made, and why.
    pub fn dial_failed(self: &Arc<Self>, dial: DialId, why: &str) {
        self.run(|inner, now| {
            inner.note_trouble(dial, why);
            inner.node.handle_dial_failed(dial, now, &mut inner.out);
        });
    }

    /// Notes how the link of a dial ended; empty for a good end.
    pub(crate) fn link_ended(&self, dial: DialId, why: &str) {
        self.lock().note_trouble(dial, why);
    }

    /// Why an address that this node dials gives no link, as far as the last attempt tells.
    pub fn dial_trouble(&self) -> Option<String> {
        let inner = self.lock();
        let is_down = |dial: &Dial| !matches!(dial.state, DialState::Up(..) | DialState::Standby);
        let mut dials = inner.node.control().dials();
        let down = dials.find_map(|(id, dial)| is_down(dial).then(|| inner.troubles.get(&id))?);
        down.cloned()
    }

    /// Keeps a link to one of `addresses` from now on, to the first one that answers.
    pub fn dial(self: &Arc<Self>, addresses: &[String]) -> DialId {
        self.run(|inner, now| inner.node.dial_any(addresses, now, &mut inner.out))
    }

    /// Waits no longer before dialling again: the network has come back.
    pub fn dial_now(self: &Arc<Self>) {
        self.run(|inner, now| inner.node.dial_now(now, &mut inner.out));
    }

    /// Stops keeping a link to a node or an address. Tells whether one was kept.
    pub fn undial(self: &Arc<Self>, node_or_address: &str) -> bool {
        self.run(|inner, now| {
            let control = inner.node.control();
            let named = |state: DialState| match state {
                DialState::Up(link, _) => control
                    .links()
                    .any(|(id, linked)| id == link && linked.peer.node.as_str() == node_or_address),
                DialState::Waiting(_) | DialState::Connecting | DialState::Standby => false,
            };
            let mut dials = control.dials();
            let goes_there =
                |dial: &Dial| dial.addresses.iter().any(|address| address == node_or_address);
            let found = dials.find(|(_, dial)| goes_there(dial) || named(dial.state));
            let Some((dial, _)) = found else { return false };
            drop(dials);
            inner.node.undial(dial, now, &mut inner.out)
        })
    }

    /// Whether a link that this node dialled is authenticated.
    pub fn is_connected(&self) -> bool {
        self.lock().node.control().is_connected()
    }
}

impl Inner {
    /// Keeps the reason for as long as the dial is kept.
    pub(super) fn note_trouble(&mut self, dial: DialId, why: &str) {
        let known: Vec<DialId> = self.node.control().dials().map(|(id, _)| id).collect();
        self.troubles.retain(|id, _| known.contains(id));
        if why.is_empty() {
            self.troubles.remove(&dial);
        } else if known.contains(&dial) {
            self.troubles.insert(dial, why.chars().take(TROUBLE_LETTERS_MAX).collect());
        }
    }
}

/// Of a reason: some lines are long, none is a page.
const TROUBLE_LETTERS_MAX: usize = 500;
