//! One downstream is told, over ssh or HTTP.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::config::{Downstream, Proxies, Push, Secret, Ssh, Stages, Url, Way, kept};
use crate::http::{self, Called};
use crate::interrupt::{self, Interrupt};
use crate::path::escape;

/// What ssh itself ends with if it did not get as far as the other side; every other code is the other side's.
const NOT_REACHED: i32 = 255;

/// After TERM, so long until KILL.
const GRACE: Duration = Duration::from_secs(2);

/// The longest time between two looks whether ssh has ended.
const LONGEST_MOMENT: Duration = Duration::from_millis(200);

/// So much of what ssh says at its end is looked at.
const LAST_WORDS: u64 = 4 << 10;

/// The setting that limits what has no stages.
const TIMEOUT: &str = "push.timeout";

/// What stands before the options of the admin. Of an option that is there twice, ssh takes the first: nobody is there to be asked for a
/// password, and who does not answer is given up.
const OPTIONS: [&str; 14] = [
    "-n",
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "PasswordAuthentication=no",
    "-o",
    "KbdInteractiveAuthentication=no",
    "-o",
    "ConnectTimeout=45",
    "-o",
    "ServerAliveInterval=45",
    "-o",
    "ServerAliveCountMax=3",
];

/// What somebody is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// All of it, and nobody waits for that.
    All,
    /// What nothing leads to yet; the session lasts until it is there.
    One,
    /// What leads to it, and deletions; the session lasts until it is there.
    Two,
}

impl Stage {
    /// The word in reports, and after `sync:`.
    pub const fn word(self) -> &'static str {
        match self {
            Stage::All => "all",
            Stage::One => "stage1",
            Stage::Two => "stage2",
        }
    }
}

/// When all that is told must be over.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The moment.
    pub at: Instant,
    /// How long it can take until then.
    pub limit: Duration,
    /// The setting that says so.
    pub setting: &'static str,
}

/// How it went, where the other side was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The exit code of what was started there.
    Exit(i32),
    /// The status of the answer.
    Http(u16),
}

/// Why somebody was not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// They were not reached, or would not hear it. Nothing of a URL is in it.
    #[error("{0}")]
    Failed(String),
    /// It took too long, and was ended.
    #[error("it took longer than {setting} ({}){}", humantime::format_duration(*.limit), if *.setting == TIMEOUT { ": does what it starts there detach?" } else { "" })]
    Late {
        /// How long it could take.
        limit: Duration,
        /// The setting that says so.
        setting: &'static str,
    },
    /// The end was asked for.
    #[error("interrupted")]
    Interrupted(interrupt::Signal),
}

/// The words that go over ssh, as Debian's tools send and understand them.
pub fn words(push: &Push, ssh: &Ssh, stages: Stages, stage: Stage) -> String {
    let archive = ssh.archive.as_ref().or(push.archive.as_ref()).map_or("", String::as_str);
    let hop = if stages == Stages::Hops && stage == Stage::One { " sync:mhop" } else { "" };
    format!("sync:archive:{archive}{hop} sync:{}", stage.word())
}

/// The arguments of ssh.
pub fn arguments(push: &Push, ssh: &Ssh, words: &str) -> Vec<OsString> {
    // ssh would offer both keys, and the other side may do for the first what is meant for the second.
    let has_key = ssh.options.iter().any(|option| option.starts_with("-i"));
    let key = ssh.key.as_deref().or(push.key.as_deref().filter(|_| !has_key));
    let key = key.map(|key| ["-o".into(), "IdentitiesOnly=yes".into(), "-i".into(), key.into()]);
    let user = ssh.address.user().map(|user| ["-l".into(), user.into()]);
    let options = push.options.iter().chain(&ssh.options).map(OsString::from);
    let mut arguments: Vec<OsString> = OPTIONS.iter().map(OsString::from).chain(options).collect();
    arguments.extend(key.into_iter().flatten());
    arguments.extend(user.into_iter().flatten());
    arguments.extend([ssh.address.host().into(), words.into()]);
    arguments
}

