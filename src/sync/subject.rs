//! What was applied of each module before this run.

use super::{GivenUp, Run};
use crate::list::{ListError, Listing, Sections};
use crate::path::RelPath;
use crate::plan::filter::Filter;
use crate::report::Event;
use crate::state::{Applied, Map};
use crate::tree::Stamp;

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
}
