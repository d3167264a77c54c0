//! Pushes over a real ssh: from mirror to mirror, and to those who cannot hear them.

mod support;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use qfm::exit::Status;
use support::*;

/// What is upstream: packages, and what leads to them.
fn content(up: &mut Upstream) -> Built {
    up.file("fedora/os/a.rpm", b"a")?.file("fedora/os/repodata/repomd.xml", b"1").map(drop)
}

fn newer(up: &mut Upstream) -> Built {
    up.file("fedora/os/new.rpm", b"new")?
        .remove("fedora/os/a.rpm")?
        .file("fedora/os/repodata/repomd.xml", b"2")
        .map(drop)
}

/// What makes somebody a downstream that is told through this sshd.
fn settings(name: &str, kind: &str, sshd: &Sshd) -> String {
    let mut options = sshd.arguments();
    let address = options.pop().expect("an address");
    format!(
        "downstream.{name}.ssh = {address:?}\ndownstream.{name}.kind = {kind:?}\ndownstream.{name}.options = {options:?}\n"
    )
}

/// The forced command of a mirror.
fn trigger(mirror: &Mirror) -> String {
    format!("{} --config {} trigger", env!("CARGO_BIN_EXE_qfm"), mirror.config.display())
}

/// A mirror of what another one has, in step.
fn below(daemon: &Daemon) -> Mirror {
    let mirror = Mirror::new(&daemon.url(), &[FEDORA]);
    mirror.sync();
    mirror
}

#[test]
fn two_mirrors_have_stage_1_everywhere_before_stage_2_begins_anywhere() {
    let mut scene = Scene::synced(&[FEDORA], content);
    let daemon = Setup::new(&scene.mirror.root).start().expect("a daemon");
    let mirrors = [below(&daemon), below(&daemon)];
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("log");
    // It looks at both mirrors before its own is touched.
    let script = |number: usize| -> PathBuf {
        let path = directory.path().join(format!("forced.{number}"));
        let looks = mirrors.iter().map(|mirror| {
            let os = mirror.path("fedora/os");
            format!(
                "if [ -e {os:?}/new.rpm ]; then saw=$saw+; else saw=$saw-; fi\nsaw=$saw$(cat {os:?}/repodata/repomd.xml)\n"
            )
        });
        let looks: String = looks.collect();
        let text = format!(
            "#!/bin/sh\nstage=${{SSH_ORIGINAL_COMMAND##*sync:}}\n{looks}echo \"begin {number} $stage $saw\" >> {log:?}\n\
             {}\necho \"end {number} $stage $?\" >> {log:?}\n",
            trigger(&mirrors[number])
        );
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("changed");
        path
    };
    let start = |number: usize| Sshd::start(&script(number).display().to_string());
    let (Some(one), Some(two)) = (start(0), start(1)) else { return };
    scene.mirror.add(&[settings("one", "staged", &one), settings("two", "staged", &two)].concat());
    scene.change(newer);
    let result = scene.mirror.run(&["-v"]).status(Status::Done);
    let log = fs::read_to_string(&log).unwrap_or_else(|error| panic!("{error}: {result:?}"));
    let of = |text: &str| log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((of("end").len(), of("begin").len()), (4, 4), "{log}\n{result:?}");
    assert!(of("end").iter().all(|line| line.ends_with(" 0")), "{log}\n{result:?}");
    for line in of("begin") {
        let saw = line.split(' ').next_back().expect("a word");
        // In stage 1 nothing leads to what came: the pointer is the old one on both. When the first stage 2 begins, both have it all.
        let fits = if line.contains("stage1") { saw.matches('1').count() == 2 } else { saw.matches('+').count() == 2 };
        assert!(fits, "{log}");
    }
    let last = of("stage1").into_iter().rfind(|line| line.starts_with("end")).expect("a line");
    let at = |line: &str| log.find(line).expect("a line");
    assert!(of("begin").iter().filter(|line| line.contains("stage2")).all(|line| at(line) > at(&last)), "{log}");
    for mirror in &mirrors {
        assert_same(scene.site.upstream.root(), &mirror.root);
    }
}

