//! The layers that settings come from, in rising order: defaults, file, environment, flags. Finds
//! the value of a key, remembers where it came from and words the refusals.

mod environment;
mod flags;
mod rules;

pub use environment::Environment;

use super::keys::{ENDPOINT, KEYS, Key, PEER, Shape};
use super::limits;
use crate::cli::{Failure, RunArgs};
use crate::discovery::Peer;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use relay_tokio::Endpoint;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// All layers, merged. Every key in them exists.
pub(super) struct Layers {
    figment: Figment,
    root: Dict,
    file: Option<PathBuf>,
    environment_names: BTreeMap<String, String>,
    flag_names: BTreeMap<String, String>,
}

/// A value with its name in the file and its source.
pub(super) type Entry<'a> = (String, &'a Value, Source);

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

impl Layers {
    pub(super) fn collect(flags: &RunArgs, environment: &Environment) -> Result<Self, Failure> {
        let file = flags.config.clone().or_else(|| environment.config_file.clone());
        let from_environment = environment.layer()?;
        let from_flags = flags::layer(flags)?;
        let mut figment = Figment::new().merge(defaults());
        if let Some(path) = &file {
            figment = figment.merge(Toml::string(&read_file(path)?));
        }
        let environment_names = from_environment.names.clone();
        let flag_names = from_flags.names.clone();
        let figment = figment.merge(from_environment).merge(from_flags);
        let root = figment.extract::<BTreeMap<String, serde::de::IgnoredAny>>();
        let root = root.map_err(|error| unreadable(file.as_deref(), &error))?;
        let root = root
            .into_keys()
            .map(|name| (name.clone(), figment.find_value(&name).ok()))
            .map(|(name, value)| (name, value.unwrap_or_else(|| Value::from(String::new()))))
            .collect();
        let mut layers = Self { figment, root, file, environment_names, flag_names };
        layers.check_names("", &layers.root)?;
        layers.lift_hops();
        Ok(layers)
    }

    /// The value of a key that has a default.
    pub(super) fn required<T>(
        &self,
        key: &Key,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let missing =
            || Failure::usage(format!("{} is not set: must be {}", key.path, key.allowed));
        self.optional(key, parse)?.ok_or_else(missing)
    }

    /// The value of a key, if somebody set it.
    pub(super) fn optional<T>(
        &self,
        key: &Key,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.find(key.path) else { return Ok(None) };
        let text = text_of(value).ok_or_else(|| self.refusal(key, key.path, value))?;
        parse(&text).map(Some).ok_or_else(|| self.refusal(key, key.path, value))
    }

    /// The values of a list; a text is split at its commas.
    pub(super) fn list<T>(
        &self,
        key: &Key,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        let Some(value) = self.find(key.path) else { return Ok(Vec::new()) };
        let texts = texts_of(value).ok_or_else(|| self.refusal(key, key.path, value))?;
        let refused = |text: &String| self.refusal(key, key.path, &tagged(value.tag(), text));
        texts.iter().map(|text| parse(text).ok_or_else(|| refused(text))).collect()
    }

    /// The entries of a table whose names the operator chose.
    pub(super) fn map<T>(
        &self,
        key: &Key,
        parse: impl Fn(&str, &str) -> Option<T>,
    ) -> Result<BTreeMap<String, T>, Failure> {
        let mut entries = BTreeMap::new();
        for (name, value) in self.find(key.path).and_then(Value::as_dict).into_iter().flatten() {
            let path = format!("{}.{name}", key.path);
            let refused = || self.refusal(key, &path, value);
            let text = text_of(value).ok_or_else(refused)?;
            entries.insert(name.clone(), parse(name, &text).ok_or_else(refused)?);
        }
        Ok(entries)
    }

