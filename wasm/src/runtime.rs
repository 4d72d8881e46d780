//! The runtime of this shell: the event loop of whatever runs the module.

use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::socket::Socket;
use relay_driver::{BoxFuture, Endpoint, Runtime, Transport};
use send_wrapper::SendWrapper;
use std::fmt;
use std::io;
use std::time::Duration;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(space: &js_sys::Uint8Array) -> Result<JsValue, JsValue>;
}

/// The event loop of a page, a worker or Node.
///
/// What JavaScript gives out stays on its thread, and WebAssembly has one, so the wrappers that
/// make it `Send` never see another.
pub struct Browser(SendWrapper<Inner>);

struct Inner {
    alarm: Alarm,
    /// The class of WebSockets, where it is not the global one.
    socket_class: JsValue,
}

impl Browser {
    /// A runtime whose WebSockets are of this class: for Node, which has none of its own before
    /// version 22.
    #[must_use]
    pub fn with_socket_class(socket_class: JsValue) -> Self {
        Self(SendWrapper::new(Inner { alarm: Alarm::new(), socket_class }))
    }

    /// Looks at the clock at once: after the page was frozen, or timers were held back.
    pub fn wake(&self) {
        self.0.alarm.wake_all();
    }

    /// Stops the clocks. Call it when the node has ended, or its timer keeps the process alive.
    pub fn end(&self) {
        self.0.alarm.end();
    }
}

impl Runtime for Browser {
    fn current() -> Self {
        Self::with_socket_class(JsValue::UNDEFINED)
    }

    fn now(&self) -> Duration {
        self.0.alarm.now()
    }

    fn unix_time(&self) -> Duration {
        Clock::unix_time()
    }

    fn random(&self) -> Option<[u8; 32]> {
        let space = js_sys::Uint8Array::new_with_length(32);
        get_random_values(&space).ok()?;
        let mut bytes = [0; 32];
        space.copy_to(&mut bytes);
        Some(bytes)
    }

    fn spawn(&self, future: BoxFuture<()>) {
        wasm_bindgen_futures::spawn_local(future);
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        Box::pin(SendWrapper::new(self.0.alarm.sleep(pause)))
    }

    fn connect(&self, endpoint: Endpoint) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        let Inner { alarm, socket_class } = &*self.0;
        let (alarm, socket_class) = (alarm.clone(), socket_class.clone());
        Box::pin(SendWrapper::new(async move {
            let socket = Socket::connect(&endpoint, &socket_class, alarm).await?;
            Ok(Box::new(socket) as Box<dyn Transport>)
        }))
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Browser")
    }
}
