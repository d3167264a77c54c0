//! What rsync says on stdout: one line for each name, then statistics.

/// One line of rsync's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A name that was looked at.
    Item(Item),
    /// A link that leads out of the tree, and was not made: its name, as far as the line tells.
    UnsafeLink(Vec<u8>),
    /// `Total bytes received`.
    Received(u64),
    /// `Total bytes sent`.
    Sent(u64),
    /// Anything else.
    Other,
}

/// A name that was looked at, and what became of it. Made by `--out-format=@%i %l %b %n//%L`: no name has `//` in it, and what
/// follows tells where a link leads, or which file a name was linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The eleven letters of rsync's `--itemize-changes`.
    pub change: [u8; 11],
    /// Bytes of the file.
    pub length: u64,
    /// Bytes that came over the wire for it.
    pub received: u64,
    /// Its name below the source; a directory's without a `/` at its end.
    pub name: Vec<u8>,
    /// Whether it became a hard link of a file that is here. Of names that were one file before rsync does not say which.
    pub is_linked: bool,
}

impl Item {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.change[1] == b'd'
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.change[1] == b'f'
    }

    /// Whether content of a file came over the wire.
    pub fn is_transferred(&self) -> bool {
        self.change[0] == b'>'
    }

    /// Whether nothing was here under its name.
    pub fn is_new(&self) -> bool {
        self.change[2] == b'+'
    }

    /// Whether anything about it changed here.
    pub fn is_changed(&self) -> bool {
        let is_told = self.is_linked || self.change[2..].iter().any(|&letter| letter != b' ');
        !matches!(self.change[0], b'.' | b'h') || is_told
    }
}

/// Reads one line, without its LF.
pub fn line(line: &[u8]) -> Line {
    if let Some(rest) = line.strip_prefix(b"@") {
        return item(rest).map_or(Line::Other, Line::Item);
    }
    if let Some(rest) = line.strip_prefix(b"ignoring unsafe symlink \"") {
        let end = memchr::memmem::find(rest, b"\" -> \"").unwrap_or(rest.len());
        return Line::UnsafeLink(unescape(&rest[..end]));
    }
    if let Some(rest) = line.strip_prefix(b"Total bytes received: ") {
        return number(rest).map_or(Line::Other, Line::Received);
    }
    if let Some(rest) = line.strip_prefix(b"Total bytes sent: ") {
        return number(rest).map_or(Line::Other, Line::Sent);
    }
    Line::Other
}

fn item(rest: &[u8]) -> Option<Item> {
    let (change, rest) = rest.split_first_chunk::<11>()?;
    let rest = rest.strip_prefix(b" ")?;
    let space = memchr::memchr(b' ', rest)?;
    let (length, rest) = (number(&rest[..space])?, &rest[space + 1..]);
    let space = memchr::memchr(b' ', rest)?;
    let received = number(&rest[..space])?;
    let name = &rest[space + 1..];
    let end = memchr::memmem::find(name, b"//")?;
    let (name, target) = (&name[..end], &name[end + 2..]);
    let is_linked = change[0] == b'h' && target.starts_with(b" => ");
    Some(Item { change: *change, length, received, name: unescape(name), is_linked })
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// Undoes rsync's `\#ooo`, which it writes for control characters, and for a backslash where that could be mistaken for one.
fn unescape(name: &[u8]) -> Vec<u8> {
    if memchr::memmem::find(name, b"\\#").is_none() {
        return name.to_vec();
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        match octal(rest) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &rest[5..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.strip_prefix(b"\\#")?.first_chunk::<3>()?;
    digits.iter().try_fold(0u8, |value, digit| {
        let digit = matches!(digit, b'0'..=b'7').then(|| digit - b'0')?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_line_is_understood() {
        let Line::Item(item) = line(b"@>f+++++++++ 6 50 fedora/a b -> c//") else { panic!() };
        assert_eq!((item.name.as_slice(), item.length, item.received), (&b"fedora/a b -> c"[..], 6, 50));
        assert!(item.is_transferred() && item.is_changed() && !item.is_dir() && !item.is_linked);
        let Line::Item(item) = line(b"@.d          4096 0 fedora///") else { panic!() };
        assert_eq!(item.name, b"fedora");
        assert!(item.is_dir() && !item.is_changed());
        let Line::Item(item) = line(b"@hf+++++++++ 2 0 fedora/\\#134#012\\#015x// => fedora/a//b") else { panic!() };
        assert_eq!(item.name, b"fedora/\\#012\rx");
        assert!(item.is_linked && item.is_changed());
        let link = |said: &[u8]| {
            let Line::Item(item) = line(said) else { panic!() };
            (item.is_linked, item.is_changed())
        };
        assert_eq!(link(b"@hf          2 0 fedora/a//"), (false, false), "it was one file before");
        assert_eq!(
            link(b"@hf          2 0 fedora/a// => fedora/b"),
            (true, true),
            "it was another one, that looked the same"
        );
        assert_eq!(link(b"@hf...p..... 2 0 fedora/a//"), (false, true));
        assert_eq!(link(b"@cL+++++++++ 2 0 fedora/a// -> b => c"), (false, true));
        assert_eq!(line(b"ignoring unsafe symlink \"a/b\" -> \"/etc\""), Line::UnsafeLink(b"a/b".to_vec()));
        assert_eq!(line(b"Total bytes received: 508"), Line::Received(508));
        assert_eq!(line(b"Total bytes sent: 77"), Line::Sent(77));
        assert_eq!(line(b"@>f++"), Line::Other);
        assert_eq!(line(b"hello"), Line::Other);
    }

    /// A name as rsync writes it with `-8`: control characters as `\\#ooo`, and a backslash too where that could be taken for one.
    fn written(name: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for (at, &byte) in name.iter().enumerate() {
            let seems_escaped = matches!(&name[at..], [b'\\', b'#', digits @ ..] if digits.len() >= 3 && digits[..3].iter().all(u8::is_ascii_digit));
            if byte < b' ' && byte != b'\t' || byte == 0x7f || seems_escaped {
                text.extend(format!("\\#{byte:03o}").bytes());
            } else {
                text.push(byte);
            }
        }
        text
    }

    proptest! {
        #[test]
        fn any_name_is_read_as_it_is(
            name in prop_oneof![
                proptest::collection::vec(1u8..=255, 1..30),
                proptest::collection::vec(proptest::sample::select(&b"\\#0127 /@\n\"->"[..]), 1..30),
            ],
            (length, received) in any::<(u64, u64)>(),
        ) {
            prop_assume!(memchr::memmem::find(&name, b"//").is_none() && !name.ends_with(b"/"));
            let said = [format!("@>f+++++++++ {length} {received} ").as_bytes(), &written(&name), b"//"].concat();
            let Line::Item(item) = line(&said) else { panic!("{}", said.escape_ascii()) };
            prop_assert_eq!((item.length, item.received), (length, received));
            prop_assert_eq!(item.name, name);
        }

        #[test]
        fn any_line_is_read_without_panic(bytes: Vec<u8>) {
            line(&bytes);
            line(&[b"@>f+++++++++ 1 1 ", bytes.as_slice(), b"//"].concat());
        }
    }
}
