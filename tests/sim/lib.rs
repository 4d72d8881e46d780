//! A deterministic world for Relay: nodes, links, faults and oracles on one virtual clock.
//!
//! One seed decides everything: how bytes are cut and delayed, which connections break, who
//! crashes, who calls whom. The same seed gives the same trace, so any failure is a number.
//!
//! A [`Plan`] says who is there and how likely what is. [`run`] draws a list of [`Step`]s from it
//! and lets them happen to real nodes; oracles watch. Afterwards the world heals, must work again,
//! must come to rest, and every call and byte is accounted for. A run that broke a promise is
//! shortened to a [`Schedule`]: a file with the few steps that are enough.

mod checker;
mod dice;
mod draw;
mod forwarding;
mod fuzzed;
pub mod golden;
mod histogram;
mod hunt;
mod machine;
mod network;
mod plan;
mod queue;
mod report;
mod said;
mod schedule;
mod shrink;
mod span;
mod step;
mod swarm;
mod tally;
mod world;

pub use checker::Verdict;
pub use dice::Dice;
pub use draw::Draw;
pub use forwarding::{Forwarding, Publishing, Streaming};
pub use fuzzed::schedule_from_bytes;
pub use histogram::Histogram;
pub use hunt::{hunt, run_caught};
pub use machine::{Machine, place_of};
pub use plan::{Bounds, Faults, Federation, Network, Plan, PlanInvalid, Topology, Traffic};
pub use report::{Calls, LinkTraffic, Moment, Report};
pub use schedule::Schedule;
pub use span::Span;
pub use step::{
    CallStep, ClockJump, Clog, Corrupt, HostStep, Inject, Lasting, Pair, Service, Sever,
    SlowReader, Step, Timed,
};
pub use world::{CallEnd, CallOutcome, World, run};
