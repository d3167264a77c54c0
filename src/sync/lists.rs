//! Fetching the lists: one rsync call for all modules of an upstream, started from the saved ones.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::transfer::{Group, Heard};
use super::{Failure, Run};
use crate::exit::Status;
use crate::list::Sections;
use crate::rsync::Purpose;
use crate::state::{Applied, Map};
use crate::tree::install::same_content;

/// A list whose mtime is not older than this when it is fetched may change again and keep its size and time.
const RACY: Duration = Duration::from_secs(5);

/// The list of one module, as upstream has it now.
pub struct List {
    /// Where it is: in the scratch directory, or the saved one.
    pub path: PathBuf,
    /// Its bytes.
    pub map: Map,
    /// Its parts.
    pub sections: Sections,
    /// Whether it is another than the saved one.
    pub new: bool,
    /// Whether it is too new to be sure that it does not change again unseen.
    pub racy: bool,
}

/// The lists of all modules, in the order of the configuration; `None` for those that cannot be had, which was reported.
pub type Lists = Vec<Option<List>>;

impl Run<'_> {
    /// The lists as upstream has them now, or as files that take their place.
    ///
    /// A module whose list cannot be had or is refused is reported; the others go on.
    ///
    /// # Errors
    /// If nothing can go on.
    pub(super) fn fetch_lists(&self) -> Result<Lists, Failure> {
        if !self.options.list_files.is_empty() {
            return Ok((0..self.config.modules.len()).map(|module| self.list_file(module)).collect());
        }
        let scratch = tempfile::Builder::new().prefix("lists.").tempdir_in(&self.work);
        // Its files are moved to where the saved lists are, or go with the work directory.
        let scratch = scratch.map_err(|error| Failure::new(Status::Local, error))?.keep();
        let began = SystemTime::now();
        let mut lists: Lists = self.config.modules.iter().map(|_| None).collect();
        for group in self.list_groups() {
            match self.fetch_group(&group, &scratch) {
                Ok(seen) => {
                    for &module in &group.modules {
                        let list = self.fetched(&group, module, &scratch, &seen, began);
                        lists[module] = list.map_err(|failure| self.failed(module, &failure)).ok();
                    }
                }
                Err(failure) if failure.status == Status::Interrupted || failure.status == Status::Terminated => {
                    return Err(failure);
                }
                Err(failure) if group.modules.len() == self.config.modules.len() => return Err(failure),
                Err(failure) => group.modules.iter().for_each(|&module| self.failed(module, &failure)),
            }
        }
        Ok(lists)
    }

    fn fetch_group(&self, group: &Group, scratch: &Path) -> Result<HashSet<Vec<u8>>, Failure> {
        let (scratch, saved) = (scratch.join(&group.below), self.state.lists().join(&group.below));
        // rsync makes one directory, not those above it, and wants the one that it compares with to be there.
        fs::create_dir_all(&scratch).map_err(|error| Failure::new(Status::Local, error))?;
        let saved = if saved.is_dir() { saved } else { scratch.clone() };
        let ignore_times = self.options.full || group.modules.iter().any(|&module| self.saved_list_is_racy(module));
        let names: Vec<Vec<u8>> = group.modules.iter().map(|&module| self.list_name(group, module)).collect();
        let purpose = Purpose::Lists { scratch, saved, ignore_times };
        let mut seen = HashSet::new();
        self.call(group, &purpose, &names, &mut |heard| {
            if let Heard::Item(item) = heard {
                seen.insert(item.name.clone());
            }
            Ok(())
        })?;
        Ok(seen)
    }

    fn list_name(&self, group: &Group, module: usize) -> Vec<u8> {
        [&group.prefix(self.directory(module)), self.config.modules[module].list.as_bytes()].concat()
    }

    fn saved_list_is_racy(&self, module: usize) -> bool {
        let module = &self.config.modules[module];
        let saved = self.state.list(&module.directory, &module.list);
        // What cannot be read is treated as absent, which is reported where it is used.
        Applied::read(&self.state, &module.directory, &saved)
            .is_ok_and(|applied| applied.is_some_and(|it| it.racy_list))
    }

    /// What became of one module's list.
    fn fetched(
        &self,
        group: &Group,
        module: usize,
        scratch: &Path,
        seen: &HashSet<Vec<u8>>,
        began: SystemTime,
    ) -> Result<List, Failure> {
        let settings = &self.config.modules[module];
        let name = self.list_name(group, module);
        if !seen.contains(name.strip_prefix(b"./").unwrap_or(&name)) {
            return Err(Failure::said(
                Status::List,
                format!(
                    "upstream has no list {}/{}; the module's directory and list name can be set in [module.{}]",
                    settings.directory, settings.list, settings.name
                ),
            ));
        }
        let fetched = scratch.join(&settings.directory).join(&settings.list);
        let saved = self.state.list(&settings.directory, &settings.list);
        let new = fetched.exists() && !is_same(&fetched, &saved).map_err(|error| Failure::new(Status::Local, error))?;
        let path = if new { fetched } else { saved };
        let mtime = fs::metadata(&path).and_then(|stat| stat.modified());
        let mtime = mtime.map_err(|error| unreadable(&path, error))?;
        open(path, new, mtime + RACY >= began)
    }

    fn list_file(&self, module: usize) -> Option<List> {
        let name = self.name(module);
        let (_, path) = self.options.list_files.iter().find(|(of, _)| of == name)?;
        open(path.clone(), true, false).map_err(|failure| self.failed(module, &failure)).ok()
    }
}

fn open(path: PathBuf, new: bool, racy: bool) -> Result<List, Failure> {
    let map = Map::open(&path).map_err(|error| unreadable(&path, error))?;
    let sections = Sections::find(&map).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("the list {} is refused", path.display()));
        Failure::new(Status::List, error)
    })?;
    Ok(List { path, map, sections, new, racy })
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::new(Status::Local, anyhow::Error::new(error).context(format!("cannot read {}", path.display())))
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
