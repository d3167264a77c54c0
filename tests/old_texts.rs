//! `quick-fedora-mirror`: which lines are said at which level, and which are logged as which item.

mod support;

use std::fs;

use regex::Regex;
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/a.rpm", b"aaaa")?.file("fedora/linux/43/a", b"a")?.file("archive/42/b", b"bb")?;
    for number in 0..40 {
        up.file(format!("fedora/goes/{number}"), b"x")?;
    }
    fs::write(up.path("fedora/fullfilelist"), "./os/a.rpm\n").map_err(Into::into)
}

/// Both modules, in step.
fn in_step(lines: &str) -> Old {
    let mut old = Old::new("fedora-enchilada fedora-archive", build);
    old.runs(&[]);
    old.add(lines);
    old
}

/// Something comes, something goes; the list beside the list stays as it is.
fn change(old: &mut Old, round: usize) {
    old.scene.change(|up| {
        up.file(format!("fedora/os/new{round}"), b"new")?.remove(format!("fedora/goes/{round}")).map(drop)
    });
}

/// Each line of a run that changes something, as a regular expression, with the level from which on it is said.
const LINES: [(u8, &str); 28] = [
    (1, r"Mirror starting: [A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} \S+ [0-9]{4}"),
    (1, r"Changes in fedora-enchilada: [0-9]+ files/dirs"),
    (1, r"    Downloaded files: 1"),
    (1, r"    Total size of those files: 3 B"),
    (1, r"    Received: .*[0-9] \S*B   Sent: .*[0-9] \S*B   Speedup: [0-9.]+"),
    (1, r"Mirror finished: [A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} \S+ [0-9]{4} \(0\)"),
    (2, r"Total on server:        [ 0-9]{6} files, [ 0-9]{4} dirs\."),
    (2, r"New on server:          [ 0-9]{6} files, [ 0-9]{4} dirs\."),
    (2, r"Total on client:        [ 0-9]{6} files, [ 0-9]{4} dirs\."),
    (2, r"Not present on server: {7}1 files, {4}0 dirs\."),
    (2, r"Missing on client: {11}1 files, {4}0 dirs\."),
    (2, r"Size Changed: {16}0 files\."),
    (2, r"Timestamps to restore:  [ 0-9]{6} files\."),
    (2, r"Checksum Failed: {13}0 files\."),
    (2, r"Filelist changes:       [ 0-9]{6} paths\."),
    (2, r"Total to transfer:      [ 0-9]{6} paths\."),
    (2, r"No change in file list checksum\.  Skipping fedora-archive\."),
    (3, r">> Log: Run start: cfg \S+/quick-fedora-mirror\.conf, tmp \S+/timefile\.qfm"),
    (3, r">> Log: Changes in fedora-enchilada: [0-9]+ files/dirs"),
    (3, r">> Log: Downloaded files: 1"),
    (3, r">> Log: Run end; exiting 0\."),
    (3, r">> Calling \S+/rsync -.* \S+/mirror/"),
    (4, r"@ >f\S+          3  fedora/os/new[0-9]+"),
    (5, r"@ \.f\S*\s+[0-9]+  fedora/fullfilelist"),
    (6, r"root .*/mirror.*"),
    (6, r"rsync\.timeout .*"),
    (7, r">> Transferring content \([0-9]+ names\)"),
    (8, r">> .*os/new[0-9]+.*"),
];

#[test]
fn each_line_is_said_from_its_level_on() {
    let mut old = in_step("");
    for level in 0..=9 {
        change(&mut old, usize::from(level));
        let said = old.runs(&["-d", &level.to_string()]);
        if level == 0 {
            assert_eq!(said, "");
        }
        for (from, line) in LINES {
            let line = Regex::new(&format!("(?m)^{line}$")).expect("a pattern");
            assert_eq!(line.is_match(&said), level >= from, "level {level}: {line}\n{said}");
        }
    }
    old.scene.assert_same();
    // VERBOSE says the same, and the option is stronger.
    change(&mut old, 10);
    old.add("VERBOSE=3");
    let said = old.runs(&[]);
    assert!(said.contains(">> Log: Run end") && !said.contains("@ "), "{said}");
    assert_eq!(old.runs(&["-d0"]), "");
}

#[test]
fn without_changes_each_level_but_the_first_two_says_so() {
    let old = in_step("");
    for level in ["0", "1"] {
        assert_eq!(old.runs(&["-d", level]), "");
    }
    let skipping = "No change in file list checksum.  Skipping";
    assert_lines(
        &old.runs(&["-d", "2"]),
        &[
            "Mirror starting: …",
            &format!("{skipping} fedora-enchilada."),
            &format!("{skipping} fedora-archive."),
            "Mirror finished: … (0)",
        ],
    );
    assert_lines(
        &old.runs(&["-d", "3"]),
        &[
            "Mirror starting: …",
            ">> Log: Run start: …",
            ">> Calling …",
            ">> Log: Downloading 2 file lists",
            ">> Log: Downloaded file lists, received …",
            &format!("{skipping} fedora-enchilada."),
            &format!(">> Log: {skipping} fedora-enchilada."),
            &format!("{skipping} fedora-archive."),
            &format!(">> Log: {skipping} fedora-archive."),
            ">> Log: Nothing is new.",
            "Mirror finished: … (0)",
            ">> Log: Run end; exiting 0.",
        ],
    );
}

/// The texts that were logged, without their times; the log is empty then.
#[track_caller]
fn logged(old: &Old) -> Vec<String> {
    let written = old.read("log");
    old.write("log", "");
    let line = Regex::new("^[A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} (.*)$").expect("a pattern");
    written.lines().map(|it| line.captures(it).unwrap_or_else(|| panic!("{it}"))[1].to_owned()).collect()
}

