//! `quick-fedora-mirror`: one run, as its users know it.
//!
//! The old options become [`sync::Options`], and the events of the run become the old texts ([`teller`]), the counts ([`counts`]) and
//! the lines of the log ([`log`]).

mod counts;
mod log;
mod teller;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, ValueHint};

use self::log::{Item, Log};
use self::teller::{Start, Teller};
use crate::cli::value::{Pattern, moment};
use crate::config::{Config, Loaded, Old, commands};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::report::Listeners;
use crate::report::once::Once;
use crate::report::record::Recorder;
use crate::state::TimeFile;
use crate::sync::checkin::{self, Action, Wanted};
use crate::sync::{self, Options};

/// The level from which on the settings are shown.
const SETTINGS: u8 = 6;

/// The level from which on a plan names its paths.
const PATHS: u8 = 4;

/// Mirror what changed in the modules of an upstream that publishes file lists
#[derive(Clone, Debug, Default, Parser, PartialEq, Eq)]
#[command(name = "quick-fedora-mirror", version, args_override_self = true)]
struct Arguments {
    /// Process every module, even if its list did not change
    #[arg(short, long)]
    alwayscheck: bool,
    /// Read this configuration file
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// How much is said, from 0 to 9, instead of what VERBOSE says
    #[arg(short = 'd', value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(..=9))]
    level: Option<u8>,
    /// Fetch the lists and say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Transfer, but delete nothing and advance no state
    #[arg(short = 'N', long)]
    transfer_only: bool,
    /// Take this for the last mirror time, in seconds since the epoch, and process every module
    #[arg(short = 't', value_name = "SECONDS", overrides_with = "backdate")]
    since: Option<i64>,
    /// The same, as date(1) takes it: 'yesterday', 'last week', '2026-05-01 12:00'
    #[arg(short = 'T', long, value_name = "TIME", value_parser = moment)]
    backdate: Option<i64>,
    /// Restore the times of all directories; every module is processed
    #[arg(long)]
    dir_times: bool,
    /// Check in every module with MirrorManager, and do nothing else
    #[arg(long)]
    checkin_only: bool,
    /// Transfer again all paths that match, and do nothing else
    #[arg(long, value_name = "REGEX", value_parser = Pattern::parse)]
    refresh: Option<Pattern>,
    /// Write what MirrorManager would be told of each module to FILE-<module>
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    dump_mm_checkin: Option<PathBuf>,
    /// Do not set the saved mirror time 5 seconds back
    #[arg(long)]
    no_paranoia: bool,
}

/// Runs it. `arguments` begin with the program's name.
pub fn run(arguments: &[OsString], interrupt: &Interrupt) -> Status {
    let arguments: Arguments = match super::parse(arguments, Item::Serious.prefix(), Status::Bug) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    let loaded = super::load(arguments.config.clone(), Item::Serious.prefix(), None);
    let Some(loaded) = loaded else { return Status::Bug };
    match arguments.mirror(&loaded, interrupt) {
        // It knows two ends.
        Ok(Status::Done) => Status::Done,
        Ok(_) => Status::Bug,
        // Who reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Status::Done,
        Err(error) => {
            complain(&format!("cannot write the result: {error}"));
            Status::Bug
        }
    }
}

fn complain(why: &str) {
    super::complain(Item::Serious.prefix(), why);
}

impl Arguments {
    fn mirror(&self, loaded: &Loaded, interrupt: &Interrupt) -> io::Result<Status> {
        let Loaded { config, file, warnings, .. } = loaded;
        let old = config.old.as_ref();
        let level = self.level.unwrap_or(old.map_or(0, |old| old.verbose));
        let mut out = io::stdout();
        if level >= SETTINGS {
            commands::list(loaded, &mut out)?;
            for warning in warnings {
                writeln!(out, ">> {warning}")?;
            }
        }
        let log = self.log(config.log_file.as_deref(), old);
        let last_time = self.since().or_else(|| config.time_file.as_deref().and_then(last_time));
        let temporary = || old.and_then(|old| old.temporary.clone()).unwrap_or_else(std::env::temp_dir);
        let work = if self.dry_run { temporary() } else { config.state.clone() };
        let file = file.clone().unwrap_or_default();
        let start = Start { level, config: &file, work: &work, last_time: last_time.unwrap_or_default() };
        let (teller, recorder) = (Teller::new(start, log), Recorder::new(self.dry_run));
        let once = Once::new(&teller);
        let listeners = Listeners(vec![&recorder, &once]);
        let told_by_run = !self.tells_all() && self.dump_mm_checkin.is_none();
        let config = Config { check_in: config.check_in.clone().filter(|_| told_by_run), ..config.clone() };
        if !self.checkin_only {
            let plan = sync::sync(&config, &self.options(level), interrupt, &listeners, &recorder);
            out.write_all(super::by_keys(&plan.unwrap_or_default(), &file).as_bytes())?;
        }
        // Where check-in is not set up, only who names it hears of that.
        let is_wanted = self.checkin_only || self.dump_mm_checkin.is_some() || loaded.config.check_in.is_some();
        let is_in_step = matches!(recorder.finish().1, Status::Done | Status::Held);
        if let Some(action) = self.action().filter(|_| is_wanted && is_in_step) {
            let config = Config { check_in: loaded.config.check_in.clone(), ..config };
            let wanted = Wanted { modules: Vec::new(), all: true, force: false, action };
            let shown = checkin::check_in(&config, &wanted, interrupt, &listeners, &recorder);
            out.write_all(shown.unwrap_or_default().as_bytes())?;
        }
        let status = recorder.finish().1;
        teller.end(status);
        Ok(status)
    }

