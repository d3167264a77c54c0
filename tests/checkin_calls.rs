//! How MirrorManager is reached: by whose certificate, through which proxy, by what name, with whose password.

mod support;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;

use qfm::exit::Status;
use support::*;

const CATEGORIES: &[&str] = &["Fedora EPEL"];

/// A mirror that is in step, and has told nothing yet.
fn scene(manager: &MirrorManager) -> Scene {
    let mut scene = Scene::new(&[EPEL], |up| up.file("epel/10/e.rpm", b"epel").map(drop));
    scene.sync();
    manager.tell_by(&mut scene.mirror);
    scene.mirror.add("checkin.retries = 0");
    scene
}

/// A check-in with these variables and flags.
fn check_in(scene: &Scene, variables: &[(&str, &str)], flags: &[&str]) -> RunResult {
    scene.mirror.run_with(variables, &[&["checkin", "--all"], flags].concat())
}

#[test]
fn a_certificate_counts_if_its_authority_and_its_name_do() {
    let manager = MirrorManager::start_with_certificate(CATEGORIES);
    let scene = scene(&manager);
    let address = |host: &str| format!("https://{host}:{}/xmlrpc", manager.port);
    let known = ("SSL_CERT_FILE", MirrorManager::authority());
    for (variables, host) in [(&[][..], "127.0.0.1"), (&[known], "localhost")] {
        let refused = check_in(&scene, variables, &["--checkin-endpoint", &address(host)]).status(Status::Notify);
        assert!(refused.stderr.contains("certificate"), "{host}: {}", refused.stderr);
        assert_eq!(manager.requests(), 0, "a stranger is told nothing");
    }
    check_in(&scene, &[known], &["--checkin-endpoint", &address("127.0.0.1")]).status(Status::Done);
    assert_eq!(manager.directories("Fedora EPEL"), ["", "10"]);
}