/// Tells one downstream, before all must be over.
///
/// # Errors
/// Why it was not told.
pub fn tell(
    push: &Push,
    downstream: &Downstream,
    stage: Stage,
    end: End,
    interrupt: &Interrupt,
) -> Result<Told, Trouble> {
    let left = end.at.saturating_duration_since(Instant::now());
    let (limit, late) = if stage == Stage::All && push.timeout < left {
        (push.timeout, Trouble::Late { limit: push.timeout, setting: TIMEOUT })
    } else {
        (left, Trouble::Late { limit: end.limit, setting: end.setting })
    };
    match &downstream.way {
        Way::Ssh(ssh) => {
            let words = words(push, ssh, downstream.stages, stage);
            call_ssh(&push.ssh, &arguments(push, ssh, &words), limit, late, interrupt)
        }
        Way::Url(url) => get(url, &push.proxies, limit, late, interrupt),
    }
}

fn call_ssh(
    program: &Path,
    arguments: &[OsString],
    limit: Duration,
    late: Trouble,
    interrupt: &Interrupt,
) -> Result<Told, Trouble> {
    let failed = |error: io::Error| Trouble::Failed(format!("cannot run {}: {error}", program.display()));
    let until = Instant::now() + limit;
    // A pipe might be held open, by a master connection that stays, when ssh itself is gone.
    let mut complaints = tempfile::tempfile().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(arguments);
    // Settings and secrets of ours are none of its business.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"QFM_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints.try_clone().map_err(failed)?);
    // A group that can be ended as a whole, with a program that connects for it.
    let mut child = command.process_group(0).spawn().map_err(failed)?;
    let group = Pid::from_child(&child);
    let status = match wait(&mut child, until, interrupt).map_err(failed)? {
        Waited::Ended(status) => status,
        Waited::Late => {
            end(&mut child, group).map_err(failed)?;
            return Err(late);
        }
        Waited::Interrupted(signal) => {
            end(&mut child, group).map_err(failed)?;
            return Err(Trouble::Interrupted(signal));
        }
    };
    match status.code() {
        Some(NOT_REACHED) => Err(Trouble::Failed(why(&last_words(&mut complaints).map_err(failed)?))),
        Some(code) => Ok(Told::Exit(code)),
        None => Err(Trouble::Failed(format!("{} was ended by a signal", program.display()))),
    }
}

/// What was waited for.
enum Waited {
    Ended(ExitStatus),
    Late,
    Interrupted(interrupt::Signal),
}

fn wait(child: &mut Child, until: Instant, interrupt: &Interrupt) -> io::Result<Waited> {
    let mut moment = Duration::from_millis(5);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Waited::Ended(status));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Waited::Late);
        }
        if let Some(signal) = interrupt.wait(moment.min(left), || false) {
            return Ok(Waited::Interrupted(signal));
        }
        moment = (moment * 2).min(LONGEST_MOMENT);
    }
}

