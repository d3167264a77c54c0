//! The log file, which others may rotate at any time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// A file to which lines are appended. If it was renamed or removed since the last line, the next one goes to a new file at its path:
/// that is how logrotate works with `create`. With `copytruncate` the end of the file is where the next line goes anyway.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    options: OpenOptions,
    open: Option<File>,
    /// Only a part of the last line could be written.
    is_torn: bool,
    /// That lines are lost was said.
    is_said: bool,
}

impl LogFile {
    /// The file at this path, which is made where it is not there.
    pub fn new(path: &Path) -> LogFile {
        let mut options = appending();
        options.create(true);
        LogFile { path: path.to_owned(), options, open: None, is_torn: false, is_said: false }
    }

    /// The file at this path, which somebody else makes.
    ///
    /// # Errors
    /// If it is not there, or cannot be opened.
    pub fn existing(path: &Path) -> io::Result<LogFile> {
        let options = appending();
        let open = Some(open(&options, path)?);
        Ok(LogFile { options, open, ..LogFile::new(path) })
    }

    /// Appends a line, which ends with a line feed.
    ///
    /// # Errors
    /// If it is not in the file as a whole.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let is_torn = self.is_torn;
        let file = self.file()?;
        if is_torn {
            file.write_all(b"\n")?;
        }
        // One call, or lines of programs that write at once would run into each other.
        let written = file.write(line)?;
        let rest = file.write_all(&line[written..]);
        self.is_torn = written < line.len() && rest.is_err();
        rest
    }

    /// The file that is at the path now.
    fn file(&mut self) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|open| !is_at(open, &self.path)) {
            match open(&self.options, &self.path) {
                Ok(file) => (self.open, self.is_torn) = (Some(file), false),
                Err(error) if self.open.is_none() => return Err(error),
                // Nothing is lost in the old one, wherever that is now.
                Err(_) => {}
            }
        }
        self.open.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// To append, and never to wait: neither for somebody who reads a pipe, nor until there is room in it.
fn appending() -> OpenOptions {
    let mut options = File::options();
    // The flags of open(2) are ints.
    options.append(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    options
}

fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NXIO) => io::Error::other("it is a pipe that nobody reads, or a socket: name a file"),
        _ => error,
    })
}

/// Whether the file that a path leads to is this one.
fn is_at(open: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let [open, there] = [open.metadata(), fs::metadata(path)].map(|found| found.map(identity));
    open.is_ok_and(|open| there.is_ok_and(|there| open == there))
}

impl Write for LogFile {
    /// Takes a whole line. A log that cannot be written must not stop a mirror, nor lose a trigger: that is said once on standard error.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.append(line)
            && !std::mem::replace(&mut self.is_said, true)
        {
            let path = self.path.display();
            // Nowhere is left to say that standard error is gone.
            drop(writeln!(io::stderr(), "qfm: warning: lines are missing in the log file {path}: {error}"));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_file_that_was_renamed_or_removed_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let [path, old] = ["log", "log.1"].map(|name| directory.path().join(name));
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let mut log = LogFile::new(&path);
        assert!(!path.exists());
        log.append(b"a\n").unwrap();
        fs::rename(&path, &old).unwrap();
        log.append(b"b\n").unwrap();
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("a\n", "b\n"));
        fs::remove_file(&path).unwrap();
        log.append(b"c\n").unwrap();
        assert_eq!(read(&path), "c\n");
        // As with copytruncate.
        fs::write(&path, "").unwrap();
        log.append(b"d\n").unwrap();
        assert_eq!(read(&path), "d\n");
    }

    #[test]
    fn lines_go_to_the_old_file_where_no_new_one_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let [path, old] = ["log", "log.1"].map(|name| directory.path().join(name));
        fs::write(&path, "").unwrap();
        let mut log = LogFile::existing(&path).unwrap();
        fs::rename(&path, &old).unwrap();
        log.append(b"a\n").unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "a\n");
        fs::write(&path, "").unwrap();
        log.append(b"b\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "a\n");
    }

    #[test]
    fn a_pipe_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut log = LogFile::new(&path);
        assert!(log.append(b"a\n").unwrap_err().to_string().contains("nobody reads"));
        assert!(LogFile::existing(&path).is_err());
        let mut reader = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&path).unwrap();
        log.append(b"b\n").unwrap();
        let mut read = [0; 2];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"b\n");
        let full = std::iter::repeat_with(|| log.append(&[b'c'; 4096])).find_map(Result::err).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_full_disk_ends_nothing() {
        let mut log = LogFile::new(Path::new("/dev/full"));
        assert_eq!(log.append(b"a\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(log.write(b"a\n").unwrap(), 2);
        assert!(log.is_said);
    }
}
