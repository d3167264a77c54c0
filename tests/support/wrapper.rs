//! A script named `rsync` that stands before the real one: it counts the calls and can disturb them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub struct Wrapper {
    directory: TempDir,
}

/// One call of rsync.
#[derive(Debug)]
pub struct Call {
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The names in the file given with `--files-from`, if there is one; they end with NUL.
    pub files_from: Option<Vec<Vec<u8>>>,
}

impl Wrapper {
    pub fn new() -> Wrapper {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let wrapper = Wrapper { directory };
        fs::create_dir(wrapper.records()).expect("a directory");
        fs::create_dir(wrapper.directory()).expect("a directory");
        let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
        let script = include_str!("rsync.sh")
            .replace("@calls@", &quoted(&wrapper.records()))
            .replace("@real@", &quoted(&real_rsync()));
        let path = wrapper.directory().join("rsync");
        fs::write(&path, script).expect("the script");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("the script");
        wrapper
    }

    /// The directory to put before the others in `PATH`.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().join("bin")
    }

    /// The script itself.
    pub fn program(&self) -> PathBuf {
        self.directory().join("rsync")
    }

    /// The calls until now. `rsync --help` and `--version` are none.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        // A call that is just being recorded is not complete.
        while let Ok(arguments) = fs::read(self.record(calls.len() + 1, "arguments")) {
            let files_from = fs::read(self.record(calls.len() + 1, "files-from")).ok();
            calls.push(Call {
                arguments: until_nul(&arguments).map(|bytes| OsString::from_vec(bytes.to_vec())).collect(),
                files_from: files_from.map(|names| until_nul(&names).map(<[u8]>::to_vec).collect()),
            });
        }
        calls
    }

    /// Shell commands that run before the `number`th call (from 1) of all; `exit` in them ends it.
    pub fn before(&self, number: usize, commands: &str) {
        fs::write(self.records().join(format!("before.{number}")), commands).expect("the commands");
    }

    /// Shell commands that run after the `number`th call (from 1) of all; its exit code is in `$status`.
    pub fn after(&self, number: usize, commands: &str) {
        fs::write(self.records().join(format!("after.{number}")), commands).expect("the commands");
    }

    /// The `number`th call ends with this code and does nothing.
    pub fn fail_before(&self, number: usize, code: u8) {
        self.before(number, &format!("echo 'rsync error: made up (code {code})' >&2; exit {code}"));
    }

    /// The `number`th call does all that it should, and then ends with this code.
    pub fn fail_after(&self, number: usize, code: u8) {
        self.after(number, &format!("echo 'rsync error: made up (code {code})' >&2; exit {code}"));
    }

    /// All calls until now, and what was laid down for any, are forgotten.
    pub fn forget(&self) {
        fs::remove_dir_all(self.records()).and_then(|()| fs::create_dir(self.records())).expect("no records");
    }

    /// Nothing that was laid down happens any more.
    pub fn leave_alone(&self) {
        for entry in fs::read_dir(self.records()).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name();
            if [&b"before."[..], b"after."].iter().any(|head| name.as_bytes().starts_with(head)) {
                fs::remove_file(entry.path()).expect("removed");
            }
        }
    }

    /// From now on it is an rsync older than 3.2.5, which does not know `--trust-sender`.
    pub fn refuse_trust_sender(&self) {
        fs::write(self.records().join("old"), "").expect("the mark");
    }

    fn records(&self) -> PathBuf {
        self.directory.path().join("calls")
    }

    fn record(&self, number: usize, name: &str) -> PathBuf {
        self.records().join(number.to_string()).join(name)
    }
}

impl Call {
    /// Whether an argument was given, exactly so.
    pub fn has(&self, argument: &str) -> bool {
        self.arguments.iter().any(|given| given == OsStr::new(argument))
    }

    /// Whether it fetches lists.
    pub fn is_for_lists(&self) -> bool {
        self.arguments.iter().any(|given| given.as_bytes().starts_with(b"--compare-dest="))
    }

    /// Whether it takes from another directory of this machine: what was fetched beside the tree.
    pub fn is_local(&self) -> bool {
        self.arguments.iter().rev().nth(1).is_some_and(|source| source.as_bytes().starts_with(b"/"))
    }

    /// The names that it asks for.
    pub fn names(&self) -> &[Vec<u8>] {
        self.files_from.as_deref().unwrap_or_default()
    }
}

/// The pieces that end with NUL.
fn until_nul(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == 0).map(|piece| piece.strip_suffix(&[0]).unwrap_or(piece))
}

fn real_rsync() -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let found = std::env::split_paths(&path).map(|directory| directory.join("rsync")).find(|path| path.is_file());
    found.expect("the tests need rsync: apt-get install rsync")
}
