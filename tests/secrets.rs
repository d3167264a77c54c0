//! A daemon that wants a password: it is in the file that holds it, and nowhere else, whatever is asked of qfm and however it ends.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use qfm::exit::Status;
use support::*;

const SECRET: &str = "correct-horse-battery-staple";

/// What is asked, and how it ends with the right password and with a wrong one.
const ASKED: &[(&[&str], Status, Status)] = &[
    (&["config", "show"], Status::Done, Status::Done),
    (&["config", "show", "--json"], Status::Done, Status::Done),
    (&["config", "check"], Status::Done, Status::Done),
    (&["--dry-run", "-vv"], Status::Done, Status::Upstream),
    (&["--dry-run", "--json"], Status::Done, Status::Upstream),
    (&["size"], Status::Done, Status::Upstream),
    (&["-vv"], Status::Done, Status::Upstream),
    (&["--json", "--full", "-vv"], Status::Done, Status::Upstream),
];

struct Guarded {
    // The daemon goes before what it serves.
    _daemon: Daemon,
    _site: Site,
    mirror: Mirror,
    password: PathBuf,
}

/// A mirror of a daemon with this password, with all that can write set to do so; qfm is told the password by `told`.
fn guarded(told: &str) -> Guarded {
    let mut site = Site::new();
    let build =
        |up: &mut Upstream| -> Built { up.file("fedora/os/p.rpm", b"package")?.file("archive/a.rpm", b"a").map(drop) };
    build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
    let daemon = site.setup().account("mirror", SECRET).start().expect("a daemon");
    let mut mirror = Mirror::new(&daemon.url(), &[FEDORA, ARCHIVE]);
    let beside = |name: &str| mirror.config.with_file_name(name);
    let (password, log) = (beside("password"), beside("log"));
    fs::write(&password, format!("{told}\n")).expect("written");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("changed");
    mirror.add(&format!("log_file = {log:?}\nrsync.user = \"mirror\"\nrsync.retries = 1"));
    Guarded { _daemon: daemon, _site: site, mirror, password }
}

/// The files of a process and of all that it started, directly or not, in which a text shows.
fn shows_in(process: u32, text: &str) -> Vec<PathBuf> {
    let proc = PathBuf::from(format!("/proc/{process}"));
    let shows = |bytes: Vec<u8>| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    let mut found: Vec<PathBuf> = ["cmdline", "environ"]
        .map(|name| proc.join(name))
        .into_iter()
        .filter(|file| fs::read(file).is_ok_and(shows))
        .collect();
    let threads = fs::read_dir(proc.join("task")).into_iter().flatten().filter_map(Result::ok);
    for children in threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()) {
        found.extend(
            children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(|child| shows_in(child, text)),
        );
    }
    found
}

/// The files below a directory that hold a text.
fn files_with(top: &Path, text: &str) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(top).into_iter().map(|entry| entry.expect("an entry"));
    let files = files.filter(|entry| entry.file_type().is_file());
    let holds =
        |path: &PathBuf| fs::read(path).expect("readable").windows(text.len()).any(|part| part == text.as_bytes());
    files.map(walkdir::DirEntry::into_path).filter(holds).collect()
}

/// Asks qfm for everything, looks at its processes meanwhile, and at all that it said and wrote. `variable` passes the password on.
fn ask_for_everything(guarded: &Guarded, text: &str, variable: bool, is_right: bool) {
    let (mirror, top) = (&guarded.mirror, guarded.mirror.config.parent().expect("a directory"));
    let mut seen = false;
    for (asked, right, wrong) in ASKED {
        let mut command = mirror.command(asked);
        if variable {
            command.env("RSYNC_PASSWORD", text);
        }
        let mut child = command.stdin(Stdio::null()).spawn().expect("the program starts");
        let (mut shown, mut over) = (Vec::new(), false);
        while !over {
            over = child.try_wait().expect("it can be waited for").is_some();
            shown.extend(shows_in(child.id(), text));
        }
        // What came with the environment is in the environment.
        seen |= !shown.is_empty();
        shown.retain(|file| !variable || file.ends_with("cmdline"));
        assert!(shown.is_empty(), "{asked:?}: the password shows in {shown:?}");
        let output = child.wait_with_output().expect("it ends");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(said.iter().all(|said| !said.contains(text)), "{asked:?}: {said:?}");
        let expected = if is_right { right } else { wrong };
        assert_eq!(output.status.code(), Some(i32::from(expected.code())), "{asked:?}: {said:?}");
        let files = files_with(top, text);
        let of_ours: &[&PathBuf] = if variable { &[] } else { &[&guarded.password] };
        assert_eq!(files.iter().collect::<Vec<_>>(), of_ours, "{asked:?}: the password is in other files");
    }
    assert_eq!(seen, variable, "what is in the environment is seen");
}

