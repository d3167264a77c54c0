//! How a mirror is: for people, for programs, for monitoring and for the public.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use qfm::exit::{Health, Status};
use quick_xml::Reader;
use quick_xml::events::Event;
use rustix::process::Signal;
use support::*;

fn scene() -> Scene {
    Scene::new(&[FEDORA, EPEL], |up| {
        for number in 0..90 {
            up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
        }
        up.file("epel/e", b"e").map(drop)
    })
}

/// A mirror after runs of several outcomes; the last one holds deletions.
fn eventful() -> Scene {
    let mut scene = scene();
    scene.sync();
    scene.sync();
    scene.change(|up| up.file("epel/new", noise(5000)).map(drop));
    scene.sync();
    scene.run(&UNREACHABLE).status(Status::Upstream);
    scene.change(|up| (0..80).try_for_each(|number| up.remove(format!("fedora/os/p{number}.rpm")).map(drop)));
    scene.run(&[]).status(Status::Held);
    scene
}

/// A run that finds nobody.
const UNREACHABLE: [&str; 2] = ["--upstream=rsync://127.0.0.1:1/none", "--rsync-retries=0"];

/// The line of the plugin, and what it ended with.
#[track_caller]
fn monitored(scene: &Scene, args: &[&str]) -> (Health, String) {
    let result = scene.run(&[&["status"], args].concat());
    assert_eq!(result.stdout.lines().count(), 1, "{result:?}");
    let health = Health::ALL.into_iter().find(|health| Some(i32::from(health.code())) == result.code);
    let health = health.unwrap_or_else(|| panic!("no code of monitoring: {result:?}"));
    assert!(result.stdout.starts_with(&format!("QFM {} - ", health.word())), "{result:?}");
    (health, result.stdout)
}

/// Fails unless the page is whole; returns it.
#[track_caller]
fn page(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a page");
    let mut reader = Reader::from_str(&text);
    let mut elements = 0;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("not well-formed: {error}\n{text}")) {
            Event::Start(_) | Event::Empty(_) => elements += 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(elements > 20 && text.ends_with("</html>\n"), "{text}");
    text
}

#[test]
fn one_screen_tells_what_happened_and_what_is_open() {
    let scene = eventful();
    let before = scene.state();
    let text = scene.run(&["status"]).status(Status::Done).stdout;
    for part in [
        &format!("{}  in step ", scene.mirror.root.display()) as &str,
        "! fedora-enchilada: deletions are held, the oldest since ",
        "(80 entries): too many at once of 91 entries",
        "run once: qfm --allow-delete fedora-enchilada",
        "last runs  +.+xh\n",
        "+ changed, . nothing new, x failed, h held",
        "held (7)",
        "upstream (5)",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains('\u{1b}') && text.lines().count() < 24, "no colours in a pipe, and one screen:\n{text}");
    assert!(scene.state() == before, "nothing is written by looking");
    let one = scene.run(&["status", EPEL]).status(Status::Done).stdout;
    assert!(one.contains(EPEL) && !one.contains("! fedora"), "{one}");
    scene.run(&["status", "fedora-else"]).status(Status::Usage);
}

#[test]
fn json_has_all_that_is_known() {
    let scene = eventful();
    let status = scene.run(&["status", "--json"]).status(Status::Done).json();
    assert_eq!((&status["kind"], &status["version"]), (&"status".into(), &1.into()));
    let root = scene.mirror.root.canonicalize().expect("a root");
    assert_eq!(status["root"].as_str(), root.to_str());
    let codes: Vec<u64> =
        status["runs"].as_array().expect("runs").iter().filter_map(|run| run["code"].as_u64()).collect();
    assert_eq!(codes, [0, 0, 0, 5, 7]);
    let fedora = &status["modules"][0];
    assert_eq!((&fedora["module"], &fedora["directory"]), (&FEDORA.into(), &"fedora".into()));
    assert_eq!((&fedora["held"]["entries"], &fedora["carried"]["entries"]), (&80.into(), &11.into()));
    assert_eq!(fedora["held"]["let_pass"], format!("--allow-delete {FEDORA}"));
    for time in [&status["time"], &status["in_step"], &fedora["list"], &fedora["in_step"], &fedora["check"]["due"]] {
        chrono::DateTime::parse_from_rfc3339(time.as_str().expect("a time")).expect("a time");
    }
    assert_eq!((&status["at_work"], &status["unfinished"]), (&false.into(), &false.into()));
    assert!(status["unreadable"].as_array().expect("a list").is_empty());
}

