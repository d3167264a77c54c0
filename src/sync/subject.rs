//! What was applied of each module before this run.

use anyhow::Context;

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

/// Reads a list through a filter that knows it. The bad rows of the checksum section are among those of the listing.
pub(super) fn read<'t>(text: &'t [u8], sections: &Sections, filter: &Filter) -> Result<Listing<'t>, ListError> {
    let mut listing = Listing::read(text, sections, |row, path| filter.carry(row, path))?;
    listing.bad.extend(sections.bad_checksums(text));
    Ok(listing)
}

impl Run<'_> {
    /// What was applied of each module before.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        self.config.modules.iter().map(|module| self.subject(module)).collect()
    }

    fn subject(&self, module: &crate::config::Module) -> Subject {
        let path = self.state.list(&module.directory, &module.list);
        let odd = |error: anyhow::Error| {
            self.listener.hear(&Event::Warning(&format!("{error:#}; everything is compared")));
        };
        let applied = match Applied::read(&self.state, &module.directory, &path) {
            Ok(Some(applied)) => applied,
            Ok(None) => return Subject::default(),
            Err(error) => {
                odd(error.into());
                return Subject::default();
            }
        };
        let context = || format!("cannot use the saved list {}", path.display());
        let saved = Map::open(&path).with_context(context).and_then(|map| {
            let sections = Sections::find(&map).with_context(context)?;
            Ok((map, sections))
        });
        match saved {
            Ok(saved) => Subject { applied: Some(applied), saved: Some(saved) },
            Err(error) => {
                odd(error);
                Subject::default()
            }
        }
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
