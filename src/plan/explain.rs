//! What a plan says, in words and as JSON: the dry run's answer.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::compare::{Fetch, FetchCause};
use super::words::{bytes, count};
use super::{Amount, Depth, ModulePlan, Plan, deletes_by_cause};
use crate::list::Kind;
use crate::path::escape;

/// The version of the JSON object. It changes when a field changes its meaning or goes; new fields may come at any time.
pub const JSON_VERSION: u32 = 1;

/// How much is fetched for each cause.
pub fn fetches_by_cause<'f, 't: 'f>(fetches: impl IntoIterator<Item = &'f Fetch<'t>>) -> BTreeMap<FetchCause, Amount> {
    let mut by_cause: BTreeMap<FetchCause, Amount> = BTreeMap::new();
    for fetch in fetches {
        let bytes = if fetch.kind == Kind::File { fetch.size } else { 0 };
        by_cause.entry(fetch.cause).or_default().add(bytes);
    }
    by_cause
}

/// The plan in words; with `paths`, each path with its cause.
pub fn text(plan: &Plan<'_>, paths: bool) -> String {
    let mut text = String::new();
    for (index, module) in plan.modules.iter().enumerate().filter(|(_, module)| !module.left_alone) {
        module_text(&mut text, plan, index, module, paths).expect("writing to a string cannot fail");
    }
    let expected = plan.expected();
    if plan.is_empty() {
        let failed = plan.modules.iter().any(|module| module.failed);
        let keeps = plan.modules.iter().any(|module| !module.kept.is_empty());
        let holds_back = plan.modules.iter().any(|module| !module.held_back.is_empty());
        text.push_str(match (failed, holds_back, keeps) {
            (true, ..) => "Nothing to do in what was compared.\n",
            (false, true, _) => "Nothing to do but what is held.\n",
            (false, false, true) => "Nothing to do; what should go is kept (delete.mode).\n",
            (false, false, false) => "Nothing to do.\n",
        });
    } else {
        text.push_str(&format!(
            "In all: about {} to receive, in {}; {} to link to what is here.\n",
            bytes(expected.bytes),
            count(expected.entries, "file", "files"),
            count(linked(plan), "name", "names"),
        ));
    }
    text
}

/// How many missing names may be linked to what is here.
pub fn linked(plan: &Plan<'_>) -> u64 {
    let mut missing: Vec<_> = plan.links.iter().map(|link| link.missing).collect();
    missing.dedup();
    missing.len() as u64
}

fn module_text(
    text: &mut String,
    plan: &Plan<'_>,
    index: usize,
    module: &ModulePlan<'_>,
    paths: bool,
) -> std::fmt::Result {
    let looked = match module.depth {
        _ if module.failed => "not compared; the error says why",
        Depth::None => "the list did not change",
        Depth::Quick => "what changed was compared",
        Depth::Full => "everything was compared",
    };
    writeln!(text, "{} ({}/): {looked}", module.module, module.directory)?;
    for (cause, amount) in fetches_by_cause(&module.fetch) {
        let entries = count(amount.entries, "entry", "entries");
        writeln!(text, "  fetch   {:<12} {entries}, {}", cause.word(), bytes(amount.bytes))?;
    }
    if module.undelivered > 0 {
        let entries = count(module.undelivered as u64, "entry", "entries");
        writeln!(text, "    {entries} of these upstream did not deliver to the last run")?;
    }
    if module.unread.entries > 0 {
        let files = count(module.unread.entries, "file", "files");
        writeln!(text, "  not read altered     {files}, {}", bytes(module.unread.bytes))?;
    }
    for (cause, entries) in deletes_by_cause(&module.deletes) {
        writeln!(text, "  delete  {cause:<12} {}", count(entries, "entry", "entries"))?;
    }
    if !module.staying.is_empty() {
        writeln!(text, "  stay for now         {}", count(module.staying_entries(), "entry", "entries"))?;
    }
    for (cause, entries) in &module.kept {
        writeln!(text, "  keep    {cause:<12} {}", count(*entries, "entry", "entries"))?;
    }
    let held = module.held_in_the_way();
    for directory in &module.in_the_way {
        let what = if held.contains(directory) { "held in the way of a file or link:" } else { "replace" };
        let entries = count(directory.entries, "entry", "entries");
        writeln!(text, "  {what} a directory of {entries}: {}/{}", module.directory, directory.path)?;
    }
    if !module.held_back.is_empty() {
        writeln!(text, "  hold back            {}", count(module.held_back.len() as u64, "entry", "entries"))?;
    }
    if module.new_list {
        writeln!(text, "  install the new list")?;
    }
    for line in &module.bad_rows {
        writeln!(text, "  row set aside: line {}: {}: {}", line.number, line.why, line.text)?;
    }
    for hold in &module.holds {
        writeln!(text, "  deletions are held: {hold}")?;
    }
    if !module.holds.is_empty() {
        for (subtree, entries) in module.biggest_subtrees() {
            writeln!(text, "    {subtree}: {}", count(entries, "entry", "entries"))?;
        }
    }
    if let Some(flag) = module.let_pass() {
        writeln!(text, "    to let them pass once: qfm {flag}")?;
    }
    if paths {
        for fetch in &module.fetch {
            writeln!(text, "  + {:<12} {}/{}", fetch.cause.word(), module.directory, fetch.path)?;
        }
        for fetch in &module.held_back {
            writeln!(text, "  ~ {:<12} {}/{}", fetch.cause.word(), module.directory, fetch.path)?;
        }
        for link in plan.links.iter().filter(|link| link.missing.0 == index) {
            let (of, local) = link.local;
            let directory = &plan.modules[of].directory;
            writeln!(text, "  = {:<12} {}/{} = {directory}/{local}", "link", module.directory, link.missing.1)?;
        }
        for delete in &module.deletes {
            writeln!(text, "  - {:<12} {}/{}", delete.cause.word(), module.directory, escape(&delete.path()))?;
        }
    }
    Ok(())
}

