//! What was applied of each module before this run, and how closely it must be compared in this one.

use std::io;

use chrono::Utc;

use super::lists::List;
use super::{Failure, GivenUp, Run};
use crate::config::DeleteMode;
use crate::exit::Status;
use crate::list::{ListError, Listing, Sections};
use crate::path::RelPath;
use crate::plan::Depth;
use crate::plan::filter::Filter;
use crate::report::Event;
use crate::state::{Applied, Map};
use crate::tree::{Root, Stamp, TreeError, walk};

/// What was applied of a module before this run. The saved list is there wherever the saved state is.
#[derive(Default)]
pub(super) struct Subject {
    /// What the saved state says.
    pub applied: Option<Applied>,
    /// The saved list.
    pub saved: Option<(Map, Sections)>,
}

impl Subject {
    /// What was carried of the saved list then, if it was applied.
    pub fn listing(&self) -> Option<Listing<'_>> {
        let (map, sections) = self.saved.as_ref()?;
        let filter = Filter::new(&self.applied.as_ref()?.selection).ok()?;
        read(map, sections, &filter.for_list(map, sections)).ok()
    }

    /// The stamp of a directory.
    pub fn stamp(&self, dir: RelPath<'_>) -> Option<Stamp> {
        self.applied.as_ref()?.stamps.get(&dir.to_owned()).copied()
    }
}

/// Reads a list through a filter that knows it.
pub(super) fn read<'t>(text: &'t [u8], sections: &Sections, filter: &Filter) -> Result<Listing<'t>, ListError> {
    Listing::read(text, sections, |row, path| filter.carry(row, path))
}

impl Run<'_> {
    /// What was applied of each module before.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        self.config.modules.iter().map(|module| self.subject(module)).collect()
    }

    fn subject(&self, module: &crate::config::Module) -> Subject {
        let path = self.state.list(&module.directory, &module.list);
        let applied = Applied::read(&self.state, &module.directory, &path).unwrap_or_else(|error| {
            self.listener.hear(&Event::Warning(&format!("{:#}; everything is compared", anyhow::Error::new(error))));
            None
        });
        let map = Map::open(&path).ok();
        let saved = map.and_then(|map| Sections::find(&map).ok().map(|sections| (map, sections)));
        Subject { applied: applied.filter(|_| saved.is_some()), saved }
    }

    /// What upstream could not deliver in the last runs: asking for newer lists was tried then.
    pub(super) fn undelivered_before(&self, subjects: &[Subject]) -> GivenUp {
        let applied =
            subjects.iter().enumerate().filter_map(|(module, subject)| Some((module, subject.applied.as_ref()?)));
        applied
            .flat_map(|(module, applied)| applied.undelivered.iter().map(move |path| (module, path.clone())))
            .collect()
    }

    /// How closely a module must be compared.
    pub(super) fn depth(&self, module: usize, list: &List, applied: Option<&Applied>) -> Depth {
        let Some(applied) = applied else { return Depth::Full };
        let due = Utc::now().timestamp() - applied.full_check >= self.config.full_check_every.as_secs() as i64;
        let changed_settings = applied.selection != *self.filters[module].selection();
        if self.options.full || due || changed_settings || self.unfinished.concerns(self.directory(module)) {
            Depth::Full
        } else if list.new || applied.is_open(self.config.delete.mode == DeleteMode::Now) {
            Depth::Quick
        } else {
            Depth::None
        }
    }

    /// Opens a module's directory; `None` if it is not there and was not before.
    ///
    /// # Errors
    /// If it cannot be opened, or if it is empty and was not: a volume may not be mounted, and nothing must be put in its place.
    pub(super) fn open_module(&self, module: usize, applied: Option<&Applied>) -> Result<Option<Root>, Failure> {
        let path = self.root.join(self.directory(module));
        let root = match Root::open(&path) {
            Ok(root) => Some(root),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound && !path.is_symlink() => None,
            Err(error) => return Err(error.into()),
        };
        let emptied = match &root {
            None => true,
            Some(root) => walk::is_empty(root).map_err(|error| TreeError::new("cannot read", &path, error))?,
        };
        if emptied && applied.is_some() && !self.options.full {
            let (path, name) = (path.display(), self.name(module));
            let text = format!(
                "{path} is empty or not there, but the saved state says that it was filled: perhaps a volume is not mounted. \
                 If it is to be filled anew, run once: qfm --full {name}"
            );
            return Err(Failure::said(Status::Local, text));
        }
        Ok(root)
    }
}
