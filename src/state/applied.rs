//! What was applied of a module's list: by which settings, what is still open, and how far the rolling check is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::sealed::{self, invalid};
use super::{State, StateError};
use crate::path::{RelPath, RelPathBuf};
use crate::plan::filter::Selection;
use crate::plan::guard::{Peak, Unusual};
use crate::plan::{self, Amount, DeleteCause, Earlier};

const WHAT: &str = "applied";
const VERSION: u32 = 4;

/// What was applied of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The settings that decided what of the list is carried.
    pub selection: Selection,
    /// Which file the saved list was.
    pub list: Identity,
    /// What of it is carried.
    pub carried: Amount,
    /// The most that was carried within a day.
    pub peak: Peak,
    /// The number of the oldest release that is carried, where the settings count releases.
    pub oldest_release: Option<u64>,
    /// How long the file with its stamps is.
    pub stamps: u64,
    /// What was compared, and when.
    pub checked: Checked,
    /// The list was so new when it was fetched that a change right after may have left its size and time as they were.
    pub racy_list: bool,
    /// Rows of the list that could not be read, and were not in the list before it as they are.
    pub doubtful_rows: usize,
    /// What the guard first held deletions for that are pending still.
    pub held: Vec<Unusual>,
    /// Paths of the list that upstream could not deliver.
    pub undelivered: Vec<RelPathBuf>,
    /// Paths of the list that do not come because directories are held in their way, or in the way of what they may lead to.
    pub held_back: Vec<RelPathBuf>,
    /// Links of the list that lead out of the tree, and were left out.
    pub left_out: Vec<RelPathBuf>,
    /// Public paths that others cannot read here, although rsync was asked for them: an option of the admin's or the file system closes
    /// them. `None` if they are too many to be remembered: then modes are not looked at.
    pub closed: Option<Vec<RelPathBuf>>,
    /// Local paths that should go and are still here.
    pub pending: Vec<Pending>,
    /// How many entries these are, for each cause, where the settings say that nothing is deleted.
    pub kept: BTreeMap<&'static str, u64>,
}

/// When the directories and files of a module were last compared, whatever their stamps say. Times are seconds since the epoch; those of
/// the clock of the tree's file system are nanoseconds, and `None` where that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// When all of them had been.
    pub all: i64,
    /// When some of them were, after that.
    pub last: i64,
    /// Up to which directory, in the order of paths, they were, after that.
    pub up_to: Option<RelPathBuf>,
    /// So many directories were, after that, of so many; known where `up_to` is.
    pub round: Option<(u64, u64)>,
    /// After this moment of the file system's clock all of them were.
    pub settled: Option<i64>,
    /// After this one those up to `up_to` were.
    pub began: Option<i64>,
    /// What others changed before this one was asked of rsync, at least by size and time.
    pub asked: Option<i64>,
    /// The oldest change of others that those up to `up_to` were left with, unread.
    pub unread: Option<i64>,
    /// So many bytes that others touched were compared by content, since all had been compared.
    pub read: u64,
}

impl Checked {
    /// All of them were compared by a run at `now`, after the moment `clock` of the file system's clock.
    pub fn now(now: i64, clock: Option<i64>) -> Checked {
        Checked { all: now, last: now, settled: clock, began: clock, asked: clock, ..Checked::default() }
    }

    /// The same for the last of them, the others having been compared since this check began.
    #[must_use]
    pub fn completed(&self, now: i64, clock: Option<i64>) -> Checked {
        let asked = self.began.or(self.asked);
        let settled = self.began.or(self.settled).map(|began| self.unread.map_or(began, |ctime| ctime.min(began)));
        // What changed after this check began is asked about once more.
        let unread = self.unread.filter(|ctime| Some(*ctime) >= asked);
        Checked { settled, asked, unread, ..Checked::now(now, clock) }
    }

    /// A change of others was found, of this moment, and its content not read: it stays in doubt.
    pub fn leave(&mut self, ctime: i64) {
        self.settled = self.settled.map(|settled| settled.min(ctime));
        if self.up_to.is_some() {
            self.unread = Some(self.unread.map_or(ctime, |oldest| oldest.min(ctime)));
        }
    }

    /// Whether changes of others are known that were not read.
    pub fn is_in_doubt(&self) -> bool {
        self.unread.is_some() || self.settled < self.asked
    }
}

/// A local path that should go and is still here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The path in the module, as the file system has it.
    pub path: Vec<u8>,
    /// Why it should go.
    pub cause: DeleteCause,
    /// When that was first seen, seconds since the epoch.
    pub since: i64,
    /// Why it is.
    pub earlier: Earlier,
}

/// Which file a list was: enough to notice that another took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    inode: u64,
    size: u64,
    mtime: i64,
    mtime_nanoseconds: i64,
}

