//! What `qfm verify` found, in words and as JSON.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use serde_json::{Value, json};

use crate::list::Kind;
use crate::path::{RelPath, escape};
use crate::plan::compare::{Fetch, FetchCause};
use crate::plan::explain::{JSON_VERSION, bytes, count, entry, fetches_by_cause};
use crate::plan::{Amount, Delete, ModulePlan, deletes_by_cause};

/// What was found of one module.
#[derive(Debug)]
pub struct Verified<'p> {
    plan: &'p ModulePlan<'p>,
    /// What is not as the list has it.
    wrong: Vec<&'p Fetch<'p>>,
    /// Whether the list in the tree is the one that was applied.
    has_list: bool,
}

impl<'p> Verified<'p> {
    /// By what would put it right.
    pub fn new(plan: &'p ModulePlan<'p>, has_list: bool) -> Verified<'p> {
        let extras = plan.deletes.iter().chain(&plan.staying).map(|delete| delete.dir.as_path());
        // What came or went in a directory touched it, and is told of by itself.
        let touched: HashSet<RelPath<'_>> = plan.fetch.iter().map(|fetch| fetch.path.parent()).chain(extras).collect();
        let is_told = |fetch: &&Fetch<'_>| match fetch.cause {
            FetchCause::Surrounding => false,
            FetchCause::Altered => fetch.kind != Kind::Dir || !touched.contains(&fetch.path),
            _ => true,
        };
        Verified { plan, wrong: plan.fetch.iter().filter(is_told).collect(), has_list }
    }

    /// How many entries are not as the list has them, the list in the tree among them.
    pub fn wrong(&self) -> u64 {
        self.wrong.len() as u64 + u64::from(!self.has_list)
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
        if self.wrong() + self.extra() == 0 {
            return writeln!(text, "; all is as the list has it");
        }
        writeln!(text)?;
        if !self.has_list {
            writeln!(text, "  wrong   the list in the tree is not the one that was applied")?;
        }
        for (cause, amount) in fetches_by_cause(self.wrong.iter().copied()) {
            let entries = count(amount.entries, "entry", "entries");
            writeln!(text, "  wrong   {:<12} {entries}, {}", cause.word(), bytes(amount.bytes))?;
        }
        for (cause, entries) in deletes_by_cause(self.extras()) {
            writeln!(text, "  extra   {cause:<12} {}", count(entries, "entry", "entries"))?;
        }
        if paths {
            for fetch in &self.wrong {
                writeln!(text, "  ! {:<12} {directory}/{}", fetch.cause.word(), fetch.path)?;
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
            "failed": self.plan.failed,
            "carried": self.plan.carried,
            "hashed": self.plan.hashed,
            "list": self.has_list,
            "wrong": wrong,
            "extra": deletes_by_cause(self.extras()),
        });
        if paths {
            let wrong = self.wrong.iter().map(|fetch| entry("wrong", fetch.cause.word(), fetch.path.bytes()));
            let extra = self.extras().map(|delete| entry("extra", delete.cause.word(), &delete.path()));
            object["paths"] = wrong.chain(extra).collect();
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
    let wrong: Vec<&Verified<'_>> = verified.iter().filter(|module| module.wrong() > 0).collect();
    if !wrong.is_empty() {
        let flag = if checksums { " --checksums" } else { "" };
        let names: Vec<&str> = wrong.iter().map(|module| module.plan.module.as_str()).collect();
        text.push_str(&format!("To put it right: qfm verify --repair{flag} {}\n", names.join(" ")));
    }
    text
}

/// What was found, as one JSON object; with `paths`, each path with its cause.
pub fn json(verified: &[Verified<'_>], paths: bool) -> Value {
    let is_right = |module: &Verified<'_>| !module.plan.failed && module.wrong() + module.extra() == 0;
    let modules: Vec<Value> = verified.iter().map(|module| module.json(paths)).collect();
    json!({
        "version": JSON_VERSION,
        "kind": "verify",
        "right": verified.iter().all(is_right),
        "modules": modules,
    })
}
