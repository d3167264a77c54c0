//! `qfm bitflip`: a release is opened here at its hour, exactly that, and stays open.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

use qfm::exit::Status;
use support::*;

/// A release in a closed directory, with files whose own modes are closed too, another one, and lone files among public ones.
fn release(up: &mut Upstream) -> Built {
    up.file("fedora/linux/releases/43/os/Packages/a.rpm", b"package a")?
        .file("fedora/linux/releases/43/os/Packages/b.rpm", b"package b")?
        .mode("fedora/linux/releases/43/os/Packages/b.rpm", 0o640)?
        .file("fedora/linux/releases/43/os/run.sh", b"a program")?
        .mode("fedora/linux/releases/43/os/run.sh", 0o750)?
        .mode("fedora/linux/releases/43/os/Packages", 0o750)?
        .file("fedora/linux/releases/43/os/repodata/repomd.xml", b"pointer")?
        .mode("fedora/linux/releases/43/os/repodata/repomd.xml", 0o640)?
        .mode("fedora/linux/releases/43", 0o750)?
        .file("fedora/linux/releases/44/early.rpm", b"of the next release")?
        .mode("fedora/linux/releases/44", 0o750)?
        .file("fedora/linux/updates/43/embargo.rpm", b"not yet")?
        .mode("fedora/linux/updates/43/embargo.rpm", 0o640)?
        .file("fedora/linux/updates/43/public.rpm", b"public")?;
    Ok(())
}

const RELEASE: &str = "fedora/linux/releases/43";

fn scene() -> Scene {
    let mut scene = Scene::new(&[FEDORA], release);
    scene.configure(&[FEDORA], "restricted = true");
    scene.sync();
    scene
}

fn mode(scene: &Scene, path: &str) -> u32 {
    fs::symlink_metadata(scene.mirror.path(path)).unwrap_or_else(|error| panic!("{path}: {error}")).mode() & 0o7777
}

/// The modes of all that the release has.
fn modes(scene: &Scene) -> Vec<u32> {
    let below = [
        "",
        "/os",
        "/os/Packages",
        "/os/Packages/a.rpm",
        "/os/Packages/b.rpm",
        "/os/run.sh",
        "/os/repodata/repomd.xml",
    ];
    below.map(|path| mode(scene, &format!("{RELEASE}{path}"))).into()
}

const CLOSED: [u32; 7] = [0o750, 0o755, 0o750, 0o644, 0o640, 0o750, 0o640];
const OPEN: [u32; 7] = [0o755, 0o755, 0o755, 0o644, 0o644, 0o755, 0o644];

fn flip(scene: &Scene) -> RunResult {
    scene.run(&["bitflip", RELEASE, "--yes"]).status(Status::Done)
}

#[test]
fn exactly_what_the_list_marks_below_the_path_is_opened() {
    let mut scene = scene();
    assert_eq!(modes(&scene), CLOSED);
    // Not of the list, and not open: it stays so.
    let beside = scene.mirror.path(format!("{RELEASE}/os/Packages/private"));
    fs::write(&beside, "mine").expect("written");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("its mode");

    let result = scene.run(&["bitflip", RELEASE, "--yes", "--json"]).status(Status::Done).json();
    assert_eq!(modes(&scene), OPEN);
    assert_eq!(fs::metadata(&beside).expect("it stays").mode() & 0o777, 0o600);
    assert_eq!(mode(&scene, "fedora/linux/releases/44"), 0o750);
    assert_eq!(mode(&scene, "fedora/linux/updates/43/embargo.rpm"), 0o640);
    assert_eq!((result["kind"].as_str(), result["changed"].as_bool()), (Some("bitflip"), Some(true)));
    assert_eq!((&result["opened"], &result["modes"]), (&5.into(), &5.into()));
    let subtree = &result["subtrees"][0];
    assert_eq!((subtree["path"].as_str(), &subtree["files"]["entries"]), (Some(RELEASE), &4.into()));
    fs::remove_file(&beside).expect("removed");

    let again = scene.run(&["bitflip", &format!("{RELEASE}/"), "--yes"]).status(Status::Done);
    assert!(again.stdout.ends_with("0 modes were changed.\n"), "{}", again.stdout);
    scene.run(&["bitflip", "--yes"]).status(Status::Done);
    assert_eq!(mode(&scene, "fedora/linux/releases/44"), 0o755);
    assert_eq!(mode(&scene, "fedora/linux/updates/43/embargo.rpm"), 0o644);
    scene.assert_quiet();
}

