//! One run at a time, whoever starts it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use qfm::exit::Status;
use rustix::process::Signal;
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/a", b"a").map(drop)
}

/// A run that waits in its `number`th call until this is dropped.
struct Waiting<'s> {
    running: Option<Running<'s>>,
    go: PathBuf,
}

impl<'s> Waiting<'s> {
    fn in_call(scene: &'s Scene, number: usize) -> Waiting<'s> {
        Waiting::with(scene, number, &[])
    }

    fn with(scene: &'s Scene, number: usize, arguments: &[&str]) -> Waiting<'s> {
        let go = scene.mirror.config.with_file_name("go");
        scene.wrapper.before(number, &format!("until test -e {go:?}; do sleep 0.05; done"));
        let running = scene.start(arguments);
        wait_until("rsync is called", || scene.next_call() > number);
        Waiting { running: Some(running), go }
    }

    fn end(mut self) -> Option<i32> {
        fs::write(&self.go, "").expect("written");
        self.running.take().and_then(Running::end)
    }
}

#[test]
fn a_second_run_does_not_start_while_one_is_under_way() {
    for call in [1, 3] {
        let scene = Scene::new(&[FEDORA], build);
        let waiting = Waiting::in_call(&scene, call);
        let (before, state) = (tree::inode_snapshot(&scene.mirror.root).expect("a mirror"), scene.state());
        let result = scene.run(&["-v"]).status(Status::Locked);
        assert!(result.stderr.contains("another run is under way: it holds"), "{}", result.stderr);
        // A timer that comes too early is no news.
        let result = scene.run(&[]).status(Status::Locked);
        assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("", ""));
        scene.run(&["--json"]).status(Status::Locked);
        assert_untouched(&before, &scene.mirror.root);
        assert_eq!(scene.state(), state, "the state of the run under way was touched");

        // A dry run looks on.
        let result = scene.run(&["-n"]).status(Status::Done);
        assert!(result.stderr.contains("another run is under way"), "{}", result.stderr);
        ended_with(waiting.end(), &[Status::Done]);
        scene.assert_same();
    }
}

#[test]
fn what_a_run_has_half_done_is_no_damage() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/b", b"b").map(drop));
    scene.change(build);
    let waiting = Waiting::in_call(&scene, scene.next_call() + 1);
    let result = scene.run(&["verify", "-v"]).status(Status::Locked);
    assert!(result.stderr.contains("another run is under way") && result.stdout.is_empty(), "{}", result.stderr);
    let json = scene.run(&["verify", "--json"]).status(Status::Locked).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("an object");
    assert_eq!((&json["kind"], &json["status"]), (&"error".into(), &"locked".into()), "{json}");
    ended_with(waiting.end(), &[Status::Done]);
    scene.run(&["verify"]).status(Status::Done);
    // However the two begin and end.
    let ended = std::sync::Mutex::new(Vec::new());
    let (mirror, upstream) = (&scene.mirror, &mut scene.site.upstream);
    let verify = || ended.lock().expect("nobody panics").push(mirror.run(&["verify"]).code);
    watch(verify, || {
        for version in 0..5 {
            for number in 0..300 {
                upstream.file(format!("fedora/{version}/{number}"), b"x").expect("written");
            }
            if version > 0 {
                upstream.remove(format!("fedora/{}", version - 1)).expect("removed");
            }
            upstream.publish().expect("published");
            mirror.run(&["--allow-delete", FEDORA]).status(Status::Done);
        }
    });
    let ended = ended.into_inner().expect("nobody panicked");
    assert!(ended.iter().all(|code| matches!(code, Some(0 | 4))), "{ended:?}");
}

#[test]
fn a_dry_run_does_not_hold_the_lock() {
    let scene = Scene::new(&[FEDORA], build);
    let dry = Waiting::with(&scene, 1, &["--dry-run"]);
    scene.sync_to_same();
    ended_with(dry.end(), &[Status::Done]);
}

#[test]
fn mirrors_with_other_roots_do_not_lock_each_other_out() {
    let scene = Scene::new(&[FEDORA], build);
    let mut other = Mirror::new(&scene.daemon.url(), &[FEDORA]);
    other.state = scene.mirror.state.clone();
    other.configure(&scene.daemon.url(), &[FEDORA], "");
    let waiting = Waiting::in_call(&scene, 1);
    other.sync();
    assert_same(scene.site.upstream.root(), &other.root);
    ended_with(waiting.end(), &[Status::Done]);
    scene.assert_same();
}

/// Another configuration of the same mirror root, with a state of its own.
fn second_configuration(scene: &Scene, modules: &[&str]) -> Mirror {
    let mut other = Mirror::new(&scene.daemon.url(), modules);
    other.root = scene.mirror.root.clone();
    other.configure(&scene.daemon.url(), modules, "");
    other
}

