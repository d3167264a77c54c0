//! Fetching the lists: one rsync call for all modules of an upstream, started from the saved ones.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use super::call::Heard;
use super::groups::Group;
use super::reading::Reading;
use super::subject::Subject;
use super::text::{List, Lists, Text, unreadable};
use super::{Failure, Run};
use crate::exit::Status;
use crate::path::RelPath;
use crate::plan::request::{Name, Part, Request};
use crate::report::{Event, Phase};
use crate::rsync::Purpose;
use crate::state::Applied;
use crate::tree::install::same_content;

/// A list that was written no longer than this before it is fetched may change again and keep its size and time.
const RACY: Duration = Duration::from_secs(5);

/// Clocks that differ by more than this are told of.
const SKEW: Duration = Duration::from_secs(300);

impl Run<'_> {
    /// The lists as upstream has them now, or as files that take their place.
    ///
    /// A module whose list cannot be had or is refused is reported; the others go on.
    ///
    /// # Errors
    /// If nothing can go on.
    pub(super) fn fetch_lists(&self, subjects: &[Subject]) -> Result<Lists, Failure> {
        self.listener.hear(&Event::Phase(Phase::Lists));
        if !self.options.list_files.is_empty() {
            return Ok((0..self.config.modules.len()).map(|module| self.list_file(module, subjects)).collect());
        }
        let scratch = tempfile::Builder::new().prefix("lists.").tempdir_in(&self.work);
        // Its files are moved to where the saved lists are, or go with the work directory.
        let scratch = scratch.map_err(|error| Failure::new(Status::Local, error))?.keep();
        let began = SystemTime::now();
        let mut lists: Lists = self.config.modules.iter().map(|_| None).collect();
        let groups = self.list_groups();
        for group in &groups {
            match self.fetch_group(group, &scratch, subjects) {
                Ok(seen) => {
                    for &module in &group.modules {
                        let list = self.fetched(module, &scratch, &seen, began);
                        lists[module] = list.map_err(|failure| self.failed(module, &failure)).ok();
                    }
                }
                Err(failure) if failure.status == Status::Interrupted || failure.status == Status::Terminated => {
                    return Err(failure);
                }
                Err(failure) if groups.len() == 1 => return Err(failure),
                Err(failure) => group.modules.iter().for_each(|&module| self.failed(module, &failure)),
            }
        }
        Ok(lists)
    }

    /// One call for the lists of a group. Returns the modules whose list upstream has.
    fn fetch_group(&self, group: &Group, scratch: &Path, subjects: &[Subject]) -> Result<HashSet<usize>, Failure> {
        let (scratch, bases) = (scratch.join(&group.below), [self.state.lists(), self.earlier_lists()]);
        // rsync makes one directory, not those above it, and wants the one that it compares with to be there.
        fs::create_dir_all(&scratch).map_err(|error| Failure::new(Status::Local, error))?;
        let mut bases: Vec<PathBuf> = bases.map(|lists| lists.join(&group.below)).into();
        bases.retain(|lists| lists.is_dir());
        if bases.is_empty() {
            bases.push(scratch.clone());
        }
        // A list may keep its size and time and change all the same: that is looked at where it may have, and with each full check.
        // Whether one that others left is what upstream has, nobody knows.
        let may_differ = |&module: &usize| {
            let Subject { applied, earlier, .. } = &subjects[module];
            let may_have = |applied: &Applied| applied.racy_list || self.is_full_check_due(applied);
            earlier.is_some() || applied.as_ref().is_some_and(may_have)
        };
        let ignore_times = self.options.full || group.modules.iter().any(may_differ);
        let request = Request::new(
            &group.within,
            group.modules.iter().map(|&module| {
                let list = RelPath::new(self.config.modules[module].list.as_bytes()).ok();
                let prefix = group.prefix(self.directory(module));
                Part { module, prefix, names: list.map(Name::extra).into_iter().collect() }
            }),
            &[],
        );
        let mut seen = HashSet::new();
        let purpose = Purpose::Lists { scratch, bases, ignore_times };
        self.call(group, &purpose, &request, &mut |heard| match heard {
            Heard::Began => seen.clear(),
            // What is no file is no list.
            Heard::Item(place, item) if item.is_file() => drop(seen.insert(request.at(place).0)),
            Heard::Item(..) | Heard::Unsafe(_) => {}
        })?;
        Ok(seen)
    }

    /// Says in the state of lists that were racy that they are so no more: asked for with `--ignore-times` they were the same, and they
    /// are older now. What is compared is saved anyway.
    pub(super) fn end_races(&self, lists: &Lists, subjects: &[Subject], readings: &[Reading<'_>]) {
        for (module, list) in lists.iter().enumerate() {
            let is_compared = readings.iter().any(|reading| reading.module == module);
            let is_over = list.as_ref().is_some_and(|list| !list.new && !list.racy);
            let racy = subjects[module].applied.as_ref().filter(|applied| applied.racy_list);
            if let (Some(applied), true, false) = (racy, is_over, is_compared) {
                let calm = Applied { racy_list: false, ..applied.clone() };
                if let Err(error) = calm.write(&self.state, self.directory(module)) {
                    self.failed(module, &error.into());
                }
            }
        }
    }

    /// What became of one module's list.
    fn fetched(
        &self,
        module: usize,
        scratch: &Path,
        seen: &HashSet<usize>,
        began: SystemTime,
    ) -> Result<List, Failure> {
        let settings = &self.config.modules[module];
        if !seen.contains(&module) {
            let (directory, list, name) = (&settings.directory, &settings.list, &settings.name);
            return Err(Failure::said(
                Status::List,
                format!(
                    "upstream has no list {directory}/{list}, and the module stays as it is; both names can be set in [module.{name}]"
                ),
            ));
        }
        let fetched = scratch.join(&settings.directory).join(&settings.list);
        let saved = self.state.list(&settings.directory, &settings.list);
        let new = match is_same(&fetched, &saved) {
            Ok(is_same) => !is_same,
            // What did not change is not fetched.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(unreadable(&fetched, error)),
        };
        let earlier = self.earlier_lists().join(&settings.directory).join(&settings.list);
        // Where none is saved, none is newer.
        let before = Dates::of(&saved).or_else(|_| Dates::of(&earlier));
        let path = if new { fetched } else { saved };
        let dates = Dates::of(&path).map_err(|error| unreadable(&path, error))?;
        let is_news = new && dates.is_early() && !before.as_ref().is_ok_and(Dates::is_early);
        // Not every host that passes a list on keeps the fraction of its second.
        let older = before.is_ok_and(|before| dates.said + Duration::from_secs(1) <= before.written());
        if is_news {
            let said = DateTime::<Utc>::from(dates.said).to_rfc3339_opts(SecondsFormat::Secs, true);
            let text = format!(
                "{}: upstream's list is dated {said}, which is yet to come: the clock there is wrong, or the one here; \
                 until they agree, lists count as written when they come",
                settings.name
            );
            self.listener.hear(&Event::Warning(&text));
        }
        let called = format!("upstream's list {}/{}", settings.directory, settings.list);
        let text = if new { Text::new(path, &called)? } else { Text::unread(path) };
        Ok(List { text, new, racy: dates.written() + RACY >= began, older })
    }

    fn list_file(&self, module: usize, subjects: &[Subject]) -> Option<List> {
        if !self.is_selected(module) {
            return None;
        }
        let name = self.name(module);
        let Some((_, path)) = self.options.list_files.iter().find(|(of, _)| of == name) else {
            let text = format!("there is no list to compare it with: add --list-file {name}=PATH");
            self.failed(module, &Failure::said(Status::Usage, text));
            return None;
        };
        let text = Text::new(path.clone(), &format!("the list {}", path.display()));
        let text = text.map_err(|failure| self.failed(module, &failure)).ok()?;
        let saved = subjects[module].saved.as_ref().and_then(|saved| saved.get().ok());
        let new = saved.is_none_or(|(saved, _)| text.get().is_ok_and(|(bytes, _)| bytes != saved));
        Some(List { text, new, racy: false, older: false })
    }
}