impl Identity {
    /// The identity of the list at `path`; `None` if there is none.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(path: &Path) -> io::Result<Option<Identity>> {
        match fs::metadata(path) {
            Ok(stat) => Ok(Some(Identity {
                inode: stat.ino(),
                size: stat.len(),
                mtime: stat.mtime(),
                mtime_nanoseconds: stat.mtime_nsec(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// When upstream made the list, seconds since the epoch.
    pub fn mtime(&self) -> i64 {
        self.mtime
    }
}

/// The first line of the file's text.
#[derive(Serialize, Deserialize)]
struct Head {
    selection: Selection,
    list: Identity,
    carried: Amount,
    peak: Peak,
    oldest_release: Option<u64>,
    stamps: u64,
    settled: Option<i64>,
    #[serde(default)]
    began: Option<i64>,
    #[serde(default)]
    asked: Option<i64>,
    #[serde(default)]
    unread: Option<i64>,
    #[serde(default)]
    read: u64,
    #[serde(default)]
    round: Option<(u64, u64)>,
    all_checked: i64,
    last_checked: i64,
    racy_list: bool,
    doubtful_rows: usize,
    held: Vec<Unusual>,
    #[serde(default)]
    many_closed: bool,
    #[serde(default)]
    kept: BTreeMap<String, u64>,
}

impl Applied {
    /// Whether anything waits for a run at `now` (seconds since the epoch) even if the list does not change. What should go waits
    /// where deletions happen at all, unless it stays for the time `after`; and where they do not, until it was counted.
    pub fn is_open(&self, deletes: bool, after: Duration, now: i64) -> bool {
        let is_due = |it: &Pending| it.earlier == Earlier::Held || !plan::stays(it.cause, it.since, now, after);
        let waits = |it: &Pending| if deletes { is_due(it) } else { self.kept.is_empty() };
        self.lacking().next().is_some() || self.doubtful_rows > 0 || self.pending.iter().any(waits)
    }

    /// The paths of the list that are not here as it has them, and that each run tries to put in place.
    pub fn lacking(&self) -> impl Iterator<Item = RelPath<'_>> {
        self.undelivered.iter().chain(&self.held_back).map(RelPathBuf::as_path)
    }

    /// Whether anything of what is carried was put in place.
    pub fn has_put_any(&self) -> bool {
        self.carried.entries > (self.lacking().count() + self.left_out.len()) as u64
    }

    /// Whether what is carried under this path was put in place.
    pub fn has_put(&self, path: RelPath<'_>) -> bool {
        self.lacking().chain(self.left_out.iter().map(RelPathBuf::as_path)).all(|other| other != path)
    }

    /// Reads what was saved for a module. `None` if nothing was, or if the saved list is not the one that it was saved for.
    ///
    /// # Errors
    /// If it cannot be read back; then it is to be treated as absent, with a warning.
    pub fn read(state: &State, directory: &str, list: &Path) -> Result<Option<Applied>, StateError> {
        let Some(applied) = Applied::look(state, directory)? else { return Ok(None) };
        let identity = Identity::of(list).map_err(StateError::io("cannot look at", list))?;
        if identity != Some(applied.list) {
            let error = invalid("the saved list is not the one that it was saved for");
            return Err(cannot_use(state, directory)(error));
        }
        Ok(Some(applied))
    }

    /// Reads what was saved for a module, whatever list is there now: for who only looks, perhaps while a run puts others in their places.
    ///
    /// # Errors
    /// If it cannot be read back.
    pub fn look(state: &State, directory: &str) -> Result<Option<Applied>, StateError> {
        let failed = cannot_use(state, directory);
        let Some(text) = sealed::read(&file(state, directory), WHAT, VERSION).map_err(&failed)? else {
            return Ok(None);
        };
        Applied::parse(&text).map(Some).ok_or_else(|| failed(invalid("it is not in its format")))
    }

    /// Saves it for a module.
    ///
    /// # Errors
    /// If it cannot be written; then what was saved before still is, but for another list.
    pub fn write(&self, state: &State, directory: &str) -> Result<(), StateError> {
        let path = file(state, directory);
        let failed = |error| StateError::io("cannot save the state in", &path)(error);
        let text = self.render().map_err(|error| failed(error.into()))?;
        sealed::write(&path, WHAT, VERSION, &text).map_err(failed)
    }

    fn render(&self) -> serde_json::Result<Vec<u8>> {
        let head = Head {
            selection: self.selection.clone(),
            list: self.list,
            carried: self.carried,
            peak: self.peak,
            oldest_release: self.oldest_release,
            stamps: self.stamps,
            settled: self.checked.settled,
            began: self.checked.began,
            asked: self.checked.asked,
            unread: self.checked.unread,
            read: self.checked.read,
            round: self.checked.round,
            all_checked: self.checked.all,
            last_checked: self.checked.last,
            racy_list: self.racy_list,
            doubtful_rows: self.doubtful_rows,
            held: self.held.clone(),
            many_closed: self.closed.is_none(),
            kept: self.kept.iter().map(|(&cause, &entries)| (cause.to_owned(), entries)).collect(),
        };
        let mut text = serde_json::to_vec(&head)?;
        text.push(b'\n');
        let mut line = |parts: &[&[u8]]| {
            parts.iter().for_each(|part| text.extend_from_slice(part));
            text.push(b'\n');
        };
        if let Some(path) = &self.checked.up_to {
            line(&[b"C ", path.as_path().bytes()]);
        }
        for path in &self.undelivered {
            line(&[b"U ", path.as_path().bytes()]);
        }
        for path in &self.held_back {
            line(&[b"B ", path.as_path().bytes()]);
        }
        for path in &self.left_out {
            line(&[b"L ", path.as_path().bytes()]);
        }
        for path in self.closed.iter().flatten() {
            line(&[b"M ", path.as_path().bytes()]);
        }
        for Pending { path, cause, since, earlier } in &self.pending {
            let kind: &[u8] = match earlier {
                Earlier::Held => b"H ",
                Earlier::Staying => b"S ",
                Earlier::Left | Earlier::Unseen => b"P ",
            };
            // A local name may hold LF.
            let since = since.to_string();
            line(&[
                kind,
                cause.word().as_bytes(),
                b" ",
                since.as_bytes(),
                b" ",
                BASE64_STANDARD.encode(path).as_bytes(),
            ]);
        }
        Ok(text)
    }

    fn parse(text: &[u8]) -> Option<Applied> {
        let mut lines = text.split(|&byte| byte == b'\n');
        let head: Head = serde_json::from_slice(lines.next()?).ok()?;
        let mut applied = Applied {
            selection: head.selection,
            list: head.list,
            carried: head.carried,
            peak: head.peak,
            oldest_release: head.oldest_release,
            stamps: head.stamps,
            checked: Checked {
                all: head.all_checked,
                last: head.last_checked,
                up_to: None,
                settled: head.settled,
                began: head.began,
                // A state of before that was known has asked about all.
                asked: head.asked.or(head.settled),
                unread: head.unread,
                read: head.read,
                round: head.round,
            },
            racy_list: head.racy_list,
            doubtful_rows: head.doubtful_rows,
            held: head.held,
            undelivered: Vec::new(),
            held_back: Vec::new(),
            left_out: Vec::new(),
            closed: (!head.many_closed).then(Vec::new),
            pending: Vec::new(),
            kept: head.kept.iter().filter_map(|(word, &n)| Some((DeleteCause::of_word(word)?.word(), n))).collect(),
        };
        for line in lines.filter(|line| !line.is_empty()) {
            match line.split_at_checked(2)? {
                (b"U ", path) => applied.undelivered.push(RelPath::new(path).ok()?.to_owned()),
                (b"B ", path) => applied.held_back.push(RelPath::new(path).ok()?.to_owned()),
                (b"L ", path) => applied.left_out.push(RelPath::new(path).ok()?.to_owned()),
                (b"M ", path) => applied.closed.as_mut()?.push(RelPath::new(path).ok()?.to_owned()),
                (kind @ (b"P " | b"H " | b"S "), rest) => {
                    let earlier = match kind {
                        b"H " => Earlier::Held,
                        b"S " => Earlier::Staying,
                        _ => Earlier::Left,
                    };
                    let (cause, rest) = std::str::from_utf8(rest).ok()?.split_once(' ')?;
                    let (since, path) = rest.split_once(' ')?;
                    let (path, cause) = (BASE64_STANDARD.decode(path).ok()?, DeleteCause::of_word(cause)?);
                    applied.pending.push(Pending { path, cause, since: since.parse().ok()?, earlier });
                }
                (b"C ", path) => applied.checked.up_to = Some(RelPath::of_dir(path).ok()?.to_owned()),
                _ => return None,
            }
        }
        Some(applied)
    }
}

fn cannot_use(state: &State, directory: &str) -> impl Fn(io::Error) -> StateError {
    let path = file(state, directory);
    move |error| StateError::io("cannot use the saved state in", &path)(error)
}

fn file(state: &State, directory: &str) -> PathBuf {
    state.dir().join(format!("{directory}.applied"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What was applied of a list in a directory, with something of everything.
    fn sample(dir: &Path) -> Applied {
        let list = dir.join("list");
        fs::write(&list, "list").unwrap();
        let path = |bytes: &'static [u8]| RelPath::new(bytes).unwrap().to_owned();
        Applied {
            selection: Selection { directory: "fedora".into(), exclude: vec!["debug".into()], ..Selection::default() },
            list: Identity::of(&list).unwrap().unwrap(),
            carried: Amount { entries: 12, bytes: 13 },
            peak: Peak { amount: Amount { entries: 14, bytes: 15 }, since: 16 },
            oldest_release: Some(42),
            stamps: 1234,
            checked: Checked {
                all: 17,
                last: 18,
                up_to: Some(path(b"a/b c")),
                settled: Some(7),
                began: Some(8),
                asked: Some(9),
                unread: Some(10),
                read: 11,
                round: Some((2, 5)),
            },
            racy_list: true,
            doubtful_rows: 3,
            held: vec![Unusual::TooMany { entries: 60, of: 100 }, Unusual::Headless(vec!["os".into()]), Unusual::Older],
            undelivered: vec![path(b"a b\xff")],
            held_back: vec![path(b"a/in the way"), path(b"a/repodata/repomd.xml")],
            left_out: vec![path(b"out"), path(b"a/out")],
            closed: Some(vec![path(b"a/closed")]),
            pending: [Earlier::Held, Earlier::Staying, Earlier::Left]
                .map(|earlier| Pending { path: b"x\ny".to_vec(), cause: DeleteCause::Gone, since: 5, earlier })
                .into(),
            kept: [("gone", 19)].into(),
        }
    }

    #[test]
    fn what_was_saved_is_read_back_for_the_same_list_only() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path(), Path::new("/srv"));
        state.create().unwrap();
        let (list, applied) = (dir.path().join("list"), sample(dir.path()));
        applied.write(&state, "fedora").unwrap();
        assert_eq!(Applied::read(&state, "fedora", &list).unwrap().unwrap(), applied);
        let checked = Checked { up_to: Some(RelPath::TOP.to_owned()), ..applied.checked };
        let top = Applied { checked, closed: None, ..applied };
        top.write(&state, "top").unwrap();
        assert_eq!(Applied::read(&state, "top", &list).unwrap().unwrap(), top);
        assert!(Applied::read(&state, "epel", &list).unwrap().is_none());

        fs::write(dir.path().join("other"), "list").unwrap();
        fs::rename(dir.path().join("other"), &list).unwrap();
        assert!(Applied::read(&state, "fedora", &list).is_err());
    }

    #[test]
    fn a_state_that_does_not_know_when_the_pass_began_is_read_on() {
        let dir = tempfile::tempdir().unwrap();
        let applied = sample(dir.path());
        let text = String::from_utf8_lossy(&applied.render().unwrap()).replace("\"began\":8,", "");
        let read = Applied::parse(text.as_bytes()).unwrap();
        assert_eq!(read.checked, Checked { began: None, ..applied.checked });
    }

    #[test]
    fn hostile_text_is_refused_without_panic() {
        for text in [&b""[..], b"{}", b"{}\nC a//b\n", b"null\nX\n", b"\xff"] {
            assert!(Applied::parse(text).is_none());
        }
    }

    /// A path of any bytes that a list may hold.
    fn any_path() -> impl Strategy<Value = RelPathBuf> {
        let path = proptest::collection::vec(any::<u8>(), 1..20);
        path.prop_filter_map("no path", |bytes| RelPath::new(&bytes).ok().map(RelPath::to_owned))
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_what_was_damaged_is_judged_without_panic(
            undelivered in proptest::collection::vec(any_path(), 0..4),
            pending in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..20), any::<i64>(), any::<bool>()), 0..4),
            up_to in proptest::option::of(any_path()),
            (entries, at, byte, cut) in any::<(u64, usize, u8, bool)>(),
        ) {
            let earlier = |held| if held { Earlier::Held } else { Earlier::Staying };
            let pending = pending.into_iter().map(|(path, since, held)| Pending {
                path,
                cause: DeleteCause::Gone,
                since,
                earlier: earlier(held),
            });
            let dir = tempfile::tempdir().unwrap();
            let applied = Applied { carried: Amount { entries, bytes: 13 }, undelivered, pending: pending.collect(), ..sample(dir.path()) };
            let applied = Applied { checked: Checked { up_to, ..applied.checked }, ..applied };
            let mut text = applied.render().unwrap();
            prop_assert_eq!(Applied::parse(&text), Some(applied));
            let at = at % text.len();
            if cut { text.truncate(at) } else { text[at] = byte }
            if let Some(read) = Applied::parse(&text) {
                prop_assert_eq!(Applied::parse(&read.render().unwrap()), Some(read));
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(bytes: Vec<u8>) {
            Applied::parse(&bytes);
        }
    }
}
