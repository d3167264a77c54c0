//! The mirror root: there, a directory, writable, and what its file system can do.

use std::path::PathBuf;

use super::probe::{give, probe};
use crate::config::Config;
use crate::exit::Status;
use crate::report::doctor::Check;

const TOPIC: &str = "root";

/// The second is the root without links, if it is there.
pub(super) fn checks(config: &Config) -> (Vec<Check>, Option<PathBuf>) {
    let shown = config.root.display();
    let refused =
        |found: String, advice: String| (vec![Check::fail(TOPIC, &shown, Status::Local, found, advice)], None);
    let root = match config.root.canonicalize() {
        Ok(root) if root.is_dir() => root,
        Ok(_) => return refused("is no directory".to_owned(), "set root to a directory".to_owned()),
        Err(error) => {
            let advice = format!("mount its volume, or make it: mkdir -p {shown} (qfm does not make it; setting root)");
            return refused(format!("cannot be used: {error}"), advice);
        }
    };
    let leads = if root == config.root { String::new() } else { format!(", which leads to {}", root.display()) };
    let mut checks = match probe(&root) {
        Ok(probed) => {
            let mut checks = vec![Check::ok(TOPIC, &shown, format!("can be written to{leads}"))];
            checks.extend(probed.is_none().then(|| {
                let found = "makes no files without a name (O_TMPFILE): runs read all directories, and not only those that changed";
                Check::warn(TOPIC, "file system", found, "keep the mirror on a local file system such as xfs, ext4 or btrfs")
            }));
            let keeps_modes = probed.as_ref().is_none_or(|probe| probe.keeps_modes);
            checks.extend((config.restricted && !keeps_modes).then(|| {
                let found = "does not keep modes, which alone keep from others what is restricted";
                Check::fail(
                    TOPIC,
                    "file system",
                    Status::Local,
                    found,
                    "keep the mirror on another one, or set restricted = false",
                )
            }));
            checks
        }
        Err(error) => {
            let found = format!("cannot be written to{leads}: {error}");
            vec![Check::fail(TOPIC, &shown, Status::Local, found, give(&root, &error))]
        }
    };
    checks.extend(not_there_for_others(&root));
    (checks, Some(root))
}

/// Whether those who serve the mirror, which are other users, can come in.
fn not_there_for_others(root: &std::path::Path) -> Option<Check> {
    use std::os::unix::fs::PermissionsExt;
    let is_closed = |path: &&std::path::Path| {
        let wanted = if *path == root { 0o005 } else { 0o001 };
        path.metadata().is_ok_and(|stat| stat.permissions().mode() & wanted != wanted)
    };
    let closed = root.ancestors().find(is_closed)?;
    let (mode, closed) = (if closed == root { "o+rx" } else { "o+x" }, closed.display());
    let found = format!("others cannot read it: {closed} is closed to them");
    let advice = format!("chmod {mode} {closed}, or see that the web server and rsyncd run as a user of its group");
    Some(Check::warn(TOPIC, "who serves", found, advice))
}