/// Ends a process that was not waited for yet, and its group.
fn end(child: &mut Child, group: Pid) -> io::Result<()> {
    // A group that is gone already needs no signal.
    let _gone = rustix::process::kill_process_group(group, Signal::TERM);
    let told = Instant::now();
    while child.try_wait()?.is_none() {
        if told.elapsed() >= GRACE {
            let _gone = rustix::process::kill_process_group(group, Signal::KILL);
            return child.wait().map(drop);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

/// The end of what was written to a file, as text.
fn last_words(file: &mut File) -> io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Why ssh did not get through, by what it said.
fn why(said: &str) -> String {
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it does not say why");
    let last = escape(last.as_bytes());
    if said.contains("HOST IDENTIFICATION HAS CHANGED") {
        format!("its host key is not the one that ssh knows of it: {last}")
    } else if said.contains("Host key verification failed") {
        format!("its host key is not known to ssh: {last}; let ssh learn it (ssh-keyscan)")
    } else {
        format!("ssh: {last}")
    }
}

fn get(url: &Url, proxies: &Proxies, limit: Duration, late: Trouble, interrupt: &Interrupt) -> Result<Told, Trouble> {
    let failed = |why: String| Err(Trouble::Failed(why));
    let url = match url {
        Url::Said(url) => url.clone(),
        Url::In(path) => match kept::text(path) {
            Ok(text) => Secret::new(text.lines().next().unwrap_or_default().trim()),
            Err(error) => return failed(format!("cannot read its URL in {}: {error}", path.display())),
        },
    };
    let Ok(address) = url.reveal().parse() else { return failed("its URL is none".to_owned()) };
    let proxy = proxies.to(&address).map_err(|problem| Trouble::Failed(problem.with_hint()))?;
    let through = http::through(proxy.as_ref());
    let act = move |agent: &ureq::Agent| Ok(agent.get(url.reveal()).call()?.status().as_u16());
    match http::call(limit, proxy, interrupt, act) {
        Called::Answered(200..300) => Ok(Told::Http(200)),
        Called::Answered(status @ 300..400) => failed(format!("it moved ({status}): its URL is another now")),
        Called::Answered(404) => failed("it does not know the URL (404)".to_owned()),
        Called::Answered(status) => failed(format!("it answers with status {status}")),
        Called::Failed(ureq::Error::Timeout(_)) | Called::Endless => Err(late),
        Called::Failed(error) => failed(what_failed(&error) + &through),
        Called::BrokeOff => failed("the call broke off".to_owned()),
        Called::Interrupted(signal) => Err(Trouble::Interrupted(signal)),
    }
}

/// What is known to have nothing of the URL in it.
fn what_failed(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "its name cannot be looked up".to_owned(),
        ureq::Error::Io(error) => format!("cannot be called: {error}"),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "its URL is none".to_owned(),
        _ => "the call failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    fn push() -> Push {
        Push {
            downstreams: Vec::new(),
            mirrors: None,
            ssh: "ssh".into(),
            key: Some("/keys/general".into()),
            options: vec!["-4".into()],
            archive: None,
            stage_wait: Duration::from_secs(600),
            timeout: Duration::from_secs(120),
            deadline: Duration::from_secs(1800),
            jobs: 32,
            strict: false,
            proxies: Proxies::default(),
        }
    }

    fn ssh() -> Ssh {
        Ssh { address: Address::parse("u@h.example").unwrap(), key: None, options: Vec::new(), archive: None }
    }

    fn after_ours(push: &Push, ssh: &Ssh) -> String {
        let arguments = arguments(push, ssh, "sync:all");
        let (ours, rest) = arguments.split_at(OPTIONS.len());
        assert_eq!(ours, OPTIONS);
        rest.join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn one_key_is_offered_and_the_options_of_the_admin_come_after_ours() {
        let (general, one) = (push(), ssh());
        let key = "-o IdentitiesOnly=yes -i";
        assert_eq!(after_ours(&general, &one), format!("-4 {key} /keys/general -l u h.example sync:all"));
        let own = Ssh { key: Some("~/.ssh/own".into()), ..one.clone() };
        assert_eq!(after_ours(&general, &own), format!("-4 {key} ~/.ssh/own -l u h.example sync:all"));
        let in_options = Ssh { options: ["-p", "2222", "-i", "k"].map(str::to_owned).to_vec(), ..one.clone() };
        assert_eq!(after_ours(&general, &in_options), "-4 -p 2222 -i k -l u h.example sync:all");
        let none = Push { key: None, options: Vec::new(), ..general };
        let anybody = Ssh { address: Address::parse("h.example").unwrap(), ..one };
        assert_eq!(after_ours(&none, &anybody), "h.example sync:all");
    }

    #[test]
    fn the_words_are_those_of_debian() {
        let (mut general, mut one) = (push(), ssh());
        let said = |push: &Push, ssh: &Ssh, stages, stage| words(push, ssh, stages, stage);
        assert_eq!(said(&general, &one, Stages::None, Stage::All), "sync:archive: sync:all");
        assert_eq!(said(&general, &one, Stages::Two, Stage::One), "sync:archive: sync:stage1");
        assert_eq!(said(&general, &one, Stages::Hops, Stage::One), "sync:archive: sync:mhop sync:stage1");
        assert_eq!(said(&general, &one, Stages::Hops, Stage::Two), "sync:archive: sync:stage2");
        general.archive = Some("general".into());
        assert_eq!(said(&general, &one, Stages::None, Stage::All), "sync:archive:general sync:all");
        one.archive = Some("ports".into());
        assert_eq!(said(&general, &one, Stages::None, Stage::All), "sync:archive:ports sync:all");
    }

    #[test]
    fn what_ssh_says_is_told_in_its_last_line_and_without_control_characters() {
        assert_eq!(
            why("debug\n\nssh: connect to host h port 22: refused\r\n\n"),
            "ssh: ssh: connect to host h port 22: refused"
        );
        assert!(
            why("@@\nWARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.")
                .starts_with("its host key is not the one")
        );
        assert!(why("Host key verification failed.").contains("not known"));
        assert!(!why("a\x1b[2Jb").contains('\x1b'));
        assert_eq!(why(""), "ssh: it does not say why");
    }
}
