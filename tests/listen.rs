//! Triggers over HTTP: who may start what, and that a trigger is neither lost nor piled up.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use qfm::config::Fingerprint;
use qfm::exit::Status;
use rustix::process::{Pid, Signal, kill_process};
use support::listener::*;
use support::*;

#[test]
fn both_shapes_start_the_job_that_they_name() {
    if !is_here("curl") {
        return;
    }
    let yard = Yard::new("");
    let listening = yard.listen();
    let (path, address) = (path_of("archive", SECRET), &listening.address);
    let basic = format!("http://releases:{SECRET}@{address}/trigger");
    let in_path = format!("http://{address}{path}");
    assert_eq!(curl(&[&basic]), (202, String::new()));
    yard.wait_for_runs(1);
    yard.settle();
    assert_eq!(curl(&[&in_path]), (202, String::new()));
    yard.wait_for_runs(2);
    yard.settle();
    assert_eq!(curl(&["--data", "anything", &in_path]), (202, String::new()), "a POST");
    yard.wait_for_runs(3);
    yard.settle();
    assert_eq!(curl(&["--http1.0", &in_path]), (202, String::new()));
    yard.wait_for_runs(4);
    yard.settle();
    let archive = "archive all http 0";
    assert_eq!(yard.runs(), ["releases all http 0", archive, archive, archive]);

    assert_eq!(curl(&["--head", &in_path]).0, 404, "who only looks starts nothing");
    assert_eq!(curl(&[&format!("http://{address}/healthz")]), (200, "ok\n".to_owned()));
    assert_eq!(curl(&[&format!("http://{address}/")]), (404, String::new()));
    yard.settle();
    assert_eq!(yard.runs().len(), 4);
    assert!(!listening.said().contains(SECRET), "{}", listening.said());
}

#[test]
fn what_is_listened_for_triggered_refused_and_why_a_job_failed_is_said_and_logged_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let (log, script) = (directory.path().join("log"), directory.path().join("script"));
    fs::write(&script, "echo no room on the moon >&2; exit 42").expect("written");
    let sha256 = Fingerprint::of(SECRET.as_bytes());
    let yard = Yard::new(&format!(
        "log_file = {log:?}\njob.fails.command = [\"/bin/sh\", {script:?}]\njob.fails.secret_sha256 = \"{sha256}\"\n\
         job.off.command = [\"/bin/true\"]\njob.off.secret_file = \"/nowhere/secret\""
    ));
    let listening = yard.listen();
    assert_eq!(listening.status(&format!("GET {} HTTP/1.1", path_of("fails", SECRET))), 202);
    let state = yard.state("fails");
    wait_until("the job is done", || !state.is_marked() && !state.is_locked());
    for _ in 0..2 {
        assert_eq!(listening.status(&format!("GET {} HTTP/1.1", path_of("fails", "wrong"))), 404);
    }
    listening.read_anew();
    let logged = || fs::read_to_string(&log).expect("a log");
    wait_until("it is logged", || logged().contains("read anew"));
    let (said, logged) = (listening.said(), logged());
    let address = &listening.address;
    for (level, times, what) in [
        ("INFO", 1, format!("listening on {address}")),
        ("INFO", 1, "job fails is triggered over http (all) from 127.0.0.1".to_owned()),
        ("ERROR", 1, "job fails (all, http): ended with 42; it said: no room on the moon".to_owned()),
        ("INFO", 1, "1 request opened nothing; the last came from 127.0.0.1".to_owned()),
        ("INFO", 1, "the configuration is read anew".to_owned()),
        ("ERROR", 2, "job off cannot be triggered over HTTP: ".to_owned()),
    ] {
        assert_eq!(said.matches(&what).count(), times, "{what}: {said}");
        let line = format!(" {level:<5} jobs: {what}");
        assert_eq!(logged.matches(&line).count(), times, "{line}: {logged}");
    }
    assert!(logged.contains(" job=fails origin=http stage=all from=127.0.0.1 pid="), "{logged}");
    assert!(![said, logged].concat().contains(SECRET));
}

