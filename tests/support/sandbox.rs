//! Where commands that stand in README and manual run.
//!
//! What needs root, a service manager or a real upstream meets stand-ins: `sudo` runs the rest of its line, absolute paths lie in a
//! temporary directory, and upstream is a daemon on loopback. `qfm` is the real one.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex::Regex;
use tempfile::TempDir;

/// The program.
pub const QFM: &str = env!("CARGO_BIN_EXE_qfm");

/// Places that are made below the temporary directory.
const PLACES: [&str; 6] =
    ["/etc/systemd/system", "/etc/qfm", "/var/lib/qfm", "/srv/mirror/pub", "/srv/master/pub", "/usr/local"];

/// Where the commands of README and manual run.
pub struct Sandbox {
    directory: TempDir,
    upstream: String,
    current: PathBuf,
}

impl Sandbox {
    /// Commands start in the directory `current`, and meet the daemon at the URL `upstream`.
    pub fn new(current: &Path, upstream: String) -> Sandbox {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sandbox = Sandbox { directory, upstream, current: current.to_owned() };
        fs::create_dir(sandbox.path("bin")).expect("made");
        fs::create_dir(sandbox.path("tmp")).expect("made");
        sandbox.stand_in("sudo", "[ \"$1\" != -u ] || shift 2\nexec \"$@\"");
        for name in ["useradd", "chown", "systemctl"] {
            let log = sandbox.path("called");
            sandbox.stand_in(name, &format!("echo {name} \"$@\" >>'{}'", log.display()));
        }
        sandbox.stand_in(
            "cargo",
            &format!(
                "case \"$*\" in 'run --release -- demo') exec '{QFM}' demo;; 'build --release') ;; *) exit 64;; esac"
            ),
        );
        // The tests cannot run themselves; that the script can be read is all that is asked here.
        sandbox.stand_in("bash", "[ \"$*\" = .ci/test ] && exec /bin/bash -n .ci/test");
        sandbox
    }

    /// Where a place of the text is here.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name.trim_start_matches('/'))
    }

    /// Puts a script in the place of a program.
    pub fn stand_in(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("set");
    }

    /// The text with places and upstream as they are here.
    pub fn here(&self, text: &str) -> String {
        let mut text = text.replace("target/release/qfm", QFM);
        for place in PLACES {
            text = text.replace(place, &self.path(place).display().to_string());
        }
        text.replace("rsync://mirror.example.org/fedora-buffet", &self.upstream)
    }

    /// Runs a script as it stands in a text.
    pub fn run(&self, script: &str) -> Output {
        let mut search = OsString::new();
        for place in ["bin", "usr/local/bin"] {
            search.push(self.path(place));
            search.push(":");
        }
        search.push(std::env::var_os("PATH").expect("a PATH"));
        let mut command = Command::new("/bin/sh");
        command.arg("-eu").arg("-c").arg(self.here(script)).current_dir(&self.current);
        command.env_clear().env("PATH", search).env("HOME", self.directory.path()).env("TMPDIR", self.path("tmp"));
        command.env("QFM_CONFIG", self.path("/etc/qfm/qfm.toml")).env("QFM_STATE", self.path("/var/lib/qfm"));
        command.output().expect("a shell")
    }

    /// Does with the configuration what the README says: takes away the `#` and writes another value.
    pub fn edit(&self, block: &str) {
        let file = self.path("/etc/qfm/qfm.toml");
        let mut text = fs::read_to_string(&file).expect("the sample");
        for line in self.here(block).lines().filter(|line| !line.starts_with('[')) {
            let key = line.split(" = ").next().expect("a key");
            let default = Regex::new(&format!("(?m)^#{} = .*$", regex::escape(key))).expect("a pattern");
            assert!(default.is_match(&text), "the sample has no line for {key}");
            text = default.replace(&text, regex::NoExpand(line)).into_owned();
        }
        fs::write(&file, text).expect("written");
    }
}
