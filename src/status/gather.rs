//! The state of a mirror → [`Overview`].

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Check, Held, Job, Module, Overview, Run};
use crate::config::{self, Config, DeleteMode};
use crate::path::escape;
use crate::plan::Earlier;
use crate::plan::explain::JSON_VERSION;
use crate::plan::guard::{Hold, let_pass};
use crate::state::applied::Pending;
use crate::state::journal::{Journal, Unfinished};
use crate::state::{Applied, JobState, State, StateError, checkin, runs};

/// So many names are shown of what is lacking.
const LACKING_SHOWN: usize = 3;

/// What the state says now; what of it cannot be read, it says too. `file` is the one that the configuration was read from, and
/// `at_work` whether qfm is at work in the mirror.
pub fn gather(config: &Config, file: Option<&Path>, at_work: bool) -> Overview {
    let mut unreadable = Vec::new();
    let root = config.root.canonicalize().unwrap_or_else(|error| {
        unreadable.push(format!("cannot look at the mirror root {}: {error}", config.root.display()));
        config.root.clone()
    });
    let state = State::at(&config.state, &root);
    let is_closed = state.check_readable().map_err(|error| {
        let error = anyhow::Error::new(error);
        unreadable.push(format!("{error:#}"));
    });
    let mut gatherer = Gatherer { config, state: &state, unreadable, is_closed: is_closed.is_err() };
    let records = gatherer.or_tell(runs::read(&state)).unwrap_or_default();
    let last_runs: Vec<Run> = records.iter().filter_map(Run::read).collect();
    let unfinished = Journal::of(&state).unfinished();
    let modules: Vec<Module> = config.modules.iter().map(|module| gatherer.module(module, &last_runs)).collect();
    gatherer.miss_runs(&modules, &last_runs, at_work);
    Overview {
        version: JSON_VERSION,
        kind: "status",
        time: crate::clock::now(),
        root: escape(root.as_os_str().as_encoded_bytes()),
        at_work,
        unfinished: unfinished != Unfinished::Nothing && !at_work,
        first_run: state.first_run().map(Into::into),
        in_step: last_runs
            .iter()
            .rfind(|run| config.modules.iter().all(|module| run.brought(&module.name)))
            .map(Run::ended),
        modules,
        checked_in: config.check_in.as_ref().and_then(|_| checkin::last(&state)).map(Into::into),
        jobs: file.map(|file| gatherer.jobs(file)).unwrap_or_default(),
        runs: last_runs,
        unreadable: gatherer.unreadable,
    }
}

struct Gatherer<'g> {
    config: &'g Config,
    state: &'g State,
    unreadable: Vec<String>,
    /// Whether who asks may not read the state: then there is no more to be said of it.
    is_closed: bool,
}

impl Gatherer<'_> {
    /// What was read, or else why it was not is remembered.
    fn or_tell<T>(&mut self, read: Result<T, StateError>) -> Option<T> {
        read.map_err(|error| {
            if !self.is_closed {
                self.unreadable.push(format!("{:#}", anyhow::Error::new(error)));
            }
        })
        .ok()
    }

    /// Remembers that nothing is known of runs, though some were here: how old the mirror is cannot be told then. The first run saves the
    /// state before its record.
    fn miss_runs(&mut self, modules: &[Module], runs: &[Run], at_work: bool) {
        let were_here = modules.iter().any(|module| module.list.is_some());
        if were_here && runs.is_empty() && !at_work && self.unreadable.is_empty() {
            let folder = self.state.dir().display();
            self.unreadable
                .push(format!("no run is recorded in {folder}/runs, though runs left their state beside it"));
        }
    }

    fn module(&mut self, module: &config::Module, runs: &[Run]) -> Module {
        let known = Module {
            module: module.name.clone(),
            directory: module.directory.clone(),
            in_step: runs.iter().rfind(|run| run.brought(&module.name)).map(Run::ended),
            ..Module::default()
        };
        let Some(applied) = self.or_tell(Applied::look(self.state, &module.directory)).flatten() else {
            return known;
        };
        let is_kept = self.config.delete.mode == DeleteMode::Never;
        let staying = applied.pending.iter().filter(|it| it.earlier == Earlier::Staying).count();
        Module {
            list: Some(moment(applied.list.mtime())),
            carried: Some(applied.carried),
            check: Some(self.check(&applied)),
            held: if is_kept { None } else { held(module, &applied, runs) },
            staying: staying as u64,
            undelivered: applied.undelivered.len() as u64,
            held_back: applied.held_back.len() as u64,
            lacking: applied.lacking().take(LACKING_SHOWN).map(|path| path.to_string()).collect(),
            in_doubt: applied.checked.is_in_doubt(),
            bad_rows: applied.doubtful_rows as u64,
            kept: applied.kept,
            ..known
        }
    }

    fn check(&self, applied: &Applied) -> Check {
        let complete = moment(applied.checked.all);
        let every = Some(self.config.full_check_every).filter(|every| !every.is_zero());
        // One that is beyond the calendar is never due.
        let due =
            every.and_then(|every| complete.checked_add_signed(TimeDelta::from_std(every).unwrap_or(TimeDelta::MAX)));
        let (compared, of) = applied.checked.round.unwrap_or_default();
        Check { complete, due, compared, of }
    }

    /// The jobs of a configuration file that were ever asked for.
    fn jobs(&mut self, file: &Path) -> Vec<Job> {
        // Without it there is nothing to read either, and what is wrong with it was told.
        let Ok(file) = file.canonicalize() else { return Vec::new() };
        let config = self.config;
        let job = |job: &config::Job| {
            let state = JobState::at(&config.state, &file, &job.name);
            let last = self.or_tell(state.result()).flatten();
            // Marks that were taken are what somebody is at, or were cut off.
            let at_work = state.is_locked();
            let waiting = if at_work { state.is_pending() } else { state.is_marked() };
            Job { job: job.name.clone(), at_work, waiting, last }
        };
        let jobs = config.triggered.iter().map(job);
        jobs.filter(|job| job.at_work || job.waiting || job.last.is_some()).collect()
    }
}

/// What is held of a module: what should go and is here, without what stays for its time.
fn held(module: &config::Module, applied: &Applied, runs: &[Run]) -> Option<Held> {
    let pending: Vec<&Pending> = applied.pending.iter().filter(|it| it.earlier != Earlier::Staying).collect();
    let since = pending.iter().map(|it| it.since).min()?;
    let counted = runs.iter().rev().find_map(|run| run.modules.iter().find(|of| of.module == module.name));
    let waiting = (!applied.held.is_empty()).then(|| Hold::Waiting { because: applied.held.clone() });
    let doubt = (applied.doubtful_rows > 0).then_some(Hold::BadRows(applied.doubtful_rows));
    let holds: Vec<Hold> = waiting.into_iter().chain(doubt).collect();
    let why = holds.iter().flat_map(|hold| match hold {
        Hold::Waiting { because } => because.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    });
    Some(Held {
        entries: counted.map_or(0, |of| of.held).max(pending.len() as u64),
        since: moment(since),
        why: why.collect(),
        let_pass: let_pass(&module.name, &holds, true, &[]),
    })
}

/// A moment of the state, seconds since the epoch.
fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}
