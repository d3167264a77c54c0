//! `quick-fedora-mirror`: what each key of the old configuration does under the old name.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use qfm::demo::upstream::list_name;
use serde_json::Value;
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/a.rpm", b"aaaa")?.file("fedora/os/b.rpm", b"bb")?.file("fedora/gone/x", b"gone")?;
    up.file("fedora/linux/43/a", b"a")?.file("archive/linux/42/a", b"aa").map(drop)
}

#[test]
fn what_the_old_tool_left_of_a_transfer_is_used_or_removed_unless_it_is_to_be_left_alone() {
    for (lines, is_left) in [("", false), ("NORSYNCRECOVERY=1", true)] {
        let mut old = Old::new("fedora-enchilada", build);
        old.add(lines);
        // As it is left by a run that was killed: files that rsync finished, and one that nobody wants any more.
        let partial = old.here("fedora/os/.~tmp~");
        fs::create_dir_all(&partial).expect("a directory");
        let copy = |name: &str| {
            let (from, to) = (old.scene.site.upstream.path("fedora/os").join(name), partial.join(name));
            fs::copy(&from, &to).expect("copied");
            let time = fs::metadata(&from).and_then(|stat| stat.modified()).expect("a time");
            fs::File::options().write(true).open(&to).and_then(|file| file.set_modified(time)).expect("dated");
            fs::metadata(&to).expect("a file").ino()
        };
        let a = copy("a.rpm");
        fs::write(partial.join("old.rpm"), "old").expect("written");
        old.runs(&[]);
        assert_eq!(partial.exists(), is_left, "{lines}");
        assert_eq!(fs::metadata(old.here("fedora/os/a.rpm")).expect("a file").ino() == a, !is_left, "{lines}");
        assert_eq!(fs::read(old.here("fedora/os/b.rpm")).expect("a file"), b"bb");

        // What comes there later is not the old tool's.
        fs::create_dir_all(&partial).and_then(|()| fs::write(partial.join("c.rpm"), "c")).expect("written");
        old.scene.change(|up| up.file("fedora/os/c.rpm", b"c").map(drop));
        old.runs(&[]);
        assert!(partial.join("c.rpm").exists());
    }
}

#[test]
fn directories_keep_their_times_whatever_the_key_says_and_without_a_call() {
    let calls = ["", "KEEPDIRTIMES=yes"].map(|lines| {
        let mut old = Old::new("fedora-enchilada fedora-archive", build);
        old.add(lines);
        old.runs(&[]);
        old.scene.new_calls();
        old.scene.change(|up| up.remove("fedora/gone/x")?.remove("fedora/os/a.rpm").map(drop));
        old.runs(&[]);
        old.scene.assert_same();
        old.scene.new_calls().len()
    });
    assert_eq!(calls[0], calls[1]);
}

#[test]
fn the_whole_buffet_is_all_modules_of_the_mapping_and_its_sizes() {
    let upstream = |up: &mut Upstream| {
        for directory in ["alt", "archive", "epel", "fedora", "fedora-secondary"] {
            up.file(format!("{directory}/a"), directory)?;
        }
        fs::write(up.path("DIRECTORY_SIZES.txt"), "12T fedora\n").map_err(Into::into)
    };
    let mut old = Old::new("fedora-enchilada", upstream);
    old.add("MIRRORBUFFET=1");
    old.runs(&[]);
    old.scene.assert_same();
    assert_eq!(fs::read(old.here("DIRECTORY_SIZES.txt")).expect("it came"), b"12T fedora\n");

    let mut old = Old::new("fedora-enchilada", upstream);
    old.add("MODULEMAPPING=(fedora-alt alt fedora-epel epel)\nMIRRORBUFFET=1");
    old.runs(&[]);
    let mut here: Vec<_> = fs::read_dir(&old.scene.mirror.root)
        .expect("a root")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    here.sort();
    assert_eq!(here, ["DIRECTORY_SIZES.txt", "alt", "epel"]);
}

