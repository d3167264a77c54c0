//! `qfm doctor`: looks at all that a run needs, says what it sees, and changes nothing.
//!
//! Each file here has one group of checks: a look, and a judgement of what was seen. This one has their order, and sees to it that none
//! of them holds up the others: each has a thread to itself and a limit, and what depends on one that failed is skipped.

mod clock;
mod configuration;
mod directories;
mod files;
mod list;
mod probe;
mod restricted;
mod root;
mod rsync;
mod runs;
mod space;
mod state;
mod timer;
mod upstream;
mod user;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config, Loaded, Module};
use crate::exit::Status;
use crate::interrupt::{Interrupt, Waited};
use crate::plan::words::span;
use crate::report::doctor::{Check, Verdict};
use crate::state::State;

/// A look at this machine takes no longer, unless something hangs.
const LOOK: Duration = Duration::from_secs(10);

/// Who was told to end is given so long.
const GRACE: Duration = Duration::from_secs(5);

/// A mirror, as the configuration says that it is.
struct Mirror {
    config: Arc<Config>,
    /// The mirror root, without links.
    root: PathBuf,
    state: State,
}

/// Looks at everything, and tells of each check as soon as it is done. Nothing is left of that but what it says.
///
/// `modules` are those that it is about, by name; empty for all.
///
/// # Errors
/// If it cannot be told.
pub fn examine(
    loaded: Result<Loaded, config::Error>,
    modules: &[String],
    interrupt: &Arc<Interrupt>,
    tell: &mut dyn FnMut(Check) -> io::Result<()>,
) -> io::Result<()> {
    let mut round = Round { interrupt, tell };
    match loaded.and_then(|loaded| loaded.config.require(modules).map(|()| loaded)) {
        Ok(loaded) => round.examine(loaded, modules),
        Err(error) => {
            round.tell(configuration::refused(&error))?;
            round.skip(&["rsync", "upstream", "list", "root", "state", "space"], "without a configuration")
        }
    }
}

/// The checks, one after the other.
struct Round<'r> {
    interrupt: &'r Arc<Interrupt>,
    tell: &'r mut dyn FnMut(Check) -> io::Result<()>,
}

