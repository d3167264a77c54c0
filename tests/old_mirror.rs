//! `quick-fedora-mirror`: the old program's name, configuration, options, texts and exit status.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use qfm::demo::tree::inode_snapshot;
use regex::Regex;
use rustix::fs::{FlockOperation, fcntl_lock};
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/a.rpm", b"aaaa")?.file("fedora/os/b.rpm", b"bb")?.file("fedora/gone", b"gone")?;
    up.link("fedora/latest", "os")?.hardlink("fedora/os/a.rpm", "archive/a.rpm")?;
    up.file("fedora/secret/key", b"secret")?.mode("fedora/secret/key", 0o640)?.mode("fedora/secret", 0o750).map(drop)
}

fn change(up: &mut Upstream) -> Built {
    up.file("fedora/os/b.rpm", b"bbb")?.file("fedora/os/c.rpm", b"c")?.remove("fedora/gone").map(drop)
}

#[test]
fn a_tree_of_the_old_tool_is_taken_over_and_kept_in_step() {
    let mut old = Old::new("fedora-enchilada fedora-archive", build);
    // As the old tool leaves it: the tree with its lists, and the time.
    let copied = Command::new("rsync")
        .args(["-aH", "--exclude=/fedora/secret"])
        .arg(format!("{}/", old.scene.site.upstream.root().display()))
        .arg(&old.scene.mirror.root)
        .status();
    assert!(copied.expect("rsync").success());
    fs::write(old.path("timefile"), format!("LASTTIME={}\n", old.scene.site.upstream.now() + 100)).expect("written");
    assert_eq!(old.runs(&[]), "", "level 0 is silent");
    let asked = names_asked(&old.scene.new_calls());
    let is_beside = |name: &[u8]| {
        [&b"/fullfilelist"[..], b"/imagelist-fedora", b"/imagelist-archive"].iter().any(|it| name.ends_with(it))
    };
    assert!(asked.iter().all(|name| is_beside(name)), "what is right is asked for: {asked:?}");
    assert!(old.path("timefile.qfm").is_dir(), "the state lies beside the time file");

    // Silent without changes, and one call.
    assert_eq!(old.runs(&["-d", "1"]), "");
    assert_eq!(old.scene.new_calls().len(), 1);
    old.scene.assert_same();

    old.scene.change(change);
    old.runs(&[]);
    old.scene.assert_same();
    let inode = |path: &str| fs::metadata(old.here(path)).expect("a file").ino();
    assert_eq!(inode("fedora/os/a.rpm"), inode("archive/a.rpm"), "a hard link stays one");
}

