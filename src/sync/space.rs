//! Whether there is room for what a plan brings.

use super::lists::Lists;
use super::{Failure, Run};
use crate::exit::Status;
use crate::plan::Plan;
use crate::plan::space::{Room, Verdict, rooms};
use crate::report::Event;
use crate::tree::space::file_systems;

impl Run<'_> {
    /// What the plan needs and what is free, by file system; nothing if that does not matter. What does not fit, or may not, is told.
    ///
    /// # Errors
    /// If it cannot be found out what is free.
    pub(super) fn rooms(&self, plan: &Plan<'_>, lists: &Lists) -> Result<Vec<Room>, Failure> {
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
        let mut rooms = rooms(plan, &bytes, file_systems, settings.margin);
        rooms.retain(Room::is_needed);
        if rooms.iter().any(|room| room.verdict != Verdict::Fits) {
            self.listener.hear(&Event::Space(&rooms));
        }
        Ok(rooms)
    }
}

/// Whether nothing is to be begun, because even the least that comes does not fit.
pub(super) fn is_short(rooms: &[Room]) -> bool {
    rooms.iter().any(|room| room.verdict == Verdict::Short)
}
