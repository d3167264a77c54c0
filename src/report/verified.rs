//! What `qfm verify` found, in words and as JSON.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use serde_json::{Value, json};

use crate::list::Kind;
use crate::path::{RelPath, RelPathBuf, escape};
use crate::plan::compare::{Fetch, FetchCause};
use crate::plan::explain::{JSON_VERSION, entry, fetches_by_cause};
use crate::plan::words::{bytes, count};
use crate::plan::{Amount, Delete, ModulePlan, deletes_by_cause};

/// What was found of one module.
#[derive(Debug)]
pub struct Verified<'p> {
    /// What would put it right.
    pub plan: &'p ModulePlan<'p>,
    /// What is not as the list has it.
    pub wrong: Vec<&'p Fetch<'p>>,
    /// Whether the list in the tree is the one that was applied.
    pub has_list: bool,
    /// Not all of it could be read, which was told.
    pub blocked: bool,
    /// Indexes that are neither here nor in the list, and that a `repomd.xml` here names.
    pub unlisted: Vec<RelPathBuf>,
    /// Links of the list that are not here because they lead out of the tree.
    pub left_out: usize,
}

/// What of a plan is not as the list has it.
pub fn wrong<'p>(plan: &'p ModulePlan<'p>) -> Vec<&'p Fetch<'p>> {
    let extras = plan.deletes.iter().chain(&plan.staying).map(|delete| delete.dir.as_path());
    // What came or went in a directory touched it, and is told of by itself.
    let differs = || plan.fetch.iter().chain(&plan.held_back);
    let touched: HashSet<RelPath<'_>> = differs().map(|fetch| fetch.path.parent()).chain(extras).collect();
    let is_wrong = |fetch: &&Fetch<'_>| match fetch.cause {
        FetchCause::Surrounding => false,
        FetchCause::Altered => fetch.kind != Kind::Dir || !touched.contains(&fetch.path),
        _ => true,
    };
    differs().filter(is_wrong).collect()
}

impl Verified<'_> {
    /// Whether all of it is as the list has it, and nothing else is here.
    fn is_right(&self) -> bool {
        !self.plan.failed && !self.blocked && self.wrong() + self.extra() == 0
    }

    /// How many entries are not as the list has them, the list in the tree among them, or as a `repomd.xml` has them.
    pub fn wrong(&self) -> u64 {
        (self.wrong.len() + self.unlisted.len()) as u64 + u64::from(!self.has_list)
    }

    /// Whether upstream may deliver some of it: it has what it lists. What directories are in the way of does not come with a repair.
    fn is_repairable(&self) -> bool {
        let is_held_back = |path| self.plan.held_back.binary_search_by_key(&path, |fetch| fetch.path).is_ok();
        !self.has_list || self.wrong.iter().any(|fetch| !is_held_back(fetch.path))
    }

    fn extras(&self) -> impl Iterator<Item = &Delete> {
        self.plan.deletes.iter().chain(&self.plan.staying)
    }

    /// How many entries are here that the list does not have, or that are not carried.
    pub fn extra(&self) -> u64 {
        deletes_by_cause(self.extras()).values().sum()
    }

    fn write(&self, text: &mut String, paths: bool) -> std::fmt::Result {
        let ModulePlan { module, directory, carried, hashed, .. } = self.plan;
        if self.plan.failed {
            return writeln!(text, "{module} ({directory}/): not compared; the error says why");
        }
        let entries = count(*carried, "entry", "entries");
        let files = count(*hashed as u64, "file", "files");
        write!(text, "{module} ({directory}/): {entries} compared, {files} by checksum")?;
        if self.left_out > 0 {
            let links = count(self.left_out as u64, "link", "links");
            write!(text, ", {links} left out (rsync.safe_links)")?;
        }
        if self.is_right() {
            return writeln!(text, "; all is as the list has it");
        }
        writeln!(text, "{}", if self.blocked { "; not all could be read, and the error says why" } else { "" })?;
        if !self.has_list {
            writeln!(text, "  wrong   the list in the tree is not the one that was applied")?;
        }
        for (cause, amount) in fetches_by_cause(self.wrong.iter().copied()) {
            let entries = count(amount.entries, "entry", "entries");
            writeln!(text, "  wrong   {:<12} {entries}, {}", cause.word(), bytes(amount.bytes))?;
        }
        if !self.unlisted.is_empty() {
            let indexes = count(self.unlisted.len() as u64, "index", "indexes");
            writeln!(text, "  wrong   unlisted     {indexes} that a repomd.xml names; upstream must list or mend it")?;
        }
        for (cause, entries) in deletes_by_cause(self.extras()) {
            writeln!(text, "  extra   {cause:<12} {}", count(entries, "entry", "entries"))?;
        }
        if paths {
            for fetch in &self.wrong {
                writeln!(text, "  ! {:<12} {directory}/{}", fetch.cause.word(), fetch.path)?;
            }
            for path in &self.unlisted {
                writeln!(text, "  ! {:<12} {directory}/{}", "unlisted", path.as_path())?;
            }
            for delete in self.extras() {
                writeln!(text, "  + {:<12} {directory}/{}", delete.cause.word(), escape(&delete.path()))?;
            }
        }
        Ok(())
    }

    fn json(&self, paths: bool) -> Value {
        let wrong: BTreeMap<&str, Amount> = fetches_by_cause(self.wrong.iter().copied())
            .into_iter()
            .map(|(cause, amount)| (cause.word(), amount))
            .collect();
        let mut object = json!({
            "module": self.plan.module,
            "directory": self.plan.directory,
            "failed": self.plan.failed || self.blocked,
            "carried": self.plan.carried,
            "hashed": self.plan.hashed,
            "list": self.has_list,
            "left_out": self.left_out,
            "unlisted": self.unlisted.len(),
            "wrong": wrong,
            "extra": deletes_by_cause(self.extras()),
        });
        if paths {
            let wrong = self.wrong.iter().map(|fetch| entry("wrong", fetch.cause.word(), fetch.path.bytes()));
            let extra = self.extras().map(|delete| entry("extra", delete.cause.word(), &delete.path()));
            let unlisted = self.unlisted.iter().map(|path| entry("wrong", "unlisted", path.as_path().bytes()));
            object["paths"] = wrong.chain(unlisted).chain(extra).collect();
        }
        object
    }
}

