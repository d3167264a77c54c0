//! Making lists: `qfm make-list`, and what `create-filelist` and the demonstration share with it.
//!
//! A tree is scanned ([`crate::tree::scan`]), its rows become lists ([`crate::list::write`]), and the lists take their places together
//! ([`crate::tree::draft`]).

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha1::Sha1;

use crate::config::Lists;
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::list::write;
use crate::path::{RelPathBuf, escape};
use crate::tree::draft::{self, Draft, Finished};
use crate::tree::lock::{self, LockError};
use crate::tree::scan::{Scan, Scanned, Times, Warning};
use crate::tree::stamp::is_absence;
use crate::tree::{Root, TreeError, digest};

/// The name of the plain list of a module.
const PLAIN_LIST: &str = "fullfilelist";

/// The name of the list of a module's images, but for the directory.
const IMAGE_LIST: &str = "imagelist-";

/// How lists are made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names that are left out at the top of the directory.
    pub skip_top: Vec<OsString>,
    /// Files with one of these names get a row in the checksum section.
    pub checksums_of: Vec<OsString>,
    /// Whether names are sorted.
    pub sorted: bool,
    /// Which time of an entry is written.
    pub times: Times,
    /// How many directories are read at once.
    pub jobs: usize,
}

/// Where the text of a list goes.
pub enum Sink {
    /// Into a file, if it differs from what is there.
    Draft(Draft),
    /// Into a stream; and what it is called.
    Stream(PathBuf, Box<dyn Write>),
}

impl Sink {
    fn write(&mut self, text: &[u8]) -> Result<(), TreeError> {
        match self {
            Sink::Draft(draft) => draft.write(text),
            Sink::Stream(name, stream) => {
                stream.write_all(text).map_err(|error| TreeError::new("cannot write", name, error))
            }
        }
    }

    /// All has been written. What is to take its place now, if it differs.
    fn finish(self) -> Result<Option<Finished>, TreeError> {
        match self {
            Sink::Draft(draft) => draft.finish(),
            Sink::Stream(name, mut stream) => {
                stream.flush().map(|()| None).map_err(|error| TreeError::new("cannot write", name, error))
            }
        }
    }
}

/// The lists of one directory.
pub struct Sinks {
    /// The list with its rows and checksums.
    pub list: Sink,
    /// The plain list of all paths.
    pub plain: Option<Sink>,
    /// The plain list of images.
    pub images: Option<Sink>,
}

impl Sinks {
    fn rows(&mut self, rows: &[u8]) -> Result<(), TreeError> {
        self.list.write(rows)?;
        let plain = [(&mut self.plain, write::plain as fn(&mut Vec<u8>, &[u8])), (&mut self.images, write::images)];
        for (sink, text_of) in plain {
            if let Some(sink) = sink {
                let mut text = Vec::new();
                text_of(&mut text, rows);
                sink.write(&text)?;
            }
        }
        Ok(())
    }
}

/// What was written of one directory.
#[derive(Debug)]
pub struct Written {
    /// The list, if it differs from what is in its place and can take it.
    pub list: Option<Finished>,
    /// The same of plain lists.
    pub plain: Vec<Finished>,
    /// How many rows the list has.
    pub rows: u64,
    /// What it does not have, though somebody may expect it there.
    pub warnings: Vec<Warning>,
}

/// Writes the lists of a directory. After an interrupt they are not whole.
///
/// # Errors
/// If something cannot be read, or a list cannot be written.
pub fn write_lists(
    root: &Root,
    options: &Options,
    mut sinks: Sinks,
    interrupt: &Interrupt,
) -> Result<Written, TreeError> {
    sinks.list.write(write::HEAD)?;
    let scan = Scan {
        root,
        skip_top: &options.skip_top,
        checksums_of: &options.checksums_of,
        times: options.times,
        sorted: options.sorted,
        jobs: options.jobs.max(1),
        interrupt,
    };
    let Scanned { rows, checksums, warnings } = scan.run(|rows| sinks.rows(rows))?;
    sinks.list.write(write::CHECKSUMS)?;
    sinks.list.write(&checksum_rows(root, checksums)?)?;
    sinks.list.write(write::END)?;
    let plain = [sinks.plain, sinks.images].into_iter().flatten().map(Sink::finish);
    let plain = plain.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    Ok(Written { list: sinks.list.finish()?, plain, rows, warnings })
}

