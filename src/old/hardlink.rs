//! `quick-fedora-hardlink`: makes one file of equal ones, below the directory that holds all modules.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use clap::{ArgAction, Parser, ValueHint};

use crate::config::{Config, Loaded, Module, Value};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::path::escape;
use crate::plan::relink::Match;
use crate::relink::{self, Options};
use crate::report::relinked::Recorder;
use crate::report::{Event, Listener, Listeners};

/// What its complaints begin with.
const COMPLAINT: &str = "ERROR: ";

/// After so many groups at most there is a line on how far it is.
const OFTEN: u64 = 25;

/// Make one file of equal ones, as hard links; candidates are found in the file lists
#[derive(Clone, Debug, Default, Parser, PartialEq, Eq)]
#[command(name = "quick-fedora-hardlink", version, args_override_self = true, infer_long_args = true)]
struct Arguments {
    /// Read this configuration file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Change nothing, and say what would be linked
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Also look at files whose times in the lists differ
    #[arg(long)]
    no_ctime: bool,
    /// Say only what came of it in the end, and which files are missing
    #[arg(short, long)]
    quiet: bool,
    /// Say only what went wrong
    #[arg(short, long)]
    silent: bool,
    /// Say each link
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Also look at files that are not for the public
    #[arg(short, long)]
    tier1: bool,
    /// Say which files are compared
    #[arg(long)]
    debug: bool,
}

/// Runs it. `arguments` begin with the program's name.
pub fn run(arguments: &[OsString], interrupt: &Interrupt) -> Status {
    let arguments: Arguments = match super::parse(arguments, COMPLAINT, Status::Bug) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    // Without TIMEFILE no run leaves a state that it would have to keep true.
    let passing = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => return failed(&format!("cannot make a temporary directory: {error}")),
    };
    let loaded = super::load(arguments.config.clone(), COMPLAINT, Some(passing.path()));
    let Some(loaded) = loaded else { return Status::Bug };
    let file = loaded.file.clone().unwrap_or_default();
    let config = match arguments.whole(loaded) {
        Ok(config) => config,
        Err(error) => return failed(&error.to_string()),
    };
    let recorder = Recorder::new(arguments.dry_run);
    let teller = Teller::new(&arguments, &file, &config.root);
    let by = if arguments.no_ctime { Match::Name } else { Match::Time };
    let options = Options { modules: Vec::new(), dry_run: arguments.dry_run, by };
    relink::relink(&config, &options, interrupt, &Listeners(vec![&recorder, &teller]), &recorder);
    // It knows two ends.
    if recorder.finish().1 == Status::Done { Status::Done } else { Status::Bug }
}

fn failed(why: &str) -> Status {
    super::complain(COMPLAINT, why);
    Status::Bug
}

impl Arguments {
    /// The configuration with all modules that have a list below its root, and with restricted entries only if they are asked for.
    fn whole(&self, Loaded { config, settings, .. }: Loaded) -> io::Result<Config> {
        let list = match settings.entry("list").map(|entry| &entry.value) {
            Some(Value::Text(list)) => list.clone(),
            _ => String::new(),
        };
        let exclude = match settings.entry("filter.exclude").map(|entry| &entry.value) {
            Some(Value::List(terms)) => terms.clone(),
            _ => Vec::new(),
        };
        let cannot_read =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot read {}: {error}", config.root.display()));
        let mut directories = Vec::new();
        for entry in fs::read_dir(&config.root).map_err(cannot_read)? {
            // A name that is no text cannot be in a configuration.
            directories.extend(entry.map_err(cannot_read)?.file_name().into_string());
        }
        directories.sort_unstable();
        // One that is configured comes before others that lead to the same directory.
        directories.sort_by_key(|directory| !config.modules.iter().any(|module| module.directory == *directory));
        let mut modules: Vec<Module> = Vec::new();
        let mut known = Vec::new();
        for directory in directories {
            let path = config.root.join(&directory);
            let configured = config.modules.iter().find(|module| module.directory == directory);
            let module = configured.cloned().unwrap_or_else(|| Module {
                name: directory.clone(),
                upstream: None,
                list: list.replace("$mdir", &directory),
                extra_files: Vec::new(),
                exclude: exclude.clone(),
                only: Vec::new(),
                keep_releases: None,
                category: None,
                directory,
            });
            let Ok(stat) = fs::metadata(&path) else { continue };
            let file = (stat.dev(), stat.ino());
            if stat.is_dir() && path.join(&module.list).is_file() && !known.contains(&file) {
                known.push(file);
                modules.push(module);
            }
        }
        Ok(Config { modules, restricted: self.tier1, ..config })
    }
}

/// Says what its users know.
struct Teller<'a> {
    arguments: &'a Arguments,
    config: &'a Path,
    began: Instant,
    state: Mutex<Told>,
}

/// What the lines on how far it is are made of.
struct Told {
    groups: u64,
    done: u64,
    linked_before: u64,
    linked: u64,
    gained: u64,
    /// When the first group was looked at.
    found: Instant,
}

