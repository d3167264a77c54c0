//! Telling MirrorManager what is here: after a run, or by itself.
//!
//! What is told is made from the committed state, while nobody changes that. It is sent when all locks are given back: MirrorManager may
//! take its time, and the next run need not wait for it. Nothing says that a check-in is due but that what was told last was made from
//! something else; so one that failed, or that a run was killed before, is made up for by the next run.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::prepare::mirror_root;
use super::subject::filter_of;
use super::text::Text;
use super::{Failure, Run};
use crate::checkin::payload::{self, Identity};
use crate::checkin::reply::Counted;
use crate::checkin::send::{Line, Trouble, send};
use crate::config::{Category, CheckIn, Config, Module, Password, Secret, kept};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::list::{Carry, Row};
use crate::path::{RelPath, RelPathBuf};
use crate::plan::words::count;
use crate::report::record::Recorder;
use crate::report::{Event, Listener};
use crate::state::checkin::{self, Report, Reports};
use crate::state::{Applied, Lock, State, sealed};

/// While another checks in, it is looked at so often whether it is done.
const MOMENT: Duration = Duration::from_millis(100);

/// What a check-in by itself is asked to do, beside the configuration.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The modules that are told, by name; empty for those of which something is to be told.
    pub modules: Vec<String>,
    /// Tell all modules.
    pub all: bool,
    /// Tell also what has shrunk too much.
    pub force: bool,
    /// What becomes of it.
    pub action: Action,
}

/// What becomes of what is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is sent.
    Send,
    /// It is shown, without the password, and nothing changes.
    Show,
    /// For each module, the request that would tell of it alone is written to this path, `-` and the module's name; only its owner may
    /// read that, for the password is in it.
    Dump(PathBuf),
}

/// Checks in by itself, without a run. All that happens is told to `listener`; what it came to is in `recorder`, which must be among
/// those who listen.
///
/// Returns what is to be printed on stdout.
pub fn check_in(
    config: &Config,
    wanted: &Wanted,
    interrupt: &Interrupt,
    listener: &dyn Listener,
    recorder: &Recorder,
) -> Option<String> {
    let shown = alone(config, wanted, interrupt, listener);
    let shown = shown.map_err(|Failure { error, status }| {
        listener.hear(&Event::Failed { module: None, error: &error, status });
    });
    listener.hear(&Event::Finished(&recorder.finish().0));
    shown.ok().flatten()
}

fn alone(
    config: &Config,
    wanted: &Wanted,
    interrupt: &Interrupt,
    listener: &dyn Listener,
) -> Result<Option<String>, Failure> {
    let Some(settings) = &config.check_in else {
        return Err(Failure::said(Status::Usage, "check-in is not set up: checkin.site names the site (qfm.toml(5))"));
    };
    let state = State::at(&config.state, &mirror_root(&config.root)?);
    let desk = Desk { config, settings, state: &state, interrupt, listener };
    desk.require(&wanted.modules)?;
    let is_about = |module: &Module| wanted.modules.is_empty() || wanted.modules.contains(&module.name);
    let everything = wanted.all || !wanted.modules.is_empty() || matches!(wanted.action, Action::Dump(_));
    let lock = match wanted.action {
        Action::Send => {
            state.create()?;
            Some(state.lock()?)
        }
        Action::Show | Action::Dump(_) => None,
    };
    let due = desk.due(&is_about, everything)?;
    if due.is_empty() {
        listener.hear(&Event::NothingToTell { why: desk.why_nothing(&is_about)? });
    }
    match &wanted.action {
        Action::Send => {
            let requests = desk.requests(due, wanted.force)?;
            drop(lock);
            desk.send(requests)?;
            Ok(None)
        }
        Action::Show => {
            let mut shown = String::new();
            for (host, told) in by_host(due) {
                let password = Secret::new(String::new());
                desk.write(&host, &password, &told, wanted.force, |identity, categories, _| {
                    shown.push_str(&payload::shown(identity, categories));
                    shown.push('\n');
                    Ok(())
                })?;
            }
            Ok(Some(shown))
        }
        Action::Dump(file) => {
            let password = desk.password()?;
            for told in due {
                let (host, told) = (told.category.host.clone(), [told]);
                let path = beside(file, &told[0].module.name);
                desk.write(&host, &password, &told, wanted.force, |identity, categories, _| {
                    dump(&path, identity, categories).with_context(|| format!("cannot write {}", path.display()))
                })?;
            }
            Ok(None)
        }
    }
}