#[test]
fn modules_lists_and_extra_files_have_the_names_that_are_set() {
    let mut old = Old::new("fedora-archive mine", |up| {
        up.file("mine/a", b"a")?.file("archive/a", b"a")?;
        fs::write(up.path("mine/names-mine"), "./a\n")?;
        fs::write(up.path("archive/names-archive"), "./a\n")?;
        fs::write(up.path("mine/fullfilelist"), "./a\n").map_err(Into::into)
    });
    for directory in ["archive", "mine"] {
        let path = |name: &str| old.scene.site.upstream.path(directory).join(name);
        fs::rename(path(&list_name(directory)), path(&format!("files-{directory}"))).expect("renamed");
    }
    old.add("MODULEMAPPING+=(mine mine)\nFILELIST='files-$mdir'\nEXTRAFILES=('names-$mdir' absent)");
    old.runs(&[]);
    for name in
        ["archive/a", "archive/files-archive", "archive/names-archive", "mine/a", "mine/files-mine", "mine/names-mine"]
    {
        assert!(old.here(name).exists(), "{name}");
    }
    assert!(!old.here("mine/fullfilelist").exists(), "it was not asked for");
    // They are no reason to delete them, either, when upstream has them no more.
    fs::remove_file(old.scene.site.upstream.path("mine/names-mine")).expect("removed");
    old.runs(&["-a"]);
    assert!(old.here("mine/names-mine").exists());
}

#[test]
fn rsync_is_called_as_the_keys_say() {
    let mut old = Old::new("fedora-enchilada", build);
    // RSYNC is the wrapper, REMOTE and MASTERMODULE are the daemon: nothing else could have come.
    old.add("RSYNCTIMEOUT=77\nCURL=/usr/bin/nothing\nexport LANG=C");
    old.runs(&[]);
    let calls = old.scene.new_calls();
    assert!(!calls.is_empty() && calls.iter().all(|call| call.has("--timeout=77")), "{calls:?}");
    let content =
        |calls: &[Call]| calls.iter().position(|call| !call.is_for_lists() && !call.is_local()).expect("a call");
    let call = &calls[content(&calls)];
    assert!(call.has("-aSH") && !call.has("--preallocate") && !call.has("-4"), "{call:?}");

    // What is added to the old default is added here, what is taken away of it was qfm's own.
    old.add("RSYNCOPTS=(-aH --preallocate --bwlimit=9000 -4 -f 'R .~tmp~' '--out-format=@ %i %10l  %n%L')");
    old.scene.change(|up| up.file("fedora/new", b"new").map(drop));
    old.runs(&[]);
    let calls = old.scene.new_calls();
    let call = &calls[content(&calls)];
    for option in ["-aSH", "--preallocate", "--bwlimit=9000", "-4"] {
        assert!(call.has(option), "{option}: {call:?}");
    }
    let asks_twice = call.arguments.iter().filter(|it| it.to_string_lossy().starts_with("--out-format=")).count();
    assert_eq!(asks_twice, 1, "{call:?}");
    assert!(old.here("fedora/new").exists());

    old.add("RSYNC=/nowhere/rsync");
    let said = old.fails(&[]);
    assert!(said.err.starts_with("ERR: cannot run /nowhere/rsync (RSYNC)"), "{said:?}");
}

#[test]
fn a_local_source_needs_no_daemon() {
    let mut old = Old::new("fedora-enchilada fedora-archive", build);
    let root = old.scene.site.upstream.root().to_owned();
    let (above, name) = (root.parent().expect("a directory"), root.file_name().expect("a name"));
    old.add(&format!("REMOTE={}\nMASTERMODULE={}", above.display(), name.display()));
    old.scene.daemon = Site::new().serve();
    old.runs(&[]);
    old.scene.assert_same();
}

#[test]
fn a_dry_run_works_in_the_directory_for_temporary_files() {
    let mut old = Old::new("fedora-enchilada", build);
    let temporary = old.path("temporary");
    old.add(&format!("TMPDIR={}", temporary.display()));
    let said = old.fails(&["-n"]);
    assert!(said.err.starts_with("ERR: cannot make a directory") && said.err.contains("(TMPDIR)"), "{said:?}");
    fs::create_dir(&temporary).expect("a directory");
    let seen = old.path("seen");
    old.scene.wrapper.before(old.scene.next_call(), &format!("ls {temporary:?} >{seen:?}"));
    let said = old.runs(&["-n", "-d3"]);
    assert!(said.contains(&format!(", tmp {}\n", temporary.display())), "{said}");
    assert!(old.read("seen").starts_with("qfm-dry-run."), "{}", old.read("seen"));
    old.runs(&[]);
    assert_eq!(fs::read_dir(&temporary).expect("a directory").count(), 0, "nothing stays");
}

