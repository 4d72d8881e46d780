//! Tasks on the event loop of JavaScript, in a browser or in Node.

use crate::player::{line, replay};
use crate::runtime::Executor;
use relay_driver::BoxFuture;
use relay_sim::golden::Trace;
use wasm_bindgen::prelude::wasm_bindgen;

/// The event loop.
struct Browser;

impl Executor for Browser {
    fn spawn(future: BoxFuture<()>) {
        wasm_bindgen_futures::spawn_local(future);
    }
}

/// Replays traces and gives a line for each.
///
/// # Errors
/// A text, where the bytes are no traces or one cannot be replayed.
#[wasm_bindgen]
pub async fn replay_all(traces: Vec<u8>) -> Result<String, String> {
    let traces = Trace::decode(&traces).map_err(|error| error.to_string())?;
    let mut lines = String::new();
    for trace in &traces {
        let outcome = replay::<Browser>(trace).await?;
        lines.push_str(&line(trace, outcome));
        lines.push('\n');
    }
    Ok(lines)
}
