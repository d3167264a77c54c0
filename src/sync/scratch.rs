//! The scratch directory of a run that writes nothing else: among the temporary files, and gone with the run.
//!
//! It is locked while the run is on. One that is not locked was left by a run that was killed, and the next one removes it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Failure;
use crate::config::Config;
use crate::exit::Status;

/// What its name begins with; then come some letters and digits.
const PREFIX: &str = "qfm-dry-run.";
const LETTERS: usize = 6;

/// A scratch directory, until this is dropped.
pub(super) struct Scratch {
    directory: TempDir,
    /// `None` where locks do not work: then nobody takes it for one that was left, either.
    _lock: Option<File>,
}

impl Scratch {
    /// Makes one where the configuration says, or among the temporary files of the system, and removes those that were left there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(config: &Config) -> Result<Scratch, Failure> {
        let place = config.old.as_ref().and_then(|old| old.temporary.clone()).unwrap_or_else(std::env::temp_dir);
        Scratch::within(&place).map_err(|error| {
            let context = format!("cannot make a directory for working files in {} (TMPDIR)", place.display());
            Failure::new(Status::Local, anyhow::Error::new(error).context(context))
        })
    }

    fn within(place: &Path) -> io::Result<Scratch> {
        clear(place);
        let make = || tempfile::Builder::new().prefix(PREFIX).rand_bytes(LETTERS).tempdir_in(place);
        let mut directory = make()?;
        let mut locked = lock(directory.path());
        if locked.is_none() && !directory.path().exists() {
            // Another run took it for one that was left, in the moment before it was locked.
            directory = make()?;
            locked = lock(directory.path());
        }
        Ok(Scratch { directory, _lock: locked })
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

/// Removes what runs left that were killed. What cannot be removed is left to whoever keeps the temporary files.
fn clear(place: &Path) {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    for path in entries.filter(|entry| is_ours(&entry.file_name())).map(|entry| entry.path()) {
        let own = fs::symlink_metadata(&path)
            .is_ok_and(|stat| stat.is_dir() && stat.uid() == rustix::process::geteuid().as_raw());
        if own && let Some(_lock) = lock(&path) {
            fs::remove_dir_all(path).unwrap_or_default();
        }
    }
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    let letters = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    letters.is_some_and(|letters| letters.len() == LETTERS && letters.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Locks a directory; `None` if somebody has it, or it is gone.
fn lock(path: &Path) -> Option<File> {
    let directory = File::open(path).ok()?;
    directory.try_lock().ok()?;
    let is_there =
        fs::symlink_metadata(path).is_ok_and(|stat| Some(stat.ino()) == directory.metadata().ok().map(|own| own.ino()));
    is_there.then_some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.join("lists.1")).unwrap();
            path
        };
        let left = make("qfm-dry-run.aB3xYz");
        let others = [make("qfm-dry-run.of-mine"), make("qfm-dry-run."), make("qfm.aB3xYz")];
        let link = dir.path().join("qfm-dry-run.LinkTo");
        std::os::unix::fs::symlink(&others[0], &link).unwrap();
        let first = Scratch::within(dir.path()).unwrap();
        assert!(!left.exists(), "it was left");
        let second = Scratch::within(dir.path()).unwrap();
        assert!(first.path().exists() && second.path().exists() && first.path() != second.path());
        let path = first.path();
        drop(first);
        assert!(!path.exists());
        assert!(others.iter().all(|path| path.join("lists.1").exists()) && link.is_symlink());
    }
}
