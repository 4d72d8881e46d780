//! Addresses that lead back to this node. DNS names often stand for all Mains, this one too, and
//! a node cannot tell its own address: it sees its own key at the other end.

use super::Inner;
use relay_tokio::{Event, EventStream};
use std::sync::Weak;

/// Tells of each such address until the peers are gone.
pub(super) async fn watch(mut events: EventStream, peers: Weak<Inner>) {
    let mut was_own = false;
    while let Some(event) = events.next().await {
        if let (true, Event::DialAgain { address, .. }) = (was_own, &event) {
            let Some(peers) = peers.upgrade() else { return };
            peers.is_own(address);
        }
        was_own = is_refusal_of_own_key(&event);
    }
}

/// Whether a link that this node dialled was refused by itself. The event that the dial is made
/// again follows at once. Whoever else claims this only ends the attempts to reach itself.
fn is_refusal_of_own_key(event: &Event) -> bool {
    let Event::LinkDown { node: None, detail, .. } = event else { return false };
    detail.starts_with("refused (UNAUTHENTICATED)") && detail.ends_with("shows our own key")
}
