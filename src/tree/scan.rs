//! The scan: reads a tree for its list, as text.
//!
//! Several directories are read at once, and their rows are handed on in the order of a walk that reads one after the other: what
//! is read ahead waits for its turn, and there is never much of it. So the same tree gives the same list, whoever was faster, and
//! a tree of any size needs little memory.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::root::each_entry;
use super::stamp::is_absence;
use super::{Root, TreeError};
use crate::interrupt::Interrupt;
use crate::list::{Kind, Mark, write};
use crate::path::{BadPath, RelPath, RelPathBuf, escape};
use crate::plan::leftovers::{PARTIAL, STAGED};

/// So many bytes of rows are read ahead, and what the readers have in hand.
const AHEAD: usize = 16 << 20;

const GROUP_READABLE: u32 = 0o040;
const WORLD_READABLE: u32 = 0o004;

/// What is scanned, and how.
#[derive(Debug)]
pub struct Scan<'s> {
    /// The directory.
    pub root: &'s Root,
    /// Names that are left out at its top: the lists themselves.
    pub skip_top: &'s [OsString],
    /// Files with one of these names are told of, for their checksums.
    pub checksums_of: &'s [OsString],
    /// Which time of an entry is written.
    pub times: Times,
    /// Whether the names of each directory are sorted; else they come as the file system has them.
    pub sorted: bool,
    /// How many directories are read at once.
    pub jobs: usize,
    /// Ends the scan early; what was handed on by then is no list.
    pub interrupt: &'s Interrupt,
}

/// Which time of an entry is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// The newer of mtime and ctime, as the format says.
    #[default]
    Newest,
    /// The mtime alone: for trees that must give the same list each time they are built, since a ctime cannot be set.
    Modified,
}

/// What a scan found beside the rows.
#[derive(Debug, Default)]
pub struct Scanned {
    /// How many rows there are.
    pub rows: u64,
    /// The files whose checksums are wanted.
    pub checksums: Vec<RelPathBuf>,
    /// What is in the directory and not among the rows, though somebody may expect it there.
    pub warnings: Vec<Warning>,
}

/// Something that is left out of a list.
#[derive(Debug, thiserror::Error)]
pub enum Warning {
    /// A symbolic link that leads nowhere.
    #[error("{} leads nowhere: {source}", escape(path.as_os_str().as_bytes()))]
    Dangling {
        /// The link.
        path: PathBuf,
        /// What following it said.
        source: io::Error,
    },
    /// No row can hold the name: the format has no escaping for a line feed. Nothing below it is listed either.
    #[error("{} cannot be listed: {why}", escape(path.as_os_str().as_bytes()))]
    Name {
        /// The entry.
        path: PathBuf,
        /// What is wrong with its name.
        why: BadPath,
    },
    /// A device, a socket or a pipe: nothing that is mirrored.
    #[error("{} is neither a file nor a directory nor a symbolic link", escape(path.as_os_str().as_bytes()))]
    Special {
        /// The entry.
        path: PathBuf,
    },
}

impl Warning {
    /// Whether mirrors will lack something that they could have under another name.
    pub fn lacks_name(&self) -> bool {
        matches!(self, Warning::Name { .. })
    }
}

