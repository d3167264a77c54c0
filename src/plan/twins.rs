//! Other names of the same file.
//!
//! rsync makes a hard link of a new name only if a name that is already here stands in the same request (reference: rsync). A
//! list does not say which names are one file, but names of one file have the same size and the same time, and in these trees
//! the same last part. So all such names are asked for together; those that turn out to be files of their own cost a look.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use foldhash::fast::RandomState;
use rayon::prelude::*;

use super::compare::{Doubt, Fetch};
use super::filter::Filter;
use super::publish::Class;
use crate::list::listing::{rows_in, rows_named};
use crate::list::{Carry, Kind, Row, Sections};
use crate::path::RelPath;

/// What names of one file have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'t> {
    name: &'t [u8],
    size: u64,
    time: i64,
}

impl<'t> Key<'t> {
    /// The key of a row.
    pub fn of(row: &Row, path: RelPath<'t>) -> Key<'t> {
        Key { name: path.name(), size: row.size, time: row.time }
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The key of an entry to be fetched.
    pub fn of_fetch(fetch: &Fetch<'t>) -> Key<'t> {
        Key { name: fetch.path.name(), size: fetch.size, time: fetch.time }
    }
}

/// The list of one module as a place to look for twins.
pub struct Haystack<'t> {
    /// The module, by number.
    pub module: usize,
    /// Its list.
    pub text: &'t [u8],
    /// The parts of it.
    pub sections: &'t Sections,
    /// What of it is carried.
    pub filter: Filter,
}

/// A name that is here, and may be the same file as names that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twin<'t> {
    /// The module that has it, by number.
    pub module: usize,
    /// Its path.
    pub path: RelPath<'t>,
    /// What it has in common with those.
    pub key: Key<'t>,
    /// What others did to its content.
    pub doubt: Doubt,
}

/// The files that lists give to everybody, of one of these sizes: by module and path. A list says no more of what may be the same file.
pub fn public_of_size<'t>(haystacks: &[Haystack<'t>], sizes: &HashSet<u64, RandomState>) -> Vec<(usize, RelPath<'t>)> {
    pieces(haystacks)
        .into_par_iter()
        .flat_map_iter(|(hay, piece)| {
            let is_wanted = |row: &Row| row.kind == Kind::File && sizes.contains(&row.size);
            rows_in(hay.text, piece).filter(is_wanted).filter_map(move |row| {
                let path = row.path(hay.text);
                let is_public = hay.filter.is_for_all(&row, path) && hay.filter.carry(&row, path) == Carry::Yes;
                is_public.then_some((hay.module, path))
            })
        })
        .collect()
}

/// The lists, cut for several threads.
fn pieces<'h, 't>(haystacks: &'h [Haystack<'t>]) -> Vec<(&'h Haystack<'t>, Range<usize>)> {
    let pieces = |hay: &'h Haystack<'t>| hay.sections.pieces(hay.text).into_iter().map(move |piece| (hay, piece));
    haystacks.iter().flat_map(pieces).collect()
}

/// A file that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingName<'t> {
    /// Its module, by number, and its path.
    pub place: (usize, RelPath<'t>),
    /// The publication class in which it comes.
    pub class: Class,
}

/// Missing files by what they have in common with their twins.
#[derive(Default)]
pub struct Missing<'t>(HashMap<Key<'t>, Vec<MissingName<'t>>, RandomState>);

impl<'t> Missing<'t> {
    /// Of all that is to be fetched, by module, the files of which nothing is here.
    pub fn of<'p>(fetches: impl Iterator<Item = (usize, &'p [Fetch<'t>])>) -> Missing<'t>
    where
        't: 'p,
    {
        let mut missing: HashMap<_, Vec<_>, RandomState> = HashMap::default();
        for (module, fetches) in fetches {
            for fetch in fetches.iter().filter(|fetch| fetch.kind == Kind::File && fetch.is_not_here()) {
                let name = MissingName { place: (module, fetch.path), class: fetch.class() };
                missing.entry(Key::of_fetch(fetch)).or_default().push(name);
            }
        }
        Missing(missing)
    }

    /// Whether nothing is missing, and no list need be read for twins.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The missing names of one file.
    pub fn names(&self, key: &Key<'t>) -> &[MissingName<'t>] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The names in `haystacks` that are twins of something missing and are not to be fetched themselves.
    pub fn twins(
        &self,
        haystacks: &[Haystack<'t>],
        fetched: &HashSet<(usize, RelPath<'t>), RandomState>,
    ) -> Vec<Twin<'t>> {
        if self.is_empty() {
            return Vec::new();
        }
        // Most lines end in other names, which is seen without reading them.
        let names: HashSet<&[u8], RandomState> = self.0.keys().map(|key| key.name).collect();
        let mut twins: Vec<Twin<'t>> = pieces(haystacks)
            .into_par_iter()
            .flat_map_iter(|(hay, piece)| {
                rows_named(hay.text, piece, &names).filter_map(move |row| {
                    let path = row.path(hay.text);
                    let key = Key::of(&row, path);
                    let wanted = row.kind == Kind::File
                        && self.0.contains_key(&key)
                        && !fetched.contains(&(hay.module, path))
                        && hay.filter.carry(&row, path) == Carry::Yes;
                    wanted.then_some(Twin { module: hay.module, path, key, doubt: Doubt::None })
                })
            })
            .collect();
        twins.sort_unstable_by_key(|twin| (twin.module, twin.path));
        twins.dedup_by_key(|twin| (twin.module, twin.path));
        twins
    }
}
