//! The product: the binary `relay` with its HTTP and JSON gateways, service hosts and client
//! tools, as a library so that tests can run the same parts.

mod calls;
pub mod cli;
pub mod commands;
pub mod config;
pub mod discovery;
pub mod hosts;
pub mod http;
pub mod json_rpc;
pub mod log;
mod metrics;
mod publication;
mod trace_context;
mod ws;
