//! Checksums that a list gives: for files whose name, size and time may stay the same when their content changes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};

use rayon::prelude::*;
use rustix::fs::{Mode, OFlags};
use sha1::{Digest, Sha1};

use super::Failure;
use super::lists::List;
use super::reading::Reading;
use super::subject::Since;
use crate::list::Kind;
use crate::path::RelPath;
use crate::plan::Depth;
use crate::plan::compare::{Fetch, FetchCause};
use crate::tree::Root;

/// The checksums of one list, by path.
#[derive(Default)]
pub(super) struct Sums<'t>(HashMap<RelPath<'t>, [u8; 20]>);

impl<'t> Sums<'t> {
    /// Those of a list.
    pub fn of(list: &'t List) -> Result<Sums<'t>, Failure> {
        let (text, sections) = list.text.get()?;
        Ok(Sums(sections.checksums(text).collect()))
    }
}

/// Whether a file is here, and its content is not the one that the list gives a checksum of.
pub(super) fn is_wrong(root: &Root, sums: &Sums<'_>, path: RelPath<'_>) -> bool {
    let Some(sum) = sums.0.get(&path) else { return false };
    // What cannot be read is judged by its size alone.
    sum_of(root, path).is_ok_and(|here| here != *sum)
}

/// The SHA-1 of a file in the tree.
fn sum_of(root: &Root, path: RelPath<'_>) -> io::Result<[u8; 20]> {
    use std::os::unix::ffi::OsStrExt;
    let dir = root.open_dir(path.parent())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = std::ffi::OsStr::from_bytes(path.name());
    let mut file = File::from(rustix::fs::openat(&dir, name, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let (mut digest, mut buffer) = (Sha1::new(), vec![0; 1 << 16]);
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            return Ok(digest.finalize().into());
        }
        digest.update(&buffer[..len]);
    }
}

/// Adds what has the right size and the wrong content: at full depth of all checksums, else of those that changed, and of those in
/// directories that are compared as a whole. What is to be fetched for another reason, and would be passed over for its size and
/// time, gets this cause too.
pub(super) fn add_wrong<'t>(
    reading: &Reading<'t>,
    list: &'t List,
    since: Option<&Since<'_>>,
    fetch: &mut Vec<Fetch<'t>>,
) -> Result<(), Failure> {
    let Some(root) = &reading.root else { return Ok(()) };
    let sums = Sums::of(list)?;
    let changed: HashSet<RelPath<'_>> =
        since.into_iter().flat_map(|since| &since.changes.checksums).map(|changed| changed.path).collect();
    let is_whole = |path: RelPath<'_>| {
        let dir = reading.listing.dir(path.parent());
        reading.depth == Depth::Full || dir.is_some_and(|dir| reading.whole.contains(&dir))
    };
    let at: HashMap<RelPath<'t>, usize> = fetch.iter().enumerate().map(|(index, fetch)| (fetch.path, index)).collect();
    let suspects = sums.0.keys().filter(|path| {
        let planned = at.get(*path).map(|&index| fetch[index].cause);
        match planned {
            Some(cause) => {
                use FetchCause::{Altered, Changed, Newer, Undelivered};
                matches!(cause, Changed | Newer | Undelivered | Altered)
            }
            None => is_whole(**path) || changed.contains(*path),
        }
    });
    let suspects: Vec<RelPath<'t>> = suspects.copied().collect();
    let wrong: Vec<RelPath<'t>> = suspects.into_par_iter().filter(|&path| is_wrong(root, &sums, path)).collect();
    for path in wrong {
        match at.get(&path) {
            Some(&index) => fetch[index].cause = FetchCause::Checksum,
            None => {
                let row = reading.listing.find(path).filter(|row| row.kind == Kind::File);
                fetch.extend(row.map(|row| Fetch::new(&reading.listing, row, FetchCause::Checksum)));
            }
        }
    }
    Ok(())
}