#[test]
fn the_texts_of_each_level() {
    let mut old = Old::new("fedora-enchilada fedora-archive", build);
    old.add("VERBOSE=1");
    assert_lines(
        &old.runs(&[]),
        &[
            "Mirror starting: …",
            "Changes in fedora-enchilada: 5 files/dirs",
            "Changes in fedora-archive: 1 files/dirs",
            "    Downloaded files: 3",
            "    Total size of those files: 10 B",
            "    Received: …   Sent: …   Speedup: …",
            "Mirror finished: … (0)",
        ],
    );
    assert_eq!(old.runs(&[]), "", "silent without changes");

    old.scene.change(change);
    let last = old.scene.site.upstream.now() - 3700;
    fs::write(old.path("timefile"), format!("LASTTIME={last}\n")).expect("written");
    assert_lines(
        &old.runs(&["-d2"]),
        &[
            "Mirror starting: …",
            "Total on server:             4 files,    1 dirs.",
            "New on server:               2 files,    1 dirs.",
            "Total on client:             4 files,    1 dirs.",
            "Not present on server:       1 files,    0 dirs.",
            "Missing on client:           1 files,    0 dirs.",
            "Size Changed:                1 files.",
            "Timestamps to restore:       0 files.",
            "Checksum Failed:             0 files.",
            "Filelist changes:            4 paths.",
            "Total to transfer:           3 paths.",
            "Changes in fedora-enchilada: 3 files/dirs",
            "No change in file list checksum.  Skipping fedora-archive.",
            "    Downloaded files: 2",
            "    Total size of those files: 4 B",
            "    Received: …   Sent: …   Speedup: …",
            "Mirror finished: … (0)",
        ],
    );
    assert_lines(
        &old.runs(&["-d", "2"]),
        &[
            "Mirror starting: …",
            "No change in file list checksum.  Skipping fedora-enchilada.",
            "No change in file list checksum.  Skipping fedora-archive.",
            "Mirror finished: … (0)",
        ],
    );

    let said = old.runs(&["-d3"]);
    let start =
        format!(">> Log: Run start: cfg {}, tmp {}.qfm", old.config().display(), old.path("timefile").display());
    assert!(said.lines().any(|line| line == start), "{said}");
    let calling = format!(">> Calling {} -", old.scene.wrapper.program().display());
    assert!(said.contains(&calling) && said.contains(">> Log: Run end; exiting 0."), "{said}");

    old.scene.change(|up| up.file("fedora/d", b"dddd").map(drop));
    let said = old.runs(&["-d6"]);
    assert!(said.contains("\n@ >f+++++++++          4  fedora/d\n"), "{said}");
    assert!(said.contains("\nroot ") && !said.contains(">> Transferring"), "{said}");
    old.scene.change(|up| up.file("fedora/e", b"e").map(drop));
    let said = old.runs(&["-d9"]);
    assert!(said.contains(">> Transferring content (1 names)"), "{said}");
}

#[test]
fn options_that_do_less() {
    let mut old = Old::new("fedora-enchilada fedora-archive", build);
    old.runs(&[]);
    let time = fs::read_to_string(old.path("timefile")).expect("a time file");
    old.scene.change(change);
    let [tree, state] =
        [&old.scene.mirror.root, &old.path("timefile.qfm")].map(|path| inode_snapshot(path).expect("readable"));
    let untouched = |old: &Old| {
        assert_untouched(&tree, &old.scene.mirror.root);
        assert_untouched(&state, &old.path("timefile.qfm"));
    };

    let said = old.runs(&["-n"]);
    assert!(said.contains("fetch   missing") && said.contains("delete  gone"), "{said}");
    let said = old.runs(&["--dry-run", "-d2"]);
    assert!(said.contains("\nChanges in fedora-enchilada: 3 files/dirs\n") && !said.contains("Downloaded"), "{said}");
    untouched(&old);

    // Only transferring deletes nothing, and leaves list and time to the next run.
    old.runs(&["-N"]);
    assert_eq!(fs::read(old.here("fedora/os/c.rpm")).expect("it came"), b"c");
    assert!(old.here("fedora/gone").exists());
    let list = |root: &Path| fs::read(root.join("fedora").join(list_name("fedora"))).expect("a list");
    assert_ne!(list(&old.scene.mirror.root), list(old.scene.site.upstream.root()));
    assert_eq!(fs::read_to_string(old.path("timefile")).expect("a time file"), time);
    old.runs(&[]);
    old.scene.assert_same();

    // A refresh transfers what matches, and nothing else.
    old.scene.new_calls();
    old.runs(&["--refresh", "os/[ab].rpm$"]);
    let asked = names_asked(&old.scene.new_calls());
    assert!(asked.iter().any(|name| name.ends_with(b"os/a.rpm")), "{asked:?}");
    assert!(!asked.iter().any(|name| name.ends_with(b"os/c.rpm")), "{asked:?}");
}