#[test]
fn what_keeps_a_listener_from_listening_is_logged() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let yard = Yard::new(&format!("log_file = {log:?}\nlisten.address = \"unix:/nowhere/trigger.sock\""));
    let result = yard.mirror.run(&["listen"]).status(Status::Local);
    let why = "cannot listen on unix:/nowhere/trigger.sock: No such file or directory";
    assert_eq!(result.stderr.matches(why).count(), 1, "{result:?}");
    let logged = fs::read_to_string(&log).expect("a log");
    assert!(logged.contains(&format!(" ERROR run: {why}")), "{logged}");
}

#[test]
fn a_wrong_secret_and_an_unknown_job_are_answered_alike() {
    let yard = Yard::new("");
    let listening = yard.listen();
    let wrong = SECRET.replace('1', "2");
    let requests = [
        format!("GET {} HTTP/1.1\r\n", path_of("archive", &wrong)),
        format!("GET {} HTTP/1.1\r\n", path_of("unknown", SECRET)),
        format!("POST {} HTTP/1.1\r\n", path_of("archive", "x")),
        format!("GET /trigger HTTP/1.1\r\n{}\r\n", authorization("archive", &wrong)),
        format!("GET /trigger HTTP/1.1\r\n{}\r\n", authorization("unknown", SECRET)),
        "GET /trigger HTTP/1.1\r\n".to_owned(),
        "GET /anything/else HTTP/1.1\r\n".to_owned(),
        "DELETE / HTTP/1.1\r\n".to_owned(),
    ];
    let answers = requests.map(|request| {
        let answer = listening.ask(format!("{request}Host: mirror\r\n\r\n"));
        answer.lines().filter(|line| !line.starts_with("date: ")).map(|line| format!("{line}\n")).collect::<String>()
    });
    assert_eq!(status(&answers[0]), 404);
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    yard.settle();
    assert_eq!(yard.runs(), [""; 0]);
}

#[test]
fn a_hundred_triggers_during_a_run_make_one_more() {
    let yard = Yard::new("");
    let listening = yard.listen();
    let request = format!("GET {} HTTP/1.1", path_of("archive", SECRET));
    yard.hold();
    assert_eq!(listening.status(&request), 202);
    yard.wait_for_runs(1);
    side_by_side(0..100, |_| assert_eq!(listening.status(&request), 202));
    assert_eq!(yard.runs().len(), 1, "one at a time");
    yard.let_go();
    yard.wait_for_runs(2);
    yard.settle();
    assert_eq!(yard.runs().len(), 2);
    // Nobody is left behind of those who were started.
    wait_until("no child is left", || children_of(listening.pid()).is_empty());
}

#[test]
fn what_was_triggered_before_the_listener_was_killed_is_done_by_the_next() {
    let yard = Yard::new("");
    let listening = yard.listen();
    let request = format!("GET {} HTTP/1.1", path_of("archive", SECRET));
    yard.hold();
    assert_eq!(listening.status(&request), 202);
    yard.wait_for_runs(1);
    assert_eq!(listening.status(&request), 202);
    let children = children_of(listening.pid());
    let [runner] = children[..] else { panic!("one job runs: {children:?}: {}", listening.said()) };
    assert!(!listening.end(Signal::KILL).success());
    assert!(yard.state("archive").is_locked(), "what it started goes on");
    // And now that is killed too.
    kill_process(runner, Signal::KILL).expect("it goes on");
    wait_until("the lock is free", || !yard.state("archive").is_locked());
    yard.let_go();
    assert!(yard.state("archive").is_marked());
    let _listening = yard.listen();
    yard.wait_for_runs(2);
    yard.settle();
    assert_eq!(yard.runs(), ["archive all http 0", "archive all http 0"]);
}

