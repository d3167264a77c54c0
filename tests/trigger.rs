//! Triggers over ssh: what is sent starts what is configured, and nothing else.

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use qfm::config::{self, Environment, Overrides};
use qfm::exit::Status;
use qfm::push::Job;
use support::*;

const QFM: &str = env!("CARGO_BIN_EXE_qfm");

/// So slow that a test can look on.
const SLOW: &str = "rsync.bwlimit = \"100\"";

/// Enough for some seconds at that pace.
const SIZE: usize = 400_000;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/Packages/a.rpm", noise(SIZE))?
        .file("fedora/os/repodata/1-primary.xml.gz", b"primary 1")?
        .file("fedora/os/repodata/repomd.xml", b"<repomd 1/>")?
        .file("epel/b.rpm", b"b")
        .map(drop)
}

fn job(mirror: &Mirror, name: &str) -> Job {
    let overrides = Overrides { config: Some(mirror.config.clone()), ..Overrides::default() };
    let loaded = config::load(&overrides, &Environment::default()).expect("a configuration");
    let settings = loaded.config.job(Some(name)).expect("the job");
    Job::new(settings, &loaded.config, loaded.file.as_deref(), &Environment::default()).expect("a job")
}

/// What stands in the line of a key.
fn forced(mirror: &Mirror, words: &str) -> String {
    format!("{QFM} --config {} trigger {words}", mirror.config.display())
}

fn wait_for(job: &Job) {
    wait_until("the job is done", || !job.is_marked() && !job.is_running());
}

/// The calls of a mirror's jobs of its own program, without that of the wrapper.
fn slow(extra: &str) -> Scene {
    let mut scene = Scene::new(&[FEDORA, EPEL], build);
    scene.configure(&[FEDORA, EPEL], &format!("{SLOW}\n{extra}"));
    scene
}

#[test]
fn a_session_ends_while_what_it_started_goes_on() {
    let scene = slow("");
    let Some(sshd) = Sshd::start(&forced(&scene.mirror, "")) else { return };
    let job = job(&scene.mirror, "default");
    // As upstreams send it, and as who sends nothing.
    for words in ["", "ftpsync sync:all", "sync:archive:default sync:all &", "sync:archive: sync:all"] {
        let output = sshd.ssh(&[], words);
        assert!(output.status.success(), "{words}: {output:?}");
        assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()), "{words}");
        assert_eq!(job.last().expect("read"), None, "the session has ended, and no run has");
        wait_until("the run has its lock, without the session", || job.is_running());
    }
    wait_for(&job);
    scene.assert_same();
    assert_eq!(job.last().expect("read").expect("a result").code, Some(0));
}

#[test]
fn a_stage_holds_the_session_until_it_is_done() {
    let mut scene = slow("");
    let Some(sshd) = Sshd::start(&forced(&scene.mirror, "")) else { return };
    let job = job(&scene.mirror, "default");
    let has = |path: &str| scene.mirror.path(path).exists();
    let output = sshd.ssh(&[], "ftpsync sync:stage1");
    assert!(output.status.success(), "{output:?}");
    assert!(!job.is_running() && !job.is_marked(), "the session has ended, and so has the stage");
    assert!(has("fedora/os/Packages/a.rpm") && has("fedora/os/repodata/1-primary.xml.gz") && has("epel/b.rpm"));
    assert!(!has("fedora/os/repodata/repomd.xml"), "nothing leads there yet");
    let output = sshd.ssh(&[], "ftpsync sync:stage2");
    assert!(output.status.success(), "{output:?}");
    assert!(!job.is_running());
    scene.assert_same();

    // A change: what takes the place of something, and what goes, is of the second stage.
    scene.change(|up| {
        up.file("fedora/os/Packages/c.rpm", b"c")?
            .file("fedora/os/repodata/2-primary.xml.gz", b"primary 2")?
            .file("fedora/os/repodata/repomd.xml", b"<repomd 2, longer/>")?;
        up.remove("fedora/os/repodata/1-primary.xml.gz")?;
        Ok(())
    });
    let lists = || fs::read(scene.mirror.path("fedora").join(list_name("fedora"))).expect("a list");
    let before = lists();
    assert!(sshd.ssh(&[], "sync:stage1").status.success());
    let has = |path: &str| scene.mirror.path(path).exists();
    assert!(has("fedora/os/Packages/c.rpm") && has("fedora/os/repodata/2-primary.xml.gz"));
    assert!(has("fedora/os/repodata/1-primary.xml.gz"), "the old pointer leads there");
    let repomd = fs::read(scene.mirror.path("fedora/os/repodata/repomd.xml")).expect("a pointer");
    assert_eq!(repomd, b"<repomd 1/>");
    assert_eq!(lists(), before);
    assert!(sshd.ssh(&[], "sync:stage2").status.success());
    scene.assert_same();
}

