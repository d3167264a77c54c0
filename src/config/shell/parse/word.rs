//! Words: what stands bare, quotes, backslashes, and what begins with `$`.

use super::super::syntax::{Form, Parameter, Part, Word};
use super::{NO_TEXT, Parser, QUOTE, Read};

/// Words within words are not nested deeper than this.
const DEEPEST: usize = 16;

/// What ends a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
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
            Ends::Bracket => matches!(c, ']' | ' ' | '\t' | '\n'),
            Ends::Brace | Ends::QuotedBrace => matches!(c, '}' | '\n'),
        }
    }
}

impl Parser<'_> {
    /// A word up to what ends it, which stays.
    pub(super) fn word(&mut self, ends: Ends) -> Read<Word> {
        let at = self.at;
        if self.depth == DEEPEST {
            return Err(self.stop(at, "words are nested too deeply", "write the value out"));
        }
        self.depth += 1;
        let parts = self.parts(ends);
        self.depth -= 1;
        Ok(Word { parts: parts?, at, end: self.at })
    }

    fn parts(&mut self, ends: Ends) -> Read<Vec<Part>> {
        let start = self.at;
        let is_quoted = ends == Ends::QuotedBrace;
        let mut parts = Vec::new();
        while let Some(c) = self.peek().filter(|c| !ends.at(*c)) {
            let here = self.at;
            match c {
                '\'' if !is_quoted => parts.push(Part::Quoted(self.single_quoted()?)),
                '"' => self.double_quoted(&mut parts)?,
                '\\' if is_quoted => self.quoted_backslash(&['$', '`', '"', '\\', '}'], &mut parts)?,
                '\\' => self.backslash(&mut parts)?,
                '$' => {
                    let part = self.dollar(is_quoted)?;
                    parts.push(part);
                }
                '`' => self.backquoted(),
                NO_TEXT => self.no_text(),
                '(' | '|' | '<' | '>' | '&' if ends == Ends::Value => {
                    let what = format!("`{}` has a bare `{c}`", self.shown_line(start));
                    return Err(self.stop(here, what, QUOTE));
                }
                _ => {
                    self.at += 1;
                    match parts.last_mut() {
                        Some(Part::Bare { text, .. }) => text.push(c),
                        _ if is_quoted => push_quoted(&mut parts, c),
                        _ => parts.push(Part::Bare { text: c.to_string(), at: here }),
                    }
                }
            }
        }
        Ok(parts)
    }

    fn single_quoted(&mut self) -> Read<String> {
        let start = self.at;
        self.at += 1;
        let from = self.at;
        while let Some(c) = self.peek() {
            match c {
                '\'' => {
                    let text = self.text.between(from, self.at);
                    self.at += 1;
                    self.note_lines(start);
                    return Ok(text);
                }
                NO_TEXT => self.no_text(),
                _ => self.at += 1,
            }
        }
        Err(self.unclosed(start, '\''))
    }

    fn double_quoted(&mut self, parts: &mut Vec<Part>) -> Read<()> {
        let start = self.at;
        self.at += 1;
        parts.push(Part::Quoted(String::new()));
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    self.note_lines(start);
                    return Ok(());
                }
                '\\' => self.quoted_backslash(&['$', '`', '"', '\\'], parts)?,
                '$' => {
                    let part = self.dollar(true)?;
                    parts.push(part);
                }
                '`' => self.backquoted(),
                NO_TEXT => self.no_text(),
                _ => {
                    self.at += 1;
                    push_quoted(parts, c);
                }
            }
        }
        Err(self.unclosed(start, '"'))
    }

    fn note_lines(&mut self, start: usize) {
        if self.text.line_end(start) < self.at {
            self.over_lines = Some(start);
        }
    }

    fn unclosed(&mut self, start: usize, sign: char) -> super::Stop {
        let hint = match self.over_lines {
            Some(other) => {
                let (from, to) = (self.text.position(other).line, self.text.position(start).line);
                format!("close it with `{sign}`, or the one of line {from}, which goes on to line {to}")
            }
            None => format!("close it with `{sign}`"),
        };
        self.lost(start, format!("the quote `{}` has no end", self.shown_line(start)), hint)
    }

    /// What a backslash stands before; `None` where both go, as before the end of a line.
    fn after_backslash(&mut self) -> Read<Option<char>> {
        self.at += 1;
        match self.peek() {
            None => Err(self.stop(self.at - 1, "the file ends with a backslash", "leave it out")),
            Some(NO_TEXT) => {
                self.no_text();
                Ok(None)
            }
            next => {
                self.at += 1;
                Ok(next.filter(|c| *c != '\n'))
            }
        }
    }

    fn backslash(&mut self, parts: &mut Vec<Part>) -> Read<()> {
        parts.extend(self.after_backslash()?.map(Part::Escaped));
        Ok(())
    }

    /// Between double quotes a backslash goes only before what means something there.
    fn quoted_backslash(&mut self, telling: &[char], parts: &mut Vec<Part>) -> Read<()> {
        if let Some(c) = self.after_backslash()? {
            if !telling.contains(&c) {
                push_quoted(parts, '\\');
            }
            push_quoted(parts, c);
        }
        Ok(())
    }

    /// What begins with `$`. What is refused is nothing.
    fn dollar(&mut self, quoted: bool) -> Read<Part> {
        let at = self.at;
        self.at += 1;
        match self.peek() {
            Some('(') if self.ahead(1) == Some('(') => return Ok(self.arithmetic(at)),
            Some('(') => {
                self.skip('(', ')');
                let what = format!("`{}` is a command, and nothing is run", self.shown(at));
                self.refuse(at, what, "write its result out");
            }
            Some('[') => {
                let what = format!("`{}` is not read", self.shown_line(at));
                self.refuse(at, what, "arithmetic is written $((…)), a plain `$` as '$'");
            }
            Some('{') => return self.braced(at, quoted),
            Some('\'') if !quoted => return self.ansi_quoted(at),
            Some('"') if !quoted => self.refuse(at, "`$\"…\"` is not read", "leave out the `$`"),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => return Ok(self.named(at, quoted)),
            Some(c) if c.is_ascii_digit() || "?$!#@*-+=^~".contains(c) => {
                self.at += 1;
                let what = format!("`${c}` is one of the shell's own parameters");
                self.refuse(at, what, "write the value out; a plain `$` is written '$' or \\$");
            }
            _ => return Ok(Part::Quoted("$".to_string())),
        }
        Ok(Part::Quoted(String::new()))
    }

    /// `$NAME`
    fn named(&mut self, at: usize, quoted: bool) -> Part {
        let name = self.name();
        self.at += name.len();
        let form = match self.peek() {
            Some('[') => self.subscript(at),
            Some(':') if self.ahead(1).is_some_and(|c| c.is_ascii_alphabetic() || c == '&') => {
                let what = format!("`{}` changes the value of {name}", self.shown_to(at, self.at + 2));
                self.refuse(at, what, format!("write ${{{name}}} if the value is meant"));
                Form::Plain
            }
            _ => Form::Plain,
        };
        Part::Parameter(Parameter { name, form, quoted, at })
    }

    fn subscript(&mut self, at: usize) -> Form {
        let form = match () {
            () if self.starts_with("[@]") => Form::Each,
            () if self.starts_with("[*]") => Form::Joined,
            () => {
                let what = format!("`{}` takes a part of a value", self.shown_line(at));
                self.refuse(at, what, "write the value out");
                self.skip('[', ']');
                return Form::Plain;
            }
        };
        self.at += 3;
        form
    }

    /// `${…}`
    fn braced(&mut self, at: usize, quoted: bool) -> Read<Part> {
        self.at += 1;
        let name = self.name();
        self.at += name.len();
        let form = match (name.is_empty(), self.peek()) {
            (false, Some('}')) => Form::Plain,
            (false, Some('[')) => self.subscript(at),
            (false, Some(':')) if self.ahead(1) == Some('-') => {
                self.at += 2;
                Form::Default { word: self.default_word(quoted)?, or_empty: true }
            }
            (false, Some('-')) => {
                self.at += 1;
                Form::Default { word: self.default_word(quoted)?, or_empty: false }
            }
            _ => {
                self.at = at + 1;
                self.skip('{', '}');
                let hint = "of `${…}` only ${NAME}, ${NAME:-word} and ${NAME[@]} are read: write the value out";
                self.refuse(at, format!("`{}` is not read", self.shown(at)), hint);
                return Ok(Part::Quoted(String::new()));
            }
        };
        if self.peek() == Some('}') {
            self.at += 1;
        } else {
            let what = format!("`{}` is not read, or its `}}` is missing", self.shown_line(at));
            self.refuse(at, what, "write ${NAME} or ${NAME:-word}");
        }
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
                    let text = self.text.between(from, self.at);
                    self.at += 2;
                    return Part::Arithmetic { text, at };
                }
                ')' | '\n' => break,
                _ => {}
            }
            self.at += 1;
        }
        let what = format!("`{}` has no end", self.shown_line(at));
        self.refuse(at, what, "write $((…)) with numbers and + - * / %");
        Part::Quoted(String::new())
    }

    fn ansi_quoted(&mut self, at: usize) -> Read<Part> {
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\'' => {
                    self.at += 1;
                    self.note_lines(at);
                    return Ok(Part::Quoted(text));
                }
                NO_TEXT => self.no_text(),
                '\\' => {
                    match self.ahead(1) {
                        Some('t') => text.push('\t'),
                        Some('n') => text.push('\n'),
                        Some(c @ ('\\' | '\'' | '"')) => text.push(c),
                        _ => {
                            let what = "of the escapes in $'…' only \\t, \\n, \\\\, \\' and \\\" are read";
                            self.refuse(self.at, what, "write the character itself");
                        }
                    }
                    self.at = (self.at + 2).min(self.text.chars.len());
                }
                c => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        Err(self.unclosed(at, '\''))
    }

    fn backquoted(&mut self) {
        let at = self.at;
        self.at += 1;
        while self.peek().is_some_and(|c| c != '\n') {
            self.at += 1;
            if self.text.chars[self.at - 1] == '`' {
                break;
            }
        }
        let what = format!("`{}` is a command, and nothing is run", self.shown(at).trim_matches('`'));
        self.refuse(at, what, "write its result out");
    }

    /// From what opens to behind what closes it, or to the end of the line; roughly, for the file is refused anyway.
    fn skip(&mut self, opens: char, closes: char) {
        let mut open = 0_usize;
        let mut quote = None;
        while let Some(c) = self.peek().filter(|c| *c != '\n') {
            self.at += 1;
            match (c, quote) {
                ('\'' | '"', None) => quote = Some(c),
                (c, Some(closing)) if c == closing => quote = None,
                (c, None) if c == opens => open += 1,
                (c, None) if c == closes => {
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

fn push_quoted(parts: &mut Vec<Part>, c: char) {
    match parts.last_mut() {
        Some(Part::Quoted(text)) => text.push(c),
        _ => parts.push(Part::Quoted(c.to_string())),
    }
}
