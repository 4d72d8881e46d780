//! JSON clients of `/ws` over real sockets: every message, every bound, every close code.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

#[path = "ws/calls.rs"]
mod calls;
#[path = "ws/closes.rs"]
mod closes;
#[path = "ws/document.rs"]
mod document;
#[path = "ws/offers.rs"]
mod offers;
#[path = "ws/services.rs"]
mod services;
#[path = "ws/streams.rs"]
mod streams;
#[path = "support/client.rs"]
mod support;
#[path = "ws/topics.rs"]
mod topics;
#[path = "ws/typed.rs"]
mod typed;
#[path = "ws/world.rs"]
mod world;
