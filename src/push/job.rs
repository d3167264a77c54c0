//! A job: marked, started, run once more for whatever came meanwhile.
//!
//! What runs is always another process, in a group of its own, with an environment that is made here: nothing that came over a network
//! is among its arguments or its variables.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use crate::config::{self, Config, Environment, Work};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::process::{Ended, run_and_hear, spawn, wait};
use crate::report::{Event, Listener};
use crate::state::StateError;
use crate::state::jobs::{Asked, JobLock, JobResult, JobState, Mark, Progress, Stage};

/// How often it is looked whether a lock is free.
const LOOK: Duration = Duration::from_millis(200);

/// Nobody is there who could be asked, and who does not answer is given up.
const SSH_OPTIONS: [&str; 7] =
    ["-nT", "-o", "BatchMode=yes", "-o", "ConnectTimeout=45", "-o", "ServerAliveInterval=45"];

/// What ssh ends with if it did not get as far as the other side.
const NOT_REACHED: u8 = 255;

/// Telling upstream that a job is done may take so long.
const CALLBACK_TAKES: Duration = Duration::from_secs(120);

/// This very program, also where another one was installed in its place since it was started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What a run ends with that takes too long, as timeout(1) says it.
const LATE: u8 = 124;

/// What a run ends with whose program cannot be run, …
const CANNOT_RUN: u8 = 126;

/// … or is not there, as shells say it; …
const NOT_THERE: u8 = 127;

/// … and what they add to the number of the signal that ended it.
const SIGNALLED: u8 = 128;

