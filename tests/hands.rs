//! Whatever takes a directory's place, whenever, and whatever names are like: nothing outside of the mirror root changes.

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use qfm::exit::Status;
use qfm::rsync::confine::Confinement;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::tree::inode_snapshot;
use support::*;

/// So many times at least a directory and a link change places,
const SWAPS: usize = 600;

/// while so many qfms run.
const RUNS: usize = 10;

fn build(up: &mut Upstream) -> Built {
    for number in 0..40 {
        up.file(format!("fedora/linux/os/p{number}.rpm"), format!("package {number}"))?
            .file(format!("fedora/linux/os/deep/er/p{number}.rpm"), format!("deep {number}"))?;
    }
    up.file("fedora/linux/os/repodata/primary.xml", b"primary")?
        .file("fedora/linux/os/repodata/repomd.xml", b"<repomd/>")?;
    up.file("fedora/updates/u.rpm", b"update")?.file("archive/a.rpm", b"a").map(drop)
}

/// Another version: something comes, goes, changes, and changes its kind, in the directory that is swapped.
fn change(up: &mut Upstream, version: usize) -> Built {
    let at = |number: usize| format!("fedora/linux/os/p{}.rpm", number % 40);
    let gone = (0..40).map(|number| at(version + number)).find(|path| up.path(path).is_file());
    up.remove(gone.expect("a package"))?.file(at(version + 20), format!("another {version}"))?;
    up.file(format!("fedora/linux/os/deep/er/new{version}.rpm"), b"new")?;
    up.file("fedora/linux/os/repodata/repomd.xml", format!("<repomd version=\"{version}\"/>"))?;
    if version.is_multiple_of(2) {
        up.file("fedora/linux/os/kind", b"a file")?;
    } else {
        up.remove("fedora/linux/os/kind").map(drop).unwrap_or_default();
        up.file("fedora/linux/os/kind/below/x", b"x")?;
    }
    Ok(())
}

/// A place beside the mirror that looks like what the mirror has: what is deleted, replaced or touched through a link shows.
fn decoy(mirror: &Mirror) -> PathBuf {
    let outside = mirror.root.with_file_name("outside");
    for directory in ["deep/er", "repodata", "kind/below", "p1.rpm"] {
        fs::create_dir_all(outside.join(directory)).expect("made");
        fs::write(outside.join(directory).join("precious"), "mine").expect("written");
    }
    for number in 2..40 {
        fs::write(outside.join(format!("p{number}.rpm")), "mine").expect("written");
    }
    outside
}

fn exchange(one: &Path, other: &Path) -> bool {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
}

/// Swaps a directory of the mirror and a link out of it, there and back, until it is told to stop. The directory is in its place then.
fn swap(directory: &Path, outside: &Path, stop: &AtomicBool, swaps: &AtomicUsize) {
    let aside = outside.with_file_name("aside");
    while !stop.load(Ordering::Relaxed) {
        symlink(outside, &aside).expect("linked");
        if exchange(directory, &aside) {
            std::thread::yield_now();
            // qfm may have removed the link, or put a directory in its place: that one goes. Or it does so between the two.
            wait_until("it is back in its place", || {
                let put = || renameat_with(CWD, &aside, CWD, directory, RenameFlags::NOREPLACE);
                exchange(directory, &aside) || put().is_ok()
            });
            swaps.fetch_add(2, Ordering::Relaxed);
        }
        match fs::symlink_metadata(&aside) {
            Ok(stat) if stat.is_dir() => fs::remove_dir_all(&aside).expect("removed"),
            Ok(_) => fs::remove_file(&aside).expect("removed"),
            Err(_) => {}
        }
    }
}