#[test]
fn two_keys_start_two_jobs_and_the_words_of_the_key_are_stronger() {
    let scene = slow("job.archive.modules = [\"fedora-epel\"]\njob.releases.modules = [\"fedora-enchilada\"]");
    let Some(sshd) = Sshd::start(&forced(&scene.mirror, "archive")) else { return };
    // Two jobs, and none is named default.
    let (archive, releases) = (job(&scene.mirror, "archive"), job(&scene.mirror, "releases"));
    assert!(sshd.ssh(&[], "sync:archive:releases sync:stage2").status.success());
    assert_eq!(archive.last().expect("read").expect("a result").code, Some(0));
    assert!(releases.last().expect("read").is_none());
    assert!(scene.mirror.path("epel/b.rpm").exists() && !scene.mirror.path("fedora/os").exists());

    sshd.authorize(&forced(&scene.mirror, "sync:stage1"));
    let output = sshd.ssh(&[], "sync:all");
    assert_eq!(output.status.code(), Some(i32::from(Status::Usage.code())), "which job is not said");
    for name in ["releases2", "../releases", "RELEASES", "default", "-releases", "releases;x"] {
        let output = sshd.ssh(&[], &format!("sync:archive:{name}"));
        assert_eq!(output.status.code(), Some(i32::from(Status::Usage.code())), "{name}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("no job") && !said.contains("archive, releases"), "{said}");
    }
    assert!(!releases.is_marked() && releases.last().expect("read").is_none());
    assert!(sshd.ssh(&[], "sync:archive:releases sync:all").status.success());
    assert!(!releases.is_running() && releases.last().expect("read").expect("a result").code == Some(0));
    assert!(scene.mirror.path("fedora/os/Packages/a.rpm").exists());
    assert!(!scene.mirror.path("fedora/os/repodata/repomd.xml").exists(), "the key is for the first stage");
}

#[test]
fn the_line_that_is_printed_lets_a_key_trigger_and_nothing_else() {
    let shop = Workshop::new("echo $QFM_JOB >>runs", "");
    let Some(sshd) = Sshd::start("true") else { return };
    let key = sshd.public_key();
    let line = |from: &str| {
        let key = key.to_str().expect("a path");
        shop.mirror.run(&["config", "authorized-key", key, "work", "--from", from]).status(Status::Done).stdout
    };
    sshd.authorize_line(&line("192.0.2.1"));
    assert_eq!(sshd.ssh(&[], "").status.code(), Some(255), "it comes from elsewhere");
    sshd.authorize_line(&line("127.0.0.1"));
    let refused = sshd.ssh(&["-tt"], "sync:stage2");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("PTY allocation request failed"), "{refused:?}");
    let output = sshd.ssh(&[], "sync:archive:other sync:stage2");
    assert!(output.status.success(), "{output:?}");
    // The client may have asked for the command before it heard that it gets no terminal.
    let runs = shop.lines("runs");
    assert!(!runs.is_empty() && runs.iter().all(|job| job == "work"), "{runs:?}");
}

