//! What goes wrong between rsync and upstream, and what is made of it.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use qfm::exit::Status;
use support::tree::inode_snapshot;
use support::*;

fn build(up: &mut Upstream) -> Built {
    for number in 0..5 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.file("fedora/os/repodata/1-primary.xml", b"primary")?.file("fedora/os/repodata/repomd.xml", b"<repomd/>")?;
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?;
    Ok(())
}

/// A mirror that is to follow a change of each publication class, and the number of rsync's calls so far.
fn changed() -> (Scene, usize) {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| {
        up.file("fedora/os/p1.rpm", b"another package 1")?.file("archive/os/new.rpm", b"new")?;
        up.file("fedora/os/repodata/1-primary.xml", b"another primary")?;
        up.file("fedora/os/repodata/repomd.xml", b"<repomd version='2'/>").map(drop)
    });
    let calls = scene.wrapper.calls().len();
    (scene, calls)
}

#[test]
fn trouble_that_passes_is_tried_again() {
    let cases = [5, 10, 12, 30, 35].into_iter().flat_map(|code| (1..=4).map(move |call| (code, call)));
    side_by_side(cases, |(code, call)| {
        let (mut scene, calls) = changed();
        if call % 2 == 0 {
            scene.wrapper.fail_after(calls + call, code)
        } else {
            scene.wrapper.fail_before(calls + call, code)
        }
        let result = scene.sync();
        assert!(result.stderr.contains("trying again"), "code {code} of call {call}: {}", result.stderr);
        scene.assert_same();
        scene.assert_quiet();
    });
}

#[test]
fn retries_end() {
    let mut scene = Scene::new(&[FEDORA], build);
    scene.configure(&[FEDORA], "rsync.retries = 2");
    for call in 1..=9 {
        scene.wrapper.fail_before(call, 12);
    }
    let result = scene.run(&[]).status(Status::Upstream);
    assert_eq!(scene.new_calls().len(), 3);
    assert!(result.stderr.contains("gave up on") && result.stderr.contains("after 2 retries"), "{}", result.stderr);
}

#[test]
fn an_upstream_that_is_not_there_ends_the_run_with_its_code() {
    let mut mirror = Mirror::new("rsync://127.0.0.1:1/buffet", &[FEDORA]);
    mirror.add("rsync.retries = 1");
    let result = mirror.run(&[]).status(Status::Upstream);
    assert!(result.stderr.contains("refused"), "{}", result.stderr);
}