#[test]
fn options_that_look_closer() {
    let mut old = Old::new("fedora-enchilada fedora-archive", build);
    old.runs(&[]);
    let spoil = |old: &Old| {
        let file = fs::File::options().write(true).open(old.here("fedora/os/b.rpm")).expect("a file");
        file.set_len(1).expect("cut off");
    };
    spoil(&old);
    old.runs(&[]);
    assert_eq!(fs::read(old.here("fedora/os/b.rpm")).expect("a file").len(), 1, "no list changed");
    let said = old.runs(&["-a", "-d2"]);
    assert!(said.contains("\nSize Changed:                1 files.\n") && !said.contains("Skipping"), "{said}");
    old.scene.assert_same();

    // A mirror time in the past asks rsync about all that is newer.
    let last = old.scene.site.upstream.now() - 100_000;
    let asked = |old: &mut Old, options: &[&str]| {
        old.scene.new_calls();
        old.runs(options);
        names_asked(&old.scene.new_calls()).len()
    };
    assert!(asked(&mut old, &["-t", &last.to_string()]) > 3);
    assert!(asked(&mut old, &["-T", &format!("@{last}")]) > 3);
    assert_eq!(asked(&mut old, &["-t", &(last + 200_000).to_string()]), 0);

    // The times of directories.
    let times = |path: &Path| fs::metadata(path.join("fedora/os")).expect("a directory").mtime();
    fs::File::open(old.here("fedora/os")).and_then(|dir| dir.set_modified(SystemTime::now())).expect("dated");
    let said = old.runs(&["--dir-times", "-d3"]);
    assert!(said.contains(">> Log: Updating timestamps on 1 dirs\n"), "{said}");
    assert_eq!(times(&old.scene.mirror.root), times(old.scene.site.upstream.root()));
}

#[test]
fn settings_that_choose_what_is_mirrored() {
    let mut old = Old::new("fedora-enchilada", |up| {
        build(up)?;
        up.file("fedora/os/big.iso", b"iso")?.file("fedora/fullfilelist", b"names").map(drop)
    });
    old.add("PREBITFLIP=1\nFILTEREXP='[.]iso'");
    fs::create_dir_all(old.here("fedora/os")).expect("a directory");
    fs::write(old.here("fedora/os/old.iso"), "excluded").expect("a file");
    let said = old.runs(&["-d9"]);
    assert_eq!(fs::read(old.here("fedora/secret/key")).expect(&said), b"secret");
    assert_eq!(fs::metadata(old.here("fedora/secret")).expect("a directory").mode() & 0o007, 0);
    assert_eq!(fs::read(old.here("fedora/fullfilelist")).expect("an extra file"), b"names");
    for name in ["fedora/os/big.iso", "fedora/os/old.iso"] {
        assert!(!old.here(name).exists(), "{name}");
    }
    assert!(!old.here("archive").exists(), "another module");
}

#[test]
fn the_log_has_the_items_that_are_asked_for() {
    let mut old = Old::new("fedora-enchilada", build);
    let log = old.path("log");
    old.add(&format!("LOGFILE={}", log.display()));
    let said = old.run(&[]);
    assert_eq!(said.code, Some(0), "the mirror goes on");
    assert!(said.err.contains("LOGFILE") && !log.exists(), "{said:?}");

    let texts = |old: &Old| {
        let written = fs::read_to_string(old.path("log")).expect("a log");
        fs::write(old.path("log"), "").expect("emptied");
        let line = Regex::new(r"^[A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} (.*)$").expect("a pattern");
        let text = |it: &str| line.captures(it).unwrap_or_else(|| panic!("{it}"))[1].to_owned();
        written.lines().map(text).collect::<Vec<_>>()
    };
    fs::write(&log, "").expect("a log");
    old.runs(&[]);
    let start = format!("Run start: cfg {}, tmp {}.qfm", old.config().display(), old.path("timefile").display());
    assert_eq!(texts(&old), [start.as_str(), "Run end; exiting 0."], "aeElrR");
    old.runs(&["-n"]);
    assert!(texts(&old).is_empty(), "a dry run writes nothing");

    old.add("LOGITEMS=dDsN");
    old.runs(&[]);
    assert_eq!(texts(&old), ["No change in file list checksum.  Skipping fedora-enchilada."]);
    old.scene.change(change);
    old.runs(&[]);
    let found = texts(&old);
    assert!(
        found.contains(&"Deleted gone".to_owned()) && found.contains(&"Downloaded files: 2".to_owned()),
        "{found:?}"
    );

    old.add("LOGITEMS=@");
    old.scene.change(|up| up.file("fedora/d", b"d").map(drop));
    old.runs(&[]);
    let found = texts(&old);
    assert!(found.len() > 10 && !found.iter().any(|text| text.to_lowercase().starts_with("err")), "{found:?}");
}

