//! A job: marked, started, run once more for whatever came meanwhile.
//!
//! What runs is always another process, in a group of its own, with an environment that is made here: nothing that came over a network
//! is among its arguments or its variables.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::config::{self, Config, Environment, Work};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::state::StateError;
use crate::state::jobs::{Asked, JobResult, JobState, Stage};

/// After SIGTERM, so long until SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// How often it is looked whether a lock is free.
const LOOK: Duration = Duration::from_millis(200);

/// How often it is looked whether a process that was told to end did.
const TICK: Duration = Duration::from_millis(20);

/// Nobody is there who could be asked, and who does not answer is given up.
const SSH_OPTIONS: [&str; 7] =
    ["-nT", "-o", "BatchMode=yes", "-o", "ConnectTimeout=45", "-o", "ServerAliveInterval=45"];

/// Telling upstream that a job is done may take so long.
const CALLBACK_TAKES: Duration = Duration::from_secs(120);

/// A wait without a limit is made of waits of this length.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// This very program, also where another one was installed in its place since it was started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Variables that are handed on to what a job runs, if they may be trusted.
const HANDED_ON: [&str; 5] = ["HOME", "USER", "LOGNAME", "TZ", "CREDENTIALS_DIRECTORY"];

/// Where programs are looked for by what a job runs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a job could not be marked or run.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its marks, its lock or its result.
    #[error(transparent)]
    State(#[from] StateError),
    /// A program could not be started, or waited for.
    #[error("cannot run {} for job {job}: {source}", program.display())]
    Start {
        /// The job.
        job: String,
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The session cannot be left.
    #[error("cannot leave the session: {0}")]
    Session(#[source] io::Error),
    /// The configuration has no file that a runner could read.
    #[error("jobs need a configuration file: write one, and name it with --config")]
    NoFile,
    /// The configuration file.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl JobError {
    /// How serious it is.
    pub fn status(&self) -> Status {
        match self {
            JobError::State(StateError::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Status::Space
            }
            JobError::NoFile => Status::Usage,
            JobError::State(_) | JobError::Start { .. } | JobError::Session(_) | JobError::File { .. } => Status::Local,
        }
    }
}

/// A job of a configuration.
#[derive(Clone, Debug)]
pub struct Job {
    settings: config::Job,
    /// The configuration, without links.
    file: PathBuf,
    state: JobState,
    /// What of the environment is handed on.
    environment: Vec<(&'static str, OsString)>,
}

/// How a process ended.
enum Ended {
    /// By itself, or by a signal that was not ours.
    Itself(Option<u8>),
    /// We ended it: the deadline passed.
    Late,
    /// We ended it: somebody asked us to end.
    Interrupted,
}

impl Job {
    /// A job of the configuration that was read from `file`, ready to be marked: its folder is there.
    ///
    /// `environment` is that of this process, as far as it may be trusted: [`super::OF_AN_ADMIN`].
    ///
    /// # Errors
    /// If there is no file, or the folder cannot be made.
    pub fn new(
        settings: &config::Job,
        config: &Config,
        file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Job, JobError> {
        let file = file.ok_or(JobError::NoFile)?;
        let failed = |source| JobError::File { path: file.to_owned(), source };
        let file = file.canonicalize().map_err(failed)?;
        let state = JobState::at(&config.state, &file, &settings.name);
        state.create()?;
        let kept = HANDED_ON.iter().filter_map(|name| Some((*name, environment.get(name)?.to_owned())));
        Ok(Job { settings: settings.clone(), file, state, environment: kept.collect() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Puts down that a run is asked for. It is on disk then, and will be done by whoever runs the job now, or is started next.
    ///
    /// # Errors
    /// If it cannot be written. Then nothing was promised.
    pub fn mark(&self, asked: Asked) -> Result<(), JobError> {
        Ok(self.state.mark(asked)?)
    }

    /// Whether a run is asked for that did not begin, or was cut off.
    pub fn is_marked(&self) -> bool {
        self.state.is_marked()
    }

    /// Whether somebody runs it. Who does looks at the marks once more after that.
    pub fn is_running(&self) -> bool {
        self.state.is_locked()
    }

    /// How the last run ended, if there was one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn last(&self) -> Result<Option<JobResult>, JobError> {
        Ok(self.state.result()?)
    }

    /// Starts a process that runs the job while it is marked, and has nothing of this one but its environment, cleaned. It does not end
    /// with this one. Who lives on waits for it.
    ///
    /// # Errors
    /// If it cannot be started. The mark stays.
    pub fn start_detached(&self) -> Result<Child, JobError> {
        let mut command = self.this_program();
        command.arg("run-job").arg("--detached").arg(&self.settings.name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        spawn(&mut command).map_err(|error| self.failed(THIS_PROGRAM, error))
    }

    /// Runs the job as long as it is marked. The result of the last run; `None` if there was none, because nothing was marked or somebody
    /// else is at it and does that.
    ///
    /// # Errors
    /// If marks or results cannot be handled.
    pub fn run_while_marked(&self, interrupt: &Interrupt) -> Result<Option<JobResult>, JobError> {
        let mut last = None;
        while self.is_marked() && interrupt.raised().is_none() {
            let Some(lock) = self.state.lock()? else { break };
            while let Some(asked) = lock.take()? {
                let (result, ended) = self.run(asked, interrupt);
                last = Some(result.clone());
                if matches!(ended, Some(Ended::Interrupted)) {
                    // The marks stay: it was cut off, and who is started next begins anew.
                    return Ok(last);
                }
                lock.done(&result)?;
            }
            // Who set a mark since and found the lock taken relies on the look that follows.
            drop(lock);
        }
        Ok(last)
    }

    /// Runs for a session what is asked for, as soon as nobody else is at the job. What is asked for meanwhile is left to a process of its own.
    /// The result of the run, also where it was another who made it; `None` if the time for waiting was over, or the end was asked for: then
    /// the mark is still there.
    ///
    /// # Errors
    /// If marks or results cannot be handled.
    pub fn run_for_session(&self, interrupt: &Interrupt) -> Result<Option<JobResult>, JobError> {
        let deadline = self.settings.deadline.map(|deadline| Instant::now() + deadline);
        let lock = loop {
            if let Some(lock) = self.state.lock()? {
                break lock;
            }
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_late || interrupt.wait(LOOK, || false).is_some() {
                return Ok(None);
            }
        };
        let result = match lock.take()? {
            // Who had the lock took the mark along.
            None => self.state.result()?,
            Some(asked) => {
                let (result, ended) = self.run(asked, interrupt);
                if matches!(ended, Some(Ended::Interrupted)) {
                    return Ok(Some(result));
                }
                lock.done(&result)?;
                Some(result)
            }
        };
        drop(lock);
        if self.is_marked() {
            self.start_detached()?;
        }
        Ok(result)
    }

    /// One run.
    fn run(&self, asked: Asked, interrupt: &Interrupt) -> (JobResult, Option<Ended>) {
        let (started, since) = (Utc::now().timestamp(), Instant::now());
        let mut command = self.command(asked);
        let program = PathBuf::from(command.get_program());
        command.process_group(0);
        let ended = spawn(&mut command).and_then(|child| wait(child, self.settings.deadline, interrupt));
        let (code, error) = match &ended {
            Ok(Ended::Itself(Some(code))) => (Some(*code), None),
            Ok(Ended::Itself(None)) => (None, Some("ended by a signal".to_owned())),
            Ok(Ended::Late) => (None, Some("ended because its deadline passed".to_owned())),
            Ok(Ended::Interrupted) => (None, Some("cut off; it is done anew by who is started next".to_owned())),
            Err(error) => (None, Some(format!("cannot run {}: {error}", program.display()))),
        };
        if asked.callback && matches!(ended, Ok(Ended::Itself(_) | Ended::Late)) {
            self.call_back(interrupt);
        }
        let (stage, trigger, seconds) = (asked.stage, asked.origin, since.elapsed().as_secs());
        (JobResult { stage, trigger, started, seconds, code, error }, ended.ok())
    }

    /// What does the work.
    fn command(&self, asked: Asked) -> Command {
        let sync = |file: &Path, modules: &[String]| {
            let mut command = self.this_program_with(file);
            command.arg("sync").arg("--wait").args((asked.stage == Stage::Stage1).then_some("--content-only"));
            command.arg("--").args(modules);
            command.env("QFM_TRIGGER", asked.origin.word());
            command
        };
        let mut command = match &self.settings.work {
            Work::Modules(modules) => sync(&self.file, modules),
            Work::Config(file) => sync(file, &[]),
            Work::Command { program, arguments } => {
                let mut command = self.clean(program);
                command.args(arguments).env("QFM_JOB", &self.settings.name);
                command.env("QFM_TRIGGER", asked.origin.word()).env("QFM_STAGE", asked.stage.word());
                command
            }
        };
        command.stdin(Stdio::null());
        command
    }

    /// Tells upstream that a run is over, as Debian's tools do. Whether it hears is no part of the run.
    fn call_back(&self, interrupt: &Interrupt) {
        if self.settings.callback.is_empty() {
            return;
        }
        let mut command = self.clean("ssh");
        command.args(SSH_OPTIONS).args(&self.settings.callback);
        command.arg(format!("callback:{}", rustix::system::uname().nodename().to_string_lossy()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let called = spawn(&mut command).and_then(|child| wait(child, Some(CALLBACK_TAKES), interrupt));
        // What ssh has to say it says on standard error; with the session it is gone.
        drop(called);
    }

    fn this_program(&self) -> Command {
        self.this_program_with(&self.file)
    }

    fn this_program_with(&self, file: &Path) -> Command {
        let mut command = self.clean(THIS_PROGRAM);
        command.arg0("qfm").arg("--config").arg(file);
        command
    }

    /// A program with an environment of its own, at the top of the file system: a session's directory may go.
    fn clean(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").envs(self.environment.iter().cloned());
        command.current_dir("/");
        command
    }

    fn failed(&self, program: &str, source: io::Error) -> JobError {
        JobError::Start { job: self.settings.name.clone(), program: program.into(), source }
    }
}

/// Leaves the session in which this process was started, so that its end does not matter.
///
/// # Errors
/// If this process leads a group of processes.
pub fn leave_session() -> Result<(), JobError> {
    rustix::process::setsid().map(drop).map_err(|error| JobError::Session(error.into()))
}

/// Starts a program that gets the three streams and no other descriptor, whatever this process was left by who started it.
fn spawn(command: &mut Command) -> io::Result<Child> {
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    command.spawn()
}

/// Waits for the end of a process, and ends it with its group when its time is over, or ours.
fn wait(mut child: Child, time: Option<Duration>, interrupt: &Interrupt) -> io::Result<Ended> {
    let group = Pid::from_child(&child);
    let over = AtomicBool::new(false);
    let why = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let waited = wait_without_reaping(group);
            over.store(true, Ordering::Release);
            interrupt.wake();
            waited
        });
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        let why = watch(&over, deadline, interrupt);
        if why.is_some() {
            end(group, &over);
        }
        waiter.join().map_err(|_| io::Error::other("the thread that waits for it panicked"))??;
        // What it left behind in its group has nothing more to do.
        signal(group, Signal::KILL);
        io::Result::Ok(why)
    })?;
    let status = child.wait()?;
    Ok(why.unwrap_or_else(|| Ended::Itself(status.code().and_then(|code| u8::try_from(code).ok()))))
}

/// Looks on until the process is over. Why it is to be ended before that, if it is.
fn watch(over: &AtomicBool, deadline: Option<Instant>, interrupt: &Interrupt) -> Option<Ended> {
    let is_over = || over.load(Ordering::Acquire);
    loop {
        let left = deadline.map_or(DAY, |deadline| deadline.saturating_duration_since(Instant::now()));
        let signal = interrupt.wait(left.min(DAY), is_over);
        match signal {
            _ if is_over() => return None,
            Some(_) => return Some(Ended::Interrupted),
            None if left.is_zero() => return Some(Ended::Late),
            None => {}
        }
    }
}

/// Ends a group: TERM, and what is still there after a while KILL.
fn end(group: Pid, over: &AtomicBool) {
    signal(group, Signal::TERM);
    let told = Instant::now();
    while !over.load(Ordering::Acquire) && told.elapsed() < GRACE {
        // The interrupt may be raised already, and would end each wait at once.
        std::thread::park_timeout(TICK);
    }
    signal(group, Signal::KILL);
}

fn signal(group: Pid, signal: Signal) {
    // A group that is gone already needs no signal.
    let _gone = rustix::process::kill_process_group(group, signal);
}

/// Waits for the end of a process, and leaves it to be reaped: until then its id means nobody else.
fn wait_without_reaping(pid: Pid) -> io::Result<()> {
    loop {
        match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            waited => return waited.map(drop).map_err(io::Error::from),
        }
    }
}
