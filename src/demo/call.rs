//! Calling the program that is shown, and reading what it says.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::clean_environment;
use crate::exit::Status;

const POLL: Duration = Duration::from_millis(5);
const ENDING_TAKES: Duration = Duration::from_secs(10);

/// The signals that end the demonstration, while this lives: remembered instead of obeyed, so that it can clean up.
pub struct Interrupts {
    received: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl Interrupts {
    /// From now on.
    pub fn watch() -> std::io::Result<Interrupts> {
        let received = Arc::new(AtomicUsize::new(0));
        let mut handlers = Vec::new();
        for (number, signal) in [(SIGINT, Signal::INT), (SIGTERM, Signal::TERM), (SIGHUP, Signal::HUP)] {
            let value = usize::try_from(signal.as_raw()).unwrap_or_default();
            handlers.push(signal_hook::flag::register_usize(number, Arc::clone(&received), value)?);
        }
        Ok(Interrupts { received, handlers })
    }

    /// The last one, and how a program that it ends must end.
    pub fn received(&self) -> Option<(Signal, Status)> {
        match i32::try_from(self.received.load(Ordering::Relaxed)) {
            Ok(SIGINT) => Some((Signal::INT, Status::Interrupted)),
            Ok(SIGTERM) => Some((Signal::TERM, Status::Terminated)),
            Ok(SIGHUP) => Some((Signal::HUP, Status::Terminated)),
            _ => None,
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

/// The program, with its configuration.
pub struct Program<'a> {
    /// The binary.
    pub program: &'a Path,
    /// A directory for files of its own, with the configuration `qfm.toml`.
    pub directory: &'a Path,
    /// What ends it early.
    pub interrupts: &'a Interrupts,
}

/// How a call ended.
pub struct Ended {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// What it said on stdout.
    pub stdout: String,
    /// What it said on stderr.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Program<'_> {
    /// Calls it and waits for its end.
    pub fn call(&self, args: &[&str]) -> anyhow::Result<Ended> {
        let (stdout, stderr) = (self.directory.join("stdout"), self.directory.join("stderr"));
        let mut command = Command::new(self.program);
        clean_environment(&mut command, self.directory);
        command.arg("--config").arg(self.directory.join("qfm.toml")).args(args);
        command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        // A group of its own, so that a key on the terminal reaches it once: through us.
        command.process_group(0);

        let start = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut give_up = None;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if let Some((signal, _)) = self.interrupts.received() {
                match give_up {
                    None => {
                        give_up = Some(Instant::now() + ENDING_TAKES);
                        kill_process(Pid::from_child(&child), signal)?;
                    }
                    Some(deadline) if Instant::now() > deadline => child.kill()?,
                    Some(_) => {}
                }
            }
            sleep(POLL);
        };
        let took = start.elapsed();
        if self.interrupts.received().is_some() {
            bail!("interrupted");
        }
        let read = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Ended { code: status.code(), stdout: read(&stdout)?, stderr: read(&stderr)?, took })
    }
}

impl Ended {
    /// An error with all that was said, unless it ended so.
    pub fn expect(self, status: Status) -> anyhow::Result<Ended> {
        if self.code != Some(i32::from(status.code())) {
            let code = self.code.map_or("a signal".to_owned(), |code| format!("code {code}"));
            bail!("qfm ended with {code}, not {}, and said:\n{}{}", status.code(), self.stderr, self.stdout);
        }
        Ok(self)
    }

    /// The object that `--json` printed.
    pub fn outcome(&self) -> anyhow::Result<Outcome> {
        let outcome: Outcome =
            serde_json::from_str(&self.stdout).with_context(|| format!("qfm printed no outcome:\n{}", self.stdout))?;
        Ok(outcome)
    }
}

/// What `--json` tells of a run: the part that is shown. No other place knows its form.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    /// The calls of rsync.
    pub rsync_calls: u64,
    modules: Vec<ModuleOutcome>,
}

#[derive(Debug, Deserialize)]
struct ModuleOutcome {
    fetched: Amount,
    linked: u64,
    deleted: u64,
    held: u64,
}

/// Entries and their bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Amount {
    /// How many.
    pub entries: u64,
    /// The bytes of their content.
    pub bytes: u64,
}

impl Outcome {
    /// What came over the network.
    pub fn fetched(&self) -> Amount {
        self.modules.iter().fold(Amount::default(), |sum, module| Amount {
            entries: sum.entries + module.fetched.entries,
            bytes: sum.bytes + module.fetched.bytes,
        })
    }

    /// The names that became hard links of files that were here.
    pub fn linked(&self) -> u64 {
        self.modules.iter().map(|module| module.linked).sum()
    }

    /// The entries that were deleted.
    pub fn deleted(&self) -> u64 {
        self.modules.iter().map(|module| module.deleted).sum()
    }

    /// The deletions that wait for a human.
    pub fn held(&self) -> u64 {
        self.modules.iter().map(|module| module.held).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_sums_its_modules() {
        let ended = Ended {
            code: Some(0),
            stdout: r#"{"version":1,"kind":"run","status":"done","rsync_calls":3,"received_bytes":9,"modules":[
                {"module":"a","depth":"full","fetched":{"entries":1,"bytes":10},"linked":2,"deleted":3,"held":0},
                {"module":"b","depth":"none","fetched":{"entries":4,"bytes":50},"linked":6,"deleted":7,"held":8}]}"#
                .to_owned(),
            stderr: String::new(),
            took: Duration::ZERO,
        };
        let outcome = ended.outcome().unwrap();
        assert_eq!((outcome.fetched().entries, outcome.fetched().bytes), (5, 60));
        assert_eq!((outcome.linked(), outcome.deleted(), outcome.held(), outcome.rsync_calls), (8, 10, 8, 3));
        assert!(ended.expect(Status::Held).is_err());
    }
}
