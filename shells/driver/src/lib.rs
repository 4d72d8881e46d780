//! The runtime-free half of every shell.
mod service;
pub use service::*;
