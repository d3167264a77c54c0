//! The parts of a list, and the refusal of one that is not whole.
//!
//! ```text
//! [Version]
//! 2
//!
//! [Files]
//! <time> TAB <kind> TAB <size> TAB <path>
//! …
//!
//! [Checksums SHA1]
//! <40 hex digits> TAB <path>
//! …
//!
//! [End]
//! ```

use std::ops::Range;

use memchr::{memchr, memmem};

use super::BadRow;
use super::row::Bad;
use crate::path::{RelPath, escape};

/// The newest format that this program reads.
const NEWEST_VERSION: u64 = 3;

/// What heads a section, by how it begins, and the end.
const HEADERS: [&[u8]; 4] = [b"[Version]", b"[Files", b"[Checksums", b"[End]"];

/// One thread reads so many bytes at a time.
const PIECE: usize = 4 << 20;

/// Why a list is refused as a whole. The tree keeps serving what it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// No byte.
    #[error("the list is empty")]
    Empty,
    /// 4 GiB and more.
    #[error("the list has {0} bytes; lists of 4 GiB and more are not read")]
    TooLarge(usize),
    /// It does not start as a list does.
    #[error("the list does not start with [Version]")]
    NoVersion,
    /// The version is not a number, or too high.
    #[error("the list has version {0:?}, and this qfm reads versions up to {NEWEST_VERSION}: look for a newer one")]
    Version(String),
    /// There is no `[Files]` section behind the version.
    #[error("the list has no [Files] section behind its version")]
    NoFiles,
    /// `[End]` is not in one of the last two lines.
    #[error("the list is truncated: [End] is not in one of its last two lines")]
    NoEnd,
    /// A section stands where it cannot be.
    #[error("the list's sections are out of order: {0} at byte {1}")]
    OutOfOrder(String, usize),
    /// Not one row could be read.
    #[error("the list has no row that can be read")]
    NoGoodRow,
}

/// A SHA-1.
pub type Checksum = [u8; 20];

/// Where the parts of a whole list are. Ranges are byte ranges of the list, without the lines that head them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections {
    /// The rows, one a line.
    pub files: Range<usize>,
    /// The checksums, one a line; empty where the list has none.
    pub checksums: Range<usize>,
}

impl Sections {
    /// Finds the parts of `text`, and looks through all of it for headers that stand where none can.
    ///
    /// An empty line ends a section only where a header or the end follows: a name with LF upstream may leave an empty line
    /// among the rows.
    ///
    /// # Errors
    /// Why the list is refused.
    pub fn find(text: &[u8]) -> Result<Sections, ListError> {
        let sections = Sections::outline(text)?;
        let end = find_end(text).unwrap_or(text.len());
        for before in memmem::find_iter(&text[..end], b"\n\n[") {
            let at = before + 2;
            let header = line_at(text, at);
            // Anything else in brackets is no header that a list can have: a piece of a name.
            let ends_at = at + header.len() + 1;
            if Sections::is_header(header) && ends_at != sections.files.start && ends_at != sections.checksums.start {
                return Err(ListError::OutOfOrder(escape(header), at));
            }
        }
        Ok(sections)
    }

    /// Finds the parts of `text` from its beginning and its end alone. Headers that stand among the rows are not seen:
    /// [`Sections::is_header`] tells them.
    ///
    /// # Errors
    /// Why the list is refused.
    pub fn outline(text: &[u8]) -> Result<Sections, ListError> {
        if text.is_empty() {
            return Err(ListError::Empty);
        }
        if u32::try_from(text.len()).is_err() {
            return Err(ListError::TooLarge(text.len()));
        }
        let rest = text.strip_prefix(b"[Version]\n").ok_or(ListError::NoVersion)?;
        check_version(&rest[..memchr(b'\n', rest).unwrap_or(rest.len())])?;
        let end = find_end(text).ok_or(ListError::NoEnd)?;
        // Where a header's line ends, `from` is the LF before the empty line before it.
        let behind_header = |from: usize| (from + 2 + line_at(text, from + 2).len() + 1).min(end);
        let files = memmem::find(&text[..end], b"\n\n[Files").ok_or(ListError::NoFiles)?;
        let files = behind_header(files);
        // The empty line before `[End]` belongs to no section.
        let last = if text[..end].ends_with(b"\n\n") { end - 1 } else { end }.max(files);
        // The line before the first row may be the empty one, if there is no row.
        let checksums = memmem::rfind(&text[files - 1..end], b"\n\n[Checksums").map(|at| files - 1 + at);
        Ok(match checksums {
            Some(before) => {
                let start = behind_header(before);
                Sections { files: files..before + 1, checksums: start..last.max(start) }
            }
            None => Sections { files: files..last, checksums: end..end },
        })
    }