#[test]
fn a_directory_that_is_swapped_with_a_link_all_the_time_leads_nobody_out() {
    let mut site = Site::new();
    build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
    let daemon = site.serve();
    let mut mirror = Mirror::new(&daemon.url(), &[FEDORA, ARCHIVE]);
    mirror.add("delete.max_share = 100");
    mirror.sync();
    if !is_confined(&mirror) {
        // rsync 3.5.0 alone makes its `.~tmp~` on the other side of the link, older ones more than that.
        eprintln!(
            "SKIPPED: this kernel has no Landlock; rsync was not tested against links that appear under its hands"
        );
        return;
    }
    let outside = decoy(&mirror);
    let before = inode_snapshot(&outside).expect("a directory");
    let (stop, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut runs = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&mirror.path("fedora/linux/os"), &outside, &stop, &swaps));
        while swaps.load(Ordering::Relaxed) < SWAPS || runs < RUNS {
            runs += 1;
            change(&mut site.upstream, runs).and_then(|()| site.upstream.publish().map(drop)).expect("changed");
            let result = mirror.run(if runs.is_multiple_of(2) { &["--full"] } else { &[] });
            let expected = [Status::Done, Status::Held, Status::Partial, Status::Upstream, Status::Local];
            if !expected.iter().any(|status| Some(i32::from(status.code())) == result.code) {
                stop.store(true, Ordering::Relaxed);
                panic!("{result:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    eprintln!("{} swaps, {runs} runs", swaps.into_inner());
    assert_untouched(&before, &outside);
    mirror.run(&["--full"]);
    mirror.sync();
    assert_same(site.upstream.root(), &mirror.root);
}

/// Whether this kernel keeps what qfm calls from writing elsewhere.
fn is_confined(mirror: &Mirror) -> bool {
    Confinement::to(&mirror.root).expect("a directory").is_some()
}

#[test]
fn a_directory_that_becomes_a_link_between_two_steps_leads_nobody_out() {
    let moments = (1..=5).flat_map(|call| [(call, "before"), (call, "after")]);
    side_by_side(moments, |(call, when)| {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        scene.configure(&[FEDORA, ARCHIVE], "rsync.retries = 1");
        scene.change(|up| change(up, 1));
        // Behind the link all is as it should be, but for what is to be deleted. The directory itself is none that changed.
        let outside = scene.mirror.root.with_file_name("outside");
        let copied = Command::new("cp").arg("-a").arg(scene.site.upstream.path("fedora/linux")).arg(&outside).status();
        assert!(copied.is_ok_and(|status| status.success()), "cp -a failed");
        fs::write(outside.join("os/p1.rpm"), "mine").expect("written");
        let before = inode_snapshot(&outside).expect("a directory");
        let (linux, aside) = (scene.mirror.path("fedora/linux"), scene.mirror.root.with_file_name("aside"));
        let commands = format!("mv {linux:?} {aside:?} && ln -s {outside:?} {linux:?}");
        let number = scene.next_call() + call - 1;
        match when {
            "before" => scene.wrapper.before(number, &commands),
            _ => scene.wrapper.after(number, &commands),
        }
        scene.run(&[]);
        assert_untouched(&before, &outside);
        if !aside.exists() {
            // There was no such call.
            return;
        }
        scene.run(&["--full"]).status(Status::Done);
        assert_untouched(&before, &outside);
        scene.assert_same();
        scene.assert_quiet();
    });
}

#[test]
fn a_link_that_upstream_puts_where_its_list_has_a_directory_is_not_followed() {
    let targets = ["../archive", "../../outside", "/", "os"];
    side_by_side(targets, |target| {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let outside = decoy(&scene.mirror);
        let before = (inode_snapshot(&outside), inode_snapshot(&scene.mirror.path("archive")));
        scene.change(|up| {
            up.file("fedora/new/p2.rpm", b"new")?
                .file("fedora/updates/p3.rpm", b"new")?
                .file("fedora/updates/u.rpm", b"UP")
                .map(drop)
        });
        // The lists are there, and upstream moves on: links, with something below where they lead.
        let upstream = scene.site.upstream.path("fedora");
        let away = scene.site.upstream.root().with_file_name("away");
        fs::create_dir(&away).expect("made");
        for directory in ["new", "updates"] {
            fs::rename(upstream.join(directory), away.join(directory)).expect("renamed");
            symlink(target, upstream.join(directory)).expect("linked");
        }
        scene.run(&[]);
        assert_untouched(&before.0.expect("a directory"), &outside);
        assert_untouched(&before.1.expect("a directory"), &scene.mirror.path("archive"));
        for directory in ["new", "updates"] {
            fs::remove_file(upstream.join(directory)).expect("removed");
            fs::rename(away.join(directory), upstream.join(directory)).expect("renamed");
        }
        scene.change(|up| up.file("fedora/linux/os/p39.rpm", b"all is well").map(drop));
        scene.sync_to_same();
        scene.assert_quiet();
    });
}

#[test]
fn names_that_differ_in_case_or_normalisation_are_different_names() {
    let names = ["Name", "name", "NAME", "\u{e9}", "e\u{301}", "\u{c9}", "\u{212b}", "\u{c5}", "name ", "name."];
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        for name in names {
            up.file(format!("fedora/{name}/{name}"), name)?.file(format!("fedora/flat/{name}"), name)?;
        }
        up.file("archive/a", b"a").map(drop)
    });
    for (number, name) in names.iter().enumerate() {
        scene.change(|up| match number % 3 {
            0 => up.remove(format!("fedora/flat/{name}"))?.remove(format!("fedora/{name}")).map(drop),
            1 => up.file(format!("fedora/flat/{name}"), b"changed").map(drop),
            _ => up.remove(format!("fedora/{name}"))?.link(format!("fedora/{name}"), "flat").map(drop),
        });
        scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
        scene.assert_same();
    }
    scene.assert_quiet();
}

