//! `[push]` and the tables `[downstream.NAME]` → [`Push`], and `[trace]` → [`Trace`].

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::Config;
use super::error::{Problem, Wrong};
use super::layers::{Environment, Settings};
use super::proxy::Proxies;
use super::secret::Secret;
use super::setting::DOWNSTREAMS;
use crate::path::{RelPath, RelPathBuf};

/// How others are told that there is something new here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Who stands in tables of their own, by name; they are told before those of `mirrors`.
    pub downstreams: Vec<Downstream>,
    /// A file `runmirrors.mirror` that names more of them.
    pub mirrors: Option<PathBuf>,
    /// The ssh program: a name looked up in `PATH`, or a path.
    pub ssh: PathBuf,
    /// The key for those who have none of their own.
    pub key: Option<PathBuf>,
    /// Options of ssh for all of them.
    pub options: Vec<String>,
    /// The archive that those are told of who name none.
    pub archive: Option<String>,
    /// When the first is done with its first stage, the others are waited for so long before the second begins.
    pub stage_wait: Duration,
    /// What has no stages may take so long.
    pub timeout: Duration,
    /// All together may take so long.
    pub deadline: Duration,
    /// So many are told at once.
    pub jobs: usize,
    /// Whether a push that failed makes a run end with 11.
    pub strict: bool,
    /// Through whom URLs are called.
    pub proxies: Proxies,
}

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downstream {
    /// A short name, for people.
    pub name: String,
    /// In which stages.
    pub stages: Stages,
    /// How.
    pub way: Way,
}

/// In which stages somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stages {
    /// Once, and forgotten.
    None,
    /// Content first, and what leads to it when all others who have stages have theirs.
    Two,
    /// The same, and what it tells others in turn belongs to the first stage.
    Hops,
}

/// How somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over ssh.
    Ssh(Ssh),
    /// By a GET of this URL.
    Url(Url),
}

/// A login, and what is particular to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// Where.
    pub address: Address,
    /// Its key; `~/` and what is relative are left to ssh.
    pub key: Option<PathBuf>,
    /// Its options, after those for all.
    pub options: Vec<String>,
    /// The archive that it is told of.
    pub archive: Option<String>,
}

/// A URL that triggers: who knows it may do so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// It was said.
    Said(Secret),
    /// In the first line of this file.
    In(PathBuf),
}

/// A host, and a user on it. Neither can be taken for an option of ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    user: Option<String>,
    host: String,
}

impl Address {
    /// An address of its parts.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(user: Option<&str>, host: &str) -> Result<Address, String> {
        let is_word = |word: &str, more: &[char]| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c) || more.contains(&c);
            !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain)
        };
        if !is_word(host, &[]) && host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("{host:?} is no host (a port is an option of ssh: -p)"));
        }
        match user.filter(|user| !is_word(user, &['+', '$'])) {
            Some(user) => Err(format!("{user:?} is no user")),
            None => Ok(Address { user: user.map(str::to_owned), host: host.to_owned() }),
        }
    }

    /// Reads `[user@]host`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Address, String> {
        match text.split_once('@') {
            Some((user, host)) => Address::new(Some(user), host),
            None => Address::new(None, text),
        }
    }

    /// The user; without one it is ssh's choice.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host: a name, an address, or one of ssh's own configuration.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// The options of ssh(1) that take a value, as OpenSSH 10 has them.
const WITH_VALUE: &str = "BbcDEeFIiJLlmOoPpQRSWw";

/// Whether words are options of ssh and their values alone: it takes another word for the host or for a command.
///
/// # Errors
/// The word that is none, in words.
pub fn check_options(words: &[impl AsRef<str>]) -> Result<(), String> {
    let mut words = words.iter().map(AsRef::as_ref);
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty() && !letters.starts_with('-'));
        let letters = letters.ok_or_else(|| format!("{word:?} is no option of ssh"))?;
        let value = letters.find(|letter| WITH_VALUE.contains(letter));
        if value.is_some_and(|at| at + 1 == letters.len()) && words.next().is_none() {
            return Err(format!("the option {word:?} of ssh has no value"));
        }
    }
    Ok(())
}