impl Scan<'_> {
    /// Hands on the rows of everything below the directory, each directory's after those of what it holds.
    ///
    /// # Errors
    /// If a directory or an entry cannot be read: a list without it would have mirrors delete it. And what `rows` says.
    pub fn run<E: From<TreeError>>(&self, rows: impl FnMut(&[u8]) -> Result<(), E>) -> Result<Scanned, E> {
        let desk = Desk::default();
        desk.lock().to_read.insert(Place::new(), Task { path: RelPath::TOP.to_owned(), below_restricted: false });
        std::thread::scope(|scope| {
            let _closes = Closes(&desk);
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    // Nobody waits for a reader that panicked.
                    let _closes = Closes(&desk);
                    while let Some((place, task)) = desk.next() {
                        desk.put(place, self.read(&task));
                    }
                });
            }
            let mut turn = Turn { scan: self, desk: &desk, rows, scanned: Scanned::default() };
            turn.directory(&[])?;
            Ok(turn.scanned)
        })
    }

    /// Reads one directory; `None` if it went meanwhile.
    fn read(&self, task: &Task) -> Result<Option<Contents>, TreeError> {
        let failed = |error: io::Error| TreeError::new("cannot read", self.root.path_of(task.path.as_path()), error);
        let fd = match self.root.open_dir(task.path.as_path()) {
            Ok(fd) => fd,
            // The top is there, or there is nothing to make a list of.
            Err(error) if is_absence(&error) && !task.path.as_path().is_top() => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        let read = each_entry(&fd, |entry| {
            names.extend_from_slice(entry.file_name().to_bytes_with_nul());
            Ok(true)
        });
        read.map_err(failed)?;
        let mut names: Vec<&[u8]> = names.split_inclusive(|byte| *byte == 0).collect();
        if self.sorted {
            names.sort_unstable();
        }
        let mut reading = Reading { scan: self, task, fd, path: Vec::new(), contents: Contents::default() };
        names.into_iter().try_for_each(|name| reading.add(CStr::from_bytes_with_nul(name).unwrap_or_default()))?;
        Ok(Some(reading.contents))
    }

    fn is_left_out(&self, at_top: bool, name: &[u8]) -> bool {
        let here_too = || {
            name.starts_with(STAGED.as_bytes())
                || self.skip_top.iter().any(|skipped| skipped == OsStr::from_bytes(name))
        };
        name.starts_with(b".nfs") || name == PARTIAL.as_bytes() || at_top && here_too()
    }
}

/// One directory while it is read.
struct Reading<'r, 's> {
    scan: &'r Scan<'s>,
    task: &'r Task,
    fd: OwnedFd,
    /// The path of the entry that is looked at.
    path: Vec<u8>,
    contents: Contents,
}

