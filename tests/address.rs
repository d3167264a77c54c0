//! Names that lead to several hosts: one address for a run, and the next one where nobody answers.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use qfm::exit::Status;
use rustix::process::Signal;
use support::*;

fn build(up: &mut Upstream) -> Built {
    for number in 0..5 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.file("fedora/os/repodata/repomd.xml", b"<repomd/>").map(drop)
}

/// The hosts that calls were made to.
fn hosts(calls: &[Call]) -> Vec<String> {
    let url = |call: &Call| {
        call.arguments.iter().map(|word| word.to_string_lossy()).find_map(|word| {
            Some(word.strip_prefix("rsync://")?.split([':', '/']).next().unwrap_or_default().to_owned())
        })
    };
    calls.iter().filter_map(url).collect()
}

#[test]
fn a_name_is_called_by_its_address_unless_somebody_else_connects() {
    let mut scene = Scene::new(&[FEDORA], build);
    let url = format!("rsync://localhost:{}/buffet", scene.daemon.port());
    scene.mirror.configure(&url, &[FEDORA], "rsync.address_family = \"ipv4\"");
    scene.sync_to_same();
    let called = hosts(&scene.new_calls());
    assert!(called.len() > 1 && called.iter().all(|host| host == "127.0.0.1"), "{called:?}");
    let result = scene.run(&["-vv"]);
    assert!(result.stderr.contains("rsync://127.0.0.1:"), "{}", result.stderr);
    scene.new_calls();

    scene.mirror.add("rsync.one_address = false");
    scene.sync();
    assert_eq!(hosts(&scene.new_calls()), ["localhost"]);
    scene.mirror.configure(&url, &[FEDORA], "rsync.retries = 0");
    for (variable, value) in [("RSYNC_PROXY", "127.0.0.1:1"), ("RSYNC_CONNECT_PROG", "false")] {
        let output = scene.mirror.command(&[""; 0]).env(variable, value).output().expect("the program starts");
        assert_eq!(output.status.code(), Some(i32::from(Status::Upstream.code())), "{variable}");
        assert_eq!(hosts(&scene.new_calls()), ["localhost"], "{variable}");
    }
}

#[test]
fn a_name_that_leads_nowhere_is_left_to_rsync() {
    let mut scene = Scene::new(&[FEDORA], build);
    scene.mirror.configure(
        "rsync://nowhere.invalid/buffet",
        &[FEDORA],
        "rsync.retries = 1\nrsync.retry_delay = \"10ms\"",
    );
    let result = scene.run(&[]).status(Status::Upstream);
    assert!(result.stderr.contains("nowhere.invalid"), "{}", result.stderr);
    assert_eq!(hosts(&scene.new_calls()), ["nowhere.invalid"; 2]);
}

/// The name of upstream in these tests.
const NAME: &str = "upstream.example.org";

/// A host of upstream's.
fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}

/// Has the name lead to these hosts, for a mirror alone. `None` where that cannot be done.
fn named(mirror: &mut Mirror, hosts: &[Ipv4Addr]) -> Option<Volumes> {
    let volumes = Volumes::mount(&[])?;
    let file = mirror.config.with_file_name("hosts");
    let lines: String = hosts.iter().map(|host| format!("{host} {NAME}\n")).collect();
    fs::write(&file, format!("127.0.0.1 localhost\n{lines}")).expect("written");
    volumes.run("mount", &["--bind", file.to_str().expect("UTF-8"), "/etc/hosts"]);
    mirror.run_on(&volumes);
    Some(volumes)
}

#[test]
fn a_name_server_that_does_not_answer_does_not_hold_a_run() {
    let mut scene = Scene::new(&[FEDORA], build);
    let Some(volumes) = Volumes::mount(&[]) else { return };
    // An address of this process alone: there is one port for name servers.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 53, high, low);
    let server = UdpSocket::bind((address, 53)).expect("the port of a name server");
    let file = scene.mirror.config.with_file_name("resolv.conf");
    fs::write(&file, format!("nameserver {address}\n")).expect("written");
    volumes.run("mount", &["--bind", file.to_str().expect("UTF-8"), "/etc/resolv.conf"]);
    scene.mirror.run_on(&volumes);
    let short = "rsync.timeout = \"1s\"\nrsync.connect_timeout = \"1s\"\nrsync.retries = 0";
    scene.mirror.configure(&format!("rsync://{NAME}/buffet"), &[FEDORA], short);
    let start = Instant::now();
    scene.run(&[]).status(Status::Upstream);
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());

    scene.mirror.configure(&format!("rsync://{NAME}/buffet"), &[FEDORA], "");
    server.set_nonblocking(true).expect("a socket");
    let asked = || server.recv(&mut [0; 512]).is_ok();
    while asked() {}
    let running = scene.start(&[]);
    wait_until("the name is looked up", asked);
    running.signal(Signal::TERM);
    let start = Instant::now();
    ended_with(running.end(), &[Status::Terminated]);
    assert!(start.elapsed() < Duration::from_secs(4), "the name server was waited for");
}