#[test]
fn without_yes_it_is_shown_and_nothing_changes() {
    let scene = scene();
    let (before, state) = (support::tree::inode_snapshot(&scene.mirror.root).expect("a mirror"), scene.state());
    for arguments in
        [&["bitflip", RELEASE][..], &["bitflip", RELEASE, "-n", "--json"], &["bitflip", "--at", "now + 3 days"]]
    {
        let shown = scene.run(arguments).status(Status::Done).stdout;
        assert!(shown.contains(RELEASE), "{shown}");
        assert_untouched(&before, &scene.mirror.root);
        assert_eq!(scene.state(), state);
    }
    scene.run(&["bitflip", "-n", "--yes"]).status(Status::Usage);
}

#[test]
fn what_is_printed_for_later_does_it() {
    let scene = scene();
    scene.run(&["bitflip", "--at", "yesterday"]).status(Status::Usage);
    let shown = scene.run(&["bitflip", RELEASE, "--at", "2099-04-14 16:00:00 +02:00"]).status(Status::Done).stdout;
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{shown}"));
    assert!(line("systemd-run").starts_with("systemd-run --on-calendar='2099-04-14 14:00:00 UTC' "), "{shown}");
    let (_, command) = line("systemd-run").split_once(" -- ").expect("a command");
    assert!(line("echo").ends_with(" | TZ=UTC at -t 209904141400.00"), "{shown}");
    let done = Command::new("sh").args(["-c", command]).output().expect("a shell");
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(modes(&scene), OPEN);
}

