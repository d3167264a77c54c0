//! One row of a list: `<time> TAB <kind><mark> TAB <size> TAB <path>`.

use std::ops::Range;

use crate::path::{BadPath, RelPath};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// Something that a row names which could not be read: whatever is here under that name stays as it is.
    Unreadable,
}

impl Kind {
    /// The word for human eyes.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Dir => "directory",
            Kind::Link => "link",
            Kind::Unreadable => "unreadable",
        }
    }
}

/// Who may read an entry upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Everybody.
    Public,
    /// Not everybody: its own mode says so (`-`).
    Restricted,
    /// Not everybody: its own mode is for everybody, and that of a directory above it is not (`*`).
    Below,
}

impl Mark {
    /// The mark of what has a mode for everybody or not, and lies below a directory that has one for everybody or not.
    pub fn of(world_readable: bool, below_restricted: bool) -> Mark {
        match (world_readable, below_restricted) {
            (false, _) => Mark::Restricted,
            (true, true) => Mark::Below,
            (true, false) => Mark::Public,
        }
    }

    /// Whether everybody may read it.
    pub fn is_public(self) -> bool {
        self == Mark::Public
    }
}

/// One good row, 24 bytes: its path stays in the list and is found by [`Row::path`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Bytes, as lstat says.
    pub size: u64,
    /// Seconds since the epoch: the newer of mtime and ctime.
    pub time: i64,
    at: u32,
    len: u16,
    /// What it is.
    pub kind: Kind,
    /// Who may read it.
    pub mark: Mark,
}

/// Why a line is not a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// Fewer than four fields.
    #[error("not four fields (time, kind, size, path)")]
    Fields,
    /// The time is not a number in range.
    #[error("the time is not a number of seconds")]
    Time,
    /// The kind is not one of `f d l` with one of the marks `-` `*` or none.
    #[error("the kind is not f, d or l with an optional - or *")]
    Kind,
    /// The size is not a number in range.
    #[error("the size is not a number of bytes")]
    Size,
    /// The name cannot be a path in a module.
    #[error(transparent)]
    Path(BadPath),
    /// The same name stands in another row that says something else.
    #[error("the same name is given twice, and the rows differ")]
    Twice,
    /// The directory that should hold it is listed as a file or a link.
    #[error("it lies below a name that is not a directory")]
    BelowFile,
    /// A row of the checksum section that is not 40 hexadecimal digits, TAB, path.
    #[error("not a checksum (40 hexadecimal digits, path)")]
    Checksum,
    /// It is public, but its directory is restricted.
    #[error("it is not marked restricted, but its directory is")]
    BelowRestricted,
}

impl BadRow {
    /// Whether the line is a row, and other rows speak against it.
    pub fn is_contradicted(self) -> bool {
        matches!(self, BadRow::Twice | BadRow::BelowFile | BadRow::BelowRestricted)
    }
}

/// A line that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Where it stands: bytes of the list, without its LF.
    pub line: Range<usize>,
    /// What is wrong with it.
    pub why: BadRow,
}

impl Bad {
    /// The number of its line in the list, from 1.
    pub fn line_number(&self, text: &[u8]) -> usize {
        memchr::memchr_iter(b'\n', &text[..self.line.start]).count() + 1
    }
}

impl Row {
    /// Reads one line (without its LF) that starts at byte `at` of the list.
    ///
    /// Everything after the third TAB is the path, a TAB in it included.
    ///
    /// # Errors
    /// Why the line is not a row.
    pub fn parse(line: &[u8], at: u32) -> Result<Row, BadRow> {
        let (time, rest) = field(line)?;
        let (kind, rest) = field(rest)?;
        let (size, path) = field(rest)?;
        let time = number(time).ok_or(BadRow::Time)?;
        let kind_and_mark = kind_and_mark(kind).ok_or(BadRow::Kind)?;
        let size = number(size).ok_or(BadRow::Size)?;
        RelPath::new(path).map_err(BadRow::Path)?;
        let offset = line.len() - path.len();
        let at = u32::try_from(at as usize + offset).map_err(|_| BadRow::Fields)?;
        let (kind, mark) = kind_and_mark;
        // A checked path has at most 4095 bytes.
        Ok(Row { size: size.unsigned_abs(), time, at, len: path.len() as u16, kind, mark })
    }

