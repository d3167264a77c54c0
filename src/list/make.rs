//! Makes the list of a module's directory, as upstream does, and puts it in place.
//!
//! The only part of [`list`](crate::list) that touches the file system.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};
use walkdir::WalkDir;

const GROUP_READABLE: u32 = 0o040;
const WORLD_READABLE: u32 = 0o004;

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

/// Whether a path ends as an image does.
pub fn is_image(path: &[u8]) -> bool {
    let ends_in = |format: &&str| path.strip_suffix(format.as_bytes()).is_some_and(|name| name.ends_with(b"."));
    IMAGES.iter().any(|format| ends_in(format))
}

/// How a list is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names that are left out at the top of the directory: the lists themselves.
    pub skip_top: Vec<OsString>,
    /// Files with one of these names get a row in the checksum section.
    pub checksums_of: Vec<OsString>,
    /// Which time of an entry is written.
    pub clock: Times,
}

impl Default for Options {
    fn default() -> Options {
        Options { skip_top: Vec::new(), checksums_of: vec!["repomd.xml".into()], clock: Times::Newest }
    }
}

/// Which time of an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// The newer of mtime and ctime, as the format says.
    Newest,
    /// The mtime alone: for trees that must give the same list each time they are built, since a ctime cannot be set.
    Modified,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Made {
    /// The rows of the `[Files]` section.
    pub entries: u64,
    /// The sizes of all files together, hard links counted each time.
    pub bytes: u64,
    /// What is in the directory and not in the list, though somebody may expect it there.
    pub warnings: Vec<Warning>,
}

/// Something that a list cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum Warning {
    /// A symbolic link that leads nowhere, or a name that vanished meanwhile.
    #[error("{} leads nowhere: {source}", .path.display())]
    Dangling {
        /// The link.
        path: PathBuf,
        /// What following it said.
        source: io::Error,
    },
    /// The format has no escaping, so a name with a line feed would break the list. Nothing below it is listed either.
    #[error("{path:?} has a line feed in its name")]
    LineFeed {
        /// The entry.
        path: PathBuf,
    },
    /// A device, a socket or a pipe: nothing that is mirrored.
    #[error("{} is neither a file nor a directory nor a symbolic link", .path.display())]
    Special {
        /// The entry.
        path: PathBuf,
    },
}

