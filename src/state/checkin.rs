//! What MirrorManager was told last.
//!
//! It lies in a folder of its own, with its own lock: a check-in may take long after the run that it is of, and the next run does not
//! wait for it.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Lock, State, StateError, sealed};

const WHAT: &str = "checkin";
const VERSION: u32 = 1;

/// What was told of one category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it was made from: nothing is to be told while that is the same.
    pub of: String,
    /// How many directories were named.
    pub directories: usize,
}

/// What MirrorManager was told last, by host and category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports(BTreeMap<(String, String), Report>);

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Entry {
    host: String,
    category: String,
    #[serde(flatten)]
    report: Report,
}

impl Reports {
    /// Reads what was told last.
    ///
    /// # Errors
    /// If it cannot be read back; then it is to be treated as nothing, with a warning: all is told again.
    pub fn read(state: &State) -> Result<Reports, StateError> {
        let path = file(state);
        let failed = |error| StateError::io("cannot use what was checked in last, in", &path)(error);
        let Some(text) = sealed::read(&path, WHAT, VERSION).map_err(failed)? else { return Ok(Reports::default()) };
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let entry = |line| {
            let Entry { host, category, report } = serde_json::from_slice(line)?;
            Ok(((host, category), report))
        };
        let entries: serde_json::Result<_> = lines.map(entry).collect();
        Ok(Reports(entries.map_err(|error| failed(error.into()))?))
    }

    /// What was told of a category last.
    pub fn of(&self, host: &str, category: &str) -> Option<&Report> {
        self.0.get(&(host.to_owned(), category.to_owned()))
    }

    /// Remembers what was told of a category.
    pub fn set(&mut self, host: &str, category: &str, report: Report) {
        self.0.insert((host.to_owned(), category.to_owned()), report);
    }

    /// Saves it; only who has the [`lock`] may.
    ///
    /// # Errors
    /// If it cannot be written; then all that was told since is told again.
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        let path = file(state);
        let failed = |error| StateError::io("cannot save what was checked in, in", &path)(error);
        let mut text = Vec::new();
        for ((host, category), report) in &self.0 {
            let entry = Entry { host: host.clone(), category: category.clone(), report: report.clone() };
            serde_json::to_writer(&mut text, &entry).map_err(|error| failed(error.into()))?;
            text.push(b'\n');
        }
        sealed::write(&path, WHAT, VERSION, &text).map_err(failed)
    }
}

/// When MirrorManager was told anything last: what was told is written down then. `None` if it never was.
pub fn last(state: &State) -> Option<SystemTime> {
    fs::metadata(file(state)).and_then(|stat| stat.modified()).ok()
}

/// The lock of who checks in; `None` while another has it.
///
/// # Errors
/// If it cannot be opened, or not be locked.
pub fn lock(state: &State) -> Result<Option<Lock>, StateError> {
    let folder = folder(state);
    fs::create_dir_all(&folder).map_err(StateError::io("cannot make", &folder))?;
    let path = folder.join("lock");
    let failed = StateError::io("cannot open the lock", &path);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(StateError::NoLocks { path, source }),
    }
}

fn folder(state: &State) -> PathBuf {
    state.dir().join("checkin")
}

fn file(state: &State) -> PathBuf {
    folder(state).join("reports")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_was_told_is_read_back_and_one_tells_at_a_time() {
        let base = tempfile::tempdir().unwrap();
        let state = State::at(base.path(), Path::new("/srv"));
        assert_eq!(Reports::read(&state).unwrap(), Reports::default());
        let held = lock(&state).unwrap().expect("nobody has it");
        assert!(lock(&state).unwrap().is_none());
        let mut reports = Reports::default();
        let report = Report { of: "x".into(), directories: 3 };
        reports.set("h \"1\"", "fedora linux", report.clone());
        reports.set("h \"1\"", "fedora epel", Report { of: "y".into(), directories: 0 });
        reports.write(&state).unwrap();
        assert_eq!(Reports::read(&state).unwrap(), reports);
        assert_eq!(reports.of("h \"1\"", "fedora linux"), Some(&report));
        assert_eq!(reports.of("h", "fedora linux"), None);
        fs::write(file(&state), "qfm checkin 1\n{}\n").unwrap();
        assert!(Reports::read(&state).is_err());
        drop(held);
        assert!(lock(&state).unwrap().is_some());
    }
}
