//! Having rsync fetch what differs: one call for each publication class of an upstream, content before indexes before pointers.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::call::{Heard, Trouble};
use super::groups::Group;
use super::reading::Reading;
use super::text::Lists;
use super::{Failure, GivenUp, Left, Run};
use crate::exit::Status;
use crate::path::{RelPath, RelPathBuf};
use crate::plan::Plan;
use crate::plan::compare::By;
use crate::plan::publish::Class;
use crate::plan::request::{Name, Part, Place, Request, Role, leave_directories_to_the_last};
use crate::plan::twins::{Key, Missing};
use crate::report::Event;
use crate::rsync::{Arrival, Purpose};

/// An rsync that checks each name against the request takes quadratic time: it is given so many names at a time.
const CHUNK: usize = 4000;

/// A file of so many bytes is worth going on with where it was cut off.
pub(super) const LARGE: u64 = 16 << 20;

/// What came of a transfer.
#[derive(Default)]
pub(super) struct Came {
    /// What was asked for, and rsync did not look at: upstream has it no more; and pointers that stay as they are.
    pub left: Left,
    /// Links that lead out of the tree: they are not here, and not missing.
    pub unsafe_links: GivenUp,
}

impl Run<'_> {
    /// Fetches what the plan says. Where something of a class does not come, and asking for newer lists may help, the classes after
    /// it are left alone: a client must not see a pointer to what is not here.
    ///
    /// # Errors
    /// If the run was interrupted. Other trouble is reported, and blocks the modules that it concerns.
    pub(super) fn transfer(
        &self,
        plan: &Plan<'_>,
        groups: &[Group],
        readings: &mut [Reading<'_>],
        lists: &Lists,
        given_up: &GivenUp,
        may_ask_again: bool,
    ) -> Result<Came, Failure> {
        let mut came = Came::default();
        for group in groups {
            let parts = self.parts(plan, readings, group);
            for class in Class::ALL.into_iter().filter(|class| self.options.brings(*class)) {
                if let Err(failure) = self.transfer_class(group, class, &parts, (readings, lists), &mut came) {
                    if matches!(failure.status, Status::Interrupted | Status::Terminated) {
                        return Err(failure);
                    }
                    self.block(group, readings, &failure);
                    break;
                }
                if may_ask_again && came.left.entries.iter().any(|entry| !given_up.contains(entry)) {
                    break;
                }
            }
        }
        Ok(came)
    }

    /// No module of a group is committed; the reason is said once.
    fn block(&self, group: &Group, readings: &mut [Reading<'_>], failure: &Failure) {
        self.listener.hear(&Event::Failed { module: None, error: &failure.error, status: failure.status });
        let concerned = readings.iter_mut().filter(|reading| group.modules.contains(&reading.module));
        concerned.for_each(|reading| reading.blocked = true);
    }

    /// Everything that is to be named in one group: what is fetched, the twins beside it, and what lies beside new lists. Where
    /// something failed in a module, nothing of it is named that leads clients to the rest: it may be what is not here.
    fn parts<'n, 't: 'n>(&'n self, plan: &Plan<'t>, readings: &[Reading<'t>], group: &Group) -> Vec<Part<'n>> {
        let missing = if plan.twins.is_empty() { Missing::default() } else { plan.missing() };
        let part = |&module: &usize| {
            let fetched = plan.modules[module].fetch.iter().map(Name::fetched);
            let twins = plan.twins.iter().filter(|twin| twin.module == module);
            let twins = twins.flat_map(|twin| Name::twin(twin, &missing));
            let reading = readings.iter().find(|reading| reading.module == module);
            let is_blocked = reading.is_some_and(|reading| reading.blocked);
            let has_new_list = reading.is_some_and(|reading| reading.new_list);
            let beside = self.config.modules[module].extra_files.iter().filter(|_| has_new_list);
            let extras = beside.filter_map(|name| RelPath::new(name.as_bytes()).ok()).map(Name::extra);
            let prefix = group.prefix(self.directory(module));
            let names = fetched.chain(twins).chain(extras);
            Part { module, prefix, names: names.filter(|name| !is_blocked || name.class == Class::Content).collect() }
        };
        let mut parts: Vec<Part<'n>> = group.modules.iter().map(part).collect();
        leave_directories_to_the_last(&mut parts);
        parts
    }

    fn transfer_class(
        &self,
        group: &Group,
        class: Class,
        parts: &[Part<'_>],
        known: (&[Reading<'_>], &Lists),
        came: &mut Came,
    ) -> Result<(), Failure> {
        let of_class = || parts.iter().flat_map(|part| &part.names).filter(|name| name.class == class);
        // Other names of the same file are named with it: rsync links what stands in one request.
        let mut doubted: HashMap<Key<'_>, By> = HashMap::new();
        for name in of_class().filter(|name| name.by != By::Time) {
            name.key.into_iter().for_each(|key| {
                let by = doubted.entry(key).or_insert(name.by);
                *by = name.by.max(*by);
            });
        }
        let by = |name: &Name<'_>| name.key.and_then(|key| doubted.get(&key).copied()).unwrap_or(By::Time);
        // Pointers are small: all of them come in the way that one of them must, in one call.
        let of_all = of_class().map(by).max().filter(|_| class == Class::Pointer);
        for way in [By::Time, By::Content, By::Nothing] {
            let wanted = |name: &Name<'_>| name.class == class && of_all.unwrap_or_else(|| by(name)) == way;
            let only = |more: &dyn Fn(&Name<'_>) -> bool| -> Vec<Part<'_>> {
                parts.iter().map(|part| part.only(|name| wanted(name) && more(name))).collect()
            };
            let purpose = |arrival, ways: Ways| {
                let (by, trust_sender) = (ways.by(way), ways.trust_sender);
                Purpose::Content { beside: None, arrival, by, trust_sender }
            };
            // What lies beside a list may be as large as that, and leads nobody anywhere: it is not looked at first.
            let is_extra = |name: &Name<'_>| name.role == Role::Extra;
            let switches = class == Class::Pointer && of_class().any(|name| wanted(name) && name.is_pointer());
            if switches {
                let request = Request::new(&group.within, only(&|name| !is_extra(name)), &[]);
                self.listener.hear(&Event::Transfer { class, names: request.len() });
                self.switch(group, known, &request, |ways| purpose(Arrival::Together, ways), came)?;
            }
            let parts = only(&|name| !switches || is_extra(name));
            let has_extras = parts.iter().flat_map(|part| &part.names).any(is_extra);
            let top: Vec<&str> = self.config.top_files.iter().map(String::as_str).filter(|_| has_extras).collect();
            let request = Request::new(&group.within, parts, if group.below.is_empty() { &top } else { &[] });
            if request.is_empty() {
                continue;
            }
            self.listener.hear(&Event::Transfer { class, names: request.len() });
            let arrival = match class {
                Class::Content if request.has_file_of(LARGE) => Arrival::Resumable,
                Class::Content => Arrival::AtOnce,
                Class::Index | Class::Pointer => Arrival::Together,
            };
            in_calls(&request, |ways, names| self.transfer_names(group, &purpose(arrival, ways), names, came))?;
        }
        Ok(())
    }

    /// One request: what comes of it is told, and what is not heard of is remembered.
    pub(super) fn transfer_names(
        &self,
        group: &Group,
        purpose: &Purpose,
        request: &Request<'_>,
        came: &mut Came,
    ) -> Result<(), Trouble> {
        // What is in doubt may be linked to, or given another mode.
        let in_doubt = if purpose.doubts_times() { HashSet::new() } else { request.in_doubt() };
        let since = (!in_doubt.is_empty()).then(|| self.moment());
        let mut changes_doubted = false;
        let mut seen: HashSet<Place, RandomState> = HashSet::default();
        let mut unsafe_links: Vec<(usize, RelPathBuf)> = Vec::new();
        let called = self.call(group, purpose, request, &mut |heard| match heard {
            Heard::Began => {
                seen.clear();
                unsafe_links.clear();
            }
            Heard::Item(place, item) => {
                seen.insert(place);
                let (module, name) = request.at(place);
                changes_doubted |= item.is_changed() && name.key.is_some_and(|key| in_doubt.contains(&key));
                let cause = if let Role::Fetch(cause) = name.role { Some(cause) } else { None };
                self.listener.hear(&Event::Item { module: self.name(module), item, cause });
            }
            Heard::Unsafe(place) => {
                seen.insert(place);
                let (module, name) = request.at(place);
                unsafe_links.push((module, name.path.to_owned()));
            }
        });
        if let Some(since) = since.filter(|_| changes_doubted || called.is_err()) {
            self.keep_doubt(since);
        }
        called?;
        for (module, path) in unsafe_links {
            let shown = path.as_path().to_string();
            self.listener.hear(&Event::UnsafeLink { module: self.name(module), path: &shown });
            came.unsafe_links.insert((module, path));
        }
        let unseen = request.fetched().filter(|(place, ..)| !seen.contains(place));
        came.left.entries.extend(unseen.map(|(_, module, path)| (module, path.to_owned())));
        Ok(())
    }
}

/// What an rsync is trusted with until it refuses.
#[derive(Clone, Copy)]
pub(super) struct Ways {
    /// It knows the option that spares it its own check of names.
    pub trust_sender: bool,
    /// The daemon makes checksums.
    pub checksums: bool,
}

impl Ways {
    /// By what it tells whether a file is the one: without checksums it makes anew what it should read.
    pub fn by(self, wanted: By) -> By {
        if wanted == By::Content && !self.checksums { By::Nothing } else { wanted }
    }
}

/// Makes one call for a request; or, for an rsync that cannot trust the sender, as many as such an rsync needs.
pub(super) fn in_calls(
    request: &Request<'_>,
    mut call: impl FnMut(Ways, &Request<'_>) -> Result<(), Trouble>,
) -> Result<(), Failure> {
    let mut ways = Ways { trust_sender: true, checksums: true };
    loop {
        let ended = if ways.trust_sender {
            call(ways, request)
        } else {
            request.chunks(CHUNK).iter().try_for_each(|chunk| call(ways, chunk))
        };
        match ended {
            Err(Trouble::NoTrustSender) if ways.trust_sender => ways.trust_sender = false,
            Err(Trouble::NoChecksums) if ways.checksums => ways.checksums = false,
            ended => return ended.map_err(Failure::from),
        }
    }
}