#[test]
fn trouble_is_told_in_the_old_words() {
    let mut old = Old::new("fedora-enchilada", build);
    old.runs(&[]);
    fs::write(old.path("log"), "").expect("a log");
    old.add(&format!("LOGFILE={}\nMAXRETRIES=2", old.path("log").display()));
    let log = |old: &Old| fs::read_to_string(old.path("log")).expect("a log");

    // rsync says that something went away.
    old.scene.change(change);
    let call = old.scene.next_call() + 1;
    old.scene.wrapper.fail_after(call, 24);
    old.runs(&[]);
    assert!(log(&old).contains(" Err: rsync says source files vanished.\n"), "{}", log(&old));

    // What the list names is not to be had.
    old.scene.change(|up| up.file("fedora/lost", b"lost").map(drop));
    fs::remove_file(old.scene.site.upstream.path("fedora/lost")).expect("lost");
    let said = old.fails(&["-d3"]);
    assert!(said.out.contains(">> Log: Err: Looks like the file list is outdated.\n"), "{said:?}");
    assert!(said.out.contains(" (1)\n") && said.err.contains("fedora-enchilada: upstream lists lost"), "{said:?}");
    assert!(log(&old).contains(" Err: Looks like the file list is outdated.\n"), "{}", log(&old));
    fs::write(old.scene.site.upstream.path("fedora/lost"), b"lost").expect("found again");

    // Trouble that may pass is tried again, and then given up.
    old.scene.new_calls();
    let call = old.scene.next_call();
    (call..call + 2).for_each(|call| old.scene.wrapper.fail_before(call, 30));
    let said = old.fails(&[]);
    assert!(said.err.starts_with("ERR: gave up on ") && said.out.is_empty(), "{said:?}");
    assert_eq!(old.scene.new_calls().len(), 2);
    assert!(log(&old).contains(" ERR: gave up on "), "{}", log(&old));
}

#[test]
fn deletions_that_are_held_are_said_and_end_with_1() {
    let mut old = Old::new("fedora-enchilada", |up| {
        (0..200).try_for_each(|number| up.file(format!("fedora/all/{number}"), b"x").map(drop))
    });
    old.runs(&[]);
    old.scene.change(|up| up.remove("fedora/all").and_then(|up| up.file("fedora/a", b"a")).map(drop));
    let said = old.fails(&[]);
    let flag = format!("qfm --config {} --allow-delete fedora-enchilada", old.config().display());
    assert!(said.err.starts_with("ERR: fedora-enchilada: deletions are held") && said.err.contains(&flag), "{said:?}");
    assert!(old.here("fedora/all/7").exists());
    let dry = old.run(&["-n"]);
    assert!(dry.code == Some(1) && dry.out.contains(&format!("to let them pass once: {flag}\n")), "{dry:?}");
    let native = old.run_as("qfm", &flag.split(' ').skip(1).collect::<Vec<_>>());
    assert!(native.code == Some(0) && !old.here("fedora/all").exists(), "{native:?}");
    old.runs(&[]);
    old.scene.assert_same();
}