/// What others may call their files: every one of these goes, and none leads anywhere.
fn hostile_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        &b"\n"[..],
        b"a\nb",
        b"\nfedora",
        b"..\n",
        b"...",
        b"..x",
        b". ",
        b"-rf",
        b"--delete",
        b"*",
        b"$(touch x)",
        b"`x`",
        b"; x",
        b"\x1b[2J\x1b]0;title\x07",
        b"\xc2\x9b2J",
        b"\xff\xfe",
        b"\xc3",
        b"\\#012",
        b"\\",
        b"\"",
        b"'",
        b"#x",
        b";x",
        b"@>f+++++++++ 1 1 x",
        b" ",
        b"\t",
        b"\r",
        b".~tmp~",
        b".qfm-list.0",
        b".qfm-aside.0",
        b".p0.rpm.AbCdEfG",
        b".hidden",
        b"\x7f",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    names.extend([b'x', b'\n', 0xff].map(|byte| vec![byte; 255]));
    names
}

#[test]
fn local_names_are_hostile() {
    for full in [false, true] {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let outside = decoy(&scene.mirror);
        let before = inode_snapshot(&outside).expect("a directory");
        for (number, bytes) in hostile_names().iter().enumerate() {
            for (at, kind) in ["fedora", "fedora/linux/os"].iter().zip([number, number + 1]) {
                let path = scene.mirror.path(at).join(name(bytes));
                match kind % 3 {
                    0 => fs::write(path, "extra").expect("written"),
                    1 => symlink(&outside, path).expect("linked"),
                    _ => fs::create_dir(&path).and_then(|()| fs::write(path.join(name(bytes)), "extra")).expect("made"),
                }
            }
        }
        scene.change(|up| change(up, 2));
        let flags: &[&str] = if full { &["--full", "-vv"] } else { &["-vv"] };
        let dry = scene.run(&[flags, &["--dry-run", "--allow-delete", FEDORA]].concat());
        assert_eq!(dry.code, Some(0), "{}", dry.stderr);
        let wet = scene.run(&[flags, &["--allow-delete", FEDORA]].concat());
        for said in [&dry.stdout, &dry.stderr, &wet.stdout, &wet.stderr] {
            let bad = said.chars().find(|character| character.is_control() && *character != '\n');
            assert_eq!(bad, None, "{said}");
        }
        assert_eq!(wet.code, Some(0), "{}", wet.stderr);
        assert_untouched(&before, &outside);
        scene.assert_same();
        scene.assert_quiet();
    }
}

/// An rsync of one's own: a script that is told what it was asked for, in `$names`, and where, in `$root`.
fn fake(mirror: &Mirror, script: &str) -> PathBuf {
    let path = mirror.config.with_file_name("fake-rsync");
    let text = format!(
        "#!/bin/sh\nfor argument; do case $argument in --compare-dest=*) exec rsync \"$@\";; esac; root=$argument; done\n\
         names=$(tr '\\0' '\\n')\n{script}\n"
    );
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("changed");
    path
}

