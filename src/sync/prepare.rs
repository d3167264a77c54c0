//! What a run needs before it begins, and what it gives back when it is over.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::lock::{self, Patience};
use super::scratch::Scratch;
use super::{Failure, Options, Run};
use crate::config::{Config, Module, Published};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::plan::filter::{Filter, Selection};
use crate::plan::openings::Openings;
use crate::report::record::Recorder;
use crate::report::{Event, Listener};
use crate::state::journal::{Journal, Unfinished};
use crate::state::{LastTime, State, TimeFile, openings, runs};
use crate::status;
use crate::status::publish::{publish_metrics, publish_page};

/// So much earlier than it began a run is said to have, in seconds: the clocks of this machine and upstream may differ.
const PARANOIA: i64 = 5;

/// What must be given back at the end of a run.
pub(super) enum Held {
    /// A real run holds the locks.
    Locks(lock::Held),
    /// A dry run holds a scratch directory of its own.
    Scratch(#[expect(dead_code, reason = "it is held, not looked at")] Scratch),
}

/// A run, ready to begin: root and state are there, and nobody else changes them.
///
/// # Errors
/// If the filters, the root or the state cannot be used, or another run is under way.
pub(super) fn prepare<'r>(
    config: &'r Config,
    options: &'r Options,
    interrupt: &'r Interrupt,
    listener: &'r dyn Listener,
) -> Result<(Run<'r>, Held), Failure> {
    let filters = filters(config)?;
    let root = mirror_root(&config.root)?;
    let state = State::at(&config.state, &root);
    let (work, held) = if options.dry_run {
        readable(&state)?;
        // Who verifies looks later.
        if !options.verify {
            lock::warn_if_held(config, &root, &state, listener);
        }
        let scratch = Scratch::new(config)?;
        (scratch.path(), Held::Scratch(scratch))
    } else {
        let patience = if options.wait { Patience::Waits(interrupt) } else { Patience::GivesWay };
        let locks = take_over(config, &root, &state, patience, listener)?;
        (state.work()?, Held::Locks(locks))
    };
    let openings = openings(&state, listener);
    let opened = |(filter, module): (Filter, &Module)| filter.with_openings(openings.below(&module.directory));
    let filters = filters.into_iter().zip(&config.modules).map(opened).collect();
    let mut run = Run::new((config, options), interrupt, listener, filters, root, state, work);
    if !options.full {
        run.last_time = last_time(config, &run.state, &held, run.began, listener);
    }
    if !options.dry_run {
        // What a run left that was killed.
        run.clear_mark();
    }
    run.unfinished = Journal::of(&run.state).unfinished();
    if options.verify {
        run.begin_to_verify()?;
    }
    if run.unfinished != Unfinished::Nothing {
        listener.hear(&Event::Unfinished { what: &run.unfinished.what() });
    }
    Ok((run, held))
}

/// What an admin opened before upstream's lists give it to everybody.
fn openings(state: &State, listener: &dyn Listener) -> Openings {
    openings::read(state).unwrap_or_else(|error| {
        let error = anyhow::Error::new(error);
        listener.hear(&Event::Warning(&format!("{error:#}; what qfm bitflip opened is closed again")));
        Openings::default()
    })
}

/// The last good run that the time file tells of, if anything is here that has no saved list.
fn last_time(config: &Config, state: &State, held: &Held, now: i64, listener: &dyn Listener) -> Option<LastTime> {
    if config.modules.iter().all(|module| state.list(&module.directory, &module.list).exists()) {
        return None;
    }
    let last = match held {
        Held::Locks(lock::Held { time_file, .. }) => time_file.as_ref().map(|file| file.last(now)),
        Held::Scratch(_) => config.time_file.as_deref().map(|path| TimeFile::last_at(path, now)),
    };
    last?.unwrap_or_else(|error| {
        let error = anyhow::Error::new(error);
        listener.hear(&Event::Warning(&format!("{error:#}; rsync is asked about all that its time does not prove")));
        None
    })
}

/// The mirror root, without links.
pub(crate) fn mirror_root(root: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: io::Error| {
        let context = format!(
            "cannot use the mirror root {}; qfm does not make it: is its volume mounted? (setting root)",
            root.display()
        );
        Failure::new(Status::Local, anyhow::Error::new(error).context(context))
    };
    let root = root.canonicalize().map_err(failed)?;
    if root.is_dir() { Ok(root) } else { Err(failed(io::ErrorKind::NotADirectory.into())) }
}

