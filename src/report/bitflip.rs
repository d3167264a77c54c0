//! What `qfm bitflip` opened, or would: its summary and `--json`.

use serde::Serialize;
use serde_json::{Value, json};

use super::amount;
use crate::plan::Amount;
use crate::plan::explain::JSON_VERSION;
use crate::plan::words::count;

/// So many subtrees are named; JSON has them all.
const SHOWN: usize = 20;

/// What is restricted at and below a path, and what was done about it.
#[derive(Clone, Debug)]
pub struct Bitflip {
    /// The path below the mirror root; empty for all.
    pub path: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Where it is.
    pub subtrees: Vec<Subtree>,
    /// Listed entries that are not here.
    pub absent: u64,
    /// How many modes had to change.
    pub modes: u64,
    /// How many did.
    pub opened: u64,
}

/// What is restricted below one directory.
#[derive(Clone, Debug, Serialize)]
pub struct Subtree {
    /// The highest restricted directory, or the public one that holds restricted files; below the mirror root, escaped.
    pub path: String,
    /// Restricted files, whatever their mode here.
    pub files: Amount,
    /// Restricted directories.
    pub directories: u64,
    /// How many modes had to change.
    pub modes: u64,
}

impl Subtree {
    /// One of which nothing is known yet.
    pub fn at(path: String) -> Subtree {
        Subtree { path, files: Amount::default(), directories: 0, modes: 0 }
    }
}

impl Bitflip {
    /// Whether it is to be opened, and was not.
    pub fn would_open(&self) -> bool {
        self.dry_run && !self.subtrees.is_empty()
    }

    /// For human eyes.
    pub fn text(&self) -> String {
        if self.subtrees.is_empty() {
            let place = if self.path.is_empty() { "here".to_owned() } else { format!("at {}", self.path) };
            return format!("Nothing {place} is restricted by the applied lists.\n");
        }
        let done = if self.dry_run { "would open" } else { "opened" };
        let line = |subtree: &Subtree| {
            let directories = count(subtree.directories, "directory", "directories");
            let modes = count(subtree.modes, "mode", "modes");
            format!("{done} {}: {} of files, {directories}; {modes} to change\n", subtree.path, amount(&subtree.files))
        };
        let mut text: String = self.subtrees.iter().take(SHOWN).map(line).collect();
        if self.subtrees.len() > SHOWN {
            text.push_str(&format!("and {} more subtrees\n", self.subtrees.len() - SHOWN));
        }
        if self.dry_run {
            text.push_str("Nothing was changed. What is opened stays open: no command closes it again.\n");
        } else {
            text.push_str(&format!("{} changed.\n", count(self.opened, "mode was", "modes were")));
        }
        text
    }

    /// As a JSON object, without how it ended.
    pub fn json(&self) -> Value {
        json!({
            "version": JSON_VERSION,
            "kind": if self.dry_run { "bitflip-dry-run" } else { "bitflip" },
            "path": self.path,
            "changed": self.opened > 0,
            "subtrees": self.subtrees,
            "absent": self.absent,
            "modes": self.modes,
            "opened": self.opened,
        })
    }
}
