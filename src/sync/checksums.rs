//! Checksums that a list gives, or a `repomd.xml` in the tree: for files whose name, size and time may stay the same when their content
//! changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, Read};

use rayon::prelude::*;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::reading::Reading;
use super::subject::Since;
use super::text::List;
use super::{Failure, Run};
use crate::list::Kind;
use crate::path::{RelPath, RelPathBuf};
use crate::plan::compare::{Fetch, FetchCause};
use crate::plan::repomd::{self, Sum};
use crate::plan::{Depth, ModulePlan};
use crate::report::Event;
use crate::tree::digest::{digest, open};
use crate::tree::stamp::is_absence;
use crate::tree::{Root, TreeError};

/// A `repomd.xml` that is larger is none.
const LARGEST_REPOMD: u64 = 16 << 20;

/// Checksums by path.
#[derive(Default)]
pub(super) struct Sums<'t>(HashMap<RelPath<'t>, Sum>);

impl<'t> Sums<'t> {
    /// Those of a list.
    pub fn of(list: &'t List) -> Result<Sums<'t>, Failure> {
        let (text, sections) = list.text.get()?;
        Ok(Sums(sections.checksums(text).map(|(path, sum)| (path, Sum::Sha1(sum))).collect()))
    }

    /// Whether a file is here, and its content is not the one that there is a checksum of.
    ///
    /// # Errors
    /// If it cannot be read.
    fn contradict(&self, root: &Root, path: RelPath<'_>) -> io::Result<bool> {
        match self.0.get(&path).map(|sum| Ok(sum_of(root, path, *sum)? != *sum)) {
            None => Ok(false),
            Some(Err(error)) if is_absence(&error) => Ok(false),
            Some(differs) => differs,
        }
    }
}

/// Whether a file is here, and its content is not the one that there is a checksum of.
pub(super) fn is_wrong(root: &Root, sums: &Sums<'_>, path: RelPath<'_>) -> bool {
    // What cannot be read is judged by its size alone.
    sums.contradict(root, path).unwrap_or_default()
}

/// The checksum of a file in the tree, of the type of another.
pub(super) fn sum_of(root: &Root, path: RelPath<'_>, like: Sum) -> io::Result<Sum> {
    let file = open(root, path)?;
    Ok(match like {
        Sum::Sha1(_) => Sum::Sha1(digest::<Sha1>(file)?.into()),
        Sum::Sha256(_) => Sum::Sha256(digest::<Sha256>(file)?.into()),
        Sum::Sha512(_) => Sum::Sha512(digest::<Sha512>(file)?.into()),
    })
}

impl Run<'_> {
    /// Adds what has the right size and the wrong content: at full depth by all checksums, else by those that changed, and by those in
    /// directories that are compared as a whole. Says how many files were read.
    pub(super) fn add_wrong<'t>(
        &self,
        reading: &Reading<'t>,
        list: &'t List,
        since: Option<&Since<'_>>,
        fetch: &mut Vec<Fetch<'t>>,
    ) -> Result<usize, Failure> {
        let Some(root) = &reading.root else { return Ok(0) };
        let changed: HashSet<RelPath<'_>> =
            since.into_iter().flat_map(|since| &since.changes.checksums).map(|changed| changed.path).collect();
        let is_whole = |path: RelPath<'_>| {
            let dir = reading.listing.dir(path.parent());
            reading.depth == Depth::Full || dir.is_some_and(|dir| reading.whole.contains(&dir))
        };
        let is_suspect = |path: RelPath<'_>| is_whole(path) || changed.contains(&path);
        let mut read = self.fetch_wrong(reading, root, &Sums::of(list)?, is_suspect, fetch);
        if self.options.checksums {
            let sums = self.sums_of_indexes(reading, root, &sound_repomds(reading, fetch));
            read += self.fetch_wrong(reading, root, &sums, |_| true, fetch);
        }
        Ok(read)
    }

    /// Adds those of suspect files whose content is wrong. What is to be fetched for another reason, and would be passed over for its
    /// size and time, gets this cause too. Says how many files were read.
    fn fetch_wrong<'t>(
        &self,
        reading: &Reading<'t>,
        root: &Root,
        sums: &Sums<'t>,
        is_suspect: impl Fn(RelPath<'_>) -> bool,
        fetch: &mut Vec<Fetch<'t>>,
    ) -> usize {
        let (at, listing) = (places(fetch), &reading.listing);
        let suspects = sums.0.keys().filter(|path| match at.get(*path).map(|&index| fetch[index].cause) {
            Some(cause) => {
                use FetchCause::{Altered, Changed, HeldBack, Newer, Undelivered};
                matches!(cause, Changed | Newer | Undelivered | HeldBack | Altered)
            }
            None => is_suspect(**path) && listing.find(**path).is_some_and(|row| row.kind == Kind::File),
        });
        let suspects: Vec<RelPath<'t>> = suspects.copied().collect();
        let read = suspects.len();
        let wrong = suspects.into_par_iter().filter(|&path| self.is_wrong(reading.module, root, sums, path));
        for path in wrong.collect::<Vec<_>>() {
            match at.get(&path) {
                Some(&index) => fetch[index].cause = FetchCause::Checksum,
                None => fetch.extend(listing.find(path).map(|row| Fetch::new(listing, row, FetchCause::Checksum))),
            }
        }
        read
    }

    /// The same as [`is_wrong`], but where checksums are what is asked for, what cannot be read is wrong.
    fn is_wrong(&self, module: usize, root: &Root, sums: &Sums<'_>, path: RelPath<'_>) -> bool {
        if self.interrupt.raised().is_some() {
            return false;
        }
        match sums.contradict(root, path) {
            Err(error) if self.options.checksums => {
                if self.options.verify {
                    self.failed(module, &TreeError::new("cannot read", root.path_of(path), error).into());
                }
                true
            }
            wrong => wrong.unwrap_or_default(),
        }
    }

    /// The indexes that are wrong where a transfer brought indexes, or what names them, and the latter is here as it should be.
    pub(super) fn wrong_indexes<'t>(
        &self,
        reading: &Reading<'t>,
        root: &Root,
        fetched: &[Fetch<'t>],
        is_left: impl Fn(RelPath<'_>) -> bool,
    ) -> Vec<RelPath<'t>> {
        if !self.options.checksums {
            return Vec::new();
        }
        let dirs = fetched.iter().map(|fetch| fetch.path.parent());
        let dirs = dirs.filter(|dir| repomd_in(*dir).is_some_and(|path| !is_left(path.as_path())));
        let sums = self.sums_of_indexes(reading, root, &dirs.collect());
        let paths: Vec<RelPath<'t>> = sums.0.keys().copied().collect();
        paths.into_par_iter().filter(|&path| self.is_wrong(reading.module, root, &sums, path)).collect()
    }

    /// The indexes that a `repomd.xml` names which is right itself, and that are neither here nor in the list.
    pub(super) fn unlisted_indexes(&self, reading: &Reading<'_>, plan: &ModulePlan<'_>) -> Vec<RelPathBuf> {
        let Some(root) = reading.root.as_ref().filter(|_| self.options.checksums) else { return Vec::new() };
        let listing = &reading.listing;
        let dirs = sound_repomds(reading, &plan.fetch).into_iter();
        // What cannot be used was told of when its checksums were looked for.
        let named = dirs.flat_map(|dir| read_repomd(root, dir).unwrap_or_default()).map(|index| index.path);
        let is_unlisted = |path: &RelPathBuf| {
            let path = path.as_path();
            let is_wanted = !reading.filter.excludes(path, false) && !listing.withholds(path);
            is_wanted && listing.find(path).is_none() && root.stat(path).is_err_and(|error| is_absence(&error))
        };
        named.filter(is_unlisted).collect()
    }

    /// What the `repomd.xml` in each of these directories says of files that the list has.
    fn sums_of_indexes<'t>(&self, reading: &Reading<'t>, root: &Root, dirs: &BTreeSet<RelPath<'t>>) -> Sums<'t> {
        let listing = &reading.listing;
        let listed = |index: repomd::Index| {
            let row = listing.find(index.path.as_path()).filter(|row| row.kind == Kind::File)?;
            Some((listing.path(row), index.sum))
        };
        let sums = dirs.par_iter().flat_map_iter(|dir| match read_repomd(root, *dir) {
            Ok(indexes) => indexes.into_iter().filter_map(listed).collect(),
            Err(error) => {
                let (name, path) = (self.name(reading.module), root.path_of(*dir).join("repomd.xml"));
                let error = format!("{:#}", anyhow::Error::new(TreeError::new("cannot use", path, error)));
                self.listener.hear(&Event::Warning(&format!("{name}: {error}; its indexes are not looked at")));
                Vec::new()
            }
        });
        Sums(sums.collect())
    }
}

