//! Time that goes on while the machine sleeps.
//!
//! `performance.now()` never goes back, but on some systems it stands still while the machine is
//! suspended; `Date.now()` goes on, but is set by people. The clock here is the first, moved
//! forward by what the second has gained on it, once that is too much to be a correction.

use std::cell::Cell;
use std::time::Duration;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// A clock that never goes back.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What the wall clock was ahead of the other one when this clock was made, in milliseconds.
    ahead: f64,
    /// What was slept through since.
    slept: Cell<f64>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { ahead: js_sys::Date::now() - performance_now(), slept: Cell::new(0.0) }
    }

    pub(crate) fn now(&self) -> Duration {
        millis(performance_now() + self.slept.get())
    }

    pub(crate) fn unix_time() -> Duration {
        millis(js_sys::Date::now())
    }

    /// Compares the two clocks. Looked at whenever a timer fires or the page comes back.
    pub(crate) fn notice_sleep(&self) {
        let gained = js_sys::Date::now() - performance_now() - self.ahead;
        if gained - self.slept.get() > SLEEP_LEAST_MS {
            self.slept.set(gained);
        }
    }
}

fn millis(value: f64) -> Duration {
    Duration::try_from_secs_f64(value / 1_000.0).unwrap_or_default()
}

/// Less than this is the wall clock being corrected.
const SLEEP_LEAST_MS: f64 = 5_000.0;
