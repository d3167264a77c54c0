//! A mirror in a temporary directory, and runs of the real binary on it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use qfm::demo::clean_environment;
use qfm::exit::Status;
use tempfile::TempDir;

use super::{Volumes, Wrapper};

/// A run that takes longer is killed: every run has to end.
const RUN_TAKES: Duration = Duration::from_secs(120);

pub struct Mirror {
    directory: TempDir,
    /// The mirror root.
    pub root: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
    lines: String,
    path: Option<OsString>,
    prefix: Vec<OsString>,
}

impl Mirror {
    /// An empty mirror of some modules, such as `fedora-enchilada`.
    pub fn new(upstream: &str, modules: &[&str]) -> Mirror {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().join("mirror");
        let state = directory.path().join("state");
        fs::create_dir(&root).expect("the mirror root");
        let mut mirror = Mirror {
            config: directory.path().join("qfm.toml"),
            directory,
            root,
            state,
            lines: String::new(),
            path: None,
            prefix: Vec::new(),
        };
        mirror.configure(upstream, modules, "rsync.retry_delay = \"10ms\"");
        mirror
    }

    /// Writes the configuration anew; `extra` are lines of TOML, with dotted keys for what stands in a table.
    pub fn configure(&mut self, upstream: &str, modules: &[&str], extra: &str) {
        self.lines = String::new();
        writeln!(self.lines, "upstream = {upstream:?}").expect("a string");
        writeln!(self.lines, "root = {:?}", self.root).expect("a string");
        writeln!(self.lines, "state = {:?}", self.state).expect("a string");
        writeln!(self.lines, "modules = {modules:?}").expect("a string");
        self.add(extra);
    }

    /// Adds lines to the configuration.
    pub fn add(&mut self, extra: &str) {
        writeln!(self.lines, "{extra}").expect("a string");
        // A wrapper writes down what it is called for, and what it disturbs lies anywhere.
        let confine = if self.path.is_some() { "rsync.confine = false\n" } else { "" };
        fs::write(&self.config, format!("{confine}{}", self.lines)).expect("the configuration");
    }

    /// A file beside the configuration that only its owner may read.
    pub fn private(&self, name: &str, text: &str) -> PathBuf {
        let path = self.config.with_file_name(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        path
    }

    /// From now on the program finds this rsync first, and does not confine it.
    pub fn call_rsync_through(&mut self, wrapper: &Wrapper) {
        let mut path = wrapper.directory().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").expect("a PATH"));
        self.path = Some(path);
        self.add("");
    }

    /// From now on the program sees these file systems.
    pub fn run_on(&mut self, volumes: &Volumes) {
        self.prefix = volumes.prefix();
    }

    /// The directory of a module.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// The command of one run, for a test that starts it itself.
    pub fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let program = OsString::from(env!("CARGO_BIN_EXE_qfm"));
        let mut words = self.prefix.iter().chain([&program]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words);
        clean_environment(&mut command, self.directory.path());
        command.arg("--config").arg(&self.config).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
    }

    /// One run, to its end.
    pub fn run(&self, args: &[&str]) -> RunResult {
        self.run_with(&[], args)
    }

    /// One run with these variables in its environment, to its end.
    pub fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> RunResult {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        let output = assert_cmd::Command::from_std(command).timeout(RUN_TAKES).output().expect("the program starts");
        // What it advises names this configuration, which each call here has anyway.
        let named = format!(": qfm --config {} ", self.config.display());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&named, ": qfm ");
        RunResult { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// One run that must end well.
    #[track_caller]
    pub fn sync(&self) -> RunResult {
        self.run(&[]).status(Status::Done)
    }
}

/// How a run ended and what it said.
#[derive(Debug)]
pub struct RunResult {
    /// The exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl RunResult {
    /// Fails unless it ended so.
    #[track_caller]
    pub fn status(self, expected: Status) -> RunResult {
        let found = Status::ALL.into_iter().find(|status| Some(i32::from(status.code())) == self.code);
        assert!(
            found == Some(expected),
            "ended with {found:?} (code {:?}), expected {expected:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// What `--json` printed.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}):\n{}", self.stdout))
    }
}
