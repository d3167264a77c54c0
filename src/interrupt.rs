//! A request to end: from a signal, to everything that takes long.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::exit::Status;

/// Which signal asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: somebody at the terminal.
    Interrupt,
    /// SIGTERM or SIGHUP: the system, or a terminal that went.
    Terminate,
}

impl From<Signal> for Status {
    fn from(signal: Signal) -> Status {
        match signal {
            Signal::Interrupt => Status::Interrupted,
            Signal::Terminate => Status::Terminated,
        }
    }
}

/// Raised once, seen by all, never taken back.
#[derive(Debug, Default)]
pub struct Interrupt {
    signal: Mutex<Option<Signal>>,
    changed: Condvar,
}

impl Interrupt {
    /// Asks for the end. The first signal counts.
    pub fn raise(&self, signal: Signal) {
        self.lock().get_or_insert(signal);
        self.changed.notify_all();
    }

    /// The signal that asked for the end, if any did.
    pub fn raised(&self) -> Option<Signal> {
        *self.lock()
    }

    /// Wakes everybody who waits, to look at what they wait for.
    pub fn wake(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Waits until `time` has passed, the end is asked for, or `done` says so after a [`Interrupt::wake`].
    pub fn wait(&self, time: Duration, done: impl Fn() -> bool) -> Option<Signal> {
        let until = Instant::now() + time;
        let mut signal = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if signal.is_some() || left.is_zero() || done() {
                return *signal;
            }
            signal = self.changed.wait_timeout(signal, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Signal>> {
        // A value that is set once is whole, whatever became of who set it.
        self.signal.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
