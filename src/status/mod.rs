//! How a mirror is: what the saved state says of it, for people, programs, monitoring and the public.
//!
//! [`gather`] reads the state and makes one [`Overview`] of it. What follows is pure: [`judge`] holds that against limits, and [`text`],
//! [`plugin`], [`metrics`] and [`page`] are its forms; its JSON is the value itself. [`publish`] puts the last two in their places. Nothing here takes a
//! lock for longer than a look, and nothing of the state is written.

mod gather;
pub mod judge;
pub mod metrics;
pub mod page;
pub mod plugin;
pub mod publish;
mod run;
pub mod text;
mod words;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::plan::Amount;
use crate::state::jobs::JobResult;

pub use gather::gather;
pub use run::{OfModule, Run};

/// How a mirror is, at one moment. Its JSON is what `qfm status --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// The version of this object.
    pub version: u32,
    /// `status`.
    pub kind: &'static str,
    /// When the state was read. All ages are up to this moment.
    pub time: DateTime<Utc>,
    /// The mirror root.
    pub root: String,
    /// Whether qfm is at work here at that moment.
    pub at_work: bool,
    /// Whether the last run was cut off, failed or only transferred: what it was changing is compared in full by the next.
    pub unfinished: bool,
    /// When the first run began, if there was one.
    pub first_run: Option<DateTime<Utc>>,
    /// When the last run ended that brought all in step.
    pub in_step: Option<DateTime<Utc>>,
    /// Its modules, in the order of the configuration.
    pub modules: Vec<Module>,
    /// When MirrorManager was told last, if it is told anything.
    pub checked_in: Option<DateTime<Utc>>,
    /// What triggers start: those jobs that were ever asked for.
    pub jobs: Vec<Job>,
    /// The last runs, oldest first.
    pub runs: Vec<Run>,
    /// What of the state cannot be read, in words. What depends on it is not known then.
    pub unreadable: Vec<String>,
}

/// How a module is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Module {
    /// Its name.
    pub module: String,
    /// Its directory.
    pub directory: String,
    /// When upstream made the list that was applied last.
    pub list: Option<DateTime<Utc>>,
    /// When the last run ended that brought it in step.
    pub in_step: Option<DateTime<Utc>>,
    /// What its list carries.
    pub carried: Option<Amount>,
    /// How far the rolling check is.
    pub check: Option<Check>,
    /// Deletions that are held.
    pub held: Option<Held>,
    /// Entries that should go and stay, because the settings say that nothing is deleted, by cause.
    pub kept: BTreeMap<&'static str, u64>,
    /// Names that should go, and stay for `delete.after`.
    pub staying: u64,
    /// Entries that upstream lists and could not deliver.
    pub undelivered: u64,
    /// Entries that do not come because a directory is held in the way of them, or of what they may lead to.
    pub held_back: u64,
    /// The first of both, escaped.
    pub lacking: Vec<String>,
    /// Whether others touched files whose content nobody compared.
    pub in_doubt: bool,
    /// Rows of its list that could not be read.
    pub bad_rows: u64,
}

/// When all directories of a module were compared, whatever their stamps say, and how far the next check of all is.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// When the last check of all was complete.
    pub complete: DateTime<Utc>,
    /// When the next one is to be; `None` if each run checks all.
    pub due: Option<DateTime<Utc>>,
    /// So many directories were compared since …
    pub compared: u64,
    /// … of so many; 0 if that is not known.
    pub of: u64,
}

/// Deletions of a module that are held.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// How many entries, as the last run counted that compared the module; names where none did.
    pub entries: u64,
    /// Since when the oldest of them should go.
    pub since: DateTime<Utc>,
    /// Why they are held, in words.
    pub why: Vec<String>,
    /// The flag that lets them pass once, if any can.
    pub let_pass: Option<String>,
}

/// What is asked of a job, and how it ended last.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// Its name.
    pub job: String,
    /// Whether somebody is at it.
    pub at_work: bool,
    /// Whether a run is asked for that did not begin, or was cut off.
    pub waiting: bool,
    /// How the last run ended.
    pub last: Option<JobResult>,
}

impl Overview {
    /// The last run.
    pub fn last(&self) -> Option<&Run> {
        self.runs.last()
    }

    /// The same as one line of JSON.
    ///
    /// # Errors
    /// Never, as far as its parts are numbers, texts and lists.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| format!("{text}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Status;

    /// The moment of [`overview`], seconds since the epoch.
    pub const NOW: i64 = 1_796_000_000;

    /// So many seconds before [`NOW`].
    pub fn before(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(NOW - seconds, 0).unwrap()
    }

    /// A run that ended so, and began so many minutes before [`NOW`].
    pub fn run(status: Status, minutes: i64) -> Run {
        Run {
            started: before(minutes * 60),
            seconds: 12.0,
            about: None,
            commits: true,
            code: status.code(),
            status: status.word().to_owned(),
            changed: false,
            received_bytes: 1234,
            rsync_calls: 3,
            seconds_by_phase: BTreeMap::from([("lists".to_owned(), 0.5)]),
            errors: Vec::new(),
            modules: Vec::new(),
        }
    }

    /// So many entries that are held.
    pub fn held(entries: u64) -> Held {
        let why = vec!["too many at once of 514 entries".to_owned()];
        let let_pass = Some("--allow-delete fedora-enchilada".to_owned());
        Held { entries, since: before(7200), why, let_pass }
    }

    /// A mirror of two modules that is in step.
    pub fn overview() -> Overview {
        let module = |module: &str, directory: &str| Module {
            module: module.to_owned(),
            directory: directory.to_owned(),
            in_step: Some(before(720)),
            ..Module::default()
        };
        let mut modules = vec![module("fedora-enchilada", "fedora"), module("fedora-epel", "epel")];
        modules[0].list = Some(before(10_800));
        modules[0].carried = Some(Amount { entries: 512_345, bytes: 1 << 40 });
        Overview {
            version: 1,
            kind: "status",
            time: before(0),
            root: "/srv/mirror/pub".to_owned(),
            at_work: false,
            unfinished: false,
            first_run: Some(before(100_000)),
            in_step: Some(before(720)),
            modules,
            checked_in: None,
            jobs: Vec::new(),
            runs: vec![run(Status::Done, 12)],
            unreadable: Vec::new(),
        }
    }
}
