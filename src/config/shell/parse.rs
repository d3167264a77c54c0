//! Characters → statements. What cannot be read becomes a refusal in its place.

use super::Refusal;
use super::text::{NO_TEXT, Text};
use super::tree::{Assign, Assigned, Form, Item, Parameter, Part, Statement, Traits, Word};

/// Words within words are not nested deeper than this.
const DEEPEST: usize = 16;

/// No more of a text is shown than this.
const SHOWN: usize = 60;

/// What begins a command of several lines; nothing behind it can be told apart from its body.
const COMPOUND: [&str; 15] = [
    "if",
    "then",
    "elif",
    "else",
    "for",
    "while",
    "until",
    "case",
    "select",
    "repeat",
    "foreach",
    "function",
    "time",
    "coproc",
    "nocorrect",
];

/// What declares names.
const DECLARE: [&str; 5] = ["export", "typeset", "declare", "readonly", "local"];

const ONLY_ASSIGNMENTS: &str = "only assignments are read, and nothing is run: write NAME=value for each setting";
const QUOTE: &str = "put the value in single quotes";

pub(super) fn parse(text: &Text) -> Vec<Statement> {
    let mut parser = Parser { text, at: 0, depth: 0, secret: false };
    let mut statements = Vec::new();
    loop {
        match parser.statement(&mut statements) {
            Ok(true) => {}
            Ok(false) => return statements,
            Err(refusal) => {
                // What follows belongs to it, or not: nobody can tell.
                statements.push(Statement::Refused(refusal));
                return statements;
            }
        }
    }
}

struct Parser<'a> {
    text: &'a Text,
    at: usize,
    depth: usize,
    /// What is read may be a password, and is not repeated.
    secret: bool,
}