    /// Whether every module is told to MirrorManager, and not only those of which something is new.
    fn tells_all(&self) -> bool {
        self.alwayscheck || self.since().is_some() || self.dir_times || self.checkin_only
    }

    /// What becomes of a check-in that a run does not do by itself.
    fn action(&self) -> Option<Action> {
        let only_transfers = self.transfer_only || self.refresh.is_some();
        match &self.dump_mm_checkin {
            _ if !self.checkin_only && (only_transfers || self.dry_run) => None,
            _ if self.dry_run => Some(Action::Show),
            Some(file) => Some(Action::Dump(file.clone())),
            None => self.tells_all().then_some(Action::Send),
        }
    }

    /// The last mirror time that is asked for.
    fn since(&self) -> Option<i64> {
        self.since.or(self.backdate)
    }

    fn options(&self, level: u8) -> Options {
        Options {
            dry_run: self.dry_run,
            every_module: self.alwayscheck,
            transfer_only: self.transfer_only,
            refresh: self.refresh.as_ref().map(|pattern| pattern.0.clone()),
            dir_times: self.dir_times,
            since: self.since(),
            exact_time: self.no_paranoia,
            paths: level >= PATHS,
            ..Options::default()
        }
    }

    /// Where the log goes. A dry run writes none.
    fn log(&self, file: Option<&Path>, old: Option<&Old>) -> Log {
        let Some(old) = old.filter(|_| !self.dry_run) else { return Log::default() };
        let mut log = Log::of_items(&old.log_items);
        // A mirror that stands still for the sake of its log would be worse.
        if let Some(path) = file
            && let Err(error) = log.add_file(path)
        {
            let path = path.display();
            complain(&format!("cannot append to the log file {path} (LOGFILE), and goes on without: {error}"));
        }
        if old.log_journal
            && let Err(error) = log.add_journal()
        {
            complain(&format!("cannot reach the journal of systemd (LOGJOURNAL), and goes on without: {error}"));
        }
        log
    }
}

/// The last mirror time that a time file has.
fn last_time(path: &Path) -> Option<i64> {
    // One that cannot be used is told of by the run, which locks it.
    let last = TimeFile::last_at(path, crate::clock::now().timestamp()).unwrap_or_default();
    last.map(|last| last.time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_those_of_the_old_program() {
        let parse = |line: &str| Arguments::try_parse_from(line.split_whitespace());
        let expected = Arguments {
            alwayscheck: true,
            config: Some("f".into()),
            level: Some(3),
            dry_run: true,
            transfer_only: true,
            since: Some(1_764_000_000),
            dir_times: true,
            refresh: Some(Pattern::parse("a.*").unwrap()),
            no_paranoia: true,
            ..Arguments::default()
        };
        let short = "p -a -c f -d 3 -n -N -t 1764000000 --dir-times --refresh a.* --no-paranoia";
        assert_eq!(parse(short).unwrap(), expected);
        let long = "p --alwayscheck --config f -d3 --dry-run --transfer-only -t1764000000 --dir-times --refresh=a.* --no-paranoia";
        assert_eq!(parse(long).unwrap(), expected);
        for line in ["p -T 2025-11-24T16:00:00Z", "p --backdate=2025-11-24T16:00:00Z"] {
            assert_eq!(parse(line).unwrap().since(), Some(1_764_000_000), "{line}");
        }
        // Of what is said twice, the last counts.
        let twice = parse("p -a -a -d 3 -d 4 -c e -c f -T now -t 5 -n --dry-run").unwrap();
        assert_eq!(
            (twice.level, twice.config, twice.since, twice.backdate),
            (Some(4), Some("f".into()), Some(5), None)
        );
        assert!(parse("p --checkin-only").unwrap().checkin_only);
        assert_eq!(parse("p --dump-mm-checkin f").unwrap().dump_mm_checkin, Some("f".into()));
        for line in ["p -d 10", "p -T soon", "p --refresh (", "p --full", "p module"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
