//! The effective settings as a TOML file that could be used as it is, each with its source.

use super::keys::{BOOLEAN, Key, RULES, Shape};
use super::layers::{Layers, Source, text_of, texts_of};
use figment::value::Value;
use std::fmt::Write as _;

/// The listing. Passwords inside URLs are left out.
pub(super) fn listing(layers: &Layers) -> String {
    let mut text = String::new();
    let mut section = "";
    let entries = layers.entries();
    // Tables come last: in TOML, all that follows a table header belongs to it.
    let (maps, plain): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(key, _)| matches!(key.shape, Shape::Map | Shape::Rules));
    for (key, values) in plain {
        let (of, name) = key.path.split_once('.').unwrap_or(("", key.path));
        if of != section {
            text.push_str(if section.is_empty() { "" } else { "\n" });
            let _ = writeln!(text, "[{of}]");
            section = of;
        }
        match values.as_slice() {
            [] => {
                let example = if key.shape == Shape::List { "[]" } else { "\"\"" };
                let _ = writeln!(text, "# {name} = {example}  # not set; {}", key.allowed);
            }
            values => values.iter().for_each(|(_, value, source)| {
                write_line(&mut text, name, &literal(key, value), source);
            }),
        }
    }
    for (key, values) in maps {
        let _ = writeln!(text, "\n[{}]", key.path);
        for (name, value, source) in values {
            if let Some((service, rule)) = rule_of(key, &name) {
                let name = format!("{}.{}", quoted(service), rule.path);
                write_line(&mut text, &name, &literal(rule, value), &source);
                continue;
            }
            write_line(&mut text, &quoted(&name), &literal(key, value), &source);
        }
    }
    text
}

/// A name like `blog.balance` in a table of rules: the service and the rule.
fn rule_of<'a>(key: &Key, name: &'a str) -> Option<(&'a str, &'static Key)> {
    let (service, rule) = name.rsplit_once('.').filter(|_| key.shape == Shape::Rules)?;
    Some((service, RULES.iter().find(|key| key.path == rule)?))
}

fn write_line(text: &mut String, name: &str, value: &str, source: &Source) {
    let source = source.to_string().replace(char::is_control, "?");
    let _ = writeln!(text, "{name} = {value}  # {source}");
}

fn literal(key: &Key, value: &Value) -> String {
    if key.shape == Shape::List {
        let items: Vec<String> = texts_of(value)
            .unwrap_or_default()
            .iter()
            .map(|text| quoted(&without_password(text)))
            .collect();
        return format!("[{}]", items.join(", "));
    }
    let text = text_of(value).unwrap_or_default();
    let is_number = ["a port", "a whole number"].iter().any(|kind| key.allowed.starts_with(kind))
        && text.parse::<u32>().is_ok();
    let is_boolean = text.parse::<bool>().is_ok() && key.allowed == BOOLEAN;
    if is_number || is_boolean { text } else { quoted(&without_password(&text)) }
}

/// A basic string of TOML, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://***{}", &rest[user.len()..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_left_out() {
        for (given, wanted) in [
            ("http://user:secret@host:1/a@b", "http://***@host:1/a@b"),
            ("http://host:1/a@b", "http://host:1/a@b"),
            ("exec:./run a@b", "exec:./run a@b"),
        ] {
            assert_eq!(without_password(given), wanted);
        }
    }
}