    /// Each value that is set, with its path and its source, in the order of the table of keys.
    pub(super) fn entries(&self) -> Vec<(&'static Key, Vec<Entry<'_>>)> {
        let entry = |path: String, value| {
            let source = self.source_of_path(&path);
            (path, value, source)
        };
        let of = |key: &'static Key| match (key.shape, self.find(key.path)) {
            (_, None) => Vec::new(),
            (Shape::One | Shape::List, Some(value)) => vec![entry(key.path.to_owned(), value)],
            (Shape::Map, Some(value)) => value
                .as_dict()
                .into_iter()
                .flatten()
                .map(|(name, value)| {
                    let path = format!("{}.{name}", key.path);
                    let source = self.source_of_tag(&path, value.tag());
                    (name.clone(), value, source)
                })
                .collect(),
            (Shape::Rules, Some(_)) => self.rules(key),
        };
        KEYS.iter().chain(limits::LIMIT_KEYS).map(|key| (key, of(key))).collect()
    }

    pub(super) fn source_of(&self, key: &Key) -> Source {
        self.source_of_path(key.path)
    }

    pub(super) fn source_of_path(&self, path: &str) -> Source {
        self.find(path).map_or(Source::Default, |value| self.source_of_tag(path, leaf_tag(value)))
    }

    pub(super) fn source_of_entry(&self, key: &Key, name: &str) -> Source {
        let entry = self.find(key.path).and_then(|table| table.as_dict()?.get(name));
        let path = format!("{}.{name}", key.path);
        entry.map_or(Source::Default, |value| self.source_of_tag(&path, leaf_tag(value)))
    }

    pub(super) fn is_from_flag(&self, key: &Key) -> bool {
        matches!(self.source_of(key), Source::Flag(_))
    }

    fn source_of_tag(&self, path: &str, tag: Tag) -> Source {
        let name_in =
            |names: &BTreeMap<String, String>| names.get(path).cloned().unwrap_or_default();
        let layer = self.figment.get_metadata(tag).map(|metadata| metadata.name.as_ref());
        match (layer, &self.file) {
            (Some(FLAGS), _) => Source::Flag(name_in(&self.flag_names)),
            (Some(ENVIRONMENT), _) => Source::Environment(name_in(&self.environment_names)),
            (Some(DEFAULTS) | None, _) | (_, None) => Source::Default,
            (Some(_), Some(path)) => Source::File(path.clone()),
        }
    }

    fn find(&self, path: &str) -> Option<&Value> {
        let mut parts = path.split('.');
        let first = self.root.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.as_dict()?.get(part))
    }

    fn refusal(&self, key: &Key, path: &str, value: &Value) -> Failure {
        let source = self.source_of_tag(path, leaf_tag(value));
        let shown = shown(value);
        let failure = Failure::usage(format!(
            "{path} = {shown} ({source}) is not allowed: must be {}",
            key.allowed
        ));
        match hint(key, value) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }

    /// Only a file can hold such a key.
    fn quoted_dot(&self, name: &str) -> Failure {
        let source = self.file.clone().map_or(Source::Default, Source::File);
        Failure::usage(format!(
            "there is no setting {name:?}, with quotes around its dot ({source})"
        ))
        .with_hint("leave out the quotes, or write [section] and the name below it")
    }

    fn check_names(&self, prefix: &str, dict: &Dict) -> Result<(), Failure> {
        for (name, value) in dict {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let source = || self.source_of_tag(&path, leaf_tag(value));
            let inner = format!("{path}.");
            let shape = known_keys().find(|key| key.path == path).map(|key| key.shape);
            let is_section = known_keys().any(|key| key.path.starts_with(&inner));
            match (shape, value.as_dict()) {
                _ if name.contains('.') => return Err(self.quoted_dot(name)),
                (Some(Shape::One | Shape::List), None) | (Some(Shape::Map), Some(_)) => {}
                (Some(Shape::Rules), Some(names)) => self.check_rules(&path, names)?,
                (Some(Shape::One | Shape::List), Some(_)) => {
                    return Err(Failure::usage(format!(
                        "{path} ({}) is a table, but takes a value",
                        source()
                    )));
                }
                (None, Some(inner)) if is_section => self.check_names(&path, inner)?,
                (Some(Shape::Map | Shape::Rules) | None, None) if is_section || shape.is_some() => {
                    return Err(Failure::usage(format!(
                        "{path} ({}) is a value, but has to be a table",
                        source()
                    )));
                }
                (Some(Shape::Map | Shape::Rules) | None, _) => {
                    return Err(unknown(&path, &source()));
                }
            }
        }
        Ok(())
    }
}

/// One layer: values by path, and how the operator wrote each of them.
struct Layer {
    name: &'static str,
    values: Dict,
    names: BTreeMap<String, String>,
}

impl Layer {
    fn new(name: &'static str) -> Self {
        Self { name, values: Dict::new(), names: BTreeMap::new() }
    }

