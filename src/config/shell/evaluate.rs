//! Statements → values, in the order of the file.

use std::collections::BTreeMap;

use super::text::{Position, Text};
use super::tree::{Assign, Assigned as Written, Form, Item, Parameter, Part, Statement, Traits, Word};
use super::{Assigned, Assignments, Refusal, Surroundings, Value, arithmetic};

/// What zsh sets by itself, and what is therefore not what the environment says, or not the same in each run.
const OF_THE_SHELL: [&str; 24] = [
    "HOST",
    "UID",
    "EUID",
    "GID",
    "EGID",
    "USERNAME",
    "RANDOM",
    "SECONDS",
    "LINENO",
    "PPID",
    "CPUTYPE",
    "MACHTYPE",
    "OSTYPE",
    "VENDOR",
    "SHLVL",
    "TTY",
    "ARGC",
    "argv",
    "status",
    "pipestatus",
    "EPOCHSECONDS",
    "EPOCHREALTIME",
    "IFS",
    "_",
];

/// Characters that make a pattern of a bare item of a list, which zsh replaces by the files that it matches.
const PATTERN: &[char] = &['*', '?', '[', ']', '{', '^', '#', '~'];

/// Characters of a bare value that look like a regular expression.
const EXPRESSION: &[char] = &['*', '?', '[', ']', '{', '}', '^', '+', '$'];

pub(super) fn evaluate(
    text: &Text,
    statements: &[Statement],
    surroundings: &Surroundings<'_>,
) -> Result<Assignments, Vec<Refusal>> {
    let mut evaluator =
        Evaluator { text, surroundings, read: Assignments::default(), readonly: BTreeMap::new(), refusals: Vec::new() };
    evaluator.oddities();
    for statement in statements {
        match statement {
            Statement::Assign(assign) => {
                if let Err(refusal) = evaluator.assign(assign) {
                    evaluator.refusals.push(refusal);
                }
            }
            Statement::Declare { name, traits, at } => evaluator.declare(name, *traits, *at),
            Statement::Unset { name } => {
                evaluator.read.names.remove(name);
            }
            Statement::Refused(refusal) => evaluator.refusals.push(refusal.clone()),
        }
    }
    let Evaluator { read, mut refusals, .. } = evaluator;
    refusals.sort_by_key(|refusal| refusal.at);
    if refusals.is_empty() { Ok(read) } else { Err(refusals) }
}

