//! A deterministic world for Relay: nodes, links, faults and oracles on one virtual clock.
//!
//! One seed decides everything: how bytes are cut and delayed, which connections break, who
//! crashes, who calls whom. The same seed gives the same trace, so any failure is a number.

mod checker;
mod forwarding;
mod machine;
mod network;
mod world;

pub use checker::Verdict;
pub use forwarding::Forwarding;
pub use machine::{Machine, place_of};
pub use network::Faults;
pub use world::{Report, World, WorldConfig, run};
