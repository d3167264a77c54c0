//! One rsync process: started in a group of its own, fed, listened to, watched, ended.
//!
//! rsync's `--timeout` does not protect a pull (reference: rsync), so a watchdog of ours does: no byte read for too long, or
//! the deadline passed, and the group gets TERM, two seconds, KILL. The process does not outlive us either.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::interrupt::{self, Interrupt};

/// After TERM, so long until KILL.
const GRACE: Duration = Duration::from_secs(2);

/// How much of stderr is kept: its beginning and its end tell what happened.
const STDERR_KEPT: usize = 64 << 10;

/// One call to be made.
pub struct Call<'c> {
    /// The program.
    pub program: &'c Path,
    /// Its arguments.
    pub arguments: &'c [OsString],
    /// Writes what it reads from stdin.
    pub input: &'c (dyn Fn(&mut dyn Write) -> io::Result<()> + Sync),
    /// No byte for so long ends it.
    pub silence: Duration,
    /// It ends at this moment at the latest.
    pub deadline: Option<Instant>,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself: exit code (`None`: by a signal that was not ours) and stderr.
    Itself(Option<i32>, String),
    /// We ended it: nothing came for too long.
    Silent,
    /// We ended it: the deadline passed.
    Late,
    /// We ended it: somebody asked us to end.
    Interrupted(interrupt::Signal),
    /// We ended it: it said something that it must not.
    Disobeyed(String),
}

impl Call<'_> {
    /// Makes the call. Each line of stdout goes to `listen`, without its LF; an error from there ends the call.
    ///
    /// # Errors
    /// If the program cannot be started, or not be listened to.
    pub fn run(&self, interrupt: &Interrupt, listen: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> io::Result<Ended> {
        let mut child = self.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("no pipe to the program"));
        };
        let pid = Pid::from_child(&child);
        let watched = Watched { pid: Mutex::new(Some(pid)), lines: AtomicU64::new(0), over: AtomicBool::new(false) };
        std::thread::scope(|scope| {
            // Whoever does not read what we write says on stderr why: a broken pipe tells nothing more.
            scope.spawn(move || {
                let mut stdin = BufWriter::new(stdin);
                (self.input)(&mut stdin).and_then(|()| stdin.flush()).is_ok()
            });
            let stderr = scope.spawn(|| read_stderr(stderr));
            let watchdog = scope.spawn(|| self.watch(&watched, interrupt));
            let heard = hear(BufReader::new(stdout), &watched.lines, listen);
            if !matches!(heard, Ok(Ok(()))) {
                watched.kill(Signal::TERM);
            }
            let waited = wait_without_reaping(pid);
            watched.forget();
            let status = child.wait();
            watched.over.store(true, Ordering::Release);
            interrupt.wake();
            let (stderr, ended) = (join(stderr)?, join(watchdog)?);
            waited?;
            if let Some(ended) = ended {
                return Ok(ended);
            }
            match heard? {
                Ok(()) => Ok(Ended::Itself(status?.code(), stderr?)),
                Err(why) => Ok(Ended::Disobeyed(why)),
            }
        })
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(self.program);
        command.args(self.arguments).env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec only two system calls are made, which take no lock and allocate nothing.
        #[expect(unsafe_code, reason = "there is no safe way to ask for a signal at the parent's death")]
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
                // The parent may have died before it could be heard of.
                match rustix::process::getppid() {
                    Some(alive) if alive == parent => Ok(()),
                    _ => Err(io::Error::other("the parent is gone")),
                }
            })
        };
        command.spawn()
    }

    /// Waits for the end, and ends it if it does not come. Returns why it was ended.
    fn watch(&self, watched: &Watched, interrupt: &Interrupt) -> Option<Ended> {
        let tick = (self.silence / 10).clamp(Duration::from_millis(50), Duration::from_secs(1));
        let over = || watched.over.load(Ordering::Acquire);
        let mut last = (watched.progress(), Instant::now());
        let why = loop {
            let wake =
                self.deadline.map_or(tick, |deadline| tick.min(deadline.saturating_duration_since(Instant::now())));
            if let Some(signal) = interrupt.wait(wake, over) {
                break Ended::Interrupted(signal);
            }
            if over() {
                return None;
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break Ended::Late;
            }
            let progress = watched.progress();
            if progress != last.0 {
                last = (progress, Instant::now());
            } else if last.1.elapsed() >= self.silence {
                break Ended::Silent;
            }
        };
        if over() {
            // It ended by itself before it could be told to; what it did counts.
            return matches!(why, Ended::Interrupted(_)).then_some(why);
        }
        watched.kill(Signal::TERM);
        let killed = Instant::now();
        while !over() && killed.elapsed() < GRACE {
            // The interrupt is raised already and would end each wait at once.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        watched.kill(Signal::KILL);
        Some(why)
    }
}

