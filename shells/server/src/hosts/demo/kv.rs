//! `demo:kv`: a small store of JSON values, kept byte for byte as they were written.

use super::{Answers, Params, application_error, bad_params, encode};
use bytes::Bytes;
use relay_tokio::{ServiceError, ServiceResult};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(super) struct Kv {
    store: Mutex<Store>,
}

#[derive(Default)]
struct Store {
    values: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl Answers for Kv {
    const METHODS: &'static [&'static str] = &["delete", "get", "keys", "set"];

    fn answer(&self, method: &str, params: &Params<'_>) -> ServiceResult {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        match method {
            "get" => {
                let key: String = params.need(0, "key")?;
                Ok(store.values.get(&key).cloned().unwrap_or(Bytes::from_static(b"null")))
            }
            "set" => {
                let key: String = params.need(0, "key")?;
                let value =
                    params.raw(1, "value").ok_or_else(|| bad_params("'value' is missing"))?;
                store.set(key, value)
            }
            "delete" => {
                let key: String = params.need(0, "key")?;
                encode(&store.remove(&key))
            }
            "keys" => {
                let prefix: String = params.find(0, "prefix")?.unwrap_or_default();
                let from_prefix = store.values.range(prefix.clone()..).map(|(key, _)| key);
                encode(&from_prefix.take_while(|key| key.starts_with(&prefix)).collect::<Vec<_>>())
            }
            _ => Err(ServiceError::no_such_method(method)),
        }
    }
}

impl Store {
    fn set(&mut self, key: String, value: &RawValue) -> ServiceResult {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(bad_params(&format!("a key is 1 to {KEY_BYTES_MAX} bytes long")));
        }
        if value.get().len() > VALUE_BYTES_MAX {
            return Err(bad_params(&format!("a value has at most {VALUE_BYTES_MAX} bytes")));
        }
        let replaced = self.values.get(&key).map(Bytes::len);
        if replaced.is_none() && self.values.len() >= KEYS_MAX {
            return Err(application_error("the store is full: delete some keys", None));
        }
        let bytes = self.bytes - replaced.unwrap_or(0) + value.get().len();
        if bytes > BYTES_MAX {
            return Err(application_error("the store is full: delete large values", None));
        }
        self.bytes = bytes;
        self.values.insert(key, Bytes::copy_from_slice(value.get().as_bytes()));
        encode(&serde_json::json!({ "replaced": replaced.is_some() }))
    }

    fn remove(&mut self, key: &str) -> bool {
        let removed = self.values.remove(key);
        self.bytes -= removed.as_ref().map_or(0, Bytes::len);
        removed.is_some()
    }
}

const KEYS_MAX: usize = 10_000;
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 64 * 1024;
const BYTES_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::Demo;
    use super::super::tests::{call, open};
    use super::*;

    #[tokio::test]
    async fn values_are_kept_as_written() {
        let kv = open(Demo::Kv);
        let set = call(kv.as_ref(), "set", r#"["b", {"a":1,"a" : 1e400}]"#).await;
        assert_eq!(set.unwrap(), r#"{"replaced":false}"#);
        let set = call(kv.as_ref(), "set", r#"{"key":"a","value":null}"#).await;
        assert_eq!(set.unwrap(), r#"{"replaced":false}"#);
        assert_eq!(call(kv.as_ref(), "get", r#"["b"]"#).await.unwrap(), r#"{"a":1,"a" : 1e400}"#);
        assert_eq!(call(kv.as_ref(), "keys", "").await.unwrap(), r#"["a","b"]"#);
        assert_eq!(call(kv.as_ref(), "keys", r#"["b"]"#).await.unwrap(), r#"["b"]"#);
        assert_eq!(call(kv.as_ref(), "delete", r#"["b"]"#).await.unwrap(), "true");
        assert_eq!(call(kv.as_ref(), "delete", r#"["b"]"#).await.unwrap(), "false");
        assert_eq!(call(kv.as_ref(), "get", r#"["b"]"#).await.unwrap(), "null");
        assert!(call(kv.as_ref(), "set", r#"["b"]"#).await.is_err());
    }

    #[tokio::test]
    async fn the_store_is_bounded() {
        let kv = open(Demo::Kv);
        for key in 0..KEYS_MAX {
            call(kv.as_ref(), "set", &format!(r#"["k{key}", 1]"#)).await.unwrap();
        }
        assert!(call(kv.as_ref(), "set", r#"["more", 1]"#).await.is_err());
        assert_eq!(call(kv.as_ref(), "set", r#"["k7", 2]"#).await.unwrap(), r#"{"replaced":true}"#);
        let fits = "x".repeat(VALUE_BYTES_MAX - 2);
        call(kv.as_ref(), "set", &format!(r#"["k7", "{fits}"]"#)).await.unwrap();
        let error = call(kv.as_ref(), "set", &format!(r#"["k7", "{fits}x"]"#)).await.unwrap_err();
        assert!(matches!(error, ServiceError::Failed { .. }));
        let long_key = format!(r#"["{}", 1]"#, "x".repeat(KEY_BYTES_MAX + 1));
        assert!(call(kv.as_ref(), "set", &long_key).await.is_err());
    }
}
