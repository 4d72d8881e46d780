//! What JavaScript subscribed to.

use crate::fields::{object, promise};
use crate::node::failure;
use js_sys::{Array, Uint8Array};
use relay_core::Gap;
use relay_driver::{Received, Subscription};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// A subscription to some patterns.
#[wasm_bindgen]
pub struct Subscribed(Rc<Subscription>);

impl Subscribed {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self(Rc::new(subscription))
    }
}

#[wasm_bindgen]
impl Subscribed {
    /// Adds a pattern.
    ///
    /// # Errors
    /// The failure, when it is not a pattern or a bound is reached.
    pub fn add(&self, pattern: &str) -> Result<(), JsValue> {
        self.0.add(pattern).map(drop).map_err(|error| failure(&error))
    }

    /// Ready when the Main has confirmed all patterns; throws the failure when it refuses one.
    pub fn ready(&self) -> js_sys::Promise {
        let subscription = Rc::clone(&self.0);
        promise(async move {
            let ready = subscription.ready().await;
            ready.map_err(|error| failure(&error))?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// What comes next: `{ topic, bytes, publisher, headers, seq, gap }`, or `{ missed }`; nothing
    /// at the end.
    pub fn next(&self) -> js_sys::Promise {
        let subscription = Rc::clone(&self.0);
        promise(async move {
            let received = subscription.next().await;
            Ok(received.map_or(JsValue::UNDEFINED, |received| described(&received)))
        })
    }

    /// Ends it: whoever waits for something is told that nothing comes any more.
    pub fn end(&self) {
        self.0.end();
    }
}

fn described(received: &Received) -> JsValue {
    let publication = match received {
        Received::Publication(publication) => publication,
        Received::Missed { count } => return object(&[("missed", (*count as f64).into())]),
    };
    let gap = match publication.gap {
        Gap::None => 0.0,
        Gap::Of(count) => count as f64,
        Gap::Unknown => f64::INFINITY,
    };
    let pair = |(key, value): (&str, &str)| Array::of2(&key.into(), &value.into());
    object(&[
        ("topic", publication.topic().into()),
        ("bytes", Uint8Array::from(&*publication.body()).into()),
        ("publisher", publication.publisher().into()),
        ("headers", publication.headers().map(pair).collect::<Array>().into()),
        ("seq", (publication.seq as f64).into()),
        ("gap", gap.into()),
    ])
}
