//! `repomd.xml`: the indexes of an RPM repository, and what they must hold.

use std::str;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::path::{RelPath, RelPathBuf};

/// A checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl Sum {
    /// The checksum of this type, by its name in `repomd.xml`, in hexadecimal digits. `None` for types that are not known here, and
    /// for what is no such checksum.
    pub fn new(kind: &str, hex: &str) -> Option<Sum> {
        match kind {
            "sha" | "sha1" => digits(hex).map(Sum::Sha1),
            "sha256" => digits(hex).map(Sum::Sha256),
            "sha512" => digits(hex).map(Sum::Sha512),
            _ => None,
        }
    }
}

fn digits<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut sum = [0; N];
    if hex.len() != 2 * N || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in sum.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(sum)
}

/// An index that a `repomd.xml` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its path in the module.
    pub path: RelPathBuf,
    /// Its checksum.
    pub sum: Sum,
}

/// Why bytes are not a `repomd.xml`.
#[derive(Debug, thiserror::Error)]
pub enum BadRepomd {
    /// XML is text.
    #[error("it is no UTF-8")]
    Encoding(#[from] str::Utf8Error),
    /// It is not well formed.
    #[error("it is no XML")]
    Xml(#[from] quick_xml::Error),
    /// Its end is not there.
    #[error("it is cut short")]
    Cut,
}

/// What is known of one `<data>` so far.
#[derive(Default)]
struct Data {
    href: Option<String>,
    /// Type and digits.
    sum: Option<(String, String)>,
}

/// The indexes that the `repomd.xml` of the repository at `repository` names with a checksum that is known here. What lies outside of
/// the repository is no index of it.
///
/// # Errors
/// If it cannot be read to its end: half of it says nothing about the other.
pub fn indexes(repository: RelPath<'_>, xml: &[u8]) -> Result<Vec<Index>, BadRepomd> {
    let mut reader = Reader::from_str(str::from_utf8(xml)?);
    let mut indexes = Vec::new();
    let mut data = Data::default();
    // The names of the elements that are open.
    let mut open: Vec<String> = Vec::new();
    loop {
        match reader.read_event()? {
            Event::Start(element) => {
                data.begin(&element)?;
                open.push(element.local_name().as_ref().to_owned());
            }
            Event::Empty(element) => data.begin(&element)?,
            Event::Text(text) => data.hear(open.last().map(String::as_str), &text),
            Event::End(element) => {
                open.pop();
                if element.local_name().as_ref() == "data" {
                    indexes.extend(std::mem::take(&mut data).index(repository));
                }
            }
            Event::Eof if open.is_empty() => return Ok(indexes),
            Event::Eof => return Err(BadRepomd::Cut),
            _ => {}
        }
    }
}

impl Data {
    fn begin(&mut self, element: &BytesStart<'_>) -> Result<(), quick_xml::Error> {
        let attribute = |name| -> Result<Option<String>, quick_xml::Error> {
            let found = element.try_get_attribute(name)?;
            let value = found.map(|found| found.normalized_value(XmlVersion::Implicit1_0)).transpose()?;
            Ok(value.map(|value| value.into_owned()))
        };
        match element.local_name().as_ref() {
            "data" => *self = Data::default(),
            "location" => self.href = attribute("href")?,
            "checksum" => self.sum = attribute("type")?.map(|kind| (kind, String::new())),
            _ => {}
        }
        Ok(())
    }

    fn hear(&mut self, element: Option<&str>, text: &str) {
        if element == Some("checksum") {
            self.sum.iter_mut().for_each(|(_, digits)| digits.push_str(text));
        }
    }

    fn index(self, repository: RelPath<'_>) -> Option<Index> {
        let (kind, digits) = self.sum?;
        let href = self.href?;
        let href = RelPath::new(href.as_bytes()).ok()?;
        let path = href.parts().try_fold(repository.to_owned(), |dir, part| dir.as_path().join(part)).ok()?;
        Some(Index { path, sum: Sum::new(&kind, digits.trim())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REPOMD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>1700000000</revision>
  <data type="primary">
    <checksum type="sha256">
      e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    </checksum>
    <open-checksum type="sha256">0000000000000000000000000000000000000000000000000000000000000000</open-checksum>
    <location href="repodata/a&amp;b-primary.xml.gz"/>
    <size>20</size>
    <open-size>400</open-size>
  </data>
  <data type="other"><location href="repodata/other"></location><checksum type="sha">da39a3ee5e6b4b0d3255bfef95601890afd80709</checksum></data>
  <data type="unknown"><location href="repodata/x"/><checksum type="md5">d41d8cd98f00b204e9800998ecf8427e</checksum></data>
  <data type="outside"><location href="../../x"/><checksum type="sha1">da39a3ee5e6b4b0d3255bfef95601890afd80709</checksum></data>
  <data type="none"><location href="repodata/none"/></data>
</repomd>
"#;

    #[test]
    fn indexes_are_read_with_their_checksums() {
        let repository = RelPath::new(b"linux/os").unwrap();
        let read = indexes(repository, REPOMD.as_bytes()).unwrap();
        let read: Vec<_> = read.iter().map(|it| (it.path.as_path().to_string(), it.sum)).collect();
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        let expected = [
            ("linux/os/repodata/a&b-primary.xml.gz".to_owned(), Sum::new("sha256", sha256).unwrap()),
            ("linux/os/repodata/other".to_owned(), Sum::new("sha1", sha1).unwrap()),
        ];
        assert_eq!(read, expected);
        assert_eq!(indexes(RelPath::TOP, REPOMD.as_bytes()).unwrap()[1].path.as_path().to_string(), "repodata/other");
    }

    #[test]
    fn half_a_file_is_none() {
        for end in ["<open-size>", "</data>", "</repomd>"] {
            let half = &REPOMD[..REPOMD.find(end).unwrap()];
            assert!(indexes(RelPath::TOP, half.as_bytes()).is_err(), "{end}");
            assert!(indexes(RelPath::TOP, &half.as_bytes()[..half.len() - 3]).is_err(), "before {end}");
        }
        assert!(indexes(RelPath::TOP, b"\xff").is_err());
        assert!(indexes(RelPath::TOP, b"<repomd><data></repomd>").is_err());
        assert_eq!(indexes(RelPath::TOP, b"").unwrap(), []);
    }

    #[test]
    fn a_checksum_is_as_long_as_its_type_says() {
        assert!(Sum::new("sha512", &"0f".repeat(64)).is_some());
        for (kind, hex) in [("sha1", "0f"), ("sha256", &"0g".repeat(32)), ("sha256", &"+f".repeat(32)), ("md5", "")] {
            assert_eq!(Sum::new(kind, hex), None, "{kind} {hex}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("<data>".to_owned()), Just("</data>".to_owned()), Just("<checksum type=\"sha1\">".to_owned()),
                    Just("<location href='a&#x2f;b'/>".to_owned()), Just("<!--".to_owned()), Just("]]>".to_owned()),
                    ".{0,9}",
                ],
                0..12,
            ),
        ) {
            for index in indexes(RelPath::TOP, pieces.concat().as_bytes()).unwrap_or_default() {
                prop_assert!(!index.path.as_path().is_top());
            }
        }
    }
}
