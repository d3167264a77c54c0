//! That something is new here and downstreams were not told of it: `untold.…`, an empty file.
//!
//! A run that brought something leaves one when all of it is saved, in the place of those before it, and it goes when the round is over that
//! tells of it. Who tells holds it locked. So one that is there and not locked was left by a run that was killed before its round was over,
//! or that was not to tell.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;

use super::{State, StateError, remove};

const PREFIX: &str = "untold.";

/// News that nobody tells of but who holds this.
#[derive(Debug)]
pub struct Untold {
    marks: Vec<(PathBuf, File)>,
}

/// Puts down that something is new here. `began` is when the run began that brought it, in seconds since the epoch.
///
/// # Errors
/// If it cannot be written.
pub fn put(state: &State, began: i64) -> Result<(), StateError> {
    let before = marks(state)?;
    let path = state.dir().join(format!("{PREFIX}{began}.{}", std::process::id()));
    let failed = StateError::io("cannot put down that downstreams are to be told, in", &path);
    File::create(&path).and_then(|_| File::open(state.dir())?.sync_all()).map_err(failed)?;
    // Who is told of this is told of all.
    before.iter().filter(|mark| **mark != path).try_for_each(|mark| remove("cannot remove", mark))
}

/// What nobody was told of, and nobody is telling of.
///
/// # Errors
/// If the state cannot be read.
pub fn take(state: &State) -> Result<Untold, StateError> {
    let mut untold = Untold { marks: Vec::new() };
    for path in marks(state)? {
        match File::open(&path) {
            Ok(mark) if !matches!(mark.try_lock(), Err(TryLockError::WouldBlock)) => untold.marks.push((path, mark)),
            // Somebody else tells of it, or has.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StateError::io("cannot open", &path)(error)),
        }
    }
    Ok(untold)
}

impl Untold {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Everybody was told.
    ///
    /// # Errors
    /// If it cannot be put down; then they are told once more.
    pub fn told(self) -> Result<(), StateError> {
        self.marks.iter().try_for_each(|(path, _lock)| remove("cannot remove", path))
    }
}

fn marks(state: &State) -> Result<Vec<PathBuf>, StateError> {
    let failed = |error| StateError::io("cannot read the state in", state.dir())(error);
    let entries = match fs::read_dir(state.dir()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?,
    };
    let is_mark = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
    Ok(entries.into_iter().filter(is_mark).map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_told_by_one_and_stay_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path(), "/srv".as_ref());
        assert!(take(&state).unwrap().is_empty());
        state.create().unwrap();
        put(&state, 1).unwrap();
        let first = take(&state).unwrap();
        assert!(!first.is_empty() && take(&state).unwrap().is_empty(), "somebody tells of it");
        drop(first);
        let first = take(&state).unwrap();
        assert!(!first.is_empty(), "who was to tell of it ended before that");
        // What comes meanwhile is told of by another round, whatever the first does.
        put(&state, 2).unwrap();
        let second = take(&state).unwrap();
        assert_eq!((second.is_empty(), marks(&state).unwrap().len()), (false, 1));
        first.told().unwrap();
        drop(second);
        assert!(!take(&state).unwrap().is_empty());
        take(&state).unwrap().told().unwrap();
        assert!(take(&state).unwrap().is_empty());
    }
}
