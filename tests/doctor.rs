//! `qfm doctor`: what is wrong is found before a run meets it, with what to do, and nothing is left of the look.

mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use qfm::exit::Status;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::*;

/// What was found.
struct Found(Value);

impl Found {
    /// Of the one check on a topic with this subject, or one that ends so: the verdict, what was found, and the advice.
    #[track_caller]
    fn check(&self, topic: &str, subject: &str) -> (&str, &str, &str) {
        let all = self.0["checks"].as_array().expect("a list").iter();
        let of_topic: Vec<&Value> = all.filter(|check| check["topic"] == topic).collect();
        let exact = of_topic.iter().find(|check| check["subject"] == subject);
        let ending = || of_topic.iter().find(|check| check["subject"].as_str().is_some_and(|it| it.ends_with(subject)));
        let check = exact.or_else(ending).unwrap_or_else(|| panic!("no check on {topic} {subject}: {:#}", self.0));
        let [verdict, found, advice] = ["verdict", "found", "advice"].map(|key| check[key].as_str().expect("a text"));
        (verdict, found, advice)
    }

    #[track_caller]
    fn is(&self, topic: &str, subject: &str, verdict: &str) {
        assert_eq!(self.check(topic, subject).0, verdict, "{topic} {subject}: {:#}", self.0);
    }

    fn topics_of(&self, verdict: &str) -> Vec<&str> {
        let checks = self.0["checks"].as_array().expect("a list").iter();
        checks.filter(|check| check["verdict"] == verdict).filter_map(|check| check["topic"].as_str()).collect()
    }
}

/// Looks, which must end so.
#[track_caller]
fn look(mirror: &Mirror, expected: Status) -> Found {
    let result = mirror.run(&["doctor", "--json"]).status(expected);
    let object = result.json();
    assert_eq!((&object["kind"], &object["version"]), (&"doctor".into(), &1.into()));
    assert_eq!((&object["code"], &object["status"]), (&expected.code().into(), &expected.word().into()));
    let found = Found(object);
    let checks = found.0["checks"].as_array().expect("a list");
    let silent =
        |check: &&Value| ["warn", "fail"].iter().any(|word| check["verdict"] == *word) && check["advice"] == "";
    assert!(!checks.iter().any(|check| silent(&check)), "no advice: {:#}", found.0);
    found
}

fn one_file(up: &mut Upstream) -> Built {
    up.file("fedora/a", b"a").map(drop)
}

/// Dates upstream's list of a directory.
fn date_list(scene: &Scene, directory: &str, time: SystemTime) {
    let list = scene.site.upstream.path(directory).join(list_name(directory));
    File::options().write(true).open(list).and_then(|list| list.set_modified(time)).expect("a list");
}

fn ago(days: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(days * 86_400)
}

#[test]
fn a_mirror_that_is_well_is_found_well_and_left_alone() {
    let build = |up: &mut Upstream| up.file("fedora/a", b"a")?.file("epel/b", b"b").map(drop);
    let scene = Scene::new(&[FEDORA, EPEL], build);
    date_list(&scene, "fedora", ago(0));
    let nothing = fs::read_dir(&scene.mirror.root).expect("a root").count();
    let found = look(&scene.mirror, Status::Done);
    assert_eq!(found.topics_of("fail"), [""; 0]);
    found.is("directory", "/fedora", "ok");
    found.is("space", "", "ok");
    assert!(!scene.mirror.state.exists() && nothing == 0, "nothing is made before the first run");

    scene.sync();
    let (tree, state) = (tree::inode_snapshot(&scene.mirror.root).expect("a mirror"), scene.state());
    let found = look(&scene.mirror, Status::Done);
    for (topic, subject) in [("upstream", "/buffet"), ("upstream", "module buffet"), ("directory", "hard links")] {
        found.is(topic, subject, "ok");
    }
    // One list of an upstream that is young is enough.
    assert!(found.check("list", EPEL).1.contains("carries 1 entry, 1 B"), "{:#}", found.0);
    assert!(found.check("run", "last").1.contains("ended well"));
    assert_untouched(&tree, &scene.mirror.root);
    assert!(state == scene.state(), "the state was written to");

    let result = scene.run(&["doctor", FEDORA]).status(Status::Done);
    assert!(result.stdout.lines().any(|line| line.starts_with("OK    list           fedora-enchilada: ")));
    assert!(!result.stdout.contains(EPEL) && !result.stdout.contains('\x1b'), "{}", result.stdout);
    let result = scene.run(&["doctor", "-q"]).status(Status::Done);
    assert!(!result.stdout.contains("OK "), "{}", result.stdout);
}

