//! The manual pages that are checked in are those that the program writes, and other programs can read them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn man() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

fn pages(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("a directory of pages").map(|entry| entry.expect("a page").path());
    let page = |path: PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        (name, fs::read_to_string(path).expect("a page"))
    };
    entries.map(page).collect()
}

#[test]
fn the_pages_are_those_that_the_program_writes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = assert_cmd::Command::cargo_bin("qfm").expect("built");
    command.arg("man").arg(directory.path()).assert().success();
    let (written, kept) = (pages(directory.path()), pages(&man()));
    let differ: Vec<&String> =
        written.keys().chain(kept.keys()).filter(|name| written.get(*name) != kept.get(*name)).collect();
    assert!(differ.is_empty(), "man/ is out of date in {differ:?}; write it anew: cargo run -- man man");

    let alone = assert_cmd::Command::cargo_bin("qfm").expect("built").arg("man").output().expect("started");
    assert_eq!(String::from_utf8(alone.stdout).expect("UTF-8"), kept["qfm.1"]);
}

/// What a program says of a page; nothing if it is not there.
fn says(program: &str, arguments: &[&str], page: &Path) -> Option<Output> {
    match Command::new(program).args(arguments).arg(page).envs([("LC_ALL", "C.UTF-8"), ("MANWIDTH", "80")]).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("{program} is not here: {} is not looked at by it", page.display());
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn mandoc_and_man_find_no_fault() {
    for name in pages(&man()).keys() {
        let page = man().join(name);
        if let Some(output) = says("mandoc", &["-T", "lint", "-W", "warning"], &page) {
            assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        if let Some(output) = says("man", &["--warnings", "--local-file", "--troff-device=utf8", "--ditroff"], &page) {
            assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
        }
        if let Some(output) = says("man", &["--local-file", "--encoding=UTF-8"], &page) {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.lines().count() > 10, "{name}: {output:?}");
            let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{name} does not fit: {wide:#?}");
            // What is copied from a page is run: options begin with what a shell takes for a dash, and no name is cut.
            let prettier = text
                .lines()
                .find(|line| line.contains(['\u{2010}', '\u{2212}', '\u{2018}', '\u{2019}', '\u{02c6}', '\u{02dc}']));
            assert_eq!(prettier, None, "{name}");
        }
    }
}
