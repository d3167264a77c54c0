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

/// The arguments of an old program, which begin with its name; else how it ends: help and version are asked for in this way too, and
/// `wrong` is what it ends with if something is wrong with them. What there is to say was said.
fn parse<A: Parser>(arguments: &[OsString], wrong: Status) -> Result<A, Status> {
    A::try_parse_from(arguments).map_err(|asked| {
        // Nowhere is left to say that a stream is gone.
        drop(asked.print());
        if asked.use_stderr() { wrong } else { Status::Done }
    })
}

/// The configuration, as the old programs find it. `None` if it cannot be used, which was said.
fn load(named: Option<PathBuf>) -> Option<Loaded> {
    let environment: Environment = std::env::vars_os().collect();
    // The old one's own directory is that of the link that leads here.
    let program = std::env::args_os().next().and_then(|argv0| Some(Path::new(&argv0).parent()?.to_owned()));
    let program = program.filter(|directory| !directory.as_os_str().is_empty());
    let overrides = Overrides { config: named, places: Places::Old { program }, ..Overrides::default() };
    // Nowhere is left to say that standard error is gone.
    match config::load(&overrides, &environment) {
        Ok(loaded) => return Some(loaded),
        Err(config::Error::Read { path, .. }) => drop(writeln!(io::stderr(), "Cannot read {}", path.display())),
        Err(error) => drop(error.report(&mut io::stderr())),
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
