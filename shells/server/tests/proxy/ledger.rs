//! A service that writes down what it runs, as examples/ledger.py does.

use crate::world::EXAMPLES;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The file that it writes to, gone with the test.
pub(crate) struct Ledger(PathBuf);

impl Ledger {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("relay-proxy-{name}-{}.ledger", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "").expect("written");
        Self(path)
    }

    /// The flag that makes it a service.
    pub(crate) fn service(&self) -> String {
        format!("--service=ledger=exec:python3 {EXAMPLES}/ledger.py {}", self.0.display())
    }

    /// How often each call ran.
    pub(crate) fn runs(&self) -> BTreeMap<String, u32> {
        let mut runs = BTreeMap::new();
        for line in std::fs::read_to_string(&self.0).expect("written").lines() {
            *runs.entry(line.to_owned()).or_default() += 1;
        }
        runs
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}
