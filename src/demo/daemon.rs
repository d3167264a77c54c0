//! A real rsync daemon on loopback, for the demonstration and the tests.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::geteuid;
use tempfile::TempDir;

/// The rsync module that holds all directories.
pub const MASTER: &str = "buffet";

const STARTING_TAKES: Duration = Duration::from_secs(10);
const ENDING_TAKES: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// A running daemon; it ends when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    address: Ipv4Addr,
    port: u16,
    files: TempDir,
}

/// What a daemon shall be like.
#[derive(Clone, Debug)]
pub struct Setup {
    root: PathBuf,
    address: Ipv4Addr,
    port: Option<u16>,
    max_connections: Option<u32>,
    refused: Option<String>,
    account: Option<(String, String)>,
    message: Option<String>,
}

/// What a daemon has been asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The rsync calls that reached a module.
    pub calls: u64,
    /// The bytes that went out to them.
    pub sent: u64,
}

impl Setup {
    /// A daemon that serves everything below `root` as [`MASTER`], and each directory in it as a module of its own name.
    pub fn new(root: &Path) -> Setup {
        Setup {
            root: root.to_owned(),
            address: Ipv4Addr::LOCALHOST,
            port: None,
            max_connections: None,
            refused: None,
            account: None,
            message: None,
        }
    }

    /// It listens at this address of loopback, and at this port.
    #[must_use]
    pub fn at(mut self, address: Ipv4Addr, port: u16) -> Setup {
        self.address = address;
        self.port = Some(port);
        self
    }

    /// So many connections at once to each module; more are refused.
    #[must_use]
    pub fn max_connections(mut self, limit: u32) -> Setup {
        self.max_connections = Some(limit);
        self
    }

    /// An option of clients that it refuses.
    #[must_use]
    pub fn refusing(mut self, option: &str) -> Setup {
        self.refused = Some(option.to_owned());
        self
    }

