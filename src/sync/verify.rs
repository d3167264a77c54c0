//! Comparing everything with the saved lists, and telling what is wrong. Nothing is fetched, and nothing is changed.

use std::fs::File;

use super::reading::Reading;
use super::subject::Subject;
use super::text::{List, Lists, Text};
use super::{Failure, Run, Shown, lock};
use crate::exit::Status;
use crate::plan::Plan;
use crate::report::Event;
use crate::report::verified::{self, Verified};
use crate::tree::Root;
use crate::tree::install::is_installed;

impl Run<'_> {
    /// Looks whether a run is at work, once it is known what those before it left: what one has half done is no damage.
    ///
    /// # Errors
    /// If one is.
    pub(super) fn begin_to_verify(&self) -> Result<(), Failure> {
        self.spans_of_runs();
        if lock::is_held(self.config, &self.root, &self.state) {
            return Err(Failure::said(Status::Locked, "another run is under way; verify when it is over"));
        }
        Ok(())
    }

    /// Compares modules with their saved lists. What is found is told, and to be shown.
    ///
    /// # Errors
    /// If it was interrupted, or if a run changed the mirror meanwhile.
    pub(super) fn verify(&self) -> Result<Shown, Failure> {
        let subjects = self.subjects();
        let lists: Lists = subjects.iter().enumerate().map(|(module, subject)| self.saved(module, subject)).collect();
        let groups = self.content_groups()?;
        let (plan, readings) = self.pool()?.install(|| self.plan(&lists, &subjects, &groups));
        self.check_interrupt()?;
        if self.is_changed_by_another() {
            let text =
                "another run changed the mirror meanwhile, and what differs may be its work half done; verify again";
            return Err(Failure::said(Status::Locked, text));
        }
        let verified = |module| {
            let reading = readings.iter().find(|reading| reading.module == module);
            self.verified(&plan, &lists, module, reading)
        };
        let verified: Vec<Verified<'_>> = (0..lists.len()).filter_map(verified).collect();
        for module in &verified {
            self.listener.hear(&Event::Verified { wrong: module.wrong(), extra: module.extra() });
        }
        let (checksums, paths) = (self.options.checksums, self.options.paths);
        Ok(if self.options.json {
            Shown::Json(verified::json(&verified, paths))
        } else {
            Shown::Text(verified::text(&verified, checksums, paths))
        })
    }

    /// The saved list of a module, in the place of upstream's.
    fn saved(&self, module: usize, subject: &Subject) -> Option<List> {
        if !self.is_selected(module) {
            return None;
        }
        let Some(applied) = &subject.applied else {
            let name = self.name(module);
            let text = format!(
                "nothing that was applied here is known, so there is nothing to compare with; run once: qfm {name}"
            );
            self.failed(module, &Failure::said(Status::Partial, text));
            return None;
        };
        if applied.selection != *self.filters[module].selection() {
            let name = self.name(module);
            let text = format!("{name}: the filters changed since the last run; what they leave in now may be missing");
            self.listener.hear(&Event::Warning(&text));
        }
        let path = self.state.list(self.directory(module), &self.config.modules[module].list);
        Some(List { text: Text::unread(path), new: false, racy: false, older: false })
    }

    /// What was found of a module, if it was asked for.
    fn verified<'p>(
        &self,
        plan: &'p Plan<'p>,
        lists: &Lists,
        module: usize,
        reading: Option<&Reading<'_>>,
    ) -> Option<Verified<'p>> {
        let of_module = &plan.modules[module];
        let has_list = match &lists[module] {
            Some(list) if !of_module.failed => {
                self.has_list(module, list).map_err(|failure| self.failed(module, &failure))
            }
            _ => Ok(true),
        };
        // What cannot be read was told of, and is not there for who reads the mirror.
        let has_list = has_list.unwrap_or(false);
        (!of_module.left_alone).then_some(Verified {
            plan: of_module,
            wrong: verified::wrong(of_module),
            has_list,
            blocked: reading.is_some_and(|reading| reading.blocked),
            unlisted: reading.map(|reading| self.unlisted_indexes(reading, of_module)).unwrap_or_default(),
            left_out: reading.map_or(0, |reading| reading.left_out.len()),
        })
    }

    /// Whether the list in the tree is the one that was applied.
    fn has_list(&self, module: usize, list: &List) -> Result<bool, Failure> {
        let root = match Root::open(&self.root.join(self.directory(module))) {
            Err(error) if crate::tree::stamp::is_absence(&error.source) => return Ok(false),
            opened => opened?,
        };
        let mut saved = File::open(&list.text.path).map_err(|error| super::text::unreadable(&list.text.path, error))?;
        Ok(is_installed(&root, &self.config.modules[module].list, &mut saved)?)
    }
}
