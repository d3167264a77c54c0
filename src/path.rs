//! Paths below a module's directory, checked once at the gate, and their one order.
//!
//! A path is bytes, as the file system holds them. A [`RelPath`] can be joined to a directory handle without further
//! thought: it is relative, it has no empty, `.` or `..` part, no NUL and no LF, and its parts are short enough to exist.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The longest path that Linux takes in a system call, without the NUL at its end.
const LONGEST_PATH: usize = 4095;

/// The longest name of one directory entry.
const LONGEST_NAME: usize = 255;

/// A checked path, relative to a module's directory.
///
/// The order is the one order of paths in this program: byte by byte, with `/` below every other byte. So a directory comes
/// right before what it holds, and a subtree is one contiguous range: `a` < `a/b` < `a/b/c` < `a-b`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RelPath<'a>(&'a [u8]);

/// Whether a path is among others that are sorted.
pub fn is_among(path: RelPath<'_>, sorted: &[RelPathBuf]) -> bool {
    sorted.binary_search_by(|it| it.as_path().cmp(&path)).is_ok()
}

/// Why bytes are not a [`RelPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// No bytes at all.
    #[error("the name is empty")]
    Empty,
    /// It starts with `/`.
    #[error("the name is absolute")]
    Absolute,
    /// `a//b` or `a/`.
    #[error("the name has an empty part")]
    EmptyPart,
    /// A part that is `.` or `..`.
    #[error("the name has a part that is `.` or `..`")]
    DotPart,
    /// NUL or LF, which no list can mean.
    #[error("the name holds a NUL or a line feed")]
    Control,
    /// Longer than Linux takes: 255 bytes a part, 4095 in all.
    #[error("the name is too long")]
    TooLong,
}

impl<'a> RelPath<'a> {
    /// The module's directory itself. It is no row of any list, but it is the parent of those at the top.
    pub const TOP: RelPath<'static> = RelPath(b"");

    /// Checks `bytes`.
    ///
    /// # Errors
    /// What is wrong with them; the caller knows where they came from.
    pub fn new(bytes: &'a [u8]) -> Result<RelPath<'a>, BadPath> {
        match bytes.first() {
            None => return Err(BadPath::Empty),
            Some(b'/') => return Err(BadPath::Absolute),
            Some(_) => {}
        }
        if bytes.len() > LONGEST_PATH {
            return Err(BadPath::TooLong);
        }
        if memchr::memchr2(0, b'\n', bytes).is_some() {
            return Err(BadPath::Control);
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'/', bytes).chain([bytes.len()]) {
            check_name(&bytes[start..end])?;
            start = end + 1;
        }
        Ok(RelPath(bytes))
    }

    /// Checks the bytes of a directory: like [`RelPath::new`], and no bytes at all are the module's own.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of_dir(bytes: &'a [u8]) -> Result<RelPath<'a>, BadPath> {
        if bytes.is_empty() { Ok(RelPath::TOP) } else { RelPath::new(bytes) }
    }

    /// Bytes that were checked before: a row keeps only where its path stands in the list.
    pub(crate) fn unchecked(bytes: &'a [u8]) -> RelPath<'a> {
        debug_assert!(bytes.is_empty() || RelPath::new(bytes).is_ok(), "{}", escape(bytes));
        RelPath(bytes)
    }

    /// The bytes as they are.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether this is the module's directory itself.
    pub fn is_top(self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds it; [`RelPath::TOP`] for an entry at the top, and for the top itself.
    pub fn parent(self) -> RelPath<'a> {
        RelPath(&self.0[..memchr::memrchr(b'/', self.0).unwrap_or(0)])
    }

    /// The last part.
    pub fn name(self) -> &'a [u8] {
        &self.0[memchr::memrchr(b'/', self.0).map_or(0, |slash| slash + 1)..]
    }

    /// The parts, first to last.
    pub fn parts(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
    }

    /// All directories above it, nearest first, the top left out.
    pub fn ancestors(self) -> impl Iterator<Item = RelPath<'a>> {
        std::iter::successors(Some(self.parent()), |path| Some(path.parent())).take_while(|path| !path.is_top())
    }

    /// Whether it is `other` or lies below it.
    pub fn is_within(self, other: RelPath<'_>) -> bool {
        match self.0.strip_prefix(other.0) {
            Some(rest) => other.is_top() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// An owned copy.
    pub fn to_owned(self) -> RelPathBuf {
        RelPathBuf(self.0.into())
    }

    /// The entry `name` of this directory.
    ///
    /// # Errors
    /// If `name` is not one valid part, or the whole is too long. A name that was read from a directory may be neither:
    /// it may hold LF.
    pub fn join(self, name: &[u8]) -> Result<RelPathBuf, BadPath> {
        if memchr::memchr(b'/', name).is_some() {
            return Err(BadPath::EmptyPart);
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        RelPath::new(&bytes)?;
        Ok(RelPathBuf(bytes.into()))
    }
}

/// Checks one part of a path.
fn check_name(name: &[u8]) -> Result<(), BadPath> {
    match name {
        b"" => Err(BadPath::EmptyPart),
        b"." | b".." => Err(BadPath::DotPart),
        _ if name.len() > LONGEST_NAME => Err(BadPath::TooLong),
        _ => Ok(()),
    }
}

/// Compares paths byte by byte with `/` below every other byte; see [`RelPath`].
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let same = same_at_start(a, b);
    match (a.get(same), b.get(same)) {
        (Some(b'/'), Some(_)) => Ordering::Less,
        (Some(_), Some(b'/')) => Ordering::Greater,
        (x, y) => x.cmp(&y),
    }
}

/// How many bytes two paths have in common at their start: mostly many.
fn same_at_start(a: &[u8], b: &[u8]) -> usize {
    let (words, _) = a.as_chunks::<8>();
    let words = words.iter().zip(b.as_chunks::<8>().0);
    let mut same = 0;
    for (x, y) in words {
        let differ = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differ != 0 {
            return same + differ.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + a[same..].iter().zip(&b[same..]).take_while(|(x, y)| x == y).count()
}

impl Ord for RelPath<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0, other.0)
    }
}