/// Whether a text can be the name of an archive. It is sent as a part of a word, which a shell may see.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_archive(name: &str) -> Result<(), String> {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
        Ok(())
    } else {
        Err(format!("{name:?} is no name of an archive: those have letters, digits, `.`, `-` and `_`"))
    }
}

/// How others can see how fresh this mirror is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What this mirror is called.
    pub host: String,
    /// The file that tells of the last complete run.
    pub file: Option<Place>,
    /// The file that is there while a run changes the mirror.
    pub in_progress: Option<Place>,
    /// Who looks after the mirror.
    pub maintainer: Option<String>,
}

impl Trace {
    /// Where in a module's directory something of it lies.
    pub fn inside(&self, directory: &str) -> impl Iterator<Item = RelPath<'_>> {
        let places = [&self.file, &self.in_progress].into_iter().flatten();
        places.filter_map(move |place| match place {
            Place::Inside { directory: its, path } if its == directory => Some(path.as_path()),
            _ => None,
        })
    }
}

/// Where a file of ours lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the directory of a module, by the path in it: no link below that is followed.
    Inside {
        /// The module's directory.
        directory: String,
        /// The path in it.
        path: RelPathBuf,
    },
    /// Elsewhere. Absolute.
    Elsewhere(PathBuf),
}

/// The settings that say how a downstream is told.
const WAYS: [&str; 3] = ["ssh", "url_file", "url"];

/// Adds what the settings say of this to the configuration. It can be used if no problem was added.
pub(super) fn add(settings: &Settings, environment: &Environment, config: &mut Config, problems: &mut Vec<Problem>) {
    config.push = push(settings, environment, problems);
    config.trace = trace(settings, config, problems);
}

/// Nothing, if there is nobody to tell.
fn push(settings: &Settings, environment: &Environment, problems: &mut Vec<Problem>) -> Option<Push> {
    let names = settings.named(&DOWNSTREAMS);
    words("push", settings, problems);
    let mirrors = settings.text("push.mirrors").map(PathBuf::from);
    let downstreams: Vec<_> = names.into_iter().filter_map(|name| downstream(name, settings, problems)).collect();
    if downstreams.is_empty() && mirrors.is_none() {
        return None;
    }
    Some(Push {
        downstreams,
        mirrors,
        ssh: settings.text("push.ssh").unwrap_or("ssh").into(),
        key: settings.text("push.key").map(PathBuf::from),
        options: settings.list("push.options").unwrap_or_default().to_vec(),
        archive: settings.text("push.archive").map(str::to_owned),
        stage_wait: settings.span("push.stage_wait"),
        timeout: settings.span("push.timeout"),
        deadline: settings.span("push.deadline"),
        jobs: settings.number("push.jobs"),
        strict: settings.is_on("push.strict"),
        proxies: Proxies::of(environment),
    })
}

fn downstream(name: &str, settings: &Settings, problems: &mut Vec<Problem>) -> Option<Downstream> {
    let key = |leaf: &str| format!("downstream.{name}.{leaf}");
    words(&format!("downstream.{name}"), settings, problems);
    let mut fault = |leaf: &str, what: String, hint: &str| {
        problems.push(Wrong::new(what, hint).at(settings.origin(&key(leaf)), key(leaf)));
        None
    };
    let stages = match settings.text(&key("kind")) {
        Some("staged") => Stages::Two,
        Some("mhop") => Stages::Hops,
        _ => Stages::None,
    };
    let url = settings.secret(&key("url")).map(|url| Url::Said(url.clone()));
    let url = url.or_else(|| settings.text(&key("url_file")).map(|path| Url::In(path.into())));
    let way = match (settings.text(&key("ssh")), url) {
        (Some(_), Some(_)) => {
            return fault("ssh", "stands beside a URL".to_owned(), "it is told in one way: take the other out");
        }
        (None, Some(_)) if stages != Stages::None => {
            return fault("kind", "is not to be had over HTTP".to_owned(), "a URL knows no stages: write \"all\"");
        }
        (None, Some(Url::Said(url))) if !is_url(url.reveal()) => {
            return fault("url", "is no URL".to_owned(), "it begins with https:// or http://, and has no blanks");
        }
        (None, Some(url)) => Way::Url(url),
        (None, None) if WAYS.iter().any(|leaf| settings.is_spoilt(&key(leaf))) => return None,
        // An empty value takes back what was said, and leaves it out.
        (None, None) if WAYS.iter().any(|leaf| settings.entry(&key(leaf)).is_some()) => return None,
        (None, None) => {
            let table = format!("downstream.{name}");
            let wrong = Wrong::new("nothing says how it is told", "write `ssh = \"user@host\"` below it, or url_file");
            problems.push(wrong.at(settings.origin(&table), table));
            return None;
        }
        (Some(address), None) => match Address::parse(address) {
            Ok(address) => Way::Ssh(Ssh {
                address,
                key: settings.text(&key("key")).map(PathBuf::from),
                options: settings.list(&key("options")).unwrap_or_default().to_vec(),
                archive: settings.text(&key("archive")).map(str::to_owned),
            }),
            Err(wrong) => return fault("ssh", wrong, "write `ssh = \"user@host\"`"),
        },
    };
    Some(Downstream { name: name.to_owned(), stages, way })
}

