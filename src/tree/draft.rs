//! A file that is written beside its place, and takes it only if it differs from what is there.
//!
//! As long as what comes is what is there, nothing is written: an unchanged list costs a look, whatever its size.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use tempfile::NamedTempFile;

use super::root::each_entry;
use super::{Root, TreeError};
use crate::path::RelPath;
use crate::plan::leftovers::STAGED;

/// So many bytes are compared or written at once.
const BLOCK: usize = 1 << 20;

/// The mode of a file that was not there before: readable for all.
const MODE: u32 = 0o644;

/// A file on its way. What is beside its place goes with this value.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    dry_run: bool,
    written: Written,
    /// What came and was not compared or written yet.
    block: Vec<u8>,
}

#[derive(Debug)]
enum Written {
    /// All that came is what is there, so far.
    Same { old: File, len: u64 },
    /// It is in a file of its own.
    Beside(NamedTempFile),
    /// It differs, and in a dry run nobody wants to have it.
    Nowhere,
}

impl Draft {
    /// Begins a file that is to stand at `path`. In a dry run it is compared, and not written.
    ///
    /// # Errors
    /// If what is there cannot be read.
    pub fn new(path: &Path, dry_run: bool) -> Result<Draft, TreeError> {
        let written = match File::open(path) {
            Ok(old) => Written::Same { old, len: 0 },
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(TreeError::new("cannot read", path, error));
            }
            Err(_) if dry_run => Written::Nowhere,
            Err(_) => Written::Beside(beside(path, None).map_err(|error| cannot_write(path, error))?),
        };
        Ok(Draft { path: path.to_owned(), dry_run, written, block: Vec::new() })
    }

    /// Adds to it.
    ///
    /// # Errors
    /// If it cannot be compared or written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.block.extend_from_slice(bytes);
        if self.block.len() < BLOCK {
            return Ok(());
        }
        self.flush().map_err(|error| cannot_write(&self.path, error))
    }

    /// All has come. `None` if it is what is there; else it is on disk, and can take its place.
    ///
    /// # Errors
    /// If it cannot be compared or written.
    pub fn finish(mut self) -> Result<Option<Finished>, TreeError> {
        let finished = self.flush().and_then(|()| match &self.written {
            Written::Same { old, len } if old.metadata()?.len() == *len => Ok(true),
            Written::Same { .. } => self.part().map(|()| false),
            _ => Ok(false),
        });
        let is_same = finished.map_err(|error| cannot_write(&self.path, error))?;
        if is_same {
            return Ok(None);
        }
        let Written::Beside(file) = self.written else { return Ok(Some(Finished { path: self.path, beside: None })) };
        file.as_file().sync_all().map_err(|error| cannot_write(&self.path, error))?;
        Ok(Some(Finished { path: self.path, beside: Some(file) }))
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Written::Same { old, len } = &mut self.written {
            if begins_with(old, &self.block)? {
                *len += self.block.len() as u64;
                self.block.clear();
                return Ok(());
            }
            self.part()?;
        }
        if let Written::Beside(file) = &mut self.written {
            file.write_all(&self.block)?;
        }
        self.block.clear();
        Ok(())
    }

    /// From here on it differs from what is there.
    fn part(&mut self) -> io::Result<()> {
        if let Written::Same { old, len } = std::mem::replace(&mut self.written, Written::Nowhere)
            && !self.dry_run
        {
            self.written = Written::Beside(beside(&self.path, Some((old, len)))?);
        }
        Ok(())
    }
}

/// A new file beside `path`, with so many bytes of the old one, and its mode.
fn beside(path: &Path, old: Option<(File, u64)>) -> io::Result<NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(STAGED).tempfile_in(directory)?;
    let mode = match old {
        None => Permissions::from_mode(MODE),
        Some((mut old, len)) => {
            old.rewind()?;
            io::copy(&mut (&old).take(len), file.as_file_mut())?;
            old.metadata()?.permissions()
        }
    };
    file.as_file().set_permissions(mode)?;
    Ok(file)
}

/// Whether these bytes come next in a file.
fn begins_with(file: &mut File, bytes: &[u8]) -> io::Result<bool> {
    let mut there = vec![0; bytes.len()];
    match file.read_exact(&mut there) {
        Ok(()) => Ok(there == bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn cannot_write(path: &Path, error: io::Error) -> TreeError {
    TreeError::new("cannot write", path, error)
}

/// A whole file that differs from what is in its place.
#[derive(Debug)]
pub struct Finished {
    path: PathBuf,
    /// None in a dry run.
    beside: Option<NamedTempFile>,
}

impl Finished {
    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Lets files take their places, one right after the other, and has their directories written down. In a dry run nothing happens.
///
/// # Errors
/// If one of them cannot; those before it have taken theirs.
pub fn publish(files: Vec<Finished>) -> Result<(), TreeError> {
    let mut directories = Vec::new();
    for Finished { path, beside } in files {
        if let Some(file) = beside {
            directories.extend(file.path().parent().map(Path::to_owned));
            file.persist(&path).map_err(|error| TreeError::new("cannot install", &path, error.error))?;
        }
    }
    directories.dedup();
    directories.iter().try_for_each(|directory| {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| TreeError::new("cannot write down", directory, error))
    })
}

/// Removes what a program that was killed left at the top of a directory. Whoever has the lock of the directory knows that
/// nobody else is at work.
///
/// # Errors
/// If something cannot be removed.
pub fn sweep(root: &Root) -> Result<(), TreeError> {
    let sweep = || {
        let mut left = Vec::new();
        let top = root.open_dir(RelPath::TOP)?;
        each_entry(&top, |entry| {
            let name = entry.file_name();
            left.extend(name.to_bytes().starts_with(STAGED.as_bytes()).then(|| name.to_owned()));
            Ok(true)
        })?;
        left.iter().try_for_each(|name| Ok(rustix::fs::unlinkat(&top, name, AtFlags::empty())?))
    };
    sweep().map_err(|error: io::Error| TreeError::new("cannot clean", root.path(), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    /// Writes `parts` to `path`; says whether it changed.
    fn write(path: &Path, parts: &[&[u8]], dry_run: bool) -> bool {
        let mut draft = Draft::new(path, dry_run).unwrap();
        parts.iter().for_each(|part| draft.write(part).unwrap());
        let finished: Vec<_> = draft.finish().unwrap().into_iter().collect();
        let changed = !finished.is_empty();
        publish(finished).unwrap();
        changed
    }

    #[test]
    fn only_what_differs_is_replaced_wherever_it_differs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        let long = vec![b'x'; BLOCK + 7];
        assert!(write(&path, &[b"one"], true) && !path.exists());
        assert!(write(&path, &[&long, b"tail"], false));
        let first = fs::metadata(&path).unwrap();
        assert_eq!(first.mode() & 0o7777, MODE);
        assert!(!write(&path, &[&long, b"tail"], false));
        assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for changed in [&[&long[..], b"Tail"][..], &[&long, b"Ta"], &[&long], &[&long, b"longer"], &[b"short"], &[]] {
            let before = fs::read(&path).unwrap();
            assert!(write(&path, changed, true));
            assert_eq!(fs::read(&path).unwrap(), before, "a dry run changes nothing");
            assert!(write(&path, changed, false));
            assert!(fs::read(&path).unwrap() == changed.concat());
            assert!(!write(&path, changed, false));
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600, "it keeps its mode");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        Draft::new(&path, false).unwrap().write(b"half").unwrap();
        drop(Draft::new(&path, false).unwrap().finish().unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(Draft::new(&directory.path().join("absent/list"), false).is_err());
    }
}