/// A client that does not look at names, with a sender that knows it.
#[test]
fn a_client_without_name_checks_writes_nothing_outside() {
    let says = [
        "echo '@>f+++++++++ 4 4 ../outside/evil//'",
        "echo '@>f+++++++++ 4 4 fedora/linux/os/link/evil//'",
        "echo '@>f+++++++++ 4 4 fedora/linux/os/p1.rpm//'",
        "echo \"$names\" | sed 's,.*,@>f+++++++++ 4 4 &//,'",
        ":",
    ];
    for says in says {
        let mut site = Site::new();
        build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
        let daemon = site.serve();
        let mut mirror = Mirror::new(&daemon.url(), &[FEDORA]);
        if !is_confined(&mirror) {
            eprintln!("SKIPPED: this kernel has no Landlock; a client without name checks was not tested");
            return;
        }
        let outside = decoy(&mirror);
        let before = inode_snapshot(&outside).expect("a directory");
        let evil = format!(
            "exec 2>&1; mkdir -p \"$root/fedora/linux/os\"; ln -s {outside:?} \"$root/fedora/linux/os/link\"\n\
             echo evil >\"$root/../outside/evil\"; echo evil >{outside:?}/p2.rpm; echo evil >\"$root/fedora/linux/os/link/p3.rpm\"\n\
             rm -rf \"$root/fedora/linux/os/link/p4.rpm\"; mv \"$root/fedora/linux/os/link/deep\" \"$root/fedora/deep\"\n{says}"
        );
        let program = fake(&mirror, &evil);
        mirror.add(&format!("rsync.program = {program:?}\nrsync.retries = 0"));
        let result = mirror.run(&[]);
        assert_ne!(result.code, Some(0), "{}", result.stdout);
        assert!(!mirror.path("fedora/fullfiletimelist-fedora").exists() || result.code == Some(8), "{}", result.stderr);
        assert_untouched(&before, &outside);
        // What it did inside is put right.
        mirror.configure(&daemon.url(), &[FEDORA], "");
        mirror.run(&["--full", "--allow-delete", FEDORA]).status(Status::Done);
        assert_untouched(&before, &outside);
        let fedora =
            |path: &Path| inode_snapshot(&path.join("fedora")).expect("a module").into_keys().collect::<Vec<_>>();
        assert_eq!(fedora(&mirror.root), fedora(site.upstream.root()));
    }
}

#[test]
fn variables_of_rsync_do_not_lead_it_elsewhere() {
    let mut site = Site::new();
    build(&mut site.upstream)
        .and_then(|()| site.upstream.file("fedora/linux/os/\u{e9}", b"e").map(drop))
        .expect("an upstream");
    site.upstream.publish().expect("published");
    let daemon = site.serve();
    for confine in [true, false] {
        let mut mirror = Mirror::new(&daemon.url(), &[FEDORA, ARCHIVE]);
        mirror.add(&format!("rsync.confine = {confine}"));
        let elsewhere = mirror.root.with_file_name("elsewhere");
        fs::create_dir(&elsewhere).expect("made");
        let before = inode_snapshot(&elsewhere).expect("a directory");
        let mut command = mirror.command(&[""; 0]);
        command.env("RSYNC_PARTIAL_DIR", &elsewhere).env("RSYNC_ICONV", "utf-8,iso-8859-1");
        command.env("LC_ALL", "de_DE.ISO-8859-1").env("TZ", "Asia/Kathmandu").env("POSIXLY_CORRECT", "1");
        let output = command.output().expect("the program starts");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_same(site.upstream.root(), &mirror.root);
        assert_untouched(&before, &elsewhere);
    }
}

/// One run in a mount namespace of its own, in which these commands ran before. Nothing where that is not possible.
fn run_with_mounts(mirror: &Mirror, commands: &str, args: &[&str]) -> Option<RunResult> {
    let possible = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        return None;
    }
    let run = mirror.command(args);
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-ec", &format!("{commands}\nexec \"$@\""), "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    command.env_clear().envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.stdin(Stdio::null()).output().expect("unshare");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(RunResult { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

#[test]
fn what_is_mounted_in_the_tree_is_not_emptied() {
    for place in ["fedora/linux/os/deep/er", "fedora/linux/os/deep", "fedora/extra/volume", "fedora/extra"] {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let volume = scene.mirror.root.with_file_name("volume");
        fs::create_dir_all(volume.join("below")).expect("made");
        fs::write(volume.join("below/precious"), "mine").expect("written");
        let before = inode_snapshot(&volume).expect("a directory");
        let at = scene.mirror.path(place);
        fs::create_dir_all(&at).expect("made");
        scene.change(|up| up.remove("fedora/linux/os/deep")?.file("fedora/updates/new.rpm", b"new").map(drop));
        let mount = format!("mount --bind {volume:?} {at:?}");
        let Some(result) = run_with_mounts(&scene.mirror, &mount, &["--full", "--allow-delete", FEDORA]) else {
            eprintln!("SKIPPED: mounting needs root; what is mounted in the tree was not tested");
            return;
        };
        assert_untouched(&before, &volume);
        assert_eq!(result.code, Some(i32::from(Status::Local.code())), "{}", result.stderr);
        let says = |words| result.stderr.contains(words);
        assert!(says("something is mounted there") && says("its list and its deletions wait"), "{}", result.stderr);
        assert!(at.as_os_str().as_bytes().starts_with(scene.mirror.root.as_os_str().as_bytes()) && at.exists());
        // Without the mount it goes.
        scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
        scene.assert_same();
        scene.assert_quiet();
    }
}
