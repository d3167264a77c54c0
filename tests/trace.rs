//! What everybody sees who looks at the tree: how fresh the mirror is, and whether it is being changed.

mod support;

use std::fs;

use qfm::exit::Status;
use rustix::process::Signal;
use support::*;

fn scene(extra: &str) -> Scene {
    let mut scene = Scene::new(&[FEDORA, EPEL], |up| up.file("fedora/linux/a", b"a")?.file("epel/e", b"e").map(drop));
    scene.mirror.add(&format!("trace.host = \"mirror.example.org\"\n{extra}"));
    scene
}

fn change(scene: &mut Scene, name: &str) {
    let content = name.as_bytes().to_vec();
    scene.change(|up| up.file(format!("fedora/linux/{name}"), content).map(drop));
}

/// The value of a field.
fn field<'t>(trace: &'t str, key: &str) -> Option<&'t str> {
    trace.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

#[test]
fn a_complete_run_that_brought_newer_lists_leaves_a_trace() {
    let mut scene = scene("trace.file = \"project/trace/{host}\"\ntrace.maintainer = \"Admins <a@example.org>\"\n");
    let trace = scene.mirror.path("project/trace/mirror.example.org");
    let master = scene.mirror.path("project/trace/master");
    scene.mirror.run(&["--dry-run"]).status(Status::Done);
    scene.mirror.run(&[FEDORA]).status(Status::Done);
    assert!(!trace.exists(), "not all of it is here");
    scene.mirror.run(&[FEDORA, EPEL]).status(Status::Done);
    fs::remove_file(&trace).expect("all that there are is all of it");
    change(&mut scene, "z");
    fs::create_dir_all(master.parent().expect("a directory")).expect("made");
    fs::write(&master, "Sat Nov 21 12:00:00 UTC 2026\nArchive serial: 2026112101\n").expect("written");
    scene.sync();
    let first = fs::read_to_string(&trace).expect("a trace");
    let line = first.lines().next().expect("a line");
    assert!(line.ends_with(&format!(" UTC {}", chrono::Utc::now().format("%Y"))), "{first}");
    assert!(field(&first, "Date").expect("a field").ends_with(" +0000"), "{first}");
    let started = chrono::DateTime::parse_from_rfc2822(field(&first, "Date-Started").expect("a field"));
    let ended = chrono::DateTime::parse_from_rfc2822(field(&first, "Date").expect("a field"));
    assert!(started.expect("a time") <= ended.expect("a time"), "{first}");
    assert_eq!(field(&first, "Archive serial"), Some("2026112101"));
    assert_eq!(field(&first, "Creator"), Some(concat!("qfm ", env!("CARGO_PKG_VERSION"))));
    assert_eq!(field(&first, "Running on host"), Some("mirror.example.org"));
    assert_eq!(field(&first, "Maintainer"), Some("Admins <a@example.org>"));
    assert_eq!(field(&first, "Upstream-mirror"), Some("127.0.0.1"));
    assert!(field(&first, "Total bytes received in rsync").expect("a field").parse::<u64>().expect("a number") > 0);
    assert!(field(&first, "Total time spent in rsync").expect("a field").parse::<u64>().is_ok());
    // It says when something newer came, not when somebody looked.
    let before = inode(&trace);
    scene.sync();
    scene.mirror.run(&["--full"]).status(Status::Done);
    fs::remove_file(scene.mirror.path("epel/e")).expect("removed");
    scene.mirror.run(&["--full"]).status(Status::Done);
    assert_eq!(inode(&trace), before, "nothing newer came");
    change(&mut scene, "b");
    scene.mirror.run(&["--transfer-only"]).status(Status::Done);
    scene.mirror.run(&[FEDORA]).status(Status::Done);
    assert_eq!(inode(&trace), before, "not all of it was looked at");
    scene.sync();
    assert_ne!(inode(&trace), before, "what a run of some modules brought counts when all are in step");
    fs::remove_file(&trace).expect("removed");
    scene.sync();
    assert!(trace.exists());
}