#[test]
fn a_configuration_that_is_wrong_is_all_that_is_told() {
    let mut scene = Scene::new(&[FEDORA], one_file);
    let result = scene.run(&["doctor", "fedora-epl"]).status(Status::Usage);
    assert!(result.stdout.starts_with("FAIL  configuration  no module"), "{}", result.stdout);
    scene.mirror.add("space.margn = 1");
    let found = look(&scene.mirror, Status::Usage);
    assert!(found.check("configuration", "").2.contains("space.margin"), "{:#}", found.0);
    found.is("upstream", "", "skip");
}

#[test]
fn an_upstream_that_is_away_is_told_of_and_the_rest_is_looked_at() {
    let scene = Scene::synced(&[FEDORA], one_file);
    let Scene { daemon, mirror, .. } = scene;
    drop(daemon);
    let found = look(&mirror, Status::Upstream);
    let (verdict, said, advice) = found.check("upstream", "");
    assert!(
        verdict == "fail" && said.contains("127.0.0.1 does not answer") && advice.contains("rsync rsync://127.0.0.1")
    );
    found.is("list", FEDORA, "skip");
    found.is("space", "", "skip");
    found.is("directory", "/fedora", "ok");
}

#[test]
fn an_upstream_that_says_nothing_holds_nobody_up() {
    let mut mirror = Mirror::new("rsync://127.0.0.1/none", &[FEDORA]);
    let server = Server::start(b"", b"");
    let url = format!("rsync://127.0.0.1:{}/buffet", server.port);
    mirror.configure(&url, &[FEDORA], "rsync.connect_timeout = \"1s\"");
    let found = look(&mirror, Status::Upstream);
    found.is("upstream", "", "fail");
    found.is("list", FEDORA, "skip");
}

#[test]
fn a_module_that_upstream_does_not_have_is_told_with_how_to_see_those_that_it_has() {
    let mut mirror = {
        let scene = Scene::new(&[FEDORA], one_file);
        let url = scene.daemon.url().replace("/buffet", "/wrong");
        let mut mirror = Mirror::new(&url, &[FEDORA]);
        mirror.add("rsync.retries = 0");
        let found = look(&mirror, Status::Upstream);
        found.is("upstream", "/wrong", "ok");
        let (verdict, _, advice) = found.check("upstream", "module wrong");
        assert!(verdict == "warn" && advice.contains("lists all"), "{advice}");
        let (verdict, said, _) = found.check("list", FEDORA);
        assert!(verdict == "fail" && said.contains("Unknown module"), "{said}");
        mirror
    };
    // Nor is a program that is not there.
    mirror.add("rsync.program = \"/nowhere/rsync\"");
    let found = look(&mirror, Status::Usage);
    assert!(found.check("rsync", "").2.contains("rsync.program"));
    found.is("upstream", "", "skip");
}

#[test]
fn lists_are_looked_for_and_their_age_is_judged() {
    let scene = Scene::synced(&[FEDORA], one_file);
    date_list(&scene, "fedora", ago(5));
    let found = look(&scene.mirror, Status::Done);
    let (verdict, said, _) = found.check("list", FEDORA);
    assert!(verdict == "warn" && said.contains("5d ago"), "{said}");
    date_list(&scene, "fedora", SystemTime::now() + Duration::from_secs(7200));
    let found = look(&scene.mirror, Status::Done);
    assert!(found.check("clock", "").1.contains("upstream's newest list is dated 1h 59m"), "{:#}", found.0);

    fs::remove_file(scene.site.upstream.path("fedora").join(list_name("fedora"))).expect("a list");
    let found = look(&scene.mirror, Status::List);
    let (verdict, said, advice) = found.check("list", FEDORA);
    assert!(
        verdict == "fail" && said.contains("upstream has no list") && advice.contains("/buffet/fedora/`"),
        "{advice}"
    );
    found.is("space", "", "skip");
}

#[test]
fn a_root_that_runs_cannot_use_is_told_of_and_what_depends_on_it_is_skipped() {
    let scene = Scene::new(&[FEDORA], one_file);
    fs::remove_dir(&scene.mirror.root).expect("an empty root");
    for there in [false, true] {
        if there {
            fs::write(&scene.mirror.root, "").expect("a file in its place");
        }
        let found = look(&scene.mirror, Status::Local);
        found.is("root", "/mirror", "fail");
        found.is("list", FEDORA, "warn");
        found.is("directory", "", "skip");
        found.is("space", "", "skip");
    }
}