/// The directories of each `repomd.xml` that is right itself: what names indexes must be.
fn sound_repomds<'t>(reading: &Reading<'t>, fetch: &[Fetch<'_>]) -> BTreeSet<RelPath<'t>> {
    let planned: HashSet<RelPath<'_>> = fetch.iter().map(|fetch| fetch.path).collect();
    let dirs = reading.listing.dirs().map(|dir| reading.listing.dir_path(dir));
    dirs.filter(|dir| repomd_in(*dir).is_some_and(|path| !planned.contains(&path.as_path()))).collect()
}

/// Where each entry stands.
fn places<'t>(fetch: &[Fetch<'t>]) -> HashMap<RelPath<'t>, usize> {
    fetch.iter().enumerate().map(|(index, fetch)| (fetch.path, index)).collect()
}

/// The `repomd.xml` of a directory that may have one.
fn repomd_in(dir: RelPath<'_>) -> Option<RelPathBuf> {
    (dir.name() == b"repodata").then(|| dir.join(b"repomd.xml").ok()).flatten()
}

/// The indexes that the `repomd.xml` in a directory names with a checksum; none where there is none.
pub(super) fn read_repomd(root: &Root, dir: RelPath<'_>) -> io::Result<Vec<repomd::Index>> {
    let Some(path) = repomd_in(dir) else { return Ok(Vec::new()) };
    let file = match open(root, path.as_path()) {
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut xml = Vec::new();
    file.take(LARGEST_REPOMD).read_to_end(&mut xml)?;
    repomd::indexes(dir.parent(), &xml).map_err(io::Error::other)
}