#[test]
fn a_full_daemon_is_tried_again() {
    let mut site = Site::new();
    build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
    let daemon = site.setup().max_connections(1).start().expect("a daemon");
    let mut other = std::net::TcpStream::connect(("127.0.0.1", daemon.port())).expect("a connection");
    std::io::Write::write_all(&mut other, b"@RSYNCD: 29.0\nbuffet\n").expect("a request");
    let mut scene = Scene::with(site, daemon, &[FEDORA, ARCHIVE]);
    scene.mirror.add("rsync.retries = 1000");
    let mut running = scene.start(&[]);
    wait_until("it is refused several times", || scene.wrapper.calls().len() > 3);
    assert!(!running.is_over());
    drop(other);
    ended_with(running.end(), &[Status::Done]);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn a_wrong_password_is_not_tried_again() {
    let mut site = Site::new();
    build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
    let daemon = site.setup().account("mirror", "secret").start().expect("a daemon");
    let scene = Scene::with(site, daemon, &[FEDORA]);
    let mut scene = scene;
    let result = scene.run(&[]).status(Status::Upstream);
    assert_eq!(scene.new_calls().len(), 1, "{}", result.stderr);
    let file = scene.mirror.config.with_file_name("password");
    fs::write(&file, "wrong\n").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changed");
    scene.configure(&[FEDORA], &format!("rsync.user = \"mirror\"\nrsync.password_file = {file:?}"));
    let result = scene.run(&[]).status(Status::Upstream);
    assert_eq!(scene.new_calls().len(), 1);
    assert!(result.stderr.contains("auth failed"), "{}", result.stderr);
}

#[test]
fn who_is_refused_is_told_what_to_look_at() {
    let scene = Scene::new(&[FEDORA], build);
    let says = |words: &str, advice: &str| {
        scene.wrapper.before(scene.next_call(), &format!("echo \"{words}\" >&2; exit 5"));
        let result = scene.run(&[]).status(Status::Upstream);
        assert!(result.stderr.contains(words) && result.stderr.contains(advice), "{}", result.stderr);
    };
    says("@ERROR: Unknown module 'none'", "lists what is there");
    says("@ERROR: access denied to none from host (192.0.2.1)", "let this machine in");
    says("@ERROR: chdir failed", "(setting upstream)");
    says("@ERROR: auth failed on module none", "(settings rsync.user and rsync.password_file)");
    scene.sync();
}

#[test]
fn an_unknown_module_is_not_tried_again() {
    let mut scene = Scene::new(&[FEDORA], build);
    let url = scene.daemon.module_url("nothing");
    scene.mirror.configure(&url, &[FEDORA], "");
    let result = scene.run(&[]).status(Status::Upstream);
    assert_eq!(scene.new_calls().len(), 1);
    assert!(result.stderr.contains("nothing"), "{}", result.stderr);
}

#[test]
fn rsync_may_call_a_complete_transfer_partial() {
    for code in [23, 24] {
        let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
        scene.wrapper.fail_after(2, code);
        scene.sync_to_same();
        scene.assert_quiet();
    }
}

#[test]
fn a_call_that_did_nothing_and_says_partial_is_made_good() {
    for code in [23, 24] {
        for call in 2..=4 {
            let (mut scene, calls) = changed();
            scene.wrapper.fail_before(calls + call, code);
            scene.sync_to_same();
            scene.assert_quiet();
        }
    }
}

#[test]
fn what_upstream_lists_and_does_not_have_is_asked_for_again_and_reported_until_it_comes() {
    for missing in ["fedora/os/p1.rpm", "fedora/os/repodata/1-primary.xml"] {
        let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
        let aside = scene.site.upstream.root().with_file_name("aside");
        fs::rename(scene.site.upstream.path(missing), &aside).expect("renamed");
        let name = missing.strip_prefix("fedora/").expect("in fedora");
        let result = scene.run(&[]).status(Status::Partial);
        assert!(result.stderr.contains(name), "{}", result.stderr);
        let lists = scene.new_calls().iter().filter(|call| call.is_for_lists()).count();
        assert!((2..=4).contains(&lists), "the lists were asked for {lists} times");
        let list = fs::read(scene.mirror.path("fedora/fullfiletimelist-fedora")).expect("the list is installed");
        assert_eq!(list, scene.site.upstream.list("fedora").expect("a list"));
        assert!(
            scene.mirror.path("fedora/os/repodata/repomd.xml").exists()
                && scene.mirror.path("fedora/os/p0.rpm").exists()
        );

        // It holds up nothing else; only what clients may still follow old indexes to is not deleted yet.
        let is_index = missing.contains("repodata");
        fs::rename(&aside, scene.site.upstream.path(missing)).expect("renamed");
        scene.change(|up| up.remove("fedora/os/p2.rpm")?.file("fedora/os/new.rpm", b"new").map(drop));
        fs::rename(scene.site.upstream.path(missing), &aside).expect("renamed");
        scene.new_calls();
        scene.run(&[]).status(Status::Partial);
        assert!(scene.mirror.path("fedora/os/new.rpm").exists());
        assert_eq!(scene.mirror.path("fedora/os/p2.rpm").exists(), is_index);

        // Each run tries once more, without a new list.
        scene.new_calls();
        let result = scene.run(&[]).status(Status::Partial);
        assert!(result.stderr.contains(name), "{}", result.stderr);
        let calls = scene.new_calls();
        assert_eq!(calls.iter().filter(|call| call.is_for_lists()).count(), 1);
        assert!(names_asked(&calls).contains(missing.as_bytes()));

        fs::rename(&aside, scene.site.upstream.path(missing)).expect("renamed");
        scene
            .site
            .upstream
            .touch(Path::new(missing).parent().expect("a directory"), scene.site.upstream.now())
            .expect("a time");
        scene.run(&[]).status(Status::Done);
        assert!(scene.mirror.path(missing).exists());
        scene.change(|_| Ok(()));
        scene.sync_to_same();
        scene.assert_quiet();
    }
}

#[test]
fn a_whole_directory_that_upstream_does_not_deliver_is_no_reason_to_delete() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.file("fedora/os/p1.rpm", b"of another size")?.remove("fedora/os/p3.rpm").map(drop));
    let (os, aside) = (scene.site.upstream.path("fedora/os"), scene.site.upstream.path("fedora/.os-away"));
    fs::rename(&os, &aside).expect("renamed");
    scene.run(&[]).status(Status::Partial);
    for number in [0, 1, 2, 4] {
        assert!(scene.mirror.path(format!("fedora/os/p{number}.rpm")).exists(), "p{number} is gone");
    }
    fs::rename(&aside, &os).expect("renamed");
    scene.change(|_| Ok(()));
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_file_that_upstream_may_not_read_is_partial() {
    // A daemon of root's reads everything: the sender's words are made up.
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let words = "rsync: [sender] send_files failed to open \"os/p1.rpm\": Permission denied (13)";
    let aside = scene.site.upstream.root().with_file_name("aside");
    fs::rename(scene.site.upstream.path("fedora/os/p1.rpm"), &aside).expect("renamed");
    for call in 1..=9 {
        scene
            .wrapper
            .after(call, &format!("if test $status = 0 && test {call} != 1; then echo '{words}' >&2; exit 23; fi"));
    }
    scene.run(&[]).status(Status::Partial);
    assert!(scene.mirror.path("fedora/os/p2.rpm").exists());
    fs::rename(&aside, scene.site.upstream.path("fedora/os/p1.rpm")).expect("renamed");
    scene.change(|_| Ok(()));
    scene.run(&[]);
    scene.sync_to_same();
}