type Read<T> = Result<T, Refusal>;

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> Option<char> {
        self.text.chars.get(self.at + by).copied()
    }

    fn starts_with(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(by, c)| self.ahead(by) == Some(c))
    }

    fn between(&self, from: usize, to: usize) -> String {
        self.text.chars[from.min(to)..to].iter().collect()
    }

    /// The text from a place on to here, as it is shown.
    fn shown(&self, from: usize) -> String {
        self.shown_to(from, self.at)
    }

    fn shown_to(&self, from: usize, to: usize) -> String {
        if self.secret {
            return "***".to_string();
        }
        let all = self.between(from, to);
        let line = all.lines().next().unwrap_or_default();
        let cut = line.chars().count() > SHOWN || line.len() < all.trim_end().len();
        let mut shown: String = line.chars().take(SHOWN).collect::<String>().trim_end().to_string();
        if cut {
            shown.push('…');
        }
        shown
    }

    /// The text from a place to the end of its line.
    fn shown_line(&self, from: usize) -> String {
        let rest = &self.text.chars[from..];
        self.shown_to(from, from + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()))
    }

    fn refuse(&self, at: usize, what: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal { at: self.text.position(at), what: what.into(), hint: hint.into() }
    }

    /// Blanks, and lines that go on in the next.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\\') if self.ahead(1) == Some('\n') => self.at += 2,
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        if self.peek() == Some('#') {
            while self.peek().is_some_and(|c| c != '\n') {
                self.at += 1;
            }
        }
    }

    /// Blanks, comments and empty lines.
    fn space(&mut self) {
        loop {
            self.blanks();
            self.comment();
            match self.peek() {
                Some('\n') => self.at += 1,
                _ => return,
            }
        }
    }

    /// The name that stands here; empty if none does.
    fn name(&self) -> String {
        let is_part = |(by, c): &(usize, &char)| c.is_ascii_alphabetic() || **c == '_' || *by > 0 && c.is_ascii_digit();
        self.text.chars[self.at..].iter().enumerate().take_while(is_part).map(|(_, c)| *c).collect()
    }

    /// Reads what stands up to the end of a command; `false` at the end of the file.
    fn statement(&mut self, statements: &mut Vec<Statement>) -> Read<bool> {
        loop {
            self.space();
            if self.peek() == Some(';') {
                self.at += 1;
            } else {
                break;
            }
        }
        let start = self.at;
        if self.peek().is_none() {
            return Ok(false);
        }
        let line = self.between(start, self.line_end()).to_ascii_uppercase();
        self.secret = line.contains("PASS");
        let before = statements.len();
        while let Some(assign) = self.assignment(Traits::default())? {
            statements.push(Statement::Assign(assign));
            self.blanks();
            if self.ends_here() {
                self.end(start)?;
                return Ok(true);
            }
        }
        let word_at = self.at;
        let command = self.command_word();
        let rest_of_assignment = statements.len() > before;
        if rest_of_assignment {
            let Some(Statement::Assign(last)) = statements.last() else { return Ok(true) };
            return Err(self.after_assignment(last, word_at));
        }
        if DECLARE.contains(&command.as_str()) {
            self.at += command.len();
            self.declarations(&command, statements)?;
            self.end(start)?;
            return Ok(true);
        }
        if command == "unset" {
            self.at += command.len();
            loop {
                self.blanks();
                let name = self.name();
                if name.is_empty() {
                    break;
                }
                self.at += name.len();
                statements.push(Statement::Unset { name });
            }
            self.end(start)?;
            return Ok(true);
        }
        Err(self.not_an_assignment(&command, start))
    }

    fn line_end(&self) -> usize {
        let rest = &self.text.chars[self.at..];
        self.at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
    }

    /// Whether nothing more of a command stands here; a `#` begins a comment only behind a blank.
    fn ends_here(&self) -> bool {
        match self.peek() {
            None | Some('\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')') => true,
            Some('#') => self.at.checked_sub(1).is_some_and(|before| self.text.chars[before].is_whitespace()),
            Some(_) => false,
        }
    }

    /// Takes the end of a command.
    fn end(&mut self, start: usize) -> Read<()> {
        self.blanks();
        self.comment();
        match self.peek() {
            None => {}
            Some('\n') => self.at += 1,
            Some(';') if self.ahead(1) != Some(';') => self.at += 1,
            Some(c) => {
                let shown = self.shown_line(start);
                let (what, hint) = match c {
                    '&' if self.ahead(1) == Some('&') => {
                        ("goes on with `&&`, a condition", "write one assignment on each line")
                    }
                    '|' if self.ahead(1) == Some('|') => {
                        ("goes on with `||`, a condition", "a default is written NAME=${NAME:-value}")
                    }
                    '|' => ("has a bare `|`, which is a pipe", QUOTE),
                    '&' => ("has a bare `&`", QUOTE),
                    '<' | '>' => ("has a bare `<` or `>`, which redirects", QUOTE),
                    '(' | ')' => ("has a bare parenthesis", QUOTE),
                    _ => ("is more than assignments", ONLY_ASSIGNMENTS),
                };
                return Err(self.refuse(self.at, format!("`{shown}` {what}"), hint));
            }
        }
        Ok(())
    }

    /// The characters of the first word, as they stand.
    fn command_word(&self) -> String {
        let rest = self.text.chars[self.at..].iter();
        rest.take_while(|c| !c.is_whitespace() && !matches!(c, ';' | '&' | '|' | '<' | '>' | '(' | ')'))
            .take(SHOWN)
            .collect()
    }

    fn not_an_assignment(&self, command: &str, start: usize) -> Refusal {
        let shown = self.shown_line(start);
        let behind = self.between(start + command.chars().count(), self.line_end());
        let behind = behind.trim_start();
        let is_name = !command.is_empty() && self.name() == command;
        let (what, hint) = if command.is_empty() && self.starts_with("((") {
            ("is arithmetic", "write NAME=$((…))".to_string())
        } else if command.is_empty() {
            ("begins with a parenthesis or another sign of the shell", ONLY_ASSIGNMENTS.to_string())
        } else if COMPOUND.contains(&command) || command.starts_with("[[") || command == "[" || command == "!" {
            (
                "is a condition, a loop or a function",
                "write the assignments that it would end with; a default is written NAME=${NAME:-value}".to_string(),
            )
        } else if command == "{" || command == "}" {
            ("is a group of commands", ONLY_ASSIGNMENTS.to_string())
        } else if behind.starts_with('(') && is_name {
            ("is a function", "write the assignments that it would make".to_string())
        } else if is_name && (behind.starts_with('=') || behind.starts_with("+=")) {
            let hint = match self.secret {
                true => format!("write {command}=value"),
                false => format!("write {command}{}", tight(behind)),
            };
            ("has blanks around `=`", hint)
        } else if command == "source" || command == "." {
            ("reads another file", "write what that file sets into this one".to_string())
        } else if ["eval", "exec", "exit", "return", "setopt", "unsetopt", "set"].contains(&command) {
            ("is a command of the shell", ONLY_ASSIGNMENTS.to_string())
        } else if command.split_once('=').is_some_and(|(name, _)| name.contains(['-', '.'])) {
            ("has a `-` or `.` in its name", "write `_` instead, as in CHECKIN_HOST_fedora_epel".to_string())
        } else {
            ("is a command", ONLY_ASSIGNMENTS.to_string())
        };
        self.refuse(start, format!("`{shown}` {what}"), hint)
    }

    /// A word behind an assignment.
    fn after_assignment(&self, last: &Assign, word_at: usize) -> Refusal {
        let shown = self.shown_line(last.at);
        let is_empty = matches!(&last.value, Assigned::Word(word) if word.parts.is_empty());
        let word = self.command_word();
        if is_empty {
            let value = if self.secret { "value".to_string() } else { self.between(word_at, self.line_end()) };
            let hint = format!("write {}={}", last.name, value.trim_end());
            return self.refuse(last.at, format!("`{shown}` has a blank after `=`"), hint);
        }
        let what = match self.secret {
            true => "more follows after the value of this line".to_string(),
            false => format!("`{word}` follows after the value of {}", last.name),
        };
        let hint = "a value with blanks stands in quotes; a list is written NAME=(one two)";
        self.refuse(word_at, what, hint)
    }

    /// What stands behind `export` and its like.
    fn declarations(&mut self, command: &str, statements: &mut Vec<Statement>) -> Read<()> {
        let mut traits = Traits { exported: command == "export", readonly: command == "readonly", ..Traits::default() };
        loop {
            self.blanks();
            let at = self.at;
            if self.ends_here() {
                return Ok(());
            }
            if self.starts_with("-") {
                self.at += 1;
                while let Some(letter) = self.peek().filter(|c| !c.is_whitespace() && *c != ';') {
                    match letter {
                        'A' => traits.association = true,
                        'a' => traits.array = true,
                        'x' => traits.exported = true,
                        'r' => traits.readonly = true,
                        'i' => traits.integer = true,
                        'g' | 'h' | 'H' | '-' => {}
                        other => {
                            let what = format!("`{command} -{other}` changes values in a way that is not read");
                            return Err(self.refuse(at, what, "write NAME=value alone"));
                        }
                    }
                    self.at += 1;
                }
                continue;
            }
            if let Some(assign) = self.assignment(traits)? {
                statements.push(Statement::Assign(assign));
                continue;
            }
            let name = self.name();
            self.at += name.len();
            if name.is_empty() || !(self.ends_here() || matches!(self.peek(), Some(' ' | '\t'))) {
                self.at = at;
                let word = self.command_word();
                let shown = if self.secret { "***" } else { &word };
                return Err(self.refuse(at, format!("`{shown}` is no name"), ONLY_ASSIGNMENTS));
            }
            let next = self.at;
            self.blanks();
            if self.peek() == Some('=') || self.starts_with("+=") {
                let behind = self.between(self.at, self.line_end());
                let value = if self.secret { "=value".to_string() } else { tight(&behind) };
                let what = format!("`{}` has blanks around `=`", self.shown_line(at));
                return Err(self.refuse(at, what, format!("write {command} {name}{value}")));
            }
            self.at = next;
            statements.push(Statement::Declare { name, traits, at });
        }
    }

    /// `NAME=value`, `NAME+=value`, `NAME[key]=value`, if that is what stands here.
    fn assignment(&mut self, traits: Traits) -> Read<Option<Assign>> {
        let at = self.at;
        let name = self.name();
        if name.is_empty() {
            return Ok(None);
        }
        self.at += name.len();
        let key = match self.peek() {
            Some('[') => match self.key()? {
                Some(key) => Some(key),
                None => {
                    self.at = at;
                    return Ok(None);
                }
            },
            _ => None,
        };
        let adds = self.starts_with("+=");
        if !adds && self.peek() != Some('=') {
            self.at = at;
            return Ok(None);
        }
        self.at += 1 + usize::from(adds);
        let value = match self.peek() {
            Some('(') if key.is_none() => Assigned::Items(self.items(&name, at)?),
            _ => Assigned::Word(self.word(Ends::Value)?),
        };
        Ok(Some(Assign { name, key, adds, value, traits, at }))
    }

    /// `[key]`, if a `=` follows.
    fn key(&mut self) -> Read<Option<Word>> {
        let at = self.at;
        self.at += 1;
        let key = self.word(Ends::Bracket)?;
        if self.peek() != Some(']') {
            self.at = at;
            return Ok(None);
        }
        self.at += 1;
        if self.peek() != Some('=') && !self.starts_with("+=") {
            self.at = at;
            return Ok(None);
        }
        Ok(Some(key))
    }

    /// `(one two …)`, over lines and comments.
    fn items(&mut self, name: &str, start: usize) -> Read<Vec<Item>> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.space();
            let at = self.at;
            match self.peek() {
                Some(')') => {
                    self.at += 1;
                    // `(a|b)$` without quotes.
                    if !(self.ends_here() || matches!(self.peek(), Some(' ' | '\t' | '\\'))) {
                        let what = format!("`{}` goes on behind `)`", self.shown_line(start));
                        return Err(self.refuse(self.at, what, format!("text stands in quotes: {name}='…'")));
                    }
                    return Ok(items);
                }
                None => {
                    let what = format!("the list `{}` has no end: its `)` is missing", self.shown_line(start));
                    return Err(self.refuse(start, what, format!("close it: {name}=(one two)")));
                }
                Some('(' | '|' | '&' | '<' | '>' | ';') => {
                    let what = format!("`{}` has a bare `{}` in a list", self.shown_line(at), self.text.chars[at]);
                    let hint = format!("items are separated by blanks, text stands in quotes: {name}='…'");
                    return Err(self.refuse(at, what, hint));
                }
                Some(_) => {}
            }
            let key = if self.peek() == Some('[') { self.key()? } else { None };
            if key.is_some() {
                if self.starts_with("+=") {
                    return Err(self.refuse(
                        at,
                        "`[key]+=value` is not read",
                        "write [key]=value, with the whole value",
                    ));
                }
                self.at += 1;
            }
            let value = self.word(Ends::Value)?;
            items.push(Item { key, value });
        }
    }

    /// A word up to what ends it, which stays.
    fn word(&mut self, ends: Ends) -> Read<Word> {
        self.depth += 1;
        let at = self.at;
        if self.depth > DEEPEST {
            return Err(self.refuse(at, "words are nested too deeply", "write the value out"));
        }
        let mut parts = Vec::new();
        while let Some(c) = self.peek() {
            let here = self.at;
            match c {
                _ if ends.at(c) => break,
                '\'' if ends != Ends::QuotedBrace => {
                    let text = self.single_quoted()?;
                    parts.push(Part::Quoted(text));
                }
                '"' if ends == Ends::QuotedBrace => {
                    return Err(self.refuse(here, "quotes within quotes are not read", "write the value out"));
                }
                '"' => self.double_quoted(&mut parts)?,
                '\\' => self.backslash(ends == Ends::QuotedBrace, &mut parts)?,
                '$' => {
                    let quoted = ends == Ends::QuotedBrace;
                    let part = self.dollar(quoted)?;
                    parts.push(part);
                }
                '`' => parts.push(self.backquoted()),
                NO_TEXT => {
                    let what = "there are bytes that are not UTF-8".to_string();
                    parts.push(Part::Refused(self.refuse(here, what, "save the file as UTF-8")));
                    self.at += 1;
                }
                '(' | '|' | '<' | '>' | '&' if ends == Ends::Value => {
                    let what = format!("`{}` has a bare `{c}`", self.shown_line(at));
                    return Err(self.refuse(here, what, QUOTE));
                }
                _ => {
                    self.at += 1;
                    match parts.last_mut() {
                        Some(Part::Bare { text, .. }) => text.push(c),
                        _ if ends == Ends::QuotedBrace => push_quoted(&mut parts, c),
                        _ => parts.push(Part::Bare { text: c.to_string(), at: here }),
                    }
                }
            }
        }
        self.depth -= 1;
        Ok(Word { parts, at })
    }

    fn single_quoted(&mut self) -> Read<String> {
        let start = self.at;
        self.at += 1;
        let from = self.at;
        while let Some(c) = self.peek() {
            match c {
                '\'' => {
                    let text = self.between(from, self.at);
                    self.at += 1;
                    return Ok(text);
                }
                NO_TEXT => {
                    let what = "there are bytes that are not UTF-8";
                    return Err(self.refuse(self.at, what, "save the file as UTF-8"));
                }
                _ => self.at += 1,
            }
        }
        Err(self.refuse(start, format!("the quote `{}` has no end", self.shown_line(start)), "close it with `'`"))
    }

    fn double_quoted(&mut self, parts: &mut Vec<Part>) -> Read<()> {
        let start = self.at;
        self.at += 1;
        parts.push(Part::Quoted(String::new()));
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                '\\' => self.backslash(true, parts)?,
                '$' => {
                    let part = self.dollar(true)?;
                    parts.push(part);
                }
                '`' => parts.push(self.backquoted()),
                NO_TEXT => {
                    let what = "there are bytes that are not UTF-8";
                    return Err(self.refuse(self.at, what, "save the file as UTF-8"));
                }
                _ => {
                    self.at += 1;
                    push_quoted(parts, c);
                }
            }
        }
        Err(self.refuse(start, format!("the quote `{}` has no end", self.shown_line(start)), "close it with `\"`"))
    }

    fn backslash(&mut self, quoted: bool, parts: &mut Vec<Part>) -> Read<()> {
        let at = self.at;
        self.at += 1;
        match self.peek() {
            None => return Err(self.refuse(at, "the file ends with a backslash", "leave it out")),
            Some('\n') => {}
            Some(c) if !quoted => parts.push(Part::Escaped(c)),
            Some(c) if matches!(c, '$' | '`' | '"' | '\\') => push_quoted(parts, c),
            Some(c) => {
                push_quoted(parts, '\\');
                push_quoted(parts, c);
            }
        }
        self.at += 1;
        Ok(())
    }

    /// What begins with `$`.
    fn dollar(&mut self, quoted: bool) -> Read<Part> {
        let at = self.at;
        self.at += 1;
        if self.starts_with("((") {
            return Ok(self.arithmetic(at));
        }
        match self.peek() {
            Some('(') => {
                self.skip_parentheses();
                let what = format!("`{}` is a command, and nothing is run", self.shown(at));
                Ok(Part::Refused(self.refuse(at, what, "write its result out")))
            }
            Some('[') => {
                let what = format!("`{}` is not read", self.shown_line(at));
                Ok(Part::Refused(self.refuse(at, what, "arithmetic is written $((…)), a plain `$` as '$'")))
            }
            Some('{') => self.braced(at, quoted),
            Some('\'') if !quoted => self.ansi_quoted(at),
            Some('"') if !quoted => Err(self.refuse(at, "`$\"…\"` is not read", "leave out the `$`")),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.name();
                self.at += name.len();
                let form = match self.peek() {
                    Some('[') => self.subscript(at)?,
                    Some(':') if self.ahead(1).is_some_and(|c| c.is_ascii_alphabetic() || c == '&') => {
                        let what = format!("`{}` changes the value of {name}", self.shown_to(at, self.at + 2));
                        let hint = format!("write ${{{name}}} if the value is meant");
                        return Ok(Part::Refused(self.refuse(at, what, hint)));
                    }
                    _ => Form::Plain,
                };
                Ok(Part::Parameter(Parameter { name, form, quoted, at }))
            }
            Some(c) if c.is_ascii_digit() || "?$!#@*-+=^~".contains(c) => {
                self.at += 1;
                let what = format!("`${c}` is one of the shell's own parameters");
                Ok(Part::Refused(self.refuse(at, what, "write the value out; a plain `$` is written '$' or \\$")))
            }
            _ => Ok(Part::Quoted("$".to_string())),
        }
    }

    fn subscript(&mut self, at: usize) -> Read<Form> {
        let form = match () {
            () if self.starts_with("[@]") => Form::Each,
            () if self.starts_with("[*]") => Form::Joined,
            () => {
                let what = format!("`{}` takes a part of a value", self.shown_line(at));
                return Err(self.refuse(at, what, "write the value out"));
            }
        };
        self.at += 3;
        Ok(form)
    }

    /// `${…}`
    fn braced(&mut self, at: usize, quoted: bool) -> Read<Part> {
        self.at += 1;
        let name = self.name();
        self.at += name.len();
        let form = match (name.is_empty(), self.peek()) {
            (false, Some('}')) => Form::Plain,
            (false, Some('[')) => self.subscript(at)?,
            (false, Some(':')) if self.ahead(1) == Some('-') => {
                self.at += 2;
                Form::Default { word: self.default_word(quoted)?, or_empty: true }
            }
            (false, Some('-')) => {
                self.at += 1;
                Form::Default { word: self.default_word(quoted)?, or_empty: false }
            }
            _ => {
                let what = format!("`{}` is not read", self.shown_line(at));
                let hint = "of `${…}` only ${NAME}, ${NAME:-word} and ${NAME[@]} are read: write the value out";
                return Err(self.refuse(at, what, hint));
            }
        };
        if self.peek() != Some('}') {
            let what = format!("`{}` is not read, or its `}}` is missing", self.shown_line(at));
            return Err(self.refuse(at, what, "write ${NAME} or ${NAME:-word}"));
        }
        self.at += 1;
        Ok(Part::Parameter(Parameter { name, form, quoted, at }))
    }

    fn default_word(&mut self, quoted: bool) -> Read<Word> {
        self.word(if quoted { Ends::QuotedBrace } else { Ends::Brace })
    }

    fn arithmetic(&mut self, at: usize) -> Part {
        self.at += 2;
        let from = self.at;
        let mut open = 0_usize;
        while let Some(c) = self.peek() {
            match c {
                '(' => open += 1,
                ')' if open > 0 => open -= 1,
                ')' if self.ahead(1) == Some(')') => {
                    let text = self.between(from, self.at);
                    self.at += 2;
                    return Part::Arithmetic { text, at };
                }
                ')' => break,
                _ => {}
            }
            self.at += 1;
        }
        let what = format!("`{}` has no end", self.shown_line(at));
        Part::Refused(self.refuse(at, what, "write $((…)) with numbers and + - * / %"))
    }

    fn ansi_quoted(&mut self, at: usize) -> Read<Part> {
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '\'' => return Ok(Part::Quoted(text)),
                NO_TEXT => {
                    let what = "there are bytes that are not UTF-8";
                    return Err(self.refuse(self.at - 1, what, "save the file as UTF-8"));
                }
                '\\' => {
                    let escaped = self.peek();
                    self.at += 1;
                    text.push(match escaped {
                        Some('t') => '\t',
                        Some('n') => '\n',
                        Some(c @ ('\\' | '\'' | '"')) => c,
                        _ => {
                            let what = "of the escapes in $'…' only \\t, \\n, \\\\, \\' and \\\" are read";
                            return Err(self.refuse(self.at - 2, what, "write the character itself"));
                        }
                    });
                }
                c => text.push(c),
            }
        }
        Err(self.refuse(at, format!("the quote `{}` has no end", self.shown_line(at)), "close it with `'`"))
    }

    fn backquoted(&mut self) -> Part {
        let at = self.at;
        self.at += 1;
        while let Some(c) = self.peek() {
            self.at += 1;
            if c == '`' {
                break;
            }
        }
        let what = format!("`{}` is a command, and nothing is run", self.shown(at).trim_matches('`'));
        Part::Refused(self.refuse(at, what, "write its result out"))
    }

    /// Up to the parenthesis that closes this one; roughly, for the file is refused anyway.
    fn skip_parentheses(&mut self) {
        let mut open = 0_usize;
        let mut quote = None;
        while let Some(c) = self.peek() {
            self.at += 1;
            match (c, quote) {
                ('\'' | '"', None) => quote = Some(c),
                (c, Some(closing)) if c == closing => quote = None,
                ('(', None) => open += 1,
                (')', None) => {
                    open -= 1;
                    if open == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }
}

/// What ends a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Blanks and what separates commands.
    Value,
    /// The bracket of a key.
    Bracket,
    /// The brace of `${NAME:-word}`.
    Brace,
    /// The same between double quotes, where single quotes are plain characters.
    QuotedBrace,
}

impl Ends {
    fn at(self, c: char) -> bool {
        match self {
            Ends::Value => matches!(c, ' ' | '\t' | '\n' | ';' | ')'),
            Ends::Bracket => matches!(c, ']' | '\n'),
            Ends::Brace => matches!(c, '}' | '\n'),
            Ends::QuotedBrace => c == '}',
        }
    }
}

/// `= value` without its blanks.
fn tight(behind: &str) -> String {
    let (equals, value) = behind.split_at(behind.find('=').map_or(0, |at| at + 1));
    format!("{equals}{}", value.trim())
}

fn push_quoted(parts: &mut Vec<Part>, c: char) {
    match parts.last_mut() {
        Some(Part::Quoted(text)) => text.push(c),
        _ => parts.push(Part::Quoted(c.to_string())),
    }
}