/// The plan as one JSON object; with `paths`, each path with its cause.
pub fn json(plan: &Plan<'_>, paths: bool) -> Value {
    let modules = (0..plan.modules.len()).filter(|&index| !plan.modules[index].left_alone);
    let modules: Vec<Value> = modules.map(|index| module_json(plan, index, paths)).collect();
    json!({
        "version": JSON_VERSION,
        "kind": "plan",
        "empty": plan.is_empty(),
        "expected": plan.expected(),
        "linked": linked(plan),
        "modules": modules,
    })
}

fn module_json(plan: &Plan<'_>, index: usize, paths: bool) -> Value {
    let module = &plan.modules[index];
    let fetch: BTreeMap<&str, Amount> =
        fetches_by_cause(&module.fetch).into_iter().map(|(cause, amount)| (cause.word(), amount)).collect();
    let delete = deletes_by_cause(&module.deletes);
    let held: Vec<String> = module.holds.iter().map(ToString::to_string).collect();
    let bad_rows: Vec<Value> =
        module.bad_rows.iter().map(|line| json!({ "line": line.number, "text": line.text, "why": line.why })).collect();
    let mut object = json!({
        "module": module.module,
        "directory": module.directory,
        "failed": module.failed,
        "depth": module.depth.word(),
        "new_list": module.new_list,
        "carried": module.carried,
        "fetch": fetch,
        "undelivered": module.undelivered,
        "delete": delete,
        "kept": module.kept,
        "staying": module.staying_entries(),
        "unread": module.unread,
        "replace": module.in_the_way.iter().map(|directory| directory.entries).sum::<u64>(),
        "held": held,
        "held_back": module.held_back.len(),
        "let_pass": module.let_pass(),
        "bad_rows": bad_rows,
    });
    if paths {
        let fetches = module.fetch.iter().map(|fetch| entry("fetch", fetch.cause.word(), fetch.path.bytes()));
        let deletes = module.deletes.iter().map(|delete| entry("delete", delete.cause.word(), &delete.path()));
        let held_back = module.held_back.iter();
        let held_back = held_back.map(|fetch| entry("hold-back", fetch.cause.word(), fetch.path.bytes()));
        object["paths"] = fetches.chain(held_back).chain(deletes).collect();
    }
    object
}

/// One path of a plan.
pub fn entry(action: &str, cause: &str, path: &[u8]) -> Value {
    #[derive(Serialize)]
    struct Entry<'e> {
        action: &'e str,
        cause: &'e str,
        #[serde(flatten)]
        path: Value,
    }
    json!(Entry { action, cause, path: path_json(path) })
}

/// A path in JSON: `path` for people and, where it is not UTF-8, `path_base64` for programs.
pub fn path_json(path: &[u8]) -> Value {
    use base64::Engine;
    match std::str::from_utf8(path) {
        Ok(path) => json!({ "path": path }),
        Err(_) => json!({ "path": escape(path), "path_base64": base64::prelude::BASE64_STANDARD.encode(path) }),
    }
}
