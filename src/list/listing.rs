//! All rows of a list that a mirror carries, grouped by directory.
//!
//! A list is in the order of upstream's scan: a directory after its contents, nothing sorted. Nothing here depends on any
//! order, but neighbours mostly share a directory, and that is what makes it fast: the text is cut into pieces, each piece
//! is read by one thread that looks a directory up only when it differs from the one before, and the rows are then dealt out
//! to their directories. Sorting is left to each directory on its own.
//!
//! Rows that cannot be read, or that contradict each other, are set aside ([`Bad`]); the rest stands.
//!
//! Where only some directories matter ([`Wanted`]), the other rows are passed over without a look at what they say.

mod piece;
mod settle;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use foldhash::fast::RandomState;
use rayon::prelude::*;

use piece::{Piece, named};
use settle::{Settled, bad, settle};

use super::row::{Bad, Mark};
use super::sections::{ListError, Sections, lines};
use super::{BadRow, Kind, Row};
use crate::path::RelPath;

/// What becomes of a well-formed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// The mirror carries it.
    Yes,
    /// It is left out: excluded, or the name of a list.
    No,
    /// It is left out because it is not for everybody, and so is all below it.
    Withheld,
}

/// A directory of a [`Listing`], by number. The module's own directory is number 0.
pub type DirId = u32;

/// The rows of one list that a mirror carries, by directory, sorted by name within each.
///
/// Every directory that holds something has a row of its own in the directory above it, even if the list does not give one:
/// then its time is 0.
pub struct Listing<'t> {
    text: &'t [u8],
    rows: Vec<Row>,
    dirs: Vec<Dir<'t>>,
    ids: HashMap<&'t [u8], DirId, RandomState>,
    withheld: HashSet<&'t [u8], RandomState>,
    /// The lines that were set aside, in the order of the list.
    pub bad: Vec<Bad>,
}

struct Dir<'t> {
    path: &'t [u8],
    rows: Range<usize>,
}

impl<'t> Listing<'t> {
    /// Reads all rows of `text` and keeps those that `carry` wants.
    ///
    /// # Errors
    /// [`ListError::NoGoodRow`] if not one line could be read.
    pub fn read(
        text: &'t [u8],
        sections: &Sections,
        carry: impl Fn(&Row, RelPath<'_>) -> Carry + Sync,
    ) -> Result<Listing<'t>, ListError> {
        Listing::read_pieces(text, sections.pieces(text), carry)
    }

    /// Reads the rows of some directories only. Lines that may be about anything are set aside all the same, wherever they stand.
    ///
    /// Directories that are not wanted have no number, even if they have a row in one that is.
    pub fn read_some(
        text: &'t [u8],
        sections: &Sections,
        wanted: &Wanted<'_>,
        carry: impl Fn(&Row, RelPath<'_>) -> Carry + Sync,
    ) -> Listing<'t> {
        let read = |piece| Piece::read(text, piece, Some(wanted), &carry);
        deal(text, sections.pieces(text).into_par_iter().map(read).collect(), Some(wanted))
    }

    /// The same as [`Listing::read`], from rows that were cut into pieces.
    fn read_pieces(
        text: &'t [u8],
        pieces: Vec<Range<usize>>,
        carry: impl Fn(&Row, RelPath<'_>) -> Carry + Sync,
    ) -> Result<Listing<'t>, ListError> {
        let read = |piece| Piece::read(text, piece, None, &carry);
        let pieces: Vec<Piece<'t>> = pieces.into_par_iter().map(read).collect();
        if pieces.iter().all(|piece| piece.good == 0) {
            return Err(ListError::NoGoodRow);
        }
        Ok(deal(text, pieces, None))
    }

    /// How many entries the mirror carries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it carries nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All carried rows, directory by directory.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The number of a directory.
    pub fn dir(&self, path: RelPath<'_>) -> Option<DirId> {
        self.ids.get(path.bytes()).copied()
    }

    /// All directories, the module's own first.
    pub fn dirs(&self) -> impl Iterator<Item = DirId> + use<> {
        0..self.dirs.len() as DirId
    }

