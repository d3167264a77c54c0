//! Defaults, file, environment and flags laid over each other, each value with its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::error::{Origin, Problem, Wrong};
use super::secret::Secret;
use super::setting::{self, Fallback, Kind, SETTINGS};
use super::value::Value;

/// The environment, as a value: the library never reads that of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// The value of a variable, also an empty one.
    pub fn given(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Only these variables, for who must not take settings from it.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Environment {
        self.0.iter().filter(|(name, _)| names.iter().any(|kept| *name == *kept)).collect()
    }

    /// The names that begin with `QFM_`.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.to_str()).filter(|name| name.starts_with("QFM_"))
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Environment {
        Environment(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`: the file to read.
    pub config: Option<PathBuf>,
    /// Where the file is looked for, if it is not named.
    pub places: Places,
    /// The settings given by flags, the weaker first.
    pub settings: Vec<Override>,
    /// The state directory for a configuration of quick-fedora-mirror that says no `TIMEFILE`; without it that is a fault.
    pub state: Option<PathBuf>,
    /// -1 quiet to 2, see [`super::Config::verbosity`].
    pub verbosity: i8,
}

/// Where the configuration file is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Places {
    /// In qfm's places, then in those of quick-fedora-mirror that are an admin's own.
    #[default]
    Native,
    /// Where quick-fedora-mirror looks, for the program under that name: any file is taken for one of its own, unless its name ends
    /// in `.toml`.
    Old {
        /// The directory of the program.
        program: Option<PathBuf>,
    },
}

/// One setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The full key; not checked yet.
    pub key: String,
    /// The flag as it is written, such as `--rsync-timeout` or `--set`.
    pub flag: String,
    /// What was given, in order.
    pub texts: Vec<String>,
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// The value of every setting: what the strongest source says.
#[derive(Clone, Debug)]
pub struct Settings {
    entries: BTreeMap<String, Entry>,
    broken: BTreeSet<String>,
    /// The tables of families, such as `job.archive`, and where each begins.
    tables: BTreeMap<String, Origin>,
}

impl Settings {
    /// All defaults.
    pub(super) fn defaults() -> Settings {
        let entry = |setting: &setting::Setting| Entry { value: setting.default(), origin: Origin::Default };
        let entries = SETTINGS.iter().map(|setting| (setting.key.to_string(), entry(setting))).collect();
        Settings { entries, broken: BTreeSet::new(), tables: BTreeMap::new() }
    }

    /// Lays a value over what is there.
    pub(super) fn set(&mut self, key: &str, value: Value, origin: Origin) {
        self.entries.insert(key.to_string(), Entry { value, origin });
    }

    /// Records that a source gave this key a value that cannot be read, so that it is not reported as missing too.
    pub(super) fn spoil(&mut self, key: &str) {
        self.broken.insert(key.to_string());
    }

    /// Records that there is a table of a family, whatever stands below it.
    pub(super) fn begin(&mut self, table: &str, origin: Origin) {
        self.tables.insert(table.to_string(), origin);
    }

    pub(super) fn is_spoilt(&self, key: &str) -> bool {
        self.broken.contains(key)
    }

    /// Whether a setting that must be said was not said.
    pub(super) fn lacks_required(&self) -> bool {
        let required = SETTINGS.iter().filter(|setting| setting.fallback == Fallback::Required);
        required.map(|setting| setting.key).any(|key| self.entry(key).is_none_or(|entry| entry.value == Value::Unset))
    }

    /// Lays the variables of the environment over the file.
    pub(super) fn apply_environment(&mut self, environment: &Environment, problems: &mut Vec<Problem>) {
        for setting in SETTINGS {
            let name = setting.variable();
            let Some(text) = environment.get(&name) else { continue };
            let read = match text.to_str() {
                Some(text) => setting.read_variable(text),
                None => Err(Wrong::new("is not valid UTF-8", "")),
            };
            self.take(setting.key, read, Origin::Environment(name), problems);
        }
    }

    /// Lays the flags over everything.
    pub(super) fn apply_flags(&mut self, overrides: &[Override], problems: &mut Vec<Problem>) {
        for Override { key, flag, texts } in overrides {
            let origin = Origin::Flag(flag.clone());
            match setting::find(key) {
                Some(setting) if setting.kind == Kind::Secret => {
                    let hint =
                        format!("write it into the file, into {}, or into a file of its own", setting.variable());
                    let wrong = Wrong::new("a secret on the command line can be seen by all users", hint);
                    self.take(key, Err(wrong), origin, problems);
                }
                Some(setting) => self.take(key, setting.read_flags(texts), origin, problems),
                None => {
                    problems.push(Wrong::new("there is no such setting", setting::instead_of(key)).at(origin, key));
                }
            }
        }
    }

    fn take(&mut self, key: &str, read: Result<Value, Wrong>, origin: Origin, problems: &mut Vec<Problem>) {
        match read {
            Ok(value) => self.set(key, value, origin),
            Err(wrong) => {
                self.spoil(key);
                problems.push(wrong.at(origin, key));
            }
        }
    }

    /// The value of a full key, with its origin; for a key of a family only if it was given.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Where the value of a key comes from, or where the table of one of a family begins.
    pub fn origin(&self, key: &str) -> Origin {
        let of_table = || self.tables.get(key).cloned().unwrap_or(Origin::Default);
        self.entry(key).map_or_else(of_table, |entry| entry.origin.clone())
    }

    /// All keys with their values, in the order of the table, then those of families.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let general = SETTINGS.iter().filter_map(|setting| self.entries.get_key_value(setting.key));
        let of_families = self.entries.iter().filter(|(key, _)| setting::split_key(key).is_some());
        general.chain(of_families).map(|(key, entry)| (key.as_str(), entry))
    }

    /// The names of those of a family that have a table, or that something is said of.
    pub(super) fn named(&self, family: &setting::Family) -> BTreeSet<&str> {
        let said = self.entries.keys().filter_map(|key| setting::split_key(key));
        let said = said.filter(|(of, ..)| of.table == family.table).map(|(_, name, _)| name);
        let tables = self.tables.keys().filter_map(|table| table.strip_prefix(family.table)?.strip_prefix('.'));
        said.chain(tables).collect()
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn secret(&self, key: &str) -> Option<&Secret> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    pub(super) fn list(&self, key: &str) -> Option<&[String]> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::List(items)) => Some(items),
            _ => None,
        }
    }

    /// A number that has a default. The table gives each its bounds, so that it fits where it is kept.
    pub(super) fn number<N: TryFrom<u64> + Default>(&self, key: &str) -> N {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Integer(number)) => N::try_from(*number).unwrap_or_default(),
            _ => N::default(),
        }
    }

    /// A span of time that has a default.
    pub(super) fn span(&self, key: &str) -> Duration {
        self.span_if_set(key).unwrap_or_default()
    }

    pub(super) fn span_if_set(&self, key: &str) -> Option<Duration> {
        match self.entry(key).map(|entry| &entry.value) {
            Some(Value::Duration(span)) => Some(*span),
            _ => None,
        }
    }

    pub(super) fn is_on(&self, key: &str) -> bool {
        matches!(self.entry(key).map(|entry| &entry.value), Some(Value::Bool(true)))
    }
}
