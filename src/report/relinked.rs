//! What `qfm hardlink` did, counted from its events: behind its summary and `--json`.

use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde::Serialize;

use super::{Event, Listener, amount, failure};
use crate::exit::Status;
use crate::plan::Amount;
use crate::plan::explain::JSON_VERSION;
use crate::plan::words::{bytes, count};

/// What was done, or would be in a dry run.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The version of this object.
    pub version: u32,
    /// `hardlink`, or `hardlink-dry-run`.
    pub kind: &'static str,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// How long it took, seconds.
    pub seconds: f64,
    /// How it ended, in a word.
    pub status: &'static str,
    /// The exit code, without `--detailed-exitcode`.
    pub code: u8,
    /// Whether anything changed.
    pub changed: bool,
    /// Groups of names that were looked at.
    pub groups: u64,
    /// Names that were further names of a file of their group before.
    pub linked_before: u64,
    /// Names that became names of another file, or would.
    pub linked: u64,
    /// The bytes of files that went by that, or would.
    pub gained_bytes: u64,
    /// Files that were read, and their bytes.
    pub read: Amount,
    /// Files that are listed and not here.
    pub absent: u64,
    /// Files that changed while they were looked at, and were left alone.
    pub unsteady: u64,
    /// What went wrong, in words.
    pub errors: Vec<String>,
}

/// Keeps the record.
pub struct Recorder {
    dry_run: bool,
    began: Instant,
    state: Mutex<(Record, Status)>,
}

impl Recorder {
    /// For what begins now.
    pub fn new(dry_run: bool) -> Recorder {
        let record = Record {
            version: JSON_VERSION,
            kind: if dry_run { "hardlink-dry-run" } else { "hardlink" },
            started: crate::clock::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            seconds: 0.0,
            status: Status::Done.word(),
            code: Status::Done.code(),
            changed: false,
            groups: 0,
            linked_before: 0,
            linked: 0,
            gained_bytes: 0,
            read: Amount::default(),
            absent: 0,
            unsteady: 0,
            errors: Vec::new(),
        };
        Recorder { dry_run, began: Instant::now(), state: Mutex::new((record, Status::Done)) }
    }

    /// What was done, and how it ended.
    pub fn finish(&self) -> (Record, Status) {
        let (mut record, status) = self.lock().clone();
        record.seconds = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        record.status = status.word();
        record.code = status.code();
        record.changed = !self.dry_run && record.linked > 0;
        (record, status)
    }

    fn lock(&self) -> MutexGuard<'_, (Record, Status)> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Listener for Recorder {
    fn hear(&self, event: &Event<'_>) {
        let mut state = self.lock();
        let (record, status) = &mut *state;
        *status = status.worse(event.status());
        match event {
            Event::Candidates { groups } => record.groups = *groups,
            Event::GroupDone { linked_before } => record.linked_before += linked_before,
            Event::Read { bytes } => record.read.add(*bytes),
            Event::Relinked { gained, .. } => {
                record.linked += 1;
                record.gained_bytes += gained;
            }
            Event::Absent { .. } => record.absent += 1,
            Event::Unsteady { .. } => record.unsteady += 1,
            Event::Failed { module, error, .. } => record.errors.push(failure(*module, error)),
            _ => {}
        }
    }
}

/// What was done, in a few lines; nothing if nothing was, unless it was a dry run: that answers.
pub fn summary(record: &Record) -> Vec<String> {
    let (dry_run, linked) = (record.kind != "hardlink", record.linked > 0);
    let mut lines = Vec::new();
    if dry_run || linked {
        let verb = if dry_run { "Would link" } else { "Linked" };
        let (names, gained) = (count(record.linked, "name", "names"), bytes(record.gained_bytes));
        let (groups, read) = (count(record.groups, "group", "groups"), amount(&record.read));
        lines.push(format!("{verb} {names}, {gained} gained; read {read} of {groups}, {:.1} s.", record.seconds));
    }
    if record.absent > 0 && !lines.is_empty() {
        lines.push(format!("{} not here (-v names them).", count(record.absent, "listed file is", "listed files are")));
    }
    lines
}
