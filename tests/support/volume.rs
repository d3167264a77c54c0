//! Small file systems of their own, in a mount namespace of their own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::geteuid;

/// Mounted file systems, seen by whoever runs through [`Volumes::prefix`] only, until this is dropped.
pub struct Volumes {
    /// Keeps the namespace while its standard input is open.
    holder: Child,
}

impl Volumes {
    /// Mounts a tmpfs with these options on each of these directories. `None`, which is said, where the tests may not mount: only root
    /// may, and may everywhere, unless `QFM_TEST_NO_MOUNTS=1` says that it may not.
    pub fn mount(mounts: &[(&Path, &str)]) -> Option<Volumes> {
        if !geteuid().is_root() || std::env::var_os("QFM_TEST_NO_MOUNTS").is_some() {
            eprintln!("SKIPPED: mounting needs root; file systems of their own were not tested");
            return None;
        }
        let mut script = String::from("set -e\n");
        for (path, options) in mounts {
            script.push_str(&format!("mount -t tmpfs -o mode=755,{options} tmpfs {path:?}\n"));
        }
        script.push_str("echo mounted\nexec cat\n");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare of util-linux");
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().expect("its output")).read_line(&mut line).expect("its output");
        assert_eq!(line, "mounted\n", "root cannot mount here; QFM_TEST_NO_MOUNTS=1 leaves out what needs it");
        Some(Volumes { holder })
    }

    /// What stands before a command that sees them.
    pub fn prefix(&self) -> Vec<OsString> {
        ["nsenter", &format!("--target={}", self.holder.id()), "--mount"].map(OsString::from).to_vec()
    }

    /// Mounts one of them anew with other options.
    pub fn remount(&self, path: &Path, options: &str) {
        self.run("mount", &["-o", &format!("remount,{options}"), &path.display().to_string()]);
    }

    /// Runs a command that sees them, which must end well.
    pub fn run(&self, program: &str, arguments: &[&str]) {
        let prefix = self.prefix();
        let status = Command::new(&prefix[0]).args(&prefix[1..]).arg(program).args(arguments).status();
        assert!(status.expect("nsenter of util-linux").success(), "{program} {arguments:?}");
    }

    /// Where a path that lies on one of them can be seen from everywhere.
    pub fn seen(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), path.display()))
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // It ends with its input.
        self.holder.wait().ok();
    }
}
