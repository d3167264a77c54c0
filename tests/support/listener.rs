//! `qfm listen` at work, with jobs that only write down that they ran, and clients of it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qfm::state::jobs::JobState;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

use super::{Mirror, wait_until};

/// The secret of the jobs of a [`Yard`].
pub const SECRET: &str = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";

/// A configuration with the jobs `archive` and `releases`: commands that write down each run, and stay as long as they are held.
pub struct Yard {
    pub mirror: Mirror,
}

impl Yard {
    /// `extra` are lines of configuration; the listener takes any free port.
    pub fn new(extra: &str) -> Yard {
        let mut mirror = Mirror::new("rsync://127.0.0.1:1/none", &["fedora-epel"]);
        let command = mirror.config.with_file_name("work.sh");
        let text = format!(
            "#!/bin/sh\nset -e\ncd '{}'\necho \"$QFM_JOB $QFM_STAGE $QFM_TRIGGER $#\" >>runs\nwhile [ -e hold ]; do sleep 0.02; done\n",
            command.parent().expect("a directory").display()
        );
        fs::write(&command, text).expect("written");
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).expect("changed");
        let sha256: String = Sha256::digest(SECRET).iter().map(|byte| format!("{byte:02x}")).collect();
        for job in ["archive", "releases"] {
            mirror.add(&format!("job.{job}.command = [{command:?}]\njob.{job}.secret_sha256 = \"{sha256}\""));
        }
        if !extra.contains("listen.address") {
            mirror.add("listen.address = \"127.0.0.1:0\"");
        }
        mirror.add(extra);
        Yard { mirror }
    }

    /// A file beside the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.mirror.config.with_file_name(name)
    }

    /// From now on runs stay until they are let go.
    pub fn hold(&self) {
        File::create(self.path("hold")).expect("made");
    }

    pub fn let_go(&self) {
        fs::remove_file(self.path("hold")).expect("held before");
    }

    /// What ran, or began to: job, stage, who triggered it, how many arguments it had.
    pub fn runs(&self) -> Vec<String> {
        match fs::read_to_string(self.path("runs")) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    pub fn wait_for_runs(&self, count: usize) {
        wait_until(&format!("{count} runs"), || self.runs().len() >= count);
    }

    /// The marks and the lock of a job.
    pub fn state(&self, job: &str) -> JobState {
        JobState::at(&self.mirror.state, &self.mirror.config.canonicalize().expect("a configuration"), job)
    }

    /// Waits until nothing is asked for any more, and nobody is at work.
    pub fn settle(&self) {
        for job in ["archive", "releases"] {
            let state = self.state(job);
            wait_until("the job is done", || !state.is_marked() && !state.is_locked());
        }
    }

    /// Starts a listener, and waits until it is one.
    pub fn listen(&self) -> Listening {
        self.listen_by(self.mirror.command(&["listen"]))
    }

    /// The same, by another command.
    pub fn listen_by(&self, mut command: Command) -> Listening {
        let log = self.path("log");
        let child = command.stderr(File::create(&log).expect("a log")).spawn().expect("the listener starts");
        let mut listening = Listening { child, log, address: String::new() };
        wait_until("it listens", || {
            let said = listening.said();
            assert!(listening.child.try_wait().expect("a child").is_none(), "it ended:\n{said}");
            let address = said.lines().find_map(|line| line.strip_prefix("qfm: listening on "));
            listening.address = address.unwrap_or_default().to_owned();
            !listening.address.is_empty()
        });
        listening
    }
}

/// A listener; it ends with this.
pub struct Listening {
    child: Child,
    log: PathBuf,
    /// Where it listens, as it says.
    pub address: String,
}

impl Listening {
    /// All that it said.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn is_there(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Has it read its configuration anew, and waits until it has tried.
    pub fn read_anew(&self) {
        let tried = || self.said().matches(" read anew").count();
        let before = tried();
        kill_process(self.pid(), Signal::HUP).expect("it is there");
        wait_until("the configuration is read anew", || tried() > before);
    }

    /// Signals it, and waits for its end.
    pub fn end(mut self, signal: Signal) -> ExitStatus {
        kill_process(self.pid(), signal).expect("it is there");
        self.child.wait().expect("it ends")
    }

    /// What it answers to these bytes, until it hangs up.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        stream.write_all(request.as_ref()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it hangs up in time");
        drop(stream.shutdown(Shutdown::Both));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The status of its answer to a request with these lines.
    pub fn status(&self, request: &str) -> u16 {
        status(&self.ask(format!("{request}\r\nHost: mirror\r\n\r\n")))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The status of an answer.
#[track_caller]
pub fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// The path of a trigger.
pub fn path_of(job: &str, secret: &str) -> String {
    format!("/{job}/{secret}/trigger")
}

/// The header of basic authentication.
pub fn authorization(job: &str, secret: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{job}:{secret}")))
}

/// What curl gets: the status and the body.
pub fn curl(arguments: &[&str]) -> (u16, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--path-as-is", "--globoff"])
        .args(["--write-out", "\n%{http_code}"])
        .args(arguments)
        .output()
        .expect("curl starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let (body, status) = said.rsplit_once('\n').expect("a status");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    (status.parse().expect("a number"), body.to_owned())
}

/// Whether a program is here; a test that needs it says so where it is not, and fails if all must be tried.
pub fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
        || Path::new("/usr/sbin").join(program).is_file();
    assert!(found || std::env::var_os("QFM_TEST_ALL").is_none(), "{program} is not here");
    if !found {
        println!("{program} is not here: not tried");
    }
    found
}
