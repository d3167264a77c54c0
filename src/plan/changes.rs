//! What changed between two lists: by path, as rows.

use std::collections::HashSet;
use std::ops::Range;

use foldhash::fast::RandomState;

use crate::list::diff::{Differences, Rows};
use crate::list::row::Bad;
use crate::list::sections::{Checksum, checksum_at, line_at};
use crate::list::{BadRow, ListError, Row, Sections};
use crate::path::RelPath;

/// What two lists say of one path; they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed<'t, T> {
    /// The path.
    pub path: RelPath<'t>,
    /// What the old list says, if anything.
    pub old: Option<T>,
    /// What the new one says, if anything.
    pub new: Option<T>,
}

/// What changed between two lists.
///
/// A line that a list has twice may be here although it did not change, and a path that a list has twice may be here once: who
/// acts by it looks at the list.
#[derive(Clone, Debug, Default)]
pub struct Changes<'t> {
    /// The paths whose row differs, by path.
    pub rows: Vec<Changed<'t, Row>>,
    /// The paths whose checksum differs, by path.
    pub checksums: Vec<Changed<'t, Checksum>>,
    /// Lines of the old list alone that are no rows, or no checksums.
    pub bad_old: Vec<Bad>,
    /// The same of the new list.
    pub bad_new: Vec<Bad>,
    /// Where the lines start that the new list alone has.
    come: HashSet<u32, RandomState>,
}

impl<'t> Changes<'t> {
    /// Compares two lists, of which the parts are known at least by their outline.
    ///
    /// # Errors
    /// If the new list has a header among its rows.
    pub fn between(old: (&'t [u8], &Sections), new: (&'t [u8], &Sections)) -> Result<Changes<'t>, ListError> {
        let mut changes = Changes::default();
        let rows = lines_of(old, new, |sections| &sections.files);
        if rows.come.iter().any(|&start| Sections::is_header(line_at(new.0, start as usize))) {
            Sections::find(new.0)?;
        }
        let row = |text: &'t [u8], start: u32| {
            let row = Row::parse(line_at(text, start as usize), start).map_err(|why| bad(text, start, why))?;
            Ok((row.path(text), row))
        };
        let gone = good(rows.gone.iter().map(|&start| row(old.0, start)), &mut changes.bad_old);
        let come = good(rows.come.iter().map(|&start| row(new.0, start)), &mut changes.bad_new);
        changes.rows = by_path(gone, come, Row::says_the_same);

        let sums = lines_of(old, new, |sections| &sections.checksums);
        let gone = good(sums.gone.iter().map(|&start| checksum_at(old.0, start as usize)), &mut changes.bad_old);
        let come = good(sums.come.iter().map(|&start| checksum_at(new.0, start as usize)), &mut changes.bad_new);
        changes.checksums = by_path(gone, come, Checksum::eq);
        changes.come = rows.come.into_iter().chain(sums.come).collect();
        Ok(changes)
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.checksums.is_empty() && self.bad_old.is_empty() && self.bad_new.is_empty()
    }

    /// Whether a line, by where it starts, is in the new list alone.
    pub fn is_new(&self, line: usize) -> bool {
        u32::try_from(line).is_ok_and(|line| self.come.contains(&line))
    }

    /// Whether upstream went back in time: of what both lists have, something got an older time, and nothing a newer one. Where a file
    /// alone is replaced by an older one, its directory gets newer.
    pub fn went_back(&self) -> bool {
        let times = || self.rows.iter().filter_map(|changed| Some((changed.old?.time, changed.new?.time)));
        times().any(|(old, new)| new < old) && !times().any(|(old, new)| new > old)
    }

    /// What differs at one path and below it.
    pub fn within(&self, path: RelPath<'_>) -> &[Changed<'t, Row>] {
        // A subtree is one range, and begins with what is above it.
        let rest = &self.rows[self.rows.partition_point(|changed| changed.path < path)..];
        &rest[..rest.partition_point(|changed| changed.path.is_within(path))]
    }
}

fn lines_of(
    (old, of_old): (&[u8], &Sections),
    (new, of_new): (&[u8], &Sections),
    part: impl Fn(&Sections) -> &Range<usize>,
) -> Differences {
    Differences::between(Rows::new(old, part(of_old)), Rows::new(new, part(of_new)))
}

fn bad(text: &[u8], start: u32, why: BadRow) -> Bad {
    let start = start as usize;
    Bad { line: start..start + line_at(text, start).len(), why }
}

/// Those that could be read; the others go to `bad`.
fn good<T>(read: impl Iterator<Item = Result<T, Bad>>, bad: &mut Vec<Bad>) -> Vec<T> {
    read.filter_map(|read| read.map_err(|why| bad.push(why)).ok()).collect()
}

/// Puts together what is said of the same path, and leaves out what says the same.
fn by_path<'t, T>(
    mut old: Vec<(RelPath<'t>, T)>,
    mut new: Vec<(RelPath<'t>, T)>,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<Changed<'t, T>> {
    for side in [&mut old, &mut new] {
        side.sort_by_key(|(path, _)| *path);
        side.dedup_by_key(|(path, _)| *path);
    }
    let mut changed = Vec::with_capacity(old.len().max(new.len()));
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let paths = [old.peek().map(|(path, _)| *path), new.peek().map(|(path, _)| *path)];
        let Some(path) = paths.into_iter().flatten().min() else { return changed };
        let before = old.next_if(|(at, _)| *at == path).map(|(_, before)| before);
        let after = new.next_if(|(at, _)| *at == path).map(|(_, after)| after);
        if !before.as_ref().zip(after.as_ref()).is_some_and(|(before, after)| same(before, after)) {
            changed.push(Changed { path, old: before, new: after });
        }
    }
}
