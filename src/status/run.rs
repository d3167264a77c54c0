//! A run, as far as its record tells: of one that an older version made too.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Status;
use crate::plan::Amount;
use crate::plan::words::bytes;

/// What is known of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    pub started: DateTime<Utc>,
    /// How long it took, seconds.
    pub seconds: f64,
    /// The modules that it was about, by name; `None` if that is not known, and probably all.
    #[serde(default)]
    pub about: Option<Vec<String>>,
    /// Whether it committed what it brought; else it only transferred.
    #[serde(default = "yes")]
    pub commits: bool,
    /// The exit code.
    pub code: u8,
    /// How it ended, in a word.
    #[serde(default)]
    pub status: String,
    /// Whether anything in the mirror changed.
    #[serde(default)]
    pub changed: bool,
    /// Bytes that came over the wire.
    #[serde(default)]
    pub received_bytes: u64,
    /// Calls of rsync.
    #[serde(default)]
    pub rsync_calls: u64,
    /// How long each phase took, seconds.
    #[serde(default)]
    pub seconds_by_phase: BTreeMap<String, f64>,
    /// What went wrong, in words.
    #[serde(default)]
    pub errors: Vec<String>,
    /// What was done, by module: those that were compared.
    #[serde(default)]
    pub modules: Vec<OfModule>,
}

/// Before it was written down, hardly any run only transferred.
const fn yes() -> bool {
    true
}

/// What a run did in a module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfModule {
    /// Its name.
    pub module: String,
    /// Files whose content came, and their bytes.
    pub fetched: Amount,
    /// Entries that were new under their names.
    pub added: u64,
    /// Names that became hard links of files that were here.
    pub linked: u64,
    /// The bytes of these.
    pub linked_bytes: u64,
    /// Directories, symbolic links and attributes that were made or changed.
    pub updated: u64,
    /// Entries that were deleted.
    pub deleted: u64,
    /// Entries whose deletion was held.
    pub held: u64,
    /// Entries that upstream could not deliver.
    pub undelivered: u64,
}

impl Run {
    /// Reads a record; `None` if it tells of no run.
    pub fn read(record: &Value) -> Option<Run> {
        // What it has beside that is not asked for, and what it lacks is not known: that is no error.
        Run::deserialize(record).ok().filter(|run| run.seconds.is_finite())
    }

    /// When it ended.
    pub fn ended(&self) -> DateTime<Utc> {
        // Longer than a century is a slip of a clock.
        let took = TimeDelta::milliseconds((self.seconds.clamp(0.0, 3.2e9) * 1000.0) as i64);
        self.started.checked_add_signed(took).unwrap_or(self.started)
    }

    /// How it ended; `None` if that is a code of another version.
    pub fn end(&self) -> Option<Status> {
        Status::of_code(self.code)
    }

    /// Whether it left all that it was about as upstream has it, as far as a human lets it be.
    pub fn is_in_step(&self) -> bool {
        self.commits && self.end().is_some_and(Status::is_in_step)
    }

    /// Whether it brought a module in step.
    pub fn brought(&self, module: &str) -> bool {
        self.is_in_step() && self.about.as_ref().is_none_or(|about| about.iter().any(|name| name == module))
    }

    /// What it did, in words; empty if it did nothing.
    pub fn did(&self) -> String {
        let sum = |of: fn(&OfModule) -> u64| self.modules.iter().map(of).sum::<u64>();
        let fetched = match sum(|of| of.fetched.entries) {
            0 => None,
            entries => Some(format!("{entries} fetched ({})", bytes(sum(|of| of.fetched.bytes)))),
        };
        let others =
            [(sum(|of| of.linked), "linked"), (sum(|of| of.updated), "updated"), (sum(|of| of.deleted), "deleted")];
        let others = others.into_iter().filter(|(entries, _)| *entries > 0);
        let parts: Vec<String> =
            fetched.into_iter().chain(others.map(|(entries, what)| format!("{entries} {what}"))).collect();
        parts.join(", ")
    }

    /// Whether it went wrong by itself: who ends a run knows that it is not done.
    pub fn is_failed(&self) -> bool {
        let is_asked_to_end = matches!(self.end(), Some(Status::Interrupted | Status::Terminated));
        !is_asked_to_end && !self.end().is_some_and(Status::is_in_step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn only_runs_that_did_their_work_are_in_step() {
        let run = |code| Run::read(&json!({ "code": code, "started": "2026-11-24T10:00:00Z", "seconds": 90.5 }));
        for status in Status::ALL {
            let run = run(status.code()).unwrap();
            assert_eq!(run.is_in_step(), [0, 7, 11].contains(&run.code), "{status:?}");
            assert_eq!(run.is_failed(), ![0, 7, 11, 130, 143].contains(&run.code), "{status:?}");
            assert_eq!(run.ended().to_rfc3339(), "2026-11-24T10:01:30.500+00:00");
        }
        assert!(run(77).unwrap().is_failed(), "of a version to come");
    }

    #[test]
    fn what_a_run_was_not_about_it_did_not_bring_in_step() {
        let mut record = json!({ "code": 0, "started": "2026-11-24T10:00:00Z", "seconds": 1 });
        let brought = |record: &Value| ["a", "b"].map(|module| Run::read(record).unwrap().brought(module));
        assert_eq!(brought(&record), [true, true], "of an older version");
        record["about"] = json!(["a"]);
        assert_eq!(brought(&record), [true, false]);
        record["commits"] = json!(false);
        assert_eq!(brought(&record), [false, false]);
        assert!(!Run::read(&record).unwrap().is_failed());
    }

    #[test]
    fn what_is_not_known_is_no_error() {
        let record = json!({
            "version": 9, "started": "2026-11-24T10:00:00+01:00", "seconds": 1, "code": 0, "news": {},
            "modules": [{ "module": "m", "fetched": { "entries": 2, "bytes": 3 }, "phases": [] }, {}],
        });
        let run = Run::read(&record).unwrap();
        assert_eq!((run.modules[0].fetched, run.modules.len()), (Amount { entries: 2, bytes: 3 }, 2));
        for record in
            [json!(null), json!({}), json!({ "code": 0 }), json!({ "code": 0, "started": "then", "seconds": 1 })]
        {
            assert_eq!(Run::read(&record), None, "{record}");
        }
    }

    proptest! {
        #[test]
        fn any_times_are_borne(seconds: f64, started in any::<i64>()) {
            let started = DateTime::from_timestamp_millis(started).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let record = json!({ "code": 0, "started": started.to_rfc3339(), "seconds": seconds });
            if let Some(run) = Run::read(&record) {
                prop_assert!(run.ended() >= run.started);
            }
        }
    }
}
