//! Files that runs read or write beside the mirror: what opens a door, the log, and the traces.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Mirror;
use super::probe::{give, make, probe, writable};
use crate::config::{Config, Password, Place, Url, Way, kept};
use crate::exit::Status;
use crate::report::doctor::Check;
use crate::report::log::file::LogFile;

pub(super) fn checks(mirror: &Mirror) -> Vec<Check> {
    let mut checks: Vec<Check> = mirror.config.log_file.iter().map(|log| of_log(log)).collect();
    let traces = mirror.config.trace.iter().flat_map(|trace| [&trace.file, &trace.in_progress]).flatten();
    checks.extend(traces.map(|place| {
        let path = match place {
            Place::Inside { directory, path } => mirror.root.join(directory).join(path.as_path().to_string()),
            Place::Elsewhere(path) => path.clone(),
        };
        writable("trace", path.parent().unwrap_or(&path))
    }));
    checks
}

/// It is written to where it is there, and made where it is not. Where neither can be, runs go on without it.
fn of_log(log: &Path) -> Check {
    let (shown, directory) = (log.display(), log.parent().unwrap_or(log));
    let wrong = |found: String, advice| Check::warn("log", &shown, found, advice);
    if !log.exists() {
        return match probe(directory) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                wrong(format!("cannot be made: {error}"), make("touch", log, &error))
            }
            _ => writable("log", directory).at_most_warn(),
        };
    }
    match LogFile::existing(log) {
        Ok(_) => Check::ok("log", shown, "can be written to"),
        Err(error) => wrong(format!("cannot be written to: {error}"), give(log, &error)),
    }
}

/// Files with passwords, keys and addresses that trigger. The configuration is refused where others can read them.
pub(super) fn credentials(config: &Config) -> Vec<Check> {
    let mut files: Vec<(String, &Path)> = Vec::new();
    files.extend(config.rsync.password_file.iter().map(|path| ("rsync.password_file".to_owned(), path.as_path())));
    if let Some(Password::In(path)) = config.check_in.as_ref().map(|check_in| &check_in.password) {
        files.push(("checkin.password_file".to_owned(), path));
    }
    for downstream in config.push.iter().flat_map(|push| &push.downstreams) {
        if let Way::Url(Url::In(path)) = &downstream.way {
            files.push((format!("downstream.{}.url_file", downstream.name), path));
        }
    }
    // A `~/` is ssh's to read.
    let key = config.push.as_ref().and_then(|push| push.key.as_deref()).filter(|key| key.is_absolute());
    files.extend(key.map(|key| ("push.key".to_owned(), key)));
    files.into_iter().map(|(setting, path)| credential(&setting, path)).collect()
}

fn credential(setting: &str, path: &Path) -> Check {
    const TOPIC: &str = "credentials";
    let shown = path.display();
    let opened = kept::open(path).and_then(|file| file.metadata());
    match opened {
        Err(error) => {
            let found = format!("{shown} cannot be read: {error}");
            Check::fail(TOPIC, setting, Status::Local, found, give(path, &error))
        }
        Ok(stat) if fs::Permissions::mode(&stat.permissions()) & 0o006 != 0 => {
            Check::warn(TOPIC, setting, format!("others can read {shown}"), format!("chmod o-rwx {shown}"))
        }
        Ok(_) => Check::ok(TOPIC, setting, format!("{shown} can be read, and not by others")),
    }
}
