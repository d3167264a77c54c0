//! A real sshd on loopback, with keys, configuration and authorized keys of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::wait_until;

/// It is asked for by its whole name, or does not start.
const SSHD: &str = "/usr/sbin/sshd";

/// Where sshd has what it needs no rights for; the package's service makes it.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

pub struct Sshd {
    pub port: u16,
    directory: TempDir,
    daemon: Child,
}

impl Sshd {
    /// One that lets in whoever runs the test, for this forced command. `None`, which is said, where there is no sshd, or it lets nobody in.
    pub fn start(command: &str) -> Option<Sshd> {
        if !Path::new(SSHD).exists() {
            return missing("there is no sshd here");
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["host", "key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(directory.path().join(name));
            assert!(keygen.status().expect("ssh-keygen").success());
        }
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all(PRIVILEGE_SEPARATION).expect("a directory for sshd");
        }
        // Somebody else may take it before sshd does: then it does not start, and the test says so.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let path = |name: &str| directory.path().join(name);
        let configuration = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {:?}\nAuthorizedKeysFile {:?}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin forced-commands-only\nAcceptEnv *\nMaxStartups 200\n",
            path("host"),
            path("authorized_keys"),
        );
        fs::write(path("sshd_config"), configuration).expect("a configuration");
        let log = fs::File::create(path("log")).expect("a log");
        let daemon = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(path("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        let sshd = Sshd { port, daemon: daemon.expect("sshd"), directory };
        sshd.authorize("true");
        wait_until("sshd listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        if !sshd.ssh(&[], "").status.success() {
            let log = fs::read_to_string(sshd.directory.path().join("log")).expect("a log");
            return missing(&format!("sshd lets nobody in: {log}"));
        }
        sshd.authorize(command);
        Some(sshd)
    }

    /// The public key of who logs in.
    pub fn public_key(&self) -> PathBuf {
        self.directory.path().join("key.pub")
    }

    /// From now on this command is run, whatever is asked for.
    pub fn authorize(&self, command: &str) {
        let key = fs::read_to_string(self.public_key()).expect("a key");
        self.authorize_line(&format!("restrict,command=\"{}\" {key}", command.replace('"', "\\\"")));
    }

    /// From now on this is the line of the key.
    pub fn authorize_line(&self, line: &str) {
        fs::write(self.directory.path().join("authorized_keys"), line).expect("written");
    }

    /// The arguments of ssh that lead there.
    pub fn arguments(&self) -> Vec<String> {
        let option = |text: &str| ["-o".to_owned(), text.to_owned()];
        let known = format!("UserKnownHostsFile={}", self.directory.path().join("known").display());
        let options = ["StrictHostKeyChecking=accept-new", "IdentitiesOnly=yes", "BatchMode=yes", "LogLevel=ERROR"];
        let options = options.into_iter().chain([known.as_str()]).flat_map(option);
        let key = self.directory.path().join("key").display().to_string();
        let place = ["-F".to_owned(), "none".to_owned(), "-p".to_owned(), self.port.to_string(), "-i".to_owned(), key];
        let user = String::from_utf8(Command::new("id").arg("-un").output().expect("id").stdout).expect("a name");
        options.chain(place).chain([format!("{}@127.0.0.1", user.trim())]).collect()
    }

    /// A session with more options, that sends `words` as its command. What holds its streams open holds the session.
    pub fn command(&self, more: &[&str], words: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(more).args(self.arguments()).args((!words.is_empty()).then_some(words)).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A session, to its end.
    pub fn ssh(&self, more: &[&str], words: &str) -> Output {
        self.command(more, words).output().expect("ssh")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // It may have ended.
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

/// Says what is not tested; fails where all must be.
fn missing(what: &str) -> Option<Sshd> {
    assert!(std::env::var_os("QFM_TEST_ALL").is_none(), "{what}");
    eprintln!("SKIPPED: {what}; triggers over a real ssh were not tested");
    None
}