    /// Whether a line is one that heads a section, or the end.
    pub fn is_header(line: &[u8]) -> bool {
        HEADERS.iter().any(|known| line.starts_with(known))
    }

    /// The rows, cut into pieces of some MiB between lines, for several threads.
    pub fn pieces(&self, text: &[u8]) -> Vec<Range<usize>> {
        cut(text, self.files.clone(), self.files.clone().step_by(PIECE).skip(1))
    }

    /// The checksums that can be read: SHA-1 and path.
    ///
    /// Lines that cannot are passed over; [`Sections::bad_checksums`] has them.
    pub fn checksums<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = (RelPath<'t>, Checksum)> {
        lines(text, self.checksums.clone()).filter_map(|line| checksum(&text[line]))
    }

    /// The lines of the checksum section that cannot be read.
    pub fn bad_checksums(&self, text: &[u8]) -> impl Iterator<Item = Bad> {
        let lines = lines(text, self.checksums.clone()).filter(|line| checksum(&text[line.clone()]).is_none());
        lines.map(|line| Bad { line, why: BadRow::Checksum })
    }
}

/// Cuts `range` behind the first LF at or after each of `cuts`.
pub(super) fn cut(text: &[u8], range: Range<usize>, cuts: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = range.start;
    for cut in cuts {
        let cut = cut.clamp(start, range.end);
        let end = memchr(b'\n', &text[cut..range.end]).map_or(range.end, |len| cut + len + 1);
        pieces.push(start..end);
        start = end;
    }
    pieces.push(start..range.end);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// The lines within `range`, each without its LF, as ranges of `text`.
pub(super) fn lines(text: &[u8], range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        if start >= range.end {
            return None;
        }
        let end = memchr(b'\n', &text[start..range.end]).map_or(range.end, |len| start + len);
        let line = start..end;
        start = end + 1;
        Some(line)
    })
}

/// The line that starts at `start`, without its LF.
pub fn line_at(text: &[u8], start: usize) -> &[u8] {
    let rest = &text[start..];
    &rest[..memchr(b'\n', rest).unwrap_or(rest.len())]
}

fn check_version(line: &[u8]) -> Result<(), ListError> {
    let number = std::str::from_utf8(line).ok().and_then(|text| text.trim().parse::<u64>().ok());
    match number {
        Some(version) if version <= NEWEST_VERSION => Ok(()),
        _ => Err(ListError::Version(escape(&line[..line.len().min(40)]))),
    }
}

/// Where `[End]` starts, if it stands in one of the last two lines.
fn find_end(text: &[u8]) -> Option<usize> {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let last = memchr::memrchr(b'\n', body).map_or(0, |lf| lf + 1);
    if &body[last..] == b"[End]" {
        return Some(last);
    }
    let before = &body[..last.checked_sub(1)?];
    let start = memchr::memrchr(b'\n', before).map_or(0, |lf| lf + 1);
    (&before[start..] == b"[End]").then_some(start)
}

/// The row of the checksum section that starts at `start`.
///
/// # Errors
/// The line, if it cannot be read.
pub fn checksum_at(text: &[u8], start: usize) -> Result<(RelPath<'_>, Checksum), Bad> {
    let line = line_at(text, start);
    checksum(line).ok_or_else(|| Bad { line: start..start + line.len(), why: BadRow::Checksum })
}