impl Round<'_> {
    fn examine(&mut self, mut loaded: Loaded, modules: &[String]) -> io::Result<()> {
        loaded.config.modules.retain(|module| modules.is_empty() || modules.contains(&module.name));
        self.tell(configuration::checks(&loaded))?;
        let config = Arc::new(loaded.config);
        let of = Arc::clone(&config);
        self.look("credentials", move || (files::credentials(&of), ()))?;
        let seen = self.ask_upstream(&config)?;
        let of = Arc::clone(&config);
        let Some(root) = self.look("root", move || root::checks(&of))?.flatten() else {
            return self.skip(&["user", "directory", "state", "space", "clock", "run"], "without a mirror root");
        };
        let state = State::at(&config.state, &root);
        self.look_around(&Arc::new(Mirror { config, root, state }), seen.unwrap_or_default())
    }

    /// Whether upstream answers, and what its lists say.
    fn ask_upstream(&mut self, config: &Arc<Config>) -> io::Result<Option<list::Seen>> {
        let of = Arc::clone(config);
        let works = self.ask("rsync", LOOK, move |interrupt| rsync::checks(&of, interrupt))?;
        if works != Some(true) {
            return self.skip(&["upstream", "list"], "without an rsync that works").map(|()| None);
        }
        let of = Arc::clone(config);
        let dead = self.ask("upstream", 2 * LOOK, move |interrupt| upstream::checks(&of, interrupt))?;
        let is_dead = |upstream| dead.iter().flatten().any(|dead| dead == upstream);
        let (away, there): (Vec<&Module>, Vec<&Module>) =
            config.modules.iter().partition(|module| config.upstream_of(module).is_some_and(is_dead));
        let skipped = |module: &&Module| Check::skipped("list", &module.name, "its upstream does not answer");
        self.tell(away.iter().map(skipped).collect())?;
        if there.is_empty() {
            return Ok(None);
        }
        let (of, asked) = (Arc::clone(config), there.iter().map(|module| module.name.clone()).collect());
        self.ask("list", list::LIMIT, move |interrupt| list::checks(&of, asked, interrupt))
    }

    /// What is here.
    fn look_around(&mut self, mirror: &Arc<Mirror>, seen: list::Seen) -> io::Result<()> {
        let list::Seen { weighed, dated } = seen;
        self.look_at(mirror, "user", user::checks)?;
        self.look_at(mirror, "directory", directories::checks)?;
        self.look_at(mirror, "state", state::checks)?;
        if weighed.is_empty() {
            self.skip(&["space"], "what is needed is not known without the lists")?;
        } else {
            self.look_at(mirror, "space", move |mirror| space::checks(mirror, &weighed))?;
        }
        self.look_at(mirror, "restricted", restricted::checks)?;
        self.look_at(mirror, "clock", move |mirror| clock::checks(mirror, &dated))?;
        self.look_at(mirror, "run", runs::checks)?;
        self.look_at(mirror, "log", files::checks)?;
        self.look("timer", || (timer::checks(), ())).map(drop)
    }

    fn look_at(
        &mut self,
        mirror: &Arc<Mirror>,
        topic: &'static str,
        act: impl FnOnce(&Mirror) -> Vec<Check> + Send + 'static,
    ) -> io::Result<()> {
        let mirror = Arc::clone(mirror);
        self.look(topic, move || (act(&mirror), ())).map(drop)
    }

    /// Looks at something here, and tells of it. Who asks for the end has it at once.
    fn look<T: Send + 'static>(
        &mut self,
        topic: &'static str,
        act: impl FnOnce() -> (Vec<Check>, T) + Send + 'static,
    ) -> io::Result<Option<T>> {
        let waited = self.interrupt.wait_for(LOOK, act);
        self.tell_of(topic, LOOK, waited)
    }

    /// Calls rsync, and tells of it. That keeps the limit by itself, and ends when the end is asked for, so that nothing is left of it.
    fn ask<T: Send + 'static>(
        &mut self,
        topic: &'static str,
        limit: Duration,
        act: impl FnOnce(&Interrupt) -> (Vec<Check>, T) + Send + 'static,
    ) -> io::Result<Option<T>> {
        let interrupt = Arc::clone(self.interrupt);
        let waited = Interrupt::default().wait_for(limit + GRACE, move || act(&interrupt));
        self.tell_of(topic, limit, waited)
    }

    /// What was seen, and `None` if it took too long, which is told.
    fn tell_of<T>(
        &mut self,
        topic: &'static str,
        limit: Duration,
        waited: Waited<(Vec<Check>, T)>,
    ) -> io::Result<Option<T>> {
        let failed = |found: String, advice| vec![Check::fail(topic, "", Status::Local, found, advice)];
        let (checks, seen) = match waited {
            Waited::Done((checks, seen)) => (checks, Some(seen)),
            Waited::TooLong => {
                let found = format!("no answer within {}", span(limit));
                (failed(found, "a file system hangs (NFS?), or the machine is under load: see dmesg and uptime"), None)
            }
            Waited::BrokeOff => {
                (failed("the look broke off".to_owned(), "this is a bug of qfm: please report it"), None)
            }
            Waited::Interrupted(_) => (Vec::new(), None),
        };
        self.tell(checks)?;
        Ok(seen)
    }

    fn skip(&mut self, topics: &[&'static str], why: &str) -> io::Result<()> {
        self.tell(topics.iter().map(|topic| Check::skipped(topic, "", why)).collect())
    }

    /// Who asked for the end is told nothing more.
    fn tell(&mut self, checks: Vec<Check>) -> io::Result<()> {
        let wanted = checks.into_iter().filter(|_| self.interrupt.raised().is_none());
        wanted.into_iter().try_for_each(&mut *self.tell)
    }
}

/// Whether nothing failed.
fn is_well(checks: &[Check]) -> bool {
    !checks.iter().any(|check| matches!(check.verdict, Verdict::Fail(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_costs_its_line_and_who_asked_for_the_end_is_told_nothing() {
        let (interrupt, mut told) = (Arc::new(Interrupt::default()), Vec::new());
        let mut round = Round {
            interrupt: &interrupt,
            tell: &mut |check| {
                told.push(check);
                Ok(())
            },
        };
        assert_eq!(round.tell_of::<()>("state", LOOK, Waited::TooLong).unwrap(), None);
        assert_eq!(
            round.tell_of("root", LOOK, Waited::Done((vec![Check::ok("root", "", "there")], 7))).unwrap(),
            Some(7)
        );
        interrupt.raise(crate::interrupt::Signal::Interrupt);
        round.skip(&["space"], "never told").unwrap();
        assert_eq!((told[0].verdict, told[0].found.as_str()), (Verdict::Fail(Status::Local), "no answer within 10s"));
        assert_eq!(told[1..], [Check::ok("root", "", "there")]);
    }
}