/// Has the mirror and its state for itself, to change them.
///
/// # Errors
/// If one of them cannot be written to, the state is another user's, or another run is under way.
pub(crate) fn take_over(
    config: &Config,
    root: &Path,
    state: &State,
    patience: Patience<'_>,
    listener: &dyn Listener,
) -> Result<lock::Held, Failure> {
    writable(root)?;
    state.create()?;
    lock::take(config, root, state, patience, listener)
}

/// The configuration of what is no run: a time file tells of one. Where it is not there, there was none, and none is made.
pub(crate) fn beside_runs(config: &Config) -> Config {
    Config { time_file: config.time_file.clone().filter(|path| path.exists()), ..config.clone() }
}

/// The filter of each module.
pub(crate) fn filters(config: &Config) -> Result<Vec<Filter>, Failure> {
    let filter = |module: &Module| {
        let selection = Selection {
            directory: module.directory.clone(),
            own_names: own_names(config, module),
            restricted: config.restricted,
            exclude: module.exclude.clone(),
            only: module.only.clone(),
            keep_releases: module.keep_releases,
        };
        Filter::new(&selection).map_err(|error| {
            let error = anyhow::Error::new(error);
            Failure::new(Status::Usage, error.context(format!("the filter of module {}", module.name)))
        })
    };
    config.modules.iter().map(filter).collect()
}

/// The names at the top of a module's directory, and the paths in it, of what is no content: nobody asks for it, and nobody deletes it.
fn own_names(config: &Config, module: &Module) -> Vec<String> {
    let traces = config.trace.iter().flat_map(|trace| trace.inside(&module.directory));
    let traces = traces.map(|path| String::from_utf8_lossy(path.bytes()).into_owned());
    std::iter::once(&module.list).chain(&module.extra_files).cloned().chain(traces).collect()
}

/// Whether something can be put into the mirror root: known before anything is fetched.
pub(crate) fn writable(root: &Path) -> Result<(), Failure> {
    rustix::fs::access(root, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let error = anyhow::Error::new(io::Error::from(error));
        Failure::new(
            Status::Local,
            error.context(format!(
                "the mirror root {} is not writable; run qfm as the user who owns it",
                root.display()
            )),
        )
    })
}

/// Whether the state can be read: a plan that is made without it would be another than that of a run.
pub(super) fn readable(state: &State) -> Result<(), Failure> {
    Ok(state.check_readable()?)
}

impl Run<'_> {
    /// Whether it is about all modules, and leaves all as upstream has it.
    pub(super) fn is_of_all(&self) -> bool {
        self.config.modules.iter().all(|module| self.options.is_about(module))
            && self.options.commits()
            && !self.options.dry_run
    }

    /// Ends the run in order, however it went.
    pub(super) fn clean_up(&self, held: &Held, recorder: &Recorder) {
        if let Held::Locks(lock::Held { time_file, .. }) = held {
            self.clear_mark();
            let (record, status) = recorder.finish();
            let time_file = time_file.as_ref().filter(|_| status.is_in_step() && self.is_of_all());
            let earlier = if self.options.exact_time { 0 } else { PARANOIA };
            let timed = time_file.map_or(Ok(()), |file| file.write(self.began - earlier)).map_err(Failure::from);
            let saved = serde_json::to_value(&record).map_err(|error| Failure::new(Status::Local, error));
            let saved = saved.and_then(|record| Ok(runs::add(&self.state, record)?));
            let cleared = self.state.clear_work().map_err(Failure::from);
            for Failure { error, status } in [saved, timed, cleared].into_iter().filter_map(Result::err) {
                self.listener.hear(&Event::Failed { module: None, error: &error, status });
            }
            self.publish();
        }
    }

    /// Says to others how the mirror is now, where they look. Only who has the locks may.
    fn publish(&self) {
        let Published { page, title, metrics } = &self.config.published;
        if page.is_none() && metrics.is_none() {
            return;
        }
        let overview = status::gather(self.config, None, false);
        let page = page.iter().map(|file| ("status.html", publish_page(&overview, title, file)));
        let metrics = metrics.iter().map(|file| ("status.metrics", publish_metrics(&overview, file)));
        for (setting, published) in page.chain(metrics) {
            if let Err(error) = published {
                let error = anyhow::Error::new(error);
                self.listener.hear(&Event::Warning(&format!("{error:#}; the file of {setting} is as it was")));
            }
        }
    }
}