#[test]
fn a_directory_that_was_emptied_and_one_that_others_made_a_link_are_told_of() {
    let scene = Scene::synced(&[FEDORA], one_file);
    let (path, away) = (scene.mirror.path("fedora"), scene.mirror.path("away"));
    fs::rename(&path, &away).expect("renamed");
    let found = look(&scene.mirror, Status::Local);
    assert!(found.check("directory", "/fedora").2.contains("qfm --full fedora-enchilada"), "{:#}", found.0);
    std::os::unix::fs::symlink("away", &path).expect("a link");
    let found = look(&scene.mirror, Status::Done);
    assert!(found.check("directory", "/fedora").1.contains("a link to"), "{:#}", found.0);
}

#[test]
fn an_rsync_that_is_too_old_is_told_of_and_not_called_further() {
    let mut scene = Scene::new(&[FEDORA], one_file);
    let old = stand_in(&scene, "echo 'rsync  version 3.1.3  protocol version 31'");
    scene.configure(&[FEDORA], &format!("rsync.program = {old:?}"));
    let found = look(&scene.mirror, Status::Usage);
    assert!(found.check("rsync", "").1.contains("3.1.3, which is too old"), "{:#}", found.0);
    found.is("upstream", "", "skip");
    // One that lacks an option of ours that can be done without.
    let lacking = "case \"$*\" in *--trust-sender*) echo 'rsync: --trust-sender: unknown option' >&2; exit 1;; esac\nexec rsync \"$@\"";
    let lacking = stand_in(&scene, lacking);
    scene.configure(&[FEDORA], &format!("rsync.program = {lacking:?}"));
    let found = look(&scene.mirror, Status::Done);
    found.is("rsync", "--trust-sender", "warn");
    // And one that does not know what the admin adds.
    scene.configure(&[FEDORA], "rsync.options = [\"--made-up\"]");
    let found = look(&scene.mirror, Status::Upstream);
    assert!(found.check("rsync", "").1.contains("--made-up"), "{:#}", found.0);
}

/// A program that is taken for rsync.
fn stand_in(scene: &Scene, commands: &str) -> PathBuf {
    let path = scene.mirror.config.with_file_name("rsync.sh");
    fs::write(&path, format!("#!/bin/sh\n{commands}\n")).expect("a script");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("a script");
    path
}

#[test]
fn what_others_can_read_and_should_not_is_told_of() {
    let mut scene = Scene::new(&[FEDORA], |up| {
        up.file("fedora/a", b"a")?.file("fedora/secret/b", b"b")?.mode("fedora/secret", 0o750).map(drop)
    });
    scene.configure(&[FEDORA], "restricted = true");
    scene.sync();
    look(&scene.mirror, Status::Done).is("restricted", FEDORA, "ok");
    fs::set_permissions(scene.mirror.path("fedora/secret"), Permissions::from_mode(0o755)).expect("changed");
    let found = look(&scene.mirror, Status::Partial);
    let (verdict, said, advice) = found.check("restricted", FEDORA);
    assert!(verdict == "fail" && said.contains("such as secret") && advice.contains("qfm --full"), "{said}");
    // The call that is advised helps.
    scene.run(&["--full", FEDORA]).status(Status::Done);
    look(&scene.mirror, Status::Done).is("restricted", FEDORA, "ok");
    // What an admin opens is meant.
    scene.run(&["bitflip", "fedora/secret", "--yes"]).status(Status::Done);
    let found = look(&scene.mirror, Status::Done);
    let (verdict, said, _) = found.check("restricted", FEDORA);
    assert!(verdict == "ok" && said.contains("1 more is open by qfm bitflip"), "{said}");
    // Who serves must come in.
    fs::set_permissions(&scene.mirror.root, Permissions::from_mode(0o700)).expect("changed");
    assert!(look(&scene.mirror, Status::Done).check("root", "who serves").2.contains("chmod o+rx"));
}

#[test]
fn a_run_that_is_under_way_and_one_that_was_cut_off_are_told_apart() {
    let scene = Scene::synced(&[FEDORA], one_file);
    let journal = scene.state_folder().join("journal");
    fs::write(&journal, "what a run left").expect("written");
    let found = look(&scene.mirror, Status::Done);
    assert!(found.check("run", "journal").1.contains("any module"), "{:#}", found.0);
    let lock = File::open(scene.state_folder().join("lock")).expect("a lock");
    lock.lock().expect("nobody else has it");
    let found = look(&scene.mirror, Status::Done);
    found.is("run", "under way", "ok");
    assert!(!found.0.to_string().contains("journal"), "{:#}", found.0);
}