#[test]
fn monitoring_gets_one_line_and_its_own_codes() {
    let mut scene = scene();
    let limits = ["-w", "6h", "-c", "1d"];
    let (health, line) = monitored(&scene, &limits);
    assert!(
        health == Health::Unknown && line.contains("no run yet") && line.contains("'fedora_age'=U;21600;86400;0"),
        "{line}"
    );
    scene.sync();
    let (health, line) = monitored(&scene, &limits);
    assert!(health == Health::Ok && line.contains("epel ") && line.contains("s old | "), "{line}");
    let set_back = |scene: &Scene, seconds: i64| {
        let began = chrono::Utc::now() - chrono::TimeDelta::seconds(seconds);
        let record = serde_json::json!({ "started": began.to_rfc3339(), "seconds": 1, "code": 0 });
        let text = format!("qfm runs 1\n{record}\n");
        let seal = qfm::state::sealed::hash(text.as_bytes());
        fs::write(scene.state_folder().join("runs"), format!("{text}sha1 {seal}\n")).expect("written");
    };
    set_back(&scene, 7 * 3600);
    let (health, line) = monitored(&scene, &limits);
    assert!(health == Health::Warning && line.contains("fedora-enchilada 6h 59m old (limit 6h)"), "{line}");
    assert_eq!(monitored(&scene, &["-c", "1d"]).0, Health::Ok);
    // A run of one module says nothing of the others.
    scene.run(&[EPEL]).status(Status::Done);
    let (health, line) = monitored(&scene, &limits);
    assert!(health == Health::Warning && !line.contains("fedora-epel"), "{line}");
    assert_eq!(monitored(&scene, &[&limits[..], &[EPEL]].concat()).0, Health::Ok);
    set_back(&scene, 25 * 3600);
    assert_eq!(monitored(&scene, &limits).0, Health::Critical);
    // Nor does one that only transfers.
    scene.change(|up| up.file("epel/new", b"new").map(drop));
    scene.run(&["--transfer-only"]).status(Status::Done);
    assert_eq!(monitored(&scene, &limits).0, Health::Critical);
    scene.sync();
    assert_eq!(monitored(&scene, &limits).0, Health::Ok);
    scene.run(&UNREACHABLE).status(Status::Upstream);
    let (health, line) = monitored(&scene, &limits);
    assert!(health == Health::Warning && line.contains("the last run failed (5)"), "{line}");
    scene.change(|up| up.file("epel/told", b"told").map(drop));
    scene.run(&["--set", "hook.changed=/bin/false"]).status(Status::Notify);
    let (health, line) = monitored(&scene, &limits);
    assert!(
        health == Health::Warning && line.contains("the last run could not tell all (11): a hook failed"),
        "{line}"
    );
    let text = scene.run(&["status"]).status(Status::Done).stdout;
    assert!(text.contains("! the last run could not tell all (11)"), "{text}");
    scene.change(|up| (0..80).try_for_each(|number| up.remove(format!("fedora/os/p{number}.rpm")).map(drop)));
    scene.run(&[]).status(Status::Held);
    let (health, line) = monitored(&scene, &limits);
    assert!(
        health == Health::Warning && line.contains("are held (80 entries) | ") && line.contains("'fedora_held'=80;;;0"),
        "{line}"
    );
    // What is wrong with the configuration is no state of the mirror.
    assert_eq!(monitored(&scene, &["-w", "6h", "--set", "module.x.y=z"]).0, Health::Unknown);
    scene.run(&["status", "-w", "soon"]).status(Status::Usage);
}

