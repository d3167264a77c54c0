//! The directories of a module, and what stat said of each when it was last known to be as the list has it.
//!
//! ```text
//! qfm stamps 1
//! = <mtime> <ctime> <inode> <path>      the stamp of a directory
//! ? <path>                              a directory without one: it is read again
//! - <path>                              a directory that the list has no more
//! sha1 <hex>                            of the lines since the one before
//! ```
//!
//! A run adds what changed to the end. What stands later counts; when there is too much of that, the file is written anew. How long
//! it is, is known to what was applied: it fits nothing else.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use foldhash::fast::RandomState;

use super::sealed::{hash, invalid};
use super::{State, StateError};
use crate::path::{RelPath, RelPathBuf};
use crate::tree::Stamp;

const HEAD: &[u8] = b"qfm stamps 1\n";

/// The file is written anew when it is longer than so many times what it must be.
const SLACK: u64 = 2;

/// Directories by path, with their stamp if there is one.
type Known = HashMap<RelPathBuf, Option<Stamp>, RandomState>;

/// The directories of a module: each with its stamp, or without one if it must be read again.
#[derive(Clone, Debug, Default)]
pub struct Stamps(Known);

/// What a run found out about directories: those that it did not look at are not here.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Directories of the list, with their stamp, if one is safe to keep.
    pub known: Known,
    /// Directories that the list has no more.
    pub gone: Vec<RelPathBuf>,
}

impl Stamps {
    /// Reads those of a module, from a file of this length.
    ///
    /// # Errors
    /// If they cannot be read back; then they are to be treated as absent, with a warning.
    pub fn read(state: &State, directory: &str, len: u64) -> Result<Stamps, StateError> {
        let path = file(state, directory);
        let failed = |error| StateError::io("cannot use the stamps in", &path)(error);
        let bytes = fs::read(&path).map_err(failed)?;
        let of_its_length = Some(bytes.as_slice()).filter(|bytes| bytes.len() as u64 == len);
        let parsed = of_its_length.and_then(|bytes| parse(bytes.strip_prefix(HEAD)?));
        parsed.ok_or_else(|| failed(invalid("it is not whole, or of another state")))
    }

    /// Saves what a run found out: adds it to the file of this length that this was read from, or writes all of it anew. Returns the
    /// length of the file.
    ///
    /// # Errors
    /// If it cannot be written; then what was applied does not fit it any more.
    pub fn write(mut self, news: News, state: &State, directory: &str, len: Option<u64>) -> Result<u64, StateError> {
        let path = file(state, directory);
        let failed = |error| StateError::io("cannot save the stamps in", &path)(error);
        let gone: Vec<RelPathBuf> = news.gone.into_iter().filter(|path| self.0.remove(path).is_some()).collect();
        let changed = news.known.into_iter().filter(|(path, stamp)| self.0.get(path) != Some(stamp));
        let changed: Known = changed.collect();
        if let Some(len) = len {
            let mut added = Vec::new();
            gone.iter().for_each(|path| line(&mut added, b"- ", path));
            render(&mut added, &changed);
            self.0.extend(changed);
            let whole = self.0.keys().map(|path| path.as_path().bytes().len() as u64 + 64).sum::<u64>();
            if added.is_empty() {
                return Ok(len);
            }
            if len + (added.len() as u64) < HEAD.len() as u64 + SLACK * whole {
                seal(&mut added, 0);
                return append(&path, len, &added).map_err(failed);
            }
        } else {
            self.0.extend(changed);
        }
        let mut text = HEAD.to_vec();
        render(&mut text, &self.0);
        seal(&mut text, HEAD.len());
        super::sealed::replace(&path, &[&text]).map_err(failed)?;
        Ok(text.len() as u64)
    }

    /// The stamp of a directory; `None` without one.
    pub fn of(&self, dir: RelPath<'_>) -> Option<Stamp> {
        self.0.get(dir.bytes()).copied().flatten()
    }

    /// Whether the list had the directory.
    pub fn knows(&self, dir: RelPath<'_>) -> bool {
        self.0.contains_key(dir.bytes())
    }