#[test]
fn what_ends_every_run_and_what_waits_for_a_human_is_told_of() {
    let build = |up: &mut Upstream| (0..200).try_for_each(|n| up.file(format!("fedora/p{n}"), b"p").map(drop));
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.change(|up| (0..150).try_for_each(|n| up.remove(format!("fedora/p{n}")).map(drop)));
    scene.run(&[]).status(Status::Held);
    let found = look(&scene.mirror, Status::Done);
    let (verdict, said, advice) = found.check("run", FEDORA);
    assert!(verdict == "warn" && said.contains("deletions of 150 entries are held"), "{said}");
    assert!(advice.contains("qfm --allow-delete fedora-enchilada"), "{advice}");
    let runs = scene.state_folder().join("runs");
    fs::remove_file(&runs).expect("removed");
    fs::create_dir(&runs).expect("made");
    let found = look(&scene.mirror, Status::Local);
    let (verdict, _, advice) = found.check("state", "/runs");
    assert!(verdict == "fail" && advice.contains("mv "), "{advice}");
}

#[test]
fn files_beside_the_mirror_are_looked_at() {
    let mut scene = Scene::new(&[FEDORA], one_file);
    let secret = scene.mirror.private("secret", "password\n");
    // No directory can be made in a file.
    let (log, trace) = (scene.mirror.config.join("log"), "project/trace/here");
    scene.configure(
        &[FEDORA],
        &format!("rsync.password_file = {secret:?}\nlog_file = {log:?}\ntrace.file = \"fedora/{trace}\""),
    );
    let found = look(&scene.mirror, Status::Done);
    found.is("log", "/qfm.toml", "warn");
    found.is("trace", "/fedora/project/trace", "ok");
    found.is("credentials", "rsync.password_file", "ok");
    assert!(!scene.mirror.path("fedora").exists(), "nothing is made");
    let pipe = scene.mirror.config.with_file_name("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    scene.configure(&[FEDORA], &format!("log_file = {pipe:?}"));
    look(&scene.mirror, Status::Done).is("log", "/pipe", "warn");
}

#[test]
fn what_the_mirror_lies_on_is_looked_at() {
    let build = |up: &mut Upstream| up.file("fedora/a", noise(3_000_000))?.file("archive/b", b"b").map(drop);
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    for directory in ["fedora", "fedora/mounted", "archive"] {
        fs::create_dir(scene.mirror.path(directory)).expect("a directory");
    }
    fs::create_dir(&scene.mirror.state).expect("a directory");
    let (archive, mounted) = (scene.mirror.path("archive"), scene.mirror.path("fedora/mounted"));
    let mounts =
        [(archive.as_path(), "size=1m"), (mounted.as_path(), "size=1m"), (scene.mirror.state.as_path(), "size=1m")];
    let Some(volumes) = Volumes::mount(&mounts) else { return };
    scene.mirror.run_on(&volumes);
    let found = look(&scene.mirror, Status::Done);
    for (topic, subject) in [("directory", "hard links"), ("directory", "/mounted"), ("state", "file system")] {
        found.is(topic, subject, "warn");
    }
    assert!(found.check("state", "place").1.contains("another file system"));

    let volumes = Volumes::mount(&[(&scene.mirror.root, "size=2m")]).expect("mounted before");
    scene.mirror.run_on(&volumes);
    let found = look(&scene.mirror, Status::Space);
    assert!(found.check("space", "/mirror").1.contains("it does not fit"), "{:#}", found.0);
    volumes.remount(&scene.mirror.root, "ro");
    let found = look(&scene.mirror, Status::Local);
    let (verdict, said, advice) = found.check("root", "/mirror");
    assert!(verdict == "fail" && said.contains("Read-only") && advice.contains("ReadWritePaths="), "{advice}");
}

#[test]
fn who_asks_for_the_end_has_it_and_nothing_is_left() {
    let scene = Scene::new(&[FEDORA], one_file);
    // The first call asks for modules, the second for lists.
    scene.wrapper.before(2, "exec sleep 600");
    let temporary = scene.mirror.config.with_file_name("temporary");
    fs::create_dir(&temporary).expect("a directory");
    let mut doctor = scene.mirror.command(&["doctor"]);
    let mut doctor = doctor.env("TMPDIR", &temporary).stdout(Stdio::null()).spawn().expect("the program starts");
    let files = || fs::read_dir(&temporary).expect("a directory").count();
    wait_until("lists are asked for", || scene.wrapper.calls().len() == 2 && files() == 1);
    kill_process(Pid::from_child(&doctor), Signal::INT).expect("it is there");
    assert_eq!(doctor.wait().expect("its end").code(), Some(i32::from(Status::Interrupted.code())));
    assert_eq!(files(), 0);
}