    /// The path of a directory.
    pub fn dir_path(&self, dir: DirId) -> RelPath<'t> {
        RelPath::unchecked(self.dirs[dir as usize].path)
    }

    /// Where in the paths of what a directory holds the names begin.
    pub fn name_start(&self, dir: DirId) -> usize {
        let len = self.dirs[dir as usize].path.len();
        if len == 0 { 0 } else { len + 1 }
    }

    /// What a directory holds, sorted by name.
    pub fn entries(&self, dir: DirId) -> &[Row] {
        &self.rows[self.dirs[dir as usize].rows.clone()]
    }

    /// The row of one path.
    pub fn find(&self, path: RelPath<'_>) -> Option<&Row> {
        let entries = self.entries(self.dir(path.parent())?);
        entries.binary_search_by(|row| self.name(row).cmp(path.name())).ok().map(|index| &entries[index])
    }

    /// From now on the rows of which this is true are for everybody, whatever the list says.
    pub fn give_to_all(&mut self, is_for_all: impl Fn(&Row, RelPath<'_>) -> bool + Sync) {
        let text = self.text;
        let kept = self.rows.par_iter_mut().filter(|row| !row.mark.is_public());
        kept.filter(|row| is_for_all(row, row.path(text))).for_each(|row| row.mark = Mark::Public);
    }

    /// Whether the list gives `path` as something that this mirror withholds from the public, and not for everybody too.
    pub fn withholds(&self, path: RelPath<'_>) -> bool {
        let is_for_all = || self.find(path).is_some_and(|row| row.kind != Kind::Unreadable);
        self.withheld.contains(path.bytes()) && !is_for_all()
    }

    /// What this mirror withholds from the public, each with all that is below it.
    pub fn withheld(&self) -> impl Iterator<Item = RelPath<'t>> {
        let paths = self.withheld.iter().map(|path| RelPath::unchecked(path));
        paths.filter(|path| self.withholds(*path) && !self.withholds(path.parent()))
    }

    /// The path of a row.
    pub fn path(&self, row: &Row) -> RelPath<'t> {
        row.path(self.text)
    }

    /// The last part of a row's path.
    pub fn name(&self, row: &Row) -> &'t [u8] {
        self.path(row).name()
    }

    /// The list itself.
    pub fn text(&self) -> &'t [u8] {
        self.text
    }
}

/// Some directories of a list, and some subtrees. Where a directory is wanted, so are those above it.
#[derive(Debug, Default)]
pub struct Wanted<'w> {
    dirs: HashSet<&'w [u8], RandomState>,
    subtrees: HashSet<&'w [u8], RandomState>,
}

impl<'w> Wanted<'w> {
    /// Adds a directory.
    pub fn add(&mut self, dir: RelPath<'w>) {
        let mut dir = dir;
        while self.dirs.insert(dir.bytes()) && !dir.is_top() {
            dir = dir.parent();
        }
    }

    /// Adds an entry, the directory that holds it, and all that lies below it if it is a directory.
    pub fn add_subtree(&mut self, path: RelPath<'w>) {
        self.add(path.parent());
        self.subtrees.insert(path.bytes());
    }

    /// The directories, those above them among them.
    pub fn dirs(&self) -> impl Iterator<Item = RelPath<'w>> {
        self.dirs.iter().map(|dir| RelPath::unchecked(dir))
    }

    fn has(&self, dir: RelPath<'_>) -> bool {
        let is_within = |subtree: RelPath<'_>| self.subtrees.contains(subtree.bytes());
        self.dirs.contains(dir.bytes()) || is_within(dir) || dir.ancestors().any(is_within)
    }
}

/// What a line that was set aside names, if anything.
pub fn named_by<'t>(text: &'t [u8], bad: &Bad) -> Option<RelPath<'t>> {
    let row = match Row::parse(&text[bad.line.clone()], bad.line.start as u32) {
        Ok(row) => Some(row),
        Err(_) => named(text, bad.line.clone()),
    };
    row.map(|row| row.path(text))
}

/// The good rows within `range`, which holds whole lines.
pub fn rows_in(text: &[u8], range: Range<usize>) -> impl Iterator<Item = Row> {
    lines(text, range).filter_map(|line| Row::parse(&text[line.clone()], line.start as u32).ok())
}

/// The good rows within `range` whose path ends in one of `names`. Other lines are not read.
pub fn rows_named(text: &[u8], range: Range<usize>, names: &HashSet<&[u8], RandomState>) -> impl Iterator<Item = Row> {
    let is_named = move |line: &[u8]| {
        let Some(at) = memchr::memrchr2(b'/', b'\t', line) else { return false };
        // A name may hold a TAB: then the line is read.
        names.contains(&line[at + 1..]) || line[at] == b'\t' && memchr::memchr_iter(b'\t', &line[..at]).count() > 2
    };
    lines(text, range)
        .filter(move |line| is_named(&text[line.clone()]))
        .filter_map(|line| Row::parse(&text[line.clone()], line.start as u32).ok())
}

