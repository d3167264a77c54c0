//! What can be wrong with a configuration, said so that the admin knows where to look and what to write instead.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::exit::Status;
use crate::path::escape_controls;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// An environment variable, by name.
    Environment(String),
    /// The command line, by the flag as it is written there.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// What is wrong with one value, before it is known where the value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong; no full stop.
    pub what: String,
    /// What to write or do instead; empty where nothing can be said.
    pub hint: String,
}

impl Wrong {
    /// A fault and what to do about it.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), hint: hint.into() }
    }

    /// The fault of the value of `key` that stands at `origin`.
    pub fn at(self, origin: Origin, key: impl Into<String>) -> Problem {
        Problem { origin, key: key.into(), wrong: self }
    }
}

/// One fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", self.place(), self.wrong.what)]
pub struct Problem {
    /// Where the value stands; [`Origin::Default`] for what stands nowhere.
    pub origin: Origin,
    /// The full key, such as `rsync.timeout`; empty where no key can be named.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub wrong: Wrong,
}

impl Problem {
    /// The fault and what to write instead, in one line.
    pub fn with_hint(&self) -> String {
        match self.wrong.hint.as_str() {
            "" => self.to_string(),
            hint => format!("{self}; {hint}"),
        }
    }

    fn place(&self) -> String {
        let mut place = match &self.origin {
            Origin::Default => String::new(),
            Origin::File { path, line, column } => format!("{}:{line}:{column}: ", path.display()),
            named => format!("{named}: "),
        };
        if !self.key.is_empty() {
            place.push_str(&self.key);
            place.push_str(": ");
        }
        place
    }
}

/// Why there is no configuration, or why a `qfm config` command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are wrong: all faults that were found, in the order of file, environment, command line; last what only shows together.
    #[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
    /// The configuration file, or a file it names, cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A module was named on the command line that the configuration does not have.
    #[error("no module `{name}` in the configuration")]
    UnknownModule {
        /// The name that was given.
        name: String,
        /// The names of the configured modules.
        known: Vec<String>,
    },
    /// A file that a command is to write lies where runs make all equal to upstream.
    #[error("{} lies in the directory of module {module} ({})", path.display(), directory.display())]
    Inside {
        /// The file.
        path: PathBuf,
        /// The module.
        module: String,
        /// Its directory.
        directory: PathBuf,
    },
    /// A downstream was named on the command line that the configuration does not have.
    #[error("no downstream `{name}` in the configuration")]
    UnknownDownstream {
        /// The name that was given.
        name: String,
        /// The names of those that there are.
        known: Vec<String>,
    },
    /// Somebody is to be told, and nobody is configured.
    #[error("nobody is told of what is new here")]
    NobodyDownstream,
    /// A job was named, on the command line or by who triggers, that the configuration does not have; or none was, and there are several.
    #[error("{}", match name {
        Some(name) => format!("no job `{}` in the configuration", escape_controls(name)),
        None => "which job? There are several, and none is named default".to_owned(),
    })]
    UnknownJob {
        /// The name that was given.
        name: Option<String>,
        /// The names of the configured jobs.
        known: Vec<String>,
    },
    /// `config init` does not overwrite.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The result cannot be written to standard output.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

impl Error {
    /// The exit status that this error ends the program with.
    pub fn status(&self) -> Status {
        match self {
            Error::Invalid(_)
            | Error::Read { .. }
            | Error::UnknownModule { .. }
            | Error::Inside { .. }
            | Error::UnknownDownstream { .. }
            | Error::NobodyDownstream
            | Error::UnknownJob { .. }
            | Error::Exists { .. } => Status::Usage,
            Error::Write { .. } | Error::Output(_) => Status::Local,
            Error::Signals(_) => Status::Bug,
        }
    }

    /// Each fault with its hint (empty where there is none), for a reader.
    pub fn faults(&self) -> Vec<(String, String)> {
        let hint = match self {
            Error::Invalid(problems) => {
                return problems.iter().map(|problem| (problem.to_string(), problem.wrong.hint.clone())).collect();
            }
            Error::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("`qfm config init {}` writes a sample to start from", path.display())
            }
            Error::UnknownModule { name, known } => {
                let nearest = match super::setting::nearest(name, known.iter().map(String::as_str)) {
                    Some(nearest) => format!("did you mean `{nearest}`? "),
                    None => String::new(),
                };
                format!("{nearest}configured are {}; `qfm --help` lists the commands", known.join(", "))
            }
            Error::NobodyDownstream => {
                "write a table [downstream.NAME], or name a file of Debian's tools in push.mirrors (qfm.toml(5))"
                    .to_string()
            }
            Error::UnknownDownstream { known, .. } | Error::UnknownJob { known, .. } => {
                format!("configured are {}", known.join(", "))
            }
            Error::Write { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "create its directory first".to_string()
            }
            Error::Inside { .. } => "a run would delete it: choose a place outside the mirror".to_string(),
            Error::Exists { .. } => "name another file, or move this one away".to_string(),
            Error::Read { .. } | Error::Write { .. } | Error::Output(_) | Error::Signals(_) => String::new(),
        };
        vec![(self.to_string(), hint)]
    }

    /// Each fault with its hint, in one line.
    pub fn lines(&self) -> Vec<String> {
        let line = |(fault, hint): (String, String)| if hint.is_empty() { fault } else { format!("{fault} ({hint})") };
        self.faults().into_iter().map(line).collect()
    }

    /// Writes each fault with `before` before it, such as `qfm: error: `, and its hint on a line below.
    pub fn report(&self, before: &str, out: &mut dyn Write) -> io::Result<()> {
        for (fault, hint) in self.faults() {
            writeln!(out, "{before}{fault}")?;
            if !hint.is_empty() {
                writeln!(out, "  hint: {hint}")?;
            }
        }
        Ok(())
    }
}
