//! Check-in with MirrorManager: what it is told, when, and what follows from what it answers.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use qfm::exit::Status;
use rustix::process::Signal;
use serde_json::{Value, json};
use support::*;

const NO_ARGUMENTS: &[&str] = &[];

const ALL: &[&str] = &["Fedora Linux", "Fedora EPEL", "Fedora Archive"];

/// What is upstream: three directories below the top of `Fedora Linux`, one of `Fedora EPEL`.
fn content(up: &mut Upstream) -> Built {
    up.file("fedora/linux/releases/43/p.rpm", b"package")?
        .file("fedora/linux/debug/d.rpm", b"debug")?
        .file("fedora/README", b"read")?
        .dir("fedora/beside")?
        .file("epel/10/e.rpm", b"epel")
        .map(drop)
}

/// A mirror that checks in, with more lines of configuration; nothing was synced yet.
fn scene(manager: &MirrorManager, modules: &[&str], extra: &str) -> Scene {
    let mut scene = Scene::new(modules, content);
    manager.tell_by(&mut scene.mirror);
    scene.mirror.add(extra);
    scene
}

/// One that was told all already.
fn told(manager: &MirrorManager, modules: &[&str], extra: &str) -> Scene {
    let scene = scene(manager, modules, extra);
    scene.sync();
    scene
}

fn names(tree: &Value) -> BTreeSet<&str> {
    tree["dirtree"].as_object().expect("a tree").keys().map(String::as_str).collect()
}

#[test]
fn a_run_tells_what_it_committed_in_one_request_and_nothing_else() {
    let manager = MirrorManager::start(ALL);
    let mut scene = scene(&manager, &[FEDORA, EPEL], "filter.exclude = [\"debug\"]");
    let result = scene.mirror.run(&[]).status(Status::Done);
    assert!(result.stdout.contains("checked in fedora linux of mirror.example.org: 3 directories"), "{result:?}");
    let expected = json!({
        "version": 0,
        "global": { "enabled": "1", "server": manager.endpoint() },
        "site": { "name": MirrorManager::SITE, "password": MirrorManager::PASSWORD, "enabled": "1" },
        "host": { "name": MirrorManager::HOST, "enabled": "1" },
        "stats": {},
        "fedora linux": { "enabled": "1", "dirtree": { "": {}, "releases": {}, "releases/43": {} } },
        "fedora epel": { "enabled": "1", "dirtree": { "": {}, "10": {} } },
    });
    assert_eq!((manager.requests(), manager.told()), (1, expected));
    let head = manager.head();
    assert!(head.starts_with("post /xmlrpc http/1.1") && head.contains("content-type: text/xml"), "{head}");

    scene.sync();
    scene.mirror.run(&["--full"]).status(Status::Done);
    assert_eq!(manager.requests(), 1, "nothing is new");
    scene.change(|up| up.file("epel/11/new.rpm", b"new").map(drop));
    scene.mirror.run(&["--dry-run"]).status(Status::Done);
    assert_eq!(manager.requests(), 1, "a dry run tells nothing");
    let record = scene.mirror.run(&["--json"]).status(Status::Done).json();
    assert_eq!(manager.requests(), 2);
    assert!(manager.told().get("fedora linux").is_none());
    assert_eq!(manager.directories("Fedora EPEL"), ["", "10", "11"]);
    assert_eq!(record["checked_in"][0]["category"], "fedora epel");
    assert_eq!(record["checked_in"][0]["directories"], 3);
}

#[test]
fn a_failed_check_in_fails_no_sync_and_the_next_run_makes_up_for_it() {
    let manager = MirrorManager::start(ALL);
    let scene = scene(&manager, &[FEDORA], "checkin.retries = 1");
    manager.will(&[Reply::Status(503), Reply::HangUp]);
    let result = scene.mirror.run(&[]).status(Status::Notify);
    assert_eq!(manager.requests(), 2);
    assert!(result.stderr.contains("trying again") && result.stderr.contains("the next run tries again"), "{result:?}");
    assert!(scene.mirror.path("fedora/linux/releases/43/p.rpm").exists(), "it is synced");
    manager.will(&[Reply::Status(500), Reply::Status(500)]);
    scene.mirror.run(&[]).status(Status::Notify);
    scene.mirror.run(&[]).status(Status::Done);
    assert_eq!(manager.directories("Fedora Linux").len(), 4);
    scene.mirror.run(&[]).status(Status::Done);
    assert_eq!(manager.requests(), 5);
}

