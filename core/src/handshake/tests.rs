//! Handshake, step by step.
