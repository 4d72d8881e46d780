//! What happens in the node, as log lines with one field for each fact. Peers cause these lines, so
//! there are only so many in a second.

use crate::log::LineBudget;
use relay_tokio::{BreakerState, CloseReason, ErrorCode, Event, Node};

/// Logs each event of `node` until the node is gone.
pub(super) async fn log_events(node: Node) {
    let mut events = node.events();
    let mut budget = LineBudget::new(LINES_PER_SECOND);
    let mut budget_of_calls = LineBudget::new(LINES_OF_CALLS_PER_SECOND);
    while let Some(event) = events.next().await {
        let budget = match event {
            Event::Retried { .. } | Event::Breaker { .. } => &mut budget_of_calls,
            _ => &mut budget,
        };
        let Some(left_out) = budget.take() else { continue };
        if left_out > 0 {
            tracing::warn!(left_out, "events were not logged: peers caused too many in a second");
        }
        log_event(&event);
    }
}

fn log_event(event: &Event) {
    match event {
        Event::LinkUp { node, role, session, .. } => {
            let session = u128::from_be_bytes(*session);
            let session = format_args!("{session:032x}");
            tracing::info!(peer = %node, role = role.name(), %session, "link up");
        }
        Event::LinkDown { node, reason, detail, link } => match node {
            Some(node) => tracing::info!(peer = %node, %reason, detail, "link down"),
            // Anyone can cause these: at the default level a stranger could fill the log.
            None => tracing::debug!(?link, %reason, detail, "link down before authentication"),
        },
        Event::Goodbye { node, reason: CloseReason::Fault(ErrorCode::NameConflict), .. } => {
            let advice = "another node uses the id of this one: give each its own --node-id, or \
                          stop the other; dialling goes on";
            tracing::error!(peer = %node, "{advice}");
        }
        Event::Goodbye { node, reason, message, .. } => {
            tracing::info!(peer = %node, %reason, said = message, "the peer says goodbye");
        }
        Event::DialAgain { address, pause_ms, .. } => {
            tracing::warn!(%address, pause_ms, "no link; dialling again after the pause");
        }
        Event::ServiceUp { service, node } => {
            tracing::info!(%service, %node, "service up");
        }
        Event::ServiceDown { service, node, why } => {
            tracing::info!(%service, %node, ?why, "service down");
        }
        Event::RegistrationRefused { service, code, message } => {
            tracing::error!(service, %code, said = message, "the Main refused a service");
        }
        Event::AnnouncementRefused { peer, service, node, .. } => {
            let advice = "a peer announces more services than it may; the rest is not taken \
                          (limits.services_per_peer_max)";
            tracing::warn!(%peer, first = %service, %node, "{advice}");
        }
        Event::Resync { node, .. } => {
            let text = "the registry of a peer did not fit its digest; asking for all of it again";
            tracing::warn!(peer = %node, "{text}");
        }
        Event::Breaker { service, node, state, .. } => {
            let text = match state {
                BreakerState::Open => "an instance failed too often and gets no calls for a while",
                BreakerState::HalfOpen => "one call tries whether the instance works again",
                BreakerState::Closed => "the instance works and gets calls again",
            };
            let breaker = state.name();
            match state {
                BreakerState::Open => tracing::warn!(%service, %node, breaker, "{text}"),
                BreakerState::HalfOpen | BreakerState::Closed => {
                    tracing::info!(%service, %node, breaker, "{text}");
                }
            }
        }
        Event::Retried { service, code } => {
            tracing::info!(%service, %code, "a call was sent to another instance");
        }
        Event::StrayAnswer { link, label } => {
            tracing::warn!(?link, label, "a peer answered a call that it was never asked");
        }
        other => tracing::info!(event = ?other, "node event"),
    }
}

/// Enough to follow what people do; a Home that registers and withdraws without end causes more.
const LINES_PER_SECOND: u32 = 200;
/// Calls cause these, so they have a budget of their own: links and services must still be seen.
const LINES_OF_CALLS_PER_SECOND: u32 = 20;
