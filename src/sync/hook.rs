//! What an admin has started before and after a run.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use anyhow::anyhow;

use super::{Failure, Run};
use crate::config::{Config, Hook};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::process::{Ended, spawn, wait};
use crate::report::record::Record;
use crate::report::{Event, Listener};
use crate::state::changes::{self, Change, Changes};
use crate::state::{State, StateError};

/// Writes down what a run changes, as long as somebody is to be told of it.
#[derive(Default)]
pub(super) struct Noting {
    changes: OnceLock<Changes>,
    failed: Mutex<Option<io::Error>>,
}

impl Noting {
    fn begin(&self, state: &State) -> Result<(), StateError> {
        let changes = Changes::open(state)?;
        self.changes.get_or_init(|| changes);
        Ok(())
    }

    fn note(&self, change: Change, path: &[u8]) {
        if let Some(Err(error)) = self.changes.get().map(|changes| changes.add(change, path)) {
            self.failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(error);
        }
    }
}

impl Listener for Noting {
    fn hear(&self, event: &Event<'_>) {
        match event {
            Event::Item { item, .. } if item.is_changed() => self.note(Change::Changed, &item.name),
            Event::Installed { path, .. } => self.note(Change::Changed, path.as_bytes()),
            Event::Closed { directory, path, .. } | Event::Opened { directory, path, .. } => {
                self.note(Change::Changed, &[directory.as_bytes(), b"/", path].concat());
            }
            Event::Deleted { directory, path, .. } => {
                self.note(Change::Removed, &[directory.as_bytes(), b"/", path].concat());
            }
            _ => {}
        }
    }
}

impl Run<'_> {
    /// Starts the hook that comes before a run, and notes from now on what the run changes, if a hook is to be told of that.
    pub(super) fn start_before(&self, noting: &Noting, record: &Record) -> Result<(), Failure> {
        if self.options.dry_run {
            return Ok(());
        }
        if let Some(hook) = &self.config.hooks.before {
            let started = start(hook, self.config, record, &[], self.interrupt);
            self.check_interrupt()?;
            started.map_err(|error| {
                Failure::new(Status::Local, error.context("nothing was begun, because a hook failed"))
            })?;
        }
        self.check_interrupt()?;
        if self.config.hooks.changed.is_some() {
            noting.begin(&self.state)?;
        }
        Ok(())
    }

    /// Starts the hook that is told of changes, if there are any.
    pub(super) fn start_changed(&self, noting: &Noting, record: &Record) {
        let Some(hook) = self.config.hooks.changed.as_ref().filter(|_| !self.options.dry_run) else { return };
        let failed = |error: anyhow::Error| {
            self.listener.hear(&Event::Failed { module: None, error: &error, status: Status::Notify });
        };
        if let Some(error) = noting.failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take() {
            failed(anyhow::Error::new(error).context("cannot write down all that changed, for hook.changed"));
        }
        if self.interrupt.raised().is_some() || !changes::are_waiting(&self.state) {
            return;
        }
        let paths = [Change::Changed, Change::Removed].map(|change| changes::file(&self.state, change));
        let is_empty = |path| std::fs::metadata(path).is_ok_and(|stat| stat.len() == 0);
        if !paths.iter().all(is_empty) {
            let [changed, removed] = &paths;
            let files = [("QFM_HOOK_CHANGED", changed.as_os_str()), ("QFM_HOOK_REMOVED", removed.as_os_str())];
            if let Err(error) = start(hook, self.config, record, &files, self.interrupt) {
                if let Err(Failure { status, error }) = self.check_interrupt() {
                    return self.listener.hear(&Event::Failed { module: None, error: &error, status });
                }
                return failed(error.context("a hook failed, and the next run starts it with these paths too"));
            }
        }
        changes::forget(&self.state).map_err(anyhow::Error::new).unwrap_or_else(failed);
    }
}

/// Starts the hook that is told of a failure, if the run, which is over, failed.
pub(super) fn start_failed(config: &Config, record: &Record, interrupt: &Interrupt, listener: &dyn Listener) {
    let Some(hook) = &config.hooks.failed else { return };
    let is_failure = ![Status::Done, Status::Locked, Status::Usage].iter().any(|status| status.code() == record.code);
    if is_failure
        && interrupt.raised().is_none()
        && let Err(error) = start(hook, config, record, &[], interrupt)
    {
        listener.hear(&Event::Warning(&format!("{error:#}")));
    }
}

/// Starts a hook, and waits for its end.
///
/// # Errors
/// If it cannot be started, does not end in time, or ends with anything but 0.
fn start(
    hook: &Hook,
    config: &Config,
    record: &Record,
    files: &[(&str, &std::ffi::OsStr)],
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let said = || format!("hook.{}: {}", hook.name, hook.program.display());
    let child = standard_input(record).and_then(|input| {
        let mut command = Command::new(&hook.program);
        command
            .args(&hook.arguments)
            // A secret in the environment is for this program alone.
            .env_remove("QFM_CHECKIN_PASSWORD")
            .env("QFM_HOOK", hook.name)
            .env("QFM_HOOK_ROOT", &config.root)
            .env("QFM_HOOK_MODULES", record.about.join(" "))
            .envs(files.iter().copied())
            .stdin(input)
            // What is on standard output is the result of the run.
            .stdout(io::stderr().as_fd().try_clone_to_owned()?)
            .process_group(0);
        // Before a run nothing is known of its end.
        if hook.name != "before" {
            command.env("QFM_HOOK_STATUS", record.status).env("QFM_HOOK_CODE", record.code.to_string());
        }
        spawn(&mut command)
    });
    let child = child.map_err(|error| anyhow::Error::new(error).context(said() + " cannot be started"))?;
    let ended = wait(child, Some(config.hooks.timeout), interrupt);
    match ended.map_err(|error| anyhow::Error::new(error).context(said() + " cannot be waited for"))? {
        Ended::Code(0) => Ok(()),
        Ended::Code(code) => Err(anyhow!("{} ended with {code}", said())),
        Ended::Signal(signal) => Err(anyhow!("{} was ended by signal {signal}", said())),
        Ended::Late => Err(anyhow!(
            "{} was not over after {}, and was ended (hook.timeout)",
            said(),
            humantime::format_duration(config.hooks.timeout)
        )),
        Ended::Interrupted => Err(anyhow!("{} was ended, because this run was", said())),
    }
}

/// The record as a file without a name: who does not read it holds nobody up.
fn standard_input(record: &Record) -> io::Result<Stdio> {
    let mut file: File = tempfile::tempfile()?;
    serde_json::to_writer(&mut file, record)?;
    file.write_all(b"\n")?;
    file.rewind()?;
    Ok(file.into())
}
