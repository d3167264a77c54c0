//! Having rsync fetch what differs: one call for each publication class of an upstream, content before indexes before pointers.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use backon::BackoffBuilder;

use super::survey::Reading;
use super::{Failure, GivenUp, Run};
use crate::config::Upstream;
use crate::exit::Status;
use crate::path::{RelPath, RelPathBuf, escape};
use crate::plan::compare::FetchCause;
use crate::plan::publish::Class;
use crate::plan::request::{Name, files_from, needs_ignore_times};
use crate::plan::{Plan, twins};
use crate::report::Event;
use crate::rsync::arguments::arguments;
use crate::rsync::item::line;
use crate::rsync::outcome::judge;
use crate::rsync::{Call, Ended, Item, Judgement, Line, Purpose, Source};

/// An rsync that checks each name against the request takes quadratic time: it is given so many names at a time.
const CHUNK: usize = 4000;

/// The longest wait before a retry.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Modules that share an rsync call, and with it hard links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The source.
    pub upstream: Upstream,
    /// The directory below the mirror root that stands for the source: empty where the source holds the modules' directories.
    pub below: String,
    /// The modules, by number.
    pub modules: Vec<usize>,
}

impl Group {
    /// What stands before a module's paths in a request.
    pub fn prefix(&self, directory: &str) -> Vec<u8> {
        // Some versions of rsync drop names that begin with `#` or `;`: ours never do.
        if self.below.is_empty() { format!("{directory}/").into_bytes() } else { b"./".to_vec() }
    }
}