/// A mirror in step that logs some items.
fn logging(lines: &str) -> Old {
    let mut old = in_step("");
    old.write("log", "");
    old.add(&format!("LOGFILE={}\n{lines}", old.path("log").display()));
    old
}

/// Each item of a run that changes something, with how its lines begin.
const ITEMS: [(char, &[&str]); 18] = [
    ('c', &["Calling rsync for "]),
    ('C', &["rsync completed, received "]),
    ('d', &["Updating timestamps on ", "To delete in fedora-enchilada: 1 entry", "Deleted goes/"]),
    ('D', &["Deleted 1 entry of fedora-enchilada"]),
    ('g', &["Changes in fedora-enchilada: "]),
    ('l', &["Local tree of fedora-enchilada was compared ("]),
    ('L', &["Counts for fedora-enchilada: "]),
    ('N', &["No change in file list checksum.  Skipping fedora-archive."]),
    ('o', &["Downloading 2 file lists", "Downloaded file lists, received "]),
    ('p', &["Processing fedora-enchilada: "]),
    ('P', &["Processed fedora-enchilada: "]),
    ('r', &["Run start: cfg "]),
    ('R', &["Run end; exiting 0."]),
    ('s', &["Downloaded files: 1", "Total size of those files: ", "Received: "]),
    ('S', &["Downloaded files: 1", "Total size of those files: ", "Received: "]),
    ('e', &[]),
    ('E', &[]),
    ('n', &[]),
];

#[test]
fn each_item_is_logged_if_it_is_asked_for_and_nothing_else() {
    let mut old = logging("");
    for (round, (letter, begins)) in ITEMS.into_iter().enumerate() {
        old.add(&format!("LOGITEMS={letter}"));
        change(&mut old, round);
        old.runs(&[]);
        let found = logged(&old);
        let is_of = |text: &String, begin: &&str| text.starts_with(begin);
        assert!(found.iter().all(|text| begins.iter().any(|begin| is_of(text, begin))), "{letter}: {found:?}");
        // Times of directories are said only where others are put right.
        let must = begins.iter().filter(|begin| !begin.starts_with("Updating"));
        must.for_each(|begin| assert!(found.iter().any(|text| is_of(text, begin)), "{letter}: {begin} in {found:?}"));
    }
    old.add("LOGITEMS=@");
    change(&mut old, ITEMS.len());
    old.runs(&[]);
    let found = logged(&old);
    for begin in ITEMS.into_iter().flat_map(|(_, begins)| begins).filter(|begin| !begin.starts_with("Updating")) {
        assert!(found.iter().any(|text| text.starts_with(begin)), "{begin} in {found:?}");
    }
    assert!(!found.iter().any(|text| text.to_lowercase().starts_with("err")), "{found:?}");
}

#[test]
fn what_does_not_happen_in_every_run_has_its_item_too() {
    let mut old = logging("LOGITEMS=n");
    old.runs(&[]);
    assert_eq!(logged(&old), ["Nothing is new."]);

    // A run that is killed, and the one that puts it in order.
    change(&mut old, 0);
    old.scene.wrapper.before(old.scene.next_call() + 1, "kill -KILL $PPID; exit 1");
    assert_eq!(old.run(&[]).code, None);
    old.add("LOGITEMS=aA");
    old.runs(&[]);
    let expected = [
        "The last run did not finish; what it was changing is compared in full",
        "What an aborted run left is in order.",
    ];
    assert_eq!(logged(&old), expected);
    old.runs(&[]);
    assert!(logged(&old).is_empty());

    // Trouble: that which ends a run, and that which does not.
    for (items, begins) in [("e", &["Err: rsync says source files vanished."][..]), ("E", &[])] {
        old.add(&format!("LOGITEMS={items}"));
        old.scene.change(|up| up.file(format!("fedora/os/{items}"), b"e").map(drop));
        old.scene.wrapper.fail_after(old.scene.next_call() + 1, 24);
        old.runs(&[]);
        assert_eq!(logged(&old), begins, "{items}");
    }
    old.scene.wrapper.fail_before(old.scene.next_call(), 1);
    old.fails(&[]);
    let found = logged(&old);
    assert!(found.len() == 1 && found[0].starts_with("ERR: rsync failed: "), "{found:?}");

    // Directories whose times are put right.
    old.add("LOGITEMS=d");
    let os = fs::File::open(old.here("fedora/os")).expect("a directory");
    os.set_modified(std::time::SystemTime::now()).expect("dated");
    old.runs(&["--dir-times"]);
    assert_eq!(logged(&old), ["Updating timestamps on 4 dirs", "Updating timestamps on 1 dirs"], "of each module");

    // MirrorManager.
    let manager = MirrorManager::start(&["Fedora Linux", "Fedora Archive"]);
    old.add(&format!(
        "CHECKIN_SITE='{}'\nCHECKIN_PASSWORD='{}'\nCHECKIN_HOST={}\nMIRRORMANAGER=http://127.0.0.1:{}/xmlrpc",
        MirrorManager::SITE,
        MirrorManager::PASSWORD,
        MirrorManager::HOST,
        manager.port
    ));
    for items in ["m", "M"] {
        old.add(&format!("LOGITEMS={items}"));
        old.runs(&["-a"]);
        let found = logged(&old);
        let is_of = |category: &str| {
            found.iter().filter(|text| text.starts_with(&format!("checked in fedora {category}"))).count()
        };
        assert_eq!((found.len(), is_of("linux"), is_of("archive")), (2, 1, 1), "{found:?}");
    }
}