#[test]
fn trouble_that_may_pass_is_tried_again() {
    let manager = MirrorManager::start(ALL);
    let scene = scene(&manager, &[FEDORA], "checkin.retries = 7");
    let page = b"<html><body>please log in</body></html>".to_vec();
    let troubles = [
        Reply::HangUp,
        Reply::Status(500),
        Reply::Status(504),
        Reply::Cut,
        Reply::Huge,
        Reply::Body(page),
        Reply::Body(b"not XML <".to_vec()),
    ];
    manager.will(&troubles);
    let result = scene.mirror.run(&["-v"]).status(Status::Done);
    assert_eq!(manager.requests(), troubles.len() + 1);
    for why in ["failed (500)", "failed (504)", "too large for a reply", "no reply"] {
        assert!(result.stderr.contains(why), "{why}: {}", result.stderr);
    }
    assert_eq!(manager.directories("Fedora Linux").len(), 4);
}

#[test]
fn refusals_are_explained_and_not_tried_again() {
    let manager = MirrorManager::start(ALL);
    let scene = scene(&manager, &[FEDORA], "");
    let fault = b"<?xml version='1.0'?><methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value>\
        </member><member><name>faultString</name><value><string>bad</string></value></member></struct></value></fault></methodResponse>";
    let end = "error checking in";
    let text = |text: String| Reply::Text(text.leak());
    for (reply, says) in [
        (text(format!("Config file site name or password incorrect.\n{end}")), "site or its password is wrong"),
        (text(format!("Config file host name for site not found.\n{end}")), "no host of that name"),
        (
            text(format!("Only private mirrors are allowed to use report_mirror.\n{end}")),
            "this host is not marked private in MirrorManager; public mirrors are crawled and need no check-in",
        ),
        (
            text(format!("x is missing\nInvalid config file provided, please check your report_mirror.conf.{end}")),
            "a bug of one",
        ),
        (Reply::Text("checked in successful"), "took no notice of fedora linux"),
        (Reply::Body(fault.to_vec()), "fault 1: bad"),
        (Reply::Status(413), "too large for the server"),
        (Reply::Status(404), "is checkin.endpoint right?"),
        (Reply::Moved("https://example.org/elsewhere"), "it moved to https://example.org/elsewhere"),
    ] {
        let before = manager.requests();
        manager.will(std::slice::from_ref(&reply));
        let result = scene.mirror.run(&[]).status(Status::Notify);
        assert_eq!(result.stderr.matches(says).count(), 1, "{reply:?}: {}", result.stderr);
        assert_eq!(manager.requests(), before + 1, "{reply:?}");
    }
    scene.sync();
    assert_eq!(manager.directories("Fedora Linux").len(), 4, "it is told all the same when it listens");
    manager.make_public();
    let result = scene.mirror.run(&["checkin", "--all"]).status(Status::Notify);
    assert!(result.stderr.contains("not marked private"), "{}", result.stderr);
}

#[test]
fn what_was_taken_of_a_request_is_not_told_again() {
    let manager = MirrorManager::start(&["Fedora Linux"]);
    let scene = scene(&manager, &[FEDORA, EPEL], "");
    let result = scene.mirror.run(&[]).status(Status::Notify);
    assert!(result.stderr.contains("took no notice of fedora epel"), "{}", result.stderr);
    scene.mirror.run(&[]).status(Status::Notify);
    assert!(manager.told().get("fedora linux").is_none(), "{}", manager.told());
    let mut scene = scene;
    scene.mirror.add("module.fedora-epel.checkin_category = \"\"");
    let before = manager.requests();
    scene.sync();
    assert_eq!(manager.requests(), before, "it is left out");
}

