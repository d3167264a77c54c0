//! `qfm make-list`: lists that a mirror follows, all of them or none, and only those that changed.

mod support;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use qfm::exit::Status;
use support::*;

const LISTS: [&str; 2] = ["fedora/fullfiletimelist-fedora", "archive/fullfiletimelist-archive"];

/// Two modules with hard links between them, and no lists.
fn modules(up: &mut Upstream) -> Built {
    up.file("fedora/os/a.rpm", b"aaa")?
        .file("fedora/os/repodata/repomd.xml", b"<repomd/>")?
        .file("fedora/iso/boot.iso", b"image")?
        .file("fedora/a\ttab", b"t")?
        .hardlink("fedora/os/a.rpm", "archive/os/a.rpm")?
        .link("archive/latest", "os")?
        .file("fedora/beta/b.rpm", b"beta")?
        .mode("fedora/beta", 0o750)?;
    Ok(())
}

/// Such an upstream, whose lists qfm makes.
fn site() -> Site {
    let mut site = Site::new();
    modules(&mut site.upstream).expect("a tree");
    site
}

fn command(site: &Site, prefix: &[&str], words: &str) -> Command {
    let program = [prefix, &[env!("CARGO_BIN_EXE_qfm")]].concat();
    let mut command = Command::new(program[0]);
    command.args(&program[1..]);
    qfm::demo::clean_environment(&mut command, site.upstream.root());
    command.arg("make-list").arg("--root").arg(site.upstream.root()).args(words.split_whitespace());
    command.stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> RunResult {
    let output = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("escaped");
    RunResult { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Both lists, with these flags.
fn make(site: &Site, flags: &str) -> RunResult {
    run(command(site, &[], &format!("{flags} fedora archive")))
}

/// Who the lists are: a list that was left alone is the same, with the same time.
fn identities(site: &Site) -> Vec<Option<(u64, i64, i64)>> {
    let identity = |path: &&str| {
        let there = fs::metadata(site.upstream.path(path)).ok()?;
        Some((there.ino(), there.mtime(), there.mtime_nsec()))
    };
    LISTS.iter().map(identity).collect()
}

/// All names right in a directory that begin like those of files on their way.
fn left_over(site: &Site) -> usize {
    let names = |module: &str| fs::read_dir(site.upstream.path(module)).expect("a module");
    let hidden = |name: &OsStr| name.to_string_lossy().starts_with(".qfm-");
    ["fedora", "archive"]
        .iter()
        .flat_map(|module| names(module))
        .filter(|e| hidden(&e.as_ref().expect("an entry").file_name()))
        .count()
}

#[test]
fn a_mirror_follows_them_and_only_those_that_changed_are_new() {
    let mut site = site();
    let made = make(&site, "--detailed-exitcode").status(Status::Changed);
    assert_eq!(made.stdout.lines().count(), 2, "{made:?}");
    let daemon = site.serve();
    let mirror = Mirror::new(&daemon.url(), &["fedora-enchilada", "fedora-archive"]);
    mirror.sync();
    assert_same(site.upstream.root(), &mirror.root);
    assert_eq!(mirror.sync().stdout, "");

    let before = identities(&site);
    for flags in ["--detailed-exitcode", "-n --detailed-exitcode", "-q", "--jobs 1", "--jobs 3"] {
        let again = make(&site, flags).status(Status::Done);
        assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("", ""));
        assert!(identities(&site) == before, "{flags}");
    }

    site.upstream.file("archive/os/b.rpm", b"new").expect("a file");
    let would = make(&site, "-n --detailed-exitcode").status(Status::Changed);
    assert!(would.stdout.starts_with("archive/fullfiletimelist-archive would change: "), "{would:?}");
    assert!(identities(&site) == before);
    let made = make(&site, "").status(Status::Done);
    assert!(made.stdout.starts_with("archive/fullfiletimelist-archive changed: "), "{made:?}");
    let after = identities(&site);
    assert!(after[0] == before[0] && after[1] != before[1]);
    mirror.sync();
    assert_same(site.upstream.root(), &mirror.root);
    assert_eq!(make(&site, "").status(Status::Done).stdout, "");
    assert_eq!(left_over(&site), 0);
}

#[test]
fn what_else_it_can_write() {
    let site = site();
    let settings = "--list files-$mdir --plain --images --sort --checksum a.rpm --checksum absent";
    make(&site, settings).status(Status::Done);
    let read = |path: &str| fs::read_to_string(site.upstream.path(path)).expect("a list");
    let names = [
        "a\ttab",
        "beta/b.rpm",
        "beta",
        "iso/boot.iso",
        "iso",
        "os/a.rpm",
        "os/repodata/repomd.xml",
        "os/repodata",
        "os",
    ];
    assert_eq!(read("fedora/fullfilelist"), names.map(|name| format!("./{name}\n")).concat());
    assert_eq!(read("fedora/imagelist-fedora"), "./iso/boot.iso\n");
    assert_eq!(read("archive/imagelist-archive"), "");
    let list = read("fedora/files-fedora");
    assert!(list.contains("\td-\t") && list.contains("\tf*\t4\tbeta/b.rpm\n"), "{list}");
    let sums = "\n\n[Checksums SHA1]\n7e240de74fb1ed08fa08d38063f6a6a91462a815\tos/a.rpm\n\n[End]\n";
    assert!(list.ends_with(sums), "{list}");
    assert_eq!(make(&site, settings).status(Status::Done).stdout, "");
    for name in ["", "repodata/repomd.xml", ".."] {
        let refused = make(&site, &format!("--checksum={name}")).status(Status::Usage);
        assert!(refused.stderr.contains("without its directory"), "{refused:?}");
    }
}

#[test]
fn none_is_replaced_where_one_cannot_be_made() {
    let site = site();
    make(&site, "").status(Status::Done);
    let before = identities(&site);
    fs::write(site.upstream.path("fedora/new"), "new").expect("a file");

    let absent = run(command(&site, &[], "fedora archive absent")).status(Status::Local);
    assert!(absent.stderr.contains("/absent"), "{absent:?}");
    fs::create_dir(site.upstream.path("absent")).expect("a directory");
    let empty = run(command(&site, &[], "fedora archive absent")).status(Status::Local);
    assert!(empty.stderr.contains("is its volume mounted?"), "{empty:?}");
    assert!(run(command(&site, &[], "fedora ../archive")).status(Status::Usage).stderr.contains("contains `/`"));

    // Root may read everything, unless it gives that up.
    let shut = site.upstream.path("archive/shut");
    fs::create_dir(&shut).and_then(|()| fs::set_permissions(&shut, Permissions::from_mode(0o044))).expect("made");
    let without = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];
    let prefix = if rustix::process::geteuid().is_root() { &without[..] } else { &[] };
    let unreadable = run(command(&site, prefix, "fedora archive")).status(Status::Local);
    assert!(unreadable.stderr.contains("archive/shut"), "{unreadable:?}");

    let directory = File::open(site.upstream.path("archive")).expect("a directory");
    directory.lock().expect("a lock");
    let locked = make(&site, "").status(Status::Locked);
    assert!(locked.stderr.contains("another run is under way: it works in "), "{locked:?}");
    make(&site, "-n").status(Status::Done);
    assert!(identities(&site) == before);
    assert_eq!(left_over(&site), 0);
    drop(directory);
    fs::remove_dir(&shut).expect("removed");
    make(&site, "").status(Status::Done);
    assert!(identities(&site) != before);
}

#[test]
fn a_name_that_no_list_can_hold_is_told() {
    let site = site();
    fs::write(site.upstream.path("fedora/os/line\nfeed"), "x").expect("a file");
    symlink("nowhere", site.upstream.path("fedora/dangling")).expect("a link");
    let made = make(&site, "").status(Status::Partial);
    assert!(made.stderr.contains("line\\x0afeed cannot be listed"), "{made:?}");
    assert!(made.stderr.contains("dangling leads nowhere"), "{made:?}");
    let list = fs::read_to_string(site.upstream.path(LISTS[0])).expect("a list");
    assert!(!list.contains("feed") && !list.contains("dangling") && list.ends_with("[End]\n"), "{list}");
}

#[test]
fn what_a_killed_run_left_goes_and_is_never_listed() {
    let site = site();
    let left = site.upstream.path("fedora/.qfm-list.abc123");
    fs::write(&left, "half").expect("a file");
    make(&site, "-n").status(Status::Done);
    assert!(left.exists());
    make(&site, "").status(Status::Done);
    assert!(!Path::exists(&left));
    let list = fs::read_to_string(site.upstream.path(LISTS[0])).expect("a list");
    assert!(!list.contains(".qfm-"), "{list}");
}
