//! Where content may come from, and where a module may lie.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};

use qfm::demo::tree::View;
use qfm::exit::Status;
use support::*;

const ALL: [&str; 5] = ["fedora", "epel", "archive", "fedora-secondary", "alt"];

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/linux/a.rpm", b"aaa")?.file("fedora/linux/repodata/repomd.xml", b"<repomd/>")?;
    up.hardlink("fedora/linux/a.rpm", "archive/linux/a.rpm")?.link("fedora/latest", "linux")?;
    up.file("fedora/#odd", b"odd")?.file("fedora/;odd", b"odd").map(drop)
}

#[track_caller]
fn assert_follows(scene: &mut Scene) {
    scene.sync_to_same();
    scene.assert_quiet();
    scene.change(|up| {
        up.file("fedora/linux/b.rpm", b"bbb")?.remove("fedora/linux/a.rpm")?.link("fedora/latest", ".").map(drop)
    });
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_daemon_is_named_by_url() {
    assert_follows(&mut Scene::new(&[FEDORA, ARCHIVE], build));
}

#[test]
fn a_daemon_is_named_by_host_and_module() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    // This form has no port.
    let port = format!("rsync.options = [\"--port={}\"]", scene.daemon.port());
    scene.mirror.configure("127.0.0.1::buffet", &[FEDORA, ARCHIVE], &port);
    assert_follows(&mut scene);
}

#[test]
fn upstream_may_be_a_directory_below_the_daemons_module() {
    let mut site = Site::new();
    build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
    let above = tempfile::tempdir().expect("a directory");
    let served = above.path().join("served/pub");
    fs::create_dir_all(&served).expect("made");
    let copied = std::process::Command::new("cp").arg("-a").arg(site.upstream.root().join(".")).arg(&served).status();
    assert!(copied.expect("cp").success());
    let daemon = Daemon::start(&above.path().join("served")).expect("a daemon");
    let mirror = Mirror::new(&format!("{}/pub", daemon.url()), &[FEDORA]);
    mirror.sync();
    assert_same(&served.join("fedora"), &mirror.path("fedora"));
}

#[test]
fn upstream_may_be_a_local_directory() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let path = scene.site.upstream.root().to_str().expect("UTF-8").to_owned();
    scene.mirror.configure(&path, &[FEDORA, ARCHIVE], "");
    assert_follows(&mut scene);
    assert_eq!(scene.daemon.served().expect("a log").calls, 0);
}

#[test]
fn upstream_may_be_a_host_over_a_remote_shell() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    // A remote shell that goes nowhere: it drops the host and runs the rest here.
    let shell = scene.mirror.config.with_file_name("shell");
    let path = std::env::var("PATH").expect("a PATH");
    fs::write(&shell, format!("#!/bin/sh\nPATH='{path}'\nshift\nexec \"$@\"\n")).expect("written");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).expect("changed");
    let path = format!("mirror.example.org:{}", scene.site.upstream.root().display());
    scene.mirror.configure(&path, &[FEDORA, ARCHIVE], &format!("rsync.options = [\"--rsh={}\"]", shell.display()));
    scene.sync_to_same();
    let before = tree::inode_snapshot(&scene.mirror.root).expect("a mirror");
    scene.sync();
    assert_untouched(&before, &scene.mirror.root);
    scene.change(|up| up.file("fedora/new", b"new").map(drop));
    scene.sync_to_same();
}

#[test]
fn one_module_may_have_an_upstream_of_its_own() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let mut other = Site::new();
    other.upstream.file("rocky/a", b"rocky").and_then(Upstream::publish).expect("an upstream");
    let daemon = other.serve();
    let lines = format!(
        "module.rocky-linux.directory = \"rocky\"\nmodule.rocky-linux.upstream = {:?}",
        daemon.module_url("rocky")
    );
    scene.configure(&[FEDORA, "rocky-linux"], &lines);
    scene.sync();
    let view = View { contents: true, ..View::PUBLIC };
    assert_same_in(&view, &other.upstream.path("rocky"), &scene.mirror.path("rocky"));
    assert_same_in(&view, &scene.site.upstream.path("fedora"), &scene.mirror.path("fedora"));

    // One of the two upstreams fails, the other goes on.
    drop(daemon);
    scene.mirror.add("rsync.retries = 0");
    scene.change(|up| up.file("fedora/new", b"new").map(drop));
    let result = scene.run(&[]).status(Status::Upstream);
    assert!(result.stderr.contains("rocky-linux"), "{}", result.stderr);
    assert_same_in(&view, &scene.site.upstream.path("fedora"), &scene.mirror.path("fedora"));
}

