//! The old programs: what this one does when it is started under one of their names, by a symbolic link to it.
//!
//! Each keeps the options, the texts and the exit status that its users' scripts know. What it does is done by the parts that the
//! commands of `qfm` use.

pub mod create_filelist;
pub mod hardlink;
pub mod mirror;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::config::{self, Environment, Loaded, Overrides, Places};
use crate::exit::Status;
use crate::interrupt::Interrupt;

/// A program whose name this one answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `create-filelist`: writes the list of one directory.
    CreateFilelist,
    /// `quick-fedora-hardlink`: makes one file of equal ones.
    Hardlink,
    /// `quick-fedora-mirror`: makes a mirror equal to upstream.
    Mirror,
}

impl Program {
    /// All of them, each with its name.
    const ALL: [(&'static str, Program); 3] = [
        ("create-filelist", Program::CreateFilelist),
        ("quick-fedora-hardlink", Program::Hardlink),
        ("quick-fedora-mirror", Program::Mirror),
    ];

    /// Does what the old program of that name does. `arguments` begin with its name.
    pub fn run(self, arguments: &[OsString], interrupt: &Interrupt) -> Status {
        match self {
            Program::CreateFilelist => create_filelist::run(arguments, interrupt),
            Program::Hardlink => hardlink::run(arguments, interrupt),
            Program::Mirror => mirror::run(arguments, interrupt),
        }
    }
}

/// The old program that is meant, if `argv0`, what this program was started as, ends in its name.
pub fn program(argv0: &OsStr) -> Option<Program> {
    let name = Path::new(argv0).file_name()?;
    Program::ALL.iter().find(|(known, _)| name == *known).map(|(_, program)| *program)
}

/// How messages call settings, and what of the old configuration says them.
const KEYS: [(&str, &str); 5] = [
    ("setting warn_after", "WARNDELAY"),
    ("setting time_file", "TIMEFILE"),
    ("setting rsync.program", "RSYNC"),
    ("settings rsync.user and rsync.password_file", "REMOTE, and --password-file in RSYNCOPTS"),
    ("the setting `state`", "TIMEFILE"),
];

/// A message, for who has the old configuration.
fn by_keys(message: &str) -> String {
    KEYS.iter().fold(message.to_owned(), |message, (setting, key)| message.replace(setting, key))
}

/// Says why it ends, beginning as that program does.
fn complain(before: &str, why: &str) {
    // Nowhere is left to say that standard error is gone.
    drop(writeln!(io::stderr(), "{before}{}", why.trim_end()));
}

/// The arguments of an old program, which begin with its name; else how it ends: help and version are asked for in this way too, and
/// `wrong` is what it ends with if something is wrong with them. What there is to say was said, trouble with `before` before it.
fn parse<A: Parser>(arguments: &[OsString], before: &str, wrong: Status) -> Result<A, Status> {
    A::try_parse_from(arguments).map_err(|asked| {
        if !asked.use_stderr() {
            // Nobody hears that nobody listens.
            drop(asked.print());
            return Status::Done;
        }
        let text = asked.render().to_string();
        complain(before, text.strip_prefix("error: ").unwrap_or(&text));
        wrong
    })
}

/// The configuration, as the old programs find it. `None` if it cannot be used, which was said with `before` before it. `state` is where
/// the saved state lies if the file says no `TIMEFILE`; without it that is a fault.
fn load(named: Option<PathBuf>, before: &str, state: Option<&Path>) -> Option<Loaded> {
    let environment: Environment = std::env::vars_os().collect();
    // The old one's own directory is that of the link that leads here.
    let program = std::env::args_os().next().and_then(|argv0| Some(Path::new(&argv0).parent()?.to_owned()));
    let program = program.filter(|directory| !directory.as_os_str().is_empty());
    let state = state.map(Path::to_owned);
    let overrides = Overrides { config: named, places: Places::Old { program }, state, ..Overrides::default() };
    match config::load(&overrides, &environment) {
        Ok(loaded) => return Some(loaded),
        Err(config::Error::Read { path, .. }) => complain("", &format!("Cannot read {}", path.display())),
        // Nowhere is left to say that standard error is gone.
        Err(error) => drop(error.report(before, &mut io::stderr())),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_name_decides() {
        let meant = |argv0: &str| program(OsStr::new(argv0));
        assert_eq!(meant("create-filelist"), Some(Program::CreateFilelist));
        assert_eq!(meant("/usr/bin/create-filelist"), Some(Program::CreateFilelist));
        assert_eq!(meant("create-filelist/qfm"), None);
        assert_eq!(meant("qfm"), None);
        assert_eq!(meant(""), None);
    }
}
