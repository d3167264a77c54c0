//! The state directory: where it is, whether runs can use it, and whether what they left can be read back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Mirror;
use super::probe::{is_in_memory, nearest, probe, writable};
use crate::exit::Status;
use crate::report::doctor::Check;
use crate::state::Applied;

const TOPIC: &str = "state";

pub(super) fn checks(mirror: &Mirror) -> Vec<Check> {
    let directory = mirror.state.dir();
    let shown = directory.display().to_string();
    // Before the first run all is made in the directory that is set.
    let mut checks = vec![writable(TOPIC, if directory.exists() { directory } else { &mirror.config.state })];
    if let Err(error) = mirror.state.check_readable() {
        let error = format!("{:#}", anyhow::Error::new(error));
        checks.push(Check::fail(TOPIC, &shown, Status::Local, error, "run this as the user whose state it is"));
        return checks;
    }
    checks.extend(in_the_way(mirror));
    let there = nearest(directory);
    if is_in_memory(there) {
        let found =
            format!("{} is kept in memory: after the next start of this machine all is compared anew", there.display());
        checks.push(Check::warn(TOPIC, "file system", found, "let the setting `state` name a directory on a disk"));
    }
    if let Ok(Some(probe)) = probe(there)
        && !probe.locks
    {
        let found = format!("{} cannot be locked, and without that two runs could meet", there.display());
        let advice =
            "let the setting `state` name a directory on another file system, or mend the locks (NFS: rpc.statd)";
        checks.push(Check::fail(TOPIC, "locks", Status::Local, found, advice));
    }
    checks.extend(is_open(there));
    checks.push(apart(mirror, there));
    checks.extend(mirror.config.modules.iter().filter_map(|module| {
        let list = mirror.state.list(&module.directory, &module.list);
        let error = Applied::read(&mirror.state, &module.directory, &list).err()?;
        let found = format!("{:#}", anyhow::Error::new(error));
        Some(Check::warn(TOPIC, &module.name, found, "the next run compares everything, and writes it anew"))
    }));
    checks
}

/// Directories under the names of files without which every run ends.
fn in_the_way(mirror: &Mirror) -> Vec<Check> {
    let applied = mirror.config.modules.iter().map(|module| format!("{}.applied", module.directory));
    let names = ["runs", "spans"].map(str::to_owned).into_iter().chain(applied);
    let paths = names.map(|name| mirror.state.dir().join(name)).filter(|path| path.is_dir());
    let check = |path: PathBuf| {
        let shown = path.display();
        let advice = format!("move it away, and the next run makes its file: mv {shown} {shown}.old");
        Check::fail(TOPIC, &shown, Status::Local, "is a directory, where runs keep a file", advice)
    };
    paths.map(check).collect()
}

/// Whether others could put a state of their own in its place.
fn is_open(directory: &Path) -> Option<Check> {
    let mode = fs::metadata(directory).ok()?.permissions().mode();
    (mode & 0o1002 == 0o002).then(|| {
        let shown = directory.display();
        Check::warn(TOPIC, "who may write", format!("everybody may write to {shown}"), format!("chmod o-w {shown}"))
    })
}

/// Where it lies beside the mirror: lists are copied from one to the other, and links between the two are not needed.
fn apart(mirror: &Mirror, there: &Path) -> Check {
    let device = |path: &Path| fs::metadata(path).map(|stat| stat.dev());
    let found = match (device(there), device(&mirror.root)) {
        (Ok(own), Ok(root)) if own == root => "on the file system of the mirror root",
        _ => "on another file system than the mirror root: there must be room in both for the lists",
    };
    Check::ok(TOPIC, "place", found)
}