#[test]
fn a_run_at_work_and_one_that_was_cut_off_are_told() {
    let mut scene = scene();
    scene.sync();
    scene.change(|up| up.file("fedora/os/new.rpm", b"new").map(drop));
    let go = scene.mirror.config.with_file_name("go");
    let content = scene.next_call() + 1;
    scene.wrapper.before(content, &format!("until test -e {go:?}; do sleep 0.05; done"));
    let running = scene.start(&[]);
    wait_until("rsync is called", || scene.next_call() > content);
    let text = scene.run(&["status"]).status(Status::Done).stdout;
    assert!(text.contains("qfm is at work here now") && !text.contains("cut off"), "{text}");
    let json = scene.run(&["status", "--json"]).status(Status::Done).json();
    assert_eq!((&json["at_work"], &json["unfinished"]), (&true.into(), &false.into()));
    running.signal(Signal::KILL);
    fs::write(&go, "").expect("written");
    assert_eq!(running.end(), None);
    let text = scene.run(&["status"]).status(Status::Done).stdout;
    assert!(!text.contains("at work") && text.contains("the last run was cut off or failed"), "{text}");
    scene.wrapper.leave_alone();
    scene.sync();
    assert!(!scene.run(&["status"]).status(Status::Done).stdout.contains("cut off"));
}

#[test]
fn what_is_missing_or_broken_is_said_in_words() {
    let scene = scene();
    let text = scene.run(&["status"]).status(Status::Done).stdout;
    assert!(text.contains("never in step\n! no run yet\n"), "{text}");
    assert!(!scene.mirror.state.exists(), "nothing is made by looking");
    scene.sync();
    let folder = scene.state_folder();
    for (name, says) in [("runs", "cannot read the last runs in"), ("epel.applied", "cannot use the saved state in")] {
        let path = folder.join(name);
        let whole = fs::read(&path).expect("readable");
        fs::write(&path, "torn").expect("written");
        let text = scene.run(&["status"]).status(Status::Local).stdout;
        assert!(text.contains(says) && text.contains(name), "{text}");
        let (health, line) = monitored(&scene, &["-w", "6h"]);
        assert!(health == Health::Unknown && line.contains(says), "{line}");
        fs::write(&path, whole).expect("written");
    }
    // A mirror whose runs nobody knows of is not in step for that.
    let runs = folder.join("runs");
    let whole = fs::read(&runs).expect("readable");
    fs::remove_file(&runs).expect("removed");
    let (health, line) = monitored(&scene, &["-w", "6h"]);
    assert!(health == Health::Unknown && line.contains("no run is recorded in"), "{line}");
    fs::write(&runs, "").expect("written");
    assert_eq!(monitored(&scene, &["-w", "6h"]).0, Health::Unknown);
    fs::write(&runs, whole).expect("written");
    // While a run commits, the list is a moment ahead of what was applied of it.
    let list = folder.join("lists/epel").join(list_name("epel"));
    fs::copy(&list, list.with_extension("new")).expect("copied");
    fs::rename(list.with_extension("new"), &list).expect("renamed");
    scene.run(&["status"]).status(Status::Done);
    // A volume that is not mounted.
    fs::rename(&scene.mirror.root, scene.mirror.root.with_file_name("away")).expect("renamed");
    let text = scene.run(&["status"]).status(Status::Local).stdout;
    assert!(text.contains("cannot look at the mirror root"), "{text}");
}

