//! Files that the configuration names: they are read without a wait, and those with a secret keep it from other users.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::error::Wrong;
use super::secret::Fingerprint;

/// A secret in a file that is shorter, in bytes, could be guessed.
const SHORTEST: usize = 16;

/// Opens a regular file: a pipe could hold up who opens it for ever.
///
/// # Errors
/// If it is not there, is no regular file, or may not be read.
pub fn open(path: &Path) -> io::Result<File> {
    // The flags of open(2) are ints.
    let file = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// What is in a regular file.
///
/// # Errors
/// As [`open`], and if it cannot be read to its end.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text in a regular file.
///
/// # Errors
/// As [`read`], and if it is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::other("it is not valid UTF-8"))
}

/// The secret in the first line of a file, as its fingerprint.
///
/// # Errors
/// If the file cannot be read, does not keep it, or has none that is long enough; nothing of what is in it is said.
pub fn fingerprint(path: &Path) -> Result<Fingerprint, Wrong> {
    check(path, "the secret")?;
    let text = read(path).map_err(|error| {
        Wrong::new(format!("cannot read {}: {error}", path.display()), "let the user who runs qfm read it")
    })?;
    let secret = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    if secret.len() < SHORTEST {
        let what = format!("the first line of {} is shorter than {SHORTEST} characters", path.display());
        return Err(Wrong::new(what, "it could be guessed: `qfm config trigger-url JOB` makes a secret"));
    }
    Ok(Fingerprint::of(secret))
}

/// Whether a file that rsync or others read keeps what is in it, and belongs to who runs qfm if that is root.
///
/// Rsync refuses such a file too, but only after it has connected, and in the middle of a run.
pub(super) fn check_owned(path: &Path, what: &str) -> Result<(), Wrong> {
    let metadata = check(path, what)?;
    if rustix::process::geteuid().is_root() && metadata.uid() != 0 {
        let shown = path.display();
        let wrong = format!("{shown} does not belong to root, who runs qfm");
        return Err(Wrong::new(wrong, format!("chown root {shown}")));
    }
    Ok(())
}

/// Whether there is a file, and it keeps what is in it.
///
/// # Errors
/// What is wrong with it, and what to do; `what` is what should be in it.
pub fn check(path: &Path, what: &str) -> Result<Metadata, Wrong> {
    let shown = path.display();
    let metadata = fs::metadata(path)
        .map_err(|error| Wrong::new(format!("cannot read {shown}: {error}"), format!("write {what} into it")))?;
    if !metadata.is_file() {
        return Err(Wrong::new(format!("{shown} is no regular file"), format!("name a file with {what}")));
    }
    check_mode(path, &metadata)?;
    Ok(metadata)
}

/// Whether others can neither read nor change a file.
pub(super) fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), Wrong> {
    let shown = path.display();
    if metadata.mode() & 0o006 != 0 {
        return Err(Wrong::new(format!("{shown} can be read or changed by others"), format!("chmod o-rwx {shown}")));
    }
    Ok(())
}
