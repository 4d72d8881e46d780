//! What the benches share: the fixtures are those of the simulator.

pub use relay_sim::{Forwarding, Publishing};