#[test]
fn what_is_ours_in_a_modules_directory_is_neither_deleted_nor_fetched() {
    let extra = "trace.file = \"fedora/project/trace/{host}\"\ntrace.in_progress = \"fedora/linux/Archive-Update-in-Progress-{host}\"\n";
    let mut scene = scene(extra);
    scene.sync();
    let trace = scene.mirror.path("fedora/project/trace/mirror.example.org");
    let mark = scene.mirror.path("fedora/linux/Archive-Update-in-Progress-mirror.example.org");
    assert!(trace.exists() && !mark.exists());
    // Nothing is asked for its sake, and nothing held or deleted, however closely all is compared.
    let before = inode(&trace);
    for arguments in [&[][..], &["--full"], &["verify"]] {
        scene.new_calls();
        let result = scene.mirror.run(arguments).status(Status::Done);
        assert_eq!(scene.new_calls().len(), usize::from(arguments != ["verify"]), "{arguments:?}: {result:?}");
        // One that was deleted would be left anew.
        assert_eq!(inode(&trace), before, "{arguments:?}");
    }
    // Upstream has the directory, and another trace, too.
    scene.change(|up| {
        up.file("fedora/project/trace/master", b"theirs")?
            .file("fedora/project/trace/mirror.example.org", b"not ours")
            .map(drop)
    });
    scene.sync();
    let asked = names_asked(&scene.new_calls());
    let is_asked = |name: &[u8]| asked.iter().any(|path| path.ends_with(name));
    assert!(is_asked(b"project/trace/master") && !is_asked(b"project/trace/mirror.example.org"), "{asked:?}");
    assert_eq!(fs::read(scene.mirror.path("fedora/project/trace/master")).expect("readable"), b"theirs");
    let text = fs::read_to_string(&trace).expect("a trace");
    assert!(text.contains("Creator: qfm "), "{text}");
    // And then it has not: the directory that leads to ours stays as it is.
    scene.change(|up| up.remove("fedora/project").map(drop));
    scene.mirror.run(&["--full"]).status(Status::Done);
    let before = inode(&trace);
    scene.new_calls();
    scene.mirror.run(&["--full"]).status(Status::Done);
    assert_eq!(scene.new_calls().len(), 1, "nobody asks about the directory");
    assert!(inode(&trace) == before && !mark.exists());
}

#[test]
fn the_mark_is_there_while_the_mirror_is_changed_and_a_killed_run_leaves_none_for_long() {
    let mut scene = scene("trace.in_progress = \"Archive-Update-in-Progress-{host}\"\n");
    let mark = scene.mirror.path("Archive-Update-in-Progress-mirror.example.org");
    scene.sync();
    let wait = "while [ ! -e \"$GO\" ]; do sleep 0.02; done";
    for round in ["killed", "ended"] {
        change(&mut scene, round);
        let go = scene.site.upstream.root().with_file_name(format!("go.{round}"));
        let content = scene.next_call() + 1;
        scene.wrapper.before(content, &wait.replace("$GO", &go.display().to_string()));
        let running = scene.start(&[]);
        wait_until("it is marked", || mark.exists());
        let text = fs::read_to_string(&mark).expect("readable");
        assert!(text.starts_with("qfm is at work here since ") && text.contains("mirror.example.org"), "{text}");
        if round == "killed" {
            running.signal(Signal::KILL);
            fs::write(&go, "").expect("written");
            assert_eq!(running.end(), None);
            assert!(mark.exists(), "it could not take it away");
            scene.wrapper.leave_alone();
            scene.mirror.run(&["--dry-run"]).status(Status::Done);
            assert!(mark.exists(), "who only looks changes nothing");
            // Also a run in which nothing is to be changed takes it away.
            scene.sync();
        } else {
            fs::write(&go, "").expect("written");
            assert_eq!(running.end(), Some(0));
        }
        assert!(!mark.exists(), "{round}");
    }
    // One of another program is not ours to take away, nor to write over.
    fs::write(&mark, "ftpsync\n").expect("written");
    change(&mut scene, "more");
    scene.sync();
    assert_eq!(fs::read_to_string(&mark).expect("readable"), "ftpsync\n");
}

#[test]
fn a_place_of_ones_own_is_taken_and_one_that_is_none_refused() {
    let mut scene = scene("");
    let place = scene.mirror.root.with_file_name("traces").join("mine");
    scene.mirror.add(&format!("trace.file = {place:?}\n"));
    scene.sync();
    assert!(fs::read_to_string(&place).expect("a trace").contains("Running on host: mirror.example.org"));
    for (wrong, says) in [
        ("fedora/fullfiletimelist-fedora", "that is a list"),
        ("project/trace/", "no path of a file"),
        ("../trace", "no path of a file"),
        ("project/{name}", "a brace that stands for nothing"),
        ("fedora", "no file of ours"),
    ] {
        let result =
            scene.mirror.run(&["config", "check", "--set", &format!("trace.file={wrong}")]).status(Status::Usage);
        assert!(result.stderr.contains(says), "{wrong}: {result:?}");
    }
    // Where it cannot be written, the mirror is in step all the same.
    let blocked = scene.mirror.root.with_file_name("blocked");
    fs::write(&blocked, "").expect("written");
    let flag = format!("--trace-file={}", blocked.join("trace").display());
    let result = scene.mirror.run(&[&flag]).status(Status::Notify);
    assert!(result.stderr.contains("blocked"), "{result:?}");
}
