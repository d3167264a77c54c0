//! Assignments, alone and behind `export` and its like, and the lists that they assign.

use super::super::syntax::{Assign, Assigned, Item, Statement, Traits, Word};
use super::word::Ends;
use super::{ONLY_ASSIGNMENTS, Parser, QUOTE, Read, Stop, is_name_part, is_sign, tight};

/// What declares names.
const DECLARE: [&str; 5] = ["export", "typeset", "declare", "readonly", "integer"];

impl Parser<'_> {
    /// Reads what stands up to the end of a command; `false` at the end of the file.
    pub(super) fn statement(&mut self) -> Read<bool> {
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
        self.over_lines = None;
        let line = self.text.between(start, self.line_end()).to_ascii_uppercase();
        self.secret = line.contains("PASS");
        let mut value_at = None;
        loop {
            let at = self.at;
            if !self.assignment(Traits::default())? {
                break;
            }
            value_at = Some(at);
            self.blanks();
            if self.ends_here() {
                self.end(start)?;
                return Ok(true);
            }
        }
        if let Some(at) = value_at {
            return Err(self.after_assignment(at));
        }
        let command = self.command_word();
        if DECLARE.contains(&command.as_str()) {
            self.at += command.len();
            self.declarations(&command)?;
        } else if command == "unset" {
            self.at += command.len();
            self.unset();
        } else {
            return Err(self.not_an_assignment(&command, start));
        }
        self.end(start)?;
        Ok(true)
    }

    fn unset(&mut self) {
        loop {
            self.blanks();
            let (name, at) = (self.name(), self.at);
            if name.is_empty() {
                return;
            }
            self.at += name.len();
            self.statements.push(Statement::Unset { name, at });
        }
    }

    /// Whether nothing more of a command stands here; a `#` begins a comment only behind a blank.
    pub(super) fn ends_here(&self) -> bool {
        match self.peek() {
            None => true,
            Some('#') => self.at.checked_sub(1).is_some_and(|before| self.text.chars[before].is_whitespace()),
            Some(c) => is_sign(c),
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
                return Err(self.stop(self.at, format!("`{shown}` {what}"), hint));
            }
        }
        Ok(())
    }

    /// What stands behind `export` and its like.
    fn declarations(&mut self, command: &str) -> Read<()> {
        let mut traits = Traits {
            exported: command == "export",
            readonly: command == "readonly",
            integer: command == "integer",
            declared: true,
            ..Traits::default()
        };
        let mut declared: Vec<String> = Vec::new();
        loop {
            self.blanks();
            let at = self.at;
            if self.ends_here() {
                return Ok(());
            }
            if self.starts_with("-") {
                if !declared.is_empty() {
                    let what = format!("`{}` stands behind a name", self.command_word());
                    return Err(self.stop(at, what, format!("options come first: {command} -x NAME=value")));
                }
                self.options(command, &mut traits)?;
                continue;
            }
            if self.assignment(traits)? {
                self.as_declared(command, &declared, at)?;
                declared.push(self.text.between(at, self.at).chars().take_while(|c| is_name_part(*c)).collect());
                continue;
            }
            let name = self.name();
            self.at += name.len();
            if name.is_empty() || !(self.ends_here() || matches!(self.peek(), Some(' ' | '\t' | '\\'))) {
                self.at = at;
                let word = self.command_word();
                let shown = if self.secret { "***" } else { &word };
                return Err(self.stop(at, format!("`{shown}` is no name"), ONLY_ASSIGNMENTS));
            }
            let next = self.at;
            self.blanks();
            if self.peek() == Some('=') || self.starts_with("+=") {
                let behind = self.text.between(self.at, self.line_end());
                let value = if self.secret { "=value".to_string() } else { tight(&behind) };
                let what = format!("`{}` has blanks around `=`", self.shown_line(at));
                let stop = self.stop(at, what, format!("write {command} {name}{value}"));
                self.statements.push(Statement::Spoilt { name, at });
                return Err(stop);
            }
            self.at = next;
            declared.push(name.clone());
            self.statements.push(Statement::Declare { name, traits, at });
        }
    }

    /// Refuses of the assignment that begins at `at` what zsh takes on a line of its own only.
    fn as_declared(&mut self, command: &str, declared: &[String], at: usize) -> Read<()> {
        let Some(Statement::Assign(Assign { name, key, adds, .. })) = self.statements.last() else { return Ok(()) };
        if key.is_some() || *adds {
            let hint = format!("write {name} on a line of its own, without {command}");
            return Err(self.stop(at, format!("no key and no `+=` is taken behind `{command}`"), hint));
        }
        // All values are made before the first is assigned.
        let written = self.text.between(at, self.at);
        let uses = |name: &&String| written.split(|c| !is_name_part(c)).skip(1).any(|word| word == *name);
        if let Some(before) = declared.iter().find(uses).filter(|_| written.contains('$')) {
            let what = format!("the value of {before} on this line is not known to {name} yet");
            return Err(self.stop(at, what, "write one assignment on each line"));
        }
        Ok(())
    }

    /// `-Ax` behind `typeset` and its like.
    fn options(&mut self, command: &str, traits: &mut Traits) -> Read<()> {
        let at = self.at;
        self.at += 1;
        while let Some(letter) = self.peek().filter(|c| !c.is_whitespace() && !is_sign(*c)) {
            match letter {
                'A' => traits.association = true,
                'a' => traits.array = true,
                'x' => traits.exported = true,
                'r' => traits.readonly = true,
                'i' => traits.integer = true,
                'g' => {}
                other => {
                    let what = format!("`{command} -{other}` changes values in a way that is not read");
                    return Err(self.stop(at, what, "write NAME=value alone"));
                }
            }
            self.at += 1;
        }
        Ok(())
    }

    /// `NAME=value`, `NAME+=value`, `NAME[key]=value`, if that is what stands here.
    fn assignment(&mut self, traits: Traits) -> Read<bool> {
        let (at, known) = (self.at, self.refusals.len());
        let name = self.name();
        if name.is_empty() {
            return Ok(false);
        }
        self.at += name.len();
        let key = if self.peek() == Some('[') { self.key()? } else { None };
        let adds = self.starts_with("+=");
        if !adds && self.peek() != Some('=') {
            self.at = at;
            return Ok(false);
        }
        self.at += 1 + usize::from(adds);
        let value = match self.peek() {
            Some('(') if key.is_none() => self.items(&name, at).map(Assigned::Items),
            _ => self.word(Ends::Value).map(Assigned::Word),
        };
        match value {
            Ok(value) if self.refusals.len() == known => {
                self.statements.push(Statement::Assign(Assign { name, key, adds, value, traits, at }));
                Ok(true)
            }
            // What is wrong with it is said; what is built upon it is not wrong for that.
            other => {
                self.statements.push(Statement::Spoilt { name, at });
                other.map(|_| true)
            }
        }
    }

    /// `[key]`, if a `=` follows; else nothing is taken.
    fn key(&mut self) -> Read<Option<Word>> {
        let (at, known) = (self.at, self.refusals.len());
        self.at += 1;
        let key = self.word(Ends::Bracket)?;
        if self.starts_with("]=") || self.starts_with("]+=") {
            self.at += 1;
            return Ok(Some(key));
        }
        self.at = at;
        self.refusals.truncate(known);
        Ok(None)
    }

    /// `(one two …)`, over lines and comments.
    fn items(&mut self, name: &str, start: usize) -> Read<Vec<Item>> {
        self.at += 1;
        let known = self.refusals.len();
        let mut items = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(')') => break,
                None => {
                    let what = format!("the list `{}` has no end: its `)` is missing", self.shown_line(start));
                    return Err(self.lost(start, what, format!("close it: {name}=(one two)")));
                }
                Some(_) => {}
            }
            match self.item(name, start) {
                Ok(item) => items.push(item),
                Err(Stop::Line) => {
                    while self.peek().is_some_and(|c| !matches!(c, ')' | '\n')) {
                        self.at += 1;
                    }
                }
                Err(Stop::File) => return Err(Stop::File),
            }
        }
        self.at += 1;
        // `(a|b)$` without quotes.
        if !(self.ends_here() || matches!(self.peek(), Some(' ' | '\t' | '\\'))) {
            if self.refusals.len() == known {
                let what = format!("`{}` goes on behind `)`", self.shown_line(start));
                self.refuse(self.at, what, format!("text stands in quotes: {name}='…'"));
            }
            return Err(Stop::Line);
        }
        Ok(items)
    }

    fn item(&mut self, list: &str, start: usize) -> Read<Item> {
        let at = self.at;
        if let Some(c @ ('(' | '|' | '&' | '<' | '>' | ';')) = self.peek() {
            let what = format!("`{}` has a bare `{c}` in a list", self.shown_line(at));
            let hint = format!("items are separated by blanks, text stands in quotes: {list}='…'");
            return Err(self.stop(at, what, hint));
        }
        let name = self.name();
        let line = self.text.position(at).line;
        if !name.is_empty() && self.text.between(at + name.len(), self.line_end()).starts_with("=(") {
            let what = format!(
                "the list `{}` has no end before line {line}, where {name} begins: its `)` is missing",
                self.shown_line(start)
            );
            return Err(self.lost(start, what, format!("close it: {list}=(one two)")));
        }
        let key = if self.peek() == Some('[') { self.key()? } else { None };
        let rest = self.text.between(at, self.line_end());
        if let (true, None, Some((bare, _))) =
            (rest.starts_with('['), &key, rest.trim_start_matches('[').split_once("]="))
        {
            let hint = format!("put the key in quotes: ['{bare}']=value");
            return Err(self.stop(at, format!("`[{bare}]` has a blank or a sign of the shell in it"), hint));
        }
        if key.is_some() {
            if self.starts_with("+=") {
                return Err(self.stop(at, "`[key]+=value` is not read", "write [key]=value, with the whole value"));
            }
            self.at += 1;
        }
        let value = self.word(Ends::Value)?;
        Ok(Item { key, value })
    }
}
