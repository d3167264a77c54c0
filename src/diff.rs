//! `qfm diff`: what changed between two lists, wherever they come from.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::Status;
use crate::list::{ListError, Sections};
use crate::path::escape;
use crate::plan::changes::Changes;
use crate::report::changes::{self, Form};
use crate::state::Map;

/// Why two lists cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// A list cannot be read.
    #[error("cannot read the list {}", path.display())]
    Read {
        /// The list.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A list is not whole.
    #[error("{} is not a list that can be compared", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        source: ListError,
    },
    /// What changed cannot be written.
    #[error("cannot write what changed")]
    Output(#[from] io::Error),
}

impl DiffError {
    /// What it means for the exit status.
    pub fn status(&self) -> Status {
        match self {
            DiffError::Read { .. } | DiffError::Output(_) => Status::Local,
            DiffError::List { .. } => Status::List,
        }
    }
}

/// Writes what changed between two lists to `out`, and lines that cannot be read to `complaints`. Returns whether anything changed.
///
/// # Errors
/// If a list cannot be read or is refused, or nothing can be written.
pub fn diff(
    old: &Path,
    new: &Path,
    form: Form,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Result<bool, DiffError> {
    let (old_map, of_old) = open(old)?;
    let (new_map, of_new) = open(new)?;
    let refused = |source| DiffError::List { path: new.to_owned(), source };
    let changes = Changes::between((&old_map, &of_old), (&new_map, &of_new)).map_err(refused)?;
    for (path, text, bad) in [(old, &old_map, &changes.bad_old), (new, &new_map, &changes.bad_new)] {
        for bad in bad {
            let (path, number, why) = (path.display(), bad.line_number(text), bad.why);
            let line = escape(&text[bad.line.clone()]);
            writeln!(complaints, "qfm: warning: {path}: line {number} is passed over: {why}: {line}")?;
        }
    }
    changes::write(&changes, form, out)?;
    Ok(!changes.is_empty())
}

fn open(path: &Path) -> Result<(Map, Sections), DiffError> {
    let map = Map::open(path).map_err(|source| DiffError::Read { path: path.to_owned(), source })?;
    let sections = Sections::outline(&map).map_err(|source| DiffError::List { path: path.to_owned(), source })?;
    Ok((map, sections))
}