/// When a list was written, as upstream says, and when it came here.
struct Dates {
    said: SystemTime,
    came: SystemTime,
}

impl Dates {
    fn of(path: &Path) -> io::Result<Dates> {
        let stat = fs::metadata(path)?;
        let [seconds, nanoseconds] = [stat.ctime(), stat.ctime_nsec()].map(i64::unsigned_abs);
        let came = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
        Ok(Dates { said: stat.modified()?, came })
    }

    /// When it was written last, by our clock: at the latest when it came, whatever upstream's says.
    fn written(&self) -> SystemTime {
        self.said.min(self.came)
    }

    /// Whether it says that it was written after it came.
    fn is_early(&self) -> bool {
        self.said > self.came + SKEW
    }
}

/// Whether a fetched list is the saved one, by content and time.
fn is_same(fetched: &Path, saved: &Path) -> io::Result<bool> {
    let (mut fetched, mut saved) = match (File::open(fetched)?, File::open(saved)) {
        (fetched, Ok(saved)) => (fetched, saved),
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        (_, Err(error)) => return Err(error),
    };
    let (new, old) = (fetched.metadata()?, saved.metadata()?);
    Ok(new.len() == old.len() && new.modified()? == old.modified()? && same_content(&mut fetched, &mut saved)?)
}
