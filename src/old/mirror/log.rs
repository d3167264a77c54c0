//! Where the lines of the log go: a file, and the journal of systemd.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use chrono::{DateTime, Local};
use tracing::dispatcher::with_default;
use tracing::{Dispatch, error, info, warn};
use tracing_subscriber::layer::SubscriberExt;

use crate::report::log::file::LogFile;
use crate::report::log::journal;

/// What the journal knows its lines by.
const IDENTIFIER: &str = "quick-fedora-mirror";

/// What a line of the log tells of; the letters are those of LOGITEMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Item {
    /// What an aborted run left.
    Aborted = b'a',
    /// It was put in order.
    Recovered = b'A',
    /// A call of rsync.
    Call = b'c',
    /// Its end.
    Called = b'C',
    /// Deletions.
    Delete = b'd',
    /// They are done.
    Deleted = b'D',
    /// Trouble that passes.
    Minor = b'e',
    /// Trouble that does not.
    Serious = b'E',
    /// What is to be transferred and deleted.
    Generated = b'g',
    /// The lock.
    Lock = b'k',
    /// The local tree.
    Local = b'l',
    /// Counts.
    Counts = b'L',
    /// What MirrorManager is to be told.
    CheckIn = b'm',
    /// It was told.
    CheckedIn = b'M',
    /// Nothing is new at all.
    Nothing = b'n',
    /// Nothing is new in a module.
    NothingInModule = b'N',
    /// The download of the lists.
    Lists = b'o',
    /// A module is processed.
    Process = b'p',
    /// A module was processed.
    Processed = b'P',
    /// The run begins.
    Start = b'r',
    /// The run ends.
    End = b'R',
    /// Statistics.
    Statistics = b's',
}

impl Item {
    /// The letters in LOGITEMS, any of which asks for it.
    fn letters(self) -> [char; 3] {
        let letter = char::from(self as u8);
        let other = match self {
            Item::CheckedIn => 'm',
            Item::Statistics => 'S',
            _ => letter,
        };
        [letter, other, '@']
    }

    /// What stands before the text.
    pub fn prefix(self) -> &'static str {
        match self {
            Item::Serious => "ERR: ",
            Item::Minor => "Err: ",
            _ => "",
        }
    }
}

/// The log.
#[derive(Default)]
pub(super) struct Log {
    items: String,
    file: Option<Mutex<LogFile>>,
    journal: Option<Dispatch>,
}

impl Log {
    /// One that goes nowhere yet, of the items that LOGITEMS names.
    pub fn of_items(items: &str) -> Log {
        Log { items: items.to_owned(), ..Log::default() }
    }

    /// Appends to a file from now on, which must be there.
    ///
    /// # Errors
    /// If it is not, or cannot be written to.
    pub fn add_file(&mut self, path: &Path) -> io::Result<()> {
        self.file = Some(Mutex::new(LogFile::existing(path)?));
        Ok(())
    }

    /// Writes to the journal of systemd from now on.
    ///
    /// # Errors
    /// If there is none.
    pub fn add_journal(&mut self) -> io::Result<()> {
        self.journal = Some(Dispatch::new(tracing_subscriber::registry().with(journal::open(IDENTIFIER)?)));
        Ok(())
    }

    /// Writes a text, line by line, if its item is asked for.
    pub fn write(&self, item: Item, text: &str) {
        if !self.items.contains(item.letters()) {
            return;
        }
        let now = crate::clock::now().with_timezone(&Local);
        for text in text.lines() {
            if let Some(file) = &self.file {
                let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                // It says itself what cannot be written.
                drop(file.write(line(now, item, text).as_bytes()));
            }
            if let Some(journal) = &self.journal {
                let prefix = item.prefix();
                with_default(journal, || match item {
                    Item::Serious => error!("{prefix}{text}"),
                    Item::Minor => warn!("{prefix}{text}"),
                    _ => info!("{prefix}{text}"),
                });
            }
        }
    }
}

/// A line of the log file.
fn line(now: DateTime<Local>, item: Item, text: &str) -> String {
    format!("{} {}{text}\n", now.format("%b %d %H:%M:%S"), item.prefix())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use chrono::TimeZone;

    use super::*;

    #[test]
    fn a_line_has_the_time_and_how_bad_it_is() {
        let noon = Local.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap();
        assert_eq!(line(noon, Item::Start, "Run start"), "Nov 21 12:00:00 Run start\n");
        assert_eq!(line(noon, Item::Minor, "x"), "Nov 21 12:00:00 Err: x\n");
        assert_eq!(line(noon, Item::Serious, "x"), "Nov 21 12:00:00 ERR: x\n");
    }

    #[test]
    fn only_the_items_that_are_asked_for_are_written_and_only_to_a_file_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = Log::of_items("rE");
        assert_eq!(log.add_file(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        File::create(&path).unwrap();
        log.add_file(&path).unwrap();
        for (item, text) in
            [(Item::Start, "start"), (Item::Minor, "minor"), (Item::Serious, "a\nb"), (Item::End, "end")]
        {
            log.write(item, text);
        }
        let written = std::fs::read_to_string(&path).unwrap();
        let texts: Vec<&str> = written.lines().map(|line| &line["Nov 21 12:00:00 ".len()..]).collect();
        assert_eq!(texts, ["start", "ERR: a", "ERR: b"]);
    }
}
