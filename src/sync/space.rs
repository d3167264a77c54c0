//! Whether there is room for what a plan brings, and what may go before to make it.

use std::collections::HashSet;

use super::reading::Reading;
use super::text::Lists;
use super::{Failure, Run};
use crate::exit::Status;
use crate::plan::guard::{Allowed, Exception, Whole};
use crate::plan::space::{Room, Verdict, rooms};
use crate::plan::words::{bytes, count};
use crate::plan::{Amount, Delete, DeleteCause, ModulePlan, Plan};
use crate::report::Event;
use crate::tree;
use crate::tree::space::file_systems;

impl Run<'_> {
    /// What the plan needs and what is free, by file system; nothing if that does not matter. What does not fit, or may not, is told.
    ///
    /// # Errors
    /// If it cannot be found out what is free.
    pub(super) fn rooms(&self, plan: &Plan<'_>, readings: &[Reading<'_>], lists: &Lists) -> Result<Vec<Room>, Failure> {
        let settings = &self.config.space;
        if plan.is_empty() || !settings.check {
            return Ok(Vec::new());
        }
        let directories: Vec<&str> = plan.modules.iter().map(|module| module.directory.as_str()).collect();
        let bytes = plan.modules.iter().zip(lists).map(|(module, list)| match list {
            Some(list) if module.new_list => Ok(list.text.get()?.0.len() as u64),
            _ => Ok(0),
        });
        let bytes = bytes.collect::<Result<Vec<u64>, Failure>>()?;
        let file_systems = file_systems(&self.root, &directories).map_err(|error| {
            let hint = "it is not known whether there is room; space.check = false begins without";
            Failure::new(Status::Local, anyhow::Error::new(error).context(hint))
        })?;
        let judge = |freed: &[Amount]| rooms(plan, &bytes, file_systems.clone(), settings.margin, freed);
        let mut rooms = judge(&[]);
        let mut freed = Vec::new();
        if is_short(&rooms) {
            freed = self.freed(plan, readings, false)?;
            rooms = judge(&freed);
        }
        rooms.retain(Room::is_needed);
        if rooms.iter().any(|room| room.verdict != Verdict::Fits) {
            self.listener.hear(&Event::Space(&rooms));
        }
        if is_short(&rooms) {
            let allowed = self.freed(plan, readings, true)?;
            self.tell_what_is_held(plan, &rooms, (&freed, &allowed), !is_short(&judge(&allowed)));
            self.tell_what_goes_later(plan, readings, &rooms)?;
        } else {
            for room in rooms.iter().filter(|room| room.is_relieved()) {
                let text = format!("what is excluded goes before the transfer, for the sake of room. {room}");
                self.listener.hear(&Event::Warning(&text));
            }
        }
        Ok(rooms)
    }

    /// What may go of a module before its transfer: clients cannot have it from any list, for this mirror does not carry it. The guard
    /// must agree, as with all that goes; what upstream had (`gone`) is left until its clients can follow newer indexes.
    /// Where `all_allowed`, it is asked as if the admin had allowed all deletions.
    fn may_go_before<'p>(
        &self,
        plan: &'p ModulePlan<'_>,
        reading: &Reading<'_>,
        all_allowed: bool,
    ) -> Option<Allowed<'p>> {
        // A blocked module keeps all that it has, which is said where deletions are.
        let whole = Whole::prove(&reading.facts, !reading.blocked).ok()?;
        let mut exceptions = self.exceptions(reading.module);
        exceptions.extend(all_allowed.then(|| Exception { subtree: Box::default() }));
        let allowed = Allowed::new(&whole, &plan.deletes, &plan.holds, &exceptions);
        Some(allowed.only(DeleteCause::Excluded))
    }

    /// What that frees, by module.
    fn freed(&self, plan: &Plan<'_>, readings: &[Reading<'_>], all_allowed: bool) -> Result<Vec<Amount>, Failure> {
        let mut freed = vec![Amount::default(); plan.modules.len()];
        for reading in readings {
            let Some(root) = &reading.root else { continue };
            if let Some(allowed) = self.may_go_before(&plan.modules[reading.module], reading, all_allowed) {
                freed[reading.module] = tree::space::freed(root, allowed.deletes())?;
            }
        }
        Ok(freed)
    }

    /// Says where nothing but the guard keeps what is excluded from making room. What goes frees the first of two amounts for each module,
    /// and the second if the admin allowed it; `fits` is whether that is enough.
    fn tell_what_is_held(&self, plan: &Plan<'_>, rooms: &[Room], (freed, allowed): (&[Amount], &[Amount]), fits: bool) {
        for ((module, allowed), freed) in plan.modules.iter().zip(allowed).zip(freed) {
            let more = allowed.bytes.saturating_sub(freed.bytes);
            if is_short_for(module, rooms) && allowed.entries > freed.entries {
                let enough = if fits { "enough" } else { "not enough" };
                let (module, more) = (&module.module, bytes(more));
                let text = format!(
                    "{module}: the guard holds what is excluded, and {more} of it could make room, which is {enough}. \
                     If that is meant, run once: qfm --allow-delete {module}"
                );
                self.listener.hear(&Event::Warning(&text));
            }
        }
    }

    /// Says how much room there will be where there is too little: what upstream had goes last.
    fn tell_what_goes_later(&self, plan: &Plan<'_>, readings: &[Reading<'_>], rooms: &[Room]) -> Result<(), Failure> {
        for reading in readings {
            let of_module = &plan.modules[reading.module];
            let later = of_module.deletes.iter().filter(|delete| delete.cause != DeleteCause::Excluded);
            let later: Vec<&Delete> = later.collect();
            let Some(root) = reading.root.as_ref().filter(|_| is_short_for(of_module, rooms)) else { continue };
            if !later.is_empty() {
                let freed = bytes(tree::space::freed(root, &later)?.bytes);
                let entries = later.iter().map(|delete| delete.entries).sum();
                let entries = count(entries, "entry that should go frees", "entries that should go free");
                let text = format!("{}: {entries} {freed}, but not before what is new is here", of_module.module);
                self.listener.hear(&Event::Warning(&text));
            }
        }
        Ok(())
    }

    /// Deletes what must go before the transfer, and takes it out of the plan.
    pub(super) fn relieve(&self, plan: &mut Plan<'_>, readings: &mut [Reading<'_>], rooms: &[Room]) {
        for reading in readings {
            let of_module = &mut plan.modules[reading.module];
            let is_relieved = |room: &Room| room.is_relieved() && room.modules.contains(&of_module.module);
            let Some(root) = reading.root.as_ref().filter(|_| rooms.iter().any(is_relieved)) else { continue };
            let Some(allowed) = self.may_go_before(of_module, reading, false) else { continue };
            let deleted = tree::delete::delete(root, &allowed, self.interrupt);
            let gone: HashSet<Vec<u8>> = deleted.paths.iter().cloned().collect();
            let untimed = self.tell_deleted(reading.module, &of_module.deletes, deleted);
            if let Some(error) = untimed {
                self.failed(reading.module, &Failure::from(error));
                reading.blocked = true;
            }
            of_module.deletes.retain(|delete| !gone.contains(&delete.path()));
        }
    }
}

/// Whether nothing is to be begun, because even the least that comes does not fit.
pub(super) fn is_short(rooms: &[Room]) -> bool {
    rooms.iter().any(|room| room.verdict == Verdict::Short)
}

/// Whether that is so where a module is.
fn is_short_for(module: &ModulePlan<'_>, rooms: &[Room]) -> bool {
    rooms.iter().any(|room| room.verdict == Verdict::Short && room.modules.contains(&module.module))
}
