//! How a mirror is, as a page for the public.
//!
//! It says nothing that only the admin needs to know: no path of this machine, no error in words, no name of what is held or lacking,
//! for that may be something that is not for the public yet. It loads nothing, runs nothing, and is well-formed as XML too.

use askama::Template;
use chrono::{DateTime, Utc};

use super::judge::Judgement;
use super::words::{age, rough, took};
use super::{Module, Overview, Run};
use crate::exit::{Health, Status};
use crate::plan::words::{bytes, count};

/// So many of the last runs are a bar each; fewer are a line each.
const BARS: usize = 56;
const LINES: usize = 10;

/// How far a bar is from the next, and how high the highest is, in pixels.
const STEP: usize = 12;
const HIGHEST: f64 = 72.0;

/// A run of this length, in seconds, or of more has the highest bar. Few take as long, so lengths are drawn by their logarithms.
const LONGEST: f64 = 86_400.0;

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    title: String,
    mood: &'static str,
    state: String,
    lead: String,
    modules: Vec<ModuleRow>,
    width: usize,
    caption: String,
    ticks: Vec<Tick>,
    bars: Vec<Bar>,
    meanings: Vec<(char, &'static str, &'static str)>,
    runs: Vec<RunRow>,
    made: String,
    version: &'static str,
}

/// What is said of a module. What is a time is HTML.
struct ModuleRow {
    name: String,
    notes: String,
    list: String,
    in_step: String,
    entries: String,
    size: String,
}

struct Tick {
    label: &'static str,
    y: usize,
}

struct Bar {
    x: usize,
    height: usize,
    letter: char,
    mood: &'static str,
    /// Also where it was short.
    stands_out: bool,
    title: String,
}

struct RunRow {
    began: String,
    took: String,
    received: String,
    result: &'static str,
    mood: &'static str,
}

/// The page of a mirror that the public knows by this title.
///
/// # Errors
/// Never, as far as its parts are texts and numbers.
pub fn page(overview: &Overview, judgement: &Judgement, title: &str) -> Result<String, askama::Error> {
    let shown = &overview.runs[overview.runs.len().saturating_sub(BARS)..];
    // The newest is always at the right edge.
    let bars = shown.iter().zip(BARS - shown.len()..).map(|(run, place)| bar(place, run)).collect();
    let mut meanings = Vec::new();
    for meaning in shown.iter().map(meaning) {
        if !meanings.contains(&meaning) {
            meanings.push(meaning);
        }
    }
    let (mood, state) = state(overview, judgement);
    Page {
        title: title.to_owned(),
        mood,
        state,
        lead: lead(overview),
        modules: overview.modules.iter().map(row).collect(),
        width: BARS * STEP + 40,
        caption: format!("The last {}, oldest first", count(shown.len() as u64, "run", "runs")),
        ticks: [("1 s", 1.0), ("1 min", 60.0), ("1 h", 3600.0), ("1 d", LONGEST)]
            .map(|(label, seconds)| Tick { label, y: 84 - height(seconds) })
            .into(),
        bars,
        meanings,
        runs: overview.runs.iter().rev().take(LINES).map(run_row).collect(),
        made: time(overview.time),
        version: env!("CARGO_PKG_VERSION"),
    }
    .render()
    // The template language takes the last line feed for the editor's.
    .map(|page| page + "\n")
}

/// How the mirror is, in a word that decides the colour and in some for people.
fn state(overview: &Overview, judgement: &Judgement) -> (&'static str, String) {
    let behind = overview.last().is_some_and(Run::is_failed);
    match (judgement.health, overview.in_step) {
        (_, None) => ("look", "Not in step yet".to_owned()),
        (Health::Critical | Health::Unknown, _) => ("bad", "Out of order".to_owned()),
        (Health::Warning, _) if behind => ("look", "The last run failed".to_owned()),
        // That deletions are held harms nobody who mirrors or downloads from here.
        _ => ("good", "In step with upstream".to_owned()),
    }
}

/// When it was in step, as HTML.
fn lead(overview: &Overview) -> String {
    let in_step = match overview.in_step {
        Some(then) => {
            let before = rough(age(overview.time, then));
            format!("All was last brought in step on {}, {before} before this page was made.", time(then))
        }
        None => "No run has brought all in step.".to_owned(),
    };
    if overview.at_work { format!("{in_step} A run is at work.") } else { in_step }
}

fn row(module: &Module) -> ModuleRow {
    let when = |then: Option<DateTime<Utc>>| then.map_or_else(|| "never".to_owned(), time);
    let missing = module.undelivered + module.held_back;
    let held = module.held.as_ref().map_or(0, |held| held.entries);
    let notes = [
        (missing, "not here as listed"),
        (held, "no longer listed, and held until a person has looked"),
        (module.staying, "no longer listed, and here for some time yet"),
    ];
    let notes = notes.iter().filter(|(entries, _)| *entries > 0);
    let notes: Vec<String> =
        notes.map(|(entries, what)| format!("{} {what}", count(*entries, "entry", "entries"))).collect();
    ModuleRow {
        name: module.module.clone(),
        notes: notes.join("; "),
        list: when(module.list),
        in_step: when(module.in_step),
        entries: module.carried.map_or_else(|| "–".to_owned(), |carried| grouped(carried.entries)),
        size: module.carried.map_or_else(|| "–".to_owned(), |carried| bytes(carried.bytes)),
    }
}

/// A number in groups of three digits, with thin spaces that do not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join("\u{202f}")
}

fn run_row(run: &Run) -> RunRow {
    let (_, mood, result) = meaning(run);
    RunRow { began: time(run.started), took: took(run.seconds), received: bytes(run.received_bytes), result, mood }
}

fn bar(place: usize, run: &Run) -> Bar {
    let (letter, mood, result) = meaning(run);
    let title = format!(
        "{}: {result}, took {}, {} received",
        in_words(run.started),
        took(run.seconds),
        bytes(run.received_bytes)
    );
    let stands_out = matches!(mood, "look" | "bad");
    Bar { x: place * STEP, height: height(run.seconds), letter, mood, stands_out, title }
}

fn height(seconds: f64) -> usize {
    let share = seconds.clamp(0.0, LONGEST).ln_1p() / LONGEST.ln_1p();
    (share * HIGHEST).round().max(2.0) as usize
}

/// How a run ended: a letter, the word that decides the colour, and words for people.
fn meaning(run: &Run) -> (char, &'static str, &'static str) {
    match run.end() {
        Some(Status::Done | Status::Notify) if !run.changed => ('·', "muted", "nothing new"),
        Some(Status::Done | Status::Notify) => ('+', "news", "brought something new"),
        Some(Status::Held) => ('h', "good", "in step, deletions held"),
        Some(Status::Partial) => ('p', "look", "something did not come"),
        Some(Status::Upstream) => ('u', "bad", "upstream did not answer"),
        Some(Status::List) => ('l', "bad", "upstream’s list was not usable"),
        Some(Status::Interrupted | Status::Terminated) => ('i', "muted", "interrupted"),
        _ => ('x', "bad", "trouble at this mirror"),
    }
}

fn in_words(time: DateTime<Utc>) -> String {
    time.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// A time as HTML.
fn time(time: DateTime<Utc>) -> String {
    format!("<time datetime=\"{}\">{}</time>", time.format("%Y-%m-%dT%H:%M:%SZ"), in_words(time))
}
