//! The scenarios that every shell has to pass, on the event loop of a page or of Node. A page asks
//! for their names and runs one after the other.

use relay_shell_tests::{World, scenarios};
use relay_wasm::Browser;
use wasm_bindgen::prelude::*;

/// The names of all scenarios.
#[wasm_bindgen]
#[must_use]
pub fn names() -> Vec<String> {
    scenarios::<Browser>().iter().map(|scenario| scenario.name.to_owned()).collect()
}

/// Runs one at two Mains that ask for `token`. Promises nothing, or throws what went
/// wrong.
#[wasm_bindgen]
pub fn run(name: String, mains: Vec<String>, token: String) -> js_sys::Promise {
    wasm_bindgen_futures::future_to_promise(async move {
        let list = scenarios::<Browser>();
        let scenario = list.iter().find(|scenario| scenario.name == name);
        let scenario = scenario.ok_or_else(|| JsError::new("there is no such scenario"))?;
        let [first, second] = mains.as_slice() else {
            return Err(JsError::new("there are two Mains").into());
        };
        let runtime = || Browser::with_socket_class(JsValue::UNDEFINED);
        let world = World::new([first, second], &token, runtime)
            .map_err(|error| JsError::new(&error.to_string()))?;
        let outcome = scenario.run(&world).await;
        outcome.map_err(|text| JsError::new(&text))?;
        Ok(JsValue::UNDEFINED)
    })
}