/// Why there is no list. What was written until then is not one: it has no end.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A directory or an entry could not be read: a list without it would have mirrors delete it.
    #[error("cannot read {}", .path.display())]
    Read {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The list could not be written.
    #[error("cannot write the list")]
    Write(#[from] io::Error),
}

/// Writes the list of everything below `directory`: sorted within each directory, a directory after its contents.
pub fn make(directory: &Path, options: &Options, out: &mut dyn Write) -> Result<Made, MakeError> {
    let mut out = io::BufWriter::with_capacity(1 << 18, out);
    let mut made = Made::default();
    let mut summed = BTreeSet::new();
    // The directories that the walk is in, outermost first: each row is written when the walk has left it.
    let mut open: Vec<Row> = Vec::new();

    out.write_all(b"[Version]\n2\n\n[Files]\n")?;
    let mut walk = WalkDir::new(directory).min_depth(1).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|error| walk_error(directory, error))?;
        let depth = entry.depth();
        while open.len() >= depth {
            open.pop().expect("deeper than the top").write(&mut out, &mut made)?;
        }
        let listed = listed(&entry, options, &mut made.warnings)?;
        let Some((kind, metadata)) = listed else {
            if entry.file_type().is_dir() {
                walk.skip_current_dir();
            }
            continue;
        };
        let path = entry.path().strip_prefix(directory).expect("the walk stays below its top");
        let hidden_above = open.last().is_some_and(|above| above.mark.is_some());
        let row = Row::new(path, kind, &metadata, options.clock, hidden_above);
        match kind {
            Kind::Directory => open.push(row),
            Kind::File | Kind::Link => {
                if kind == Kind::File && options.checksums_of.iter().any(|name| name == entry.file_name()) {
                    summed.insert(path.as_os_str().to_owned());
                }
                row.write(&mut out, &mut made)?;
            }
        }
    }
    while let Some(row) = open.pop() {
        row.write(&mut out, &mut made)?;
    }

    out.write_all(b"\n[Checksums SHA1]\n")?;
    for path in summed {
        let full = directory.join(&path);
        let sum = checksum(&full).map_err(|source| MakeError::Read { path: full, source })?;
        write!(out, "{sum}\t")?;
        out.write_all(path.as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.write_all(b"\n[End]\n")?;
    out.flush()?;
    Ok(made)
}

/// Puts a list in place, in one step that is on disk when this returns, and only if it differs from what is there.
/// Says whether it did.
pub fn install(list: &[u8], path: &Path) -> io::Result<bool> {
    match fs::read(path) {
        Ok(present) if present == list => return Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".qfm-list.").tempfile_in(directory)?;
    temporary.write_all(list)?;
    temporary.as_file().set_permissions(Permissions::from_mode(0o644))?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    File::open(directory)?.sync_all()?;
    Ok(true)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
}

/// The kind of an entry and what lstat says of it, or nothing if it does not belong into the list.
fn listed(
    entry: &walkdir::DirEntry,
    options: &Options,
    warnings: &mut Vec<Warning>,
) -> Result<Option<(Kind, fs::Metadata)>, MakeError> {
    let name = entry.file_name();
    // What NFS and rsync keep in a tree for themselves.
    if name.as_bytes().starts_with(b".nfs") || name == OsStr::new(".~tmp~") {
        return Ok(None);
    }
    if entry.depth() == 1 && options.skip_top.iter().any(|skipped| skipped == name) {
        return Ok(None);
    }
    let path = entry.path();
    if name.as_bytes().contains(&b'\n') {
        warnings.push(Warning::LineFeed { path: path.to_owned() });
        return Ok(None);
    }
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            warnings.push(Warning::Dangling { path: path.to_owned(), source });
            return Ok(None);
        }
        Err(source) => return Err(MakeError::Read { path: path.to_owned(), source }),
    };
    let kind = metadata.file_type();
    let (kind, target_mode) = if kind.is_symlink() {
        match fs::metadata(path) {
            Ok(target) => (Kind::Link, target.mode()),
            Err(source) => {
                warnings.push(Warning::Dangling { path: path.to_owned(), source });
                return Ok(None);
            }
        }
    } else if kind.is_dir() {
        (Kind::Directory, metadata.mode())
    } else if kind.is_file() {
        (Kind::File, metadata.mode())
    } else {
        warnings.push(Warning::Special { path: path.to_owned() });
        return Ok(None);
    };
    Ok((target_mode & GROUP_READABLE != 0).then_some((kind, metadata)))
}

/// One row, as it is written.
struct Row {
    time: i64,
    kind: Kind,
    mark: Option<u8>,
    size: u64,
    path: OsString,
}

impl Row {
    fn new(path: &Path, kind: Kind, metadata: &fs::Metadata, clock: Times, hidden_above: bool) -> Row {
        let time = match clock {
            Times::Newest => metadata.mtime().max(metadata.ctime()),
            Times::Modified => metadata.mtime(),
        };
        let mark = if metadata.mode() & WORLD_READABLE == 0 {
            Some(b'-')
        } else if hidden_above {
            Some(b'*')
        } else {
            None
        };
        Row { time, kind, mark, size: metadata.len(), path: path.as_os_str().to_owned() }
    }

    fn write(&self, out: &mut dyn Write, made: &mut Made) -> io::Result<()> {
        made.entries += 1;
        let letter = match self.kind {
            Kind::File => {
                made.bytes += self.size;
                b'f'
            }
            Kind::Directory => b'd',
            Kind::Link => b'l',
        };
        write!(out, "{}\t", self.time)?;
        out.write_all(&[letter])?;
        out.write_all(self.mark.as_slice())?;
        write!(out, "\t{}\t", self.size)?;
        out.write_all(self.path.as_bytes())?;
        out.write_all(b"\n")
    }
}

/// The SHA-1 of a file, in hexadecimal digits.
pub(crate) fn checksum(path: &Path) -> io::Result<String> {
    let mut hash = HashWriter(Sha1::new());
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hash.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct HashWriter(Sha1);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn walk_error(directory: &Path, error: walkdir::Error) -> MakeError {
    let path = error.path().unwrap_or(directory).to_owned();
    MakeError::Read { path, source: error.into() }
}

#[cfg(test)]
mod tests;
