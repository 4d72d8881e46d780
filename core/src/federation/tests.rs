//! What counts of what peers announce.

use super::*;
