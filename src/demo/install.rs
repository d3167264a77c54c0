//! The one program that the demonstration needs from the system: rsync.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The version of rsync, which is installed first if it is not there. Programs are looked up in `path`.
pub fn rsync(path: &OsStr, root: bool, out: &mut dyn Write) -> anyhow::Result<String> {
    if let Some(version) = version(path)? {
        return Ok(version);
    }
    let apt: &[&str] = if root { &["apt-get"] } else { &["sudo", "-n", "apt-get"] };
    let install = [apt, &["install", "--yes", "--no-install-recommends", "rsync"]].concat();
    writeln!(out, "rsync is missing; installing it: {}", install.join(" "))?;
    // A fresh system has no package lists yet.
    if run(path, &install).is_err() {
        let update = [apt, &["update"]].concat();
        writeln!(out, "that failed; renewing the package lists first: {}", update.join(" "))?;
        run(path, &update)
            .and_then(|()| run(path, &install))
            .context("rsync is missing and could not be installed: install the package rsync, then run this again")?;
    }
    version(path)?.context("rsync was installed, but cannot be found in PATH")
}

/// What `rsync --version` says, or nothing if there is no rsync.
fn version(path: &OsStr) -> anyhow::Result<Option<String>> {
    match Command::new("rsync").arg("--version").env("PATH", path).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let mut words = text.split_whitespace().skip_while(|word| *word != "version");
            Ok(Some(words.nth(1).unwrap_or("unknown").to_owned()))
        }
        Ok(output) => bail!("rsync does not work: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot start rsync"),
    }
}

fn run(path: &OsStr, words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .env("PATH", path)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", words[0]))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}", words.join(" "), said.trim().lines().last().unwrap_or("it did not say why"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    /// A PATH with these scripts in it and the shell's own commands.
    fn path(scripts: &[(&str, &str)]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            add(&directory, name, script);
        }
        directory
    }

    fn add(directory: &TempDir, name: &str, script: &str) {
        let file = directory.path().join(name);
        fs::write(&file, format!("#!/bin/sh\nhere='{}'\n{script}\n", directory.path().display())).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    }

    fn ensure(path: &TempDir, root: bool) -> (anyhow::Result<String>, String) {
        let mut out = Vec::new();
        let result = rsync(path.path().as_os_str(), root, &mut out);
        (result, String::from_utf8(out).unwrap())
    }

    const RSYNC: &str = "echo 'rsync  version 3.4.1  protocol version 32'";
    /// Puts rsync there, but only with package lists.
    const APT: &str = "
        case $1 in
        update) : >$here/lists ;;
        install)
            [ -e $here/lists ] || { echo 'E: Unable to locate package rsync' >&2; exit 100; }
            printf '#!/bin/sh\necho rsync  version 3.4.1\n' >$here/rsync
            /bin/chmod +x $here/rsync ;;
        esac";

    #[test]
    fn what_is_there_is_not_installed() {
        let (version, said) = ensure(&path(&[("rsync", RSYNC)]), true);
        assert_eq!((version.unwrap().as_str(), said.as_str()), ("3.4.1", ""));
    }

    #[test]
    fn root_installs_it_with_package_lists_if_need_be() {
        let (version, said) = ensure(&path(&[("apt-get", APT)]), true);
        assert_eq!(version.unwrap(), "3.4.1");
        assert!(said.contains("installing it: apt-get install") && said.contains("apt-get update"), "{said}");
    }

    #[test]
    fn others_ask_sudo_which_must_not_ask_back() {
        let (version, said) = ensure(&path(&[("apt-get", APT), ("sudo", "[ $1 = -n ] && shift && \"$@\"")]), false);
        assert_eq!(version.unwrap(), "3.4.1");
        assert!(said.contains("installing it: sudo -n apt-get install"), "{said}");
    }

    #[test]
    fn the_error_says_what_to_do() {
        for scripts in [&[][..], &[("sudo", "echo 'sudo: a password is required' >&2; exit 1")][..]] {
            let (version, _) = ensure(&path(scripts), false);
            let error = format!("{:#}", version.unwrap_err());
            assert!(error.contains("install the package rsync"), "{error}");
        }
    }
}