struct Evaluator<'a> {
    text: &'a Text,
    surroundings: &'a Surroundings<'a>,
    read: Assignments,
    /// Names that may not change any more, with the line that said so.
    readonly: BTreeMap<String, usize>,
    refusals: Vec<Refusal>,
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

    fn declare(&mut self, name: &str, traits: Traits, at: usize) {
        if traits.readonly {
            self.readonly.insert(name.to_string(), self.text.position(at).line);
        }
        if let Some(assigned) = self.read.names.get_mut(name) {
            assigned.exported |= traits.exported;
            if traits.association && !matches!(assigned.value, Value::Association(_)) {
                assigned.value = Value::Association(BTreeMap::new());
            }
            return;
        }
        // `export NAME` alone passes on what the environment has.
        let before = self.value_before(name);
        let value = match before {
            _ if traits.association => Value::Association(BTreeMap::new()),
            _ if traits.array => Value::Array(Vec::new()),
            Some(_) => return,
            None if traits.exported => return,
            None => Value::Scalar(String::new()),
        };
        let at = self.text.position(at);
        let exported = traits.exported;
        self.read.names.insert(name.to_string(), Assigned { value, at, name_at: at, bare_pattern: false, exported });
    }

    fn assign(&mut self, assign: &Assign) -> Evaluated<()> {
        let Assign { name, key, adds, value, traits, at } = assign;
        if let Some(line) = self.readonly.get(name) {
            let what = format!("{name} was made read-only on line {line}");
            return Err(self.refuse(*at, what, "assign it once, or leave out `readonly`"));
        }
        let known = self.current(name);
        let is_association = traits.association
            || self.surroundings.associations.contains(&name.as_str())
            || matches!(known, Some(Value::Association(_)));
        let (found, value_at, bare_pattern) = match value {
            Written::Word(word) => (Found::One(self.scalar(word)?), word.at, is_expression(word)),
            Written::Items(items) => (self.items(name, items, is_association)?, *at, false),
        };
        let value = match (key, found) {
            (Some(key), Found::One(_)) if !is_association => {
                let what = format!("{name}[{}] is a part of a list", plain(key));
                return Err(self.refuse(*at, what, format!("write the whole list: {name}=(one two)")));
            }
            (Some(_), _) if *adds => {
                return Err(self.refuse(
                    *at,
                    "`NAME[key]+=value` is not read",
                    "write NAME[key]=value, with the whole value",
                ));
            }
            (Some(key), Found::One(text)) => {
                let mut pairs = pairs_of(known);
                pairs.insert(self.scalar(key)?, text);
                Value::Association(pairs)
            }
            (None, Found::One(text)) if is_association && text.is_empty() && !adds => {
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
            (_, Found::Many(new)) => {
                let mut items = if *adds { items_of(known) } else { Vec::new() };
                items.extend(new);
                Value::Array(items)
            }
            (None, Found::One(text)) if *adds => match known {
                Some(Value::Array(mut items)) => {
                    items.push(text);
                    Value::Array(items)
                }
                Some(Value::Scalar(before)) => Value::Scalar(before + &text),
                _ => Value::Scalar(text),
            },
            (None, Found::One(text)) if traits.array => Value::Array(vec![text]),
            (None, Found::One(text)) => {
                if traits.integer && (text.parse::<i64>().is_err() || text.len() > 1 && text.starts_with('0')) {
                    let what = format!("the value of {name} is no plain whole number, as `-i` has it");
                    return Err(self.refuse(value_at, what, "write the number, or NAME=$((…))"));
                }
                Value::Scalar(text)
            }
        };
        if traits.readonly {
            self.readonly.insert(name.clone(), self.text.position(*at).line);
        }
        let before = self.read.names.get(name);
        let exported = traits.exported || before.is_some_and(|before| before.exported);
        let bare_pattern = bare_pattern || *adds && before.is_some_and(|before| before.bare_pattern);
        let (at, name_at) = (self.text.position(value_at), self.text.position(*at));
        self.read.names.insert(name.clone(), Assigned { value, at, name_at, bare_pattern, exported });
        Ok(())
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

    /// A word as one text, as the value of a plain assignment.
    fn scalar(&mut self, word: &Word) -> Evaluated<String> {
        let mut text = String::new();
        for (index, part) in word.parts.iter().enumerate() {
            match part {
                Part::Bare { text: bare, at } => {
                    if index == 0 && bare.starts_with('=') {
                        let what = "a value that begins with a bare `=` stands for the path of a program";
                        return Err(self.refuse(*at, what, "put the value in single quotes"));
                    }
                    let starts = |at: usize| at == 0 && index == 0 || at > 0 && bare[..at].ends_with(':');
                    text.push_str(&self.homes(bare, *at, &starts, index + 1 == word.parts.len())?);
                }
                Part::Parameter(parameter) => match self.parameter(parameter)? {
                    Expanded::One(value) => text.push_str(&value),
                    Expanded::Many(values) => text.push_str(&values.join(" ")),
                },
                other => text.push_str(&self.plain_part(other)?),
            }
        }
        Ok(text)
    }

    /// A word as the items of a list that it stands for.
    fn fields(&mut self, word: &Word) -> Evaluated<Vec<String>> {
        let mut done = Vec::new();
        let mut open = String::new();
        // A word that is empty vanishes, if nothing of it is quoted.
        let mut stays = false;
        for (index, part) in word.parts.iter().enumerate() {
            match part {
                Part::Bare { text, at } => {
                    if text.starts_with('=') && index == 0 {
                        let what = "an item that begins with a bare `=` stands for the path of a program";
                        return Err(self.refuse(*at, what, "put the item in single quotes"));
                    }
                    let starts = |at: usize| at == 0 && index == 0;
                    let home = self.homes(text, *at, &starts, index + 1 == word.parts.len())?;
                    let rest = if index == 0 { text.strip_prefix('~').unwrap_or(text) } else { text };
                    if let Some(sign) = rest.find(PATTERN).and_then(|at| rest[at..].chars().next()) {
                        let what = format!("an item has a bare `{sign}`, which zsh may replace by the names of files");
                        return Err(self.refuse(*at, what, "put the item in single quotes"));
                    }
                    open.push_str(&home);
                }
                Part::Parameter(parameter) => {
                    let each = matches!(parameter.form, Form::Each);
                    match self.parameter(parameter)? {
                        Expanded::One(value) => {
                            open.push_str(&value);
                            stays |= parameter.quoted;
                        }
                        Expanded::Many(values) if parameter.quoted && !each => {
                            open.push_str(&values.join(" "));
                            stays = true;
                        }
                        Expanded::Many(values) => {
                            let kept: Vec<_> =
                                values.into_iter().filter(|value| parameter.quoted || !value.is_empty()).collect();
                            stays |= parameter.quoted && !kept.is_empty();
                            for (index, value) in kept.into_iter().enumerate() {
                                if index > 0 {
                                    done.push(std::mem::take(&mut open));
                                }
                                open.push_str(&value);
                            }
                        }
                    }
                }
                // The quotes around `"$@"`-like parts do not make an item by themselves.
                Part::Quoted(text) if text.is_empty() && has_each(word) => {}
                other => {
                    open.push_str(&self.plain_part(other)?);
                    stays = true;
                }
            }
        }
        if stays || !open.is_empty() {
            done.push(open);
        }
        Ok(done)
    }

    fn plain_part(&mut self, part: &Part) -> Evaluated<String> {
        match part {
            Part::Bare { text, .. } | Part::Quoted(text) => Ok(text.clone()),
            Part::Escaped(c) => Ok(c.to_string()),
            Part::Refused(refusal) => Err(refusal.clone()),
            Part::Arithmetic { text, at } => {
                let number = arithmetic::evaluate(text, &mut |name| match self.lookup(name, *at) {
                    Ok(Some(Value::Scalar(text))) => Ok(text),
                    Ok(Some(_)) => Err(format!("{name} is no number")),
                    Ok(None) => Err(format!("{name} is not set")),
                    Err(refusal) => Err(refusal.what),
                });
                let why = |why| self.refuse(*at, format!("`$(({text}))`: {why}"), "write the number out");
                number.map(|number| number.to_string()).map_err(why)
            }
            Part::Parameter(parameter) => Ok(match self.parameter(parameter)? {
                Expanded::One(value) => value,
                Expanded::Many(values) => values.join(" "),
            }),
        }
    }

    fn parameter(&mut self, parameter: &Parameter) -> Evaluated<Expanded> {
        let Parameter { name, form, quoted, at } = parameter;
        let value = self.lookup(name, *at)?;
        if let Form::Default { word, or_empty } = form {
            let is_said = match &value {
                None => false,
                Some(Value::Scalar(text)) => !or_empty || !text.is_empty(),
                Some(Value::Array(items)) => !or_empty || !items.is_empty(),
                Some(Value::Association(pairs)) => !or_empty || !pairs.is_empty(),
            };
            if !is_said {
                return Ok(Expanded::One(self.scalar(word)?));
            }
        }
        match value {
            Some(Value::Scalar(text)) => Ok(Expanded::One(text)),
            Some(Value::Array(items)) if *quoted && matches!(form, Form::Joined) => Ok(Expanded::One(items.join(" "))),
            Some(Value::Array(items)) => Ok(Expanded::Many(items)),
            Some(Value::Association(_)) => {
                let what = format!("${name} has the values of an association, in no certain order");
                Err(self.refuse(*at, what, "write the values out"))
            }
            None if name == "mdir" => {
                let what = "`$mdir` outside of single quotes is empty when the file is read";
                Err(self.refuse(*at, what, "put it in single quotes: 'fullfiletimelist-$mdir'"))
            }
            None => {
                let what =
                    format!("{name} is not set, in the file before or in the environment: it is read as nothing");
                self.warn(self.text.position(*at), what, "set it, or write the value out");
                Ok(Expanded::Many(Vec::new()))
            }
        }
    }

    fn lookup(&mut self, name: &str, at: usize) -> Evaluated<Option<Value>> {
        self.read.used.insert(name.to_string());
        if OF_THE_SHELL.contains(&name) && !self.read.names.contains_key(name) {
            let what = format!("zsh sets ${name} itself");
            return Err(self.refuse(at, what, "write the value out"));
        }
        Ok(self.current(name))
    }

    fn current(&self, name: &str) -> Option<Value> {
        self.read.names.get(name).map(|assigned| assigned.value.clone()).or_else(|| self.value_before(name))
    }

    fn value_before(&self, name: &str) -> Option<Value> {
        let Surroundings { environment, before, .. } = self.surroundings;
        before.get(name).cloned().or_else(|| environment(name).map(Value::Scalar))
    }

    /// Bare text with `~` replaced where `starts` says that a path starts.
    fn homes(&mut self, bare: &str, at: usize, starts: &dyn Fn(usize) -> bool, is_last: bool) -> Evaluated<String> {
        let mut text = String::new();
        for (index, c) in bare.char_indices() {
            if c != '~' || !starts(index) {
                text.push(c);
                continue;
            }
            let rest = &bare[index + 1..];
            if !(rest.starts_with(['/', ':']) || rest.is_empty() && is_last) {
                let what = "only the `~` of one's own home is read";
                return Err(self.refuse(
                    at + bare[..index].chars().count(),
                    what,
                    "write the path out, or quote the `~`",
                ));
            }
            match self.current("HOME") {
                Some(Value::Scalar(home)) if !home.is_empty() => text.push_str(&home),
                _ => return Err(self.refuse(at, "HOME is not set: `~` is not known", "write the path out")),
            }
        }
        Ok(text)
    }
}

/// What stands on the right of an assignment.
enum Found {
    One(String),
    Many(Vec<String>),
    Pairs(BTreeMap<String, String>),
}

/// What a parameter stands for.
enum Expanded {
    One(String),
    Many(Vec<String>),
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

fn has_each(word: &Word) -> bool {
    word.parts.iter().any(|part| matches!(part, Part::Parameter(Parameter { form: Form::Each, quoted: true, .. })))
}

/// Whether a value looks like an expression that lost, or nearly lost, something to the shell.
fn is_expression(word: &Word) -> bool {
    word.parts.iter().any(|part| match part {
        Part::Bare { text, .. } => text.contains(EXPRESSION),
        Part::Escaped(c) => *c != '\'',
        _ => false,
    })
}

/// The characters of a key, for a message.
fn plain(word: &Word) -> String {
    let text = |part: &Part| match part {
        Part::Bare { text, .. } | Part::Quoted(text) => text.clone(),
        _ => "…".to_string(),
    };
    word.parts.iter().map(text).collect()
}
