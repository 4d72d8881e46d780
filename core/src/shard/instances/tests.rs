//! Breakers: when they open, whom they spare, how they close.

use super::*;