#[test]
fn an_old_rsync_gets_its_names_in_chunks_and_makes_the_same_hard_links() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], |up| {
        for number in 0..4500 {
            up.file(format!("fedora/{}/p{number}", number % 7), b"x")?;
            if number % 3 == 0 {
                up.hardlink(format!("fedora/{}/p{number}", number % 7), format!("archive/p{number}"))?;
            }
        }
        Ok(())
    });
    scene.wrapper.refuse_trust_sender();
    scene.sync_to_same();
    let calls = scene.new_calls();
    let trusting = calls.iter().filter(|call| call.has("--trust-sender")).count();
    let content: Vec<usize> = calls
        .iter()
        .filter(|call| !call.is_for_lists() && !call.has("--trust-sender"))
        .map(|call| call.names().len())
        .collect();
    assert!(trusting <= 3, "{trusting} calls were in vain");
    assert!(content.len() >= 2 && content.iter().all(|names| *names < 6000), "{content:?}");
    scene.assert_quiet();
    scene.change(|up| up.hardlink("fedora/1/p1", "archive/new/p1").map(drop));
    scene.sync_to_same();
}

#[test]
fn an_rsync_that_sends_what_was_not_asked_for_is_ended() {
    for said in
        ["@>f+++++++++ 3 3 fedora/evil//", "@>f+++++++++ 3 3 ../evil//", "@>f+++++++++ 3 3 other-tree/precious//"]
    {
        let scene = Scene::new(&[FEDORA, ARCHIVE], build);
        scene.wrapper.before(2, &format!("echo '{said}'; sleep 1000"));
        let result = scene.run(&[]).status(Status::Upstream);
        assert!(result.stderr.contains("not asked for"), "{}", result.stderr);
        assert!(!scene.mirror.path("fedora/fullfiletimelist-fedora").exists());
        scene.sync_to_same();
    }
}

#[test]
fn an_rsync_that_is_not_there_is_a_matter_of_the_configuration() {
    let mut scene = Scene::new(&[FEDORA], build);
    scene.configure(&[FEDORA], "rsync.program = \"/nowhere/rsync\"");
    let result = scene.run(&[]).status(Status::Usage);
    assert!(result.stderr.contains("/nowhere/rsync") && result.stderr.contains("rsync.program"), "{}", result.stderr);
}

