//! The request: directories as JSON, packed by bzip2, as url-safe Base64 with padding, as the one parameter of an XML-RPC call.
//!
//! The format is what MirrorManager's server reads (`xml_rpc.py` and `lib/hostconfig.py` of mirrormanager2). Everything is written as it
//! goes: what stands in memory is what comes out, some bytes for each directory.

use std::io::{self, Write};
use std::str;

use base64::engine::general_purpose::URL_SAFE;
use base64::write::EncoderWriter;
use bzip2::Compression;
use bzip2::write::BzEncoder;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;

use crate::list::{Carry, Kind, ListError, Listing, Row, Sections};
use crate::path::RelPath;

const BEFORE: &[u8] =
    b"<?xml version='1.0'?>\n<methodCall>\n<methodName>checkin</methodName>\n<params>\n<param>\n<value><string>";
const AFTER: &[u8] = b"</string></value>\n</param>\n</params>\n</methodCall>\n";

/// Who checks in. The names are exactly as MirrorManager has them, letter for letter.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// The address that is called. The server does not read it; report_mirror sends it too.
    pub server: &'a str,
    /// The site.
    pub site: &'a str,
    /// The site's password.
    pub password: &'a str,
    /// The host.
    pub host: &'a str,
}

/// What is here of one category.
#[derive(Clone, Debug)]
pub struct Category<'t> {
    /// Its name, such as `Fedora Linux`; it is sent in lower case.
    pub name: String,
    /// Its directories below its top, in the order of their paths. The top itself is always sent.
    pub directories: Vec<&'t str>,
}

impl Category<'_> {
    /// How many directories are sent.
    pub fn len(&self) -> usize {
        self.directories.len() + 1
    }

    /// Whether it has its top only: sent, it would take from the server all that it knows.
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty()
    }

    /// Whether it has fewer directories than `before`, by more than this share (percent).
    pub fn has_shrunk(&self, before: usize, percent: u8) -> bool {
        let (now, least) = (self.len() as u128 * 100, before as u128 * u128::from(100 - percent.min(100)));
        now < least
    }
}

/// The directories of a module below the top of its category, in the order of their paths.
///
/// `top` is the top of the category in the module: `linux` where the category begins at `fedora/linux`. What counts are the rows of the
/// applied list that `carry` lets through. A name that is no UTF-8 is left out: JSON has no word for it, and so the server has none.
///
/// # Errors
/// If the list cannot be read.
pub fn directories<'t>(
    text: &'t [u8],
    sections: &Sections,
    top: RelPath<'_>,
    carry: impl Fn(&Row, RelPath<'_>) -> Carry + Sync,
) -> Result<Vec<&'t str>, ListError> {
    let listing = Listing::read(text, sections, |row, path| match row.kind {
        Kind::Dir if path.is_within(top) => carry(row, path),
        _ => Carry::No,
    })?;
    let mut paths: Vec<RelPath<'t>> = listing.rows().iter().map(|row| listing.path(row)).collect();
    paths.sort_unstable();
    let start = if top.is_top() { 0 } else { top.bytes().len() + 1 };
    // What is shorter is the top, or the directories above it.
    let below = paths.into_iter().filter_map(|path| path.bytes().get(start..)).filter(|path| !path.is_empty());
    Ok(below.filter_map(|path| str::from_utf8(path).ok()).collect())
}

/// Writes the whole call, as it is sent.
///
/// # Errors
/// If `out` does not take it.
pub fn write<W: Write>(identity: &Identity<'_>, categories: &[Category<'_>], mut out: W) -> io::Result<W> {
    out.write_all(BEFORE)?;
    let packed = EncoderWriter::new(out, &URL_SAFE);
    let mut plain = BzEncoder::new(packed, Compression::best());
    serde_json::to_writer(&mut plain, &Payload { identity, categories })?;
    let mut out = plain.finish()?.finish()?;
    out.write_all(AFTER)?;
    Ok(out)
}

/// The JSON of a request, for human eyes: indented, without the password.
pub fn shown(identity: &Identity<'_>, categories: &[Category<'_>]) -> String {
    let identity = Identity { password: "***", ..*identity };
    // Maps of text to text are always JSON.
    serde_json::to_string_pretty(&Payload { identity: &identity, categories }).unwrap_or_default()
}

/// What the server reads of the JSON.
struct Payload<'p> {
    identity: &'p Identity<'p>,
    categories: &'p [Category<'p>],
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Identity { server, site, password, host } = self.identity;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &0)?;
        // The server compares with the text "1".
        map.serialize_entry("global", &json!({ "enabled": "1", "server": server }))?;
        map.serialize_entry("site", &json!({ "name": site, "password": password, "enabled": "1" }))?;
        map.serialize_entry("host", &json!({ "name": host, "enabled": "1" }))?;
        map.serialize_entry("stats", &json!({}))?;
        for category in self.categories {
            map.serialize_entry(&category.name.to_lowercase(), category)?;
        }
        map.end()
    }
}

