//! The modules' directories: there or to be made, where links lead, what is mounted below, and whether hard links can be made.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::Mirror;
use super::probe::{give, name_of};
use crate::config::Module;
use crate::exit::Status;
use crate::report::doctor::Check;
use crate::state::Applied;
use crate::tree::walk::is_empty;
use crate::tree::{Root, TreeError};

const TOPIC: &str = "directory";

pub(super) fn checks(mirror: &Mirror) -> Vec<Check> {
    let mut checks: Vec<Check> = mirror.config.modules.iter().map(|module| of_module(mirror, module)).collect();
    checks.extend(links(mirror));
    checks.extend(mounts(mirror));
    checks
}

fn of_module(mirror: &Mirror, module: &Module) -> Check {
    let (path, name) = (mirror.root.join(&module.directory), &module.name);
    let shown = path.display();
    let failed = |found: String, advice: String| Check::fail(TOPIC, &shown, Status::Local, found, advice);
    let is_empty = match is_without_content(&path) {
        Ok(is_empty) => is_empty,
        Err(error) => return failed(format!("cannot be read: {}", error.source), give(&path, &error.source)),
    };
    if is_empty && was_filled(mirror, module) {
        let advice = format!("mount its volume; if it is to be filled anew, run once: qfm --full {name}");
        return failed("is empty or not there, and was filled by runs before".to_owned(), advice);
    }
    let Ok(stat) = fs::symlink_metadata(&path) else {
        return Check::ok(TOPIC, &shown, "not there yet: the first run makes it");
    };
    let me = rustix::process::geteuid().as_raw();
    // Who owns it can give himself the right.
    let is_own = fs::metadata(&path).is_ok_and(|stat| stat.uid() == me);
    if let Err(error) = access(&path, Access::WRITE_OK | Access::EXEC_OK)
        && !is_own
    {
        let error = io::Error::from(error);
        return failed(format!("cannot be written to: {error}"), give(&path, &error));
    }
    if !stat.is_symlink() {
        return Check::ok(TOPIC, &shown, if is_empty { "empty" } else { "has content" });
    }
    let found = match path.canonicalize() {
        Ok(target) => format!("a link to {}", target.display()),
        Err(error) => {
            return failed(
                format!("a link that leads nowhere: {error}"),
                "mount its volume, or mend the link".to_owned(),
            );
        }
    };
    if ![0, me].contains(&stat.uid()) {
        let found = format!("{found}, which belongs to {}", name_of(stat.uid()));
        return Check::warn(TOPIC, &shown, found, format!("rsync since 3.5 does not follow it: chown -h root {shown}"));
    }
    Check::ok(TOPIC, &shown, found)
}

fn is_without_content(path: &Path) -> Result<bool, TreeError> {
    match Root::open(path) {
        Ok(root) => is_empty(&root, |_| false).map_err(|error| TreeError::new("cannot read", path, error)),
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn was_filled(mirror: &Mirror, module: &Module) -> bool {
    let list = mirror.state.list(&module.directory, &module.list);
    // What cannot be read back is said where the state is looked at.
    match Applied::read(&mirror.state, &module.directory, &list) {
        Ok(Some(applied)) => applied.has_put_any(),
        Ok(None) | Err(_) => list.exists(),
    }
}

/// Whether hard links can be made between all modules.
fn links(mirror: &Mirror) -> Option<Check> {
    const SUBJECT: &str = "hard links";
    let mut apart: Vec<(u64, Vec<&str>)> = Vec::new();
    for module in &mirror.config.modules {
        let Ok(stat) = fs::metadata(mirror.root.join(&module.directory)).or_else(|_| fs::metadata(&mirror.root)) else {
            continue;
        };
        match apart.iter_mut().find(|(device, _)| *device == stat.dev()) {
            Some((_, directories)) => directories.push(&module.directory),
            None => apart.push((stat.dev(), vec![&module.directory])),
        }
    }
    match apart.as_slice() {
        _ if mirror.config.modules.len() < 2 => None,
        [] | [_] => Some(Check::ok(TOPIC, SUBJECT, "all modules are on one file system")),
        several => {
            let groups: Vec<String> = several.iter().map(|(_, directories)| directories.join(", ")).collect();
            let found = format!(
                "{} lie on different file systems: what they share upstream takes room in each",
                groups.join(" | ")
            );
            Some(Check::warn(
                TOPIC,
                SUBJECT,
                found,
                "put them on one file system, if upstream links between them (Fedora's fedora and archive)",
            ))
        }
    }
}

/// What is mounted in modules: runs leave it alone, and rsync does not know of it.
fn mounts(mirror: &Mirror) -> Vec<Check> {
    let directories: Vec<PathBuf> =
        mirror.config.modules.iter().map(|module| mirror.root.join(&module.directory)).collect();
    let table = match fs::read("/proc/self/mountinfo") {
        Ok(table) => table,
        Err(error) => return vec![Check::skipped(TOPIC, "mounts", error)],
    };
    let is_inside =
        |point: &PathBuf| directories.iter().any(|directory| point.starts_with(directory) && point != directory);
    let inside = mount_points(&table).into_iter().filter(is_inside);
    let check = |point: PathBuf| {
        let found =
            "something is mounted here: qfm deletes nothing in it, and cannot say whether what comes fits there";
        let advice = format!(
            "mount whole modules only, or leave it out by filter.exclude; umount {} if it is not meant",
            point.display()
        );
        Check::warn(TOPIC, point.display(), found, advice)
    };
    inside.map(check).collect()
}

/// The mount points in a table as proc(5) has it.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let points = table.split(|&byte| byte == b'\n').filter_map(|line| line.split(|&byte| byte == b' ').nth(4));
    points.map(|point| PathBuf::from(std::ffi::OsString::from_vec(unescape(point)))).collect()
}

/// Takes back that white space and backslashes stand there as `\040`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let octal = || std::str::from_utf8(behind.get(..3)?).ok().and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let escaped = if *first == b'\\' { octal() } else { None };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &behind[3..] } else { behind };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_what_is_escaped() {
        let table = b"22 1 0:20 / / rw - ext4 /dev/sda rw\n30 22 0:21 / /srv/a\\040b\\134c rw shared:1 - xfs x rw\n";
        assert_eq!(mount_points(table), [Path::new("/"), Path::new("/srv/a b\\c")]);
        assert!(mount_points(b"").is_empty());
        assert_eq!(unescape(b"\\9\\"), b"\\9\\");
    }
}
