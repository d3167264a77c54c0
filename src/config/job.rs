//! The tables `[job.NAME]` → [`Job`].

use std::path::PathBuf;
use std::time::Duration;

use super::error::{Problem, Wrong};
use super::layers::Settings;
use super::push::check_options;
use super::setting::JOBS;
use super::value::Value;
use super::{Config, Error, Fingerprint};

/// The name of the job that there is where none is configured, and of the one that is meant where none is named.
pub const DEFAULT: &str = "default";

/// A named piece of work that a trigger starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name: letters, digits, `.`, `-` and `_`, and not a dot or dash at the beginning. Safe as the name of a file, and as an argument.
    pub name: String,
    /// What is done.
    pub work: Work,
    /// It may run so long, and be waited for so long by a session.
    pub deadline: Option<Duration>,
    /// The arguments of ssh that lead to who is told that it is done, where that is asked for; empty: nobody is.
    pub callback: Vec<String>,
    /// What opens it to a trigger over HTTP; without one nothing does.
    pub key: Option<Key>,
}

/// What opens a job to a trigger over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The secret with this fingerprint.
    Sha256(Fingerprint),
    /// The secret in the first line of this file, which only the listener reads. Absolute.
    In(PathBuf),
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// It syncs these modules; empty: all.
    Modules(Vec<String>),
    /// It syncs the modules of another configuration. Absolute.
    Config(PathBuf),
    /// It runs a program, which is absolute, with these arguments.
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

impl Config {
    /// The job with a name; without one the job named `default`, or the only one that there is.
    ///
    /// # Errors
    /// If there is none, with the names of those that there are.
    pub fn job(&self, name: Option<&str>) -> Result<&Job, Error> {
        let only = || if let [only] = self.triggered.as_slice() { Some(only) } else { None };
        let named = self.triggered.iter().find(|job| job.name == name.unwrap_or(DEFAULT));
        named.or_else(|| only().filter(|_| name.is_none())).ok_or_else(|| Error::UnknownJob {
            name: name.map(str::to_owned),
            known: self.triggered.iter().map(|job| job.name.clone()).collect(),
        })
    }
}

/// Whether a text can be the name of a job.
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= 100 && name.bytes().all(is_plain) && !name.starts_with(['.', '-'])
}

/// Adds the jobs to the configuration. They can be used if no problem was added.
pub(super) fn add(settings: &Settings, config: &mut Config, problems: &mut Vec<Problem>) {
    let names = settings.named(&JOBS);
    let names = if names.is_empty() { [DEFAULT].into() } else { names };
    config.triggered = names.into_iter().map(|name| job(name, settings, config, problems)).collect();
}

fn job(name: &str, settings: &Settings, config: &Config, problems: &mut Vec<Problem>) -> Job {
    let key = |leaf: &str| format!("job.{name}.{leaf}");
    if !is_name(name) {
        let hint = "it consists of letters, digits, dots, dashes and underscores, and begins with none of `.` and `-`";
        let table = format!("job.{name}");
        problems.push(Wrong::new(format!("{name:?} is no name of a job"), hint).at(settings.origin(&table), table));
    }
    let mut fault = |leaf: &str, what: String, hint: &str| {
        problems.push(Wrong::new(what, hint).at(settings.origin(&key(leaf)), key(leaf)));
    };
    let is_said = |leaf: &&str| match settings.entry(&key(leaf)).map(|entry| &entry.value) {
        None | Some(Value::Unset) => false,
        Some(Value::List(items)) => !items.is_empty(),
        Some(_) => true,
    };
    let said: Vec<&str> = ["modules", "config", "command"].into_iter().filter(is_said).collect();
    if let [_, second, ..] = said.as_slice() {
        fault(
            second,
            format!("job {name} has {} at once", said.join(" and ")),
            "it does one of them: take the others out",
        );
    }
    let list = |leaf: &str| settings.list(&key(leaf)).unwrap_or_default();
    for module in list("modules").iter().filter(|name| !config.modules.iter().any(|module| module.name == **name)) {
        fault(
            "modules",
            format!("{module:?} is not among the modules of this configuration"),
            "`modules` at the top of the file names them",
        );
    }
    let work = match (settings.text(&key("config")), list("command").split_first()) {
        (Some(config), _) => Work::Config(config.into()),
        (None, Some((program, arguments))) => {
            let program = PathBuf::from(program);
            if !program.is_absolute() {
                fault(
                    "command",
                    format!("{program:?} is no absolute path"),
                    "no PATH is searched, and no shell is asked: write for example \"/usr/local/bin/archive-sync\"",
                );
            }
            Work::Command { program, arguments: arguments.to_vec() }
        }
        (None, None) => Work::Modules(list("modules").to_vec()),
    };
    let callback = list("callback").to_vec();
    if callback.last().is_some_and(|login| !is_login(login)) {
        fault("callback", "does not end in a login".to_owned(), "write user@host as its last item");
    } else if let Some((_, options)) = callback.split_last()
        && let Err(wrong) = check_options(options)
    {
        fault("callback", wrong, "options of ssh, and user@host as its last item");
    }
    let said = settings.text(&key("secret_sha256"));
    let fingerprint = said.and_then(Fingerprint::parse);
    if said.is_some() && fingerprint.is_none() {
        fault(
            "secret_sha256",
            "is no SHA-256 of 64 hexadecimal digits".to_owned(),
            "`qfm config trigger-url JOB` makes one",
        );
    }
    if fingerprint.is_some_and(|fingerprint| fingerprint.is_of_no_secret()) {
        let what = "is the SHA-256 of nothing, or of an example: everybody knows what opens it".to_owned();
        fault("secret_sha256", what, "`qfm config trigger-url JOB` makes a secret");
    }
    let file = settings.text(&key("secret_file"));
    if said.is_some() && file.is_some() {
        fault("secret_file", "it has a secret_sha256 too".to_owned(), "a job has one secret: take one of them out");
    }
    let opened_by = fingerprint.map(Key::Sha256).or_else(|| file.map(|file| Key::In(file.into())));
    Job { name: name.to_owned(), work, deadline: settings.span_if_set(&key("deadline")), callback, key: opened_by }
}

/// Whether a text is `user@host`, and nothing that ssh could take for an option.
fn is_login(text: &str) -> bool {
    let is_plain = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        !part.is_empty() && !part.starts_with('-') && part.chars().all(is_plain)
    };
    text.split_once('@').is_some_and(|(user, host)| is_plain(user) && is_plain(host))
}
