//! The paths that changed and went, until a hook was told of them.
//!
//! Two files of paths below the mirror root, each ended by NUL, as the hook gets them. They are no sealed files: a path is added at a time, and
//! one that a crash cuts off is finished by the next.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use super::{State, StateError, remove};

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It came, or is another one now.
    Changed,
    /// It went, with all below it.
    Removed,
}

/// The file of such paths.
pub fn file(state: &State, change: Change) -> PathBuf {
    state.dir().join(match change {
        Change::Changed => "changed.paths",
        Change::Removed => "removed.paths",
    })
}

/// Whether there are paths of which no hook was told with success.
pub fn are_waiting(state: &State) -> bool {
    [Change::Changed, Change::Removed].iter().any(|&change| file(state, change).exists())
}

/// Both files, open to be added to. Each path is written at once: what a run changed before it was killed is known.
#[derive(Debug)]
pub struct Changes {
    changed: File,
    removed: File,
}

impl Changes {
    /// Makes the files that are not there.
    ///
    /// # Errors
    /// If they cannot be made, or not be written to.
    pub fn open(state: &State) -> Result<Changes, StateError> {
        let open = |change| {
            let path = file(state, change);
            OpenOptions::new().append(true).create(true).open(&path).map_err(StateError::io("cannot write", &path))
        };
        Ok(Changes { changed: open(Change::Changed)?, removed: open(Change::Removed)? })
    }

    /// Adds a path below the mirror root.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&self, change: Change, path: &[u8]) -> io::Result<()> {
        let mut file = match change {
            Change::Changed => &self.changed,
            Change::Removed => &self.removed,
        };
        file.write_all(&[path, b"\0"].concat())
    }
}

/// Forgets all paths: a hook was told of them.
///
/// # Errors
/// If they cannot be removed; then the next hook is told again.
pub fn forget(state: &State) -> Result<(), StateError> {
    [Change::Changed, Change::Removed].into_iter().try_for_each(|change| remove("cannot remove", &file(state, change)))
}
