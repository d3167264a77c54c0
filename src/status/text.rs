//! How a mirror is, on one screen.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};

use super::judge::Judgement;
use super::words::{age, ago, rough, took};
use super::{Check, Job, Module, Overview, Run};
use crate::exit::{Health, Status};
use crate::path::escape;
use crate::plan::words::{bytes, count};

/// So many of the last runs are a letter each; fewer are a line each.
const LETTERS: usize = 60;
const LINES: usize = 5;

/// So much of what went wrong is shown of a run.
const ERROR_SHOWN: usize = 100;

/// The whole text, with colours: who writes it where there are none takes them out.
pub fn text(overview: &Overview, judgement: &Judgement) -> String {
    let mut text = headline(overview, judgement);
    // What is about a module is told with it.
    for finding in judgement.findings.iter().filter(|finding| !finding.of_module) {
        line(&mut text, &format!("{} {}", paint(colour(finding.health), "!"), finding.what));
    }
    if !overview.modules.is_empty() {
        line(&mut text, &format!("\n{}", modules(overview)));
    }
    let mut told = String::new();
    for module in &overview.modules {
        open(&mut told, module, overview);
    }
    if let Some(when) = overview.checked_in {
        line(&mut told, &format!("  MirrorManager was told {}", ago(overview.time, when)));
    }
    for job in &overview.jobs {
        line(&mut told, &job_line(job, overview));
    }
    if !told.is_empty() {
        line(&mut text, &format!("\n{told}"));
    }
    if !overview.runs.is_empty() {
        line(&mut text, &format!("\n{}", letters(&overview.runs)));
        line(&mut text, &runs(overview));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn colour(health: Health) -> Style {
    let colour = match health {
        Health::Ok => AnsiColor::Green,
        Health::Warning => AnsiColor::Yellow,
        Health::Critical | Health::Unknown => AnsiColor::Red,
    };
    colour.on_default().bold()
}

fn headline(overview: &Overview, judgement: &Judgement) -> String {
    let in_step = match overview.in_step {
        Some(then) => format!("in step {}", ago(overview.time, then)),
        None => "never in step".to_owned(),
    };
    let mut headline = format!("{}  {}", overview.root, paint(colour(judgement.health), &in_step));
    if overview.at_work {
        headline.push_str("; qfm is at work here now");
    }
    if overview.unfinished {
        headline.push_str("; the last run was cut off or failed, and the next compares in full what it was changing");
    }
    headline.push('\n');
    headline
}

fn modules(overview: &Overview) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["module", "list of", "in step", "entries", "size", "check of all"]);
    let when = |then: Option<_>| then.map_or_else(|| "never".to_owned(), |then| ago(overview.time, then));
    for module in &overview.modules {
        let amount = module.carried;
        table.add_row([
            module.module.clone(),
            when(module.list),
            when(module.in_step),
            amount.map_or_else(|| "-".to_owned(), |amount| amount.entries.to_string()),
            amount.map_or_else(|| "-".to_owned(), |amount| bytes(amount.bytes)),
            module.check.as_ref().map_or_else(|| "-".to_owned(), |check| check_of_all(check, overview)),
        ]);
    }
    table.column_iter_mut().skip(1).take(4).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.trim_fmt()
}

/// How far the rolling check is.
fn check_of_all(check: &Check, overview: &Overview) -> String {
    let complete = ago(overview.time, check.complete);
    let due = check.due.map(|due| match (due - overview.time).to_std() {
        Ok(left) => format!(", next in {}", rough(left)),
        Err(_) => ", next is due".to_owned(),
    });
    let share = (check.of > 0).then(|| format!(" ({} % done)", check.compared * 100 / check.of));
    format!("{complete}{}{}", due.unwrap_or_default(), share.unwrap_or_default())
}

