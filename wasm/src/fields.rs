//! Fields of JavaScript objects, read and written.

use js_sys::{Array, Object, Reflect};
use std::future::Future;
use std::pin::Pin;
use wasm_bindgen::prelude::*;

/// Options as JavaScript passes them: an object of which every field may be missing.
pub(crate) struct Fields<'a>(pub(crate) &'a JsValue);

impl Fields<'_> {
    pub(crate) fn value(&self, name: &str) -> JsValue {
        Reflect::get(self.0, &name.into()).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.value(name).as_string()
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.value(name).as_f64()
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.value(name).is_truthy()
    }

    /// A list of texts; others in it are left out.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let value = self.value(name);
        let list = value.dyn_ref::<Array>().map(Array::iter);
        list.into_iter().flatten().filter_map(|item| item.as_string()).collect()
    }
}

/// A promise of what comes of `future`. Boxed, because each other kind of future would bring a copy
/// of the machinery along.
pub(crate) fn promise(
    future: impl Future<Output = Result<JsValue, JsValue>> + 'static,
) -> js_sys::Promise {
    let boxed: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>> = Box::pin(future);
    wasm_bindgen_futures::future_to_promise(boxed)
}

/// An object of these fields.
pub(crate) fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // An object without a setter takes every field.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}