#[test]
fn who_is_told_of_hops_has_told_those_below_when_its_session_ends() {
    let mut first = Scene::synced(&[FEDORA], content);
    let daemon = Setup::new(&first.mirror.root).start().expect("a daemon");
    let mut second = below(&daemon);
    let daemon_below = Setup::new(&second.root).start().expect("a daemon");
    let third = below(&daemon_below);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("log");
    let start = |name: &str, mirror: &Mirror| {
        let path = directory.path().join(name);
        let stage = "${SSH_ORIGINAL_COMMAND##*sync:}";
        let text = format!("#!/bin/sh\n{}\necho \"{name} {stage} $?\" >> {log:?}\n", trigger(mirror));
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("changed");
        Sshd::start(&path.display().to_string())
    };
    let (Some(to_second), Some(to_third)) = (start("second", &second), start("third", &third)) else { return };
    second.add(&settings("third", "staged", &to_third));
    first.mirror.add(&settings("second", "mhop", &to_second));
    first.change(newer);
    first.mirror.run(&[]).status(Status::Done);
    let lines = || -> Vec<String> { fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect() };
    wait_until("the third is told of all", || lines().iter().any(|line| line.starts_with("third stage2")));
    let lines = lines();
    // The second has told the third of stage 1 when its own session for that ends, and tells it of both when it has all.
    assert_eq!(lines[..2], ["third stage1 0", "second stage1 0"]);
    assert_eq!((lines.len(), lines[4].as_str()), (5, "third stage2 0"), "{lines:?}");
    wait_until("all is over", || processes_on(&second.config).is_empty() && processes_on(&third.config).is_empty());
    assert_same(first.site.upstream.root(), &third.root);
}

#[test]
fn a_change_goes_through_three_tiers_without_a_timer() {
    let mut first = Scene::synced(&[FEDORA], content);
    let daemon = Setup::new(&first.mirror.root).start().expect("a daemon");
    let second = below(&daemon);
    let Some(to_second) = Sshd::start(&trigger(&second)) else { return };
    let Some(to_first) = Sshd::start(&trigger(&first.mirror)) else { return };
    first.mirror.add(&format!(
        "rsync.program = {:?}\ntrace.file = \"project/trace/tier1\"\n{}",
        first.wrapper.program(),
        settings("second", "all", &to_second)
    ));
    for version in 0..2 {
        first.change(|up| up.file(format!("fedora/os/{version}.rpm"), b"new").map(drop));
        let told = to_first.ssh(&[], "sync:archive: sync:all");
        assert!(told.status.success(), "{told:?}");
        let arrived = second.path(format!("fedora/os/{version}.rpm"));
        wait_until("it arrives at the second tier", || arrived.exists());
        let list = |mirror: &Mirror| fs::read(mirror.path("fedora/fullfiletimelist-fedora")).expect("a list");
        wait_until("its list does", || list(&second) == list(&first.mirror));
        let trace = fs::read_to_string(first.mirror.path("project/trace/tier1")).expect("a trace");
        assert!(trace.contains("\nTrigger: ssh\n"), "{trace}");
    }
    wait_until("all is over", || {
        processes_on(&second.config).is_empty() && processes_on(&first.mirror.config).is_empty()
    });
    assert_same(first.site.upstream.root(), &second.root);
}

#[test]
fn who_hangs_who_refuses_and_who_has_another_key_hold_nothing_up_and_are_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let heard = directory.path().join("heard");
    let Some(good) = Sshd::start(&format!("touch {}", heard.display())) else { return };
    // It takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = mute.local_addr().expect("an address").port();
    let known = directory.path().join("known");
    let key = fs::read_to_string(good.public_key()).expect("a key");
    fs::write(&known, format!("[127.0.0.1]:{} {key}", good.port)).expect("written");
    let elsewhere = |name: &str, port: u16, more: &str| {
        format!(
            "downstream.{name}.ssh = \"127.0.0.1\"\ndownstream.{name}.options = [\"-F\", \"none\", \"-p\", \"{port}\"{more}]\n"
        )
    };
    let mut scene = Scene::synced(&[FEDORA], content);
    scene.mirror.add(&format!(
        "push.timeout = \"5s\"\n{}{}{}{}{}",
        settings("good", "all", &good),
        elsewhere("mute", port, ""),
        elsewhere("closed", 1, ""),
        elsewhere("changed", good.port, &format!(", \"-o\", \"UserKnownHostsFile={}\"", known.display())),
        elsewhere(
            "unknown",
            good.port,
            ", \"-o\", \"UserKnownHostsFile=/dev/null\", \"-o\", \"GlobalKnownHostsFile=/dev/null\""
        ),
    ));
    scene.change(newer);
    let running = scene.start(&[]);
    wait_until("who can hear is told, whatever the others do", || heard.exists());
    // The locks are free meanwhile.
    scene.mirror.run(&["--no-push"]).status(Status::Done);
    assert_eq!(running.end(), Some(0));
    let record = scene.mirror.run(&["push", "--json", "--strict"]).status(Status::Notify).json();
    let errors = record["errors"].to_string();
    for (name, why) in [
        ("mute", "it took longer than push.timeout (5s)"),
        ("closed", "Connection refused"),
        ("changed", "its host key is not the one that ssh knows of it"),
        ("unknown", "its host key is not known to ssh"),
    ] {
        assert!(errors.contains(&format!("push to {name}: ")) && errors.contains(why), "{name}: {errors}");
    }
    assert!(!errors.contains("push to good"), "{errors}");
    drop(mute);
}