/// What is open in a module: a line for each thing.
fn open(text: &mut String, module: &Module, overview: &Overview) {
    let name = &module.module;
    if let Some(held) = &module.held {
        let why = if held.why.is_empty() { "in doubt, or not done".to_owned() } else { held.why.join("; ") };
        let since = rough(age(overview.time, held.since));
        let (mark, entries) = (paint(colour(Health::Warning), "!"), count(held.entries, "entry", "entries"));
        line(text, &format!("{mark} {name}: deletions are held, the oldest since {since} ({entries}): {why}"));
        if let Some(flag) = &held.let_pass {
            line(text, &format!("  if that is meant, run once: qfm {flag}"));
        }
    }
    let mut tell = |what: String| line(text, &format!("  {name}: {what}"));
    let kept: u64 = module.kept.values().sum();
    for (entries, what) in [
        (kept, "should go, and stay because of delete.mode"),
        (module.staying, "should go, and stay until delete.after has passed"),
        (module.undelivered, "did not come from upstream; each run tries again"),
        (module.held_back, "do not come because a directory is held in the way"),
    ] {
        if entries > 0 {
            tell(format!("{} {what}", count(entries, "entry", "entries")));
        }
    }
    if !module.lacking.is_empty() {
        let more = (module.undelivered + module.held_back).saturating_sub(module.lacking.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        tell(format!("lacking: {}{more}", module.lacking.join(", ")));
    }
    if module.bad_rows > 0 {
        tell(format!(
            "{} cannot be read, and hold its deletions",
            count(module.bad_rows, "row of its list", "rows of its list")
        ));
    }
    if module.in_doubt {
        tell(format!("others touched files here that nobody compared: qfm verify --repair {name}"));
    }
}

fn job_line(job: &Job, overview: &Overview) -> String {
    let mut parts = Vec::new();
    if job.at_work {
        parts.push("at work".to_owned());
    }
    if job.waiting {
        parts.push(if job.at_work { "asked for" } else { "asked for, and nobody is at it" }.to_owned());
    }
    if let Some(last) = &job.last {
        let began = chrono::DateTime::from_timestamp(last.started, 0).unwrap_or_default();
        let took = rough(std::time::Duration::from_secs(last.seconds));
        let end = match (&last.error, last.code) {
            (Some(error), _) => escape(error.as_bytes()),
            (None, Some(code)) => format!("ended with {code}"),
            (None, None) => "did not end by itself".to_owned(),
        };
        let (stage, trigger, began) = (last.stage.word(), last.trigger.word(), ago(overview.time, began));
        parts.push(format!("last run ({stage}, by {trigger}) {began}, took {took}, {end}"));
    }
    format!("  job {}: {}", job.job, parts.join("; "))
}

/// What one letter says of a run, and what that means.
fn letter(run: &Run) -> (char, &'static str, Style) {
    match run.end() {
        Some(Status::Done) if !run.changed => ('.', "nothing new", Style::new()),
        Some(Status::Done | Status::Notify) => ('+', "changed", colour(Health::Ok)),
        Some(Status::Held) => ('h', "held", colour(Health::Warning)),
        Some(Status::Partial) => ('p', "partial", colour(Health::Warning)),
        Some(Status::Interrupted | Status::Terminated) => ('i', "interrupted", Style::new()),
        _ => ('x', "failed", colour(Health::Critical)),
    }
}

/// The last runs, a letter each, and what the letters mean.
fn letters(runs: &[Run]) -> String {
    let shown = &runs[runs.len().saturating_sub(LETTERS)..];
    let mut meanings: Vec<(char, &str)> = Vec::new();
    let mut letters = String::new();
    for (letter, meaning, style) in shown.iter().map(letter) {
        if !meanings.contains(&(letter, meaning)) {
            meanings.push((letter, meaning));
        }
        // A string takes it all.
        let _written = write!(letters, "{}", paint(style, &letter.to_string()));
    }
    let meanings: Vec<String> = meanings.iter().map(|(letter, meaning)| format!("{letter} {meaning}")).collect();
    format!("last runs  {letters}\n           {}", meanings.join(", "))
}

fn runs(overview: &Overview) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["began", "took", "result", "received", "what"]);
    for run in overview.runs.iter().rev().take(LINES) {
        let result = run.end().map_or_else(|| run.code.to_string(), |end| format!("{} ({})", end.word(), run.code));
        table.add_row([
            ago(overview.time, run.started),
            took(run.seconds),
            result,
            bytes(run.received_bytes),
            what(run),
        ]);
    }
    for column in [0, 1, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// What a run did, or else the first that went wrong.
fn what(run: &Run) -> String {
    if let Some(error) = run.errors.first() {
        let error = escape(error.as_bytes());
        let short: String = error.chars().take(ERROR_SHOWN).collect();
        let more = match run.errors.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        return if short == error { format!("{short}{more}") } else { format!("{short} …{more}") };
    }
    let did = run.did();
    if did.is_empty() { "nothing new".to_owned() } else { did }
}

#[cfg(test)]
mod tests {
    use super::super::judge::{Limits, judge};
    use super::super::tests::{before, held, overview, run};
    use super::*;
    use crate::plan::Amount;
    use crate::state::jobs::{JobResult, Origin, Stage};
    use crate::status::OfModule;

    fn plain(overview: &Overview) -> String {
        anstream::adapter::strip_str(&text(overview, &judge(overview, &Limits::default()))).to_string()
    }

    #[test]
    fn one_screen_says_how_a_mirror_is() {
        let mut mirror = overview();
        mirror.modules[0].held = Some(held(233));
        mirror.modules[0].check =
            Some(Check { complete: before(90_000), due: Some(before(-514_800)), compared: 43, of: 100 });
        mirror.modules[1].undelivered = 5;
        mirror.modules[1].lacking = vec!["a/b".to_owned()];
        mirror.checked_in = Some(before(800));
        let last = JobResult {
            stage: Stage::All,
            trigger: Origin::Ssh,
            started: before(400).timestamp(),
            seconds: 90,
            code: Some(0),
            error: None,
        };
        mirror.jobs = vec![Job { job: "archive".to_owned(), at_work: false, waiting: true, last: Some(last) }];
        let fetched = OfModule { fetched: Amount { entries: 41, bytes: 1 << 20 }, deleted: 1, ..OfModule::default() };
        let errors = vec!["cannot reach rsync://x".to_owned(), "more".to_owned()];
        mirror.runs = vec![
            Run { errors, ..run(Status::Upstream, 40) },
            Run { changed: true, modules: vec![fetched], ..run(Status::Done, 30) },
            run(Status::Done, 12),
            run(Status::Held, 2),
        ];
        let expected = "\
/srv/mirror/pub  in step 12m ago

 module            list of  in step  entries      size  check of all
 fedora-enchilada   3h ago  12m ago   512345  1.00 TiB  1d 1h ago, next in 5d 23h (43 % done)
 fedora-epel         never  12m ago        -         -  -

! fedora-enchilada: deletions are held, the oldest since 2h (233 entries): too many at once of 514 entries
  if that is meant, run once: qfm --allow-delete fedora-enchilada
  fedora-epel: 5 entries did not come from upstream; each run tries again
  fedora-epel: lacking: a/b and 4 more
  MirrorManager was told 13m ago
  job archive: asked for, and nobody is at it; last run (all, by ssh) 6m ago, took 1m, ended with 0

last runs  x+.h
           x failed, + changed, . nothing new, h held
   began  took  result        received  what
  2m ago   12s  held (7)      1.21 KiB  nothing new
 12m ago   12s  done (0)      1.21 KiB  nothing new
 30m ago   12s  done (0)      1.21 KiB  41 fetched (1.00 MiB), 1 deleted
 40m ago   12s  upstream (5)  1.21 KiB  cannot reach rsync://x (and 1 more)
";
        assert_eq!(plain(&mirror), expected, "\n{}", plain(&mirror));
    }

    #[test]
    fn before_the_first_run_it_says_so() {
        let mut mirror = overview();
        mirror.runs.clear();
        (mirror.first_run, mirror.in_step) = (None, None);
        let said = plain(&mirror);
        assert!(said.starts_with("/srv/mirror/pub  never in step\n! no run yet\n"), "{said}");
    }
}