impl<'a> Teller<'a> {
    fn new(arguments: &'a Arguments, config: &'a Path, root: &Path) -> Teller<'a> {
        let began = Instant::now();
        let told = Told { groups: 0, done: 0, linked_before: 0, linked: 0, gained: 0, found: began };
        let teller = Teller { arguments, config, began, state: Mutex::new(told) };
        teller.say(&format!("Processing file lists in {}:", root.display()));
        teller
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What is not said with `-q`.
    fn say(&self, line: &str) {
        if !self.arguments.quiet {
            self.sum_up(line);
        }
    }

    fn sum_up(&self, line: &str) {
        if !self.arguments.silent {
            // Nobody hears that nobody listens.
            drop(writeln!(io::stdout(), "{line}"));
        }
    }
}

impl Listener for Teller<'_> {
    fn hear(&self, event: &Event<'_>) {
        let shown = |path: &Path| escape(path.as_os_str().as_encoded_bytes());
        match event {
            Event::Candidates { groups } => {
                let mut told = self.lock();
                (told.groups, told.found) = (*groups, Instant::now());
                let minutes = minutes(self.began.elapsed());
                self.say(&format!("Found {groups} tuples of potentially hardlinkable files in {minutes} minutes."));
                if self.arguments.debug {
                    self.say("Found tuples:");
                }
            }
            Event::Lookalikes { a, b } if self.arguments.debug => {
                self.say(&format!("Compare {}, {}", shown(a), shown(b)));
            }
            Event::Relinked { path, to, gained, .. } => {
                let mut told = self.lock();
                told.linked += 1;
                told.gained += gained;
                if self.arguments.verbose > 0 {
                    self.say(&format!("Linked {} to {}", shown(path), shown(to)));
                }
                self.say(&told.progress(told.found.elapsed()));
            }
            Event::GroupDone { linked_before } => {
                let mut told = self.lock();
                told.done += 1;
                told.linked_before += linked_before;
                if told.done.is_multiple_of(OFTEN) || told.done == told.groups {
                    self.say(&told.progress(told.found.elapsed()));
                }
            }
            Event::AllRelinked(record) => {
                self.sum_up(&format!("Files linked: {}", record.linked));
                self.sum_up(&format!("Space saved:  {}GB", gigabytes(record.gained_bytes)));
                self.sum_up(&format!("Linking took: {} minutes", minutes(self.lock().found.elapsed())));
            }
            Event::Absent { path } if !self.arguments.silent => {
                drop(writeln!(io::stderr(), "Could not find {}.  File list out of date?", shown(path)));
            }
            Event::Unsteady { path } if !self.arguments.silent => {
                drop(writeln!(io::stderr(), "{} changed while it was looked at.", shown(path)));
            }
            Event::Warning(text) if !self.arguments.silent => drop(writeln!(io::stderr(), "{text}")),
            Event::Failed { module, error, .. } => {
                let whose = module.map(|module| format!("{module}: ")).unwrap_or_default();
                super::complain(COMPLAINT, &super::by_keys(&format!("{whose}{error:#}"), self.config));
            }
            _ => {}
        }
    }
}

impl Told {
    /// How far it is, after so long.
    fn progress(&self, took: Duration) -> String {
        let Told { groups, done, linked_before, linked, gained, .. } = self;
        let share = done * 100 / (*groups).max(1);
        let left = took.as_secs_f64() / (*done).max(1) as f64 * groups.saturating_sub(*done) as f64;
        let left = humantime::format_duration(Duration::from_secs(left as u64));
        let saved = gigabytes(*gained);
        format!(
            "{done} tuples ({share}%) - links: ({linked_before} exist, {linked} new) - {saved}GB saved - ~{left} left"
        )
    }
}

fn minutes(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() / 60.0)
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is_reads_as_ever() {
        let told = Told { groups: 200, done: 50, linked_before: 7, linked: 3, gained: 3 << 29, found: Instant::now() };
        let expected = "50 tuples (25%) - links: (7 exist, 3 new) - 1.50GB saved - ~1m 30s left";
        assert_eq!(told.progress(Duration::from_secs(30)), expected);
        assert_eq!(minutes(Duration::from_secs(90)), "1.5");
    }

    #[test]
    fn the_options_are_those_of_the_old_program() {
        let all = ["p", "-c", "f", "-n", "--no-ctime", "-q", "-s", "-v", "-t", "--debug"];
        let expected = Arguments {
            config: Some("f".into()),
            dry_run: true,
            no_ctime: true,
            quiet: true,
            silent: true,
            verbose: 1,
            tier1: true,
            debug: true,
        };
        assert_eq!(Arguments::try_parse_from(all).unwrap(), expected);
        let long =
            ["p", "--config=f", "--dry-run", "--no-ctime", "--quiet", "--silent", "--verbose", "--tier1", "--debug"];
        assert_eq!(Arguments::try_parse_from(long).unwrap(), expected);
    }
}
