//! Lists as bytes: mapped, and cut into their parts, when somebody first looks at them; and those that a run follows.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::Failure;
use crate::exit::Status;
use crate::list::listing::rows_in;
use crate::list::{ListError, Sections};
use crate::state::Map;

/// A list: a file of ours that nobody changes, and its bytes once they are asked for.
pub struct Text {
    /// Where it is.
    pub path: PathBuf,
    read: OnceLock<(Map, Sections)>,
}

/// The list of one module, as upstream has it now.
pub struct List {
    /// The list itself: in the scratch directory, or the saved one.
    pub text: Text,
    /// Whether it is another than the saved one.
    pub new: bool,
    /// Whether it is too new to be sure that it does not change again unseen.
    pub racy: bool,
    /// Whether its time is older than that of the saved one.
    pub older: bool,
}

/// The lists of all modules, in the order of the configuration; `None` for those that cannot be had, which was reported.
pub type Lists = Vec<Option<List>>;

impl Text {
    /// A list that is looked at only if somebody asks. It was looked through when it came.
    pub fn unread(path: PathBuf) -> Text {
        Text { path, read: OnceLock::new() }
    }

    /// A list that just came, and is `called` so in errors: all of it is looked through.
    pub fn new(path: PathBuf, called: &str) -> Result<Text, Failure> {
        let map = Map::open(&path).map_err(|error| unreadable(&path, error))?;
        let sections = Sections::find(&map).and_then(|sections| {
            let has_a_row = rows_in(&map, sections.files.clone()).next().is_some();
            if has_a_row { Ok(sections) } else { Err(ListError::NoGoodRow) }
        });
        let sections = sections.map_err(|error| {
            let context = format!("{called} is refused, and the module stays as it is");
            Failure::new(Status::List, anyhow::Error::new(error).context(context))
        })?;
        Ok(Text { path, read: OnceLock::from((map, sections)) })
    }

    /// Its bytes, and where its parts are.
    pub fn get(&self) -> Result<(&[u8], &Sections), Failure> {
        if let Some((map, sections)) = self.read.get() {
            return Ok((map, sections));
        }
        let map = Map::open(&self.path).map_err(|error| unreadable(&self.path, error))?;
        let sections = Sections::outline(&map).map_err(|error| {
            let context = format!("cannot use the saved list {}", self.path.display());
            Failure::new(Status::List, anyhow::Error::new(error).context(context))
        })?;
        // Whoever was faster read the same.
        let (map, sections) = self.read.get_or_init(|| (map, sections));
        Ok((map, sections))
    }
}

/// What it means that a list cannot be read.
pub fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::new(Status::Local, anyhow::Error::new(error).context(format!("cannot read {}", path.display())))
}