#[test]
fn a_tree_that_shrank_is_held_and_an_empty_one_is_never_sent() {
    let manager = MirrorManager::start(ALL);
    let mut scene = told(&manager, &[FEDORA, EPEL], "");
    scene.change(|up| up.remove("fedora/linux/releases/43")?.remove("fedora/linux/debug").map(drop));
    for args in [&["--allow-delete", FEDORA][..], &[], &["checkin"], &["checkin", "--all"]] {
        let result = scene.mirror.run(args).status(Status::Notify);
        let says = "the check-in of fedora linux is held: it would have 2 directories, and had 4 last time (checkin.max_shrink). \
                    If that is meant, run once: qfm checkin --force fedora-enchilada";
        assert!(result.stderr.contains(says), "{args:?}: {}", result.stderr);
        assert_eq!(manager.directories("Fedora Linux").len(), 4);
    }
    assert_eq!(names(&manager.told()["fedora epel"]), ["", "10"].into(), "others are told");
    scene.mirror.run(&["checkin", "--force", FEDORA]).status(Status::Done);
    assert_eq!(manager.directories("Fedora Linux"), ["", "releases"]);
    scene.sync();

    let before = manager.requests();
    scene.change(|up| up.remove("fedora/linux/releases").map(drop));
    scene.mirror.run(&["--allow-delete", FEDORA]).status(Status::Notify);
    let result = scene.mirror.run(&["checkin", "--force", FEDORA]).status(Status::Notify);
    assert!(result.stderr.contains("no directory at all"), "{}", result.stderr);
    assert_eq!(manager.requests(), before);
}

#[test]
fn nobody_is_led_to_what_is_not_here_or_not_for_everybody() {
    let manager = MirrorManager::start(ALL);
    let mut scene = scene(&manager, &[FEDORA], "restricted = true");
    scene.change(|up| up.file("fedora/linux/beta/deep/b.rpm", b"beta")?.mode("fedora/linux/beta", 0o750).map(drop));
    let others: &[&[u8]] = &[
        b"1700000000\td\t4096\tlinux/absent",
        b"1700000000\td\t4096\tlinux/absent/below",
        // What keeps it from others lies above what is listed.
        b"1700000000\td*\t4096\tlinux/hidden",
    ];
    let list = scene.list_with("fedora", others);
    scene.publish_raw("fedora", &list);
    scene.mirror.run(&[]).status(Status::Partial);
    assert!(scene.mirror.path("fedora/linux/beta/deep/b.rpm").exists());
    assert_eq!(manager.directories("Fedora Linux"), ["", "debug", "releases", "releases/43"]);
}

#[test]
fn a_run_that_waits_for_an_answer_holds_nobody_up_and_ends_at_once() {
    let manager = MirrorManager::start(ALL);
    let mut scene = scene(&manager, &[FEDORA, EPEL], "");
    for (signal, status, requests) in [(Signal::TERM, Status::Terminated, 1), (Signal::INT, Status::Interrupted, 2)] {
        manager.will(&[Reply::Mute]);
        let run = scene.start(&[]);
        wait_until("MirrorManager is asked", || manager.requests() == requests);
        run.signal(signal);
        assert_eq!(run.end(), Some(i32::from(status.code())));
    }
    // Another run meanwhile does its work, and waits for its turn to tell of it.
    manager.will(&[Reply::Mute]);
    let first = scene.mirror.command(NO_ARGUMENTS).spawn().expect("the program starts");
    wait_until("MirrorManager is asked", || manager.requests() == 3);
    scene.change(|up| up.file("epel/11/new.rpm", b"new").map(drop));
    let second = scene.mirror.command(NO_ARGUMENTS).spawn().expect("the program starts");
    wait_until("the second run installs", || scene.mirror.path("epel/11/new.rpm").exists());
    let end = |mut run: std::process::Child, signal: Option<Signal>| {
        if let Some(signal) = signal {
            rustix::process::kill_process(rustix::process::Pid::from_child(&run), signal).expect("it is there");
        }
        run.wait().expect("it ends").code()
    };
    assert_eq!(end(first, Some(Signal::TERM)), Some(i32::from(Status::Terminated.code())));
    assert_eq!(end(second, None), Some(0));
    assert_eq!(manager.requests(), 4);
    assert_eq!(manager.directories("Fedora EPEL"), ["", "10", "11"]);
    assert_eq!(manager.directories("Fedora Linux").len(), 4);
}

