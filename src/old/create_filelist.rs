//! `create-filelist`: writes the list of one directory.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{ArgAction, Parser, ValueHint};

use crate::exit::Status;
use crate::list::make::{self, Options, Warning};

/// Write the list of a directory, for clients that follow such lists
#[derive(Clone, Debug, Default, Parser, PartialEq, Eq)]
#[command(name = "create-filelist", version)]
struct Arguments {
    /// The directory to list
    #[arg(short, long, default_value = ".", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// The list to write; without it, standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    timelist: Option<PathBuf>,
    /// A plain list of all paths to write
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    filelist: Option<PathBuf>,
    /// A plain list of image files to write
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    imagelist: Option<PathBuf>,
    /// Give the checksum of every repomd.xml
    #[arg(short, long)]
    checksum: bool,
    /// Give the checksum of every file of this name; can be repeated
    #[arg(short = 'C', long = "checksum-file", value_name = "NAME", action = ArgAction::Append)]
    checksum_files: Vec<OsString>,
    /// Leave out the lists that are written, at the top of the directory
    #[arg(short, long)]
    skip: bool,
    /// Leave out what has this name at the top of the directory; can be repeated
    #[arg(short = 'S', long = "skip-file", value_name = "NAME", action = ArgAction::Append)]
    skip_files: Vec<OsString>,
}

/// Runs it. `arguments` begin with the program's name.
pub fn run(arguments: &[OsString]) -> Status {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(asked) => {
            // Help and version are asked for in this way too. Nowhere is left to say that a stream is gone.
            drop(asked.print());
            return if asked.use_stderr() { Status::Usage } else { Status::Done };
        }
    };
    match arguments.make() {
        Ok(warnings) => {
            let mut complaints = io::stderr().lock();
            for warning in &warnings {
                drop(match warning {
                    Warning::Dangling { path, .. } => writeln!(complaints, "Could not stat {}", path.display()),
                    other => writeln!(complaints, "create-filelist: warning: {other}"),
                });
            }
            let lacks = warnings.iter().any(|warning| matches!(warning, Warning::LineFeed { .. }));
            if lacks { Status::Partial } else { Status::Done }
        }
        Err(error) => {
            drop(writeln!(io::stderr(), "create-filelist: error: {error:#}"));
            Status::Local
        }
    }
}

impl Arguments {
    fn make(&self) -> anyhow::Result<Vec<Warning>> {
        let mut list = Vec::new();
        let made = make::make(&self.dir, &self.options(), &mut list)?;
        if let Some(path) = &self.filelist {
            write(path, &plain(&list, |_| true))?;
        }
        if let Some(path) = &self.imagelist {
            write(path, &plain(&list, make::is_image))?;
        }
        match &self.timelist {
            Some(path) => write(path, &list)?,
            None => io::stdout().lock().write_all(&list)?,
        }
        Ok(made.warnings)
    }

    fn options(&self) -> Options {
        let written = [&self.timelist, &self.filelist, &self.imagelist].into_iter().flatten().filter(|_| self.skip);
        let written = written.filter_map(|path| path.file_name()).map(OsString::from);
        let checksums_of = self.checksum.then(|| OsString::from("repomd.xml")).into_iter();
        Options {
            skip_top: written.chain(self.skip_files.iter().cloned()).collect(),
            checksums_of: checksums_of.chain(self.checksum_files.iter().cloned()).collect(),
            ..Options::default()
        }
    }
}

/// Puts a file in place at once where there is one or none; a device or a pipe is written to.
fn write(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let written = || match fs::metadata(path) {
        Ok(there) if !there.is_file() => fs::write(path, text),
        // Behind a link, what it leads to is replaced.
        Ok(_) => make::install(text, &fs::canonicalize(path)?).map(drop),
        Err(_) => make::install(text, path).map(drop),
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// The paths of a list, one `./path` a line.
fn plain(list: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let rows = list.split(|byte| *byte == b'\n').skip(4).take_while(|row| !row.is_empty());
    let paths = rows.filter_map(|row| row.splitn(4, |byte| *byte == b'\t').nth(3));
    paths.filter(|path| wanted(path)).flat_map(|path| [b"./", path, b"\n"].concat()).collect()
}
