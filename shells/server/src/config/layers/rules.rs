//! What one setting means for others: rules of single services in a table of tables, and the mode
//! that decides a bound.

use super::{Entry, Layers, Source, leaf_tag, limits, tagged, text_of};
use crate::cli::Failure;
use crate::config::keys::{Key, NODE_MODE, RULES};
use figment::value::{Dict, Value};

impl Layers {
    /// One rule of the table at `path`, if somebody set it.
    pub(in crate::config) fn rule<T>(
        &self,
        path: &str,
        key: &Key,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let path = format!("{path}.{}", key.path);
        let Some(value) = self.find(&path) else { return Ok(None) };
        let parsed = text_of(value).and_then(|text| parse(&text));
        parsed.map(Some).ok_or_else(|| self.refusal(key, &path, value))
    }

    /// The names that the operator chose in a table.
    pub(in crate::config) fn names_of(&self, key: &Key) -> impl Iterator<Item = &str> {
        let table = self.find(key.path).and_then(Value::as_dict);
        table.into_iter().flat_map(|table| table.keys().map(String::as_str))
    }

    /// Each rule of each name in a table of tables, as `name.rule`.
    pub(super) fn rules(&self, key: &Key) -> Vec<Entry<'_>> {
        let named = |name| RULES.iter().map(move |rule| format!("{name}.{}", rule.path));
        let entry = |name: String| {
            let path = format!("{}.{name}", key.path);
            let value = self.find(&path)?;
            Some((name, value, self.source_of_tag(&path, leaf_tag(value))))
        };
        self.names_of(key).flat_map(named).filter_map(entry).collect()
    }

    /// The mode p2p sets the bound of hops to the TTL, so that it is shown with its source.
    pub(super) fn lift_hops(&mut self) {
        let mode = self.find(NODE_MODE.path).cloned();
        let is_p2p = |value: &Value| text_of(value).as_deref() == Some("p2p");
        let Some(mode) = mode.filter(is_p2p) else { return };
        let ttl = self.find(limits::TTL).and_then(text_of);
        let (true, Some(ttl)) = (self.source_of_path(limits::HOPS_MAX) == Source::Default, ttl)
        else {
            return;
        };
        for names in [&mut self.environment_names, &mut self.flag_names] {
            if let Some(written) = names.get(NODE_MODE.path).cloned() {
                names.insert(limits::HOPS_MAX.to_owned(), written);
            }
        }
        let section = self.root.get_mut("limits");
        if let (Some(Value::Dict(_, section)), Some((_, name))) =
            (section, limits::HOPS_MAX.split_once('.'))
        {
            section.insert(name.to_owned(), tagged(leaf_tag(&mode), &ttl));
        }
    }

    pub(super) fn check_rules(&self, path: &str, names: &Dict) -> Result<(), Failure> {
        for (name, value) in names {
            let path = format!("{path}.{name}");
            let source = self.source_of_tag(&path, leaf_tag(value));
            let Some(rules) = value.as_dict() else {
                return Err(Failure::usage(format!(
                    "{path} ({source}) is a value, but has to be a table"
                ))
                .with_hint(format!("write [{path}] and below it, as in balance = \"random\"")));
            };
            let stray = |rule: &&String| !RULES.iter().any(|key| key.path == rule.as_str());
            if let Some(rule) = rules.keys().find(stray) {
                let known: Vec<&str> = RULES.iter().map(|key| key.path).collect();
                return Err(Failure::usage(format!(
                    "there is no setting {path}.{rule} ({source})"
                ))
                .with_hint(format!("a service has {}", known.join(", "))));
            }
        }
        Ok(())
    }
}
