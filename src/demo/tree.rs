//! What a tree looks like, and in what two trees differ: for the demonstration and the tests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use walkdir::WalkDir;

use super::content;

/// What is looked at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Also what is not world-readable, or lies below a directory that is not.
    pub restricted: bool,
    /// Also the bytes of files.
    pub contents: bool,
    /// Names, relative to the top, that are left out with everything below.
    pub ignore: &'a dyn Fn(&[u8]) -> bool,
}

impl View<'_> {
    /// What a public mirror carries, without the bytes of files.
    pub const PUBLIC: View<'static> = View { restricted: false, contents: false, ignore: &|_| false };
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Anything else.
    Special,
}

/// What is compared of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Bytes; 0 for a directory, whose size is its file system's matter.
    pub size: u64,
    /// Whole seconds; 0 for a directory at the top: no list names it, so nothing promises its time.
    pub mtime: i64,
    /// The permissions.
    pub mode: u32,
    /// Where a symbolic link points.
    pub target: Option<Vec<u8>>,
    /// Of a file with several names here, the first: names are hard links of each other when theirs is the same.
    pub first_name: Option<Vec<u8>>,
    /// The SHA-1 of a file in hexadecimal digits, if asked for.
    pub digest: Option<String>,
}

/// The entries of a tree by name, relative to its top.
pub type Snapshot = BTreeMap<Vec<u8>, Entry>;

/// Everything below `top`.
pub fn snapshot(top: &Path, view: &View<'_>) -> io::Result<Snapshot> {
    let mut entries = Snapshot::new();
    let mut first_names: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    let mut linked = HashSet::new();
    let mut walk = WalkDir::new(top).min_depth(1).sort_by_file_name().into_iter();
    while let Some(found) = walk.next() {
        let found = found?;
        let name = name_below(top, found.path());
        let metadata = found.metadata()?;
        if (view.ignore)(&name) || (!view.restricted && metadata.mode() & 0o004 == 0) {
            if metadata.is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        let kind = kind(&metadata);
        let mut entry = Entry {
            kind,
            size: if kind == Kind::Directory { 0 } else { metadata.len() },
            mtime: if kind == Kind::Directory && found.depth() == 1 { 0 } else { metadata.mtime() },
            mode: metadata.mode() & 0o7777,
            target: None,
            first_name: None,
            digest: None,
        };
        if kind == Kind::Link {
            entry.target = Some(fs::read_link(found.path())?.as_os_str().as_bytes().to_vec());
        }
        if kind == Kind::File {
            let inode = (metadata.dev(), metadata.ino());
            if let Some(first) = first_names.get(&inode) {
                linked.insert(first.clone());
                entry.first_name = Some(first.clone());
                entry.digest = entries[first].digest.clone();
            } else {
                entry.digest = if view.contents { Some(content::checksum(&fs::read(found.path())?)) } else { None };
                if metadata.nlink() > 1 {
                    first_names.insert(inode, name.clone());
                }
            }
        }
        entries.insert(name, entry);
    }
    for first in linked {
        if let Some(entry) = entries.get_mut(&first) {
            entry.first_name = Some(first);
        }
    }
    Ok(entries)
}

/// In what the second tree differs from the first: one line for each name, in order.
pub fn differences(upstream: &Snapshot, mirror: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, wanted) in upstream {
        let name_shown = name.escape_ascii();
        match mirror.get(name) {
            None => lines.push(format!("{name_shown}: missing")),
            Some(found) if found != wanted => lines.push(format!("{name_shown}: {}", wanted.against(found))),
            Some(_) => {}
        }
    }
    for name in mirror.keys().filter(|name| !upstream.contains_key(*name)) {
        lines.push(format!("{}: not upstream", name.escape_ascii()));
    }
    lines
}

impl Entry {
    /// In which fields another one differs.
    fn against(&self, other: &Entry) -> String {
        let mut parts = Vec::new();
        let mut part = |field: &str, wanted: String, found: String| {
            if wanted != found {
                parts.push(format!("{field} is {found}, upstream {wanted}"));
            }
        };
        let name = |name: &Option<Vec<u8>>| match name {
            Some(name) => name.escape_ascii().to_string(),
            None => "none".to_owned(),
        };
        part("kind", format!("{:?}", self.kind), format!("{:?}", other.kind));
        part("size", self.size.to_string(), other.size.to_string());
        part("time", self.mtime.to_string(), other.mtime.to_string());
        part("mode", format!("{:04o}", self.mode), format!("{:04o}", other.mode));
        part("target", name(&self.target), name(&other.target));
        part("first name", name(&self.first_name), name(&other.first_name));
        if self.digest != other.digest {
            parts.push("the bytes differ".to_owned());
        }
        parts.join(", ")
    }
}

/// What changes when anything writes to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Which one it is.
    pub number: u64,
    /// The time of the content, in seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// The time of anything, in seconds and nanoseconds.
    pub ctime: (i64, i64),
}

/// The inodes of everything below `top` and of itself (the empty name). Two that are equal: nothing was written.
pub fn inode_snapshot(top: &Path) -> io::Result<BTreeMap<Vec<u8>, Inode>> {
    let mut inodes = BTreeMap::new();
    for found in WalkDir::new(top) {
        let found = found?;
        let metadata = found.metadata()?;
        let inode = Inode {
            number: metadata.ino(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        };
        inodes.insert(name_below(top, found.path()), inode);
    }
    Ok(inodes)
}

fn name_below(top: &Path, path: &Path) -> Vec<u8> {
    path.strip_prefix(top).expect("the walk stays below its top").as_os_str().as_bytes().to_vec()
}

fn kind(metadata: &fs::Metadata) -> Kind {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        Kind::Link
    } else if kind.is_dir() {
        Kind::Directory
    } else if kind.is_file() {
        Kind::File
    } else {
        Kind::Special
    }
}