/// What rsync says of what it was asked for.
pub(super) enum Heard<'h> {
    /// A call began: what an earlier one said counts no more.
    Began,
    /// A name was looked at.
    Item(&'h Item),
    /// A link was not made, because it leads out of the tree.
    Unsafe(&'h [u8]),
}

/// What came of a transfer.
#[derive(Default)]
pub(super) struct Came {
    /// What was asked for, and rsync did not look at: upstream has it no more.
    pub unseen: GivenUp,
    /// Links that lead out of the tree: they are not here, and not missing.
    pub unsafe_links: GivenUp,
}

impl Run<'_> {
    /// The calls that lists are fetched with.
    pub(super) fn list_groups(&self) -> Vec<Group> {
        self.groups(|_| false)
    }

    /// The calls that content is fetched with. A module whose directory is a symbolic link needs one of its own: rsync would
    /// replace the link with a directory.
    fn content_groups(&self) -> Vec<Group> {
        self.groups(|directory| self.root.join(directory).is_symlink())
    }

    fn groups(&self, apart: impl Fn(&str) -> bool) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (index, module) in self.config.modules.iter().enumerate() {
            let (upstream, below) = match (&module.upstream, &self.config.upstream) {
                (Some(own), _) => (own.clone(), module.directory.clone()),
                (None, Some(master)) if apart(&module.directory) => {
                    (Upstream(format!("{}/{}", master.0, module.directory)), module.directory.clone())
                }
                (None, Some(master)) => (master.clone(), String::new()),
                // The configuration was checked: there is one or the other.
                (None, None) => continue,
            };
            match groups.iter_mut().find(|group| group.upstream == upstream && group.below == below) {
                Some(group) => group.modules.push(index),
                None => groups.push(Group { upstream, below, modules: vec![index] }),
            }
        }
        groups
    }

    /// Fetches what the plan says. Where something of a class does not come, and asking for newer lists may help, the classes after
    /// it are left alone: a client must not see a pointer to what is not here.
    pub(super) fn transfer(
        &self,
        plan: &Plan<'_>,
        readings: &mut [Reading<'_>],
        given_up: &GivenUp,
        may_ask_again: bool,
    ) -> Result<Came, Failure> {
        let mut came = Came::default();
        for group in self.content_groups() {
            let names = self.names(plan, readings, &group);
            for class in Class::ALL {
                if let Err(failure) = self.transfer_class(plan, &group, class, &names, readings, &mut came) {
                    if matches!(failure.status, Status::Interrupted | Status::Terminated) {
                        return Err(failure);
                    }
                    self.block(&group, readings, failure);
                    break;
                }
                if may_ask_again && came.unseen.iter().any(|entry| !given_up.contains(entry)) {
                    break;
                }
            }
        }
        Ok(came)
    }

    /// The modules of a group are not committed: what the first of them says holds for all.
    fn block(&self, group: &Group, readings: &mut [Reading<'_>], failure: Failure) {
        let mut concerned = readings.iter_mut().filter(|reading| group.modules.contains(&reading.module));
        if let Some(first) = concerned.next() {
            self.failed(first.module, &failure);
            first.blocked = true;
        }
        concerned.for_each(|reading| reading.blocked = true);
    }

    /// Everything that is to be named in one group: what is fetched, and the twins beside it.
    fn names<'t>(&self, plan: &Plan<'t>, readings: &[Reading<'t>], group: &Group) -> Vec<Name<'t>> {
        let mut names = Vec::new();
        for (module, of_module) in plan.modules.iter().enumerate().filter(|(module, _)| group.modules.contains(module))
        {
            for fetch in &of_module.fetch {
                names.push(Name {
                    module,
                    path: fetch.path,
                    class: Class::of(fetch.path, fetch.kind),
                    ignore_times: needs_ignore_times(fetch.cause),
                });
            }
            debug_assert!(of_module.fetch.is_empty() || readings.iter().any(|reading| reading.module == module));
        }
        let missing = plan.missing();
        for twin in plan.twins.iter().filter(|twin| group.modules.contains(&twin.module)) {
            // A twin must stand in the same request as what it may be linked to.
            let classes: HashSet<Class> =
                missing.names(&twin.key).iter().map(|(_, path)| Class::of(*path, crate::list::Kind::File)).collect();
            let (module, path) = (twin.module, twin.path);
            names.extend(classes.into_iter().map(|class| Name { module, path, class, ignore_times: false }));
        }
        names
    }

    fn transfer_class(
        &self,
        plan: &Plan<'_>,
        group: &Group,
        class: Class,
        names: &[Name<'_>],
        readings: &[Reading<'_>],
        came: &mut Came,
    ) -> Result<(), Failure> {
        let of_class = || names.iter().filter(|name| name.class == class).copied();
        // Pointers are small: all of them are fetched anew if one must be, in one call.
        let all_anew = class == Class::Pointer && of_class().any(|name| name.ignore_times);
        for ignore_times in [false, true] {
            let names: Vec<Name<'_>> =
                of_class().filter(|name| (name.ignore_times || all_anew) == ignore_times).collect();
            let extras = if class == Class::Pointer && ignore_times == all_anew {
                self.extras(group, readings)
            } else {
                Vec::new()
            };
            if names.is_empty() && extras.is_empty() {
                continue;
            }
            self.listener.hear(&Event::Transfer { class, names: names.len() + extras.len() });
            let together = class != Class::Content;
            let purpose = |trust_sender| Purpose::Content { together, ignore_times, trust_sender };
            match self.transfer_names(plan, group, &purpose(true), &names, &extras, came) {
                Err(Trouble::NoTrustSender) => {
                    let chunks = chunks(plan, &names);
                    for (index, chunk) in chunks.iter().enumerate() {
                        let extras = if index == 0 { extras.as_slice() } else { &[] };
                        self.transfer_names(plan, group, &purpose(false), chunk, extras, came)
                            .map_err(Failure::from)?;
                    }
                }
                other => other.map_err(Failure::from)?,
            }
        }
        Ok(())
    }

    /// Files that upstream may have, beside what the lists name: fetched with every change.
    fn extras(&self, group: &Group, readings: &[Reading<'_>]) -> Vec<Vec<u8>> {
        let mut extras = Vec::new();
        for reading in readings.iter().filter(|reading| group.modules.contains(&reading.module) && reading.new_list) {
            let module = &self.config.modules[reading.module];
            let prefix = group.prefix(&module.directory);
            extras.extend(module.extra_files.iter().map(|name| [&prefix, name.as_bytes()].concat()));
        }
        if !extras.is_empty() && group.below.is_empty() {
            extras.extend(self.config.top_files.iter().map(|name| name.clone().into_bytes()));
        }
        extras
    }

    fn transfer_names(
        &self,
        plan: &Plan<'_>,
        group: &Group,
        purpose: &Purpose,
        names: &[Name<'_>],
        extras: &[Vec<u8>],
        came: &mut Came,
    ) -> Result<(), Trouble> {
        let prefix = |module: usize| group.prefix(self.directory(module));
        let said = |name: &[u8]| name.strip_prefix(b"./").unwrap_or(name).to_vec();
        let mut asked: HashMap<Vec<u8>, &Name<'_>> = HashMap::with_capacity(names.len());
        let mut above: HashSet<Vec<u8>> = HashSet::new();
        for name in names {
            let whole = said(&[&prefix(name.module), name.path.bytes()].concat());
            if let Ok(path) = RelPath::new(&whole) {
                above.extend(
                    path.ancestors()
                        .take_while(|above_it| !above.contains(above_it.bytes()))
                        .map(|path| path.bytes().to_vec())
                        .collect::<Vec<_>>(),
                );
            }
            asked.insert(whole, name);
        }
        let extra_names: HashSet<Vec<u8>> = extras.iter().map(|name| said(name)).collect();
        for extra in &extra_names {
            above
                .extend(RelPath::new(extra).into_iter().flat_map(RelPath::ancestors).map(|path| path.bytes().to_vec()));
        }
        let causes = Causes::of(plan);

        let all: HashSet<(usize, RelPath<'_>)> = names.iter().map(|name| (name.module, name.path)).collect();
        let mut unseen = all.clone();
        let mut request: Vec<Vec<u8>> = extras.to_vec();
        request.push(files_from(names.iter().copied(), prefix));
        self.call_once(group, purpose, &request, names.len() + extras.len(), &mut |heard| match heard {
            Heard::Began => {
                unseen.clone_from(&all);
                Ok(())
            }
            Heard::Item(item) => {
                if let Some(name) = asked.get(&item.name) {
                    unseen.remove(&(name.module, name.path));
                    let module = self.name(name.module);
                    self.listener.hear(&Event::Item { module, item, cause: causes.get(name) });
                    Ok(())
                } else if extra_names.contains(&item.name)
                    || item.is_dir() && (above.contains(&item.name) || item.name == b".")
                {
                    Ok(())
                } else {
                    Err(format!("upstream sent {}, which was not asked for", escape(&item.name)))
                }
            }
            Heard::Unsafe(link) => {
                if let Some(name) = asked.get(link) {
                    unseen.remove(&(name.module, name.path));
                    came.unsafe_links.insert((name.module, name.path.to_owned()));
                    let (module, path) = (self.name(name.module), name.path.to_string());
                    self.listener.hear(&Event::UnsafeLink { module, path: &path });
                }
                Ok(())
            }
        })?;
        let twins: HashSet<(usize, RelPath<'_>)> = plan.twins.iter().map(|twin| (twin.module, twin.path)).collect();
        let unseen = unseen.into_iter().filter(|name| !twins.contains(name));
        came.unseen.extend(unseen.map(|(module, path)| (module, path.to_owned())));
        Ok(())
    }

    /// One call for lists, with retries.
    pub(super) fn call(
        &self,
        group: &Group,
        purpose: &Purpose,
        names: &[Vec<u8>],
        listen: &mut dyn FnMut(Heard<'_>) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let request: Vec<Vec<u8>> = names.iter().map(|name| [name.as_slice(), b"\0"].concat()).collect();
        self.call_once(group, purpose, &request, names.len(), listen).map_err(Failure::from)
    }

    /// Calls rsync until it ends in a way that another try would not change.
    fn call_once(
        &self,
        group: &Group,
        purpose: &Purpose,
        request: &[Vec<u8>],
        names: usize,
        listen: &mut dyn FnMut(Heard<'_>) -> Result<(), String>,
    ) -> Result<(), Trouble> {
        let settings = &self.config.rsync;
        let source = Source { upstream: group.upstream.clone(), destination: self.destination(group) };
        let arguments = arguments(settings, &source, purpose);
        let input: Vec<u8> = request.iter().flat_map(|name| terminated(name)).collect();
        let call = Call {
            program: &settings.program,
            arguments: &arguments,
            input: &input,
            silence: settings.timeout,
            deadline: self.deadline,
        };
        let mut waits = backon::ExponentialBuilder::default()
            .with_min_delay(settings.retry_delay)
            .with_max_delay(LONGEST_WAIT.max(settings.retry_delay))
            .with_max_times(settings.retries)
            .with_jitter()
            .build();
        loop {
            self.listener.hear(&Event::Call { program: &settings.program, arguments: &arguments, names });
            if let Err(why) = listen(Heard::Began) {
                return trouble(Status::Bug, why);
            }
            let ended = call.run(self.interrupt, &mut |bytes| match line(bytes) {
                Line::Item(item) => listen(Heard::Item(&item)),
                Line::UnsafeLink(name) => listen(Heard::Unsafe(&name)),
                Line::Received(bytes) => {
                    self.listener.hear(&Event::Received(bytes));
                    Ok(())
                }
                Line::Other => Ok(()),
            });
            let why = match ended {
                Ok(Ended::Itself(code, stderr)) => match judge(code, &stderr) {
                    Judgement::Done | Judgement::Stale => return Ok(()),
                    Judgement::Again(why) => why,
                    Judgement::NoTrustSender => return Err(Trouble::NoTrustSender),
                    Judgement::Local(why) => return trouble(Status::Local, format!("rsync could not write: {why}")),
                    Judgement::Full(why) => return trouble(Status::Space, why),
                    Judgement::Refused(why) => return trouble(Status::Upstream, format!("upstream refuses: {why}")),
                    Judgement::Failed(why) => return trouble(Status::Upstream, format!("rsync failed: {why}")),
                },
                Ok(Ended::Silent) => {
                    format!("rsync was ended: nothing came for {}", humantime::format_duration(settings.timeout))
                }
                Ok(Ended::Late) => return trouble(Status::Upstream, "rsync was ended: the deadline of the run passed"),
                Ok(Ended::Interrupted(signal)) => return trouble(signal.into(), "interrupted; nothing was deleted"),
                Ok(Ended::Disobeyed(why)) => return trouble(Status::Upstream, why),
                Err(error) => {
                    let program = settings.program.display();
                    let error =
                        anyhow::Error::new(error).context(format!("cannot run {program} (setting rsync.program)"));
                    return Err(Trouble::Failure(Failure::new(Status::Usage, error)));
                }
            };
            let Some(wait) = waits.next() else {
                return trouble(Status::Upstream, format!("gave up after {} retries: {why}", settings.retries));
            };
            self.listener.hear(&Event::Retry { why: &why, wait });
            if let Some(signal) = self.interrupt.wait(wait, || false) {
                return trouble(signal.into(), "interrupted; nothing was deleted");
            }
        }
    }

    fn destination(&self, group: &Group) -> PathBuf {
        if group.below.is_empty() { self.root.clone() } else { self.root.join(&group.below) }
    }
}

/// A name and the NUL behind it, if it has none.
fn terminated(name: &[u8]) -> impl Iterator<Item = u8> {
    let end = (!name.is_empty() && !name.ends_with(b"\0")).then_some(0);
    name.iter().copied().chain(end)
}

/// Why a call cannot be made good by another one.
enum Trouble {
    NoTrustSender,
    Failure(Failure),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Failure(failure) => failure,
            Trouble::NoTrustSender => {
                Failure::said(Status::Upstream, "rsync does not know an option that it was not given")
            }
        }
    }
}

fn trouble<T>(status: Status, why: impl std::fmt::Display) -> Result<T, Trouble> {
    Err(Trouble::Failure(Failure::said(status, why)))
}

/// Why each path is fetched.
struct Causes<'p>(HashMap<(usize, RelPath<'p>), FetchCause>);

impl<'p> Causes<'p> {
    fn of(plan: &'p Plan<'_>) -> Causes<'p> {
        let modules = plan.modules.iter().enumerate();
        let causes =
            modules.flat_map(|(module, of)| of.fetch.iter().map(move |fetch| ((module, fetch.path), fetch.cause)));
        Causes(causes.collect())
    }

    fn get(&self, name: &Name<'_>) -> Option<FetchCause> {
        self.0.get(&(name.module, name.path)).copied()
    }
}

/// Cuts names into requests of a bearable size; names that may be one file stay together.
fn chunks<'t>(plan: &Plan<'t>, names: &[Name<'t>]) -> Vec<Vec<Name<'t>>> {
    let mut keys: HashMap<(usize, RelPath<'t>), twins::Key<'t>> = HashMap::new();
    for (module, of) in plan.modules.iter().enumerate() {
        keys.extend(of.fetch.iter().map(|fetch| ((module, fetch.path), twins::Key::of_fetch(fetch))));
    }
    keys.extend(plan.twins.iter().map(|twin| ((twin.module, twin.path), twin.key)));
    let mut chunk_of: HashMap<twins::Key<'t>, usize> = HashMap::new();
    let mut chunks: Vec<Vec<Name<'t>>> = vec![Vec::new()];
    for name in names {
        if chunks[chunks.len() - 1].len() >= CHUNK {
            chunks.push(Vec::new());
        }
        let last = chunks.len() - 1;
        let chunk = keys.get(&(name.module, name.path)).map_or(last, |key| *chunk_of.entry(*key).or_insert(last));
        chunks[chunk].push(*name);
    }
    chunks
}

/// Paths of a module as they are kept between attempts.
pub(super) fn entry(module: usize, path: RelPath<'_>) -> (usize, RelPathBuf) {
    (module, path.to_owned())
}
