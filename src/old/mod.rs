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
use regex::{NoExpand, Regex};

use crate::config::{self, Environment, Loaded, Overrides, Places};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::report::name_config;

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

/// How messages speak of settings, as regular expressions, and how of the old configuration.
const KEYS: [(&str, &str); 10] = [
    ("setting time_file", "TIMEFILE"),
    ("setting root", "DESTD"),
    ("setting state", "TIMEFILE"),
    ("setting upstream", "REMOTE and MASTERMODULE"),
    ("setting rsync[.]program", "RSYNC"),
    ("settings rsync[.]program and rsync[.]options", "RSYNC and RSYNCOPTS"),
    ("settings rsync[.]user and rsync[.]password_file", "REMOTE, and --password-file in RSYNCOPTS"),
    ("the setting `state`", "TIMEFILE"),
    (r"checkin[.]site names the site \(qfm[.]toml\(5\)\)", "CHECKIN_SITE names the site"),
    (r"both names can be set in \[module[.][^]]*\]", "MODULEMAPPING and FILELIST say both names"),
];

/// A message for who has the old configuration, in that file.
fn by_keys(message: &str, config: &Path) -> String {
    // What helps is a flag of this program under its own name.
    let message = name_config(message, Some(config));
    let in_keys = |message: String, (setting, key): &(&str, &str)| match Regex::new(setting) {
        Ok(setting) => setting.replace_all(&message, NoExpand(key)).into_owned(),
        Err(_) => message,
    };
    KEYS.iter().fold(message, in_keys)
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
    let program = std::env::args_os().next().and_then(|argv0| directory_of(Path::new(&argv0), &environment));
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

/// The directory in which a program is that was started by this name.
fn directory_of(argv0: &Path, environment: &Environment) -> Option<PathBuf> {
    let directory = argv0.parent()?;
    if !directory.as_os_str().is_empty() {
        return Some(directory.to_owned());
    }
    std::env::split_paths(environment.get("PATH")?).find(|directory| directory.join(argv0).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_speak_of_the_keys_of_the_old_configuration() {
        let by_keys = |message: &str| by_keys(message, Path::new("/etc/old.conf"));
        for (setting, _) in KEYS {
            assert!(Regex::new(setting).is_ok(), "{setting}");
        }
        assert_eq!(by_keys("cannot run x (setting rsync.program)"), "cannot run x (RSYNC)");
        assert_eq!(
            by_keys("no list; both names can be set in [module.fedora-alt]"),
            "no list; MODULEMAPPING and FILELIST say both names"
        );
        assert_eq!(by_keys("to pass once: qfm --full m"), "to pass once: qfm --config /etc/old.conf --full m");
    }

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