#[test]
fn who_meets_another_run_is_silent_unless_the_last_good_one_is_long_ago() {
    let mut old = Old::new("fedora-enchilada", build);
    old.runs(&[]);
    old.write("log", "");
    old.add(&format!("LOGFILE={}", old.path("log").display()));
    let file = fs::File::options().read(true).write(true).open(old.path("timefile")).expect("a time file");
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).expect("a lock");
    for options in [&[][..], &["-d2"]] {
        let said = old.fails(options);
        assert_eq!((said.out.as_str(), said.err.as_str(), old.read("log").as_str()), ("", "", ""), "{options:?}");
    }
    let said = old.fails(&["-d3"]);
    assert_lines(&said.out, &[">> Log: quick-fedora-mirror, or another run, is under way: it holds …"]);
    old.add("LOGITEMS=kr");
    old.fails(&[]);
    assert_lines(&old.read("log"), &["… quick-fedora-mirror, or another run, is under way: it holds …"]);
    old.write("log", "");
    old.add("WARNDELAY=0\nLOGITEMS=aeElrR");
    let said = old.fails(&["-d2"]);
    assert!(said.out.is_empty() && said.err.starts_with("ERR: another run is under way"), "{said:?}");
    assert_lines(&old.read("log"), &["… ERR: another run is under way…"]);
}

#[test]
fn a_run_of_the_old_tool_that_hangs_is_told_by_the_time_that_it_left() {
    let mut old = Old::new("fedora-enchilada", build);
    let yesterday = SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs() - 90_000;
    old.write("timefile", &format!("LASTTIME={yesterday}\n"));
    let file = fs::File::options().read(true).write(true).open(old.path("timefile")).expect("a time file");
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).expect("a lock");
    let said = old.fails(&[]);
    let config = old.config();
    let what = "another run is under way, and none ended well for 1d 1h (WARNDELAY)";
    let see = format!("To see what it does: qfm --config {} status", config.display());
    assert_eq!(said.err, format!("ERR: {what}. {see}\n"));
    let native = old.run_as("qfm", &["--config", config.to_str().expect("UTF-8")]);
    assert!(native.err.contains("none ended well for 1d 1h (WARNDELAY)"), "{native:?}");
    old.add("WARNDELAY=864000");
    assert_eq!(old.fails(&[]).err, "");
}

#[test]
fn what_cannot_be_done_ends_with_1() {
    let mut old = Old::new("fedora-enchilada", build);
    let said = old.fails(&["-c", "/nowhere/to/be.found"]);
    assert_eq!(said.err, "Cannot read /nowhere/to/be.found\n");
    assert!(old.fails(&["-d", "10"]).err.contains("10"));
    for options in [&["--checkin-only"][..], &["--dump-mm-checkin", "f"]] {
        let said = old.fails(options);
        assert!(said.err.starts_with("ERR: check-in is not set up: CHECKIN_SITE names the site\n"), "{said:?}");
    }
    old.add("$(reboot)");
    let said = old.fails(&[]);
    let place = format!("ERR: {}:7:1: ", old.config().display());
    assert!(said.err.starts_with(&place), "{said:?}");
    assert!(old.runs(&["--help"]).contains("--alwayscheck"));
    assert!(old.runs(&["-h"]).contains("--alwayscheck"));
    let said = old.fails(&["--full"]);
    assert!(said.err.starts_with("ERR: unexpected argument '--full'"), "{said:?}");
    fs::remove_file(old.config()).expect("removed");
    let said = old.fails(&[]);
    let lines: Vec<&str> = said.err.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("ERR: there is no configuration file"), "{said:?}");
    let beside = old.config().display().to_string();
    assert!(lines[0].contains(&beside) && lines[0].ends_with(", quick-fedora-mirror.conf"), "{said:?}");
}

#[test]
fn what_helps_is_said_for_who_has_the_old_configuration() {
    let mut old = Old::new("fedora-enchilada fedora-epel", build);
    let said = old.fails(&[]);
    let expected = "ERR: fedora-epel: upstream has no list epel/fullfiletimelist-epel, and the module stays as it is; MODULEMAPPING and FILELIST say both names\n";
    assert_eq!(said.err, expected);
    old.add("MODULES=(fedora-enchilada)");
    old.add("DESTD=/nowhere/at/all");
    let said = old.fails(&[]);
    assert!(said.err.starts_with("ERR: cannot use the mirror root /nowhere/at/all"), "{said:?}");
}

