//! `qfm trigger`: a session over ssh, which is the forced command of a key.
//!
//! Nothing that the client sent is more than a word to be looked up. A job that is to run as a whole gets a process of its own, and
//! the session ends; a stage of one holds the session, because its end is what tells the pusher to go on.

use std::process::Stdio;

use anyhow::anyhow;

use super::job::{Job, JobError};
use super::round::{Occasion, Round};
use super::words::Words;
use crate::config::{Environment, Loaded};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::report::{Event, Listener};
use crate::state::jobs::{Asked, JobResult, Origin, Stage};

/// The variables that sshd itself sets, whatever the client sends. None of them is a setting, or names a file with settings.
pub const OF_A_SESSION: [&str; 3] = ["HOME", "USER", "LOGNAME"];

/// Why nothing came of a trigger.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// There is no job of that name, or several and no name. The names of those that there are are not for everybody.
    #[error("{0}")]
    NoJob(String),
    /// The stage had not begun when the time was over, or the end was asked for.
    #[error("job {0} is still at something else: the session ends, and what was asked for is done after that")]
    Waited(String),
    /// The job could not be marked or run.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl Trouble {
    /// How serious it is.
    pub fn status(&self) -> Status {
        match self {
            Trouble::NoJob(_) => Status::Usage,
            Trouble::Waited(_) => Status::Locked,
            Trouble::Job(error) => error.status(),
        }
    }
}

/// Does what was asked for, as far as a session has to see to it. The result of a stage; `None` if the job runs by itself.
///
/// # Errors
/// If there is no such job, or it could not be marked or run. It was told to `listener`.
pub fn trigger(
    words: &Words,
    loaded: &Loaded,
    environment: &Environment,
    interrupt: &Interrupt,
    listener: &dyn Listener,
) -> Result<Option<JobResult>, Trouble> {
    for word in &words.unknown {
        listener.hear(&Event::Warning(&format!("the word {word} means nothing, and is ignored")));
    }
    if words.more > 0 {
        listener.hear(&Event::Warning(&format!("{} more words mean nothing", words.more)));
    }
    let done = run(words, loaded, environment, interrupt, listener);
    match &done {
        Ok(_) => {}
        // A run that gives way to another is silent; the pusher is to know.
        Err(trouble @ Trouble::Waited(_)) => listener.hear(&Event::Warning(&trouble.to_string())),
        Err(trouble) => {
            listener.hear(&Event::Failed { module: None, error: &anyhow!("{trouble}"), status: trouble.status() })
        }
    }
    done
}

fn run(
    words: &Words,
    loaded: &Loaded,
    environment: &Environment,
    interrupt: &Interrupt,
    listener: &dyn Listener,
) -> Result<Option<JobResult>, Trouble> {
    let settings = loaded.config.job(words.job.as_deref()).map_err(|error| Trouble::NoJob(error.to_string()))?;
    let job = Job::new(settings, &loaded.config, loaded.file.as_deref(), environment)?;
    let callback = words.callback && !settings.callback.is_empty();
    if words.callback && !callback {
        listener.hear(&Event::Warning(&format!("job {} has no callback: that word is ignored", job.name())));
    }
    let asked = Asked { stage: words.stage.unwrap_or(Stage::All), origin: Origin::Ssh, callback };
    let mark = job.mark(asked)?;
    let (name, origin, stage) = (job.name(), asked.origin.word(), asked.stage.word());
    listener.hear(&Event::Triggered { job: name, origin, stage, from: None });
    if asked.stage == Stage::All {
        if !job.is_running() {
            job.start_detached(Stdio::null())?;
        }
        return Ok(None);
    }
    let result = job.run_for_session(mark, interrupt, listener)?.ok_or_else(|| Trouble::Waited(name.to_owned()))?;
    if let Some(push) = &loaded.config.push
        && words.mhop
        && asked.stage == Stage::Stage1
        && result.code == Some(0)
    {
        // The pusher waits for what is behind this mirror too.
        Round::new(push).run(Occasion::FirstStage, interrupt, listener);
    }
    Ok(Some(result))
}