/// What was found, and how to put it right; with `paths`, each path with its cause. `checksums` is whether they were asked for.
pub fn text(verified: &[Verified<'_>], checksums: bool, paths: bool) -> String {
    let mut text = String::new();
    for module in verified {
        module.write(&mut text, paths).expect("writing to a string cannot fail");
    }
    let wrong: Vec<&Verified<'_>> = verified.iter().filter(|module| module.is_repairable()).collect();
    if !wrong.is_empty() {
        let flag = if checksums { " --checksums" } else { "" };
        let names: Vec<&str> = wrong.iter().map(|module| module.plan.module.as_str()).collect();
        text.push_str(&format!("To put it right: qfm verify --repair{flag} {}\n", names.join(" ")));
    }
    let held_back = verified.iter().filter(|module| !module.plan.held_back.is_empty());
    for flag in held_back.filter_map(|module| module.plan.let_pass()) {
        text.push_str(&format!("To have what is in the way deleted: qfm {flag}\n"));
    }
    text
}

/// What was found, as one JSON object; with `paths`, each path with its cause.
pub fn json(verified: &[Verified<'_>], paths: bool) -> Value {
    let modules: Vec<Value> = verified.iter().map(|module| module.json(paths)).collect();
    json!({
        "version": JSON_VERSION,
        "kind": "verify",
        "right": verified.iter().all(Verified::is_right),
        "modules": modules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_not_called_right() {
        let plan = ModulePlan::nothing("fedora-epel", "epel");
        let verified = |blocked| {
            [Verified { plan: &plan, wrong: Vec::new(), has_list: true, blocked, unlisted: Vec::new(), left_out: 0 }]
        };
        let right = "fedora-epel (epel/): 0 entries compared, 0 files by checksum; all is as the list has it\n";
        assert_eq!(text(&verified(false), false, false), right);
        assert_eq!(json(&verified(false), false)["right"], true);
        assert!(text(&verified(true), false, false).contains("not all could be read"));
        assert_eq!(json(&verified(true), false)["right"], false);
        let failed = ModulePlan { failed: true, ..ModulePlan::nothing("fedora-epel", "epel") };
        let failed = [Verified {
            plan: &failed,
            wrong: Vec::new(),
            has_list: true,
            blocked: false,
            unlisted: Vec::new(),
            left_out: 0,
        }];
        assert_eq!(json(&failed, false)["right"], false);
    }
}
