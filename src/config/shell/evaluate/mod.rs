//! Statements → values, in the order of the file.

mod expand;

use std::collections::{BTreeMap, BTreeSet};

use super::syntax::{Assign, Assigned as Written, Item, Part, Statement, Traits, Word};
use super::text::{Position, Text};
use super::{Assigned, Assignments, Refusal, Surroundings, Value, special};

/// Characters of a bare value that look like a regular expression.
const EXPRESSION: &[char] = &['*', '?', '[', ']', '{', '}', '^', '+', '$'];

/// The values, or all that was refused: what the parser found, and what shows only here.
pub(super) fn evaluate(
    text: &Text,
    statements: &[Statement],
    mut refusals: Vec<Refusal>,
    surroundings: &Surroundings<'_>,
) -> Result<Assignments, Vec<Refusal>> {
    let mut evaluator = Evaluator {
        text,
        surroundings,
        read: Assignments::default(),
        readonly: BTreeMap::new(),
        integers: BTreeSet::new(),
        lacks: Vec::new(),
    };
    evaluator.oddities();
    for statement in statements {
        let (name, done) = match statement {
            Statement::Assign(assign) => (&assign.name, evaluator.assign(assign)),
            Statement::Declare { name, traits, at } => (name, evaluator.declare(name, *traits, *at)),
            Statement::Unset { name, at } => (name, evaluator.unset(name, *at)),
            Statement::Spoilt { name, at } => {
                evaluator.spoil(name, *at);
                continue;
            }
        };
        if let Err(refusal) = done {
            evaluator.spoil(name, 0);
            refusals.push(refusal);
        }
    }
    refusals.sort_by_key(|refusal| refusal.at);
    if refusals.is_empty() { Ok(evaluator.read) } else { Err(refusals) }
}

struct Evaluator<'a> {
    text: &'a Text,
    surroundings: &'a Surroundings<'a>,
    read: Assignments,
    /// Names that may not change any more, with the line that said so.
    readonly: BTreeMap<String, usize>,
    /// Names whose values are reckoned.
    integers: BTreeSet<String>,
    /// The names without a value that what is being read is built of.
    lacks: Vec<(String, Position)>,
}

type Evaluated<T> = Result<T, Refusal>;

