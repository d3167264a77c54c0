//! A mirror that is kept under the name of quick-fedora-mirror, by its configuration.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use qfm::demo::clean_environment;
use regex::Regex;

use super::{ARCHIVE, Built, FEDORA, Scene, Upstream, Volumes};

/// A run that takes longer is killed: every run has to end.
const RUN_TAKES: Duration = Duration::from_secs(60);

/// A scene whose mirror is kept under the old name, by an old configuration.
pub struct Old {
    pub scene: Scene,
    lines: String,
    prefix: Vec<OsString>,
}

/// What a run said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Old {
    /// A published upstream with two modules, and an empty mirror of these.
    #[track_caller]
    pub fn new(modules: &str, build: impl FnOnce(&mut Upstream) -> Built) -> Old {
        let mut old = Old { scene: Scene::new(&[FEDORA, ARCHIVE], build), lines: String::new(), prefix: Vec::new() };
        for name in ["quick-fedora-mirror", "qfm"] {
            symlink(env!("CARGO_BIN_EXE_qfm"), old.path(name)).expect("a link to the program");
        }
        let url = old.scene.daemon.url();
        let (remote, master) = url.rsplit_once('/').expect("a module");
        let (root, time_file) = (old.scene.mirror.root.clone(), old.path("timefile"));
        let program = old.scene.wrapper.program();
        old.add(&format!(
            "DESTD={}\nTIMEFILE={}\nREMOTE={remote}\nMASTERMODULE={master}\nMODULES=({modules})\nRSYNC={}",
            root.display(),
            time_file.display(),
            program.display()
        ));
        old
    }

    /// A path beside the mirror root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scene.mirror.config.with_file_name(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("quick-fedora-mirror.conf")
    }

    /// Adds lines to the configuration.
    pub fn add(&mut self, lines: &str) {
        self.lines += &format!("{lines}\n");
        fs::write(self.config(), &self.lines).expect("a configuration");
    }

    /// From now on the program sees these file systems.
    pub fn run_on(&mut self, volumes: &Volumes) {
        self.prefix = volumes.prefix();
    }

    /// What log and saved time are read from: the text of a file beside the mirror root.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    /// Writes a file beside the mirror root.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    pub fn run_as(&self, name: &str, options: &[&str]) -> Said {
        let program = OsString::from(self.path(name));
        let mut words = self.prefix.iter().chain([&program]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words);
        clean_environment(&mut command, &self.path(""));
        // The wrapper writes down what it is called for.
        command
            .env("QFM_RSYNC_CONFINE", "false")
            .env("QFM_RSYNC_RETRY_DELAY", "10ms")
            .env("QFM_CHECKIN_RETRY_DELAY", "10ms");
        command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = assert_cmd::Command::from_std(command).timeout(RUN_TAKES).output().expect("the program starts");
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn run(&self, options: &[&str]) -> Said {
        self.run_as("quick-fedora-mirror", options)
    }

    /// A run that ends well and complains of nothing. Returns what it said.
    #[track_caller]
    pub fn runs(&self, options: &[&str]) -> String {
        let said = self.run(options);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
        said.out
    }

    /// A run that does not end well.
    #[track_caller]
    pub fn fails(&self, options: &[&str]) -> Said {
        let said = self.run(options);
        assert_eq!(said.code, Some(1), "{said:?}");
        said
    }

    pub fn here(&self, path: &str) -> PathBuf {
        self.scene.mirror.path(path)
    }
}

/// Fails unless the lines are these; `…` stands for any text without a line feed.
#[track_caller]
pub fn assert_lines(found: &str, expected: &[&str]) {
    let pattern: Vec<String> = expected.iter().map(|line| regex::escape(line).replace('…', "[^\n]*")).collect();
    let pattern = Regex::new(&format!("^{}$", pattern.iter().map(|line| format!("{line}\n")).collect::<String>()));
    assert!(pattern.expect("a pattern").is_match(found), "expected\n{}\nfound\n{found}", expected.join("\n"));
}