fn checksum(line: &[u8]) -> Option<(RelPath<'_>, Checksum)> {
    let (hex, path) = line.split_at_checked(40)?;
    let path = RelPath::new(path.strip_prefix(b"\t")?).ok()?;
    let mut sum = [0; 20];
    for (byte, pair) in sum.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?, 16).ok()?;
    }
    Some((path, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: &[u8] = b"[Version]\n2\n\n[Files]\n1\tf\t2\ta\n\n[Checksums SHA1]\n\
        da39a3ee5e6b4b0d3255bfef95601890afd80709\ta\n\n[End]\n";

    #[test]
    fn the_parts_of_a_whole_list_are_found() {
        let sections = Sections::find(WHOLE).unwrap();
        assert_eq!(&WHOLE[sections.files.clone()], b"1\tf\t2\ta\n");
        let sums: Vec<_> = sections.checksums(WHOLE).collect();
        assert_eq!(sums.len(), 1);
        assert_eq!((sums[0].0.bytes(), sums[0].1[0]), (&b"a"[..], 0xda));
    }

    #[test]
    fn sections_may_be_empty_or_absent() {
        let empty = b"[Version]\n3\n\n[Files]\n\n[Checksums SHA1]\n\n[End]\n";
        let sections = Sections::find(empty).unwrap();
        assert!(sections.files.is_empty() && sections.checksums.is_empty());
        let absent = b"[Version]\n2\n\n[Files]\n1\tf\t2\ta\n\n[End]";
        let sections = Sections::find(absent).unwrap();
        assert_eq!(&absent[sections.files], b"1\tf\t2\ta\n");
        assert!(sections.checksums.is_empty());
    }

    #[test]
    fn an_empty_line_among_the_rows_ends_nothing() {
        let text = b"[Version]\n2\n\n[Files]\n1\tf\t2\ta\n\nb\n1\tf\t2\tc\n\n[End]\n\n";
        let sections = Sections::find(text).unwrap();
        assert_eq!(&text[sections.files], b"1\tf\t2\ta\n\nb\n1\tf\t2\tc\n");
    }

    #[test]
    fn a_list_that_is_not_whole_is_refused() {
        let refused = |text: &[u8]| Sections::find(text).unwrap_err();
        assert_eq!(refused(b""), ListError::Empty);
        assert_eq!(refused(b"hello"), ListError::NoVersion);
        assert_eq!(refused(b"[Version]\n4\n\n[Files]\n\n[End]\n"), ListError::Version("4".to_owned()));
        assert_eq!(refused(b"[Version]\nnew\n\n[Files]\n\n[End]\n"), ListError::Version("new".to_owned()));
        assert_eq!(refused(b"[Version]\n2\n\n[End]\n"), ListError::NoFiles);
        assert_eq!(refused(b"[Version]\n2\n\n[Files]\n1\tf\t2\ta\n"), ListError::NoEnd);
        assert_eq!(refused(b"[Version]\n2\n\n[Files]\n\n[End]\nx\ny\n"), ListError::NoEnd);
        assert!(matches!(
            refused(b"[Version]\n2\n\n[Files]\n1\tf\t2\ta\n\n[Files]\n\n[End]\n"),
            ListError::OutOfOrder(..)
        ));
        assert!(matches!(
            refused(b"[Version]\n2\n\n[Checksums SHA1]\n\n[Files]\n1\tf\t2\ta\n\n[End]\n"),
            ListError::OutOfOrder(..)
        ));
        for cut in 0..WHOLE.len() - 1 {
            assert!(Sections::find(&WHOLE[..cut]).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(pieces in proptest::collection::vec(prop_oneof![
            Just(b"[Version]\n2\n".to_vec()), Just(b"\n".to_vec()), Just(b"[Files]\n".to_vec()),
            Just(b"[Checksums SHA1]\n".to_vec()), Just(b"[End]\n".to_vec()), Just(b"1\tf\t2\ta\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..9),
        ], 0..12)) {
            let text = pieces.concat();
            if let Ok(sections) = Sections::find(&text) {
                prop_assert!(sections.files.start <= sections.files.end && sections.files.end <= text.len());
                prop_assert!(sections.checksums.start <= sections.checksums.end && sections.checksums.end <= text.len());
                sections.checksums(&text).for_each(drop);
            }
        }
    }
}