    /// A row for a name that stands in the list at `at`, but in no good row of its own.
    pub(super) fn named(at: u32, len: u16, kind: Kind) -> Row {
        Row { size: 0, time: 0, at, len, kind, mark: Mark::Public }
    }

    /// A row for the same name that says no more than what it is.
    pub(super) fn as_kind(&self, kind: Kind) -> Row {
        Row::named(self.at, self.len, kind)
    }

    /// Its path, in the list that it was read from.
    pub fn path<'a>(&self, text: &'a [u8]) -> RelPath<'a> {
        RelPath::unchecked(&text[self.span()])
    }

    /// Where its path stands in the list.
    pub fn span(&self) -> std::ops::Range<usize> {
        self.at as usize..self.at as usize + usize::from(self.len)
    }

    /// Whether both say the same of what they name (which may stand at different places, in different lists). Both marks of what is not
    /// for everybody do: another mode of its own would be another time.
    pub fn says_the_same(&self, other: &Row) -> bool {
        let said = |row: &Row| (row.size, row.time, row.kind, row.mark.is_public());
        said(self) == said(other)
    }
}

/// Splits off what stands before the first TAB.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), BadRow> {
    let tab = memchr::memchr(b'\t', line).ok_or(BadRow::Fields)?;
    Ok((&line[..tab], &line[tab + 1..]))
}

/// A number from 0 to `i64::MAX`: what stat can say. Digits only.
fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0i64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

fn kind_and_mark(field: &[u8]) -> Option<(Kind, Mark)> {
    let (letter, mark) = match field {
        [letter] => (letter, Mark::Public),
        [letter, b'-'] => (letter, Mark::Restricted),
        [letter, b'*'] => (letter, Mark::Below),
        _ => return None,
    };
    let kind = match letter {
        b'f' => Kind::File,
        b'd' => Kind::Dir,
        b'l' => Kind::Link,
        _ => return None,
    };
    Some((kind, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_small() {
        assert_eq!(size_of::<Row>(), 24);
    }

    #[test]
    fn a_tab_in_a_name_belongs_to_the_name() {
        let line = b"1790000000\tf-\t12\ta\tb";
        let row = Row::parse(line, 0).unwrap();
        assert_eq!(row.path(line).bytes(), b"a\tb");
        assert_eq!((row.time, row.size, row.kind, row.mark), (1_790_000_000, 12, Kind::File, Mark::Restricted));
    }

    #[test]
    fn each_malformed_field_is_named() {
        for (line, why) in [
            (&b"1\tf\t1"[..], BadRow::Fields),
            (b"", BadRow::Fields),
            (b"x\tf\t1\ta", BadRow::Time),
            (b"-1\tf\t1\ta", BadRow::Time),
            (b"\tf\t1\ta", BadRow::Time),
            (b"99999999999999999999\tf\t1\ta", BadRow::Time),
            (b"1\tb\t1\ta", BadRow::Kind),
            (b"1\tf+\t1\ta", BadRow::Kind),
            (b"1\t\t1\ta", BadRow::Kind),
            (b"1\tf\tten\ta", BadRow::Size),
            (b"1\tf\t9223372036854775808\ta", BadRow::Size),
            (b"1\tf\t1\t../a", BadRow::Path(BadPath::DotPart)),
            (b"1\tf\t1\t/a", BadRow::Path(BadPath::Absolute)),
            (b"1\tf\t1\t", BadRow::Path(BadPath::Empty)),
        ] {
            assert_eq!(Row::parse(line, 0), Err(why), "{}", crate::path::escape(line));
        }
    }
}