#[test]
fn the_proxy_of_the_environment_is_called_by_the_scheme_of_the_address() {
    let plain = MirrorManager::start(CATEGORIES);
    let closed = MirrorManager::start_with_certificate(CATEGORIES);
    let scene = scene(&plain);
    let proxy = WebProxy::start();
    let by = format!("http://user:hunter2@127.0.0.1:{}", proxy.port);
    let known = ("SSL_CERT_FILE", MirrorManager::authority());
    // Nobody here can look that name up.
    let address =
        |scheme: &str, manager: &MirrorManager| format!("{scheme}://mirrormanager.test:{}/xmlrpc", manager.port);
    let (http, https) = (address("http", &plain), address("https", &closed));
    check_in(&scene, &[("http_proxy", &by)], &["--checkin-endpoint", &http]).status(Status::Done);
    check_in(&scene, &[known, ("HTTPS_PROXY", &by)], &["--checkin-endpoint", &https]).status(Status::Done);
    check_in(&scene, &[known, ("all_proxy", &by)], &["--checkin-endpoint", &https]).status(Status::Done);
    let heads = proxy.heads();
    assert_eq!((heads.len(), plain.requests(), closed.requests()), (3, 1, 2));
    for (head, port) in heads.iter().zip([plain.port, closed.port, closed.port]) {
        assert!(head.starts_with(&format!("CONNECT mirrormanager.test:{port} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n"), "{head}");
    }

    // Straight on: what is excepted, and what has another scheme.
    check_in(&scene, &[("http_proxy", &by), ("no_proxy", "localhost,127.0.0.1")], &[]).status(Status::Done);
    check_in(&scene, &[("https_proxy", &by)], &[]).status(Status::Done);
    assert_eq!((proxy.heads().len(), plain.requests()), (3, 3));
}

#[test]
fn a_proxy_that_does_not_work_is_named_and_not_gone_around() {
    let manager = MirrorManager::start(CATEGORIES);
    let scene = scene(&manager);
    let nobody = format!("127.0.0.1:{}", free_port());
    for scheme in ["http", "socks5"] {
        let by = format!("{scheme}://user:hunter2@{nobody}");
        let failed = check_in(&scene, &[("http_proxy", &by)], &["-vv"]).status(Status::Notify);
        assert!(failed.stderr.contains(&format!("(through the proxy {nobody})")), "{}", failed.stderr);
        assert!(!failed.stderr.contains("hunter2"), "{}", failed.stderr);
    }
    let refused = check_in(&scene, &[("http_proxy", "gopher://user:hunter2@proxy")], &[]).status(Status::Usage);
    assert!(refused.stderr.contains("environment http_proxy: is no address of a proxy"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    assert_eq!(manager.requests(), 0);
}

/// A port on which nobody listens.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

#[test]
fn a_name_server_that_is_mute_ends_no_later_than_the_limit() {
    let Some(namespace) = Volumes::mount(&[]) else { return };
    let manager = MirrorManager::start(CATEGORIES);
    let mut scene = scene(&manager);
    // One of its own for each process that runs this test.
    let address = format!("127.53.{}.{}", std::process::id() >> 8 & 255, std::process::id() & 255);
    let name_server = UdpSocket::bind((address.as_str(), 53)).expect("root has that port");
    name_server.set_nonblocking(true).expect("a socket");
    // By itself the look-up would end long after the run is killed.
    let text = format!("nameserver {address}\noptions timeout:30 attempts:5\n");
    let file = scene.mirror.private("resolv.conf", &text);
    namespace.run("mount", &["--bind", file.to_str().expect("UTF-8"), "/etc/resolv.conf"]);
    scene.mirror.run_on(&namespace);
    let flags = ["--checkin-endpoint", "http://mirrormanager.test/xmlrpc", "--checkin-timeout", "1s"];
    let result = check_in(&scene, &[], &flags).status(Status::Notify);
    assert!(result.stderr.contains("it took too long (checkin.timeout)"), "{}", result.stderr);
    name_server.recv(&mut [0; 512]).expect("it was asked");
}

#[test]
fn the_password_comes_from_the_first_place_that_has_it() {
    let manager = MirrorManager::start(CATEGORIES);
    let mut scene = scene(&manager);
    let credentials = scene.mirror.config.with_file_name("credentials");
    fs::create_dir(&credentials).expect("made");
    let credentials = ("CREDENTIALS_DIRECTORY", credentials.to_str().expect("UTF-8"));
    let nowhere = ["--checkin-password-file="];

    let missing = check_in(&scene, &[credentials], &nowhere).status(Status::Usage);
    assert!(missing.stderr.contains("qfm.checkin-password"), "{}", missing.stderr);
    scene.mirror.private("credentials/qfm.checkin-password", MirrorManager::PASSWORD);
    check_in(&scene, &[credentials], &nowhere).status(Status::Done);

    scene.mirror.private("credentials/qfm.checkin-password", "another");
    check_in(&scene, &[credentials], &[]).status(Status::Done);
    check_in(&scene, &[credentials], &nowhere).status(Status::Notify);
    let variable = ("QFM_CHECKIN_PASSWORD", MirrorManager::PASSWORD);
    check_in(&scene, &[credentials, variable], &nowhere).status(Status::Done);
    check_in(&scene, &[("QFM_CHECKIN_PASSWORD", "another")], &[]).status(Status::Notify);
    assert_eq!(manager.requests(), 5);

    scene.mirror.add(&format!("checkin.password = {:?}", MirrorManager::PASSWORD));
    let chmod = |mode| fs::set_permissions(&scene.mirror.config, fs::Permissions::from_mode(mode)).expect("changed");
    for (mode, status) in [(0o644, Status::Usage), (0o602, Status::Usage), (0o640, Status::Done)] {
        chmod(mode);
        let result = check_in(&scene, &[], &nowhere).status(status);
        let is_said =
            result.stderr.contains("checkin.password: ") && result.stderr.contains("can be read or changed by others");
        assert_eq!(is_said, status == Status::Usage, "{mode:o}: {}", result.stderr);
        let shown = scene.mirror.run(&["config", "show"]);
        for text in [result.stdout, result.stderr, shown.stdout, shown.stderr] {
            assert!(!text.contains("horse"), "{mode:o}: {text}");
        }
    }
}
