//! What changed between the list that was applied here and the new one.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use crate::list::Listing;
use crate::list::listing::DirId;
use crate::path::RelPath;

/// The difference of two listings, by what must be looked at.
#[derive(Debug, Default)]
pub struct Changes<'t> {
    /// For each directory of the new list, by path, the names in it that differ: added, gone, or with another row.
    pub names: BTreeMap<RelPath<'t>, Vec<&'t [u8]>>,
    /// The paths of the new list whose row differs from the one in the old list.
    pub changed: HashSet<RelPath<'t>>,
}

impl<'t> Changes<'t> {
    /// Compares two listings of one module.
    ///
    /// What went with a whole directory is one name: that of the topmost directory that went.
    pub fn between(old: &Listing<'t>, new: &Listing<'t>) -> Changes<'t> {
        let dirs: Vec<DirId> = new.dirs().collect();
        let of_new: Vec<_> = dirs.par_iter().map(|&dir| compare(old, new, dir)).collect();
        let mut changes = Changes::default();
        for (dir, (names, changed)) in dirs.into_iter().zip(of_new) {
            if !names.is_empty() {
                changes.names.insert(new.dir_path(dir), names);
            }
            changes.changed.extend(changed);
        }
        changes
    }

    /// Adds one path to the `names` that must be looked at.
    pub fn look_at(names: &mut BTreeMap<RelPath<'t>, Vec<&'t [u8]>>, new: &Listing<'t>, path: RelPath<'t>) {
        let Some((dir, name)) = reachable(new, path) else { return };
        let names = names.entry(dir).or_default();
        if let Err(index) = names.binary_search(&name) {
            names.insert(index, name);
        }
    }
}

/// The nearest directory above `path` that the list has, and the name in it that leads to `path`.
fn reachable<'t>(listing: &Listing<'_>, path: RelPath<'t>) -> Option<(RelPath<'t>, &'t [u8])> {
    if path.is_top() {
        return None;
    }
    let parent = path.parent();
    match listing.dir(parent) {
        Some(_) => Some((parent, path.name())),
        None => reachable(listing, parent),
    }
}

/// The names of one directory that differ, sorted, and the paths whose row differs.
fn compare<'t>(old: &Listing<'t>, new: &Listing<'t>, dir: DirId) -> (Vec<&'t [u8]>, Vec<RelPath<'t>>) {
    let path = new.dir_path(dir);
    let (mut names, mut changed) = (Vec::new(), Vec::new());
    let mut before = old.dir(path).map(|dir| old.entries(dir)).unwrap_or_default().iter().peekable();
    for row in new.entries(dir) {
        let name = new.name(row);
        while let Some(gone) = before.next_if(|gone| old.name(gone) < name) {
            names.push(old.name(gone));
        }
        match before.next_if(|before| old.name(before) == name) {
            Some(before) if before.says_the_same(row) => {}
            Some(_) => {
                names.push(name);
                changed.push(new.path(row));
            }
            None => {
                names.push(name);
                // Perhaps it is here all the same, by other hands: then nobody vouches for it.
                changed.push(new.path(row));
            }
        }
    }
    names.extend(before.map(|gone| old.name(gone)));
    (names, changed)
}