/// Whether the mirror is in step with one of the trees, byte for byte.
fn is_same(upstream: &Path, mirror: &Path) -> bool {
    let read =
        |path: &Path| tree::snapshot(path, &tree::View { contents: true, ..tree::View::PUBLIC }).expect("a tree");
    tree::differences(&read(upstream), &read(mirror)).is_empty()
}

#[test]
fn lists_and_content_come_from_one_host_though_others_are_older() {
    let mut scene = Scene::new(&[FEDORA], build);
    // The second host is behind.
    let behind = scene.site.upstream.root().with_file_name("behind");
    let copied = std::process::Command::new("cp").arg("-a").arg(scene.site.upstream.root()).arg(&behind).status();
    assert!(copied.expect("cp").success());
    let _second = Setup::new(&behind).at(host(2), scene.daemon.port()).start().expect("a daemon");
    let url = format!("rsync://{NAME}:{}/buffet", scene.daemon.port());
    scene.mirror.configure(&url, &[FEDORA], "");
    let Some(_names) = named(&mut scene.mirror, &[host(1), host(2)]) else { return };
    for round in 0..3 {
        scene.change(|up| {
            up.file(format!("fedora/os/new{round}.rpm"), b"new")?
                .file("fedora/os/repodata/repomd.xml", format!("<{round}/>"))?;
            up.remove(format!("fedora/os/p{round}.rpm")).map(drop)
        });
        let result = scene.run(&[]);
        let called: BTreeSet<String> = hosts(&scene.new_calls()).into_iter().collect();
        assert_eq!(called.len(), 1, "round {round}: {called:?}\n{}", result.stderr);
        let root = if called.contains("127.0.0.1") { scene.site.upstream.root() } else { &behind };
        assert!(is_same(root, &scene.mirror.root), "round {round}: {}", result.stderr);
    }
}

#[test]
fn where_nobody_answers_the_next_address_is_called_and_nothing_is_said() {
    for hosts_of_name in [[host(3), host(1)], [host(1), host(3)]] {
        let mut scene = Scene::new(&[FEDORA], build);
        let url = format!("rsync://{NAME}:{}/buffet", scene.daemon.port());
        // Not one retry, and no wait, is needed for that.
        scene.mirror.configure(&url, &[FEDORA], "rsync.retries = 0\nrsync.retry_delay = \"1h\"");
        let Some(_names) = named(&mut scene.mirror, &hosts_of_name) else { return };
        let result = scene.sync();
        assert_eq!(result.stderr, "");
        scene.assert_same();
        let called = hosts(&scene.new_calls());
        let dead = called.iter().filter(|host| *host == "127.0.0.3").count();
        assert!(dead <= 1 && called.len() - dead > 1, "{called:?}");

        // A host that goes while the run is on.
        scene.change(|up| up.file("fedora/os/late.rpm", b"late").map(drop));
        let words = "rsync: [Receiver] failed to connect to 127.0.0.1 (127.0.0.1): Connection refused (111)";
        let next = scene.next_call();
        for call in next..next + 3 {
            scene
                .wrapper
                .before(call, &format!("case \"$*\" in *--compare-dest=*) ;; *) echo '{words}' >&2; exit 10;; esac"));
        }
        let result = scene.run(&[]).status(Status::Upstream);
        assert!(result.stderr.contains("gave up on"), "{}", result.stderr);
        let called = hosts(&scene.new_calls());
        assert!(called.contains(&"127.0.0.1".to_owned()) && called.contains(&"127.0.0.3".to_owned()), "{called:?}");
        scene.sync_to_same();
    }
}

#[test]
fn a_host_without_room_for_us_is_left_for_another() {
    let mut site = Site::new();
    build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
    let daemon = site.setup().max_connections(1).start().expect("a daemon");
    let mut other = std::net::TcpStream::connect((host(1), daemon.port())).expect("a connection");
    std::io::Write::write_all(&mut other, b"@RSYNCD: 29.0\nbuffet\n").expect("a request");
    let _second = site.setup().at(host(2), daemon.port()).start().expect("a daemon");
    let url = format!("rsync://{NAME}:{}/buffet", daemon.port());
    let mut scene = Scene::with(site, daemon, &[FEDORA]);
    scene.mirror.configure(&url, &[FEDORA], "rsync.retries = 2\nrsync.retry_delay = \"10ms\"");
    let Some(_names) = named(&mut scene.mirror, &[host(1), host(2)]) else { return };
    let result = scene.sync();
    let called = hosts(&scene.new_calls());
    if called[0] == "127.0.0.1" {
        assert!(
            result.stderr.contains("max connections") && result.stderr.contains("trying again"),
            "{}",
            result.stderr
        );
    }
    assert!(called[1..].iter().all(|host| host == "127.0.0.2"), "{called:?}");
    scene.assert_same();
    drop(other);
}
