//! The old programs: what this one does when it is started under one of their names, by a symbolic link to it.
//!
//! Each keeps the options, the texts and the exit status that its users' scripts know. What it does is done by the parts that the
//! commands of `qfm` use.

pub mod create_filelist;
pub mod hardlink;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::exit::Status;
use crate::interrupt::Interrupt;

/// A program whose name this one answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `create-filelist`: writes the list of one directory.
    CreateFilelist,
    /// `quick-fedora-hardlink`: makes one file of equal ones.
    Hardlink,
}

impl Program {
    /// All of them, each with its name.
    const ALL: [(&'static str, Program); 2] =
        [("create-filelist", Program::CreateFilelist), ("quick-fedora-hardlink", Program::Hardlink)];

    /// Does what the old program of that name does. `arguments` begin with its name.
    pub fn run(self, arguments: &[OsString], interrupt: &Interrupt) -> Status {
        match self {
            Program::CreateFilelist => create_filelist::run(arguments, interrupt),
            Program::Hardlink => hardlink::run(arguments, interrupt),
        }
    }
}

/// The old program that is meant, if `argv0`, what this program was started as, ends in its name.
pub fn program(argv0: &OsStr) -> Option<Program> {
    let name = Path::new(argv0).file_name()?;
    Program::ALL.iter().find(|(known, _)| name == *known).map(|(_, program)| *program)
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