/// A process that a watchdog looks at.
struct Watched {
    /// Its id, as long as that cannot mean another process.
    pid: Mutex<Option<Pid>>,
    lines: AtomicU64,
    over: AtomicBool,
}

impl Watched {
    /// A number that moves while something comes in: lines, and bytes read by the process and its children.
    fn progress(&self) -> u64 {
        let pid = *self.pid.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let read = pid.map_or(0, |pid| bytes_read(pid.as_raw_nonzero().get() as u32));
        self.lines.load(Ordering::Relaxed).wrapping_add(read)
    }

    fn kill(&self, signal: Signal) {
        let pid = self.pid.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(pid) = *pid {
            // A group that is gone already needs no signal.
            let _gone = rustix::process::kill_process_group(pid, signal);
        }
    }

    fn forget(&self) {
        *self.pid.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
    }
}

/// Bytes that a process and its children have read so far; 0 for what is gone.
fn bytes_read(pid: u32) -> u64 {
    let own = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).unwrap_or(0u64);
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).map(bytes_read).fold(own, u64::wrapping_add)
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

fn hear(
    mut stdout: impl BufRead,
    lines: &AtomicU64,
    listen: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> io::Result<Result<(), String>> {
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line longer than any path makes no sense; it is read in pieces, which make none either.
        if stdout.by_ref().take(64 << 10).read_until(b'\n', &mut line)? == 0 {
            return Ok(Ok(()));
        }
        lines.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = listen(line.strip_suffix(b"\n").unwrap_or(&line)) {
            return Ok(Err(why));
        }
    }
}

fn read_stderr(mut stderr: ChildStderr) -> io::Result<String> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8 << 10];
    loop {
        let len = stderr.read(&mut buffer)?;
        if len == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        kept.extend_from_slice(&buffer[..len]);
        if kept.len() > 2 * STDERR_KEPT {
            let cut = kept.len() - STDERR_KEPT;
            kept.drain(STDERR_KEPT / 2..cut);
        }
    }
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("a thread that listened to the program panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, silence: Duration, deadline: Option<Instant>, interrupt: &Interrupt) -> (Ended, Vec<String>) {
        let arguments = ["-c".into(), script.into()];
        let call = Call {
            program: Path::new("/bin/sh"),
            arguments: &arguments,
            input: &|out| out.write_all(b"in\n"),
            silence,
            deadline,
        };
        let mut lines = Vec::new();
        let ended = call
            .run(interrupt, &mut |line| {
                lines.push(String::from_utf8_lossy(line).into_owned());
                if line == b"stop" { Err("it said stop".to_owned()) } else { Ok(()) }
            })
            .unwrap();
        (ended, lines)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn input_output_and_exit_code_arrive() {
        let (ended, lines) = sh("cat; echo out; echo err >&2; exit 23", LONG, None, &Interrupt::default());
        assert_eq!(ended, Ended::Itself(Some(23), "err\n".to_owned()));
        assert_eq!(lines, ["in", "out"]);
    }

    #[test]
    fn what_is_silent_late_or_disobedient_is_ended_with_all_its_children() {
        let began = Instant::now();
        let none = Interrupt::default();
        assert_eq!(sh("sleep 300 & wait", Duration::from_millis(200), None, &none).0, Ended::Silent);
        let soon = Some(Instant::now() + Duration::from_millis(100));
        assert_eq!(sh("while :; do echo x; done", LONG, soon, &none).0, Ended::Late);
        let (ended, _) = sh("echo stop; sleep 300", LONG, None, &none);
        assert_eq!(ended, Ended::Disobeyed("it said stop".to_owned()));
        let raised = Interrupt::default();
        raised.raise(interrupt::Signal::Terminate);
        let (ended, _) = sh("trap '' TERM; sleep 300", LONG, None, &raised);
        assert_eq!(ended, Ended::Interrupted(interrupt::Signal::Terminate));
        assert!(began.elapsed() < Duration::from_secs(30), "nothing was waited out");
    }
}
