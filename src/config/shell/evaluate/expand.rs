//! Words → texts.

use super::super::syntax::{Form, Parameter, Part, Word};
use super::super::{Value, arithmetic};
use super::{Evaluated, Evaluator};

/// Characters that make a pattern of a bare item of a list, which zsh replaces by the files that it matches, or that it does not take.
const PATTERN: &[char] = &['*', '?', '[', ']', '{', '}', '^', '#', '~', '(', ')', '|', '<', '>'];

/// What a parameter stands for.
enum Expanded {
    One(String),
    Many(Vec<String>),
    /// What stands behind `:-`.
    Word(Word),
}

impl Evaluator<'_> {
    /// A word as one text, as the value of a plain assignment.
    pub(super) fn scalar(&mut self, word: &Word) -> Evaluated<String> {
        self.no_directory(word)?;
        let mut text = String::new();
        for (index, part) in word.parts.iter().enumerate() {
            match part {
                Part::Bare { text: bare, at } => {
                    let is_last = index + 1 == word.parts.len();
                    text = self.bare(text, bare, *at, index == 0, is_last)?;
                }
                Part::Parameter(parameter) => match self.parameter(parameter)? {
                    Expanded::One(value) => text.push_str(&value),
                    Expanded::Many(values) => text.push_str(&values.join(" ")),
                    Expanded::Word(word) => text.push_str(&self.scalar(&word)?),
                },
                other => text.push_str(&self.plain(other)?),
            }
        }
        Ok(text)
    }

    /// A word as the items of a list that it stands for.
    pub(super) fn fields(&mut self, word: &Word) -> Evaluated<Vec<String>> {
        self.no_directory(word)?;
        let mut done = Vec::new();
        let mut open = String::new();
        // A word that is empty vanishes, if nothing of it is quoted.
        let mut stays = false;
        for (index, part) in word.parts.iter().enumerate() {
            match part {
                Part::Bare { text, at } => {
                    let is_last = index + 1 == word.parts.len();
                    open = self.bare(open, text, *at, index == 0, is_last)?;
                    let rest = if index == 0 { text.strip_prefix('~').unwrap_or(text) } else { text };
                    if let Some(sign) = rest.replace(":~", ":").chars().find(|c| PATTERN.contains(c)) {
                        let what = format!("an item has a bare `{sign}`, which zsh may replace by the names of files");
                        return Err(self.refuse(*at, what, "put the item in single quotes"));
                    }
                }
                Part::Parameter(parameter) => {
                    let each = matches!(parameter.form, Form::Each);
                    let (values, is_whole) = match self.parameter(parameter)? {
                        Expanded::One(value) => (vec![value], parameter.quoted),
                        Expanded::Many(values) if parameter.quoted && !each => (vec![values.join(" ")], true),
                        Expanded::Many(values) => (values, parameter.quoted),
                        Expanded::Word(word) => (self.fields(&word)?, true),
                    };
                    for (index, value) in values.into_iter().enumerate() {
                        if index > 0 {
                            let item = std::mem::take(&mut open);
                            done.extend(Some(item).filter(|item| stays || !item.is_empty()));
                            stays = false;
                        }
                        open.push_str(&value);
                        stays |= is_whole;
                    }
                }
                // The quotes around `"${NAME[@]}"` do not make an item by themselves.
                Part::Quoted(text) if text.is_empty() && has_each(word) => {}
                other => {
                    open.push_str(&self.plain(other)?);
                    stays = true;
                }
            }
        }
        if stays || !open.is_empty() {
            done.push(open);
        }
        Ok(done)
    }

    fn plain(&mut self, part: &Part) -> Evaluated<String> {
        match part {
            Part::Bare { text, .. } | Part::Quoted(text) => Ok(text.clone()),
            Part::Escaped(c) => Ok(c.to_string()),
            Part::Arithmetic { text, at } => self.arithmetic(text, *at),
            Part::Parameter(Parameter { name, .. }) => Ok(format!("${name}")),
        }
    }

    pub(super) fn arithmetic(&mut self, text: &str, at: usize) -> Evaluated<String> {
        let number = arithmetic::evaluate(text, &mut |name| match self.lookup(name, at) {
            Ok(Some(Value::Scalar(text))) => Ok(text),
            Ok(Some(_)) => Err(format!("{name} is no number")),
            Ok(None) => Err(format!("{name} is not set")),
            Err(refusal) => Err(refusal.what),
        });
        let why = |why| self.refuse(at, format!("`$(({text}))`: {why}"), "write the number out");
        number.map(|number| number.to_string()).map_err(why)
    }

    fn parameter(&mut self, parameter: &Parameter) -> Evaluated<Expanded> {
        let Parameter { name, form, quoted, at } = parameter;
        if let Form::Default { word, or_empty } = form {
            let known = self.lacks.len();
            let is_said = match self.lookup(name, *at)? {
                None => false,
                Some(Value::Scalar(text)) => !or_empty || !text.is_empty(),
                Some(Value::Array(items)) => !or_empty || !items.is_empty(),
                Some(Value::Association(pairs)) => !or_empty || !pairs.is_empty(),
            };
            if !is_said {
                self.lacks.truncate(known);
                return Ok(Expanded::Word(word.clone()));
            }
            self.lacks.truncate(known);
        }
        match self.lookup(name, *at)? {
            Some(Value::Scalar(text)) => Ok(Expanded::One(text)),
            Some(Value::Array(items)) if *quoted && matches!(form, Form::Joined) => Ok(Expanded::One(items.join(" "))),
            Some(Value::Array(items)) => Ok(Expanded::Many(items)),
            Some(Value::Association(_)) => {
                let what = format!("${name} has the values of an association, in no certain order");
                Err(self.refuse(*at, what, "write the values out"))
            }
            None => {
                let what =
                    format!("{name} is not set, in the file before or in the environment: it is read as nothing");
                let hint = format!("set it, write the value out, or ${{{name}:-}} if it may be empty");
                self.warn(self.text.position(*at), what, hint);
                Ok(Expanded::One(String::new()))
            }
        }
    }

    /// Refuses `$mdir` where it would be replaced now, by nothing.
    fn no_directory(&mut self, word: &Word) -> Evaluated<()> {
        let parameters = word.parts.iter().filter_map(|part| match part {
            Part::Parameter(parameter) => Some(parameter),
            _ => None,
        });
        for Parameter { name, form, at, .. } in parameters {
            if name == "mdir" && matches!(form, Form::Plain) && self.current(name).is_none() {
                let written = self.source(word).replace("${mdir}", "$mdir").replace(['"', '\''], "");
                let what = "`$mdir` outside of single quotes is empty when the file is read";
                return Err(self.refuse(*at, what, format!("put it in single quotes: '{written}'")));
            }
        }
        Ok(())
    }

    /// Appends bare text, with `~` replaced where a path starts: at the beginning of a word and behind a colon.
    fn bare(&mut self, before: String, bare: &str, at: usize, is_first: bool, is_last: bool) -> Evaluated<String> {
        // Quotes and parameters before it vanish too late for zsh to see whether a word starts here.
        let is_doubtful = !is_first && (before.is_empty() || before.ends_with(':'));
        let mut text = before;
        for (index, c) in bare.char_indices() {
            let starts = index == 0 && (is_first || is_doubtful) || bare[..index].ends_with(':');
            if !starts || !matches!(c, '~' | '=') {
                text.push(c);
                continue;
            }
            let at = at + bare[..index].chars().count();
            if c == '=' {
                let what = "what begins with a bare `=` stands for the path of a program";
                return Err(self.refuse(at, what, "put it in single quotes"));
            }
            let rest = &bare[index + 1..];
            if index == 0 && is_doubtful || !(rest.starts_with(['/', ':']) || rest.is_empty() && is_last) {
                let what = "of `~` only that of one's own home is read, at the beginning of a path";
                return Err(self.refuse(at, what, "write the path out, or quote the `~`"));
            }
            match self.current("HOME") {
                Some(Value::Scalar(home)) if !home.is_empty() => text.push_str(&home),
                _ => return Err(self.refuse(at, "HOME is not set: `~` is not known", "write the path out")),
            }
        }
        Ok(text)
    }
}

fn has_each(word: &Word) -> bool {
    word.parts.iter().any(|part| matches!(part, Part::Parameter(Parameter { form: Form::Each, quoted: true, .. })))
}