/// Deals the rows out to their directories.
fn deal<'t>(text: &'t [u8], pieces: Vec<Piece<'t>>, wanted: Option<&Wanted<'_>>) -> Listing<'t> {
    let mut listing = Listing {
        text,
        rows: Vec::new(),
        dirs: Vec::new(),
        ids: HashMap::default(),
        withheld: HashSet::default(),
        bad: Vec::new(),
    };
    listing.id(b"");
    let is_wanted = |dir: &&&[u8]| wanted.is_none_or(|wanted| wanted.has(RelPath::unchecked(dir)));
    for dir in pieces.iter().flat_map(|piece| piece.dirs.iter().chain(piece.listed.iter().filter(is_wanted))) {
        listing.id_with_ancestors(dir);
    }
    let beyond: HashSet<&'t [u8], RandomState> = pieces.iter().flat_map(|piece| piece.beyond.iter().copied()).collect();
    let doubted = pieces.iter().flat_map(|piece| piece.doubted.iter().copied());
    let unwanted: HashSet<&'t [u8], RandomState> = beyond.iter().copied().chain(doubted).collect();
    for dir in &unwanted {
        listing.id_with_ancestors(RelPath::unchecked(dir).parent().bytes());
    }
    let has_doubted = unwanted.len() > beyond.len();
    let implied = listing.implied(&pieces, unwanted);

    let mut counts = vec![0usize; listing.dirs.len()];
    for piece in &pieces {
        let ids: Vec<usize> = piece.dirs.iter().map(|dir| listing.ids[dir] as usize).collect();
        piece.runs.iter().for_each(|&(dir, count)| counts[ids[dir as usize]] += count as usize);
    }
    implied.iter().for_each(|row| counts[listing.parent_id(row)] += 1);

    let mut start = 0;
    for (dir, count) in listing.dirs.iter_mut().zip(&mut counts) {
        dir.rows = start..start + *count;
        // From here on: where the directory's next row goes.
        start += std::mem::replace(count, start);
    }
    listing.rows = vec![Row::named(0, 0, Kind::Unreadable); start];
    for piece in pieces {
        let ids: Vec<usize> = piece.dirs.iter().map(|dir| listing.ids[dir] as usize).collect();
        let mut rows = piece.rows.as_slice();
        for (dir, count) in piece.runs {
            let (run, rest) = rows.split_at(count as usize);
            let next = &mut counts[ids[dir as usize]];
            listing.rows[*next..*next + run.len()].copy_from_slice(run);
            *next += run.len();
            rows = rest;
        }
        listing.bad.extend(piece.bad);
        listing.withheld.extend(piece.withheld);
    }
    for row in &implied {
        let next = &mut counts[listing.parent_id(row)];
        listing.rows[*next] = *row;
        *next += 1;
    }
    listing.sort_and_settle();
    if !listing.bad.is_empty() || has_doubted {
        listing.settle_unreadable(&implied, &beyond);
    }
    listing.drop_below_withheld(&implied);
    listing.bad.sort_by_key(|bad| bad.line.start);
    listing.bad.dedup_by_key(|bad| bad.line.start);
    listing
}

impl<'t> Listing<'t> {
    fn id(&mut self, path: &'t [u8]) -> DirId {
        let next = self.dirs.len() as DirId;
        *self.ids.entry(path).or_insert_with(|| {
            self.dirs.push(Dir { path, rows: 0..0 });
            next
        })
    }

    fn id_with_ancestors(&mut self, path: &'t [u8]) {
        let mut path = RelPath::unchecked(path);
        while !self.ids.contains_key(path.bytes()) {
            self.id(path.bytes());
            path = path.parent();
        }
    }

    fn parent_id(&self, row: &Row) -> usize {
        self.ids[row.path(self.text).parent().bytes()] as usize
    }

