//! A process that does the work of a job: started, waited for, and ended with its group.

use std::io;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::interrupt::Interrupt;

/// After SIGTERM, so long until SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// How often it is looked whether a process that was told to end did.
const TICK: Duration = Duration::from_millis(20);

/// A wait without a limit is made of waits of this length.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or by a signal that was not ours.
    Itself(Option<u8>),
    /// We ended it: the deadline passed.
    Late,
    /// We ended it: somebody asked us to end.
    Interrupted,
}

/// Starts a program that gets the three streams and no other descriptor, whatever this process was left by who started it.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    command.spawn()
}

/// Waits for the end of a process, and ends it with its group when its time is over, or ours.
pub fn wait(mut child: Child, time: Option<Duration>, interrupt: &Interrupt) -> io::Result<Ended> {
    let group = Pid::from_child(&child);
    let over = AtomicBool::new(false);
    let why = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let waited = wait_without_reaping(group);
            over.store(true, Ordering::Release);
            interrupt.wake();
            waited
        });
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        let why = watch(&over, deadline, interrupt);
        if why.is_some() {
            end(group, &over);
        }
        waiter.join().map_err(|_| io::Error::other("the thread that waits for it panicked"))??;
        // What it left behind in its group has nothing more to do.
        signal(group, Signal::KILL);
        io::Result::Ok(why)
    })?;
    let status = child.wait()?;
    Ok(why.unwrap_or_else(|| Ended::Itself(status.code().and_then(|code| u8::try_from(code).ok()))))
}

/// Looks on until the process is over. Why it is to be ended before that, if it is.
fn watch(over: &AtomicBool, deadline: Option<Instant>, interrupt: &Interrupt) -> Option<Ended> {
    let is_over = || over.load(Ordering::Acquire);
    loop {
        let left = deadline.map_or(DAY, |deadline| deadline.saturating_duration_since(Instant::now()));
        let signal = interrupt.wait(left.min(DAY), is_over);
        match signal {
            _ if is_over() => return None,
            Some(_) => return Some(Ended::Interrupted),
            None if left.is_zero() => return Some(Ended::Late),
            None => {}
        }
    }
}

/// Ends a group: TERM, and what is still there after a while KILL.
fn end(group: Pid, over: &AtomicBool) {
    signal(group, Signal::TERM);
    let told = Instant::now();
    while !over.load(Ordering::Acquire) && told.elapsed() < GRACE {
        // The interrupt may be raised already, and would end each wait at once.
        std::thread::park_timeout(TICK);
    }
    signal(group, Signal::KILL);
}

fn signal(group: Pid, signal: Signal) {
    // A group that is gone already needs no signal.
    let _gone = rustix::process::kill_process_group(group, signal);
}

/// Waits for the end of a process, and leaves it to be reaped: until then its id means nobody else.
fn wait_without_reaping(pid: Pid) -> io::Result<()> {
    loop {
        match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            waited => return waited.map(drop).map_err(io::Error::from),
        }
    }
}
