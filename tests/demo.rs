//! The demonstration checks what it shows: with a stand-in that keeps the promises it goes through, with one that
//! breaks any of them it does not.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;

use qfm::exit::Status;
use tempfile::TempDir;

fn stand_in(flaw: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    fs::write(&program, include_str!("demo_stand_in.sh").replace("@flaw@", flaw)).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    (directory, program)
}

/// How it ended, and what it said.
fn demo(flaw: &str) -> (anyhow::Result<Status>, String) {
    let (_directory, program) = stand_in(flaw);
    let mut out = Vec::new();
    let result = qfm::demo::run(&program, &mut out);
    let said = String::from_utf8(out).unwrap();
    assert_cleaned_up(&said);
    (result, said)
}

#[track_caller]
fn assert_cleaned_up(said: &str) {
    let (_, rest) = said.split_once("happens in ").expect("where it happens");
    let (place, _) = rest.split_once(' ').expect("where it happens");
    assert!(!Path::new(place).exists(), "{place} is left");
    let (_, rest) = said.split_once("rsync://127.0.0.1:").expect("where it serves");
    let (port, _) = rest.split_once('/').expect("where it serves");
    assert!(TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_err(), "the daemon still listens");
}

#[test]
fn it_goes_through_with_a_program_that_keeps_its_promises() {
    let (result, said) = demo("none");
    assert_eq!(result.unwrap(), Status::Done);
    println!("{said}");
    for part in ["1. First sync", "2. A run without changes", "one call of rsync", "| would do", "exit code 7"] {
        assert!(said.contains(part), "{part:?} is missing:\n{said}");
    }
}

#[test]
fn it_fails_with_a_program_that_breaks_a_promise() {
    let flaws = [
        ("corrupt", "the bytes differ"),
        ("indiscreet", "44_Beta: not upstream"),
        ("chatty", "called 2 times"),
        ("liar", "qfm tells of 0 calls"),
        ("restless", "inodes of"),
        ("hasty", "inodes of"),
        ("reckless", "were deleted or changed"),
        ("careless", "ended with code 0, not 7"),
    ];
    thread::scope(|scope| {
        for (flaw, words) in flaws {
            scope.spawn(move || {
                let (result, _) = demo(flaw);
                let error = format!("{:#}", result.expect_err(flaw));
                assert!(error.contains(words), "{flaw}: {error}");
            });
        }
    });
}

#[test]
fn it_cleans_up_when_it_panics() {
    struct Panics(Vec<u8>);
    impl Write for Panics {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(bytes);
            assert!(!bytes.starts_with(b"\n2."), "made up");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let (_directory, program) = stand_in("none");
    let mut out = Panics(Vec::new());
    catch_unwind(AssertUnwindSafe(|| qfm::demo::run(&program, &mut out))).unwrap_err();
    assert_cleaned_up(&String::from_utf8(out.0).unwrap());
}