impl Evaluator<'_> {
    fn refuse(&self, at: usize, what: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal { at: self.text.position(at), what: what.into(), hint: hint.into() }
    }

    fn warn(&mut self, at: Position, what: impl Into<String>, hint: impl Into<String>) {
        self.read.warnings.push(Refusal { at, what: what.into(), hint: hint.into() });
    }

    /// What an editor left behind.
    fn oddities(&mut self) {
        let start = Position { line: 1, column: 1 };
        if self.text.has_bom {
            self.warn(
                start,
                "the file begins with a byte order mark",
                "save it as UTF-8 without it; it is passed over",
            );
        }
        if let Some(line) = self.text.first_crlf {
            let at = Position { line, column: 1 };
            self.warn(
                at,
                "the lines end as on Windows (CR LF)",
                "save the file with Unix line ends; the CR is passed over",
            );
        }
    }

    /// Gives a name that was refused some value, so that what is built of it is not refused too.
    fn spoil(&mut self, name: &str, at: usize) {
        let at = self.text.position(at);
        self.read.unset.remove(name);
        let value = match self.is_association(name) {
            true => Value::Association(BTreeMap::new()),
            false => Value::Scalar(String::new()),
        };
        self.read.names.entry(name.to_string()).or_insert(Assigned {
            value,
            at,
            name_at: at,
            bare_pattern: false,
            exported: false,
            lacks: Vec::new(),
        });
    }

    fn unset(&mut self, name: &str, at: usize) -> Evaluated<()> {
        self.may_change(name, at)?;
        self.read.names.remove(name);
        self.integers.remove(name);
        self.read.unset.insert(name.to_string(), self.text.position(at));
        Ok(())
    }

    /// Whether a name may be given another value.
    fn may_change(&self, name: &str, at: usize) -> Evaluated<()> {
        if let Some(line) = self.readonly.get(name) {
            let what = format!("{name} was made read-only on line {line}");
            return Err(self.refuse(at, what, "assign it once, or leave out `readonly`"));
        }
        if special::is_kept(name) {
            let what = format!("zsh has a meaning of its own for the name {name}");
            return Err(self.refuse(at, what, format!("take another name, such as my_{}", name.to_lowercase())));
        }
        Ok(())
    }

    fn declare(&mut self, name: &str, traits: Traits, at: usize) -> Evaluated<()> {
        self.may_change(name, at)?;
        let known = self.current(name);
        let known_before = known.clone();
        let value = match known {
            Some(value @ Value::Association(_)) if traits.association || !(traits.array || traits.integer) => value,
            _ if self.is_association(name) && (traits.array || traits.integer) => {
                return Err(self.refuse(at, format!("{name} takes pairs"), format!("write typeset -A {name}")));
            }
            _ if traits.association => Value::Association(BTreeMap::new()),
            Some(value @ Value::Array(_)) if !traits.integer => value,
            _ if traits.array => Value::Array(Vec::new()),
            Some(Value::Scalar(text)) if traits.integer => Value::Scalar(self.reckon(name, &text, at)?),
            Some(value @ Value::Scalar(_)) => value,
            _ if traits.integer => Value::Scalar("0".to_string()),
            _ => Value::Scalar(String::new()),
        };
        if traits.integer {
            self.integers.insert(name.to_string());
        } else if traits.association || traits.array {
            self.integers.remove(name);
        }
        if traits.readonly {
            self.readonly.insert(name.to_string(), self.text.position(at).line);
        }
        self.read.unset.remove(name);
        let at = self.text.position(at);
        let is_as_before = known_before == Some(value.clone());
        match self.read.names.get_mut(name) {
            Some(assigned) => {
                assigned.exported |= traits.exported;
                assigned.value = value;
            }
            // `export NAME` alone passes on what was there before the file.
            None if is_as_before => {}
            None => {
                let exported = traits.exported;
                let assigned = Assigned { value, at, name_at: at, bare_pattern: false, exported, lacks: Vec::new() };
                self.read.names.insert(name.to_string(), assigned);
            }
        }
        Ok(())
    }

    fn assign(&mut self, assign: &Assign) -> Evaluated<()> {
        let Assign { name, key, adds, value, traits, at } = assign;
        self.may_change(name, *at)?;
        self.lacks.clear();
        let known = self.current(name);
        let is_association = traits.association || self.is_association(name);
        let has_several = traits.association || traits.array || matches!(known, Some(Value::Array(_)));
        if traits.declared && has_several && matches!(value, Written::Word(_)) {
            let what = format!("{name} has several values, and is given one word");
            return Err(self.refuse(*at, what, format!("write {name}=(…)")));
        }
        let (found, value_at, bare_pattern) = match value {
            Written::Word(word) => (Found::One(self.scalar(word)?), word.at, is_expression(word)),
            Written::Items(items) => (self.items(name, items, is_association)?, *at, false),
        };
        let value = match (key, found) {
            (Some(key), Found::One(_)) if !is_association => {
                let what = format!("{name}[{}] is a part of a list", self.source(key));
                return Err(self.refuse(*at, what, format!("write the whole list: {name}=(one two)")));
            }
            (Some(key), Found::One(text)) => {
                let mut pairs = pairs_of(known);
                let entry = pairs.entry(self.key(name, key)?).or_default();
                *entry = if *adds { entry.clone() + &text } else { text };
                Value::Association(pairs)
            }
            (None, Found::One(text)) if !adds && text.is_empty() && self.is_expected_association(name) => {
                Value::Association(BTreeMap::new())
            }
            (None, Found::One(_)) if is_association => {
                let what = format!("{name} takes pairs, and is given one word");
                return Err(self.refuse(value_at, what, format!("write {name}=(key value …)")));
            }
            (_, Found::Pairs(new)) => {
                let mut pairs = if *adds { pairs_of(known) } else { BTreeMap::new() };
                pairs.extend(new);
                Value::Association(pairs)
            }
            (_, Found::Many(_)) if traits.integer => {
                return Err(self.refuse(*at, format!("{name} is a number, and is given a list"), "write the number"));
            }
            (_, Found::Many(new)) => {
                let mut items = if *adds { items_of(known) } else { Vec::new() };
                items.extend(new);
                self.integers.remove(name);
                Value::Array(items)
            }
            (None, Found::One(text)) if *adds && matches!(known, Some(Value::Array(_))) => {
                let mut items = items_of(known);
                items.push(text);
                Value::Array(items)
            }
            (None, Found::One(text)) => {
                let before = match known {
                    Some(Value::Scalar(before)) if *adds => before,
                    _ => String::new(),
                };
                if traits.integer || self.integers.contains(name) {
                    self.integers.insert(name.clone());
                    let sum = if *adds { format!("({}) + ({})", or_zero(&before), or_zero(&text)) } else { text };
                    Value::Scalar(self.reckon(name, &sum, value_at)?)
                } else {
                    Value::Scalar(before + &text)
                }
            }
        };
        if traits.readonly {
            self.readonly.insert(name.clone(), self.text.position(*at).line);
        }
        let before = self.read.names.get(name);
        let exported = traits.exported || before.is_some_and(|before| before.exported);
        let is_kept = *adds || key.is_some();
        let bare_pattern = bare_pattern || is_kept && before.is_some_and(|before| before.bare_pattern);
        let mut lacks = std::mem::take(&mut self.lacks);
        if let Some(before) = before.filter(|_| is_kept) {
            lacks.extend(before.lacks.iter().cloned());
        }
        let (at, name_at) = (self.text.position(value_at), self.text.position(*at));
        self.read.unset.remove(name);
        self.read.names.insert(name.clone(), Assigned { value, at, name_at, bare_pattern, exported, lacks });
        Ok(())
    }

    /// The value of a name that was declared a number.
    fn reckon(&mut self, name: &str, text: &str, at: usize) -> Evaluated<String> {
        // A base that is written stays with the number: `0x10` would come back as `16#10`.
        if text.contains(['x', 'X', '#']) {
            let what = format!("the value of {name} is no plain whole number, as it was declared");
            return Err(self.refuse(at, what, "write the number in decimal, or leave out the declaration"));
        }
        self.arithmetic(or_zero(text), at)
    }

    fn items(&mut self, name: &str, items: &[Item], is_association: bool) -> Evaluated<Found> {
        let keyed = items.iter().filter(|item| item.key.is_some()).count();
        if keyed == 0 {
            let mut texts = Vec::new();
            for item in items {
                texts.extend(self.fields(&item.value)?);
            }
            if !is_association {
                return Ok(Found::Many(texts));
            }
            if texts.len() % 2 == 1 {
                let last = items.last().map_or(0, |item| item.value.at);
                let what = format!("{name} takes pairs, and the last key has no value");
                return Err(self.refuse(last, what, format!("write {name}=(key value key value …)")));
            }
            let pairs = texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            return Ok(Found::Pairs(pairs.collect()));
        }
        if let Some(odd) = items.iter().find(|item| item.key.is_none()) {
            let what = format!("{name} has an item without a key among those with one");
            return Err(self.refuse(odd.value.at, what, "write [key]=value for all, or key value for all"));
        }
        if !is_association {
            let first = items.first().map_or(0, |item| item.value.at);
            let what = format!("{name} is a list, and is given keys");
            return Err(self.refuse(first, what, format!("write {name}=(one two), or typeset -A {name} before")));
        }
        let mut pairs = BTreeMap::new();
        for item in items {
            let key = item.key.as_ref().map(|key| self.scalar(key)).transpose()?.unwrap_or_default();
            pairs.insert(key, self.scalar(&item.value)?);
        }
        Ok(Found::Pairs(pairs))
    }

    /// The key in `NAME[key]=value`, where quotes and backslashes are characters of the key.
    fn key(&mut self, name: &str, key: &Word) -> Evaluated<String> {
        let is_plain = |part: &Part| match part {
            Part::Bare { text, .. } => text.chars().all(|c| c.is_alphanumeric() || "-_./".contains(c)),
            Part::Parameter(_) => true,
            _ => false,
        };
        if key.parts.is_empty() || !key.parts.iter().all(is_plain) {
            let shown = self.source(key);
            let what = format!("the key `{shown}` has characters that zsh takes in another way there");
            let bare = shown.trim_matches(['"', '\'']);
            return Err(self.refuse(key.at, what, format!("write {name}+=('{bare}' value)")));
        }
        self.scalar(key)
    }

    /// A word as it stands.
    fn source(&self, word: &Word) -> String {
        self.text.between(word.at, word.end)
    }

    fn is_expected_association(&self, name: &str) -> bool {
        self.surroundings.associations.contains(&name)
    }

    fn is_association(&self, name: &str) -> bool {
        self.is_expected_association(name) || matches!(self.current(name), Some(Value::Association(_)))
    }

    /// The value of a name that is made use of.
    fn lookup(&mut self, name: &str, at: usize) -> Evaluated<Option<Value>> {
        self.read.used.insert(name.to_string());
        let value = self.current(name);
        if !self.read.names.contains_key(name) && special::is_set(name, value.is_some()) {
            let what = format!("zsh sets ${name} itself");
            return Err(self.refuse(at, what, "write the value out"));
        }
        match self.read.names.get(name) {
            Some(assigned) => self.lacks.extend(assigned.lacks.iter().cloned()),
            None if value.is_none() => self.lacks.push((name.to_string(), self.text.position(at))),
            None => {}
        }
        Ok(value)
    }

    fn current(&self, name: &str) -> Option<Value> {
        match self.read.names.get(name) {
            Some(assigned) => Some(assigned.value.clone()),
            None if self.read.unset.contains_key(name) => None,
            None => self.value_before(name),
        }
    }

    fn value_before(&self, name: &str) -> Option<Value> {
        let Surroundings { environment, before, .. } = self.surroundings;
        before.get(name).cloned().or_else(|| environment(name).map(Value::Scalar))
    }
}

/// What stands on the right of an assignment.
enum Found {
    One(String),
    Many(Vec<String>),
    Pairs(BTreeMap<String, String>),
}

fn items_of(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items,
        Some(Value::Scalar(text)) => vec![text],
        _ => Vec::new(),
    }
}

fn pairs_of(value: Option<Value>) -> BTreeMap<String, String> {
    match value {
        Some(Value::Association(pairs)) => pairs,
        _ => BTreeMap::new(),
    }
}

/// Nothing counts as zero.
fn or_zero(text: &str) -> &str {
    if text.trim().is_empty() { "0" } else { text }
}

/// Whether a value looks like an expression that lost, or nearly lost, something to the shell.
fn is_expression(word: &Word) -> bool {
    word.parts.iter().any(|part| match part {
        Part::Bare { text, .. } => text.contains(EXPRESSION),
        Part::Escaped(c) => *c != '\'',
        _ => false,
    })
}