/// The keys that check in with it.
fn check_in_keys(manager: &MirrorManager) -> String {
    format!(
        "CHECKIN_SITE='{}'\nCHECKIN_PASSWORD='{}'\nMIRRORMANAGER=http://127.0.0.1:{}/xmlrpc",
        MirrorManager::SITE,
        MirrorManager::PASSWORD,
        manager.port
    )
}

/// The names of a tree that was told.
fn told(tree: &Value) -> Vec<&str> {
    tree["dirtree"].as_object().expect("a tree").keys().map(String::as_str).collect()
}

#[test]
fn mirror_manager_is_told_of_site_host_category_and_place_as_the_keys_say() {
    let manager = MirrorManager::start(&["Fedora Linux", "My Own"]);
    let mut old = Old::new("fedora-enchilada fedora-archive", build);
    let host = MirrorManager::HOST;
    old.add(&check_in_keys(&manager));
    old.add(&format!(
        "CHECKIN_HOST=other.example.org\nCHECKIN_HOST_fedora_enchilada={host}\nCHECKIN_HOST_fedora_archive={host}"
    ));
    old.add(
        "MIRRORMANAGERMAPPING+=(fedora-archive 'my own')\nMIRRORMANAGERMODULEMAPPING+=(fedora-archive archive/linux)",
    );
    old.runs(&[]);
    assert_eq!(manager.requests(), 1, "one host, one request");
    let request = manager.told();
    assert_eq!(request["host"]["name"], host);
    assert_eq!(told(&request["fedora linux"]), ["", "43"]);
    assert_eq!(told(&request["my own"]), ["", "42"]);

    // Hosts of their own are told apart; without one it is the host of all, which this one does not know.
    old.add("CHECKIN_HOST_fedora_archive=");
    let said = old.fails(&["-a"]);
    assert!(said.err.contains("other.example.org"), "{said:?}");
}

#[test]
fn a_check_in_is_tried_as_often_as_is_said_of_it_or_of_all() {
    let requests = |lines: &str| {
        let manager = MirrorManager::start(&["Fedora Linux"]);
        let mut old = Old::new("fedora-enchilada", build);
        old.add(&check_in_keys(&manager));
        old.add(&format!("CHECKIN_HOST={}\n{lines}", MirrorManager::HOST));
        manager.will(&[Reply::HangUp, Reply::HangUp, Reply::HangUp, Reply::HangUp]);
        let said = old.fails(&[]);
        assert!(said.err.contains("did not answer"), "{said:?}");
        assert!(old.here("fedora/os/a.rpm").exists(), "the mirror is as it should be");
        manager.requests()
    };
    assert_eq!(requests("MAXCHECKINRETRIES=1"), 1);
    assert_eq!(requests("MAXCHECKINRETRIES=2\nMAXRETRIES=1"), 2);
    assert_eq!(requests("MAXRETRIES=2"), 2);
}

#[test]
fn the_log_goes_to_the_journal_of_systemd() {
    let run = Path::new("/run");
    let Some(volumes) = Volumes::mount(&[(run, "size=1m")]) else { return };
    let mut old = Old::new("fedora-enchilada", build);
    old.run_on(&volumes);
    old.add("LOGJOURNAL=1");
    let said = old.run(&[]);
    assert_eq!(said.code, Some(0), "the mirror goes on: {said:?}");
    assert!(said.err.starts_with("ERR: cannot reach the journal of systemd (LOGJOURNAL)"), "{said:?}");

    let journal = Journal::start(&volumes);
    old.runs(&[]);
    old.add("RSYNC=/nowhere/rsync");
    old.fails(&[]);
    let entries = journal.entries();
    assert!(entries.iter().all(|it| it["SYSLOG_IDENTIFIER"] == "quick-fedora-mirror"), "{entries:?}");
    let begins =
        ["Run start: cfg ", "Run end; exiting 0.", "Run start: cfg ", "ERR: cannot run ", "Run end; exiting 1."];
    assert_eq!(entries.len(), begins.len(), "{entries:?}");
    for (entry, text) in entries.iter().zip(begins) {
        assert!(entry["MESSAGE"].starts_with(text), "{text}: {entry:?}");
    }
    assert_eq!((entries[0]["PRIORITY"].as_str(), entries[3]["PRIORITY"].as_str()), ("6", "3"), "an error: {entries:?}");
}