#[test]
fn another_configuration_with_the_same_directory_is_kept_out() {
    let scene = Scene::new(&[FEDORA, ARCHIVE], |up| build(up).and_then(|()| up.file("archive/b", b"b").map(drop)));
    let fedora = second_configuration(&scene, &[FEDORA]);
    let epel = second_configuration(&scene, &[EPEL]);
    // At first the directory is not there yet; later it is.
    for call in [1, 3] {
        let waiting = Waiting::in_call(&scene, call);
        let result = fedora.run(&["-v"]).status(Status::Locked);
        assert!(result.stderr.contains("another run is under way: it works in"), "{}", result.stderr);
        let result = fedora.run(&[]).status(Status::Locked);
        assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("", ""));
        // Nobody knows which of the two would make the directories that are missing.
        epel.run(&[]).status(Status::Locked);
        ended_with(waiting.end(), &[Status::Done]);
        scene.assert_same();
        fs::remove_file(scene.mirror.config.with_file_name("go")).expect("removed");
        fs::remove_dir_all(&scene.mirror.root).expect("removed");
        fs::create_dir(&scene.mirror.root).expect("made");
        fs::remove_dir_all(&scene.mirror.state).expect("removed");
        scene.wrapper.forget();
    }
    fedora.sync();
    let waiting = Waiting::in_call(&scene, 1);
    let result = fedora.run(&["-n"]).status(Status::Done);
    assert!(result.stderr.contains("another run is under way"), "{}", result.stderr);
    ended_with(waiting.end(), &[Status::Done]);
}

#[test]
fn configurations_with_directories_of_their_own_in_one_root_run_side_by_side() {
    let scene = Scene::new(&[FEDORA], |up| build(up).and_then(|()| up.file("archive/b", b"b").map(drop)));
    let archive = second_configuration(&scene, &[ARCHIVE]);
    scene.sync();
    archive.sync();
    let waiting = Waiting::in_call(&scene, 3);
    archive.sync();
    ended_with(waiting.end(), &[Status::Done]);
}

#[test]
fn of_many_starts_at_once_each_runs_alone_or_gives_way() {
    let scene = Scene::new(&[FEDORA], build);
    // A call that meets another one says so.
    let (busy, met) = (scene.mirror.config.with_file_name("busy"), scene.mirror.config.with_file_name("met"));
    for call in 1..=40 {
        scene.wrapper.before(call, &format!("mkdir {busy:?} || touch {met:?}\n"));
        scene.wrapper.after(call, &format!("rmdir {busy:?}; exit $status\n"));
    }
    let running: Vec<Running<'_>> = (0..8).map(|_| scene.start(&[])).collect();
    let codes: Vec<Option<i32>> = running.into_iter().map(Running::end).collect();
    assert!(!met.exists(), "two runs called rsync at the same time: {codes:?}");
    assert!(codes.contains(&Some(0)), "{codes:?}");
    codes.iter().for_each(|&code| ended_with(code, &[Status::Done, Status::Locked]));
    scene.assert_same();
}

#[test]
fn a_holder_that_was_killed_holds_nothing() {
    let scene = Scene::new(&[FEDORA], build);
    let (go, deaf) = (scene.mirror.config.with_file_name("go"), scene.mirror.config.with_file_name("deaf"));
    scene
        .wrapper
        .before(1, &format!("trap '' TERM; touch {deaf:?}; until test -e {go:?}; do sleep 0.05; done; exit 20"));
    let running = scene.start(&[]);
    wait_until("rsync is called, and hears of no signal", || deaf.exists());
    running.signal(Signal::KILL);
    drop(running);
    assert!(!processes_on(&scene.wrapper.program()).is_empty(), "an rsync that does not obey is left");
    scene.sync_to_same();
    fs::write(go, "").expect("written");
    wait_until("what was left ended", || processes_on(&scene.wrapper.program()).is_empty());
}

/// Makes the first run that took the lock so old.
fn age(state: &Path, age: Duration) {
    let lock = fs::File::options().write(true).open(state.join("lock")).expect("a lock");
    lock.set_modified(SystemTime::now() - age).expect("a time");
}

#[test]
fn who_gives_way_says_so_when_no_run_ended_well_for_too_long() {
    let mut scene = Scene::new(&[FEDORA], build);
    scene.configure(&[FEDORA], "warn_after = \"1h\"");
    let waiting = Waiting::in_call(&scene, 1);
    let said = |scene: &Scene| scene.run(&[]).status(Status::Locked).stderr;
    assert_eq!(said(&scene), "", "the first run is under way");
    age(&scene.state_folder(), Duration::from_secs(2 * 3600 + 5));
    let stderr = said(&scene);
    assert!(stderr.contains("none ended well for 2h") && stderr.contains("warn_after"), "{stderr}");
    ended_with(waiting.end(), &[Status::Done]);

    // A run that ended well counts from its end.
    fs::remove_file(scene.mirror.config.with_file_name("go")).expect("removed");
    let waiting = Waiting::in_call(&scene, scene.next_call());
    assert_eq!(said(&scene), "");
    ended_with(waiting.end(), &[Status::Done]);
    fs::remove_file(scene.mirror.config.with_file_name("go")).expect("removed");
    scene.configure(&[FEDORA], "warn_after = \"0s\"");
    let waiting = Waiting::in_call(&scene, scene.next_call());
    assert!(said(&scene).contains("none ended well for"));
    ended_with(waiting.end(), &[Status::Done]);
}

#[test]
fn who_may_do_everything_does_not_take_another_users_mirror_over() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can do what is refused here");
        return;
    }
    std::os::unix::fs::chown(scene.state_folder(), Some(12_345), None).expect("given away");
    let state = scene.state();
    scene.change(|up| up.file("fedora/b", b"b").map(drop));
    for arguments in [&[][..], &["hardlink"], &["verify", "--repair"]] {
        let result = scene.run(arguments).status(Status::Local);
        assert!(result.stderr.contains("belongs to '#12345': run this as that user"), "{}", result.stderr);
    }
    assert!(!scene.mirror.path("fedora/b").exists());
    assert_eq!(scene.state(), state, "nothing was written");
}
