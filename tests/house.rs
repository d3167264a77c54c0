//! The house: who may use whom, and what no source file has.
//!
//! The compiler holds the other half: `clippy.toml` names the hands that the pure parts do not have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// What each part of the library may use of the others.
const LAW: &[(&str, &[&str])] = &[
    // Pure: a path is below a list, a list is below a plan.
    ("path", &[]),
    ("list", &["path"]),
    ("plan", &["list", "path"]),
    // What everybody may be told.
    ("clock", &[]),
    ("exit", &[]),
    ("interrupt", &["exit"]),
    // The hands: each knows the pure parts, none knows another.
    ("tree", &["path", "list", "plan", "interrupt"]),
    ("rsync", &["path", "plan", "interrupt"]),
    ("state", &["path", "list", "plan"]),
    ("report", &["clock", "exit", "path", "list", "plan"]),
    ("http", &["interrupt"]),
    ("process", &["interrupt", "path"]),
    ("checkin", &["http", "interrupt", "path", "list"]),
    ("config", &["exit", "path", "plan"]),
    // Those who know several.
    ("status", &["clock", "exit", "path", "plan", "tree", "state", "config"]),
    (
        "sync",
        &[
            "clock",
            "exit",
            "interrupt",
            "path",
            "list",
            "plan",
            "tree",
            "rsync",
            "state",
            "report",
            "config",
            "checkin",
            "push",
            "status",
            "process",
        ],
    ),
    // It takes the locks as a run does, and reads the configuration with the same eyes.
    ("relink", &["exit", "interrupt", "path", "list", "plan", "tree", "state", "report", "config", "sync"]),
    // It never runs a sync itself, but starts one: so it needs to know little.
    ("push", &["clock", "exit", "http", "interrupt", "process", "path", "plan", "report", "state", "config"]),
    // It looks at everything, and changes nothing.
    (
        "doctor",
        &[
            "clock",
            "exit",
            "interrupt",
            "path",
            "list",
            "plan",
            "tree",
            "rsync",
            "state",
            "report",
            "config",
            "sync",
            "status",
        ],
    ),
    ("diff", &["exit", "path", "list", "plan", "state", "report"]),
    // What a flag can say is for those to read who know it.
    ("cli", &["clock", "exit", "config", "path", "list", "plan", "push"]),
    ("make_list", &["exit", "interrupt", "path", "list", "tree", "config"]),
    ("demo", &["exit", "interrupt", "list", "make_list", "tree"]),
    // They are commands too, and tell in other words what everybody is told.
    (
        "old",
        &[
            "clock",
            "exit",
            "interrupt",
            "path",
            "list",
            "plan",
            "tree",
            "rsync",
            // The time file is that program's own.
            "state",
            "report",
            "config",
            "cli",
            "make_list",
            "relink",
            "sync",
        ],
    ),
];

/// The door of the library, and the program, which knows all of it.
const PROGRAM: [&str; 3] = ["lib", "main", "command"];

/// What is against the law and meant: the file, whom it uses, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "rsync/arguments.rs",
        "config",
        "the settings of rsync are its arguments: a copy would say the same in other words",
    ),
    ("state/stamps.rs", "tree", "a stamp is what is saved; only its three numbers are known there"),
    ("report/mod.rs", "rsync", "an event carries the item as rsync reported it"),
    ("report/log/mod.rs", "config", "the topics of the log are those that the setting log_level can name"),
    ("report/terminal.rs", "config", "secrets in rsync's options are masked in one place"),
];

struct Source {
    /// Below `src`.
    name: String,
    /// Without comments.
    code: String,
}

impl Source {
    /// The part of the library it belongs to.
    fn part(&self) -> &str {
        let first = self.name.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

/// All of `src`, but what only holds tests.
fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut open: Vec<PathBuf> = vec![src.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory of src") {
            let path = entry.expect("an entry of src").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                let name = path.strip_prefix(&src).expect("below src").display().to_string();
                sources.push(Source { name, code: code.collect::<Vec<_>>().join("\n") });
            }
        }
    }
    assert!(sources.len() > 30, "only {} files were found", sources.len());
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