#[test]
fn upstream_is_told_at_the_end_if_it_asks_for_that() {
    let heard = tempfile::tempdir().expect("a directory");
    let heard = heard.path().join("heard");
    fs::create_dir_all(heard.parent().expect("above")).expect("a directory");
    let Some(sshd) = Sshd::start(&format!("/bin/sh -c 'echo $SSH_ORIGINAL_COMMAND >>{}'", heard.display())) else {
        return;
    };
    let callback = format!("job.work.callback = {:?}", sshd.arguments());
    let shop = Workshop::new("echo $QFM_STAGE >>runs", &callback);
    assert!(shop.session(&["work", "sync:stage2"]).output().expect("started").status.success());
    assert!(!heard.exists(), "nobody asked");
    assert!(shop.session(&["work", "sync:stage2", "sync:callback"]).output().expect("started").status.success());
    let told = fs::read_to_string(&heard).expect("it was told");
    assert!(told.starts_with("callback:") && told.lines().count() == 1, "{told}");
}

#[test]
fn a_callback_that_is_not_heard_is_said_and_is_no_part_of_the_run() {
    let callback = "job.work.callback = [\"-F\", \"none\", \"-p\", \"1\", \"nobody@127.0.0.1\"]";
    let shop = Workshop::new("echo run >>runs", callback);
    let log = shop.path("log");
    let text = fs::read_to_string(&shop.mirror.config).expect("readable");
    fs::write(&shop.mirror.config, format!("log_file = {log:?}\n{text}")).expect("written");
    let output = shop.session(&["work", "sync:stage2", "sync:callback"]).output().expect("started");
    assert!(output.status.success(), "{output:?}");
    let logged = fs::read_to_string(&log).expect("a log");
    let line = "job work: nobody@127.0.0.1 was not told that it is done: ssh: connect to host 127.0.0.1 port 1: Connection refused";
    assert!(logged.contains(line), "{logged}");
}

#[test]
fn a_session_does_not_end_as_if_ssh_had_failed() {
    let shop = Workshop::new("exit 255", "");
    let output = shop.session(&["work", "sync:stage1"]).output().expect("started");
    assert_eq!(output.status.code(), Some(254), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("job work (stage1, ssh): ended with 255"), "{output:?}");
}

/// A mirror with two jobs that run scripts in a directory of their own.
struct Workshop {
    mirror: Mirror,
}

impl Workshop {
    fn new(script: &str, more: &str) -> Workshop {
        let mut mirror = Mirror::new("rsync://127.0.0.1:1/none", &[FEDORA]);
        let directory = mirror.config.with_file_name("workshop");
        fs::create_dir(&directory).expect("a directory");
        for (name, script) in [("work", script), ("other", "echo other >>runs")] {
            let path = directory.join(name);
            fs::write(&path, format!("cd {directory:?}\n{script}\n")).expect("a script");
            mirror.add(&format!("job.{name}.command = [\"/bin/sh\", {path:?}]"));
        }
        mirror.add(more);
        Workshop { mirror }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mirror.config.with_file_name("workshop").join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// What lies in the directory of the scripts.
    fn names(&self) -> BTreeSet<OsString> {
        fs::read_dir(self.path("")).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect()
    }

    /// The program as sshd would start it.
    fn session(&self, words: &[&str]) -> Command {
        let mut command = self.mirror.command(&["trigger"]);
        command.args(words);
        command
    }
}

/// Says that it began, and waits until it may go on.
const WAITS: &str = "echo run >>runs; until test -e go; do sleep 0.02; done";

#[test]
fn no_descriptor_of_a_session_stays_open() {
    let shop = Workshop::new(&format!("ls -l /proc/$$/fd >own; {WAITS}"), "");
    let leak = shop.path("leak");
    fs::write(&leak, "").expect("written");
    // sshd's own streams are pipes; what else is open came from nobody knows where.
    let list = shop.path("session");
    let line =
        format!("ls -l /proc/$$/fd >{list:?}; exec 7<>{leak:?} 11<>{leak:?}; exec {}", forced(&shop.mirror, "work"));
    let mut shell = Command::new("/bin/bash");
    let output = shell.arg("-c").arg(line).stdin(Stdio::piped()).output().expect("bash");
    assert!(output.status.success(), "{output:?}");
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    let runner = runner(&shop.mirror.config);
    let open: Vec<PathBuf> = fs::read_dir(format!("/proc/{runner}/fd"))
        .expect("its descriptors")
        .filter_map(|entry| fs::read_link(entry.expect("an entry").path()).ok())
        .collect();
    let session = shop.lines("session").join("\n");
    let of_session = |path: &&PathBuf| {
        let path = path.to_string_lossy();
        path == leak.to_string_lossy() || path.starts_with("pipe:") && session.contains(&*path)
    };
    assert!(session.contains("pipe:"), "{session}");
    assert_eq!(open.iter().find(of_session), None, "{open:?}");
    assert_eq!(open.iter().filter(|path| **path == Path::new("/dev/null")).count(), 3, "{open:?}");
    let own = shop.lines("own").join("\n");
    assert!(own.contains("/dev/null") && !own.contains("leak"), "{own}");
    let pipes: Vec<&str> = own.split(' ').filter(|word| word.starts_with("pipe:")).collect();
    assert!(pipes.iter().all(|pipe| !session.contains(pipe.trim_end())), "{own}\n{session}");
    let session = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(3)).expect("a session").to_owned()
    };
    assert_eq!(session(&runner), runner, "it leads a session of its own");
    fs::write(shop.path("go"), "").expect("written");
    wait_for(&job(&shop.mirror, "work"));
}

