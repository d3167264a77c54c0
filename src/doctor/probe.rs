//! What a file system does with a file that has no name: it is made, looked at, and gone with its descriptor.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Access, FsWord, Mode, OFlags, access, fchmod, fstat, open, statfs};
use rustix::io::Errno;
use rustix::process::geteuid;
use uzers::get_user_by_uid;

use crate::exit::Status;
use crate::report::doctor::Check;
use crate::tree::Stamp;

/// File systems in memory.
const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6;

/// What was seen of a file without a name.
pub(super) struct Probe {
    /// The clock of the file system less the clock of this machine, nanoseconds.
    pub ahead: i64,
    /// Whether a mode that is set is the one that it has.
    pub keeps_modes: bool,
    /// Whether it can be locked.
    pub locks: bool,
}

/// Makes such a file in a directory. `None` where the file system makes none, but something can be written.
///
/// # Errors
/// If nothing can be written.
pub(super) fn probe(directory: &Path) -> io::Result<Option<Probe>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = match open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            access(directory, Access::WRITE_OK | Access::EXEC_OK)?;
            return Ok(None);
        }
        opened => File::from(opened?),
    };
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let there = Stamp::of(&fstat(&file)?).ctime;
    let mode = Mode::RUSR | Mode::RGRP;
    // What cannot be changed is not kept.
    let keeps_modes =
        fchmod(&file, mode).and_then(|()| fstat(&file)).is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode) == mode);
    Ok(Some(Probe {
        ahead: there.saturating_sub(i64::try_from(here.as_nanos()).unwrap_or(i64::MAX)),
        keeps_modes,
        locks: file.try_lock().is_ok(),
    }))
}

/// Whether a directory lies in memory.
pub(super) fn is_in_memory(directory: &Path) -> bool {
    statfs(directory).is_ok_and(|stat| [TMPFS, RAMFS].contains(&stat.f_type))
}

/// The nearest of a path and those above it that is there.
pub(super) fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"))
}

/// Whether something can be written to a directory, or to the one in which it would be made.
pub(super) fn writable(topic: &'static str, directory: &Path) -> Check {
    let (there, shown) = (nearest(directory), directory.display());
    match probe(there) {
        Ok(_) if there == directory => Check::ok(topic, shown, "can be written to"),
        Ok(_) => Check::ok(topic, shown, "not there yet, and can be made"),
        Err(error) => {
            let found = format!("nothing can be written to {}: {error}", there.display());
            let advice = if there == directory { give(there, &error) } else { make("mkdir -p", directory, &error) };
            Check::fail(topic, shown, Status::Local, found, advice)
        }
    }
}

/// What helps who may not make something: root makes it with this command, and gives it away. What is above it stays whose it is.
pub(super) fn make(command: &str, path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let (me, shown) = (name_of(geteuid().as_raw()), path.display());
            format!("run this as who runs qfm, or as root: {command} {shown} && chown {me} {shown}")
        }
        _ => give(nearest(path), error),
    }
}

/// What helps who may not write to something that is there.
pub(super) fn give(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied if is_of_system(path) => {
            format!("run this as who runs qfm, or set another directory: {shown} is the system's, and must stay so")
        }
        io::ErrorKind::PermissionDenied => {
            format!("run this as who runs qfm, or as root: chown {} {shown}", name_of(geteuid().as_raw()))
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "mount it for writing, or name it in ReadWritePaths= of the unit: `findmnt --target {shown}` shows its options"
            )
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("make room: `df {shown}`, `df -i {shown}`")
        }
        _ => format!("see what it is: ls -ld {shown}; findmnt --target {shown}"),
    }
}

/// Whether something is part of every system (hier(7)), and must not be given away.
fn is_of_system(path: &Path) -> bool {
    const WHOLE: [&str; 11] =
        ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"];
    const SHARED: [&str; 16] = [
        "/",
        "/home",
        "/media",
        "/mnt",
        "/opt",
        "/root",
        "/srv",
        "/tmp",
        "/var",
        "/var/cache",
        "/var/lib",
        "/var/log",
        "/var/spool",
        "/var/tmp",
        "/var/opt",
        "/var/www",
    ];
    WHOLE.iter().any(|whole| path.starts_with(whole)) || SHARED.iter().any(|shared| path == Path::new(shared))
}

/// A user by name, or by number where none has it.
pub(super) fn name_of(uid: u32) -> String {
    get_user_by_uid(uid).map_or_else(|| uid.to_string(), |user| user.name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_directory_of_the_system_is_given_away() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        for path in ["/", "/var/lib", "/var/log", "/srv", "/usr/share/mirror", "/etc"] {
            let advice = give(Path::new(path), &denied);
            assert!(!advice.contains("chown"), "{path}: {advice}");
        }
        for path in ["/srv/mirror", "/var/lib/qfm", "/mirror"] {
            let advice = give(Path::new(path), &denied);
            assert!(advice.contains("chown") && advice.ends_with(&format!(" {path}")), "{path}: {advice}");
        }
        let advice = make("mkdir -p", Path::new("/var/lib/qfm"), &denied);
        assert!(advice.contains("mkdir -p /var/lib/qfm && chown ") && advice.ends_with(" /var/lib/qfm"), "{advice}");
    }
}