/// Variables that are handed on to what a job runs, if they may be trusted.
const HANDED_ON: [&str; 6] = ["HOME", "USER", "LOGNAME", "TZ", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"];

/// Where programs are looked for by what a job runs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    pub fn mark(&self, asked: Asked) -> Result<Mark, JobError> {
        Ok(self.state.mark(asked)?)
    }

    /// Whether a run is asked for that did not begin, or was cut off.
    pub fn is_marked(&self) -> bool {
        self.state.is_marked()
    }

    /// What is asked for and not done yet, in the words of the marks.
    pub fn marks(&self) -> Vec<&'static str> {
        self.state.marks()
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

    /// Starts a process that runs the job while it is marked, and has nothing of this one but its environment, cleaned, and what its standard
    /// error is to be. It does not end with this one. Who lives on waits for it.
    ///
    /// # Errors
    /// If it cannot be started. The mark stays.
    pub fn start_detached(&self, stderr: Stdio) -> Result<Child, JobError> {
        let mut command = self.this_program();
        command.arg("run-job").arg("--detached").arg(&self.settings.name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        spawn(&mut command).map_err(|error| self.failed(THIS_PROGRAM, error))
    }

    /// Runs the job as long as it is marked, and tells who is to hear of that: also of what a runner before this one did not get to tell.
    /// The result of the last run; `None` if there was none, because nothing was marked or somebody else is at it and does that.
    ///
    /// The lock is free while others are told. What is asked for meanwhile is run, by this process or by who comes first.
    ///
    /// # Errors
    /// If marks or results cannot be handled.
    pub fn run_while_marked(
        &self,
        interrupt: &Interrupt,
        listener: &dyn Listener,
    ) -> Result<Option<JobResult>, JobError> {
        std::thread::scope(|scope| {
            let mut last = None;
            let mut telling = Vec::new();
            loop {
                while self.is_marked() && interrupt.raised().is_none() {
                    let Some(lock) = self.state.lock()? else { break };
                    while let Some(work) = self.wait_for_work(&lock, interrupt, listener)?
                        && let Some(asked) = lock.take()?
                    {
                        last = Some(self.run(&lock, work, asked, interrupt, listener)?);
                        if interrupt.raised().is_some() {
                            return Ok(last);
                        }
                        telling.push(scope.spawn(move || self.push(asked.stage, interrupt, listener)));
                        telling.push(scope.spawn(move || self.call_back(asked, interrupt, listener)));
                    }
                    // Who set a mark since and found the lock taken relies on the look that follows.
                    drop(lock);
                }
                if telling.is_empty() && interrupt.raised().is_none() && !self.is_running() {
                    telling.push(scope.spawn(move || self.push(Stage::All, interrupt, listener)));
                }
                if telling.iter().all(ScopedJoinHandle::is_finished) || interrupt.raised().is_some() {
                    break;
                }
                interrupt.wait(LOOK, || false);
            }
            let all_heard = telling.into_iter().all(|push| push.join().unwrap_or(false));
            let has_done = |result: &JobResult| result.code == Some(Status::Done.code());
            Ok(match last {
                Some(result) if has_done(&result) && !all_heard => {
                    Some(JobResult { code: Some(Status::Notify.code()), ..result })
                }
                last => last,
            })
        })
    }

    /// Sees for a session to the run that its mark asks for: makes it, and what comes before it, as soon as nobody else is at the job; or waits
    /// for who makes it. What is asked for beyond that, and telling downstreams, is left to a process of its own. The result of the run
    /// that the mark asked for; `None` if the time for waiting was over before it began, or the end was asked for: then the mark is
    /// still there.
    ///
    /// # Errors
    /// If marks or results cannot be handled.
    pub fn run_for_session(
        &self,
        mut mark: Mark,
        interrupt: &Interrupt,
        listener: &dyn Listener,
    ) -> Result<Option<JobResult>, JobError> {
        let deadline = self.settings.deadline.map(|deadline| Instant::now() + deadline);
        loop {
            let progress = self.state.progress(&mark)?;
            match progress {
                Progress::Ended(result) => {
                    self.tell(&result, listener);
                    return Ok(Some(result));
                }
                Progress::Replaced => mark = self.state.mark(mark.asked())?,
                Progress::Pending if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    if !self.is_running() {
                        self.start_detached(Stdio::null())?;
                    }
                    return Ok(None);
                }
                Progress::Pending | Progress::Begun => {}
            }
            if let Some(lock) = self.state.lock()?
                && let Some(work) = lock.work()?
                && !matches!(self.state.progress(&mark)?, Progress::Ended(_))
                && let Some(asked) = lock.take()?
            {
                let result = self.run(&lock, work, asked, interrupt, listener)?;
                drop(lock);
                if interrupt.raised().is_some() {
                    return Ok(Some(result));
                }
                let is_own = matches!(self.state.progress(&mark)?, Progress::Ended(_));
                if is_own && self.is_marked() || self.brings_news(asked.stage) {
                    self.start_detached(Stdio::null())?;
                }
                self.call_back(asked, interrupt, listener);
                if is_own {
                    return Ok(Some(result));
                }
            } else if interrupt.wait(LOOK, || false).is_some() {
                return Ok(None);
            }
        }
    }

    /// One run, which holds `work`, of marks that were taken. They stay if it was cut off: then who is started next begins anew.
    fn run(
        &self,
        lock: &JobLock<'_>,
        work: File,
        asked: Asked,
        interrupt: &Interrupt,
        listener: &dyn Listener,
    ) -> Result<JobResult, JobError> {
        let (started, since) = (crate::clock::now().timestamp(), Instant::now());
        let mut command = self.command(asked);
        let program = PathBuf::from(command.get_program());
        command.process_group(0);
        command.stdin(work.try_clone().map_err(|error| self.failed(&program, error))?);
        let (ended, last_words) = self.run_work(&mut command, interrupt);
        // Who has it still was left behind, and is no part of the run.
        work.unlock().map_err(|error| self.failed(&program, error))?;
        let (code, error) = self.judge(&ended, &program, &last_words);
        let (stage, trigger, seconds) = (asked.stage, asked.origin, since.elapsed().as_secs());
        let result = JobResult { stage, trigger, started, seconds, code, error };
        self.tell(&result, listener);
        if !matches!(ended, Ok(Ended::Interrupted)) {
            lock.done(asked, &result)?;
        }
        Ok(result)
    }

    /// Waits until nothing is at work any more that a runner started which was killed, however long that takes: until then nothing is taken,
    /// so what is asked for stays asked for. What the run that follows is to hold; `None` if the end was asked for.
    fn wait_for_work(
        &self,
        lock: &JobLock<'_>,
        interrupt: &Interrupt,
        listener: &dyn Listener,
    ) -> Result<Option<File>, JobError> {
        let mut is_told = false;
        while interrupt.raised().is_none() {
            if let Some(work) = lock.work()? {
                return Ok(Some(work));
            }
            if !is_told {
                let what = "what a runner started that was killed is still at work: the next run waits for its end";
                listener.hear(&Event::Warning(&format!("job {}: {what}", self.name())));
                is_told = true;
            }
            interrupt.wait(LOOK, || false);
        }
        Ok(None)
    }

    /// Runs what does the work: how it ended, and the last lines that it said.
    fn run_work(&self, command: &mut Command, interrupt: &Interrupt) -> (io::Result<Ended>, Vec<String>) {
        if self.is_command() {
            return run_and_hear(command, self.settings.deadline, interrupt);
        }
        // A sync says in the log itself what is wrong.
        let ended = spawn(command).and_then(|child| wait(child, self.settings.deadline, interrupt));
        (ended, Vec::new())
    }

    /// What a run ends with, in the numbers of shells and timeout(1) where it has none of its own; and what is wrong with that.
    fn judge(&self, ended: &io::Result<Ended>, program: &Path, last_words: &[String]) -> (Option<u8>, Option<String>) {
        let (code, what) = match ended {
            Ok(Ended::Code(0)) => return (Some(0), None),
            Ok(Ended::Code(code)) => {
                let meant = Status::ALL.into_iter().find(|status| !self.is_command() && status.code() == *code);
                let meant = meant.map_or_else(String::new, |status| format!(": {}", status.sentence()));
                (Some(*code), format!("ended with {code}{meant}"))
            }
            Ok(Ended::Signal(signal)) => (Some(SIGNALLED + signal), format!("was ended by signal {signal}")),
            Ok(Ended::Late) => {
                let limit = humantime::format_duration(self.settings.deadline.unwrap_or_default());
                (Some(LATE), format!("was ended because its deadline passed ({limit})"))
            }
            Ok(Ended::Interrupted) => (None, "was cut off; it is done anew by who is started next".to_owned()),
            Err(error) => {
                let code = if error.kind() == io::ErrorKind::NotFound { NOT_THERE } else { CANNOT_RUN };
                (Some(code), format!("cannot run {}: {error}", program.display()))
            }
        };
        let said = if last_words.is_empty() { String::new() } else { format!("; it said: {}", last_words.join(" / ")) };
        (code, Some(what + &said))
    }

    /// Tells of a run that did not end well.
    fn tell(&self, result: &JobResult, listener: &dyn Listener) {
        if let Some(why) = &result.error {
            let (stage, origin) = (result.stage.word(), result.trigger.word());
            let job = self.name();
            listener.hear(&Event::JobFailed { job, what: &format!("job {job} ({stage}, {origin}): {why}") });
        }
    }

    fn is_command(&self) -> bool {
        matches!(self.settings.work, Work::Command { .. })
    }

    /// What does the work.
    fn command(&self, asked: Asked) -> Command {
        let sync = |file: &Path, modules: &[String]| {
            let mut command = self.this_program_with(file);
            // Downstreams are told when the job's lock is free.
            command.args(["sync", "--wait", "--no-push"]);
            command.args((asked.stage == Stage::Stage1).then_some("--content-only"));
            command.arg("--").args(modules);
            command.env("QFM_TRIGGER", asked.origin.word());
            command
        };
        match &self.settings.work {
            Work::Modules(modules) => sync(&self.file, modules),
            Work::Config(file) => sync(file, &[]),
            Work::Command { program, arguments } => {
                let mut command = self.clean(program);
                command.args(arguments).env("QFM_JOB", &self.settings.name);
                command.env("QFM_TRIGGER", asked.origin.word()).env("QFM_STAGE", asked.stage.word());
                command
            }
        }
    }

    /// Whether a run may bring what downstreams are to be told. A command tells them itself.
    fn brings_news(&self, stage: Stage) -> bool {
        stage != Stage::Stage1 && !self.is_command()
    }

    /// Tells downstreams of what is new. Whether that went as the settings want it.
    fn push(&self, stage: Stage, interrupt: &Interrupt, listener: &dyn Listener) -> bool {
        if !self.brings_news(stage) {
            return true;
        }
        let mut command =
            self.this_program_with(if let Work::Config(file) = &self.settings.work { file } else { &self.file });
        command.args(["push", "--due"]).stdin(Stdio::null()).process_group(0);
        match spawn(&mut command).and_then(|child| wait(child, None, interrupt)) {
            Ok(Ended::Code(code)) => code == Status::Done.code(),
            Ok(Ended::Signal(_)) => false,
            // The next run tells them.
            Ok(Ended::Late | Ended::Interrupted) => true,
            Err(source) => {
                let error = anyhow::Error::new(self.failed(THIS_PROGRAM, source));
                listener.hear(&Event::Failed { module: None, error: &error, status: Status::Notify });
                false
            }
        }
    }

    /// Tells upstream that a run is over, as Debian's tools do, if it asked for that. Whether it hears is no part of the run: nothing is
    /// wrong with that.
    fn call_back(&self, asked: Asked, interrupt: &Interrupt, listener: &dyn Listener) -> bool {
        let Some(login) = self.settings.callback.last().filter(|_| asked.callback) else { return true };
        let mut command = self.clean("ssh");
        command.args(SSH_OPTIONS).args(&self.settings.callback);
        command.arg(format!("callback:{}", rustix::system::uname().nodename().to_string_lossy()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let (ended, last_words) = run_and_hear(&mut command, Some(CALLBACK_TAKES), interrupt);
        let why = match ended {
            // Every other code is that of what is run there.
            Ok(Ended::Code(code)) if code != NOT_REACHED => return true,
            Ok(Ended::Interrupted) => return true,
            Ok(Ended::Code(_)) => last_words.join(" / "),
            Ok(Ended::Signal(signal)) => format!("ssh was ended by signal {signal}"),
            Ok(Ended::Late) => format!("it took longer than {}", humantime::format_duration(CALLBACK_TAKES)),
            Err(error) => format!("cannot run ssh: {error}"),
        };
        let job = &self.settings.name;
        listener.hear(&Event::Warning(&format!("job {job}: {login} was not told that it is done: {why}")));
        true
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

    fn failed(&self, program: impl AsRef<Path>, source: io::Error) -> JobError {
        JobError::Start { job: self.settings.name.clone(), program: program.as_ref().to_owned(), source }
    }
}

/// Leaves the session in which this process was started, so that its end does not matter.
///
/// # Errors
/// If this process leads a group of processes.
pub fn leave_session() -> Result<(), JobError> {
    rustix::process::setsid().map(drop).map_err(|error| JobError::Session(error.into()))
}