    /// The directories, in no order.
    pub fn dirs(&self) -> impl Iterator<Item = RelPath<'_>> {
        self.0.keys().map(RelPathBuf::as_path)
    }
}

fn file(state: &State, directory: &str) -> PathBuf {
    state.dir().join(format!("{directory}.stamps"))
}

fn render(text: &mut Vec<u8>, known: &Known) {
    for (path, stamp) in known {
        match stamp {
            Some(stamp) => {
                let numbers = format!("= {} {} {} ", stamp.mtime, stamp.ctime, stamp.inode);
                line(text, numbers.as_bytes(), path);
            }
            None => line(text, b"? ", path),
        }
    }
}

fn line(text: &mut Vec<u8>, head: &[u8], path: &RelPathBuf) {
    [head, path.as_path().bytes(), b"\n"].iter().for_each(|part| text.extend_from_slice(part));
}

fn seal(text: &mut Vec<u8>, from: usize) {
    let seal = format!("sha1 {}\n", hash(&text[from..]));
    text.extend_from_slice(seal.as_bytes());
}

fn append(path: &std::path::Path, len: u64, text: &[u8]) -> io::Result<u64> {
    let mut file = File::options().append(true).open(path)?;
    if file.metadata()?.len() != len {
        return Err(invalid("it changed under way"));
    }
    file.write_all(text)?;
    file.sync_all()?;
    Ok(len + text.len() as u64)
}

fn parse(mut text: &[u8]) -> Option<Stamps> {
    let mut stamps = Stamps::default();
    while !text.is_empty() {
        let end = if text.starts_with(b"sha1 ") { 0 } else { memchr::memmem::find(text, b"\nsha1 ")? + 1 };
        let (lines, rest) = text.split_at(end);
        let seal = format!("sha1 {}\n", hash(lines));
        text = rest.strip_prefix(seal.as_bytes())?;
        for line in lines.strip_suffix(b"\n")?.split(|&byte| byte == b'\n') {
            match line.split_at_checked(2)? {
                (b"= ", rest) => {
                    let (path, stamp) = stamp(rest)?;
                    stamps.0.insert(path, Some(stamp));
                }
                (b"? ", path) => drop(stamps.0.insert(self::path(path)?, None)),
                (b"- ", path) => drop(stamps.0.remove(&self::path(path)?)),
                _ => return None,
            }
        }
    }
    Some(stamps)
}