/// `FILE-MODULE`.
fn beside(file: &Path, module: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push("-");
    path.push(module);
    path.into()
}

/// Puts a file in its place that only its owner may read.
fn dump(path: &Path, identity: &Identity<'_>, categories: &[payload::Category<'_>]) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    payload::write(identity, categories, io::BufWriter::new(&mut file))?.flush()?;
    file.persist(path)?;
    Ok(())
}

/// What is to be told of a module.
struct Told<'c> {
    module: &'c Module,
    category: &'c Category,
    applied: Applied,
    /// What it is made from.
    of: String,
    /// How many directories were told last.
    before: Option<usize>,
}

/// A request that waits to be sent.
pub(super) struct Request<'c> {
    host: String,
    body: Arc<[u8]>,
    /// What it tells: the module, its category, and what is remembered when that was taken.
    tells: Vec<(&'c Module, &'c Category, Report)>,
}

impl<'r> Run<'r> {
    /// What this run, and runs before it, committed of its modules, and MirrorManager was not told.
    pub(super) fn requests(&self) -> Vec<Request<'r>> {
        let Some(settings) = self.config.check_in.as_ref().filter(|_| self.checks_in()) else { return Vec::new() };
        let desk = self.desk(settings);
        let requests =
            desk.due(&|module| self.options.is_about(module), false).and_then(|due| desk.requests(due, false));
        requests.unwrap_or_else(|failure| {
            desk.complain(None, &failure);
            Vec::new()
        })
    }

    /// Sends them.
    pub(super) fn send(&self, requests: Vec<Request<'_>>) {
        if let Some(desk) = self.config.check_in.as_ref().map(|settings| self.desk(settings))
            && let Err(failure) = desk.send(requests)
        {
            desk.complain(None, &failure);
        }
    }

    fn checks_in(&self) -> bool {
        !self.options.dry_run && self.options.commits() && self.interrupt.raised().is_none()
    }

    fn desk(&self, settings: &'r CheckIn) -> Desk<'_, 'r> {
        let (config, state, interrupt, listener) = (self.config, &self.state, self.interrupt, self.listener);
        Desk { config, settings, state, interrupt, listener }
    }
}

/// All that a check-in is made with.
struct Desk<'d, 'c> {
    config: &'c Config,
    settings: &'c CheckIn,
    state: &'d State,
    interrupt: &'d Interrupt,
    listener: &'d dyn Listener,
}

