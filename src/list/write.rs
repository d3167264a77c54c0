//! Writing a list: its sections, its rows, and the plain lists that go with it.

use super::sections::{Checksum, lines};
use super::{Kind, Mark};
use crate::path::RelPath;

/// What a list begins with; the rows follow.
pub const HEAD: &[u8] = b"[Version]\n2\n\n[Files]\n";

/// What stands between the rows and the checksums.
pub const CHECKSUMS: &[u8] = b"\n[Checksums SHA1]\n";

/// What ends a list.
pub const END: &[u8] = b"\n[End]\n";

/// The files whose checksums a list has if nobody says otherwise: their names and sizes stay the same when their content changes.
pub const CHECKSUMS_OF: &str = "repomd.xml";

/// What the names of images end in, behind a point: the formats of productmd, which fedfind looks for.
const IMAGES: [&str; 26] = [
    "appx",
    "box",
    "erofs",
    "erofs.gz",
    "erofs.xz",
    "iso",
    "oci",
    "ociarchive",
    "ova",
    "qcow",
    "qcow2",
    "raw",
    "raw.xz",
    "squashfs",
    "squashfs.gz",
    "squashfs.xz",
    "tar",
    "tar.gz",
    "tar.xz",
    "vdi",
    "vhd",
    "vhd.gz",
    "vhd.xz",
    "vhdfixed.xz",
    "vmdk",
    "wsl",
];

/// What a row says of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'e> {
    /// Seconds since the epoch.
    pub time: i64,
    /// What it is; not [`Kind::Unreadable`].
    pub kind: Kind,
    /// Who may read it.
    pub mark: Mark,
    /// Bytes, as lstat says.
    pub size: u64,
    /// Its path.
    pub path: RelPath<'e>,
}

/// Adds the row of an entry to `out`.
pub fn row(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let letter = match entry.kind {
        Kind::File => b'f',
        Kind::Dir => b'd',
        Kind::Link => b'l',
        Kind::Unreadable => unreachable!("only a row that was read can be unreadable"),
    };
    let (mut time, mut size) = (itoa::Buffer::new(), itoa::Buffer::new());
    out.extend_from_slice(time.format(entry.time).as_bytes());
    out.extend_from_slice(&[b'\t', letter]);
    out.extend_from_slice(match entry.mark {
        Mark::Public => b"",
        Mark::Restricted => b"-",
        Mark::Below => b"*",
    });
    out.push(b'\t');
    out.extend_from_slice(size.format(entry.size).as_bytes());
    out.push(b'\t');
    out.extend_from_slice(entry.path.bytes());
    out.push(b'\n');
}

/// Adds the row of a checksum to `out`.
pub fn checksum(out: &mut Vec<u8>, sum: &Checksum, path: RelPath<'_>) {
    sum.iter().for_each(|byte| out.extend_from_slice(format!("{byte:02x}").as_bytes()));
    out.push(b'\t');
    out.extend_from_slice(path.bytes());
    out.push(b'\n');
}

/// Adds to `out` what a plain list says of these rows, whole lines: `./path`, one a line.
pub fn plain(out: &mut Vec<u8>, rows: &[u8]) {
    paths(rows).for_each(|(_, path)| plain_row(out, path));
}

/// Adds to `out` what a plain list of images says of these rows, whole lines.
pub fn images(out: &mut Vec<u8>, rows: &[u8]) {
    let images = paths(rows).filter(|(kind, path)| !kind.starts_with(b"d") && is_image(path));
    images.for_each(|(_, path)| plain_row(out, path));
}

fn plain_row(out: &mut Vec<u8>, path: &[u8]) {
    out.extend_from_slice(b"./");
    out.extend_from_slice(path);
    out.push(b'\n');
}

/// Kind and path of each row that [`row`] wrote.
fn paths(rows: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(rows, 0..rows.len()).filter_map(|line| {
        let mut fields = rows[line].splitn(4, |byte| *byte == b'\t');
        Some((fields.nth(1)?, fields.nth(1)?))
    })
}

fn is_image(path: &[u8]) -> bool {
    let ends_in = |format: &str| path.strip_suffix(format.as_bytes()).is_some_and(|name| name.ends_with(b"."));
    IMAGES.into_iter().any(ends_in)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Row;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            (time, size) in (0..i64::MAX, 0..i64::MAX as u64),
            mark in prop_oneof![Just(Mark::Public), Just(Mark::Restricted), Just(Mark::Below)],
            kind in prop_oneof![Just(Kind::File), Just(Kind::Dir), Just(Kind::Link)],
            path in proptest::collection::vec(any::<u8>(), 1..20).prop_filter("a path", |path| RelPath::new(path).is_ok()),
        ) {
            let mut out = Vec::new();
            row(&mut out, &Entry { time, kind, mark, size, path: RelPath::new(&path).expect("a path") });
            let line = out.strip_suffix(b"\n").expect("a line");
            let read = Row::parse(line, 0).expect("a row");
            prop_assert_eq!((read.time, read.size, read.kind, read.mark), (time, size, kind, mark));
            prop_assert_eq!(read.path(line).bytes(), &path[..]);
            let mut listed = Vec::new();
            plain(&mut listed, &out);
            prop_assert_eq!(listed, [b"./", &path[..], b"\n"].concat());
        }
    }

    #[test]
    fn images_are_known_by_their_last_letters() {
        for (path, is) in [("a/b.iso", true), ("b.raw.xz", true), ("c.xz", false), ("iso", false), ("x.qcow2", true)] {
            assert_eq!(is_image(path.as_bytes()), is, "{path}");
        }
        let mut out = Vec::new();
        images(&mut out, b"1\tf-\t2\ta/b.iso\n1\td\t2\tc.iso\n1\tf\t2\td.rpm\n1\tl*\t2\te.ova\n");
        assert_eq!(out, b"./a/b.iso\n./e.ova\n");
    }
}