#[test]
fn each_run_leaves_a_page_for_the_public() {
    let mut scene = scene();
    let place = scene.mirror.root.join("status.html");
    let title = "Example <Mirror> & \"Friends\"";
    scene.mirror.add(&format!("status.html = {place:?}\nstatus.title = {title:?}\n"));
    scene.run(&["--dry-run"]).status(Status::Done);
    assert!(!place.exists(), "a dry run writes nothing");
    scene.sync();
    let first = page(&place);
    assert!(first.contains("In step with upstream") && first.contains("Example &#60;Mirror&#62; &#38; "), "{first}");
    assert!(first.contains("prefers-color-scheme: dark") && !first.contains("A run is at work"), "{first}");
    let mode = fs::metadata(&place).expect("a page").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o644, "everybody may read it");
    // Whoever reads it meanwhile finds a whole one.
    scene.change(|up| (0..80).try_for_each(|number| up.remove(format!("fedora/os/p{number}.rpm")).map(drop)));
    watch(|| drop(page(&place)), || scene.run(&[]).status(Status::Held));
    scene.run(&UNREACHABLE).status(Status::Upstream);
    let last = page(&place);
    assert!(last.contains("The last run failed") && last.contains("upstream did not answer"), "{last}");
    assert!(last.contains("80 entries no longer listed, and held"), "{last}");
    for secret in ["/tmp", "127.0.0.1", "rsync:", "allow-delete", "os/p1", "<script", "http:"] {
        let found = last.replace("http://www.w3.org/1999/xhtml", "").contains(secret);
        assert!(!found, "{secret} is nobody's business:\n{last}");
    }
    // Nothing else is left beside it, and the mirror is in step whatever becomes of it.
    let names: Vec<_> =
        fs::read_dir(&scene.mirror.root).expect("a root").map(|it| it.expect("an entry").file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    fs::remove_file(&place).expect("removed");
    fs::create_dir(&place).expect("made");
    let result = scene.run(&[&format!("--allow-delete={FEDORA}")]).status(Status::Done);
    assert!(result.stderr.contains("the file of status.html is as it was"), "{result:?}");
    // One without a run, where it is wanted.
    let elsewhere = scene.mirror.config.with_file_name("page.html");
    scene.run(&["status", "--html", elsewhere.to_str().expect("text")]).status(Status::Done);
    assert!(page(&elsewhere).contains("In step with upstream"));
    let nowhere = scene.mirror.root.join("none/page.html");
    let result = scene.run(&["status", "--html", nowhere.to_str().expect("text")]).status(Status::Local);
    assert!(result.stderr.contains("none"), "{result:?}");
    // Where a run would delete it, and by whatever way it is named.
    let link = scene.mirror.config.with_file_name("link");
    std::os::unix::fs::symlink(scene.mirror.path("fedora"), &link).expect("a link");
    for inside in [scene.mirror.path("fedora/status.html"), link.join("status.html")] {
        let result = scene.run(&["status", "--html", inside.to_str().expect("text")]).status(Status::Usage);
        assert!(result.stderr.contains("lies in the directory of module fedora-enchilada"), "{result:?}");
        assert!(!inside.exists(), "nothing is written");
    }
    let inside = format!("--status-html={}", scene.mirror.path("fedora/status.html").display());
    let result = scene.run(&["config", "check", &inside]).status(Status::Usage);
    assert!(result.stderr.contains("status.html"), "{result:?}");
}

#[test]
fn each_run_leaves_metrics_that_prometheus_reads() {
    let mut scene = eventful();
    let outside = tempfile::tempdir().expect("a directory");
    let file = outside.path().join("qfm.prom");
    scene.mirror.add(&format!("status.metrics = {file:?}\n"));
    scene.change(|up| up.file("epel/newer", vec![7; 700]).map(drop));
    scene.run(&[]).status(Status::Held);
    let text = fs::read_to_string(&file).expect("metrics");
    let value = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
        line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok()).expect("a number")
    };
    assert_eq!(value("qfm_module_held_entries{module=\"fedora-enchilada\""), 80.0);
    assert_eq!(value("qfm_last_run_exit_code{"), 7.0);
    assert_eq!(value("qfm_last_run_fetched_bytes{module=\"fedora-epel\""), 700.0);
    assert!(value("qfm_in_step_timestamp_seconds{") >= value("qfm_last_run_start_timestamp_seconds{"));
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the exporter is another user");
    // Also of a run that failed; and without one.
    scene.run(&UNREACHABLE).status(Status::Upstream);
    let failed = fs::read_to_string(&file).expect("metrics");
    assert!(failed.lines().any(|line| line.starts_with("qfm_last_run_exit_code{") && line.ends_with(" 5")), "{failed}");
    let printed = scene.run(&["status", "--metrics"]).status(Status::Done).stdout;
    assert_eq!(printed, failed);
    let check =
        Command::new("promtool").args(["check", "metrics"]).stdin(fs::File::open(&file).expect("open")).output();
    match check {
        Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{output:?}"),
        Err(error) => eprintln!("SKIPPED: promtool: {error}"),
    }
}