impl<'c> Desk<'_, 'c> {
    /// Whether there can be something to tell of each of these modules.
    fn require(&self, names: &[String]) -> Result<(), Failure> {
        for module in self.config.modules.iter().filter(|module| names.contains(&module.name)) {
            let name = &module.name;
            if module.category.is_none() {
                let text = format!("module {name} has no category in MirrorManager (module.{name}.checkin_category)");
                return Err(Failure::said(Status::Usage, text));
            }
            if self.applied(module)?.is_none() {
                let text = format!("nothing of module {name} was committed yet; run once: qfm {name}");
                return Err(Failure::said(Status::Notify, text));
            }
        }
        Ok(())
    }

    /// Why nothing is to be told.
    fn why_nothing(&self, is_about: &dyn Fn(&Module) -> bool) -> Result<&'static str, Failure> {
        let mut why = "no module has a category there (checkin_category)";
        for module in self.config.modules.iter().filter(|module| is_about(module) && module.category.is_some()) {
            if self.applied(module)?.is_some() {
                return Ok("MirrorManager was told all of it (--all tells it again)");
            }
            why = "no run has committed anything yet";
        }
        Ok(why)
    }

    /// Of which modules something is to be told: all that were committed, or those of which something else was told last.
    fn due(&self, is_about: &dyn Fn(&Module) -> bool, everything: bool) -> Result<Vec<Told<'c>>, Failure> {
        let reports = self.reports();
        let mut due = Vec::new();
        for module in self.config.modules.iter().filter(|module| is_about(module)) {
            let Some(category) = &module.category else { continue };
            let Some(applied) = self.applied(module)? else { continue };
            let of = self.made_from(category, &applied);
            let last = reports.of(&category.host, &category.name);
            if everything || last.is_none_or(|last| last.of != of) {
                due.push(Told { module, category, applied, of, before: last.map(|last| last.directories) });
            }
        }
        Ok(due)
    }

    fn reports(&self) -> Reports {
        Reports::read(self.state).unwrap_or_else(|error| {
            let error = anyhow::Error::new(error);
            self.listener.hear(&Event::Warning(&format!("{error:#}; MirrorManager is told everything")));
            Reports::default()
        })
    }

    fn applied(&self, module: &Module) -> Result<Option<Applied>, Failure> {
        let list = self.state.list(&module.directory, &module.list);
        Ok(Applied::read(self.state, &module.directory, &list)?)
    }

    /// What decides what is told: where that is the same, nothing is new.
    fn made_from(&self, category: &Category, applied: &Applied) -> String {
        let CheckIn { site, endpoint, .. } = self.settings;
        let paths = |paths: &[RelPathBuf]| paths.iter().map(|path| path.as_path().to_string()).collect::<Vec<_>>();
        let made = serde_json::json!([
            endpoint,
            site,
            category.top.as_path().to_string(),
            applied.list,
            applied.selection,
            applied.oldest_release,
            paths(&applied.undelivered),
        ]);
        sealed::hash(made.to_string().as_bytes())
    }

    fn password(&self) -> Result<Secret, Failure> {
        let path = match &self.settings.password {
            Password::Said(secret) => return Ok(secret.clone()),
            Password::In(path) => path,
        };
        let failed = |error: io::Error| {
            let context = format!("cannot read the password for MirrorManager in {}", path.display());
            Failure::new(Status::Notify, anyhow::Error::new(error).context(context))
        };
        let text = kept::text(path).map_err(failed)?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(Secret::new(line)),
            _ => Err(failed(io::Error::other("its first line is empty"))),
        }
    }

    /// One request for each host, in which all that may be told stands.
    fn requests(&self, due: Vec<Told<'c>>, force: bool) -> Result<Vec<Request<'c>>, Failure> {
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let password = self.password()?;
        let mut requests = Vec::new();
        for (host, told) in by_host(due) {
            self.write(&host, &password, &told, force, |identity, categories, tells| {
                let body = payload::write(identity, categories, Vec::new())?.into();
                requests.push(Request { host: host.clone(), body, tells });
                Ok(())
            })?;
        }
        Ok(requests)
    }

    /// Hands over what is to be told of one host, unless that is nothing. What may not be told is held, which is said.
    fn write(
        &self,
        host: &str,
        password: &Secret,
        told: &[Told<'c>],
        force: bool,
        take: impl FnOnce(
            &Identity<'_>,
            &[payload::Category<'_>],
            Vec<(&'c Module, &'c Category, Report)>,
        ) -> anyhow::Result<()>,
    ) -> Result<(), Failure> {
        let list = |told: &Told<'_>| self.state.list(&told.module.directory, &told.module.list);
        let lists: Vec<Text> = told.iter().map(|told| Text::unread(list(told))).collect();
        let pool = super::thread_pool(self.config.jobs)?;
        let (mut categories, mut tells) = (Vec::new(), Vec::new());
        for (told, list) in told.iter().zip(&lists) {
            let directories = pool.install(|| directories(told, list))?;
            let category = payload::Category { name: told.category.name.clone(), directories };
            if let Some(why) = self.held(told, &category, force) {
                self.complain(Some(&told.module.name), &Failure::said(Status::Notify, why));
                continue;
            }
            let report = Report { of: told.of.clone(), directories: category.len() };
            tells.push((told.module, told.category, report));
            categories.push(category);
        }
        if categories.is_empty() {
            return Ok(());
        }
        let CheckIn { endpoint, site, .. } = self.settings;
        let identity = Identity { server: endpoint, site, password: password.reveal(), host };
        take(&identity, &categories, tells).map_err(|error| Failure { status: Status::Local, error })
    }

    /// Why a category may not be told: what MirrorManager is not told of, it forgets.
    fn held(&self, told: &Told<'_>, category: &payload::Category<'_>, force: bool) -> Option<String> {
        let (module, name) = (&told.module.name, &told.category.name);
        if category.is_empty() {
            return Some(format!(
                "the check-in of {name} is held: it would have no directory at all. Where that is right, \
                 module.{module}.checkin_category = \"\" leaves the module out; else look at checkin_prefix"
            ));
        }
        let before = told.before.filter(|&before| !force && category.has_shrunk(before, self.settings.max_shrink))?;
        let now = count(category.len() as u64, "directory", "directories");
        Some(format!(
            "the check-in of {name} is held: it would have {now}, and had {before} last time (checkin.max_shrink). \
             If that is meant, run once: qfm checkin --force {module}"
        ))
    }

    /// Sends what still holds when its turn comes.
    fn send(&self, requests: Vec<Request<'_>>) -> Result<(), Failure> {
        if requests.is_empty() {
            return Ok(());
        }
        let lock = self.lock()?;
        for Request { host, body, tells } in requests {
            // A later run committed something else meanwhile, and tells that.
            let holds = |(module, category, report): &(&Module, &Category, Report)| {
                self.applied(module)
                    .is_ok_and(|applied| applied.is_some_and(|applied| self.made_from(category, &applied) == report.of))
            };
            if tells.iter().all(holds) {
                self.send_one(&host, &body, tells)?;
            }
        }
        drop(lock);
        Ok(())
    }

    /// Waits for the end of another check-in, and not for ever.
    fn lock(&self) -> Result<Lock, Failure> {
        let until = Instant::now() + self.settings.timeout;
        loop {
            if let Some(lock) = checkin::lock(self.state)? {
                return Ok(lock);
            }
            if let Some(signal) = self.interrupt.wait(MOMENT, || false) {
                return Err(Failure::said(signal.into(), "interrupted; the next run checks in"));
            }
            if Instant::now() > until {
                return Err(Failure::said(Status::Notify, "another check-in is under way; the next run tries again"));
            }
        }
    }

    fn send_one(&self, host: &str, body: &Arc<[u8]>, tells: Vec<(&Module, &Category, Report)>) -> Result<(), Failure> {
        let CheckIn { endpoint, proxy, timeout, retries, retry_delay, .. } = self.settings;
        let line = Line {
            endpoint: endpoint.clone(),
            proxy: proxy.clone(),
            timeout: *timeout,
            retries: *retries,
            retry_delay: *retry_delay,
        };
        let names: Vec<&str> = tells.iter().map(|(_, category, _)| category.name.as_str()).collect();
        let retrying = &mut |why: &str, wait| {
            let why = format!("MirrorManager ({endpoint}): {why}");
            self.listener.hear(&Event::Retry { why: &why, wait });
        };
        let counted = match send(&line, body, &names, self.interrupt, retrying) {
            Ok(counted) => counted,
            // What one host is refused, another may be granted.
            Err(Trouble::Refused(refusal)) => {
                let counted = refusal.counted().to_vec();
                self.complain(None, &failure(host, refusal.into()));
                counted
            }
            Err(trouble) => return Err(failure(host, trouble)),
        };
        let mut reports = self.reports();
        for (_, category, report) in tells {
            let of = |counted: &&Counted| counted.category.to_lowercase() == category.name;
            let Some(Counted { counts, .. }) = counted.iter().find(of) else { continue };
            let directories = report.directories;
            self.listener.hear(&Event::CheckedIn { host, category: &category.name, directories, counts });
            reports.set(host, &category.name, report);
        }
        reports.write(self.state)?;
        Ok(())
    }

    fn complain(&self, module: Option<&str>, Failure { error, status }: &Failure) {
        self.listener.hear(&Event::Failed { module, error, status: *status });
    }
}

/// Why a check-in failed, and what follows.
fn failure(host: &str, trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Interrupted(signal) => Failure::said(signal.into(), "interrupted; the next run checks in"),
        trouble => {
            let error = anyhow::Error::new(trouble);
            Failure::said(Status::Notify, format!("cannot check in host {host}: {error:#}; the next run tries again"))
        }
    }
}

fn by_host(due: Vec<Told<'_>>) -> BTreeMap<String, Vec<Told<'_>>> {
    let mut hosts: BTreeMap<String, Vec<Told<'_>>> = BTreeMap::new();
    for told in due {
        hosts.entry(told.category.host.clone()).or_default().push(told);
    }
    hosts
}

/// The directories of a module that are here and public, below the top of its category.
fn directories<'t>(told: &Told<'_>, list: &'t Text) -> Result<Vec<&'t str>, Failure> {
    let (text, sections) = list.get()?;
    let filter = filter_of(&told.applied).map_err(|error| Failure::new(Status::Local, error))?;
    let undelivered: HashSet<RelPath<'_>> = told.applied.undelivered.iter().map(RelPathBuf::as_path).collect();
    let is_here = |path: RelPath<'_>| {
        undelivered.is_empty() || !path.ancestors().chain([path]).any(|above| undelivered.contains(&above))
    };
    let carry = |row: &Row, path: RelPath<'_>| match filter.carry(row, path) {
        // Nobody is to be led to what they may not read.
        Carry::Yes if !row.mark.is_public() => Carry::Withheld,
        Carry::Yes if !is_here(path) => Carry::No,
        carry => carry,
    };
    payload::directories(text, sections, told.category.top.as_path(), carry)
        .map_err(|error| Failure::new(Status::List, error))
}
