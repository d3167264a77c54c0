//! The jobs, as the listener sees them: what opens them, and how they are started.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, bail};

use super::{Trouble, say};
use crate::config::job::Key;
use crate::config::{Config, Environment, Fingerprint, Start};
use crate::push::job::{Job, JobError};
use crate::push::secret::Door;

/// What starts units. It is looked for as the service manager says.
const SYSTEMCTL: &str = "systemctl";

/// A secret in a file that is shorter, in bytes, could be guessed.
const SHORTEST: usize = 16;

/// What opens the jobs that can be triggered over HTTP; the secrets in files are read.
///
/// # Errors
/// If a file has no good secret or does not keep it, or no job can be triggered.
pub fn doors(config: &Config) -> Result<Vec<Door>, Trouble> {
    let mut doors = Vec::new();
    for job in &config.triggered {
        let fingerprint = match &job.key {
            None => continue,
            Some(Key::Sha256(fingerprint)) => *fingerprint,
            Some(Key::In(path)) => read(path).map_err(|why| {
                let job = job.name.clone();
                Trouble::SecretFile { job, path: path.clone(), why }
            })?,
        };
        doors.push(Door { job: job.name.clone(), fingerprint });
    }
    if doors.is_empty() { Err(Trouble::NoSecret) } else { Ok(doors) }
}

/// The secret in the first line of a file; or what is wrong with the file, without anything of what is in it.
fn read(path: &Path) -> Result<Fingerprint, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.mode() & 0o007 != 0 {
        return Err(format!("others can read or change it; chmod o-rwx {}", path.display()));
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let secret = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    if secret.len() < SHORTEST {
        return Err(format!(
            "the secret in its first line is shorter than {SHORTEST} characters, and could be guessed"
        ));
    }
    Ok(Fingerprint::of(secret))
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
    let mut child = job.start_detached()?;
    let name = job.name().to_owned();
    thread::spawn(move || match child.wait() {
        Ok(status) if status.success() => {}
        Ok(status) => say(format_args!("job {name} did not end well: {status}")),
        Err(error) => say(format_args!("error: how job {name} ended is not known: {error}")),
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