/// The process that runs a job of a configuration by itself.
fn runner(config: &Path) -> String {
    let is_runner = |pid: &String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&*config.to_string_lossy()) && line.contains("--detached")
    };
    let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.find(is_runner).expect("a runner")
}

#[test]
fn a_hundred_sessions_during_a_run_make_one_more() {
    let shop = Workshop::new(WAITS, "");
    let job = job(&shop.mirror, "work");
    assert!(shop.session(&["work"]).output().expect("started").status.success());
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    side_by_side(0..100, |_| {
        assert!(shop.session(&["work"]).output().expect("started").status.success());
    });
    assert!(job.is_running() && job.is_marked());
    assert_eq!(shop.lines("runs").len(), 1);
    fs::write(shop.path("go"), "").expect("written");
    wait_for(&job);
    assert_eq!(shop.lines("runs").len(), 2);
}

#[test]
fn a_stage_waits_for_the_run_before_it_and_is_told_of_its_own_end() {
    let shop = Workshop::new(
        "echo $QFM_STAGE >>runs; until test -e go; do sleep 0.02; done; test $QFM_STAGE = all || exit 9",
        "",
    );
    let job = job(&shop.mirror, "work");
    assert!(shop.session(&["work"]).output().expect("started").status.success());
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    let mut stage = shop.session(&["work", "sync:stage1"]).spawn().expect("started");
    wait_until("it is marked", || job.is_marked());
    assert!(stage.try_wait().expect("looked").is_none(), "it waits");
    fs::write(shop.path("go"), "").expect("written");
    assert_eq!(stage.wait().expect("it ends").code(), Some(9));
    wait_for(&job);
    assert_eq!(shop.lines("runs"), ["all", "stage1"]);
}

#[test]
fn two_stages_that_wait_for_a_run_are_both_done_and_in_their_order() {
    let shop = Workshop::new("echo $QFM_STAGE >>runs; until test -e go; do sleep 0.02; done", "");
    let job = job(&shop.mirror, "work");
    assert!(shop.session(&["work"]).output().expect("started").status.success());
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    let mut second = shop.session(&["work", "sync:stage2"]).spawn().expect("started");
    let mut first = shop.session(&["work", "sync:stage1"]).spawn().expect("started");
    wait_until("both are marked", || job.marks() == ["stage1", "stage2", "all"]);
    fs::write(shop.path("go"), "").expect("written");
    for session in [&mut first, &mut second] {
        assert!(session.wait().expect("it ends").success());
    }
    wait_for(&job);
    assert_eq!(shop.lines("runs"), ["all", "stage1", "stage2"]);
}