#[test]
fn no_link_is_followed() {
    let scene = scene();
    let outside = scene.mirror.root.with_file_name("outside");
    fs::create_dir_all(outside.join("Packages")).expect("made");
    for name in ["Packages/a.rpm", "Packages/b.rpm", "run.sh"] {
        fs::write(outside.join(name), "theirs").expect("written");
        fs::set_permissions(outside.join(name), fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    let os = scene.mirror.path(format!("{RELEASE}/os"));
    fs::remove_file(os.join("run.sh")).expect("removed");
    symlink(outside.join("run.sh"), os.join("run.sh")).expect("made");
    fs::remove_dir_all(os.join("Packages")).expect("removed");
    symlink(outside.join("Packages"), os.join("Packages")).expect("made");
    let result = flip(&scene);
    assert!(result.stderr.contains("4 restricted entries of the lists are not here yet"), "{}", result.stderr);
    for name in ["Packages/a.rpm", "Packages/b.rpm", "run.sh"] {
        assert_eq!(fs::metadata(outside.join(name)).expect("it is there").mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(mode(&scene, RELEASE), 0o755);
}

#[test]
fn a_path_that_means_nothing_is_refused_and_one_without_anything_restricted_says_so() {
    let mut scene = scene();
    for path in ["../outside", "/srv", "fedora/../x", "", "epel", "fedora/linux/releases/99"] {
        let result = scene.run(&["bitflip", path, "--yes"]).status(Status::Usage);
        assert!(!result.stderr.is_empty(), "{path}");
    }
    let nothing = scene.run(&["bitflip", "fedora/linux/updates/43/public.rpm", "--yes"]).status(Status::Done);
    assert_eq!(nothing.stdout, "Nothing at fedora/linux/updates/43/public.rpm is restricted by the applied lists.\n");
    let inside = scene.run(&["bitflip", &format!("{RELEASE}/os"), "--yes"]).status(Status::Done);
    assert!(inside.stderr.contains(&format!("{RELEASE} is restricted too, and stays closed")), "{}", inside.stderr);
    assert_eq!((mode(&scene, RELEASE), mode(&scene, &format!("{RELEASE}/os/run.sh"))), (0o750, 0o755));
    scene.configure(&[FEDORA], "");
    scene.run(&["bitflip", RELEASE, "--yes"]).status(Status::Usage);
}

#[test]
fn it_gives_way_to_a_run() {
    let scene = scene();
    let lock = fs::File::open(scene.state_folder().join("lock")).expect("a lock");
    lock.try_lock().expect("nobody has it");
    scene.run(&["bitflip", RELEASE, "--yes"]).status(Status::Locked);
    assert_eq!(modes(&scene), CLOSED);
    drop(lock);
    scene.run(&["bitflip", RELEASE, "--yes", "--wait"]).status(Status::Done);
    assert_eq!(modes(&scene), OPEN);
}

#[test]
fn runs_leave_it_open_until_upstream_says_more_of_it() {
    let mut scene = scene();
    flip(&scene);
    scene.assert_quiet();
    // Another list, which says the same of the release, and every depth.
    scene.change(|up| up.file("fedora/linux/updates/43/more.rpm", b"more").map(drop));
    scene.sync();
    let asked = names_asked(&scene.new_calls());
    let asked: Vec<String> = asked.iter().map(|name| name.escape_ascii().to_string()).collect();
    assert!(asked.iter().all(|name| !name.contains("releases")), "{asked:?}");
    assert_eq!(modes(&scene), OPEN);
    scene.run(&["--full"]).status(Status::Done);
    assert_eq!((modes(&scene), names_asked(&scene.new_calls()).len()), (OPEN.into(), 0));
    scene.run(&["verify", "--detailed-exitcode"]).status(Status::Done);

    // What is damaged comes again, with upstream's mode and that of the directories above; it is opened again.
    fs::remove_file(scene.mirror.path(format!("{RELEASE}/os/Packages/b.rpm"))).expect("removed");
    scene.run(&["--full"]).status(Status::Done);
    assert_eq!(modes(&scene), OPEN);
    scene.assert_quiet();

    // Upstream's later word counts, also where it is that this is not for all.
    let later = u64::try_from(chrono::Utc::now().timestamp()).expect("a time") + 100;
    scene.change(|up| {
        up.file_at(format!("{RELEASE}/os/Packages/b.rpm"), b"another", later)?;
        up.mode(format!("{RELEASE}/os/Packages/b.rpm"), 0o640).map(drop)
    });
    scene.sync();
    assert_eq!(mode(&scene, &format!("{RELEASE}/os/Packages/b.rpm")), 0o640);
    // Upstream's own bitflip.
    scene.change(|up| {
        for (path, mode) in [
            ("", 0o755),
            ("/os/Packages", 0o755),
            ("/os/Packages/b.rpm", 0o644),
            ("/os/run.sh", 0o755),
            ("/os/repodata/repomd.xml", 0o644),
        ] {
            up.mode(format!("{RELEASE}{path}"), mode)?;
        }
        Ok(())
    });
    scene.sync();
    assert_eq!(modes(&scene), OPEN);
    scene.assert_quiet();
}

/// Ends the program by KILL when it changes a mode the so-manieth time.
fn killed_at(scene: &Scene, change: usize) {
    let command = scene.mirror.command(&["bitflip", RELEASE, "--yes"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fchmod"]);
    strace.arg("-e").arg(format!("inject=fchmod:signal=KILL:when={change}"));
    strace.arg(command.get_program()).args(command.get_args());
    strace.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    strace.stdin(Stdio::null()).output().expect("it starts");
}

#[test]
fn one_that_was_cut_off_shows_nothing_and_is_finished_by_the_next_run_or_the_same_command() {
    let is_here = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is_here {
        eprintln!("skipped: strace is not installed");
        return;
    }
    for change in [1, 3, 4] {
        for by_a_run in [false, true] {
            let mut scene = scene();
            killed_at(&scene, change);
            let (now, closed) = (modes(&scene), CLOSED.to_vec());
            let changed = now.iter().zip(closed).filter(|(now, closed)| *now != closed).count();
            assert!((change - 1..=change).contains(&changed), "{changed} modes changed before change {change}");
            assert_eq!(mode(&scene, RELEASE), 0o750, "the directory above all is last");
            if by_a_run {
                scene.sync();
            } else {
                flip(&scene);
            }
            assert_eq!(modes(&scene), OPEN);
            scene.sync();
            scene.assert_quiet();
        }
    }
}

#[test]
fn what_upstream_made_after_the_list_that_was_shown_stays_closed() {
    let mut scene = scene();
    // A list has whole seconds.
    let listed = chrono::Utc::now().timestamp();
    wait_until("the second of the list is over", || chrono::Utc::now().timestamp() > listed);
    let secret = "fedora/linux/releases/45/secret.rpm";
    // It is there when the release is opened, and in no list that came here.
    scene.site.upstream.file(secret, b"of the next release").expect("made").mode(secret, 0o640).expect("closed");
    scene.site.upstream.mode("fedora/linux/releases/45", 0o750).expect("closed");
    scene.run(&["bitflip", "--yes"]).status(Status::Done);
    scene.change(|_| Ok(()));
    scene.sync();
    assert_eq!(modes(&scene), OPEN);
    assert_eq!((mode(&scene, "fedora/linux/releases/45"), mode(&scene, secret)), (0o750, 0o640));
}

#[test]
fn a_line_for_later_is_refused_where_it_would_be_about_something_else() {
    let scene = scene();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let flag = format!("--state={}", elsewhere.path().display());
    let result = scene.run(&["bitflip", RELEASE, "--at", "tomorrow", &flag]).status(Status::Usage);
    assert!(result.stderr.contains("the configuration file alone"), "{}", result.stderr);
}
