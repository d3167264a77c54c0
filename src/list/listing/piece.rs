//! Reading one piece of a list, by one thread.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use foldhash::fast::RandomState;

use super::{Carry, Wanted};
use crate::list::row::Bad;
use crate::list::sections::lines;
use crate::list::{Kind, Row};
use crate::path::RelPath;

/// What one thread read.
pub(super) struct Piece<'t> {
    pub rows: Vec<Row>,
    /// The directories of the rows, as an index into `dirs` and the number of rows that follow each other in it.
    pub runs: Vec<(u32, u32)>,
    pub dirs: Vec<&'t [u8]>,
    /// Directories with a row of their own.
    pub listed: Vec<&'t [u8]>,
    /// Directories that are not wanted, hold something, and lie in one that is wanted: they are there, with or without a row.
    pub beyond: HashSet<&'t [u8], RandomState>,
    /// The same of what only lines hold that were set aside: they may be there.
    pub doubted: HashSet<&'t [u8], RandomState>,
    /// What is not for everybody.
    pub withheld: Vec<&'t [u8]>,
    pub bad: Vec<Bad>,
    /// Lines that were rows, carried or not.
    pub good: usize,
}

impl<'t> Piece<'t> {
    /// Reads whole lines of a list: those of the directories that are wanted.
    pub fn read(
        text: &'t [u8],
        range: Range<usize>,
        wanted: Option<&Wanted<'_>>,
        carry: &impl Fn(&Row, RelPath<'_>) -> Carry,
    ) -> Piece<'t> {
        let mut piece = Piece {
            rows: Vec::new(),
            runs: Vec::new(),
            dirs: Vec::new(),
            listed: Vec::new(),
            beyond: HashSet::default(),
            doubted: HashSet::default(),
            withheld: Vec::new(),
            bad: Vec::new(),
            good: 0,
        };
        if wanted.is_none() {
            piece.rows.reserve_exact(memchr::memchr_iter(b'\n', &text[range.clone()]).count());
        }
        let is_wanted = |dir: RelPath<'_>| wanted.is_none_or(|wanted| wanted.has(dir));
        let mut ids: HashMap<&'t [u8], u32, RandomState> = HashMap::default();
        let mut last: Option<(&'t [u8], u32)> = None;
        // Directories that are not wanted and are known to hold something.
        let [mut held, mut perhaps_held]: [HashSet<&'t [u8], RandomState>; 2] = Default::default();
        let mut unwanted: Option<&[u8]> = None;
        for line in lines(text, range) {
            if unwanted.is_some_and(|dir| is_plainly_in(dir, &text[line.clone()])) {
                // Neighbours mostly share a directory.
                continue;
            }
            // Sections::find refuses lists in which a position does not fit.
            let row = match Row::parse(&text[line.clone()], line.start as u32) {
                Ok(row) => {
                    piece.good += 1;
                    let path = row.path(text);
                    let carried = carry(&row, path);
                    if !is_wanted(path.parent()) {
                        if carried == Carry::Yes {
                            add_beyond(&mut piece.beyond, path.parent(), &mut held, &is_wanted);
                            unwanted = Some(path.parent().bytes());
                        }
                        continue;
                    }
                    match carried {
                        Carry::Yes => row,
                        Carry::No => continue,
                        Carry::Withheld => {
                            piece.withheld.push(path.bytes());
                            continue;
                        }
                    }
                }
                Err(why) => {
                    let named = named(text, line.clone());
                    if let Some(dir) = named.map(|row| row.path(text).parent()).filter(|dir| !is_wanted(*dir)) {
                        add_beyond(&mut piece.doubted, dir, &mut perhaps_held, &is_wanted);
                        continue;
                    }
                    piece.bad.push(Bad { line, why });
                    match named {
                        Some(row) => row,
                        None => continue,
                    }
                }
            };
            let path = row.path(text);
            let parent = path.parent().bytes();
            let dir = match last {
                Some((bytes, dir)) if bytes == parent => dir,
                _ => *ids.entry(parent).or_insert_with(|| {
                    piece.dirs.push(parent);
                    piece.dirs.len() as u32 - 1
                }),
            };
            last = Some((parent, dir));
            if row.kind == Kind::Dir {
                piece.listed.push(path.bytes());
            }
            piece.rows.push(row);
            match piece.runs.last_mut() {
                Some((last, count)) if *last == dir => *count += 1,
                _ => piece.runs.push((dir, 1)),
            }
        }
        piece
    }
}

/// Notes that a directory that is not wanted holds something: so it is there, and so are those above it.
fn add_beyond<'t>(
    beyond: &mut HashSet<&'t [u8], RandomState>,
    dir: RelPath<'t>,
    held: &mut HashSet<&'t [u8], RandomState>,
    is_wanted: &impl Fn(RelPath<'_>) -> bool,
) {
    let mut dir = dir;
    while !dir.is_top() && held.insert(dir.bytes()) {
        if is_wanted(dir.parent()) {
            beyond.insert(dir.bytes());
            return;
        }
        dir = dir.parent();
    }
}

/// Whether what a line names lies in a directory, beyond doubt where the name begins.
fn is_plainly_in(dir: &[u8], line: &[u8]) -> bool {
    let Some(slash) = memchr::memrchr(b'/', line) else { return false };
    let (path, name) = line.split_at(slash);
    // Fields are short: a loop that starts fast beats one that runs fast.
    let are_fields = |bytes: &[u8]| bytes.ends_with(b"\t") && bytes.iter().filter(|&&byte| byte == b'\t').count() == 3;
    path.strip_suffix(dir).is_some_and(are_fields) && memchr::memchr(b'\t', name).is_none()
}

/// What a line that is no row may be about: whatever is here under that name is left alone.
pub(super) fn named(text: &[u8], line: Range<usize>) -> Option<Row> {
    let bytes = &text[line.clone()];
    let third = memchr::memchr_iter(b'\t', bytes).nth(2);
    let tabs = third.into_iter().chain(memchr::memrchr(b'\t', bytes));
    tabs.map(|tab| tab + 1)
        .find(|&start| RelPath::new(&bytes[start..]).is_ok())
        .map(|start| Row::named((line.start + start) as u32, (line.len() - start) as u16, Kind::Unreadable))
}