#[test]
fn a_session_ends_with_its_own_stage_and_its_result() {
    let script = "echo $QFM_STAGE >>runs; until test -e go.$QFM_STAGE; do sleep 0.02; done; test $QFM_STAGE != stage1 || exit 37";
    let shop = Workshop::new(script, "job.work.deadline = \"30s\"");
    let job = job(&shop.mirror, "work");
    assert!(shop.session(&["work"]).output().expect("started").status.success());
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    let start = |stage| shop.session(&["work", stage]).stderr(Stdio::piped()).spawn().expect("started");
    let (first, mut second) = (start("sync:stage1"), start("sync:stage2"));
    wait_until("both are marked", || job.marks() == ["stage1", "stage2", "all"]);
    fs::write(shop.path("go.all"), "").expect("written");
    fs::write(shop.path("go.stage1"), "").expect("written");
    // The second stage is held up until the session of the first has ended.
    let first = first.wait_with_output().expect("it ends");
    assert_eq!(first.status.code(), Some(37), "{first:?}");
    assert!(String::from_utf8_lossy(&first.stderr).contains("job work (stage1, ssh): ended with 37"), "{first:?}");
    assert!(second.try_wait().expect("looked").is_none(), "it waits for its own");
    fs::write(shop.path("go.stage2"), "").expect("written");
    let second = second.wait_with_output().expect("it ends");
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    wait_for(&job);
    assert_eq!(shop.lines("runs"), ["all", "stage1", "stage2"]);
}

#[test]
fn a_deadline_does_not_end_a_session_whose_stage_has_begun() {
    let shop = Workshop::new(
        "echo run >>runs; until test -e go.$QFM_STAGE; do sleep 0.02; done",
        "job.work.deadline = \"3s\"",
    );
    let job = job(&shop.mirror, "work");
    assert!(shop.session(&["work"]).output().expect("started").status.success());
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    let session = shop.session(&["work", "sync:stage1"]).stderr(Stdio::piped()).spawn().expect("started");
    wait_until("it is marked", || job.marks() == ["stage1", "all"]);
    fs::write(shop.path("go.all"), "").expect("written");
    // The run begins later than the session, and its time is over later.
    let output = session.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(124), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("its deadline passed"), "{output:?}");
    wait_for(&job);
}

#[test]
fn a_hostile_environment_has_no_effect() {
    let shop = Workshop::new("env >environment; echo run >>runs", "");
    let evil = shop.path("evil.sh");
    fs::write(&evil, format!("touch {:?}\n", shop.path("evil"))).expect("written");
    let mut command = shop.session(&["work"]);
    for (name, value) in [
        ("QFM_CONFIG", "/nowhere.toml"),
        ("QFM_STATE", "/nowhere"),
        ("QFM_MODULES", "fedora-epel"),
        ("QFM_JOB", "other"),
        ("QFM_STAGE", "stage1"),
        ("XDG_CONFIG_HOME", "/nowhere"),
        ("CREDENTIALS_DIRECTORY", "/nowhere"),
        ("PATH", "/nowhere"),
        ("IFS", "/"),
        ("TZ", ":/etc/passwd"),
        ("LD_LIBRARY_PATH", "/nowhere"),
        ("RSYNC_CONNECT_PROG", "/nowhere"),
    ] {
        command.env(name, value);
    }
    command.env("BASH_ENV", &evil).env("ENV", &evil).env("SSH_ORIGINAL_COMMAND", "sync:archive:work");
    let output = command.output().expect("started");
    assert!(output.status.success(), "{output:?}");
    wait_for(&job(&shop.mirror, "work"));
    assert_eq!(shop.lines("runs"), ["run"]);
    assert!(!shop.path("evil").exists());
    let mut names: Vec<String> =
        shop.lines("environment").iter().map(|line| line.split('=').next().unwrap_or_default().to_owned()).collect();
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str()));
    names.sort();
    assert_eq!(names, ["HOME", "LANG", "PATH", "QFM_JOB", "QFM_STAGE", "QFM_TRIGGER"]);
    for line in ["QFM_JOB=work", "QFM_STAGE=all", "QFM_TRIGGER=ssh", "LANG=C.UTF-8"] {
        assert!(shop.lines("environment").iter().any(|found| found == line), "{line}");
    }
    assert!(shop.lines("environment").iter().all(|line| !line.contains("nowhere")));
}

