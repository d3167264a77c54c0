//! `qfm config …`.

use std::io::{self, Write};
use std::path::Path;

use qfm::cli::ConfigCommand;
use qfm::config::{self, Wrong, commands};
use qfm::exit::Status;
use qfm::push::authorized::{self, PublicKey};
use qfm::push::trigger_url::Base;
use qfm::push::{self, JobError};

use super::Call;

pub fn run(command: ConfigCommand, call: &Call, out: &mut impl Write) -> Result<Status, config::Error> {
    let Call { overrides, environment } = call;
    match command {
        ConfigCommand::Init { file } => commands::init(file.as_deref(), out),
        ConfigCommand::Check => {
            let loaded = config::load(overrides, environment)?;
            let found = push::check::check(&loaded, environment);
            commands::check(&loaded, found.faults, &found.doubts, out)
        }
        ConfigCommand::Show { json } => commands::show(overrides, environment, json, out),
        ConfigCommand::Import { file, assignments } => {
            commands::import(&file, environment, assignments, out, &mut io::stderr())
        }
        ConfigCommand::AuthorizedKey { key, job, from } => authorized_key(&key, job.as_deref(), &from, call, out),
        ConfigCommand::TriggerUrl { job, at } => {
            push::trigger_url::write(&job, &at.unwrap_or_else(Base::here), out).map_err(Into::into)
        }
    }
    .map(|()| Status::Done)
}

fn authorized_key(
    key: &Path,
    job: Option<&str>,
    from: &[String],
    call: &Call,
    out: &mut impl Write,
) -> Result<(), config::Error> {
    let loaded = call.load_for_jobs(&call.environment.only(&push::OF_AN_ADMIN))?;
    let job = &loaded.config.job(job)?.name;
    let said = |wrong: Wrong| config::Error::Invalid(vec![wrong.at(config::Origin::Default, "")]);
    let file = loaded.file.as_deref().ok_or_else(|| said(Wrong::new(JobError::NoFile.to_string(), "")))?;
    let absolute = |path: &Path| {
        let absolute =
            std::path::absolute(path).map_err(|source| config::Error::Read { path: path.to_owned(), source });
        absolute.map(|path| path.to_string_lossy().into_owned())
    };
    let (program, file) = (absolute(&std::env::current_exe()?)?, absolute(file)?);
    let shown = key.display().to_string();
    let text = std::fs::read(key).map_err(|error| {
        said(Wrong::new(format!("cannot read {shown}: {error}"), "name the .pub file that the pusher sent"))
    })?;
    let key = PublicKey::read(&shown, &String::from_utf8_lossy(&text)).map_err(said)?;
    let line = authorized::line(&program, &file, job, from, &key).map_err(said)?;
    writeln!(out, "{line}").map_err(Into::into)
}