#[test]
fn a_password_from_its_file_shows_nowhere_right_or_wrong() {
    for told in [SECRET, "wrong-horse-battery-staple"] {
        let mut guarded = guarded(told);
        guarded.mirror.add(&format!("rsync.password_file = {:?}", guarded.password));
        ask_for_everything(&guarded, told, false, told == SECRET);
    }
}

#[test]
fn a_password_from_the_environment_shows_nowhere_right_or_wrong() {
    for told in [SECRET, "wrong-horse-battery-staple"] {
        let guarded = guarded("not this one");
        ask_for_everything(&guarded, told, true, told == SECRET);
    }
}

#[test]
fn a_password_where_none_belongs_is_refused_and_not_repeated() {
    let told = format!("mirror:{SECRET}");
    for line in [
        format!("upstream = \"rsync://{told}@127.0.0.1/buffet\""),
        format!("module.fedora-enchilada.upstream = \"{told}@127.0.0.1::buffet\""),
        format!("rsync.user = \"{told}\""),
        format!("rsync.options = [\"--password-file={SECRET}\"]"),
    ] {
        let mut mirror = Mirror::new("rsync://127.0.0.1:1/buffet", &[FEDORA]);
        let text = fs::read_to_string(&mirror.config).expect("a configuration");
        let kept: Vec<&str> =
            text.lines().filter(|kept| !kept.starts_with("upstream") || !line.starts_with("upstream")).collect();
        fs::write(&mirror.config, kept.join("\n") + "\n" + &line + "\n").expect("written");
        for asked in [&[][..], &["-vv", "--dry-run"], &["--json"], &["config", "show"], &["config", "check"]] {
            let result = mirror.run(asked);
            assert!(!result.stdout.contains(SECRET) && !result.stderr.contains(SECRET), "{line} {asked:?}: {result:?}");
            assert_ne!(result.code, Some(0), "{line} {asked:?}: {result:?}");
        }
        mirror.add("");
    }
}

#[test]
fn a_password_file_that_others_can_read_is_refused_before_it_is_used() {
    for mode in [0o604, 0o644, 0o602] {
        let mut guarded = guarded(SECRET);
        fs::set_permissions(&guarded.password, fs::Permissions::from_mode(mode)).expect("changed");
        guarded.mirror.add(&format!("rsync.password_file = {:?}", guarded.password));
        let result = guarded.mirror.run(&["-vv"]).status(Status::Usage);
        assert!(
            result.stderr.contains("can be read or changed by others") && !result.stderr.contains(SECRET),
            "{}",
            result.stderr
        );
    }
}

/// What is asked of a mirror that checks in, what MirrorManager will do, and how it ends.
const ASKED_OF_MANAGER: &[(&[&str], Option<Reply>, Status)] = &[
    (&["-vv"], Some(Reply::Status(404)), Status::Notify),
    (&["checkin", "--dry-run", "-vv"], None, Status::Done),
    (&["--dry-run", "--json", "-vv"], None, Status::Done),
    (&["--full", "--json", "-vv"], Some(Reply::HangUp), Status::Done),
    (&["checkin", "--all", "-vv"], None, Status::Done),
    (&["checkin", "--all", "-vv"], Some(Reply::Text("no: error checking in")), Status::Notify),
    (&["checkin", "--dry-run", "--all"], None, Status::Done),
    (&["checkin", "--dump", "dumped"], None, Status::Done),
    (&["config", "show"], None, Status::Done),
    (&["config", "show", "--json"], None, Status::Done),
    (&["config", "check"], None, Status::Done),
];