impl PartialOrd for RelPath<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for RelPath<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0).fmt(f)
    }
}

impl fmt::Debug for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// An owned [`RelPath`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelPathBuf(Box<[u8]>);

impl std::borrow::Borrow<[u8]> for RelPathBuf {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl RelPathBuf {
    /// The path itself.
    pub fn as_path(&self) -> RelPath<'_> {
        RelPath(&self.0)
    }
}

impl Ord for RelPathBuf {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for RelPathBuf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for RelPathBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().fmt(f)
    }
}

/// Bytes for human eyes: UTF-8 as it is, everything that could move a cursor or is no text as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                _ => push_visible(&mut text, character),
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_hex(&mut text, byte));
    }
    text
}

/// The same of a text in which names are escaped already: their backslashes stay as they are.
pub fn escape_controls(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    text.chars().for_each(|character| push_visible(&mut escaped, character));
    escaped
}

fn push_visible(text: &mut String, character: char) {
    if character.is_control() {
        let mut buffer = [0; 4];
        character.encode_utf8(&mut buffer).bytes().for_each(|byte| push_hex(text, byte));
    } else {
        text.push(character);
    }
}

fn push_hex(text: &mut String, byte: u8) {
    text.push_str(&format!("\\x{byte:02x}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names that differ by bytes around `/`: where orders go wrong.
    fn path() -> impl Strategy<Value = Vec<u8>> {
        let name =
            proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'-'), Just(b'.'), Just(b'0'), Just(0x01)], 1..3);
        proptest::collection::vec(name, 1..4)
            .prop_map(|names| names.join(&b'/'))
            .prop_filter("valid", |bytes| RelPath::new(bytes).is_ok())
    }

    proptest! {
        #[test]
        fn the_order_is_total_and_a_subtree_is_contiguous(mut paths in proptest::collection::vec(path(), 0..30)) {
            paths.sort_by(|a, b| RelPath(a).cmp(&RelPath(b)));
            for (index, dir) in paths.iter().enumerate() {
                let dir = RelPath(dir);
                let within: Vec<bool> = paths.iter().map(|path| RelPath(path).is_within(dir)).collect();
                let first = within.iter().position(|&is| is).unwrap();
                let last = within.iter().rposition(|&is| is).unwrap();
                prop_assert!(within[first..=last].iter().all(|&is| is), "{dir:?} in {paths:?}");
                prop_assert!(first <= index);
                prop_assert_eq!(paths[first].as_slice(), dir.bytes(), "a directory comes before what it holds");
            }
        }

        #[test]
        fn the_order_is_that_of_bytes_with_the_slash_first(common in "[a/]{0,20}", a in path(), b in path()) {
            let slash_first = |path: &[u8]| path.iter().map(|&byte| if byte == b'/' { 0 } else { byte }).collect::<Vec<u8>>();
            let [a, b] = [a, b].map(|path| [common.as_bytes(), &path].concat());
            prop_assert_eq!(compare(&a, &b), slash_first(&a).cmp(&slash_first(&b)));
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes: Vec<u8>) {
            if let Ok(path) = RelPath::new(&bytes) {
                prop_assert!(path.parts().all(|part| part != b".." && part != b"."));
                let joined = path.parent().join(path.name()).unwrap();
                prop_assert_eq!(joined.as_path(), path);
            }
            prop_assert!(!escape(&bytes).chars().any(char::is_control));
        }
    }

    #[test]
    fn what_could_lead_out_of_the_directory_is_refused() {
        let long_name = [b'a'; 256];
        let long_path = [b"abcdefg/".repeat(512), b"a".to_vec()].concat();
        for (bytes, why) in [
            (&b""[..], BadPath::Empty),
            (b"/etc/passwd", BadPath::Absolute),
            (b"a//b", BadPath::EmptyPart),
            (b"a/", BadPath::EmptyPart),
            (b"..", BadPath::DotPart),
            (b"a/../b", BadPath::DotPart),
            (b"./a", BadPath::DotPart),
            (b"a\0b", BadPath::Control),
            (&long_name, BadPath::TooLong),
            (&long_path, BadPath::TooLong),
        ] {
            assert_eq!(RelPath::new(bytes), Err(why), "{}", escape(bytes));
        }
        for good in [&b"a"[..], b"...", b"..a/b.", b"-rf", b"a b\t\r\xff", &[b'a'; 255]] {
            assert!(RelPath::new(good).is_ok(), "{}", escape(good));
        }
    }

    #[test]
    fn names_are_shown_without_control_characters() {
        assert_eq!(escape(b"a\tb\x1b[2J\xff\\ \xc3\xa9"), "a\\x09b\\x1b[2J\\xff\\\\ \u{e9}");
    }
}
