//! The time file of quick-fedora-mirror, which is that program's lock too.
//!
//! That program locks it as `zsystem flock` of zsh does: by a record lock (`fcntl`) on all of the file. Such a lock goes when its process
//! closes *any* descriptor of the file, so it is opened once, and all that is done to it is done through that.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use regex::bytes::Regex;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use super::StateError;

/// A file that is larger tells no time.
const LARGEST: u64 = 4096;

/// What is said of a file that tells no time.
const UNUSABLE: &str = "cannot use the time in the time file (setting time_file)";

/// Another process may put a new file in the place of the one that was opened: so often that is looked at again.
const OPENINGS: u32 = 3;

/// The last run of all modules that ended well, as a time file tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTime {
    /// The mirror has been in step with upstream as it was then, seconds since the epoch.
    pub time: i64,
    /// When that was written, nanoseconds since the epoch: the run was over.
    pub written: i64,
}

/// The time file, locked until this is dropped.
#[derive(Debug)]
pub struct TimeFile {
    file: File,
    path: PathBuf,
}

impl TimeFile {
    /// Locks the file at `path`, without waiting; it is made where it is not there.
    ///
    /// # Errors
    /// [`StateError::TimeFileLocked`] if another process has it.
    pub fn lock(path: &Path) -> Result<TimeFile, StateError> {
        let taken = || StateError::TimeFileLocked { path: path.to_owned() };
        for _ in 0..OPENINGS {
            let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
            let file = file.map_err(StateError::io("cannot open the time file (setting time_file)", path))?;
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, path) => return Ok(TimeFile { file, path: path.to_owned() }),
                // What is locked is a file that was there before.
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => return Err(taken()),
                Err(error) => {
                    return Err(StateError::io("cannot lock the time file (setting time_file)", path)(error.into()));
                }
            }
        }
        Err(taken())
    }

    /// What the file tells, as of `now`, seconds since the epoch; `None` if it tells nothing.
    ///
    /// # Errors
    /// If it cannot be read, or tells something else than a time that has been.
    pub fn last(&self, now: i64) -> Result<Option<LastTime>, StateError> {
        last(&self.file, now).map_err(StateError::io(UNUSABLE, &self.path))
    }

    /// The same without the lock, and without making the file. Not for a process that has the lock, which would lose it.
    ///
    /// # Errors
    /// As [`TimeFile::last`].
    pub fn last_at(path: &Path, now: i64) -> Result<Option<LastTime>, StateError> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.and_then(|file| last(&file, now)).map_err(StateError::io(UNUSABLE, path)),
        }
    }

    /// Writes that the mirror is in step with upstream as it was at `time`, seconds since the epoch; what stood there is kept beside it, as
    /// `<name>.prev`. In place: a new file would not be the one that is locked. That program reads it by running it as shell.
    ///
    /// # Errors
    /// If either cannot be written.
    pub fn write(&self, time: i64) -> Result<(), StateError> {
        let mut previous = self.path.clone().into_os_string();
        previous.push(".prev");
        let keep = || {
            let mut text = vec![0; usize::try_from(self.file.metadata()?.len()).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut text, 0)?;
            let mut beside = tempfile::NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new("/")))?;
            beside.write_all(&text)?;
            beside.as_file().set_permissions(self.file.metadata()?.permissions())?;
            beside.as_file().sync_all()?;
            beside.persist(&previous).map_err(|error| error.error).map(drop)
        };
        keep().map_err(StateError::io("cannot keep what was in the time file as", &previous))?;
        let text = format!("LASTTIME={time}\n");
        let written = self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.set_len(text.len() as u64));
        written.and_then(|()| self.file.sync_all()).map_err(StateError::io("cannot write the time file", &self.path))
    }

    /// Whether another process has the lock. Nothing is made or kept locked by asking.
    pub fn is_locked(path: &Path) -> bool {
        let refused = |file: File| fcntl_lock(&file, FlockOperation::NonBlockingLockShared).err();
        // What cannot be opened is told of by a run that needs it.
        File::open(path).is_ok_and(|file| matches!(refused(file), Some(Errno::AGAIN | Errno::ACCESS)))
    }
}

fn last(file: &File, now: i64) -> io::Result<Option<LastTime>> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let stat = file.metadata()?;
    if stat.len() > LARGEST {
        return Err(odd("it is too large to be one"));
    }
    let mut text = vec![0; stat.len() as usize];
    file.read_exact_at(&mut text, 0)?;
    let time = time_in(&text).map_err(|()| odd("it is not LASTTIME= and seconds since the epoch"))?;
    if time.is_some_and(|time| time > now) {
        return Err(odd("its time is yet to come"));
    }
    let written = stat.mtime().saturating_mul(1_000_000_000).saturating_add(stat.mtime_nsec());
    Ok(time.map(|time| LastTime { time, written }))
}

/// The time that a time file tells: the last one, as where it is run. Empty lines, comments, quotes, `export` and `;` at the end are what
/// a shell takes them for; all else may be a program, which is not run.
fn time_in(text: &[u8]) -> Result<Option<i64>, ()> {
    let line = r#"(?-u)^(?:export[ \t]+)?LASTTIME=(?:([0-9]+)|"([0-9]+)"|'([0-9]+)')[ \t]*;?(?:[ \t]+#.*)?$"#;
    let line = Regex::new(line).map_err(drop)?;
    let time = |text: &[u8]| {
        let found = line.captures(text)?;
        let digits = found.iter().skip(1).flatten().next()?;
        str::from_utf8(digits.as_bytes()).ok()?.parse().ok()
    };
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    lines.map(time).try_fold(None, |_, time| time.map(Some).ok_or(()))
}

/// Whether an open file is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |stat: io::Result<fs::Metadata>| stat.map(|stat| (stat.dev(), stat.ino()));
    matches!((identity(file.metadata()), identity(fs::metadata(path))), (Ok(open), Ok(there)) if open == there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_digits_and_nothing_else_is_guessed() {
        for (text, time) in [
            ("", None),
            ("# nothing yet\n\n", None),
            ("LASTTIME=1700000000\n", Some(1_700_000_000)),
            ("LASTTIME=1700000000", Some(1_700_000_000)),
            ("  LASTTIME=\"17\" \r\n# old\nLASTTIME='18'\n", Some(18)),
            ("export LASTTIME=17\n", Some(17)),
            ("LASTTIME=17;\n", Some(17)),
            ("export\tLASTTIME='17' ; # by hand, ü\n", Some(17)),
            ("LASTTIME=17 # of Monday", Some(17)),
        ] {
            assert_eq!(time_in(text.as_bytes()), Ok(time), "{text:?}");
        }
        for text in [
            "LASTTIME=",
            "LASTTIME=-5",
            "LASTTIME=+5",
            "LASTTIME=1e9",
            "LASTTIME=\"17'",
            "LASTTIME=$(date +%s)",
            "LASTTIME=99999999999999999999",
            "LASTTIME=17; rm -rf /",
            "LASTTIME=17 rm",
            "LASTTIME=17#18",
            "LASTTIME=17;LASTTIME=18",
            "exportLASTTIME=17",
            "LASTTIME= 17",
            "LASTTIME=17 # no\nreboot",
            "1700000000",
            "lasttime=17",
            "LASTTIME=17\nOTHER=1",
            "LASTTIME=17\0",
        ] {
            assert_eq!(time_in(text.as_bytes()), Err(()), "{text:?}");
        }
    }
}