#[test]
fn a_mute_server_and_a_name_that_is_none_end_the_wait() {
    let manager = MirrorManager::start(ALL);
    let mut scene = scene(&manager, &[FEDORA], "checkin.timeout = \"1s\"\ncheckin.retries = 0");
    manager.will(&[Reply::Mute]);
    let result = scene.mirror.run(&[]).status(Status::Notify);
    assert!(result.stderr.contains("it took too long (checkin.timeout)"), "{}", result.stderr);
    scene.sync();
    scene.mirror.add("module.fedora-enchilada.checkin_host = \"elsewhere\"");
    let result = scene.mirror.run(&[]).status(Status::Notify);
    assert!(result.stderr.contains("no host of that name"), "{}", result.stderr);
    let result = scene.mirror.run(&["checkin", "--checkin-endpoint", "http://name.invalid/"]).status(Status::Notify);
    assert!(result.stderr.contains("http://name.invalid/"), "{}", result.stderr);
}

#[test]
fn it_is_shown_without_the_password_and_written_with_it_for_its_owner_alone() {
    let manager = MirrorManager::start(ALL);
    let scene = scene(&manager, &[FEDORA, EPEL], "");
    let nothing = scene.mirror.run(&["checkin"]).status(Status::Done);
    assert!(nothing.stderr.contains("nothing to check in"), "{nothing:?}");
    manager.will(&[Reply::Status(404)]);
    scene.mirror.run(&[]).status(Status::Notify);

    let shown = scene.mirror.run(&["checkin", "--dry-run"]).status(Status::Done).json();
    assert_eq!(shown["site"], json!({ "name": MirrorManager::SITE, "password": "***", "enabled": "1" }));
    assert_eq!(names(&shown["fedora epel"]), ["", "10"].into());
    assert_eq!(manager.requests(), 1);

    let file = scene.mirror.config.with_file_name("dump");
    scene.mirror.run(&["checkin", "--dump", file.to_str().expect("UTF-8")]).status(Status::Done);
    assert_eq!(manager.requests(), 1);
    scene.sync();
    let whole = manager.told();
    for (module, category) in [(FEDORA, "fedora linux"), (EPEL, "fedora epel")] {
        let path = scene.mirror.config.with_file_name(format!("dump-{module}"));
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        let mut expected = whole.clone();
        expected.as_object_mut().expect("an object").retain(|key, _| key == category || !key.starts_with("fedora "));
        assert_eq!(unpack(&fs::read(&path).expect("a file")), expected, "{module}");
    }
    assert!(scene.mirror.run(&["checkin", "--dry-run"]).status(Status::Done).stdout.is_empty(), "all was told");
    let shown = scene.mirror.run(&["checkin", "-n", EPEL]).status(Status::Done).json();
    assert!(shown.get("fedora linux").is_none());
}

#[test]
fn hosts_have_requests_of_their_own_and_no_two_modules_one_category() {
    let manager = MirrorManager::start(ALL);
    let mut scene = scene(&manager, &[FEDORA, EPEL], "module.fedora-epel.checkin_host = \"another\"");
    let result = scene.mirror.run(&[]).status(Status::Notify);
    assert!(result.stderr.contains("cannot check in host another: the site has no host of that name"), "{result:?}");
    assert_eq!(
        (manager.requests(), manager.directories("Fedora Linux").len()),
        (2, 4),
        "the next is told all the same"
    );
    scene.mirror.run(&[]).status(Status::Notify);
    assert_eq!(manager.told()["host"]["name"], "another");
    // Nobody is asked twice who does not answer at all.
    manager.will(&[Reply::HangUp, Reply::HangUp]);
    let before = manager.requests();
    scene.mirror.run(&["checkin", "--all", "--checkin-retries", "0"]).status(Status::Notify);
    assert_eq!(manager.requests(), before + 1);
    scene.mirror.add(
        "module.fedora-enchilada.checkin_host = \"another\"\nmodule.fedora-enchilada.checkin_category = \"Fedora EPEL\"",
    );
    let result = scene.mirror.run(&[]).status(Status::Usage);
    assert!(result.stderr.contains("has the category fedora epel of host another too"), "{}", result.stderr);
}