/// What a table says for ssh is taken by nobody for something else.
fn words(table: &str, settings: &Settings, problems: &mut Vec<Problem>) {
    let [options, archive] = ["options", "archive"].map(|leaf| format!("{table}.{leaf}"));
    let checked = [
        (check_options(settings.list(&options).unwrap_or_default()), options, "write for example [\"-p\", \"2222\"]"),
        (check_archive(settings.text(&archive).unwrap_or_default()), archive, ""),
    ];
    for (checked, key, hint) in checked {
        if let Err(wrong) = checked {
            problems.push(Wrong::new(wrong, hint).at(settings.origin(&key), key));
        }
    }
}

/// Whether a text is the address of a page.
pub fn is_url(text: &str) -> bool {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !text.contains(char::is_whitespace))
}

/// Nothing, if nothing of it is wanted.
fn trace(settings: &Settings, config: &Config, problems: &mut Vec<Problem>) -> Option<Trace> {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = settings.text("trace.host").map_or_else(host, str::to_owned);
    let mut place = |key: &str| match place(&settings.text(key)?.replace("{host}", &host), config) {
        Ok(place) => Some(place),
        Err((what, hint)) => {
            problems.push(Wrong::new(what, hint).at(settings.origin(key), key));
            None
        }
    };
    let (file, in_progress) = (place("trace.file"), place("trace.in_progress"));
    if in_progress.is_some() && file == in_progress {
        let wrong =
            Wrong::new("is the file of trace.file too", "name another, such as Archive-Update-in-Progress-{host}");
        problems.push(wrong.at(settings.origin("trace.in_progress"), "trace.in_progress"));
    }
    if file.is_none() && in_progress.is_none() {
        return None;
    }
    let maintainer = settings.text("trace.maintainer").map(str::to_owned);
    Some(Trace { host, file, in_progress, maintainer })
}

/// Where a file is to be that is named from the mirror root on, or by an absolute path.
fn place(text: &str, config: &Config) -> Result<Place, (String, &'static str)> {
    let path = Path::new(text);
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::RootDir);
    if text.contains(['{', '}']) {
        return Err((format!("{text:?} has a brace that stands for nothing"), "only {host} is replaced"));
    }
    if text.ends_with('/') || !path.components().all(is_plain) || path.file_name().is_none() {
        return Err((format!("{text:?} is no path of a file"), "for example \"project/trace/{host}\""));
    }
    let absolute = config.root.join(path);
    for module in &config.modules {
        let Ok(inside) = absolute.strip_prefix(config.root.join(&module.directory)) else { continue };
        let wrong =
            |why| (format!("{text:?} is no file of ours in the directory of module {}: {why}", module.name), "");
        let path = RelPath::new(inside.as_os_str().as_encoded_bytes()).map_err(|error| wrong(error.to_string()))?;
        let is_list = |name: &String| name.as_bytes() == path.bytes();
        if std::iter::once(&module.list).chain(&module.extra_files).any(is_list) {
            return Err(wrong("that is a list".to_owned()));
        }
        return Ok(Place::Inside { directory: module.directory.clone(), path: path.to_owned() });
    }
    Ok(Place::Elsewhere(absolute))
}
