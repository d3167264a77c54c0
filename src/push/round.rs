//! Everybody is told, in the order and with the waits that are asked for.
//!
//! Who has no stages is told once. Who has them is told of the first; when all of them are done with it, or the time for that is over, of the
//! second. Everybody has a thread, so that nobody waits for one who hangs; so many as `push.jobs` says are spoken to at once.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::downstream::{End, Stage, Told, Trouble, arguments, tell, words};
use super::runmirrors::{self, Pause, Step};
use crate::config::{Downstream, Push, Ssh, Stages, Way, Wrong, kept, secret};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::report::record::Pushed;
use crate::report::{Event, Listener};

/// What the others are told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Something is new here.
    News,
    /// The first stage is here, and the second comes when all who are told of it have theirs: those without stages are told then.
    FirstStage,
}

/// Who is to be told, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round<'r> {
    push: &'r Push,
    steps: Vec<Step>,
    /// What is wrong with the file that names them.
    faults: Vec<String>,
}

impl<'r> Round<'r> {
    /// Everybody. What is wrong with the file that names them is told with how it went.
    pub fn new(push: &'r Push) -> Round<'r> {
        let mut steps: Vec<Step> = push.downstreams.iter().cloned().map(Step::Tell).collect();
        let mut faults = Vec::new();
        if let Some(path) = &push.mirrors {
            match kept::read(path) {
                Ok(bytes) => {
                    let (mut more, bad) = runmirrors::read(path, &bytes);
                    let is_url = |step: &Step| matches!(step, Step::Tell(Downstream { way: Way::Url(_), .. }));
                    if more.iter().any(is_url)
                        && let Err(Wrong { what, hint }) = kept::check(path, "the URLs")
                    {
                        more.retain(|step| !is_url(step));
                        faults.push(format!("{what}: its lines with a URL, which is a secret, are left out ({hint})"));
                    }
                    steps.extend(more);
                    faults.extend(bad.iter().map(ToString::to_string));
                }
                Err(error) => faults.push(format!("cannot read {}: {error}", path.display())),
            }
        }
        Round { push, steps, faults }
    }

    /// What is wrong with the file that names them: in words, with its path.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Those of these names alone, without any pause; everybody if there is none.
    ///
    /// # Errors
    /// A name that nobody has, and those that somebody has.
    pub fn only(mut self, names: &[String]) -> Result<Round<'r>, (String, Vec<String>)> {
        let known: Vec<&String> = self.names().collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            return Err((unknown.clone(), known.into_iter().cloned().collect()));
        }
        if !names.is_empty() {
            self.steps.retain(|step| matches!(step, Step::Tell(of) if names.contains(&of.name)));
        }
        Ok(self)
    }

    /// Tells them; how that went is told to `listener`.
    pub fn run(&self, occasion: Occasion, interrupt: &Interrupt, listener: &dyn Listener) {
        self.tell_faults(listener);
        let takes_part =
            |step: &&Step| occasion == Occasion::News || !matches!(step, Step::Tell(of) if of.stages == Stages::None);
        let steps: Vec<&Step> = self.steps.iter().filter(takes_part).collect();
        let staged = self.staged().count();
        let end = self.end(occasion);
        let meeting = Meeting { push: self.push, interrupt, listener, end, staged, state: Mutex::default() };
        std::thread::scope(|scope| {
            let meeting = &meeting;
            for step in steps {
                match step {
                    Step::Pause(pause) => meeting.pause(*pause),
                    Step::Tell(downstream) => {
                        meeting.expect(downstream);
                        scope.spawn(move || meeting.attend(downstream, occasion));
                    }
                }
            }
        });
        if let Some(signal) = interrupt.raised() {
            let error = anyhow::anyhow!("interrupted; not all downstreams were told");
            listener.hear(&Event::Failed { module: None, error: &error, status: signal.into() });
        }
    }

    /// When all is over. A session waits for the first stage of others, and whose it is has more mirrors that wait for it.
    fn end(&self, occasion: Occasion) -> End {
        let (limit, setting) = match occasion {
            Occasion::FirstStage if self.push.stage_wait < self.push.deadline => {
                (self.push.stage_wait, "push.stage_wait")
            }
            Occasion::FirstStage | Occasion::News => (self.push.deadline, "push.deadline"),
        };
        End { at: Instant::now() + limit, limit, setting }
    }

    /// What would be called, in words.
    pub fn show(&self, listener: &dyn Listener) -> String {
        self.tell_faults(listener);
        let line =
            |of: &Downstream, stage: Stage| format!("{} ({}): {}\n", of.name, stage.word(), self.call(of, stage));
        let first = self.steps.iter().map(|step| match step {
            Step::Tell(of) => line(of, if of.stages == Stages::None { Stage::All } else { Stage::One }),
            Step::Pause(Pause { time, until_stage_1 }) => {
                let or = if *until_stage_1 { ", or until stage 1 is done" } else { "" };
                format!("pause of {} s{or}\n", time.as_secs())
            }
        });
        let second: Vec<String> = self.staged().map(|of| line(of, Stage::Two)).collect();
        let wait = humantime::format_duration(self.push.stage_wait);
        let between = format!("when all are done with stage 1, or {wait} after the first of them:\n");
        first.chain((!second.is_empty()).then_some(between)).chain(second).collect()
    }

    /// The names of all of them, in their order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.downstreams().map(|of| &of.name)
    }

    fn downstreams(&self) -> impl Iterator<Item = &Downstream> {
        self.steps.iter().filter_map(|step| if let Step::Tell(of) = step { Some(of) } else { None })
    }

    /// Those who are told in stages.
    fn staged(&self) -> impl Iterator<Item = &Downstream> {
        self.downstreams().filter(|of| of.stages != Stages::None)
    }

    /// A call as one would type it.
    fn call(&self, downstream: &Downstream, stage: Stage) -> String {
        let Way::Ssh(ssh) = &downstream.way else { return format!("GET {}", secret::MASK) };
        let shown = Push { options: secret::mask_options(&self.push.options), ..self.push.clone() };
        let ssh = Ssh { options: secret::mask_options(&ssh.options), ..ssh.clone() };
        let words = words(&shown, &ssh, downstream.stages, stage);
        let arguments = arguments(&shown, &ssh, &words);
        let words = std::iter::once(self.push.ssh.as_os_str()).chain(arguments.iter().map(AsRef::as_ref));
        let quoted = words.map(|word| {
            let word = word.to_string_lossy();
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_~".contains(c);
            if !word.is_empty() && word.chars().all(is_plain) {
                word.into_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    fn tell_faults(&self, listener: &dyn Listener) {
        for fault in &self.faults {
            if self.push.strict {
                let error = anyhow::anyhow!("{fault}");
                listener.hear(&Event::Failed { module: None, error: &error, status: Status::Notify });
            } else {
                listener.hear(&Event::Warning(fault));
            }
        }
    }
}

/// Where those meet who are told at the same time.
struct Meeting<'m> {
    push: &'m Push,
    interrupt: &'m Interrupt,
    listener: &'m dyn Listener,
    /// All is over then.
    end: End,
    /// How many have stages.
    staged: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many are spoken to.
    spoken_to: usize,
    /// How many of those with stages had their turn, …
    begun: usize,
    /// … and how many of them are done with the first, or will not be.
    done: usize,
    /// When the first of them was.
    first: Option<Instant>,
}

impl Meeting<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Changes the state, and has everybody look at it who waits.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.interrupt.wake();
    }

    /// Somebody has their turn.
    fn expect(&self, downstream: &Downstream) {
        if downstream.stages != Stages::None {
            self.state().begun += 1;
        }
    }

    fn left(&self) -> Duration {
        self.end.at.saturating_duration_since(Instant::now())
    }

    fn pause(&self, Pause { time, until_stage_1 }: Pause) {
        let is_over = || {
            let state = self.state();
            until_stage_1 && state.done == state.begun
        };
        self.interrupt.wait(time.min(self.left()), is_over);
    }

    /// Tells one of them all that they are to be told.
    fn attend(&self, downstream: &Downstream, occasion: Occasion) {
        if downstream.stages == Stages::None {
            self.tell(downstream, Stage::All);
            return;
        }
        let in_time = self.tell(downstream, Stage::One);
        self.change(|state| {
            state.done += 1;
            state.first.get_or_insert_with(Instant::now);
        });
        // Who was not reached may be by then, and then hears of all at once.
        if occasion == Occasion::News && in_time {
            self.wait_for_the_others();
            self.tell(downstream, Stage::Two);
        }
    }

    /// Waits until all are done with their first stage, or have had their time.
    fn wait_for_the_others(&self) {
        let until = self.state().first.map_or(self.end.at, |first| first + self.push.stage_wait).min(self.end.at);
        self.interrupt.wait(until.saturating_duration_since(Instant::now()), || self.state().done == self.staged);
    }

    /// Tells one of them one thing, and says how that went. Whether it was over in time.
    fn tell(&self, downstream: &Downstream, stage: Stage) -> bool {
        let has_room = || self.state().spoken_to < self.push.jobs;
        loop {
            if self.interrupt.wait(self.left(), has_room).is_some() {
                return false;
            }
            let mut state = self.state();
            if state.spoken_to < self.push.jobs || self.left().is_zero() {
                state.spoken_to += 1;
                break;
            }
        }
        let begun = Instant::now();
        let told = tell(self.push, downstream, stage, self.end, self.interrupt);
        self.change(|state| state.spoken_to -= 1);
        if !matches!(told, Err(Trouble::Interrupted(_))) {
            self.listener.hear(&Event::Pushed(&Pushed {
                downstream: downstream.name.clone(),
                stage: stage.word(),
                seconds: (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
                exit: if let Ok(Told::Exit(code)) = told { Some(code) } else { None },
                error: told.as_ref().err().map(ToString::to_string),
                strict: self.push.strict,
            }));
        }
        !matches!(told, Err(Trouble::Late { .. } | Trouble::Interrupted(_)))
    }
}
