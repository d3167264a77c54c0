//! One run at a time: on the state of a mirror root, and in each module's directory.
//!
//! The first excludes runs of one configuration, the second those of another one that has a directory in common; and the time file of
//! quick-fedora-mirror, where one is named, excludes that.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Failure;
use crate::config::Config;
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::report::{Event, Listener};
use crate::state::{Lock, State, TimeFile, runs};
use crate::status::Run;
use crate::tree::lock::{self, Locks};

/// A lock that is taken is looked at so often before the run gives way: a dry run takes it for a moment to see whether it can.
const LOOKS: u32 = 5;

/// The time between two looks.
const MOMENT: Duration = Duration::from_millis(20);

/// Who waits for another run to end looks again after so long.
const WAIT: Duration = Duration::from_millis(200);

/// What a real run holds until it is over.
pub(crate) struct Held {
    /// The time file of quick-fedora-mirror, if one is named.
    pub time_file: Option<TimeFile>,
    #[expect(dead_code, reason = "it is held, not looked at")]
    lock: Lock,
    #[expect(dead_code, reason = "they are held, not looked at")]
    locks: Locks,
}

/// Whether a run waits for another one to end.
#[derive(Clone, Copy)]
pub(crate) enum Patience<'i> {
    /// It gives way.
    GivesWay,
    /// It waits, until it is asked to end.
    Waits(&'i Interrupt),
}

/// Says to who only looks that another run is under way, if one is.
pub(crate) fn warn_if_held(config: &Config, root: &Path, state: &State, listener: &dyn Listener) {
    if is_held(config, root, state) {
        listener.hear(&Event::Warning("another run is under way; what is shown may be out of date"));
    }
}

/// Takes the locks.
///
/// # Errors
/// If another run is under way. That is silent, unless no run ended well for too long: then it is told here.
pub(crate) fn take(
    config: &Config,
    root: &Path,
    state: &State,
    patience: Patience<'_>,
    listener: &dyn Listener,
) -> Result<Held, Failure> {
    let locks = || -> Result<(Lock, Locks, Option<TimeFile>), Failure> {
        let lock = state.lock()?;
        let locks = lock::lock(root, &config.directories())?;
        Ok((lock, locks, config.time_file.as_deref().map(TimeFile::lock).transpose()?))
    };
    let is_taken = |taken: &Result<_, Failure>| matches!(taken, Err(failure) if failure.status == Status::Locked);
    let mut taken = locks();
    for _ in 1..LOOKS {
        if !is_taken(&taken) {
            break;
        }
        std::thread::sleep(MOMENT);
        taken = locks();
    }
    if let Patience::Waits(interrupt) = patience {
        while is_taken(&taken) && interrupt.wait(WAIT, || false).is_none() {
            taken = locks();
        }
    }
    if is_taken(&taken)
        && let Some(age) = overdue(config, state)
    {
        let limit = if config.old.is_some() { "WARNDELAY" } else { "setting warn_after" };
        listener.hear(&Event::Overdue { age: Duration::from_secs(age.as_secs() / 60 * 60), limit });
    }
    let (lock, locks, time_file) = taken?;
    for path in &locks.unlockable {
        listener.hear(&Event::Unlockable { path });
    }
    Ok(Held { time_file, lock, locks })
}

/// Whether somebody is at work in the mirror, as far as who asks may see that. Nothing is made or kept locked by asking.
pub fn is_at_work(config: &Config) -> bool {
    let root = config.root.canonicalize().unwrap_or_else(|_| config.root.clone());
    is_held(config, &root, &State::at(&config.state, &root))
}

/// Whether a run is under way. Nothing is made or kept locked by asking.
pub(crate) fn is_held(config: &Config, root: &Path, state: &State) -> bool {
    state.is_locked()
        || lock::is_locked(root, &config.directories())
        || config.time_file.as_deref().is_some_and(TimeFile::is_locked)
}

/// How long no run ended well, if that is longer than it may be.
pub(crate) fn overdue(config: &Config, state: &State) -> Option<Duration> {
    let last = last_good(config, state).or_else(|| state.first_run().map(DateTime::<Utc>::from))?;
    let age = (crate::clock::now() - last).to_std().unwrap_or_default();
    (age > config.warn_after).then_some(age)
}

/// When the last run ended that brought the mirror in step.
pub(crate) fn last_good(config: &Config, state: &State) -> Option<DateTime<Utc>> {
    // Records that cannot be read tell of no good run, and it is better to say too much then.
    let records = runs::read(state).unwrap_or_default();
    let good = records.iter().rev().filter_map(Run::read).find(Run::is_in_step);
    good.map(|run| run.ended()).or_else(|| of_old_tool(config))
}

/// The last good run that the time file tells of. Only for who does not hold it.
fn of_old_tool(config: &Config) -> Option<DateTime<Utc>> {
    // One that cannot be used is told of by the run that takes it.
    let last = TimeFile::last_at(config.time_file.as_deref()?, crate::clock::now().timestamp()).unwrap_or_default()?;
    DateTime::from_timestamp(last.time, 0)
}
