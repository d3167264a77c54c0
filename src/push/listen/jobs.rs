//! The jobs, as the listener sees them: what opens them, and how they are started.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, bail};
use chrono::Utc;

use super::say;
use crate::config::job::Key;
use crate::config::{self, Config, Environment, Start, Wrong, kept};
use crate::push::job::{Job, JobError};
use crate::push::secret::Door;
use crate::state::jobs::JobResult;

/// What starts units. It is looked for as the service manager says.
const SYSTEMCTL: &str = "systemctl";

/// What opens the jobs that can be triggered over HTTP; the secrets in files are read. A job whose file has no good secret, or does not keep
/// it, has nothing that opens it, and that is said.
pub fn doors(config: &Config) -> Vec<Door> {
    let door = |job: &config::Job| {
        let fingerprint = match job.key.as_ref()? {
            Key::Sha256(fingerprint) => *fingerprint,
            Key::In(path) => match kept::fingerprint(path) {
                Ok(fingerprint) => fingerprint,
                Err(Wrong { what, hint }) => {
                    say(format_args!("error: job {} cannot be triggered over HTTP: {what} ({hint})", job.name));
                    return None;
                }
            },
        };
        Some(Door { job: job.name.clone(), fingerprint })
    };
    config.triggered.iter().filter_map(door).collect()
}

/// The jobs of a configuration, whether or not they can be triggered over HTTP.
pub struct Jobs {
    jobs: Vec<Job>,
    start: Start,
}

impl Jobs {
    /// All jobs, ready to be marked.
    ///
    /// # Errors
    /// If there is no configuration file, or a folder cannot be made.
    pub fn new(config: &Config, file: Option<&Path>, environment: &Environment) -> Result<Jobs, JobError> {
        let jobs = config.triggered.iter().map(|job| Job::new(job, config, file, environment));
        Ok(Jobs { jobs: jobs.collect::<Result<_, _>>()?, start: config.listen.start })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter()
    }

    /// The one with a name.
    pub fn find(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name() == name)
    }

    /// Starts a job, in the way that the settings want.
    pub fn start(&self, job: &Job) -> Result<(), anyhow::Error> {
        match self.start {
            Start::Itself => start_itself(job),
            Start::Systemctl => start_unit(job.name()),
        }
    }
}

/// Whether a run is asked for, and nobody is there to do it.
pub fn is_left(job: &Job) -> bool {
    job.is_marked() && !job.is_running()
}

/// Starts a process that does not end with this one; if it ends before, somebody has to ask how.
fn start_itself(job: &Job) -> Result<(), anyhow::Error> {
    let began = Utc::now().timestamp();
    let mut child = job.start_detached()?;
    let job = job.clone();
    thread::spawn(move || match child.wait() {
        Ok(status) if status.success() => {}
        Ok(status) => say(format_args!("job {} did not end well: {}", job.name(), why(&job, began, status))),
        Err(error) => say(format_args!("error: how job {} ended is not known: {error}", job.name())),
    });
    Ok(())
}

/// Why a runner that began then ended so: what its job ended with, if that came to run.
fn why(job: &Job, began: i64, status: ExitStatus) -> String {
    match job.last() {
        Ok(Some(JobResult { started, error: Some(why), .. })) if started >= began => why,
        Ok(_) => status.to_string(),
        Err(error) => format!("{status}; why is not known: {error}"),
    }
}

fn start_unit(job: &str) -> Result<(), anyhow::Error> {
    let unit = format!("qfm@{job}.service");
    let output = Command::new(SYSTEMCTL)
        .args(["start", "--no-block", "--no-ask-password", "--", &unit])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {SYSTEMCTL}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{SYSTEMCTL} start {unit}: {}: {}", output.status, said.trim().escape_debug())
}
