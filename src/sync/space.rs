//! Whether there is room for what a plan brings.

use super::lists::Lists;
use super::{Failure, Run};
use crate::plan::Plan;
use crate::plan::space::{Room, Verdict, rooms};
use crate::report::Event;
use crate::tree::space::file_systems;

impl Run<'_> {
    /// What the plan needs and what is free, by file system. What does not fit, or may not, is told.
    ///
    /// # Errors
    /// If it cannot be found out what is free.
    pub(super) fn rooms(&self, plan: &Plan<'_>, lists: &Lists) -> Result<Vec<Room>, Failure> {
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let directories: Vec<&str> = plan.modules.iter().map(|module| module.directory.as_str()).collect();
        let bytes = plan.modules.iter().zip(lists).map(|(module, list)| match list {
            Some(list) if module.new_list => Ok(list.text.get()?.0.len() as u64),
            _ => Ok(0),
        });
        let bytes = bytes.collect::<Result<Vec<u64>, Failure>>()?;
        let settings = &self.config.space;
        let mut rooms = rooms(plan, &bytes, file_systems(&self.root, &directories)?, settings.margin);
        rooms.retain(Room::is_needed);
        if settings.check && rooms.iter().any(|room| room.verdict != Verdict::Fits) {
            self.listener.hear(&Event::Space(&rooms));
        }
        Ok(rooms)
    }

    /// Whether nothing is to be begun, because even the least that comes does not fit.
    pub(super) fn is_short(&self, rooms: &[Room]) -> bool {
        self.config.space.check && rooms.iter().any(|room| room.verdict == Verdict::Short)
    }
}