#[test]
fn where_nothing_is_to_be_told_it_is_said_why() {
    let manager = MirrorManager::start(ALL);
    let mut scene = scene(&manager, &[FEDORA, EPEL], "module.fedora-epel.checkin_category = \"\"");
    let file = scene.mirror.config.with_file_name("dump");
    let dump = ["checkin", "--dump", file.to_str().expect("UTF-8")];
    for args in [&["checkin"][..], &["checkin", "--all"], &["checkin", "--dry-run"], &dump] {
        let result = scene.mirror.run(args).status(Status::Done);
        assert!(
            result.stderr.contains("nothing to check in: no run has committed anything yet"),
            "{args:?}: {result:?}"
        );
    }
    let result = scene.mirror.run(&["checkin", FEDORA]).status(Status::Notify);
    assert!(result.stderr.contains("was committed yet; run once: qfm fedora-enchilada"), "{}", result.stderr);
    scene.sync();
    let result = scene.mirror.run(&["checkin"]).status(Status::Done);
    assert!(result.stderr.contains("told all of it (--all tells it again)"), "{}", result.stderr);
    let result = scene.mirror.run(&["checkin", EPEL]).status(Status::Usage);
    assert!(result.stderr.contains("has no category in MirrorManager"), "{}", result.stderr);
    scene.mirror.add("module.fedora-enchilada.checkin_category = \"\"");
    let result = scene.mirror.run(&["checkin", "--all"]).status(Status::Done);
    assert!(result.stderr.contains("no module has a category there (checkin_category)"), "{}", result.stderr);
    assert_eq!(manager.requests(), 1);
}

#[test]
fn what_mirror_manager_knows_nothing_of_was_not_told_well() {
    let manager = MirrorManager::start(ALL);
    let scene = scene(&manager, &[FEDORA, EPEL], "module.fedora-enchilada.checkin_prefix = \"fedora\"");
    let reply = "Category Fedora Linux directories updated: 1  added: 0  deleted 3\n\
                 Category Fedora EPEL directories updated: 0  added: 2  deleted 0\nchecked in successful";
    manager.will(&[Reply::Text(reply), Reply::Text(reply)]);
    let result = scene.mirror.run(&[]).status(Status::Notify);
    let says = "knows none of the directories that were sent of fedora linux, and leads nobody there now";
    assert!(result.stderr.contains(says), "{}", result.stderr);
    assert!(names(&manager.told()["fedora linux"]).contains("linux/releases"));
    scene.mirror.run(&[]).status(Status::Notify);
    assert!(manager.told().get("fedora epel").is_none(), "that was taken");
}

#[test]
fn the_file_of_report_mirror_is_enough() {
    let manager = MirrorManager::start(ALL);
    let mut scene = Scene::new(&[FEDORA, EPEL], content);
    let root = scene.mirror.root.display();
    let text = format!(
        "[global]\nenabled=1\nserver={}\n[site]\nenabled=1\nname={}\npassword={}\n[host]\nenabled=1\nname={}\nuser_active=1\n\
         [Fedora Linux]\nenabled=1\npath={root}/fedora/linux\n[Fedora EPEL]\nenabled=0\npath={root}/epel\n",
        manager.endpoint(),
        MirrorManager::SITE,
        MirrorManager::PASSWORD,
        MirrorManager::HOST
    );
    let file = scene.mirror.private("report_mirror.conf", &text);
    scene.mirror.add(&format!("checkin.report_mirror = {file:?}"));
    scene.sync();
    assert_eq!(names(&manager.told()["fedora linux"]), ["", "debug", "releases", "releases/43"].into());
    assert!(manager.told().get("fedora epel").is_none(), "it is not enabled there");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changed");
    let result = scene.mirror.run(&[]).status(Status::Usage);
    assert!(result.stderr.contains("can be read or changed by others"), "{}", result.stderr);
}
