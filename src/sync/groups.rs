//! Which modules share rsync calls, and with them hard links.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use super::{Failure, Run};
use crate::config::Upstream;
use crate::rsync::Source;
use crate::tree::TreeError;

/// Modules that are fetched from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The source: for a daemon, one of its modules.
    pub upstream: Upstream,
    /// The path below the source that holds what is fetched; empty for the source itself.
    pub within: String,
    /// The directory that stands for the source below the mirror root: empty where the source holds the modules' directories.
    pub below: String,
    /// The modules, by number.
    pub modules: Vec<usize>,
}

impl Group {
    fn is_like(&self, other: &Group) -> bool {
        (&self.upstream, &self.within, &self.below) == (&other.upstream, &other.within, &other.below)
    }

    /// What stands before the paths of a module below the source.
    pub fn prefix(&self, directory: &str) -> String {
        if self.below.is_empty() { format!("{directory}/") } else { String::new() }
    }
}

impl Run<'_> {
    /// The calls that lists are fetched with.
    pub(super) fn list_groups(&self) -> Vec<Group> {
        let mut groups = self.groups(|_| false);
        groups.iter_mut().for_each(|group| group.modules.retain(|&module| self.is_selected(module)));
        groups.retain(|group| !group.modules.is_empty());
        groups
    }

    /// The calls that content is fetched with. A module whose directory is a symbolic link needs one of its own: rsync would
    /// replace the link with a directory.
    ///
    /// # Errors
    /// If a directory cannot be looked at.
    pub(super) fn content_groups(&self) -> Result<Vec<Group>, Failure> {
        let mut links = HashSet::new();
        for module in &self.config.modules {
            let path = self.root.join(&module.directory);
            match path.symlink_metadata() {
                Ok(stat) if stat.is_symlink() => drop(links.insert(module.directory.as_str())),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(TreeError::new("cannot look at", path, error).into());
                }
                _ => {}
            }
        }
        Ok(self.groups(|directory| links.contains(directory)))
    }

    fn groups(&self, apart: impl Fn(&str) -> bool) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (index, module) in self.config.modules.iter().enumerate() {
            let (upstream, below) = match (&module.upstream, &self.config.upstream) {
                (Some(own), _) => (own.clone(), module.directory.clone()),
                (None, Some(master)) if apart(&module.directory) => {
                    (Upstream(format!("{}/{}", master.0, module.directory)), module.directory.clone())
                }
                (None, Some(master)) => (master.clone(), String::new()),
                // The configuration was checked: there is one or the other.
                (None, None) => continue,
            };
            let (upstream, within) = upstream.at_module();
            let group = Group { upstream, within: within.to_owned(), below, modules: Vec::new() };
            let at = groups.iter().position(|known| known.is_like(&group)).unwrap_or_else(|| {
                groups.push(group);
                groups.len() - 1
            });
            groups[at].modules.push(index);
        }
        groups
    }

    /// Where a group's calls take from and put to.
    pub(super) fn source(&self, group: &Group) -> Source {
        let destination: PathBuf =
            if group.below.is_empty() { self.root.clone() } else { self.root.join(&group.below) };
        Source { upstream: self.addressed(&group.upstream), destination }
    }
}
