//! The text of a file, and where something stands in it.

use std::fmt;

/// Line and column of a character, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What stands for bytes that are no text. Harmless in a comment, refused in a word.
pub(super) const NO_TEXT: char = char::REPLACEMENT_CHARACTER;

/// A file as characters, its lines ended by line feeds.
#[derive(Debug)]
pub(super) struct Text {
    pub chars: Vec<char>,
    /// It began with a byte order mark.
    pub has_bom: bool,
    /// The first line that ends as on Windows.
    pub first_crlf: Option<usize>,
}

impl Text {
    pub fn new(bytes: &[u8]) -> Text {
        let text = String::from_utf8_lossy(bytes);
        let (has_bom, text) = match text.strip_prefix('\u{feff}') {
            Some(rest) => (true, rest),
            None => (false, &*text),
        };
        let mut chars = Vec::with_capacity(text.len());
        let mut first_crlf = None;
        let mut lines = 1;
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            if c == '\r' && rest.peek().is_none_or(|next| *next == '\n') {
                first_crlf = first_crlf.or(Some(lines));
                continue;
            }
            lines += usize::from(c == '\n');
            chars.push(c);
        }
        Text { chars, has_bom, first_crlf }
    }

    /// The characters from one offset to another.
    pub fn between(&self, from: usize, to: usize) -> String {
        self.chars[from.min(to)..to].iter().collect()
    }

    /// Where the line ends that `offset` is in.
    pub fn line_end(&self, offset: usize) -> usize {
        let rest = self.chars.get(offset..).unwrap_or_default();
        offset + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
    }

    pub fn position(&self, offset: usize) -> Position {
        let before = &self.chars[..offset.min(self.chars.len())];
        let start = before.iter().rposition(|c| *c == '\n').map_or(0, |newline| newline + 1);
        Position { line: before.iter().filter(|c| **c == '\n').count() + 1, column: before.len() - start + 1 }
    }
}