#[test]
fn ten_thousand_hostile_words_start_nothing_else_and_stay_out_of_the_log() {
    let log = tempfile::tempdir().expect("a directory");
    let path = log.path().join("log");
    let shop = Workshop::new(WAITS, &format!("log_file = {path:?}"));
    let job = job(&shop.mirror, "work");
    assert!(shop.session(&["work"]).output().expect("started").status.success());
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    let before = shop.names();
    let mut chance = Chance::new(7);
    let sessions: Vec<Vec<u8>> = (0..250).map(|_| hostile(&mut chance, 40)).collect();
    side_by_side(sessions.chunks(2), |pair| {
        for sent in pair {
            let mut command = shop.session(&["sync:all"]);
            let output =
                command.env("SSH_ORIGINAL_COMMAND", OsString::from_vec(sent.clone())).output().expect("started");
            let code = output.status.code();
            assert!([Some(0), Some(2)].contains(&code), "ended with {code:?}: {}", sent.escape_ascii());
            assert!(is_harmless(&output.stderr), "{}", output.stderr.escape_ascii());
            assert!(output.stdout.is_empty());
        }
    });
    assert_eq!(shop.names(), before, "nothing was made or run");
    let logged = fs::read(&path).expect("a log");
    assert!(is_harmless(&logged), "the log has more than text");
    let logged = String::from_utf8_lossy(&logged).into_owned();
    let longest = logged.lines().max_by_key(|line| line.len()).expect("a line");
    assert!(longest.len() < 300, "{longest}");
    fs::write(shop.path("go"), "").expect("written");
    wait_for(&job);
    assert!(shop.lines("runs").iter().all(|line| line == "run"), "only what was named before");
}

fn is_harmless(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n'))
}

/// So many words, without what no variable can hold.
fn hostile(chance: &mut Chance, words: usize) -> Vec<u8> {
    const PIECES: [&[u8]; 22] = [
        b"sync:archive:",
        b"sync:all",
        b"sync:",
        b"ftpsync",
        b"../",
        b"/bin/sh",
        b"-c",
        b"--config=/etc/passwd",
        b"$(reboot)",
        b"`reboot`",
        b"|",
        b"&&",
        b";",
        b">/tmp/x",
        b"\x1b[2J",
        b"\r",
        b"'",
        b"\"",
        b"*",
        b"\xff\xfe",
        b"other/../other",
        b"%s%n",
    ];
    let mut text = Vec::new();
    for _ in 0..words {
        match chance.below(4) {
            0 => (0..chance.below(60)).for_each(|_| text.push(1 + chance.below(255) as u8)),
            1 if chance.below(20) == 0 => text.extend(vec![b'A'; 9000]),
            _ => (0..1 + chance.below(3)).for_each(|_| text.extend(PIECES[chance.below(PIECES.len())])),
        }
        text.push(b' ');
    }
    text
}

#[test]
fn the_variable_names_the_configuration_to_who_is_started_by_an_admin_alone() {
    let shop = Workshop::new("echo run >>runs", "");
    let key = shop.mirror.private("key.pub", "ssh-ed25519 AAAA them\n");
    let home = tempfile::tempdir().expect("a directory");
    let call = |words: &[&str]| {
        let mut command = Command::new(QFM);
        qfm::demo::clean_environment(&mut command, home.path());
        let output = command.env("QFM_CONFIG", &shop.mirror.config).args(words).output().expect("started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(call(&["run-job", "work"]).0, Some(0));
    assert_eq!(shop.lines("runs"), ["run"]);
    let (code, line, _) = call(&["config", "authorized-key", key.to_str().expect("a path"), "work"]);
    assert!(code == Some(0) && line.contains(&format!("--config {} ", shop.mirror.config.display())), "{line}");
    let said = call(&["listen"]).2;
    assert!(said.contains("no job has a secret"), "{said}");
    if !Path::new(config::SYSTEM_FILE).exists() {
        let said = call(&["trigger", "work"]).2;
        assert!(said.contains("there is no configuration file"), "{said}");
        assert_eq!(shop.lines("runs"), ["run"]);
    }
}