#[test]
fn a_password_is_in_its_file_and_nowhere_else() {
    const SECRET: &str = "correct horse battery staple";
    let mut site = Site::new();
    build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
    let daemon = site.setup().account("mirror", SECRET).start().expect("a daemon");
    let mut scene = Scene::with(site, daemon, &[FEDORA, ARCHIVE]);
    let file = scene.mirror.config.with_file_name("password");
    fs::write(&file, format!("{SECRET}\n")).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changed");
    scene.configure(&[FEDORA, ARCHIVE], &format!("rsync.user = \"mirror\"\nrsync.password_file = {file:?}"));
    let go = scene.mirror.config.with_file_name("go");
    scene.wrapper.before(2, &format!("until test -e {go:?}; do sleep 0.05; done"));
    let running = scene.start(&["-v"]);
    wait_until("content is asked for", || scene.next_call() > 2);
    let secret = scene.mirror.config.with_file_name("nothing");
    assert!(processes_on(&secret).is_empty());
    let shown = all_of_proc(SECRET);
    assert!(shown.is_empty(), "the password shows in {shown:?}");
    fs::write(&go, "").expect("written");
    ended_with(running.end(), &[Status::Done]);
    scene.assert_same();
    for call in scene.new_calls() {
        assert!(call.arguments.iter().all(|argument| !argument.to_string_lossy().contains("horse")), "{call:?}");
    }
    scene.change(|up| up.file("fedora/new", b"new").map(drop));
    let result = scene.run(&["-v", "-v"]).status(Status::Done);
    assert!(!result.stderr.contains("horse") && !result.stdout.contains("horse"));
    scene.assert_same();
}

/// The files of processes in which a text shows.
fn all_of_proc(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let files = processes.flat_map(|process| ["cmdline", "environ"].map(|name| process.path().join(name)));
    let shows = |bytes: Vec<u8>| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    files.filter(|file| fs::read(file).is_ok_and(shows)).map(|file| file.display().to_string()).collect()
}

#[test]
fn a_module_may_be_a_link_to_another_file_system() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let elsewhere = scene.mirror.root.with_file_name("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    symlink(&elsewhere, scene.mirror.path("fedora")).expect("linked");
    scene.sync();
    let view = View { contents: true, ..View::PUBLIC };
    for change in [None, Some("b.rpm"), Some("c.rpm")] {
        if let Some(name) = change {
            scene.change(|up| up.file(format!("fedora/linux/{name}"), name)?.file("archive/x", name).map(drop));
            scene.sync();
        }
        assert_same_in(&view, &scene.site.upstream.path("fedora"), &elsewhere);
        assert_same_in(&view, &scene.site.upstream.path("archive"), &scene.mirror.path("archive"));
        assert!(scene.mirror.path("fedora").is_symlink(), "the link was replaced");
        scene.assert_quiet();
    }
    scene.change(|up| up.remove("fedora/linux/a.rpm").map(drop));
    scene.sync();
    assert!(!elsewhere.join("linux/a.rpm").exists());
}

#[test]
fn a_module_that_is_a_dangling_link_is_local_trouble() {
    let scene = Scene::new(&[FEDORA, ARCHIVE], build);
    symlink("nowhere", scene.mirror.path("fedora")).expect("linked");
    let result = scene.run(&[]).status(Status::Local);
    assert!(result.stderr.contains(FEDORA), "{}", result.stderr);
    assert!(scene.mirror.path("fedora").is_symlink() && !scene.mirror.path("nowhere").exists());
    assert!(scene.mirror.path("archive/linux/a.rpm").exists());
}

#[test]
fn the_mirror_root_may_be_a_link() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let link = scene.mirror.root.with_file_name("link");
    symlink(&scene.mirror.root, &link).expect("linked");
    let root = std::mem::replace(&mut scene.mirror.root, link);
    scene.configure(&[FEDORA, ARCHIVE], "");
    scene.mirror.root = root;
    scene.sync_to_same();
    scene.assert_quiet();
    // By its own name it is the same mirror.
    scene.configure(&[FEDORA, ARCHIVE], "");
    scene.assert_quiet();
}

#[test]
fn the_whole_buffet_comes_with_its_sizes() {
    let mut scene = Scene::new(&["all"], |up| {
        for directory in ALL {
            up.file(format!("{directory}/a"), directory)?;
            fs::write(up.path(format!("{directory}/fullfilelist")), "./a\n")?;
        }
        fs::write(up.path("DIRECTORY_SIZES.txt"), "12T fedora\n").map_err(Into::into)
    });
    scene.sync_to_same();
    scene.assert_quiet();
    scene.change(|up| {
        fs::write(up.path("DIRECTORY_SIZES.txt"), "13T fedora and more\n")?;
        up.file("alt/b", b"b").map(drop)
    });
    scene.sync_to_same();
    // It is kept when upstream has it no more.
    fs::remove_file(scene.site.upstream.path("DIRECTORY_SIZES.txt")).expect("removed");
    scene.change(|up| up.file("alt/c", b"c").map(drop));
    scene.sync();
    scene.run(&["--full"]).status(Status::Done);
    assert_eq!(fs::read(scene.mirror.path("DIRECTORY_SIZES.txt")).expect("kept"), b"13T fedora and more\n");
}

#[test]
fn the_port_that_is_not_answered_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let mut mirror = Mirror::new(&format!("rsync://127.0.0.1:{port}/buffet"), &[FEDORA]);
    mirror.add("rsync.retries = 0");
    let result = mirror.run(&[]).status(Status::Upstream);
    assert!(result.stderr.contains("refused"), "{}", result.stderr);
}