    /// Sets the value at `parts`, replacing what is there.
    fn set(&mut self, parts: &[&str], value: Value, written: &str) {
        self.names.insert(parts.join("."), written.to_owned());
        let Some((last, sections)) = parts.split_last() else { return };
        let mut dict = &mut self.values;
        for section in sections {
            let inner = dict.entry((*section).to_owned()).or_insert_with(empty_dict);
            if inner.as_dict().is_none() {
                *inner = empty_dict();
            }
            let Value::Dict(_, inner) = inner else { return };
            dict = inner;
        }
        dict.insert((*last).to_owned(), value);
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn defaults() -> Layer {
    let mut layer = Layer::new(DEFAULTS);
    let fixed = KEYS.iter().filter_map(|key| Some((key.path, key.default?.to_owned())));
    for (path, text) in fixed.chain(limits::defaults()) {
        layer.set(&path.split('.').collect::<Vec<_>>(), Value::from(text), "");
    }
    layer
}

fn known_keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(limits::LIMIT_KEYS)
}

fn read_file(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let fail = |why: &dyn fmt::Display| {
        Failure::usage(format!("cannot read the configuration file {}: {why}", path.display()))
            .with_hint("the path comes from --config or $RELAY_CONFIG")
    };
    let file = std::fs::File::open(path).map_err(|error| fail(&error))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| fail(&error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(&format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn unreadable(file: Option<&Path>, error: &figment::Error) -> Failure {
    let path = file.map(|path| path.display().to_string()).unwrap_or_default();
    let what = error.kind.to_string();
    // The parser draws the line with a caret below it; in one line that is only noise.
    let said = what.lines().filter(|line| !line.contains('|') && !line.trim().is_empty());
    let what = said.map(str::trim).collect::<Vec<_>>().join(": ");
    let what = what.trim_start_matches("TOML parse error ");
    Failure::usage(format!("the configuration file {path} is not valid TOML: {what}"))
}

/// What helps beyond saying what is allowed.
fn hint(key: &Key, value: &Value) -> Option<String> {
    let texts = texts_of(value)?;
    if key.allowed == ENDPOINT {
        return texts.iter().find_map(|text| Some(Endpoint::parse(text).err()?.to_string()));
    }
    if key.allowed == PEER {
        return texts.iter().find_map(|text| Some(Peer::parse(text).err()?.to_string()));
    }
    let is_number = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
    let text = texts.first().filter(|text| is_number(text))?;
    key.allowed.starts_with("a time").then(|| format!("add the unit, as in {text}s or {text}ms"))
}

fn unknown(path: &str, source: &Source) -> Failure {
    let sections = known_keys().filter_map(|key| Some(key.path.split_once('.')?.0));
    let nearest = known_keys()
        .map(|key| key.path)
        .chain(sections)
        .map(|known| (distance(path, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 1 + path.len() / 4);
    let failure = Failure::usage(format!("there is no setting {path} ({source})"));
    match nearest {
        Some((_, known)) => failure.with_hint(format!("did you mean {known}?")),
        None => failure.with_hint("relay --print-config lists all settings"),
    }
}

/// How many letters have to be changed, added or left out to get from one name to the other.
pub(crate) fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A value as one text; tables and lists have none.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, character) => Some(character.to_string()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => number
            .to_u128()
            .map(|number| number.to_string())
            .or_else(|| number.to_i128().map(|number| number.to_string()))
            .or_else(|| number.to_f64().map(|number| number.to_string())),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

/// A value as a list of texts.
pub(super) fn texts_of(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(_, items) => items.iter().map(text_of).collect(),
        Value::Empty(..)
        | Value::Dict(..)
        | Value::String(..)
        | Value::Char(..)
        | Value::Bool(..)
        | Value::Num(..) => {
            let text = text_of(value)?;
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(parts.map(str::to_owned).collect())
        }
    }
}

/// A value as it is shown in messages, never longer than a line.
fn shown(value: &Value) -> String {
    let text = match (text_of(value), value) {
        (Some(text), _) => format!("{text:?}"),
        (None, Value::Array(..)) => String::from("[..]"),
        (None, _) => String::from("{..}"),
    };
    match text.char_indices().nth(100) {
        Some((cut, _)) => format!("{}..", &text[..cut]),
        None => text,
    }
}

/// The tag that tells the source: a list carries it on its items.
fn leaf_tag(value: &Value) -> Tag {
    match value {
        Value::Dict(tag, inner) => inner.values().next().map_or(*tag, leaf_tag),
        Value::Array(tag, items) => items.first().map_or(*tag, leaf_tag),
        Value::String(tag, _) | Value::Char(tag, _) | Value::Bool(tag, _) | Value::Num(tag, _) => {
            *tag
        }
        Value::Empty(tag, _) => *tag,
    }
}

fn tagged(tag: Tag, text: &str) -> Value {
    Value::String(tag, text.to_owned())
}

fn empty_dict() -> Value {
    Value::from(Dict::new())
}

const DEFAULTS: &str = "defaults";
const ENVIRONMENT: &str = "environment";
const FLAGS: &str = "flags";
/// Longest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;
