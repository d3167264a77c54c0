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

/// What its complaints begin with.
const COMPLAINT: &str = "create-filelist: error: ";

/// The name of a file that means standard output.
const STANDARD_OUTPUT: &str = "-";

/// Write the list of a directory, for clients that follow such lists
#[derive(Clone, Debug, Default, Parser, PartialEq, Eq)]
#[command(name = "create-filelist", version, args_override_self = true, infer_long_args = true)]
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
    let arguments: Arguments = match super::parse(arguments, COMPLAINT, Status::Usage) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    if let Some(path) = arguments.written_twice() {
        let path = path.display();
        super::complain(COMPLAINT, &format!("{path} is to be two lists, and one would be lost: name another file"));
        return Status::Usage;
    }
    match arguments.make(interrupt) {
        Ok(status) => status,
        // Who reads has seen enough.
        Err(error) if error.source.kind() == io::ErrorKind::BrokenPipe => Status::Done,
        Err(error) => {
            super::complain(COMPLAINT, &format!("{:#}", anyhow::Error::new(error)));
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

    /// A file, or standard output, that is named for more than one list. What is no file, such as `/dev/null`, takes all that comes.
    fn written_twice(&self) -> Option<&Path> {
        let list = self.timelist.as_deref().unwrap_or(Path::new(STANDARD_OUTPUT));
        let mut known = Vec::new();
        for path in [Some(list), self.filelist.as_deref(), self.imagelist.as_deref()].into_iter().flatten() {
            if path != Path::new(STANDARD_OUTPUT) && fs::metadata(path).is_ok_and(|there| !there.is_file()) {
                continue;
            }
            let place = place(path);
            if known.contains(&place) {
                return Some(path);
            }
            known.push(place);
        }
        None
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

/// Where a path leads to, whether a file is there or not; as it stands where that cannot be told, which is told of when it is opened.
fn place(path: &Path) -> PathBuf {
    let beside = || {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let above = fs::canonicalize(above.unwrap_or(Path::new(".")))?;
        Ok::<PathBuf, io::Error>(above.join(path.file_name().unwrap_or_default()))
    };
    fs::canonicalize(path).or_else(|_| beside()).unwrap_or_else(|_| path.to_owned())
}

/// Where the text of a list goes that is asked for at `path`.
fn sink(path: &Path) -> Result<Sink, TreeError> {
    if path == Path::new(STANDARD_OUTPUT) {
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