#[test]
fn the_password_for_mirror_manager_shows_nowhere() {
    let manager = MirrorManager::start(&["Fedora Linux", "Fedora Archive"]);
    let secret = MirrorManager::PASSWORD;
    for way in ["checkin.password_file", "variable", "checkin.password"] {
        let Guarded { mut mirror, password, _daemon, _site } = guarded(secret);
        fs::write(&password, SECRET).expect("written");
        let beside = |name: &str| mirror.config.with_file_name(name);
        let (ours, log, program, environment) = (beside("ours"), beside("log"), beside("rsync"), beside("environment"));
        fs::write(&program, format!("#!/bin/sh\nenv >>{environment:?}\nexec rsync \"$@\"\n")).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("changed");
        let of_way = match way {
            "checkin.password_file" => format!("{way} = {ours:?}"),
            "checkin.password" => format!("{way} = {secret:?}"),
            _ => String::new(),
        };
        if way == "checkin.password_file" {
            fs::write(&ours, format!("{secret}\n")).expect("written");
            fs::set_permissions(&ours, fs::Permissions::from_mode(0o600)).expect("changed");
        }
        mirror.add(&format!(
            "{}\n{of_way}\nrsync.program = {program:?}\nrsync.confine = false\nrsync.password_file = {password:?}\n\
             module.fedora-enchilada.checkin_prefix = \"fedora\"\nmodule.fedora-archive.checkin_category = \"\"",
            manager.settings()
        ));
        fs::set_permissions(&mirror.config, fs::Permissions::from_mode(0o600)).expect("changed");
        let top = mirror.config.parent().expect("a directory").to_owned();
        for (asked, reply, status) in ASKED_OF_MANAGER {
            manager.will(reply.as_slice());
            let mut command = mirror.command(asked);
            command.current_dir(&top);
            if way == "variable" {
                command.env("QFM_CHECKIN_PASSWORD", secret);
            }
            let mut child = command.spawn().expect("the program starts");
            let mut shown = Vec::new();
            while child.try_wait().expect("it can be waited for").is_none() {
                shown.extend(shows_in(child.id(), secret));
            }
            // A process has the environment of the one that started it until it has its own.
            shown.retain(|file| way != "variable" || file.ends_with("cmdline"));
            assert!(shown.is_empty(), "{way} {asked:?}: it shows in {shown:?}");
            let output = child.wait_with_output().expect("it ends");
            let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            assert_eq!(output.status.code(), Some(i32::from(status.code())), "{way} {asked:?}: {said:?}");
            // Parts of it too, for JSON and TOML write it with escapes.
            for part in [secret, "correct-horse", "staple"] {
                assert!(said.iter().all(|said| !said.contains(part)), "{way} {asked:?}: {said:?}");
                let files: Vec<PathBuf> = files_with(&top, part);
                let own = |file: &PathBuf| *file == ours || *file == password || *file == mirror.config;
                assert!(files.iter().all(own), "{way} {asked:?}: it is in {files:?}");
            }
        }
        assert!(log.exists() && environment.exists(), "both were written");
        assert_eq!(manager.told()["site"]["password"], secret);
    }
}

#[test]
fn a_password_for_mirror_manager_that_others_can_see_is_refused_and_not_repeated() {
    let mut mirror = Mirror::new("rsync://127.0.0.1:1/buffet", &[FEDORA]);
    for args in [&["--set", "checkin.password=hunter2"][..], &["--checkin-password=hunter2"]] {
        let result = mirror.run(args).status(Status::Usage);
        assert!(!result.stdout.contains("hunter2") && !result.stderr.contains("hunter2"), "{result:?}");
    }
    for line in ["checkin.password = \"hunter2\"", "checkin.password = hunter2", "checkin.password = [\"hunter2\"]"] {
        mirror.configure("rsync://127.0.0.1:1/buffet", &[FEDORA], &format!("checkin.site = \"s\"\n{line}"));
        for args in [&["config", "show"][..], &["config", "check"], &["-vv", "--dry-run"], &["checkin", "--json"]] {
            let result = mirror.run(args).status(Status::Usage);
            assert!(!result.stdout.contains("hunter2") && !result.stderr.contains("hunter2"), "{line}: {result:?}");
        }
    }
}
