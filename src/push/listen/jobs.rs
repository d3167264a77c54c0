//! The jobs, as the listener sees them: what opens them, and how they are started.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, bail};

use super::Told;
use crate::config::job::Key;
use crate::config::{self, Config, Environment, Start, Wrong, kept};
use crate::push::job::{Job, JobError};
use crate::push::secret::Door;
use crate::report::{Event, Listener};

/// What starts units. It is looked for as the service manager says.
const SYSTEMCTL: &str = "systemctl";

/// What opens the jobs that can be triggered over HTTP; the secrets in files are read. A job whose file has no good secret, or does not keep
/// it, has nothing that opens it, and that is told.
pub fn doors(config: &Config, listener: &dyn Listener) -> Vec<Door> {
    let door = |job: &config::Job| {
        let fingerprint = match job.key.as_ref()? {
            Key::Sha256(fingerprint) => *fingerprint,
            Key::In(path) => match kept::fingerprint(path) {
                Ok(fingerprint) => fingerprint,
                Err(Wrong { what, hint }) => {
                    let what = format!("job {} cannot be triggered over HTTP: {what} ({hint})", job.name);
                    listener.hear(&Event::JobFailed { job: &job.name, what: &what });
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

    /// Starts a job, in the way that the settings want. Who is `told` hears how its runner ended, if it could not say so itself.
    pub fn start(&self, job: &Job, told: &Told) -> Result<(), anyhow::Error> {
        match self.start {
            Start::Itself => start_itself(job, told),
            Start::Systemctl => start_unit(job.name()),
        }
    }
}

/// Whether a run is asked for, and nobody is there to do it.
pub fn is_left(job: &Job) -> bool {
    job.is_marked() && !job.is_running()
}

/// Starts a process that does not end with this one; if it ends before, somebody has to ask how. It says itself why its job failed, in the log
/// and where this one says it.
fn start_itself(job: &Job, told: &Told) -> Result<(), anyhow::Error> {
    let mut child = job.start_detached(Stdio::inherit())?;
    let (job, told) = (job.name().to_owned(), Arc::clone(told));
    thread::spawn(move || {
        let what = match child.wait() {
            Ok(status) if status.code().is_some() => return,
            Ok(status) => format!("the runner of job {job} was ended: {status}"),
            Err(error) => format!("how the runner of job {job} ended is not known: {error}"),
        };
        told.hear(&Event::JobFailed { job: &job, what: &what });
    });
    Ok(())
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
