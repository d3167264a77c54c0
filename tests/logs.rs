//! The log: a file that can be rotated, and the journal of systemd.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use qfm::exit::Status;
use regex::Regex;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::listener::is_here;
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/a b.rpm", b"aaaa")?.file("fedora/os/c\x1b[2J.rpm", b"c").map(drop)
}

/// A mirror with a log file, and these lines of configuration besides.
fn scene(extra: &str) -> Scene {
    let mut scene = Scene::new(&[FEDORA], build);
    let log = scene.mirror.config.with_file_name("log");
    scene.mirror.add(&format!("log_file = {log:?}\n{extra}"));
    scene
}

/// The lines of the log file, without time and process.
fn lines(scene: &Scene) -> Vec<String> {
    let text = fs::read_to_string(scene.mirror.config.with_file_name("log")).unwrap_or_default();
    let form =
        Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ([A-Z]+ +[a-z]+: .*) pid=\d+$").expect("a form");
    text.lines().map(|line| form.captures(line).unwrap_or_else(|| panic!("{line:?}"))[1].to_owned()).collect()
}

#[track_caller]
fn assert_has(lines: &[String], wanted: &str) {
    assert!(lines.iter().any(|line| line.starts_with(wanted)), "no {wanted:?} in {lines:#?}");
}

#[test]
fn the_file_has_what_is_done_with_topic_and_fields_and_names_forge_no_line() {
    let scene = scene("");
    scene.mirror.sync();
    let said = lines(&scene);
    assert_has(
        &said,
        "DEBUG transfer: fedora-enchilada: missing     fedora/os/a b.rpm module=fedora-enchilada path=\"fedora/os/a b.rpm\" cause=missing bytes=4",
    );
    assert_has(
        &said,
        "DEBUG transfer: fedora-enchilada: missing     fedora/os/c\\x1b[2J.rpm module=fedora-enchilada path=fedora/os/c\\x1b[2J.rpm",
    );
    assert_has(&said, "DEBUG rsync: calls ");
    assert_has(&said, "INFO  run: fedora-enchilada: fetched ");
    assert_has(&said, "INFO  run: Received ");
    let length = said.len();
    scene.mirror.run(&["--dry-run", "--full"]).status(Status::Done);
    assert_eq!(lines(&scene).len(), length, "a dry run leaves it alone");
}

#[test]
fn each_topic_has_its_level() {
    let scene = scene("log_level = \"off,transfer=debug\"");
    scene.mirror.sync();
    let said = lines(&scene);
    assert!(!said.is_empty() && said.iter().all(|line| line.starts_with("DEBUG transfer: ")), "{said:#?}");
    scene.mirror.run(&["--log-level=inof"]).status(Status::Usage);
}

#[test]
fn a_log_that_cannot_be_written_is_told_of_once_and_ends_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    for path in [Path::new("/dev/full"), Path::new("/nowhere/log"), &pipe] {
        let path = path.display().to_string();
        let mut scene = Scene::new(&[FEDORA], build);
        scene.mirror.add(&format!("log_file = {path:?}"));
        let said = scene.mirror.sync();
        let warnings = said.stderr.matches("qfm: warning: lines are missing in the log file").count();
        assert_eq!(warnings, 1, "{path}: {said:?}");
        assert!(scene.mirror.path("fedora/os/a b.rpm").exists(), "{path}");
    }
}

#[test]
fn a_file_that_is_rotated_under_a_run_loses_no_line() {
    if !is_here("logrotate") {
        return;
    }
    let example =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/logrotate/qfm")).expect("an example");
    for how in ["create", "copytruncate"] {
        let scene = scene("");
        let beside = |name: &str| scene.mirror.config.with_file_name(name);
        let (go, rotation) = (beside("go"), beside("rotation"));
        let log = beside("log").display().to_string();
        let text = example.replace("/var/log/qfm/*.log", &log).replace("    su mirror mirror\n", "");
        fs::write(&rotation, text.replace("    create\n", &format!("    {how}\n"))).expect("written");
        scene.wrapper.before(2, &format!("until [ -e '{}' ]; do sleep 0.02; done", go.display()));
        let run = scene.start(&[]);
        wait_until("the transfer begins", || scene.wrapper.calls().len() == 2);
        let before = lines(&scene);
        assert_has(&before, "DEBUG transfer: transfers content");
        let mut command = Command::new("logrotate");
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("--force")
            .arg("--state")
            .arg(beside("status"))
            .arg(&rotation);
        let output = command.output().expect("logrotate starts");
        assert!(output.status.success(), "{how}: {output:?}");
        fs::write(go, "").expect("written");
        assert_eq!(run.end(), Some(0), "{how}");
        let (old, after) = (fs::read_to_string(beside("log.1")).expect("a rotated log"), lines(&scene));
        assert_eq!(old.lines().count(), before.len(), "{how}: what was there when it was rotated");
        assert_has(&after, "DEBUG transfer: fedora-enchilada: missing     fedora/os/a b.rpm");
        assert_has(&after, "INFO  run: Received ");
    }
}