/// The parts that a file uses, by `crate::part`, `crate::{part, …}`, or `super::part` right below the root.
fn used(source: &Source) -> BTreeSet<String> {
    let single = Regex::new(r"\bcrate::([a-z_]+)").expect("a pattern");
    let braces = Regex::new(r"\bcrate::\{([^;]*)\}").expect("a pattern");
    let word = Regex::new(r"[a-z_]+").expect("a pattern");
    let mut used: BTreeSet<String> = single.captures_iter(&source.code).map(|found| found[1].to_owned()).collect();
    for group in braces.captures_iter(&source.code) {
        used.extend(word.find_iter(&group[1]).map(|found| found.as_str().to_owned()).filter(|word| is_part(word)));
    }
    if source.name.ends_with("/mod.rs") || !source.name.contains('/') {
        let above = Regex::new(r"\bsuper::([a-z_]+)").expect("a pattern");
        used.extend(above.captures_iter(&source.code).map(|found| found[1].to_owned()).filter(|word| is_part(word)));
    }
    used.remove(source.part());
    used
}

fn is_part(word: &str) -> bool {
    LAW.iter().any(|(part, _)| *part == word)
}

#[test]
fn nobody_uses_whom_they_must_not_know() {
    let mut wrong = Vec::new();
    let mut excepted = BTreeSet::new();
    for source in sources().iter().filter(|source| !PROGRAM.contains(&source.part())) {
        let Some((_, may)) = LAW.iter().find(|(part, _)| *part == source.part()) else {
            wrong.push(format!("{} belongs to a part that the law does not know: add it to LAW", source.name));
            continue;
        };
        for part in used(source) {
            let known = EXCEPTIONS.iter().position(|(file, whom, _)| *file == source.name && *whom == part);
            excepted.extend(known);
            if !may.contains(&part.as_str()) && known.is_none() {
                wrong.push(format!("{} uses {part}", source.name));
            }
        }
    }
    let idle = EXCEPTIONS.iter().enumerate().filter(|(index, _)| !excepted.contains(index));
    wrong.extend(idle.map(|(_, (file, whom, _))| format!("{file} uses {whom} no more: take the exception out")));
    assert!(wrong.is_empty(), "against the law of tests/house.rs:\n  {}", wrong.join("\n  "));
}

#[test]
fn the_law_has_no_circle() {
    // Peel off what uses nothing that is left, until nothing is left.
    let mut left: Vec<&(&str, &[&str])> = LAW.iter().collect();
    while !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(part, _)| *part).collect();
        let before = left.len();
        left.retain(|(_, may)| may.iter().any(|part| names.contains(part)));
        assert!(left.len() < before, "these use each other: {names:?}");
    }
}

#[test]
fn the_pure_parts_have_no_hands() {
    // What clippy.toml cannot name: traits that read and write, and threads.
    let hands = Regex::new(r"\buse std::(fs|env|net|process|thread|os)\b|\brustix::|\btempfile::").expect("a pattern");
    let pure = |name: &str| {
        name.starts_with("plan/")
            || name.starts_with("list/")
            || ["path.rs", "push/authorized.rs", "push/words.rs"].contains(&name)
            || ["rsync/arguments.rs", "rsync/item.rs", "rsync/outcome.rs"].contains(&name)
            || ["push/runmirrors.rs", "push/trace.rs"].contains(&name)
            || ["judge", "page", "plugin", "run", "text", "words"]
                .iter()
                .any(|form| name == format!("status/{form}.rs"))
            || ["push/limit.rs", "push/request.rs", "push/secret.rs"].contains(&name)
    };
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|source| pure(&source.name) && hands.is_match(&source.code))
        .map(|source| source.name)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// An error that is dropped on purpose: the file, what stands in the line, and why nobody misses it.
const DROPPED: &[(&str, &str, &str)] = &[];

#[test]
fn nothing_is_left_unfinished_and_no_error_is_dropped_unseen() {
    let unwanted = Regex::new(r"\b(todo|dbg|unimplemented)!|\.ok\(\);|\blet _ =").expect("a pattern");
    // What is no number or no path is no error of the system; and what was told to the listener was not dropped.
    let harmless = Regex::new(r"from_utf8|\.parse\(\)|RelPath::new\(|dir\.join\(|map_err\(").expect("a pattern");
    let mut wrong = Vec::new();
    let mut met = BTreeSet::new();
    for source in sources() {
        for line in source.code.lines().filter(|line| unwanted.is_match(line) && !harmless.is_match(line)) {
            let known = DROPPED.iter().position(|(file, text, _)| *file == source.name && line.contains(text));
            met.extend(known);
            if known.is_none() {
                wrong.push(format!("{}: {}", source.name, line.trim()));
            }
        }
    }
    let idle = DROPPED.iter().enumerate().filter(|(index, _)| !met.contains(index));
    wrong.extend(
        idle.map(|(_, (file, text, _))| format!("{file}: {text} is not there any more: take it out of DROPPED")),
    );
    assert!(wrong.is_empty(), "in src:\n  {}", wrong.join("\n  "));
}
