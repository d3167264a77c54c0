//! Which files could be one: names that the lists put together, and what becomes of them once they were looked at and read.
//!
//! A list gives no inodes, and files that are equal mostly have the same last part, size and time: twins. So these are looked at, and
//! nothing else is. What decides is the file system, and the bytes.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use rayon::prelude::*;

use super::compare::Inode;
use super::twins::Haystack;
use crate::list::listing::rows_in;
use crate::list::{Carry, Kind, Row};
use crate::path::RelPath;

/// What rows must have in common, beside the size, for their files to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    /// The last part and the list's time.
    #[default]
    Time,
    /// The last part.
    Name,
    /// Nothing else.
    Size,
}

/// A name in one of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<'t> {
    /// Its module, by number.
    pub module: usize,
    /// Its path.
    pub path: RelPath<'t>,
}

/// Where the path of a row stands: 16 bytes, because there may be millions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// A digest of what rows must have in common. Should two be the same by chance, files are looked at together that differ.
    key: u64,
    list: u16,
    len: u16,
    at: u32,
}

/// The names of all lists that may be one file, in groups of two and more.
pub struct Candidates<'l, 't> {
    lists: &'l [Haystack<'t>],
    places: Vec<Place>,
    /// In the order in which their first names stand in the lists: neighbours mostly share their directories.
    groups: Vec<Range<u32>>,
}

impl<'l, 't> Candidates<'l, 't> {
    /// Looks for them among the files that are carried. Empty files have nothing to gain.
    pub fn find(lists: &'l [Haystack<'t>], by: Match) -> Candidates<'l, 't> {
        let hash = FixedState::default();
        let pieces = lists.iter().enumerate().flat_map(|(number, list)| {
            list.sections.pieces(list.text).into_iter().map(move |piece| (number as u16, list, piece))
        });
        let pieces: Vec<(u16, &Haystack<'t>, Range<usize>)> = pieces.collect();
        let mut places: Vec<Place> = pieces
            .into_par_iter()
            .flat_map_iter(|(number, list, piece)| {
                let hash = &hash;
                rows_in(list.text, piece).filter_map(move |row| {
                    let path = row.path(list.text);
                    let is_candidate =
                        row.kind == Kind::File && row.size > 0 && list.filter.carry(&row, path) == Carry::Yes;
                    let span = row.span();
                    // Lists in which a position does not fit are refused.
                    let (at, len) = (span.start as u32, span.len() as u16);
                    is_candidate.then(|| Place { key: hash.hash_one(key(&row, path, by)), list: number, len, at })
                })
            })
            .collect();
        places.par_sort_unstable();
        let mut groups = Vec::new();
        let mut kept = 0;
        let mut start = 0;
        while start < places.len() {
            let len = places[start..].iter().take_while(|place| place.key == places[start].key).count();
            if len > 1 {
                places.copy_within(start..start + len, kept);
                groups.push(kept as u32..(kept + len) as u32);
                kept += len;
            }
            start += len;
        }
        places.truncate(kept);
        places.shrink_to_fit();
        groups.par_sort_unstable_by_key(|group| {
            let first = &places[group.start as usize];
            (first.list, first.at)
        });
        Candidates { lists, places, groups }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups, each in the order of paths. A name that a list has twice is there once.
    pub fn groups(&self) -> impl Iterator<Item = Vec<Name<'t>>> + '_ {
        self.groups.iter().map(|group| {
            let places = &self.places[group.start as usize..group.end as usize];
            let mut names: Vec<Name<'t>> = places.iter().map(|place| self.name(place)).collect();
            names.sort_unstable();
            names.dedup();
            names
        })
    }

    fn name(&self, place: &Place) -> Name<'t> {
        let list = &self.lists[usize::from(place.list)];
        let path = &list.text[place.at as usize..][..usize::from(place.len)];
        Name { module: list.module, path: RelPath::unchecked(path) }
    }
}

/// What rows must have in common.
fn key<'t>(row: &Row, path: RelPath<'t>, by: Match) -> (&'t [u8], u64, i64) {
    match by {
        Match::Time => (path.name(), row.size, row.time),
        Match::Name => (path.name(), row.size, 0),
        Match::Size => (b"", row.size, 0),
    }
}

/// What stat said of a file. Times are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which one it is.
    pub file: Inode,
    /// How many names it has.
    pub links: u64,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// Its kind and mode.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// When its content changed.
    pub mtime: i64,
    /// When anything of it changed.
    pub ctime: i64,
}

impl Facts {
    /// Whether both are of one file.
    pub fn is_file(&self, other: &Facts) -> bool {
        self.file == other.file
    }

    /// Whether both are of one file, and nothing of it changed between them. Names that come or go change its ctime too.
    pub fn is_untouched(&self, later: &Facts) -> bool {
        Facts { links: 0, ..*self } == Facts { links: 0, ..*later }
    }

    /// Whether both are of one file that has the same content still, as far as can be told after a change of its names.
    pub fn is_unwritten(&self, later: &Facts) -> bool {
        self.is_file(later) && self.looks() == later.looks()
    }

    /// What files must have in common to become one: who reads any of its names must find what was there before.
    fn looks(&self) -> (u64, u32, u32, u32, u64, i64) {
        (self.file.device, self.owner, self.group, self.mode, self.size, self.mtime)
    }
}

/// A file, with those of its names that are candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File<'t> {
    /// What stat said of it.
    pub facts: Facts,
    /// Its names, in order; at least one.
    pub names: Vec<Name<'t>>,
}

impl File<'_> {
    /// Whether it goes when the names that are known do.
    pub fn goes_with_its_names(&self) -> bool {
        self.names.len() as u64 >= self.facts.links
    }
}

/// Files of one group that only their bytes can tell apart, in sets of two and more.
pub fn lookalikes<'t>(seen: impl IntoIterator<Item = (Name<'t>, Facts)>) -> Vec<Vec<File<'t>>> {
    let mut sets: BTreeMap<_, BTreeMap<u64, File<'t>>> = BTreeMap::new();
    for (name, facts) in seen {
        let files = sets.entry(facts.looks()).or_default();
        files.entry(facts.file.number).or_insert_with(|| File { facts, names: Vec::new() }).names.push(name);
    }
    let sets = sets.into_values().filter(|files| files.len() > 1);
    sets.map(|files| {
        let mut files: Vec<File<'t>> = files.into_values().collect();
        files.iter_mut().for_each(|file| file.names.sort_unstable());
        files
    })
    .collect()
}

/// Equal files: the first stays, and its like take all names of the others.
///
/// The one with the most names stays, because that is the least to do; of several the one whose name is the first.
pub fn equal<'t, D: Ord>(files: impl IntoIterator<Item = (File<'t>, D)>) -> Vec<Vec<File<'t>>> {
    let mut sets: BTreeMap<D, Vec<File<'t>>> = BTreeMap::new();
    for (file, digest) in files {
        sets.entry(digest).or_default().push(file);
    }
    let mut sets: Vec<Vec<File<'t>>> = sets.into_values().filter(|files| files.len() > 1).collect();
    for files in &mut sets {
        files.sort_unstable_by_key(|file| (std::cmp::Reverse(file.facts.links), file.names.first().copied()));
    }
    sets.sort_unstable_by_key(|files| files[0].names.first().copied());
    sets
}

#[cfg(test)]
mod tests;