/// A command whose standard error is a file that is the journal, by what its environment says.
fn under_systemd(mut command: Command, stderr: &Path) -> Command {
    let file = File::create(stderr).expect("a file");
    let stat = file.metadata().expect("a file");
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino())).stderr(file);
    command
}

#[test]
fn the_journal_gets_fields_in_place_of_lines() {
    let Some(volumes) = Volumes::mount(&[(Path::new("/run"), "size=1m")]) else { return };
    let mut scene = Scene::new(&[FEDORA], build);
    scene.mirror.run_on(&volumes);
    let stderr = scene.mirror.config.with_file_name("stderr");
    let run = |arguments: &[&str]| {
        let output = under_systemd(scene.mirror.command(arguments), &stderr).output().expect("started");
        (output.status.code(), fs::read_to_string(&stderr).expect("a file"))
    };
    // Nobody keeps a journal yet: the lines are there.
    let (code, said) = run(&["-v"]);
    assert!(code == Some(0) && said.contains("fedora-enchilada: missing "), "{said}");

    let journal = Journal::start(&volumes);
    scene.site.upstream.file("fedora/os/d.rpm", b"dddd").expect("a file");
    scene.site.upstream.publish().expect("published");
    let (code, said) = run(&["-v"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "each line stands there once");
    let entries = journal.entries();
    let of_path = entries.iter().find(|it| it.get("QFM_PATH").is_some_and(|path| path == "fedora/os/d.rpm"));
    let of_path = of_path.unwrap_or_else(|| panic!("{entries:#?}"));
    let field = |name: &str| of_path.get(name).map(String::as_str);
    assert_eq!(field("QFM_MODULE"), Some("fedora-enchilada"));
    assert_eq!((field("QFM_CAUSE"), field("QFM_BYTES")), (Some("missing"), Some("4")));
    assert_eq!((field("PRIORITY"), field("TARGET")), (Some("7"), Some("transfer")));
    assert_eq!(field("SYSLOG_IDENTIFIER"), Some("qfm"));
    assert_eq!(field("MESSAGE"), Some("fedora-enchilada: missing     fedora/os/d.rpm"));
    let end = entries.iter().find(|it| it.contains_key("QFM_RSYNC_CALLS")).expect("the end of a run");
    assert_eq!((end["QFM_STATUS"].as_str(), end["QFM_CODE"].as_str(), end["PRIORITY"].as_str()), ("done", "0", "6"));

    // Without -v there are no paths.
    scene.site.upstream.file("fedora/os/e.rpm", b"e").expect("a file");
    scene.site.upstream.publish().expect("published");
    assert_eq!(run(&[]), (Some(0), String::new()));
    let entries = journal.entries();
    assert!(!entries.is_empty() && entries.iter().all(|it| !it.contains_key("QFM_PATH")), "{entries:#?}");

    // A variable that was inherited, and a standard error of one's own.
    let said = scene.mirror.run_with(&[("JOURNAL_STREAM", "1:2")], &["-v", "--full"]).status(Status::Done);
    assert!(said.stderr.contains("compared (full)"), "{said:?}");
    assert!(journal.entries().is_empty());
}

#[test]
fn what_a_job_does_is_in_the_journal_with_fields_too() {
    let Some(volumes) = Volumes::mount(&[(Path::new("/run"), "size=1m")]) else { return };
    let mut scene = Scene::new(&[FEDORA], build);
    scene.mirror.add("job.work.modules = [\"fedora-enchilada\"]");
    scene.mirror.run_on(&volumes);
    let journal = Journal::start(&volumes);
    let stderr = scene.mirror.config.with_file_name("stderr");
    let mut run = under_systemd(scene.mirror.command(&["run-job", "work"]), &stderr);
    assert!(run.status().expect("started").success());
    assert_eq!(fs::read_to_string(&stderr).expect("a file"), "");
    let entries = journal.entries();
    assert!(entries.iter().any(|it| it.get("QFM_FETCHED").is_some_and(|fetched| fetched == "2")), "{entries:#?}");
}
