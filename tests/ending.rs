//! Upstreams that never get on: every run ends, and the next one goes on.

mod support;

use std::time::{Duration, Instant};

use qfm::exit::Status;
use support::*;

const GREETING: &[u8] = b"@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n";

/// A mirror of such a server.
fn mirror(port: u16, extra: &str) -> Mirror {
    let mut mirror = Mirror::new(&format!("rsync://127.0.0.1:{port}/buffet"), &[FEDORA]);
    mirror.add(&format!("rsync.retries = 0\n{extra}"));
    mirror
}

#[track_caller]
fn assert_ends_soon(mirror: &Mirror) -> RunResult {
    let start = Instant::now();
    let result = mirror.run(&[]).status(Status::Upstream);
    assert!(start.elapsed() < Duration::from_secs(30), "it took {:?}: {}", start.elapsed(), result.stderr);
    wait_until("rsync is gone", || processes_on(&mirror.root).is_empty());
    result
}

#[test]
fn a_server_that_is_not_there_or_says_nothing_or_never_stops_talking_does_not_hold_a_run() {
    let short = "rsync.timeout = \"1s\"\nrsync.connect_timeout = \"1s\"";
    for (greeting, drip) in [
        (&b""[..], &b""[..]),
        (GREETING, b""),
        (GREETING, b"good morning\n"),
        (GREETING, b"."),
        (b"", b"."),
        (b"@RSYNCD: 32.0\nnonsense\0\xff\n", b"\xff\0"),
    ] {
        let server = Server::start(greeting, drip);
        let result = assert_ends_soon(&mirror(server.port, short));
        eprintln!("{}", result.stderr);
    }
}

#[test]
fn an_endless_message_of_the_day_is_ended_although_it_never_pauses() {
    let server = Server::start(GREETING, b"good morning, and do read all of this: it is the message of the day\n");
    let result = assert_ends_soon(&mirror(server.port, "rsync.timeout = \"1s\""));
    assert!(result.stderr.contains("nothing came"), "{}", result.stderr);
}

#[test]
fn the_deadline_ends_what_nothing_else_does() {
    let server = Server::start(GREETING, b"good morning\n");
    let result = assert_ends_soon(&mirror(server.port, "rsync.deadline = \"2s\""));
    assert!(result.stderr.contains("deadline"), "{}", result.stderr);
}

/// A mirror in step, and a change of upstream that takes some time to send.
fn behind() -> Scene {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/os/a.rpm", b"a")?.file("fedora/b", b"b").map(drop));
    scene.change(|up| up.file("fedora/os/big.iso", noise(3_000_000))?.remove("fedora/b").map(drop));
    scene
}

#[test]
fn a_slow_transfer_ends_at_the_deadline_and_the_next_run_goes_on() {
    let mut scene = behind();
    scene.configure(&[FEDORA], "rsync.bwlimit = \"200\"\nrsync.deadline = \"2s\"");
    let result = assert_ends_soon(&scene.mirror);
    assert!(result.stderr.contains("deadline"), "{}", result.stderr);
    assert!(scene.mirror.path("fedora/b").exists());
    scene.configure(&[FEDORA], "");
    scene.sync_to_same();
}

#[test]
fn a_slow_transfer_that_gets_on_is_left_alone() {
    let mut scene = behind();
    scene.configure(&[FEDORA], "rsync.bwlimit = \"600\"\nrsync.timeout = \"3s\"\nrsync.retries = 0");
    scene.sync_to_same();
}

#[test]
fn an_upstream_that_freezes_or_drips_in_mid_transfer_does_not_hold_a_run() {
    let stalls = [("freezes", Stall::Freeze), ("drips", Stall::Drip)];
    side_by_side(stalls.into_iter().flat_map(|stall| [(stall, 500_000), (stall, 2_000)]), |((what, stall), sent)| {
        let mut scene = behind();
        let proxy = Proxy::start(scene.daemon.port(), sent, stall);
        let url = format!("rsync://127.0.0.1:{}/buffet", proxy.port);
        scene.mirror.configure(&url, &[FEDORA], "rsync.timeout = \"1s\"\nrsync.retries = 0");
        let result = assert_ends_soon(&scene.mirror);
        // rsync's own timeout may be the first to see it.
        let is_seen = ["nothing came", "io timeout"].iter().any(|words| result.stderr.contains(words));
        assert!(is_seen, "{what} after {sent} bytes: {}", result.stderr);
        assert!(scene.mirror.path("fedora/b").exists(), "deleted, although not everything came");
        drop(proxy);
        scene.configure(&[FEDORA], "");
        scene.sync_to_same();
        scene.assert_quiet();
    });
}
