//! Assignments of a shell, read and never run.
//!
//! The configuration of quick-fedora-mirror is a file that zsh sources. What such files really contain is read here, with
//! the meaning that zsh gives it: unquoted parameters are not split into words, those that are empty vanish from arrays, `+=`
//! appends. All else is refused with its place and what to write instead, because a guess may delete a mirror.
//!
//! Bytes → [`text`] → [`parse`] → [`evaluate`] → [`Assignments`]. Nothing here knows what a name means.

mod arithmetic;
mod evaluate;
mod parse;
mod special;
mod syntax;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

pub use text::Position;

/// The value of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One text.
    Scalar(String),
    /// Texts in order.
    Array(Vec<String>),
    /// Keys with their values.
    Association(BTreeMap<String, String>),
}

/// What holds of a name at the end of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Its value.
    pub value: Value,
    /// Where its value stands: that of the last assignment.
    pub at: Position,
    /// Where the name stands.
    pub name_at: Position,
    /// It stands bare, with characters that a pattern has.
    pub bare_pattern: bool,
    /// It goes to the programs that are called.
    pub exported: bool,
    /// The names without a value that it was built of, with the places where they stand.
    pub lacks: Vec<(String, Position)>,
}

/// All names that a file gives a value, and what is odd about it.
#[derive(Clone, Debug, Default)]
pub struct Assignments {
    /// The names with their values.
    pub names: BTreeMap<String, Assigned>,
    /// The names whose values are used by others.
    pub used: BTreeSet<String>,
    /// The names that were unset, with their places.
    pub unset: BTreeMap<String, Position>,
    /// What is allowed and probably a mistake, in the order of the file.
    pub warnings: Vec<Refusal>,
}

/// What is not read, or odd: where it stands, what it is, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it begins.
    pub at: Position,
    /// What it is, with the text; no full stop.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

/// What a file may build upon.
pub struct Surroundings<'a> {
    /// The environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// What has a value before the file is read.
    pub before: &'a BTreeMap<String, Value>,
    /// Names that are associations without being declared.
    pub associations: &'a [&'a str],
}

/// Reads a file. What is refused is refused all at once, as far as it can be told.
pub fn read(bytes: &[u8], surroundings: &Surroundings<'_>) -> Result<Assignments, Vec<Refusal>> {
    let text = text::Text::new(bytes);
    let (statements, refusals) = parse::parse(&text);
    evaluate::evaluate(&text, &statements, refusals, surroundings)
}

impl Value {
    /// As JSON: a string, an array of strings, or an object.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Scalar(text) => text.as_str().into(),
            Value::Array(items) => items.as_slice().into(),
            Value::Association(pairs) => {
                pairs.iter().map(|(key, value)| (key.clone(), serde_json::Value::from(value.as_str()))).collect()
            }
        }
    }
}
