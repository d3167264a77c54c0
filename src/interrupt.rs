//! A request to end: from a signal, to everything that takes long.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::exit::Status;

/// The time between two looks whether the end is asked for, while something is waited for that cannot be woken.
const MOMENT: Duration = Duration::from_millis(20);

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

/// What became of something that was not waited for longer than it may take.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited<T> {
    /// It is done.
    Done(T),
    /// It took too long, and was left to itself.
    TooLong,
    /// It ended without a word.
    BrokeOff,
    /// The end was asked for.
    Interrupted(Signal),
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

    /// Does something, and waits for it so long at most. It has a thread of its own: what it waits for cannot hold anybody, whatever
    /// that is.
    pub fn wait_for<T: Send + 'static>(&self, limit: Duration, act: impl FnOnce() -> T + Send + 'static) -> Waited<T> {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            // Whoever asked may have stopped listening.
            drop(tell.send(act()));
        });
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match told.recv_timeout(left.min(MOMENT)) {
                Ok(done) => return Waited::Done(done),
                Err(RecvTimeoutError::Disconnected) => return Waited::BrokeOff,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(signal) = self.raised() {
                        return Waited::Interrupted(signal);
                    }
                    if left.is_zero() {
                        return Waited::TooLong;
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Signal>> {
        // A value that is set once is whole, whatever became of who set it.
        self.signal.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_longer_than_it_may_take_nor_after_a_signal() {
        let interrupt = Interrupt::default();
        let hour = Duration::from_secs(3600);
        assert_eq!(interrupt.wait_for(hour, || 7), Waited::Done(7));
        assert_eq!(interrupt.wait_for(Duration::ZERO, thread::park), Waited::TooLong);
        assert_eq!(interrupt.wait_for(hour, || std::panic::resume_unwind(Box::new(()))), Waited::<()>::BrokeOff);
        interrupt.raise(Signal::Interrupt);
        assert_eq!(interrupt.wait_for(hour, thread::park), Waited::Interrupted(Signal::Interrupt));
    }
}
