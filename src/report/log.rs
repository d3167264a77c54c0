//! The log file: what is said, line by line, with the time.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use chrono::Local;

use super::{Event, Listener, relinked, terminal};

/// Appends to a file.
pub struct Log {
    file: Mutex<File>,
}

impl Log {
    /// Opens the file, and makes it if it is not there.
    ///
    /// # Errors
    /// If it cannot be opened for appending.
    pub fn open(path: &Path) -> io::Result<Log> {
        Ok(Log { file: Mutex::new(File::options().append(true).create(true).open(path)?) })
    }
}

impl Listener for Log {
    fn hear(&self, event: &Event<'_>) {
        let lines = match event {
            Event::Finished(record) => terminal::summary(record),
            Event::AllRelinked(record) => relinked::summary(record),
            event => terminal::said(event, 1).into_iter().collect(),
        };
        let time = Local::now().format("%Y-%m-%dT%H:%M:%S%:z");
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for line in lines {
            // A log that cannot be written must not stop a mirror; the terminal says the same.
            // One write each, or lines of processes that say something at once would run into each other.
            drop(file.write_all(format!("{time} {line}\n").as_bytes()));
        }
    }
}