fn stamp(line: &[u8]) -> Option<(RelPathBuf, Stamp)> {
    let mut fields = line.splitn(4, |&byte| byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok();
    let (mtime, ctime, inode) = (number()?.parse().ok()?, number()?.parse().ok()?, number()?.parse().ok()?);
    Some((path(fields.next()?)?, Stamp { mtime, ctime, inode }))
}

fn path(bytes: &[u8]) -> Option<RelPathBuf> {
    Some(RelPath::of_dir(bytes).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use proptest::prelude::*;

    fn dir(path: &str) -> RelPathBuf {
        path_of(path).to_owned()
    }

    fn path_of(path: &str) -> RelPath<'_> {
        RelPath::of_dir(path.as_bytes()).unwrap()
    }

    fn news(known: &[(&str, Option<i64>)], gone: &[&str]) -> News {
        let stamp = |ctime| Stamp { mtime: -1, ctime, inode: 3 };
        News {
            known: known.iter().map(|(path, ctime)| (dir(path), ctime.map(stamp))).collect(),
            gone: gone.iter().map(|path| dir(path)).collect(),
        }
    }

    #[test]
    fn what_changed_is_added_and_counts() {
        let base = tempfile::tempdir().unwrap();
        let state = State::at(base.path(), Path::new("/srv"));
        state.create().unwrap();
        let many: Vec<String> = (0..100).map(|number| format!("a/{number}")).collect();
        let mut all = news(&[("", Some(1)), ("a", Some(2)), ("a b", None), ("sha1 b", Some(2))], &[]);
        all.known.extend(many.iter().map(|path| (RelPath::new(path.as_bytes()).unwrap().to_owned(), None)));
        let len = Stamps::default().write(all, &state, "fedora", None).unwrap();
        let read = Stamps::read(&state, "fedora", len).unwrap();
        assert_eq!(read.of(path_of("a")).unwrap().ctime, 2);
        assert!(read.of(path_of("a b")).is_none() && read.knows(path_of("a b")) && !read.knows(path_of("c")));
        assert_eq!(read.dirs().count(), 104);

        let longer = read.write(news(&[("a b", Some(4)), ("c", None)], &["a"]), &state, "fedora", Some(len)).unwrap();
        assert!(longer - len < 200, "nothing else is written");
        let read = Stamps::read(&state, "fedora", longer).unwrap();
        assert_eq!((read.of(path_of("a b")).unwrap().ctime, read.of(path_of("")).unwrap().ctime), (4, 1));
        assert!(!read.knows(path_of("a")) && read.knows(path_of("c")));
        assert!(Stamps::read(&state, "fedora", len).is_err(), "it fits what was applied last, and nothing else");

        let same = read.clone().write(news(&[("a b", Some(4))], &["x"]), &state, "fedora", Some(longer)).unwrap();
        assert_eq!(same, longer, "what is known is not written again");
        let mut len = longer;
        for ctime in 0..200 {
            let read = Stamps::read(&state, "fedora", len).unwrap();
            len = read
                .write(news(&[("a b", Some(1000 + ctime)), ("c", Some(ctime))], &[]), &state, "fedora", Some(len))
                .unwrap();
        }
        let read = Stamps::read(&state, "fedora", len).unwrap();
        assert_eq!((read.of(path_of("a b")).unwrap().ctime, read.of(path_of("c")).unwrap().ctime), (1199, 199));
        assert!(len < 20_000, "it does not grow for ever: {len}");
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let state = State::at(base.path(), Path::new("/srv"));
        state.create().unwrap();
        let len = Stamps::default().write(news(&[("", Some(1)), ("a", None)], &[]), &state, "m", None).unwrap();
        let whole = fs::read(file(&state, "m")).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(file(&state, "m"), &flipped).unwrap();
            assert!(Stamps::read(&state, "m", len).is_err(), "flipped at {at}");
            fs::write(file(&state, "m"), &whole[..at]).unwrap();
            assert!(Stamps::read(&state, "m", at as u64).is_err() || at == HEAD.len(), "cut at {at}");
        }
    }

    proptest! {
        // Each writes to a disk and waits for it.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_directories_are_read_back(
            dirs in proptest::collection::btree_map("[ -~\\t\u{e9}]{0,9}", proptest::option::of(any::<i64>()), 0..9),
            more in proptest::collection::btree_map("[ab]{1,2}", proptest::option::of(any::<i64>()), 0..9),
        ) {
            let base = tempfile::tempdir().unwrap();
            let state = State::at(base.path(), Path::new("/srv"));
            state.create().unwrap();
            let mut len = None;
            let mut stamps = Stamps::default();
            let mut expected = std::collections::BTreeMap::new();
            let mut dirs = dirs;
            // There is always the top.
            dirs.insert(String::new(), None);
            for round in [dirs, more] {
                let round = round.into_iter().filter(|(path, _)| RelPath::of_dir(path.as_bytes()).is_ok());
                let round: Vec<(String, Option<i64>)> = round.collect();
                let known: Vec<(&str, Option<i64>)> = round.iter().map(|(path, ctime)| (path.as_str(), *ctime)).collect();
                len = Some(stamps.write(news(&known, &[]), &state, "m", len).unwrap());
                expected.extend(round);
                stamps = Stamps::read(&state, "m", len.unwrap()).unwrap();
            }
            prop_assert_eq!(stamps.dirs().count(), expected.len());
            for (path, ctime) in &expected {
                let path = RelPath::of_dir(path.as_bytes()).unwrap();
                prop_assert_eq!(stamps.of(path).map(|stamp| stamp.ctime), *ctime);
            }
        }

        #[test]
        fn any_sealed_lines_are_judged_without_panic(lines in "([=?-] )?[0-9 -]{0,30}[a/\\n.]{0,9}\\n?", bytes: Vec<u8>) {
            let mut text = lines.into_bytes();
            seal(&mut text, 0);
            parse(&text);
            parse(&bytes);
        }
    }
}