/// The children of a process, whichever of its threads started them.
fn children_of(pid: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).expect("a process");
    // A thread may end meanwhile, and leaves its children to another.
    let of_thread = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let pids: String = of_thread.collect();
    pids.split_whitespace().map(|pid| pid.parse().ok().and_then(Pid::from_raw).expect("a process")).collect()
}

#[test]
fn who_asks_in_vain_too_often_is_not_listened_to() {
    let yard = Yard::new("listen.rate = 5\nlisten.trusted_proxies = [\"127.0.0.1\"]");
    let listening = yard.listen();
    let wrong = |from: &str| {
        listening.status(&format!("GET {} HTTP/1.1\r\nX-Forwarded-For: {from}", path_of("archive", "wrong")))
    };
    let right = |from: &str| {
        listening.status(&format!("GET {} HTTP/1.1\r\nX-Forwarded-For: {from}", path_of("archive", SECRET)))
    };
    // Those who come with the secret may come as often as they like.
    for _ in 0..20 {
        assert_eq!(right("192.0.2.1"), 202);
    }
    for _ in 0..5 {
        assert_eq!(wrong("198.51.100.1, 192.0.2.1"), 404);
    }
    assert_eq!(right("192.0.2.1"), 404, "it has asked too often");
    assert_eq!(right("192.0.2.1, 192.0.2.2"), 202, "another one has not");
    yard.settle();
}

#[test]
fn nobody_but_a_trusted_proxy_says_where_a_request_comes_from() {
    let yard = Yard::new("listen.rate = 5");
    let listening = yard.listen();
    for last in 0..5 {
        let from = format!("X-Forwarded-For: 192.0.2.{last}");
        assert_eq!(listening.status(&format!("GET {} HTTP/1.1\r\n{from}", path_of("archive", "wrong"))), 404);
    }
    let right = format!("GET {} HTTP/1.1\r\nX-Forwarded-For: 192.0.2.9", path_of("archive", SECRET));
    assert_eq!(listening.status(&right), 404, "all came from 127.0.0.1");
    let said = listening.said();
    assert!(said.contains("from 127.0.0.1") && !said.contains("192.0.2."), "{said}");
}

#[test]
fn a_unix_socket_is_for_user_and_group_and_goes_with_its_listener() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trigger.sock");
    let yard = Yard::new(&format!("listen.address = \"unix:{}\"", path.display()));
    let ask = |request: &str| {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream.write_all(format!("{request}\r\nHost: mirror\r\n\r\n").as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        status(&answer)
    };
    let listening = yard.listen();
    assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o660);
    assert_eq!(ask(&format!("GET {} HTTP/1.1", path_of("archive", SECRET))), 202);
    yard.wait_for_runs(1);
    yard.settle();
    let second = yard.mirror.run(&["listen"]).status(Status::Local);
    assert!(second.stderr.contains(&format!("cannot listen on unix:{}", path.display())), "{}", second.stderr);
    assert!(!listening.end(Signal::KILL).success());
    assert!(path.exists(), "it was killed");
    let listening = yard.listen();
    assert_eq!(ask("GET /healthz HTTP/1.1"), 200);
    assert!(listening.end(Signal::TERM).success());
    assert!(!path.exists());
}

#[test]
fn sockets_that_are_handed_over_come_first() {
    if !is_here("systemd-socket-activate") {
        return;
    }
    let yard = Yard::new("listen.address = \"unix:/nowhere/to/listen\"");
    let socket = yard.path("handed.sock");
    let program = yard.mirror.command(&["listen"]);
    let mut command = std::process::Command::new("systemd-socket-activate");
    command.arg("--listen").arg(&socket).arg(program.get_program()).args(program.get_args());
    let path = socket.clone();
    // It begins when somebody calls.
    let caller = std::thread::spawn(move || {
        let mut stream = None;
        // A socket has its name before it is listened at.
        wait_until("somebody listens", || {
            stream = UnixStream::connect(&path).ok();
            stream.is_some()
        });
        let mut stream = stream.expect("a stream");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: mirror\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    });
    let listening = yard.listen_by(command);
    assert_eq!(status(&caller.join().expect("it was answered")), 200);
    assert_eq!(listening.address, format!("unix:{}", socket.display()));
    assert!(listening.end(Signal::TERM).success());
    assert!(socket.exists(), "it is not ours");
}