/// A command as a user who owns nothing but the mirror. Nothing where the tests cannot change users.
fn as_another_user(mirror: &Mirror, own: &[&Path]) -> Option<Command> {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let program = mirror.config.with_file_name("qfm");
    fs::copy(env!("CARGO_BIN_EXE_qfm"), &program).expect("a copy of the program");
    let top = mirror.config.parent().expect("a directory");
    fs::set_permissions(top, fs::Permissions::from_mode(0o755)).expect("changed");
    fs::create_dir_all(&mirror.state).expect("made");
    for path in own {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("changed");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command.arg("--config").arg(&mirror.config).stdin(Stdio::null()).current_dir("/");
    Some(command)
}

#[test]
fn a_directory_that_cannot_be_written_to_is_local_trouble() {
    let scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let mirror = &scene.mirror;
    let blocked = mirror.path("fedora/os");
    fs::create_dir_all(&blocked).expect("made");
    let Some(mut command) = as_another_user(mirror, &[&mirror.root, &mirror.state, &mirror.path("fedora")]) else {
        eprintln!("SKIPPED: changing users needs root; local permission trouble was not tested");
        return;
    };
    let output = command.output().expect("setpriv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(Status::Local.code())), "{said}");
    assert!(said.contains("rsync could not write"), "{said}");
    assert!(!mirror.path("fedora/fullfiletimelist-fedora").exists(), "the list promises what is not here");
    chown(&blocked, Some(65534), Some(65534)).expect("changed");
    let output = command.output().expect("setpriv");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    scene.assert_same();
}

#[test]
fn directories_that_upstream_makes_unwritable_are_followed_without_being_root() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], |up| {
        build(up)?;
        up.file("fedora/fixed/below/a", b"a")?.file("fedora/fixed/below/deep/b", b"b")?.file("fedora/fixed/c", b"c")?;
        up.file("fedora/fixed/repodata/repomd.xml", b"<repomd></repomd>")?.mode("fedora/fixed/repodata", 0o555)?;
        let fixed = ["fedora/fixed/below/deep", "fedora/fixed/below", "fedora/fixed", "fedora"];
        fixed.into_iter().try_for_each(|path| up.mode(path, 0o555).map(drop))
    });
    let Some(mut command) = as_another_user(&scene.mirror, &[&scene.mirror.root, &scene.mirror.state]) else {
        eprintln!("SKIPPED: changing users needs root; directories that are not writable were not tested");
        return;
    };
    let mut run = |what: &str| {
        let output = command.output().expect("setpriv");
        assert_eq!(output.status.code(), Some(0), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("the first");
    scene.assert_same();
    // Pointers on their way have these modes too.
    scene.configure(&[FEDORA, ARCHIVE], "check_indexes = true");
    scene.change(|up| {
        up.file("fedora/fixed/repodata/repomd.xml", b"<repomd><data/></repomd>")?;
        up.remove("fedora/fixed/below/a")?
            .file("fedora/fixed/below/new", b"new")?
            .file("fedora/fixed/c", b"another")?;
        up.remove("fedora/fixed/below/deep").map(drop)
    });
    run("some came and some went");
    scene.assert_same();
    scene.change(|up| up.remove("fedora/fixed/below")?.file("fedora/fixed/below", b"a file now").map(drop));
    run("a directory became a file");
    scene.assert_same();
}

#[test]
fn a_directory_that_cannot_be_read_holds_all_deletions_of_its_module() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let unreadable = scene.mirror.path("fedora/os/locked");
    fs::create_dir_all(&unreadable).expect("made");
    fs::write(scene.mirror.path("fedora/extra"), "extra").expect("written");
    scene.change(|up| up.file("fedora/os/locked/x.rpm", b"x").map(drop));
    let mirror = &scene.mirror;
    let (fedora, os, extra) = (mirror.path("fedora"), mirror.path("fedora/os"), mirror.path("fedora/extra"));
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o0)).expect("changed");
    let Some(mut command) = as_another_user(mirror, &[&mirror.root, &mirror.state, &fedora, &os, &extra]) else {
        eprintln!("SKIPPED: changing users needs root; an unreadable directory was not tested");
        return;
    };
    let output = command.output().expect("setpriv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(Status::Local.code())), "{said}");
    assert!(said.contains("locked"), "{said}");
    assert!(extra.exists(), "nothing is to be deleted on doubt\n{said}");
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o755)).expect("changed");
    chown(&unreadable, Some(65534), Some(65534)).expect("changed");
    assert_eq!(command.output().expect("setpriv").status.code(), Some(0));
    scene.assert_same();
}

#[test]
fn a_root_that_is_not_writable_is_known_before_anything_is_fetched() {
    let mut scene = Scene::new(&[FEDORA], build);
    let Some(mut command) = as_another_user(&scene.mirror, &[&scene.mirror.state]) else {
        eprintln!("SKIPPED: changing users needs root; a root that is not writable was not tested");
        return;
    };
    let before = inode_snapshot(&scene.mirror.root).expect("a root");
    let output = command.env("PATH", std::env::var_os("PATH").expect("a PATH")).output().expect("setpriv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(Status::Local.code())), "{said}");
    assert!(said.contains("not writable"), "{said}");
    assert_untouched(&before, &scene.mirror.root);
    assert_eq!(scene.daemon.served().expect("a log").calls, 0);
    assert!(scene.new_calls().is_empty());
}
