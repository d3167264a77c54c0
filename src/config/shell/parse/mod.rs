//! Characters → statements, and a refusal for each place that cannot be read.
//!
//! A file is read to its end, so that all that is wrong is told at once: after a refusal reading goes on behind the word, else in the
//! next line. Only a quote or a list without an end ends it, for nobody can tell what follows from what belongs to it.

mod foreign;
mod statement;
mod word;

use super::Refusal;
use super::syntax::Statement;
use super::text::{NO_TEXT, Text};

/// No more of a text is shown than this.
const SHOWN: usize = 60;

const ONLY_ASSIGNMENTS: &str = "only assignments are read, and nothing is run: write NAME=value for each setting";
const QUOTE: &str = "put the value in single quotes";

/// What was read, and what was not, as it was met.
pub(super) fn parse(text: &Text) -> (Vec<Statement>, Vec<Refusal>) {
    let mut parser =
        Parser { text, at: 0, depth: 0, secret: false, over_lines: None, statements: Vec::new(), refusals: Vec::new() };
    loop {
        match parser.statement() {
            Ok(true) => {}
            Ok(false) | Err(Stop::File) => return (parser.statements, parser.refusals),
            Err(Stop::Line) => parser.at = parser.line_end(),
        }
    }
}

struct Parser<'a> {
    text: &'a Text,
    at: usize,
    depth: usize,
    /// What is read may be a password, and is not repeated.
    secret: bool,
    /// Where the last quote of this statement begins that goes on over lines, for it may be the one that lacks its end.
    over_lines: Option<usize>,
    statements: Vec<Statement>,
    refusals: Vec<Refusal>,
}

/// Why reading cannot go on here, after the refusal was written down.
enum Stop {
    /// It can in the next line.
    Line,
    /// It cannot at all.
    File,
}

type Read<T> = Result<T, Stop>;

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

    fn line_end(&self) -> usize {
        self.text.line_end(self.at)
    }

    /// The text from a place on to here, as it is shown.
    fn shown(&self, from: usize) -> String {
        self.shown_to(from, self.at)
    }

    fn shown_to(&self, from: usize, to: usize) -> String {
        if self.secret {
            return "***".to_string();
        }
        let all = self.text.between(from, to);
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
        self.shown_to(from, self.text.line_end(from))
    }

    fn refuse(&mut self, at: usize, what: impl Into<String>, hint: impl Into<String>) {
        self.refusals.push(Refusal { at: self.text.position(at), what: what.into(), hint: hint.into() });
    }

    /// Refuses, and goes on in the next line.
    fn stop(&mut self, at: usize, what: impl Into<String>, hint: impl Into<String>) -> Stop {
        self.refuse(at, what, hint);
        Stop::Line
    }

    /// Refuses, and reads no more.
    fn lost(&mut self, at: usize, what: impl Into<String>, hint: impl Into<String>) -> Stop {
        self.refuse(at, what, hint);
        Stop::File
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
            self.at = self.line_end();
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
        if self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return String::new();
        }
        self.text.chars[self.at..].iter().copied().take_while(|c| is_name_part(*c)).collect()
    }

    /// Takes a character that stands for bytes that are no text, and refuses it, once in a line.
    fn no_text(&mut self) {
        const WHAT: &str = "there are bytes that are not UTF-8";
        let line = self.text.position(self.at).line;
        if self.refusals.last().is_none_or(|last| last.what != WHAT || last.at.line != line) {
            self.refuse(self.at, WHAT, "save the file as UTF-8");
        }
        self.at += 1;
    }
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether a character ends a word, and perhaps a command.
fn is_sign(c: char) -> bool {
    matches!(c, '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
}

/// `= value` without its blanks.
fn tight(behind: &str) -> String {
    let (equals, value) = behind.split_at(behind.find('=').map_or(0, |at| at + 1));
    format!("{equals}{}", as_list(value.trim()))
}

/// `[a, "b"]` as the shell has it: `(a b)`; what is none stays as it is.
fn as_list(value: &str) -> String {
    match value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(items) => {
            let items = items
                .split([',', ' ', '\t'])
                .map(|item| item.trim_matches(['"', '\'']))
                .filter(|item| !item.is_empty());
            format!("({})", items.collect::<Vec<_>>().join(" "))
        }
        None => value.to_string(),
    }
}