#[test]
fn the_configuration_is_found_where_the_old_tool_looks() {
    let old = Old::new("fedora-enchilada fedora-archive", build);
    // Beside the program.
    assert_eq!(old.runs(&[]), "");
    old.scene.assert_same();
    // The same, where the shell found the program.
    let mut command = Command::new("sh");
    let path = format!("{}:{}", old.path("").display(), std::env::var("PATH").expect("a PATH"));
    command.args(["-c", "cd / && exec quick-fedora-mirror"]).env("PATH", path).env("HOME", "/nowhere");
    command.env("QFM_RSYNC_CONFINE", "false");
    let output = command.output().expect("a shell");
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
    let home = old.path(".config");
    fs::create_dir(&home).expect("a directory");
    fs::rename(old.config(), home.join("quick-fedora-mirror.conf")).expect("moved");
    assert_eq!(old.runs(&[]), "");
}

#[test]
fn mirror_manager_is_told_as_the_options_say() {
    let manager = MirrorManager::start(&["Fedora Linux", "Fedora Archive"]);
    let mut old = Old::new("fedora-enchilada fedora-archive", |up| {
        build(up)?;
        up.file("fedora/linux/43/a", b"a")?.file("archive/42/a", b"a").map(drop)
    });
    old.add(&format!(
        "CHECKIN_SITE='{}'\nCHECKIN_PASSWORD='{}'\nCHECKIN_HOST={}\nMIRRORMANAGER=http://127.0.0.1:{}/xmlrpc",
        MirrorManager::SITE,
        MirrorManager::PASSWORD,
        MirrorManager::HOST,
        manager.port
    ));
    fs::set_permissions(old.config(), fs::Permissions::from_mode(0o600)).expect("changed");

    // A payload for each module in place of a check-in.
    let file = old.path("payload");
    old.runs(&["--dump-mm-checkin", &file.display().to_string()]);
    assert_eq!(manager.requests(), 0);
    for module in [FEDORA, ARCHIVE] {
        let path = old.path(&format!("payload-{module}"));
        let payload = fs::read_to_string(&path).expect("a payload");
        assert!(payload.starts_with("<?xml") && payload.contains("checkin"), "{payload}");
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o077, 0, "a password is in it");
    }
    old.runs(&["-n"]);
    old.runs(&["-N"]);
    old.runs(&["--refresh", "a$"]);
    assert_eq!(manager.requests(), 0);

    // What is new is told by a run; all of it with these.
    old.runs(&[]);
    assert_eq!((manager.requests(), manager.directories("Fedora Linux")), (1, vec![String::new(), "43".to_owned()]));
    old.runs(&[]);
    assert_eq!(manager.requests(), 1);
    old.runs(&["-a"]);
    assert_eq!(manager.requests(), 2);
    old.scene.change(change);
    let said = old.runs(&["--checkin-only", "-d3"]);
    assert!(said.contains(">> Log: checked in fedora linux") && !said.contains("Calling"), "{said}");
    assert_eq!(manager.requests(), 3);
    assert!(old.here("fedora/gone").exists(), "nothing else is done");
}

#[test]
fn the_time_file_has_the_last_mirror_time() {
    let old = Old::new("fedora-enchilada", build);
    let time = || {
        let text = fs::read_to_string(old.path("timefile")).expect("a time file");
        text.trim().strip_prefix("LASTTIME=").and_then(|time| time.parse::<i64>().ok()).expect("a time")
    };
    let now = || i64::try_from(SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs()).expect("a time");
    let before = now();
    old.runs(&["--no-paranoia"]);
    assert!((before..=now()).contains(&time()));
    let (first, before) = (time(), now());
    old.runs(&["-a"]);
    assert!((before - 5..=now() - 5).contains(&time()));
    let previous = fs::read_to_string(old.path("timefile.prev")).expect("the one before");
    assert_eq!(previous.trim(), format!("LASTTIME={first}"));
    // Not all of it was done.
    fs::write(old.path("timefile"), "LASTTIME=1\n").expect("written");
    for options in [&["-n"][..], &["-N"], &["--refresh", "a.rpm"]] {
        old.runs(options);
        assert_eq!(time(), 1, "{options:?}");
    }
}