#[test]
fn the_service_manager_is_told_and_who_is_connected_gets_an_answer() {
    let yard = Yard::new("listen.timeout = \"20s\"");
    let path = yard.path("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let told = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("told");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let mut command = yard.mirror.command(&["listen"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let listening = yard.listen_by(command);
    let first: Vec<String> = (0..3).map(|_| told()).collect();
    assert!(first.iter().any(|it| it == "READY=1") && first.iter().any(|it| it == "WATCHDOG=1"), "{first:?}");
    let mut stream = TcpStream::connect(&listening.address).expect("it listens");
    let request = format!("GET {} HTTP/1.1\r\nHost: mirror\r\n", path_of("archive", SECRET));
    stream.write_all(request.as_bytes()).expect("sent");
    // It has taken this one when it answers the next.
    assert_eq!(listening.status("GET /healthz HTTP/1.1"), 200);
    kill_process(listening.pid(), Signal::TERM).expect("it is there");
    while told() != "STOPPING=1" {}
    stream.write_all(b"\r\n").expect("it reads still");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert_eq!(status(&answer), 202);
    assert!(listening.end(Signal::TERM).success());
    yard.wait_for_runs(1);
    yard.settle();
}

#[test]
fn the_configuration_is_read_anew_at_sighup_and_one_that_is_not_good_changes_nothing() {
    let mut yard = Yard::new("");
    let path = yard.path("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let wait_for = |state: &str| {
        let mut buffer = [0; 256];
        while {
            let length = manager.recv(&mut buffer).expect("told");
            !String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == state)
        } {}
    };
    let mut command = yard.mirror.command(&["listen"]);
    command.env("NOTIFY_SOCKET", &path);
    let listening = yard.listen_by(command);
    wait_for("READY=1");
    let ask = || listening.status(&format!("GET {} HTTP/1.1", path_of("extra", SECRET)));
    let read_anew = || {
        kill_process(listening.pid(), Signal::HUP).expect("it is there");
        wait_for("RELOADING=1");
        wait_for("READY=1");
    };
    let sha256 = Fingerprint::of(SECRET.as_bytes());
    yard.mirror.add(&format!("job.extra.command = [\"/bin/true\"]\njob.extra.secret_sha256 = \"{sha256}\""));
    assert_eq!(ask(), 404, "nobody said that it is read anew");
    read_anew();
    assert_eq!(ask(), 202);
    wait_until("the job is done", || !yard.state("extra").is_marked() && !yard.state("extra").is_locked());
    yard.mirror.add("nonsense = 1");
    read_anew();
    let said = listening.said();
    assert!(said.contains("nonsense") && said.contains("what was read before holds"), "{said}");
    assert_eq!(ask(), 202, "it is on disk, and done when the file is good again");
    assert!(listening.end(Signal::TERM).success());
}

