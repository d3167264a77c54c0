//! What was applied of each module before this run, and what changed upstream since.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::earlier::Earlier;
use super::text::{List, Text};
use super::{Failure, GivenUp, Run};
use crate::exit::Status;
use crate::list::{ListError, Listing, Sections};
use crate::path::{RelPath, RelPathBuf};
use crate::plan::changes::Changes;
use crate::plan::filter::{BadTerm, Filter};
use crate::plan::spans::Ctimes;
use crate::report::Event;
use crate::state::Applied;

/// A list, and where its parts are.
pub(super) type Outlined<'t> = (&'t [u8], &'t Sections);

/// What was applied of a module before this run. The saved list is there wherever the saved state is.
#[derive(Default)]
pub(super) struct Subject {
    /// What the saved state says.
    pub applied: Option<Applied>,
    /// The saved list.
    pub saved: Option<Text>,
    /// Where nothing is saved: what quick-fedora-mirror left.
    pub earlier: Option<Earlier>,
}

impl Subject {
    /// What decided which entries of the saved list were carried.
    fn filter(&self) -> Option<Filter> {
        filter_of(self.applied.as_ref()?).ok()
    }
}

/// What decided which entries of the saved list were carried.
pub(super) fn filter_of(applied: &Applied) -> Result<Filter, BadTerm> {
    Ok(Filter::new(&applied.selection)?.from_release(applied.oldest_release))
}

/// What changed upstream since the saved list was applied, or the list that quick-fedora-mirror left.
pub(super) struct Since<'t> {
    /// What changed between the lists.
    pub changes: Changes<'t>,
    /// What decided which entries of the saved list were carried.
    pub filter: Filter,
    /// The saved list, if it is another.
    pub old: Option<Outlined<'t>>,
    /// What ctimes tell.
    pub ctimes: Option<Ctimes>,
    /// It is quick-fedora-mirror that was in step, with upstream as it was at this moment, seconds since the epoch.
    pub before: Option<i64>,
}

impl<'t> Since<'t> {
    /// The paths of the new list whose row is not that of the saved one.
    pub fn changed(&self) -> HashSet<RelPath<'t>, RandomState> {
        let rows = self.changes.rows.iter().filter(|changed| changed.new.is_some());
        rows.map(|changed| changed.path).collect()
    }

    /// Those of some paths at and below which nothing changed.
    pub fn unchanged(&self, paths: &[RelPathBuf]) -> Vec<RelPathBuf> {
        paths.iter().filter(|path| self.changes.within(path.as_path()).is_empty()).cloned().collect()
    }

    /// What decided which entries of the saved list were carried, if that was something else.
    pub fn carried_otherwise(&self, now: &Filter) -> Option<&Filter> {
        let is_other =
            |then: &Filter| (then.selection(), then.oldest_release()) != (now.selection(), now.oldest_release());
        Some(&self.filter).filter(|then| is_other(then))
    }

    /// Whether the saved list gave something at or below a path that was carried, and the new one does not say the same of it.
    pub fn was_carried(&self, path: RelPath<'_>) -> bool {
        self.changes.within(path).iter().any(|changed| self.filter.carries(changed.old, changed.path))
    }
}

/// Reads a list through a filter that knows it. The bad rows of the checksum section are among those of the listing.
pub(super) fn read<'t>((text, sections): (&'t [u8], &Sections), filter: &Filter) -> Result<Listing<'t>, ListError> {
    let mut listing = Listing::read(text, sections, |row, path| filter.carry(row, path))?;
    listing.bad.extend(sections.bad_checksums(text));
    give_opened(&mut listing, filter);
    Ok(listing)
}

/// What an admin opened is for everybody here.
pub(super) fn give_opened(listing: &mut Listing<'_>, filter: &Filter) {
    if filter.has_openings() {
        listing.give_to_all(|row, path| filter.is_opened(row, path));
    }
}

impl Run<'_> {
    /// What was applied of each module before.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        self.config.modules.iter().map(|module| self.subject(module)).collect()
    }

    fn subject(&self, module: &crate::config::Module) -> Subject {
        let path = self.state.list(&module.directory, &module.list);
        match Applied::read(&self.state, &module.directory, &path) {
            Ok(None) => Subject { earlier: self.earlier(module), ..Subject::default() },
            Ok(applied) => Subject { saved: Some(Text::unread(path)), applied, earlier: None },
            Err(error) => {
                self.everything_is_compared(&error.into());
                Subject::default()
            }
        }
    }

    /// Says that saved state cannot be used, and what that costs.
    pub(super) fn everything_is_compared(&self, because: &anyhow::Error) {
        self.listener.hear(&Event::Warning(&format!("{because:#}; everything is compared")));
    }

    /// What changed since the saved list was applied; `None` if there is none that can be used.
    ///
    /// # Errors
    /// If the new list cannot be used.
    pub(super) fn since<'t>(
        &self,
        module: usize,
        list: &'t List,
        subject: &'t Subject,
    ) -> Result<Option<Since<'t>>, Failure> {
        if let Some(Earlier { list: earlier, before }) = &subject.earlier {
            let Some((old, changes)) = self.changes(earlier, list)? else { return Ok(None) };
            let filter = self.filters[module].clone().for_list(old.0, old.1);
            return Ok(Some(Since { changes, filter, old: Some(old), ctimes: None, before: Some(*before) }));
        }
        let (Some(saved), Some(filter)) = (&subject.saved, subject.filter()) else { return Ok(None) };
        let ctimes = subject.applied.as_ref().and_then(|applied| self.ctimes(module, applied));
        if !list.new {
            return Ok(Some(Since { changes: Changes::default(), filter, old: None, ctimes, before: None }));
        }
        let Some((old, changes)) = self.changes(saved, list)? else { return Ok(None) };
        Ok(Some(Since { changes, filter, old: Some(old), ctimes, before: None }))
    }

    /// What changed between two lists, and the old one; `None` if that cannot be used.
    fn changes<'t>(&self, old: &'t Text, new: &'t List) -> Result<Option<(Outlined<'t>, Changes<'t>)>, Failure> {
        let old = match old.get() {
            Ok(old) => old,
            Err(failure) => {
                self.everything_is_compared(&failure.error);
                return Ok(None);
            }
        };
        let refused = |error| Failure::new(Status::List, anyhow::Error::new(error));
        let changes = Changes::between(old, new.text.get()?).map_err(refused)?;
        Ok(Some((old, changes)))
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