/// The checksums of these files, as far as they are still there, sorted by path.
fn checksum_rows(root: &Root, mut paths: Vec<RelPathBuf>) -> Result<Vec<u8>, TreeError> {
    paths.sort_unstable_by(|a, b| a.as_path().bytes().cmp(b.as_path().bytes()));
    let sum = |path: &RelPathBuf| match digest::open(root, path.as_path()).and_then(digest::digest::<Sha1>) {
        Ok(sum) => Ok(Some(sum)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(TreeError::new("cannot read", root.path_of(path.as_path()), error)),
    };
    let sums = paths.par_iter().map(sum).collect::<Result<Vec<_>, _>>()?;
    let mut text = Vec::new();
    for (path, sum) in paths.iter().zip(sums) {
        if let Some(sum) = sum {
            write::checksum(&mut text, &sum.into(), path.as_path());
        }
    }
    Ok(text)
}

/// Which lists `qfm make-list` makes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Plain lists too.
    pub plain: bool,
    /// Lists of images too.
    pub images: bool,
    /// Nothing is written; what would change is told.
    pub dry_run: bool,
}

/// Why no list was replaced.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Another run is at work in one of the directories.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Something cannot be read or written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A directory without any entry that could be listed.
    #[error("{} has nothing that can be listed: is its volume mounted?", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// A signal asked for the end.
    #[error("interrupted")]
    Interrupted(Status),
    /// What is missing cannot be told.
    #[error("cannot write to standard error")]
    Output(#[from] io::Error),
}

impl MakeError {
    /// What it means for the exit status.
    pub fn status(&self) -> Status {
        match self {
            MakeError::Lock(LockError::Taken(_)) => Status::Locked,
            MakeError::Interrupted(status) => *status,
            MakeError::Lock(LockError::Tree(_))
            | MakeError::Tree(_)
            | MakeError::Empty { .. }
            | MakeError::Output(_) => Status::Local,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// For each list that was replaced, or would be, a line that says so.
    pub changes: Vec<String>,
    /// Whether a name is missing in a list, because no list can hold it.
    pub lacks_names: bool,
}

/// Makes the lists of some directories, and lets those that differ take their places together, or none. What a list lacks is written
/// to `complaints`.
///
/// # Errors
/// Why nothing was replaced.
pub fn make_lists(
    lists: &Lists,
    options: &Options,
    wanted: Wanted,
    interrupt: &Interrupt,
    complaints: &mut dyn Write,
) -> Result<Made, MakeError> {
    let directories: Vec<&str> = lists.lists.iter().map(|(directory, _)| directory.as_str()).collect();
    // A dry run takes no lock: it shows what it sees.
    let locks = if wanted.dry_run { None } else { Some(lock::lock(&lists.root, &directories)?) };
    let may_sweep = locks.as_ref().is_some_and(|locks| locks.unlockable.is_empty());
    let mut made = Made::default();
    let (mut plain, mut full) = (Vec::new(), Vec::new());
    for (directory, name) in &lists.lists {
        let root = Root::open(&lists.root.join(directory))?;
        if may_sweep {
            draft::sweep(&root)?;
        }
        let images = format!("{IMAGE_LIST}{directory}");
        let draft = |name: &str| Draft::new(&root.path().join(name), wanted.dry_run).map(Sink::Draft);
        let sinks = Sinks {
            list: draft(name)?,
            plain: wanted.plain.then(|| draft(PLAIN_LIST)).transpose()?,
            images: wanted.images.then(|| draft(&images)).transpose()?,
        };
        // What is there of them is not listed, also where it is not made now.
        let skip_top = [name, PLAIN_LIST, &images].map(OsString::from).to_vec();
        let written = write_lists(&root, &Options { skip_top, ..options.clone() }, sinks, interrupt)?;
        if let Some(signal) = interrupt.raised() {
            return Err(MakeError::Interrupted(signal.into()));
        }
        if written.rows == 0 {
            return Err(MakeError::Empty { path: root.path().to_owned() });
        }
        for warning in &written.warnings {
            writeln!(complaints, "qfm: warning: {warning}")?;
        }
        made.lacks_names |= written.warnings.iter().any(Warning::lacks_name);
        let changes = if wanted.dry_run { "would change" } else { "changed" };
        made.changes
            .extend(written.list.iter().map(|_| format!("{directory}/{name} {changes}: {} entries", written.rows)));
        made.changes.extend(written.plain.iter().map(|list| format!("{} {changes}", shown(list.path(), &lists.root))));
        plain.extend(written.plain);
        full.extend(written.list);
    }
    // Who follows a list may fetch what lies beside it: that is there first. And the lists themselves are close together.
    plain.append(&mut full);
    draft::publish(plain)?;
    Ok(made)
}

fn shown(path: &Path, root: &Path) -> String {
    escape(path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a tree to list")]
mod tests;
