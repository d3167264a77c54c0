//! `create-filelist`: writes the list of one directory.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Parser, ValueHint};

use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::list::write::CHECKSUMS_OF;
use crate::make_list::{Options, Sink, Sinks, Written, write_lists};
use crate::path::escape;
use crate::tree::draft::{self, Draft};
use crate::tree::scan::Warning;
use crate::tree::{Root, TreeError};

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
pub fn run(arguments: &[OsString], interrupt: &Interrupt) -> Status {
    let arguments: Arguments = match super::parse(arguments, Status::Usage) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    match arguments.make(interrupt) {
        Ok(status) => status,
        // Who reads has seen enough.
        Err(error) if error.source.kind() == io::ErrorKind::BrokenPipe => Status::Done,
        Err(error) => {
            drop(writeln!(io::stderr(), "create-filelist: error: {:#}", anyhow::Error::new(error)));
            Status::Local
        }
    }
}

impl Arguments {
    fn make(&self, interrupt: &Interrupt) -> Result<Status, TreeError> {
        let root = Root::open(&self.dir)?;
        let open = |path: &Option<PathBuf>| path.as_deref().map(sink).transpose();
        let list = open(&self.timelist)?.unwrap_or_else(standard_output);
        let sinks = Sinks { list, plain: open(&self.filelist)?, images: open(&self.imagelist)? };
        let Written { list, plain, warnings, .. } = write_lists(&root, &self.options(), sinks, interrupt)?;
        for warning in &warnings {
            // Nowhere is left to say that standard error is gone.
            drop(match warning {
                Warning::Dangling { path, .. } => {
                    writeln!(io::stderr(), "Could not stat {}", escape(path.as_os_str().as_bytes()))
                }
                other => writeln!(io::stderr(), "create-filelist: warning: {other}"),
            });
        }
        if let Some(signal) = interrupt.raised() {
            return Ok(signal.into());
        }
        draft::publish(plain.into_iter().chain(list).collect())?;
        Ok(if warnings.iter().any(Warning::lacks_name) { Status::Partial } else { Status::Done })
    }

    fn options(&self) -> Options {
        let written = [&self.timelist, &self.filelist, &self.imagelist].into_iter().flatten().filter(|_| self.skip);
        let written = written.filter_map(|path| path.file_name()).map(OsString::from);
        let checksums_of = self.checksum.then(|| OsString::from(CHECKSUMS_OF)).into_iter();
        Options {
            skip_top: written.chain(self.skip_files.iter().cloned()).collect(),
            checksums_of: checksums_of.chain(self.checksum_files.iter().cloned()).collect(),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            ..Options::default()
        }
    }
}

/// Where the text of a list goes that is asked for at `path`.
fn sink(path: &Path) -> Result<Sink, TreeError> {
    if path == Path::new("-") {
        return Ok(standard_output());
    }
    match fs::metadata(path) {
        // A device or a pipe cannot be replaced by a file.
        Ok(there) if !there.is_file() => match fs::OpenOptions::new().write(true).open(path) {
            Ok(stream) => Ok(Sink::Stream(path.to_owned(), Box::new(stream))),
            Err(error) => Err(TreeError::new("cannot write", path, error)),
        },
        // Behind a link, what it leads to is replaced.
        Ok(_) => {
            let path = fs::canonicalize(path).map_err(|error| TreeError::new("cannot follow", path, error))?;
            Draft::new(&path, false).map(Sink::Draft)
        }
        Err(_) => Draft::new(path, false).map(Sink::Draft),
    }
}

fn standard_output() -> Sink {
    // Standard output itself is written line by line.
    Sink::Stream("standard output".into(), Box::new(BufWriter::with_capacity(1 << 16, io::stdout())))
}
