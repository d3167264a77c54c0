//! The demonstration cleans up when a signal ends it. Alone in its process, which gets the signal.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use qfm::exit::Status;

#[test]
fn a_signal_ends_it_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    fs::write(&program, include_str!("demo_stand_in.sh").replace("@flaw@", "interrupt")).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();

    let mut out = Vec::new();
    let start = Instant::now();
    assert_eq!(qfm::demo::run(&program, &mut out).unwrap(), Status::Terminated);
    assert!(start.elapsed() < Duration::from_secs(30), "the program was not waited for");

    let said = String::from_utf8(out).unwrap();
    let word_after = |words: &str| said.split_once(words).unwrap().1.split([' ', '/']).next().unwrap().to_owned();
    let place = said.split_once("happens in ").unwrap().1.split(' ').next().unwrap();
    assert!(!Path::new(place).exists());
    let port: u16 = word_after("rsync://127.0.0.1:").parse().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the daemon still listens");
}