#[test]
fn units_are_started_by_systemctl_where_that_is_wanted() {
    let yard = Yard::new("listen.start = \"systemctl\"");
    let program = yard.path("systemctl");
    // The first call is lost, as one to a unit that is about to end.
    let text = format!(
        "#!/bin/sh\necho \"$@\" >>'{called}'\n[ \"$(wc -l <'{called}')\" -gt 1 ] || exit 0\n'{qfm}' --config '{config}' run-job archive &\n",
        called = yard.path("called").display(),
        qfm = env!("CARGO_BIN_EXE_qfm"),
        config = yard.mirror.config.display(),
    );
    fs::write(&program, text).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("changed");
    let mut command = yard.mirror.command(&["listen"]);
    let path = std::env::var("PATH").expect("a PATH");
    command.env("PATH", format!("{}:{path}", program.parent().expect("a directory").display()));
    let listening = yard.listen_by(command);
    assert_eq!(listening.status(&format!("GET {} HTTP/1.1", path_of("archive", SECRET))), 202);
    yard.wait_for_runs(1);
    yard.settle();
    let called = fs::read_to_string(yard.path("called")).expect("it was called");
    let line = "start --no-block --no-ask-password -- qfm@archive.service";
    assert_eq!(called.lines().collect::<Vec<_>>(), [line, line]);
    assert!(matches!(&yard.runs()[..], [run] if run.starts_with("archive all ")), "{:?}", yard.runs());
}

#[test]
fn a_secret_in_a_file_counts_if_it_is_kept_there_and_else_its_job_alone_is_off() {
    let mut yard = Yard::new("");
    let path = yard.path("secret");
    yard.mirror.add(&format!("job.extra.command = [\"/bin/true\"]\njob.extra.secret_file = {path:?}"));
    let write = |text: &str, mode| {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
    };
    let listening = yard.listen();
    let ask =
        |job: &str, secret: &str| listening.status(&format!("GET /trigger HTTP/1.1\r\n{}", authorization(job, secret)));
    let is_off = |why: &str| {
        let said = listening.said();
        let mut told = said.lines().filter(|line| line.contains("job extra cannot be triggered over HTTP: "));
        assert!(told.next_back().is_some_and(|line| line.contains(why)) && !said.contains("horse"), "{why}: {said}");
        assert_eq!(ask("extra", "correct horse battery"), 404, "{why}");
        assert_eq!(ask("archive", SECRET), 202, "{why}");
    };
    is_off("No such file");
    write("correct horse battery\nstaple\n", 0o644);
    listening.read_anew();
    is_off("chmod o-rwx");
    write("correct horse battery\nstaple\n", 0o640);
    listening.read_anew();
    assert_eq!(ask("extra", "correct horse battery"), 202);
    assert_eq!(ask("extra", "correct horse battery\nstaple"), 404);
    wait_until("the job is done", || !yard.state("extra").is_marked() && !yard.state("extra").is_locked());
    write("horse\n", 0o640);
    listening.read_anew();
    is_off("shorter than 16");
    yard.settle();
}

#[test]
fn without_a_secret_nothing_is_listened_for() {
    let mirror = Mirror::new("rsync://127.0.0.1:1/none", &["fedora-epel"]);
    let result = mirror.run(&["listen"]).status(Status::Usage);
    assert!(result.stderr.contains("qfm config trigger-url"), "{}", result.stderr);
}

#[test]
fn a_new_secret_comes_with_its_urls_and_opens_its_job() {
    if !is_here("curl") {
        return;
    }
    let mut yard = Yard::new("");
    let made = yard.mirror.run(&["config", "trigger-url", "new", "--at", "http://mirror.example"]).status(Status::Done);
    let lines: Vec<&str> = made.stdout.lines().collect();
    let settings = lines.iter().position(|line| *line == "[job.new]").expect("a table");
    yard.mirror.add(&format!("{}\ncommand = [\"/bin/true\"]", lines[settings..].join("\n")));
    let listening = yard.listen();
    for url in lines.iter().filter(|line| line.starts_with("http://")) {
        assert_eq!(curl(&[&url.replace("mirror.example", &listening.address)]).0, 202, "{url}");
    }
    let shown = yard.mirror.run(&["config", "show"]).status(Status::Done);
    let secret = lines[1].split([':', '@']).nth(2).expect("a secret");
    assert!(secret.len() >= 32 && !shown.stdout.contains(secret) && !listening.said().contains(secret));
    for wrong in ["../x", "-x", "a/b", ""] {
        yard.mirror.run(&["config", "trigger-url", "--", wrong]).status(Status::Usage);
    }
}