    /// Rows for the directories that hold something but have no row.
    fn implied(&self, pieces: &[Piece<'t>], unwanted: HashSet<&'t [u8], RandomState>) -> Vec<Row> {
        let listed: HashSet<&[u8], RandomState> =
            pieces.iter().flat_map(|piece| piece.listed.iter().copied()).collect();
        let holding = self.dirs.iter().skip(1).map(|dir| dir.path).chain(unwanted);
        let missing = holding.filter(|path| !listed.contains(path));
        missing.map(|path| Row::named(self.position(path), path.len() as u16, Kind::Dir)).collect()
    }

    /// Where in the list a path stands that was cut out of it.
    fn position(&self, path: &[u8]) -> u32 {
        (path.as_ptr().addr() - self.text.as_ptr().addr()) as u32
    }

    /// Sorts each directory by name, and settles what several rows say of one name.
    fn sort_and_settle(&mut self) {
        let text = self.text;
        let mut rest = self.rows.as_mut_slice();
        let mut slices = Vec::with_capacity(self.dirs.len());
        for dir in &self.dirs {
            let (rows, after) = rest.split_at_mut(dir.rows.len());
            slices.push(rows);
            rest = after;
        }
        let settled: Vec<Settled> = slices.into_par_iter().map(|rows| settle(text, rows)).collect();
        let mut not_dirs = Vec::new();
        for (dir, settled) in self.dirs.iter_mut().zip(settled) {
            dir.rows.end = dir.rows.start + settled.kept;
            self.bad.extend(settled.bad);
            not_dirs.extend(settled.not_dirs);
        }
        if !not_dirs.is_empty() {
            let not_dirs: HashSet<&[u8]> = not_dirs.iter().map(|row| row.path(text).bytes()).collect();
            self.drop_dirs(|path| not_dirs.contains(path.bytes()), BadRow::BelowFile);
        }
        self.close_gaps();
    }

    /// Where good rows lie below a name that could not be read, it is a directory. Where only lines lie below a name that were set
    /// aside, nobody says that it is there, or what it is: it is left alone, with all that is below it.
    fn settle_unreadable(&mut self, implied: &[Row], beyond: &HashSet<&'t [u8], RandomState>) {
        let text = self.text;
        let unsaid: HashSet<_, RandomState> =
            implied.iter().filter(|row| !beyond.contains(row.path(text).bytes())).map(Row::span).collect();
        let is_unsaid = |row: &Row| row.kind == Kind::Dir && row.time == 0 && unsaid.contains(&row.span());
        let is_said = |row: &Row| row.kind != Kind::Unreadable && !is_unsaid(row);
        let mut holding: HashSet<&[u8], RandomState> = HashSet::from_iter([&b""[..]]);
        for dir in self.dirs.iter().filter(|dir| self.rows[dir.rows.clone()].iter().any(is_said)) {
            let mut dir = RelPath::unchecked(dir.path);
            while holding.insert(dir.bytes()) {
                dir = dir.parent();
            }
        }
        let mut doubted: HashSet<&[u8]> = HashSet::new();
        for row in &mut self.rows {
            if is_said(row) {
                continue;
            }
            let path = row.path(text).bytes();
            let kind = if holding.contains(path) { Kind::Dir } else { Kind::Unreadable };
            *row = row.as_kind(kind);
            if kind == Kind::Unreadable {
                doubted.insert(path);
            }
        }
        if !doubted.is_empty() {
            self.drop_dirs(|path| doubted.contains(path.bytes()), BadRow::BelowFile);
            self.close_gaps();
        }
    }

    /// Sets aside what claims to be public below a directory that is withheld.
    fn drop_below_withheld(&mut self, implied: &[Row]) {
        let text = self.text;
        let paths = implied.iter().map(|row| row.path(text).bytes());
        let wrong: HashSet<&[u8]> = paths.filter(|path| self.withheld.contains(path)).collect();
        if wrong.is_empty() {
            return;
        }
        self.drop_dirs(|path| wrong.contains(path.bytes()), BadRow::BelowRestricted);
        for dir in &mut self.dirs {
            let rows = &mut self.rows[dir.rows.clone()];
            dir.rows.end = dir.rows.start + retain(rows, |row| !wrong.contains(row.path(text).bytes()));
        }
        self.close_gaps();
    }

    /// Takes out the directories of which, or of one above which, `wrong` is true, and sets their rows aside.
    fn drop_dirs(&mut self, wrong: impl Fn(RelPath<'_>) -> bool, why: BadRow) {
        self.dirs.retain(|dir| {
            let path = RelPath::unchecked(dir.path);
            if path.is_top() || !(wrong(path) || path.ancestors().any(&wrong)) {
                return true;
            }
            let rows = &self.rows[dir.rows.clone()];
            let listed = rows.iter().filter(|row| row.kind != Kind::Unreadable);
            self.bad.extend(listed.filter_map(|row| bad(self.text, row, why)));
            false
        });
        self.ids = self.dirs.iter().zip(0..).map(|(dir, id)| (dir.path, id)).collect();
    }

    /// Moves the rows together after some were taken out of the ends of directories.
    fn close_gaps(&mut self) {
        let mut start = 0;
        for dir in &mut self.dirs {
            let rows = dir.rows.clone();
            self.rows.copy_within(rows.clone(), start);
            dir.rows = start..start + rows.len();
            start += rows.len();
        }
        self.rows.truncate(start);
    }
}

/// Moves the rows that `keep` wants to the front, in order, and says how many they are.
fn retain(rows: &mut [Row], keep: impl Fn(&Row) -> bool) -> usize {
    let mut kept = 0;
    for index in 0..rows.len() {
        if keep(&rows[index]) {
            rows[kept] = rows[index];
            kept += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests;
