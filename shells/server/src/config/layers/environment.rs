//! The environment as a layer: `RELAY_HTTP__PORT` is `http.port`. Variables of other programs
//! that share the prefix, as Kubernetes sets them for each of its services, are left alone.

use super::{ENVIRONMENT, Layer, known_keys};
use crate::cli::Failure;
use figment::value::Value;
use std::ffi::OsString;
use std::path::PathBuf;

/// The variables that concern this program.
#[derive(Clone, Default, Debug)]
pub struct Environment {
    variables: Vec<(String, String)>,
    pub(super) config_file: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    /// The environment out of names and values. Empty values count as not set.
    pub fn new<N: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let (name, value): (OsString, OsString) = (name.into(), value.into());
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            match name {
                _ if value.is_empty() => {}
                "CONFIG" => environment.config_file = Some(PathBuf::from(value)),
                _ => {
                    let value = value.to_string_lossy().into_owned();
                    environment.variables.push((name.to_owned(), value));
                }
            }
        }
        environment
    }

    pub(super) fn layer(&self) -> Result<Layer, Failure> {
        let mut layer = Layer::new(ENVIRONMENT);
        for (name, value) in &self.variables {
            let written = format!("{PREFIX}{name}");
            let path = match name.as_str() {
                "LOG" => String::from("log.level"),
                _ if name.contains("__") => name.to_ascii_lowercase().replace("__", "."),
                _ => {
                    refuse_near_miss(name, value)?;
                    continue;
                }
            };
            let parts: Vec<&str> = path.split('.').collect();
            layer.set(&parts, Value::from(value.clone()), &written);
        }
        Ok(layer)
    }
}

/// `RELAY_HTTP_PORT` would be ignored without a word, and was surely meant.
fn refuse_near_miss(name: &str, value: &str) -> Result<(), Failure> {
    let is_of_kubernetes = value.starts_with("tcp://") || value.starts_with("udp://");
    let meant = known_keys().find(|key| {
        key.path.contains('.') && key.path.replace('.', "_").eq_ignore_ascii_case(name)
    });
    match meant {
        Some(key) if !is_of_kubernetes => {
            let wanted = key.path.to_ascii_uppercase().replace('.', "__");
            Err(Failure::usage(format!(
                "there is no setting in the environment variable {PREFIX}{name}"
            ))
            .with_hint(format!("did you mean {PREFIX}{wanted}? Sections end in two underscores")))
        }
        Some(_) | None => Ok(()),
    }
}

const PREFIX: &str = "RELAY_";
