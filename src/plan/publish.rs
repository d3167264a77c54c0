//! In which order a client may see what changed.
//!
//! A client reads a pointer, then the indexes that it names, then packages. Published the other way round, it never meets a
//! name that is not there. Lists come after all three, deletions last.
//!
//! What is new under its name is named by nothing that is here yet, unless it is a pointer: so new indexes, as those with a hash in
//! their names always are, come with the content. Debian's mirrors do the same with `by-hash` in their first stage.

use crate::list::Kind;
use crate::path::RelPath;

/// A publication class. The order is the order of publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Packages, images, directories: everything else; and indexes that are new under their names.
    Content,
    /// What pointers name, `Packages`, `repodata/primary.xml.gz`, …, and what takes the place of another.
    Index,
    /// What clients read first: `repomd.xml`, `InRelease`, `.treeinfo`, …
    Pointer,
}

impl Class {
    /// All classes, in the order of publication.
    pub const ALL: [Class; 3] = [Class::Content, Class::Index, Class::Pointer];

    /// The word for human eyes.
    pub const fn word(self) -> &'static str {
        match self {
            Class::Content => "content",
            Class::Index => "indexes",
            Class::Pointer => "pointers",
        }
    }

    /// The class of an entry.
    pub fn of(path: RelPath<'_>, kind: Kind) -> Class {
        let name = path.name();
        if kind == Kind::Dir {
            return Class::Content;
        }
        if is_pointer(name) {
            return Class::Pointer;
        }
        let is_among = |part: &[u8]| matches!(part, b"repodata" | b"by-hash" | b"i18n" | b"dep11");
        if is_index(name) || path.parent().parts().any(is_among) { Class::Index } else { Class::Content }
    }

    /// The class of an entry of whose name nothing is here.
    pub fn of_new(path: RelPath<'_>, kind: Kind) -> Class {
        match Class::of(path, kind) {
            Class::Content | Class::Index => Class::Content,
            Class::Pointer => Class::Pointer,
        }
    }
}

/// When something goes, among what goes beside it. The order is the order of going: the other way round a client would be led to what
/// is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leave {
    /// What clients read first.
    Pointer,
    /// What leads them on, and directories of pointers and indexes.
    Index,
    /// All else.
    Content,
}

impl Leave {
    /// When an entry goes, by its name in its directory.
    pub fn of(name: &[u8]) -> Leave {
        if is_pointer(name) {
            Leave::Pointer
        } else if matches!(name, b"repodata" | b"dists") || is_index(name) {
            Leave::Index
        } else {
            Leave::Content
        }
    }
}

fn is_pointer(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 10] = [
        b"repomd.xml",
        b"repomd.xml.asc",
        b"repomd.xml.key",
        b"InRelease",
        b"Release",
        b"Release.gpg",
        b".treeinfo",
        b"treeinfo",
        b"COMPOSE_ID",
        b"lastupdate",
    ];
    const ENDINGS: [&[u8]; 5] = [b".db", b".files", b".db.tar.gz", b".files.tar.gz", b".db.sig"];
    NAMES.contains(&name) || name.starts_with(b"ls-lR") || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn is_index(name: &[u8]) -> bool {
    [&b"Packages"[..], b"Sources", b"Contents"].iter().any(|index| is_index_name(name, index))
}

/// `Packages`, `Packages.xz`, `Contents-amd64.gz`; not `Packages-are-fun.txt`, which nobody has.
fn is_index_name(name: &[u8], index: &[u8]) -> bool {
    name.strip_prefix(index).is_some_and(|rest| matches!(rest.first(), None | Some(b'.' | b'-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_rpm_and_debian_trees() {
        let class = |path: &str| Class::of(RelPath::new(path.as_bytes()).unwrap(), Kind::File);
        let new = |path: &str| Class::of_new(RelPath::new(path.as_bytes()).unwrap(), Kind::File);
        for pointer in
            ["a/repodata/repomd.xml", "dists/sid/InRelease", "os/.treeinfo", "core/os/x86_64/core.db", "ls-lR.gz"]
        {
            assert_eq!((class(pointer), new(pointer)), (Class::Pointer, Class::Pointer), "{pointer}");
        }
        for index in [
            "a/repodata/0123abcd-primary.xml.gz",
            "dists/sid/main/binary-amd64/Packages.xz",
            "dists/sid/main/binary-amd64/by-hash/SHA256/0123",
            "dists/sid/Contents-amd64.gz",
            "dists/sid/main/i18n/Translation-en.xz",
        ] {
            assert_eq!(class(index), Class::Index, "{index}");
            assert_eq!(new(index), Class::Content, "nothing names {index} yet");
        }
        for content in ["linux/Packages/a/a.rpm", "pool/main/a/a.deb", "a/Release-notes", "Sourceror/x"] {
            assert_eq!(class(content), Class::Content, "{content}");
        }
        assert_eq!(Class::of(RelPath::new(b"a/repodata").unwrap(), Kind::Dir), Class::Content);
    }
}
