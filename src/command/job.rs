//! Jobs: what triggers start, over ssh (trigger) and over HTTP (listen), and by hand (run-job).

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::anyhow;
use qfm::cli;
use qfm::config::{self, Wrong};
use qfm::exit::Status;
use qfm::interrupt::Interrupt;
use qfm::push::listen::Trouble;
use qfm::push::trigger::OF_A_SESSION;
use qfm::push::words::Words;
use qfm::push::{self, Job};
use qfm::report::{Event, Listener};
use qfm::state::jobs::{Asked, JobResult, Origin, Stage};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Audience, Call, end_at, listen_for_signals};

pub fn run_job(arguments: &cli::RunJob, call: &Call) -> Result<ExitCode, config::Error> {
    let environment = call.environment.only(&push::OF_AN_ADMIN);
    let loaded = call.load_for_jobs(&environment)?;
    let settings = loaded.config.job(arguments.job.as_deref())?;
    let interrupt = listen_for_signals()?;
    let audience = Audience::for_jobs(&loaded.config, ());
    let run = || {
        if arguments.detached {
            push::job::leave_session()?;
        }
        let job = Job::new(settings, &loaded.config, loaded.file.as_deref(), &environment)?;
        if !arguments.triggered && !arguments.detached {
            job.mark(Asked { stage: Stage::All, origin: Origin::Local, callback: false })?;
        }
        job.run_while_marked(&interrupt, &audience)
    };
    let result = match run() {
        Ok(Some(result)) => result,
        // Nobody asks for it, or somebody else is at it and does it after that.
        Ok(None) => return Ok(interrupt.raised().map_or(Status::Done, Status::from).into()),
        Err(error) => {
            let status = error.status();
            audience.hear(&Event::Failed { module: None, error: &anyhow!("{error}"), status });
            return Ok(status.into());
        }
    };
    Ok(end_of(&result, &interrupt))
}

pub fn trigger(arguments: &cli::Trigger, call: &Call) -> Result<ExitCode, config::Error> {
    let sent = call.environment.get("SSH_ORIGINAL_COMMAND").unwrap_or_default().as_encoded_bytes();
    let forced = Words::forced(&arguments.words).map_err(|word| {
        let wrong = Wrong::new(format!("`{word}` is no name of a job, or there is one already"), "");
        config::Error::Invalid(vec![wrong.at(config::Origin::Default, "")])
    })?;
    let words = Words::sent(sent).under(forced);
    let environment = call.environment.only(&OF_A_SESSION);
    let loaded = call.load_for_jobs(&environment)?;
    let interrupt = listen_for_signals()?;
    let audience = Audience::for_jobs(&loaded.config, ());
    Ok(match push::trigger::trigger(&words, &loaded, &environment, &interrupt, &audience) {
        Ok(None) => Status::Done.into(),
        // By 255 ssh says that it did not get here.
        Ok(Some(JobResult { code: Some(255), .. })) => ExitCode::from(254),
        Ok(Some(result)) => end_of(&result, &interrupt),
        Err(trouble) => trouble.status().into(),
    })
}

/// What a run of a job makes this program end with.
fn end_of(result: &JobResult, interrupt: &Interrupt) -> ExitCode {
    result.code.map_or_else(|| interrupt.raised().map_or(Status::Local, Status::from).into(), ExitCode::from)
}

pub fn listen(call: &Call) -> Result<Status, config::Error> {
    let environment = call.environment.only(&push::OF_AN_ADMIN);
    // At SIGHUP it reads its configuration anew.
    let interrupt = end_at(&[SIGINT, SIGTERM])?;
    let (call, of_files) = (call.clone(), environment.clone());
    let load = move || {
        let loaded = call.load_for_jobs(&of_files)?;
        let audience: Arc<dyn Listener + Send + Sync> = Arc::new(Audience::for_service(&loaded.config));
        Ok((loaded, audience))
    };
    match push::listen::listen(load, &environment, &interrupt) {
        Ok(()) => Ok(Status::Done),
        Err(Trouble::Config(error)) => Err(error),
        Err(trouble) => Ok(trouble.status()),
    }
}