impl Serialize for Category<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("enabled", "1")?;
        map.serialize_entry("dirtree", &Tree(&self.directories))?;
        map.end()
    }
}

/// The directories, each with nothing to say of it.
struct Tree<'c>(&'c [&'c str]);

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(std::iter::once("").chain(self.0.iter().copied()).map(|directory| (directory, json!({}))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use base64::Engine;
    use bzip2::read::BzDecoder;
    use proptest::prelude::*;

    use super::*;

    const IDENTITY: Identity<'_> =
        Identity { server: "https://s/", site: "a \"site\"", password: "p\\w\n", host: "h.example" };

    /// What the server makes of a call.
    fn unpack(call: &[u8]) -> serde_json::Value {
        let packed = call.strip_prefix(BEFORE).unwrap().strip_suffix(AFTER).unwrap();
        let plain = URL_SAFE.decode(packed).unwrap();
        let mut json = Vec::new();
        BzDecoder::new(&plain[..]).read_to_end(&mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn list(rows: &str) -> String {
        format!("[Version]\n2\n\n[Files]\n{rows}\n[End]\n")
    }

    fn below<'t>(text: &'t str, top: &str, carry: impl Fn(RelPath<'_>) -> bool + Sync) -> Vec<&'t str> {
        let sections = Sections::find(text.as_bytes()).unwrap();
        let top = RelPath::of_dir(top.as_bytes()).unwrap();
        let carry = |_: &Row, path: RelPath<'_>| if carry(path) { Carry::Yes } else { Carry::No };
        directories(text.as_bytes(), &sections, top, carry).unwrap()
    }

    #[test]
    fn the_call_holds_each_field_that_the_server_reads() {
        let linux = Category { name: "Fedora Linux".into(), directories: vec!["releases", "releases/43", "u\u{e9}"] };
        let epel = Category { name: "fedora epel".into(), directories: vec!["10"] };
        let call = write(&IDENTITY, &[linux, epel], Vec::new()).unwrap();
        let expected = json!({
            "version": 0,
            "global": { "enabled": "1", "server": "https://s/" },
            "site": { "name": "a \"site\"", "password": "p\\w\n", "enabled": "1" },
            "host": { "name": "h.example", "enabled": "1" },
            "stats": {},
            "fedora linux": {
                "enabled": "1",
                "dirtree": { "": {}, "releases": {}, "releases/43": {}, "u\u{e9}": {} },
            },
            "fedora epel": { "enabled": "1", "dirtree": { "": {}, "10": {} } },
        });
        assert_eq!(unpack(&call), expected);
    }

    #[test]
    fn a_category_shrinks_by_a_share() {
        let category = Category { name: "c".into(), directories: vec!["d"; 69] };
        assert!(!category.has_shrunk(100, 30) && category.has_shrunk(101, 30), "70 of 100 are 70 %");
        assert!(!category.has_shrunk(usize::MAX, 100) && category.has_shrunk(71, 0));
        assert!(!category.has_shrunk(0, 30) && !category.has_shrunk(70, 0));
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let shown = shown(&IDENTITY, &[Category { name: "x".into(), directories: vec!["d"] }]);
        assert!(shown.contains("h.example") && shown.contains("***") && !shown.contains("p\\"), "{shown}");
    }

    #[test]
    fn directories_are_those_below_the_top_that_are_carried() {
        let text = list(
            "1\td\t9\tlinux/releases/43\n1\td\t9\tlinux/releases\n1\tf\t9\tlinux/releases/43/file\n1\td\t9\tlinux\n\
             1\td\t9\tlinux-else\n1\td\t9\tother\n1\tl\t9\tlinux/link\n1\td\t9\tlinux/debug\n",
        );
        let carry = |path: RelPath<'_>| path.name() != b"debug";
        assert_eq!(below(&text, "linux", carry), ["releases", "releases/43"]);
        assert_eq!(below(&text, "", carry), ["linux", "linux/releases", "linux/releases/43", "linux-else", "other"]);
        assert!(below(&text, "absent", carry).is_empty());
    }

    proptest! {
        #[test]
        fn any_names_arrive(site in ".*", password in ".*", host in ".*", dirs in proptest::collection::btree_set(".+", 0..20)) {
            let identity = Identity { site: &site, password: &password, host: &host, ..IDENTITY };
            let category = Category { name: "c".into(), directories: dirs.iter().map(String::as_str).collect() };
            let got = unpack(&write(&identity, std::slice::from_ref(&category), Vec::new()).unwrap());
            prop_assert_eq!(got["site"]["name"].as_str(), Some(site.as_str()));
            prop_assert_eq!(got["site"]["password"].as_str(), Some(password.as_str()));
            prop_assert_eq!(got["host"]["name"].as_str(), Some(host.as_str()));
            let tree = got["c"]["dirtree"].as_object().unwrap();
            prop_assert_eq!(tree.len(), category.len());
            prop_assert!(dirs.iter().all(|dir| tree.contains_key(dir)));
        }
    }
}