    /// Only this user, with this password.
    #[must_use]
    pub fn account(mut self, user: &str, password: &str) -> Setup {
        self.account = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// A message of the day.
    #[must_use]
    pub fn message(mut self, text: &str) -> Setup {
        self.message = Some(text.to_owned());
        self
    }

    /// Starts it, on a free port if none was named, and waits until it answers.
    pub fn start(&self) -> anyhow::Result<Daemon> {
        let beside = self.root.parent().context("the root of the file system is not served")?;
        // Between choosing a port and binding it another process may take it: then the daemon ends at once.
        for _ in 0..10 {
            let files = tempfile::Builder::new().prefix("rsyncd.").tempdir_in(beside)?;
            let (address, port) = (self.address, self.port.map_or_else(free_port, Ok)?);
            let config = files.path().join("rsyncd.conf");
            fs::write(&config, self.configuration(files.path())?)?;
            let child = Command::new("rsync")
                .args(["--daemon", "--no-detach"])
                .arg(format!("--address={address}"))
                .arg(format!("--port={port}"))
                .arg(format!("--config={}", config.display()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("cannot start rsync")?;
            let mut daemon = Daemon { child, address, port, files };
            if daemon.answers()? {
                return Ok(daemon);
            }
        }
        bail!("the rsync daemon did not start: no port stayed free long enough")
    }

    fn configuration(&self, files: &Path) -> anyhow::Result<String> {
        let file = |name: &str| files.join(name).display().to_string();
        let mut config = format!(
            "use chroot = no\nmunge symlinks = no\nread only = yes\nnumeric ids = yes\nreverse lookup = no\n\
             log file = {}\nlock file = {}\n",
            file("log"),
            file("lock")
        );
        // By default a daemon of root's serves as nobody, who cannot look into a private temporary directory.
        if geteuid().is_root() {
            config.push_str("uid = 0\ngid = 0\n");
        }
        if let Some(limit) = self.max_connections {
            writeln!(config, "max connections = {limit}")?;
        }
        if let Some(option) = &self.refused {
            writeln!(config, "refuse options = {option}")?;
        }
        if let Some((user, password)) = &self.account {
            fs::write(files.join("secrets"), format!("{user}:{password}\n"))?;
            fs::set_permissions(files.join("secrets"), Permissions::from_mode(0o600))?;
            writeln!(config, "auth users = {user}\nsecrets file = {}", file("secrets"))?;
        }
        if let Some(text) = &self.message {
            fs::write(files.join("motd"), text)?;
            writeln!(config, "motd file = {}", file("motd"))?;
        }
        // The comment tells this daemon from any other that may answer at its port.
        let comment = files.display();
        writeln!(config, "[{MASTER}]\npath = {}\ncomment = {comment}", self.root.display())?;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.path().is_dir()
                && let Some(name) = entry.file_name().to_str()
            {
                writeln!(config, "[{name}]\npath = {}", entry.path().display())?;
            }
        }
        Ok(config)
    }
}

impl Daemon {
    /// Starts a daemon without limits; see [`Setup::new`].
    pub fn start(root: &Path) -> anyhow::Result<Daemon> {
        Setup::new(root).start()
    }

    /// The URL of [`MASTER`].
    pub fn url(&self) -> String {
        self.module_url(MASTER)
    }

    /// The URL of one module.
    pub fn module_url(&self, module: &str) -> String {
        format!("rsync://{}:{}/{module}", self.address, self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has been asked for since it started, by its own log.
    pub fn served(&self) -> anyhow::Result<Served> {
        let log = self.files.path().join("log");
        let deadline = Instant::now() + ENDING_TAKES;
        loop {
            let (served, ended) = read_log(&String::from_utf8_lossy(&fs::read(&log)?));
            // The daemon's side of a call may end, and be logged, a moment after the caller's.
            if ended >= served.calls || Instant::now() > deadline {
                return Ok(served);
            }
            sleep(POLL);
        }
    }

    /// Waits until it serves; false if it ended instead.
    fn answers(&mut self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + STARTING_TAKES;
        let token = self.files.path().to_str().context("the directory of the daemon has a name that is not UTF-8")?;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            let modules = Command::new("rsync")
                .args(["--contimeout=5", "--timeout=5"])
                .arg(self.module_url(""))
                .stdin(Stdio::null())
                .output()?;
            if String::from_utf8_lossy(&modules.stdout).contains(token) {
                return Ok(true);
            }
            sleep(POLL);
        }
        bail!("the rsync daemon started, but does not answer on port {}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it has ended already. Its connections end with their callers.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// What the log of a daemon says, and how many of the calls in it have ended.
fn read_log(log: &str) -> (Served, u64) {
    let mut served = Served::default();
    let mut ended = 0;
    for line in log.lines() {
        // `DATE TIME [PID] MESSAGE`
        let Some((_, message)) = line.split_once("] ") else { continue };
        if message.starts_with("rsync on ") {
            served.calls += 1;
        } else if let Some(rest) = message.strip_prefix("sent ") {
            let bytes = rest.split(' ').next().and_then(|number| number.replace(',', "").parse::<u64>().ok());
            served.sent += bytes.unwrap_or(0);
            ended += 1;
        } else if message.starts_with("rsync error:") {
            ended += 1;
        }
    }
    (served, ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_calls_from_mere_connections() {
        let log = "\
            2026/11/22 01:54:29 [92] connect from UNDETERMINED (127.0.0.1)\n\
            2026/11/22 01:54:29 [92] module-list request from UNDETERMINED (127.0.0.1)\n\
            2026/11/22 01:54:29 [95] rsync allowed access on module buffet from UNDETERMINED (127.0.0.1)\n\
            2026/11/22 01:54:29 [95] rsync on buffet/ from UNDETERMINED (127.0.0.1)\n\
            2026/11/22 01:54:29 [95] building file list\n\
            2026/11/22 01:54:29 [95] sent 1,150 bytes  received 69 bytes  total size 6\n\
            2026/11/22 01:54:30 [99] rsync on buffet/x from UNDETERMINED (127.0.0.1)\n\
            2026/11/22 01:54:30 [99] rsync error: error in socket IO (code 10) at io.c(1) [sender=3.5.0]\n";
        assert_eq!(read_log(log), (Served { calls: 2, sent: 1150 }, 2));
    }
}
