//! `qfm config check` says what a trigger or a push would trip over, and touches nothing.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use qfm::exit::Status;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::*;

fn mirror(extra: &str) -> Mirror {
    let mut mirror = Mirror::new("rsync://127.0.0.1:1/none", &[EPEL]);
    mirror.add(extra);
    mirror
}

/// A check of a configuration with these lines finds one fault, in this setting, that says this.
#[track_caller]
fn fault(extra: &str, setting: &str, why: &str) {
    let checked = mirror(extra).run(&["config", "check"]).status(Status::Usage);
    let faults: Vec<&str> = checked.stderr.lines().filter(|line| line.starts_with("qfm: error: ")).collect();
    assert!(
        matches!(&faults[..], [one] if one.contains(&format!("{setting}: ")) && one.contains(why)),
        "{extra}: {}",
        checked.stderr
    );
}

#[test]
fn what_a_job_needs_must_be_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str, mode| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
        path
    };
    fault("job.a.command = [\"/nowhere/work\"]", "job.a.command", "/nowhere/work cannot be run: No such file");
    fault(&format!("job.a.command = [{:?}]", file("work", "#!/bin/sh\n", 0o644)), "job.a.command", "cannot be run");
    fault(&format!("job.a.command = [{:?}]", directory.path()), "job.a.command", "is no program");

    fault("job.a.config = \"/nowhere/qfm.toml\"", "job.a.config", "No such file");
    let bad = file("bad.toml", "nonsense = 1\nmore = 2\n", 0o644);
    fault(&format!("job.a.config = {bad:?}"), "job.a.config", "nonsense: there is no such setting");
    let itself = mirror("");
    let line = format!("job.a.config = {:?}\n", itself.config);
    fs::write(&itself.config, line + &fs::read_to_string(&itself.config).expect("a file")).expect("written");
    let checked = itself.run(&["config", "check"]).status(Status::Usage);
    assert!(checked.stderr.contains("job.a.config: ") && checked.stderr.contains("itself"), "{}", checked.stderr);

    let secret = "correct horse battery staple\n";
    fault("job.a.secret_file = \"/nowhere/secret\"", "job.a.secret_file", "No such file");
    fault(&format!("job.a.secret_file = {:?}", file("open", secret, 0o644)), "job.a.secret_file", "by others");
    fault(&format!("job.a.secret_file = {:?}", file("short", "horse\n", 0o600)), "job.a.secret_file", "shorter");

    let good = mirror(&format!(
        "job.a.command = [{:?}]\njob.a.secret_file = {:?}\njob.b.config = {:?}",
        file("runs", "#!/bin/sh\n", 0o755),
        file("kept", secret, 0o600),
        file("other.toml", "upstream = \"h::m\"\nroot = \"/srv/other\"\nmodules = [\"fedora-epel\"]\n", 0o644),
    ));
    let checked = good.run(&["config", "check"]).status(Status::Done);
    assert!(checked.stdout.ends_with(" is good\n") && checked.stderr.is_empty(), "{}", checked.stderr);
    assert!(!good.state.exists(), "nothing is made");
}

#[test]
fn hooks_must_be_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let hook = directory.path().join("hook");
    fault(&format!("hook.changed = [{hook:?}]"), "hook.changed", "cannot be run: No such file");
    fs::write(&hook, "#!/bin/sh\n").expect("written");
    fault(&format!("hook.before = [{hook:?}, \"now\"]"), "hook.before", "cannot be run");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("changed");
    mirror(&format!("hook.failed = [{hook:?}]")).run(&["config", "check"]).status(Status::Done);
}

#[test]
fn the_directory_of_a_socket_may_be_made_later() {
    let checked = mirror("listen.address = \"unix:/nowhere/socket\"").run(&["config", "check"]).status(Status::Done);
    assert!(
        checked.stdout.contains("warning: ") && checked.stdout.contains("no directory /nowhere"),
        "{}",
        checked.stdout
    );
}

#[test]
fn a_pipe_in_place_of_a_file_holds_nobody_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    for (setting, more) in [
        ("push.mirrors", ""),
        ("job.a.config", ""),
        ("job.a.secret_file", ""),
        ("rsync.password_file", "rsync.user = \"u\""),
        ("checkin.password_file", "checkin.site = \"s\"\ncheckin.host = \"h\""),
        ("checkin.report_mirror", ""),
        ("downstream.a.url_file", ""),
    ] {
        fault(&format!("{setting} = {pipe:?}\n{more}"), setting, "no regular file");
    }
    let said = mirror(&format!("push.mirrors = {pipe:?}")).run(&["push", "--dry-run"]).stderr;
    assert!(said.contains("it is no regular file"), "{said}");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_qfm"));
    qfm::demo::clean_environment(&mut command, directory.path());
    let output = command.env("QFM_CONFIG", &pipe).args(["config", "check"]).output().expect("started");
    assert!(String::from_utf8_lossy(&output.stderr).contains("it is no regular file"), "{output:?}");
}

#[test]
fn what_a_push_needs_must_be_there() {
    let way = "downstream.a.ssh = \"u@h.example\"";
    fault("push.mirrors = \"/nowhere/mirrors\"", "push.mirrors", "No such file");
    let yard = mirror(way);
    let mirrors = yard.private("mirrors", "all a a.example.org u\nevery b b.example.org u\n");
    fault(&format!("push.mirrors = {mirrors:?}"), "push.mirrors", "mirrors:2: \"every\" is none of");
    fault(&format!("{way}\npush.key = \"/nowhere/key\""), "push.key", "no file /nowhere/key");
    fault(&format!("{way}\ndownstream.a.key = \"/nowhere/key\""), "downstream.a.key", "no file /nowhere/key");
    fault(&format!("{way}\npush.ssh = \"/nowhere/ssh\""), "push.ssh", "cannot be run");
    let url = yard.private("url", "https:/h/trigger\n");
    fault(&format!("downstream.a.url_file = {url:?}"), "downstream.a.url_file", "is no URL");
    // Who runs qfm may have another PATH.
    let checked = mirror(&format!("{way}\npush.ssh = \"qfm-no-such-ssh\""));
    let checked = checked.run(&["config", "check"]).status(Status::Done);
    assert!(checked.stdout.contains("warning: ") && checked.stdout.contains("in PATH"), "{}", checked.stdout);
}
