//! What everybody sees of a run who looks at the tree: the trace of the last complete one, and the mark that one is under way.
//!
//! Both may lie in a module's directory. There they are neither deleted nor asked for ([`super::prepare::filters`]), and what they change
//! belongs to the span of the run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::{Failure, Run};
use crate::config::{Config, Place, Trace, Upstream};
use crate::exit::Status;
use crate::path::{RelPath, RelPathBuf};
use crate::push::trace::{self, Facts};
use crate::report::Event;
use crate::report::record::Recorder;
use crate::state::traced::{self, Times};
use crate::tree::{Root, TreeError, own, stamp};

/// Where the trace of the master is, beside ours, in an archive that has one.
const MASTER: &str = "master";

/// A file of our own: the directory that leads to it, and the path from there.
struct Own {
    root: Root,
    path: RelPathBuf,
}

impl Own {
    /// The file at a place below a mirror root, without links.
    fn at(place: &Place, root: &Path) -> Result<Own, TreeError> {
        match place {
            Place::Inside { directory, path } => {
                Ok(Own { root: Root::open(&root.join(directory))?, path: path.clone() })
            }
            Place::Elsewhere(path) => {
                let directory = path.parent().unwrap_or(Path::new("/"));
                let name = path.file_name().unwrap_or_default().as_encoded_bytes();
                let name = RelPath::new(name)
                    .map_err(|error| TreeError::new("cannot use", path, std::io::Error::other(error.to_string())))?;
                Ok(Own { root: Root::open(directory)?, path: name.to_owned() })
            }
        }
    }

    /// The same, with its directory made where that is not there.
    fn made_at(place: &Place, root: &Path) -> Result<Own, TreeError> {
        if let Place::Elsewhere(path) = place
            && let Some(directory) = path.parent()
        {
            fs::create_dir_all(directory).map_err(|error| TreeError::new("cannot make", directory, error))?;
        }
        Own::at(place, root)
    }

    fn put(&self, text: &str) -> Result<(), TreeError> {
        own::put(&self.root, self.path.as_path(), text.as_bytes())
    }

    fn get(&self) -> Result<Option<Vec<u8>>, TreeError> {
        own::get(&self.root, self.path.as_path())
    }
}

impl Run<'_> {
    /// Leaves the mark that the mirror is being changed.
    pub(super) fn mark_under_way(&self) {
        let Some((settings, place)) = self.mark() else { return };
        let marked = || {
            let mark = match Own::made_at(place, &self.root) {
                // Its module has no directory yet, and nobody to be told there.
                Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                mark => mark?,
            };
            if mark.get()?.is_none_or(|text| trace::is_under_way(&text)) {
                mark.put(&trace::under_way(self.began(), &settings.host))?;
            }
            Ok(())
        };
        self.told_of_trace(marked());
    }

    /// Takes the mark away: this run is over, or the one that left it was killed. Only who has the locks may.
    pub(super) fn clear_mark(&self) {
        let Some((_, place)) = self.mark() else { return };
        let cleared = || {
            let mark = match Own::at(place, &self.root) {
                Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                mark => mark?,
            };
            if mark.get()?.is_some_and(|text| trace::is_under_way(&text)) {
                own::remove(&mark.root, mark.path.as_path())?;
            }
            Ok(())
        };
        self.told_of_trace(cleared());
    }

    fn mark(&self) -> Option<(&Trace, &Place)> {
        let settings = self.config.trace.as_ref()?;
        Some((settings, settings.in_progress.as_ref()?))
    }

    /// Leaves a trace, if all modules are in step and a list is newer than when the last one was left.
    pub(super) fn leave_trace(&self, recorder: &Recorder) {
        let settings = self.config.trace.as_ref();
        let Some((settings, place)) = settings.and_then(|settings| Some((settings, settings.file.as_ref()?))) else {
            return;
        };
        let (record, status) = recorder.finish();
        if !self.is_of_all() || !status.is_in_step() || self.interrupt.raised().is_some() {
            return;
        }
        let Some(times) = self.times_of_lists() else { return };
        let left = || -> Result<(), Failure> {
            let before = traced::read(&self.state).unwrap_or_else(|error| {
                let error = anyhow::Error::new(error);
                self.listener.hear(&Event::Warning(&format!("{error:#}; a trace is left once more")));
                Times::new()
            });
            let is_newer = times.iter().any(|(module, time)| before.get(module).is_none_or(|before| before < time));
            if !is_newer && Own::at(place, &self.root).is_ok_and(|own| own.get().is_ok_and(|it| it.is_some())) {
                return Ok(());
            }
            let own = Own::made_at(place, &self.root)?;
            if let Some(clock) = stamp::clock(&own.root) {
                self.changing.get_or_init(|| clock);
            }
            let master = own.path.as_path().parent().join(MASTER.as_bytes()).map_err(anyhow::Error::new);
            let master = master.map_err(|error| Failure { status: Status::Notify, error })?;
            let master = own::get(&own.root, master.as_path())?.map(|text| String::from_utf8_lossy(&text).into_owned());
            own.put(&trace::text(&Facts {
                finished: crate::clock::now(),
                started: self.began(),
                serial: master.as_deref().and_then(trace::serial),
                host: &settings.host,
                maintainer: settings.maintainer.as_deref(),
                upstream: upstream(self.config).and_then(Upstream::daemon),
                received: record.received_bytes,
                in_rsync: self.in_rsync.load(Ordering::Relaxed).div_ceil(1000),
                trigger: self.options.trigger.as_deref(),
            }))?;
            Ok(traced::write(&self.state, &times)?)
        };
        if let Err(Failure { error, .. }) = left() {
            self.listener.hear(&Event::Failed { module: None, error: &error, status: Status::Notify });
        }
    }

    /// The times of the saved lists, in seconds since the epoch, by module; `None` unless there are all of them.
    fn times_of_lists(&self) -> Option<Times> {
        let time = |module: &crate::config::Module| {
            let list = self.state.list(&module.directory, &module.list);
            // What cannot be looked at is not known to be there.
            fs::metadata(list).ok().map(|stat| (module.name.clone(), stat.mtime()))
        };
        self.config.modules.iter().map(time).collect()
    }

    fn began(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.began, 0).unwrap_or_default()
    }

    fn told_of_trace(&self, done: Result<(), TreeError>) {
        if let Err(error) = done {
            let error = anyhow::Error::new(error);
            self.listener.hear(&Event::Failed { module: None, error: &error, status: Status::Notify });
        }
    }
}

/// Where most comes from.
fn upstream(config: &Config) -> Option<&Upstream> {
    config.upstream.as_ref().or_else(|| config.modules.iter().find_map(|module| module.upstream.as_ref()))
}