impl Reading<'_, '_> {
    /// Adds an entry, if it belongs into the list and did not go meanwhile.
    fn add(&mut self, name: &CStr) -> Result<(), TreeError> {
        let directory = self.task.path.as_path();
        if self.scan.is_left_out(directory.is_top(), name.to_bytes()) {
            return Ok(());
        }
        self.path.clear();
        if !directory.is_top() {
            self.path.extend_from_slice(directory.bytes());
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        let full = || self.scan.root.path().join(OsStr::from_bytes(&self.path));
        let path = match RelPath::new(&self.path) {
            Ok(path) => path,
            Err(why) => {
                self.contents.warnings.push(Warning::Name { path: full(), why });
                return Ok(());
            }
        };
        let stat = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(TreeError::new("cannot read", full(), error)),
        };
        let (kind, target) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => (Kind::File, stat.st_mode),
            FileType::Directory => (Kind::Dir, stat.st_mode),
            FileType::Symlink => match rustix::fs::statat(&self.fd, name, AtFlags::empty()) {
                Ok(target) => (Kind::Link, target.st_mode),
                Err(error) if leads_nowhere(error) => {
                    self.contents.warnings.push(Warning::Dangling { path: full(), source: error.into() });
                    return Ok(());
                }
                Err(error) => return Err(TreeError::new("cannot follow", full(), error)),
            },
            _ => {
                self.contents.warnings.push(Warning::Special { path: full() });
                return Ok(());
            }
        };
        if target & GROUP_READABLE == 0 {
            return Ok(());
        }
        let is_public = stat.st_mode & WORLD_READABLE != 0;
        let row = write::Entry {
            time: self.scan.times.of(&stat),
            kind,
            mark: Mark::of(is_public, self.task.below_restricted),
            size: stat.st_size.unsigned_abs(),
            path,
        };
        let contents = &mut self.contents;
        let start = contents.rows.len();
        write::row(&mut contents.rows, &row);
        contents.count += 1;
        match kind {
            Kind::Dir => {
                contents.below.push(start..contents.rows.len());
                let below_restricted = self.task.below_restricted || !is_public;
                contents.tasks.push(Task { path: path.to_owned(), below_restricted });
            }
            Kind::File if self.scan.checksums_of.iter().any(|wanted| wanted.as_bytes() == name.to_bytes()) => {
                contents.checksums.push(path.to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

impl Times {
    fn of(self, stat: &Stat) -> i64 {
        match self {
            Times::Newest => stat.st_mtime.max(stat.st_ctime),
            Times::Modified => stat.st_mtime,
        }
    }
}

fn leads_nowhere(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::NAMETOOLONG)
}

/// A directory that is to be read.
struct Task {
    path: RelPathBuf,
    /// Whether it, or a directory above it, is not for everybody.
    below_restricted: bool,
}

/// What a directory holds.
#[derive(Default)]
struct Contents {
    /// The rows of its entries, in their order.
    rows: Vec<u8>,
    count: u64,
    /// For each directory among them its row; what it holds comes before.
    below: Vec<Range<usize>>,
    /// The same directories, for whoever reads them.
    tasks: Vec<Task>,
    checksums: Vec<RelPathBuf>,
    warnings: Vec<Warning>,
}

/// Where a directory stands: which one it is of the directories beside it, and the same of those above it, from the top down. Their order
/// is that of the walk.
type Place = Vec<u32>;

/// Where readers and the one who hands on meet.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    /// Somebody may read something.
    work: Condvar,
    /// The directory whose turn it is may have been read.
    turn: Condvar,
}

#[derive(Default)]
struct State {
    to_read: BTreeMap<Place, Task>,
    read: HashMap<Place, Result<Option<Contents>, TreeError>>,
    /// Bytes of rows in `read`.
    ahead: usize,
    /// Whose turn it is. It is read however much is ahead; nothing before it is left to read.
    turn: Place,
    closed: bool,
}

impl Desk {
    /// Takes the next directory to read; `None` when all is over.
    fn next(&self) -> Option<(Place, Task)> {
        let mut state = self.lock();
        while !state.closed {
            let State { to_read, ahead, turn, .. } = &mut *state;
            if let Some(first) = to_read.first_entry()
                && (*ahead < AHEAD || first.key() == turn)
            {
                return Some(first.remove_entry());
            }
            state = self.work.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        None
    }

    fn put(&self, place: Place, mut read: Result<Option<Contents>, TreeError>) {
        let mut state = self.lock();
        if let Ok(Some(contents)) = &mut read {
            state.ahead += contents.rows.len();
            for (number, task) in (0..).zip(contents.tasks.drain(..)) {
                state.to_read.insert(place_below(&place, number), task);
            }
            if !contents.below.is_empty() {
                self.work.notify_all();
            }
        }
        state.read.insert(place, read);
        self.turn.notify_one();
    }

    /// Waits for the directory whose turn it is; `None` if it went meanwhile, or nobody will read it.
    fn take(&self, place: &[u32]) -> Result<Option<Contents>, TreeError> {
        let mut state = self.lock();
        state.turn = place.to_vec();
        loop {
            if let Some(read) = state.read.remove(place) {
                if let Ok(Some(contents)) = &read {
                    state.ahead -= contents.rows.len();
                }
                return read;
            }
            if state.closed {
                return Ok(None);
            }
            self.work.notify_all();
            state = self.turn.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole when the lock goes.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn place_below(place: &[u32], number: u32) -> Place {
    [place, &[number]].concat()
}

/// Ends all work at the desk when it goes.
struct Closes<'d>(&'d Desk);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_all();
        self.0.turn.notify_all();
    }
}

/// Hands on what was read, each directory in its turn.
struct Turn<'t, 's, F> {
    scan: &'t Scan<'s>,
    desk: &'t Desk,
    rows: F,
    scanned: Scanned,
}

impl<E: From<TreeError>, F: FnMut(&[u8]) -> Result<(), E>> Turn<'_, '_, F> {
    /// Hands on what a directory holds; says whether it is there.
    fn directory(&mut self, place: &[u32]) -> Result<bool, E> {
        if self.scan.interrupt.raised().is_some() {
            return Ok(false);
        }
        let Some(contents) = self.desk.take(place)? else { return Ok(false) };
        self.scanned.rows += contents.count;
        self.scanned.checksums.extend(contents.checksums);
        self.scanned.warnings.extend(contents.warnings);
        let mut from = 0;
        for (number, row) in (0..).zip(contents.below) {
            (self.rows)(&contents.rows[from..row.start])?;
            from = row.start;
            if !self.directory(&place_below(place, number))? {
                // Its own row goes with it.
                self.scanned.rows -= 1;
                from = row.end;
            }
        }
        (self.rows)(&contents.rows[from..])?;
        Ok(true)
    }
}
