//! A program that an admin has configured, as a process: started, waited for, and ended with its group.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::interrupt::Interrupt;
use crate::path::escape;

/// So much of what a process said last is kept, in bytes, …
const LAST_BYTES: usize = 2 << 10;

/// … and so many lines of that are told.
const LAST_LINES: usize = 5;

/// How often it is looked whether a process that says nothing is over.
const HEAR_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// No wait.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// So much may be in a pipe when who wrote it is over, in bytes.
const PIPE: usize = 64 << 10;

/// After SIGTERM, so long until SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// How often it is looked whether a process that was told to end did.
const TICK: Duration = Duration::from_millis(20);

/// A wait without a limit is made of waits of this length.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(u8),
    /// By a signal that was not ours.
    Signal(u8),
    /// We ended it: the deadline passed.
    Late,
    /// We ended it: somebody asked us to end.
    Interrupted,
}

/// Runs a program in a group of its own to its end, as [`wait`] does; with the last lines that it said on standard error, which go to that of
/// this process as they come.
pub fn run_and_hear(
    command: &mut Command,
    time: Option<Duration>,
    interrupt: &Interrupt,
) -> (io::Result<Ended>, Vec<String>) {
    let mut child = match spawn(command.stderr(Stdio::piped())) {
        Ok(child) => child,
        Err(error) => return (Err(error), Vec::new()),
    };
    let stderr = child.stderr.take();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let hearing = stderr.map(|stderr| scope.spawn(|| hear(stderr, &over)));
        let ended = wait(child, time, interrupt);
        over.store(true, Ordering::Release);
        let said = hearing.and_then(|hearing| hearing.join().ok()).unwrap_or_default();
        (ended, last_lines(&said))
    })
}

/// Hands on what is said until the end of it; returns the last of that. Once the process is over, what it left behind may hold the pipe open:
/// then it ends when that is empty.
fn hear(mut from: ChildStderr, over: &AtomicBool) -> Vec<u8> {
    let (mut last, mut buffer) = (Vec::new(), [0; LAST_BYTES]);
    let mut after_end = 0;
    while after_end < PIPE {
        // Looked at before the pipe is: what was said until then is in it.
        let is_over = over.load(Ordering::Acquire);
        let patience = if is_over { AT_ONCE } else { HEAR_EVERY };
        match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&patience)) {
            Ok(0) if is_over => break,
            Ok(0) | Err(Errno::INTR) => continue,
            _ => {}
        }
        // Nowhere is left to say that a pipe cannot be read, or that standard error is gone.
        let Ok(read @ 1..) = from.read(&mut buffer) else { break };
        drop(io::stderr().write_all(&buffer[..read]));
        last.extend_from_slice(&buffer[..read]);
        last.drain(..last.len().saturating_sub(LAST_BYTES));
        after_end += if is_over { read } else { 0 };
    }
    last
}

/// The last lines of a text that say anything, escaped.
fn last_lines(said: &[u8]) -> Vec<String> {
    let lines = said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let mut lines: Vec<String> = lines.rev().take(LAST_LINES).map(escape).collect();
    lines.reverse();
    lines
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
    let number = |number: Option<i32>| number.and_then(|number| u8::try_from(number).ok());
    let by_itself = || number(status.code()).map(Ended::Code).or_else(|| number(status.signal()).map(Ended::Signal));
    why.or_else(by_itself).ok_or_else(|| io::Error::other(format!("it has an end that is none: {status}")))
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
