//! One rsync process: started in a group of its own, fed, listened to, watched, ended.
//!
//! rsync's `--timeout` does not protect a pull (reference: rsync), so a watchdog of ours does: next to nothing read for too long,
//! or the deadline passed, and the group gets TERM, two seconds, KILL. The process does not outlive us either.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::confine::Confinement;
use crate::interrupt::{self, Interrupt};

/// After TERM, so long until KILL.
const GRACE: Duration = Duration::from_secs(2);

/// After the end of a program, so long for what it said last, if what it started holds its pipes open.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A program that says so many lines one by one is heard after each pause only: waking up for each of a million lines costs more than
/// what is done about them. What it says within a pause fits into the pipe.
const CHATTY: usize = 100;
const PAUSE: Duration = Duration::from_millis(4);

/// Fewer bytes a second than this, over all the time for which nothing may come, are as good as none: what drips never ends. No
/// bandwidth limit that rsync takes is as low, and a sender that does nothing but look for names says more.
const SLOWEST: u64 = 64;

/// More bytes than rsync writes before a daemon has let it in. What it reads until then is no progress: a greeting, or a message
/// of the day, may have no end.
const HANDSHAKE: u64 = 1024;

/// So many blocks of lines wait to be listened to.
const BLOCKS_WAITING: usize = 64;

/// No line that means anything is longer, in bytes.
const LONGEST_LINE: usize = 64 << 10;

/// How much of stderr is kept: its beginning and its end tell what happened.
const STDERR_KEPT: usize = 64 << 10;

/// One call to be made.
pub struct Call<'c> {
    /// The program.
    pub program: &'c Path,
    /// Its arguments.
    pub arguments: &'c [OsString],
    /// The directory that it may write to, with all below it; anything if there is none.
    pub confined_to: Option<&'c Path>,
    /// Writes what it reads from stdin.
    pub input: &'c (dyn Fn(&mut dyn Write) -> io::Result<()> + Sync),
    /// No byte for so long ends it, or so few that they do not count.
    pub silence: Duration,
    /// It ends at this moment at the latest.
    pub deadline: Option<Instant>,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself: exit code (`None`: by a signal that was not ours) and stderr.
    Itself(Option<i32>, String),
    /// We ended it: nothing came for too long, or next to nothing.
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
        let watched = Watched::new(pid);
        // These two may outlive the call: what the program started and did not end may hold the pipes for ever.
        let (said, blocks) = mpsc::sync_channel(BLOCKS_WAITING);
        std::thread::spawn(move || hear(BufReader::with_capacity(LONGEST_LINE, stdout), &said));
        let complaints = Complaints::read(stderr);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Whoever does not read what we write says on stderr why: a broken pipe tells nothing more.
                let mut stdin = BufWriter::new(stdin);
                (self.input)(&mut stdin).and_then(|()| stdin.flush()).is_ok()
            });
            let waiter = scope.spawn(|| {
                let waited = wait_without_reaping(pid);
                // What it left behind in its group has nothing more to do.
                watched.kill(Signal::KILL);
                watched.over.store(true, Ordering::Release);
                interrupt.wake();
                waited
            });
            let watchdog = scope.spawn(|| self.watch(&watched, interrupt));
            let disobeyed = watched.pass_on(&blocks, listen);
            if disobeyed.is_some() {
                watched.unwanted.store(true, Ordering::Release);
                interrupt.wake();
            }
            // A listener that is gone makes the reader end; one that stays would let a full pipe block the program.
            drop(blocks);
            join(waiter)??;
            let ended = join(watchdog)?;
            watched.forget();
            let status = child.wait()?;
            Ok(match (disobeyed, ended) {
                (Some(why), _) => Ended::Disobeyed(why),
                (None, Some(ended)) => ended,
                (None, None) => Ended::Itself(status.code(), complaints.heard()),
            })
        })
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(self.program);
        command.args(self.arguments).env("LC_ALL", "C").env("TZ", "UTC");
        // What these say would change names, or put what is half there elsewhere.
        command.env_remove("RSYNC_ICONV").env_remove("RSYNC_PARTIAL_DIR");
        // It is none of rsync's business, nor that of a remote shell.
        command.env_remove("QFM_CHECKIN_PASSWORD");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let parent = rustix::process::getpid();
        let mut confinement = self.confined_to.map(Confinement::to).transpose()?.flatten();
        // SAFETY: between fork and exec only some system calls are made, which take no lock and allocate nothing.
        #[expect(unsafe_code, reason = "there is no safe way to ask for a signal at the parent's death")]
        unsafe {
            command.pre_exec(move || {
                // A session of its own: a group that can be ended as a whole, and no terminal to ask for a password on.
                rustix::process::setsid()?;
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
                // The parent may have died before it could be heard of.
                match rustix::process::getppid() {
                    Some(alive) if alive == parent => {}
                    _ => return Err(rustix::io::Errno::SRCH.into()),
                }
                confinement.take().map_or(Ok(()), Confinement::put_on)
            })
        };
        command.spawn()
    }

    /// Waits for the end, and ends it if it does not come. Returns why it was ended.
    fn watch(&self, watched: &Watched, interrupt: &Interrupt) -> Option<Ended> {
        let tick = (self.silence / 10).clamp(Duration::from_millis(50), Duration::from_secs(1));
        let over = || watched.over.load(Ordering::Acquire);
        let woken = || over() || watched.unwanted.load(Ordering::Acquire);
        let least = SLOWEST.saturating_mul(self.silence.as_secs()).max(1);
        let mut last = (watched.progress(), Instant::now());
        let why = loop {
            let wake =
                self.deadline.map_or(tick, |deadline| tick.min(deadline.saturating_duration_since(Instant::now())));
            if let Some(signal) = interrupt.wait(wake, woken) {
                break Ended::Interrupted(signal);
            }
            if over() {
                return None;
            }
            if watched.unwanted.load(Ordering::Acquire) {
                break Ended::Disobeyed(String::new());
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break Ended::Late;
            }
            let progress = watched.progress();
            // What has ended is counted no more: a number that went back moved too.
            if progress.wrapping_sub(last.0) >= least {
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
    /// Bytes of what it said on stdout.
    said: AtomicU64,
    /// It has ended.
    over: AtomicBool,
    /// It said something that it must not, and is to be ended.
    unwanted: AtomicBool,
}

impl Watched {
    fn new(pid: Pid) -> Watched {
        let (said, over, unwanted) = Default::default();
        Watched { pid: Mutex::new(Some(pid)), said, over, unwanted }
    }

    /// Passes lines on until stdout ends, or the program has and says nothing more. Returns what is wrong with a line, if anything.
    fn pass_on(
        &self,
        blocks: &mpsc::Receiver<Vec<u8>>,
        listen: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Option<String> {
        loop {
            // Asked before waiting: what was said before the end is all in the pipe then.
            let over = self.over.load(Ordering::Acquire);
            match blocks.recv_timeout(if over { LAST_WORDS } else { GRACE }) {
                Ok(block) => {
                    self.said.fetch_add(block.len() as u64, Ordering::Relaxed);
                    let lines = block.strip_suffix(b"\n").unwrap_or(&block).split(|&byte| byte == b'\n');
                    if let Some(why) = lines.map(&mut *listen).find_map(Result::err) {
                        return Some(why);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) if over => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// A number that moves while something comes in: bytes of stdout, and bytes read by the process and its children.
    fn progress(&self) -> u64 {
        let pid = *self.pid.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let moved = pid.map(|pid| Moved::by(pid.as_raw_nonzero().get() as u32)).unwrap_or_default();
        let came = if moved.written > HANDSHAKE { moved.read } else { moved.written };
        self.said.load(Ordering::Relaxed).wrapping_add(came)
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

/// Bytes that a process and its children have read and written so far; none for what is gone.
#[derive(Clone, Copy, Default)]
struct Moved {
    read: u64,
    written: u64,
}

impl Moved {
    fn by(pid: u32) -> Moved {
        let own = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let number = |name: &str| own.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0u64);
        let own = Moved { read: number("rchar: "), written: number("wchar: ") };
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok()).map(Moved::by);
        children.fold(own, |sum, child| Moved {
            read: sum.read.wrapping_add(child.read),
            written: sum.written.wrapping_add(child.written),
        })
    }
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

/// Reads whole lines, as many at a time as there are, until the end of stdout or of whoever listens.
fn hear(mut stdout: impl BufRead, said: &mpsc::SyncSender<Vec<u8>>) {
    let (mut block, mut blocks) = (Vec::new(), 0);
    // A pipe that cannot be read is at its end.
    while let Ok(bytes @ [_, ..]) = stdout.fill_buf() {
        let len = bytes.len();
        block.extend_from_slice(bytes);
        stdout.consume(len);
        let whole = match memchr::memrchr(b'\n', &block) {
            Some(at) => at + 1,
            // A line longer than any path makes no sense; it is read in pieces, which make none either.
            None if block.len() > LONGEST_LINE => block.len(),
            None => continue,
        };
        let rest = block.split_off(whole);
        if said.send(std::mem::replace(&mut block, rest)).is_err() {
            return;
        }
        blocks += 1;
        if blocks > CHATTY {
            std::thread::sleep(PAUSE);
        }
    }
    if !block.is_empty() {
        // Whoever listened may be gone.
        said.send(block).unwrap_or_default();
    }
}

/// What comes on stderr, while it comes.
struct Complaints {
    kept: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Complaints {
    fn read(mut stderr: ChildStderr) -> Complaints {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = mpsc::channel::<()>();
        let keep = Arc::clone(&kept);
        std::thread::spawn(move || {
            let mut buffer = [0; 8 << 10];
            while let Ok(len @ 1..) = stderr.read(&mut buffer) {
                let mut kept = keep.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                kept.extend_from_slice(&buffer[..len]);
                if kept.len() > 2 * STDERR_KEPT {
                    let cut = kept.len() - STDERR_KEPT;
                    kept.drain(STDERR_KEPT / 2..cut);
                }
            }
            // The other end hears that this one is gone.
            drop(end);
        });
        Complaints { kept, ended }
    }

    /// All that was said, or what was by the time when waiting any longer makes no sense.
    fn heard(&self) -> String {
        match self.ended.recv_timeout(LAST_WORDS) {
            Ok(()) | Err(_) => {}
        }
        let kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        String::from_utf8_lossy(&kept).into_owned()
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
            confined_to: None,
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
    fn what_is_confined_writes_below_its_directory_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        [&inside, &outside].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
        std::fs::write(outside.join("precious"), "mine").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        if Confinement::to(&inside).unwrap().is_none() {
            eprintln!("SKIPPED: this kernel has no Landlock; confinement was not tested");
            return;
        }
        let script = format!(
            "cd {inside:?}; mkdir a b; echo x >a/x; mv a/x b/y; ln b/y z; echo >/dev/null && echo done
             echo x >../outside/new; echo x >link/precious; : >link/precious; rm -f link/precious; mkdir {outside:?}/d
             mv link/precious p; ln link/precious q; mv z link/z; ln -s x {outside:?}/l"
        );
        let arguments = ["-c".into(), script.into()];
        let call = Call {
            program: Path::new("/bin/sh"),
            arguments: &arguments,
            confined_to: Some(&inside),
            input: &|_| Ok(()),
            silence: LONG,
            deadline: None,
        };
        let mut lines = Vec::new();
        let ended = call.run(&Interrupt::default(), &mut |line| {
            lines.push(line.to_vec());
            Ok(())
        });
        assert!(matches!(ended, Ok(Ended::Itself(..))), "{ended:?}");
        assert_eq!(lines, [b"done"], "{ended:?}");
        assert!(inside.join("b/y").exists() && inside.join("z").exists() && !inside.join("p").exists());
        let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["precious"], "{ended:?}");
        assert_eq!(std::fs::read(outside.join("precious")).unwrap(), b"mine");
    }

    #[test]
    fn what_a_program_leaves_behind_does_not_hold_the_call() {
        let began = Instant::now();
        let (ended, lines) = sh("setsid sleep 25 & echo out; echo err >&2; exit 7", LONG, None, &Interrupt::default());
        assert_eq!(ended, Ended::Itself(Some(7), "err\n".to_owned()));
        assert_eq!(lines, ["out"]);
        assert!(began.elapsed() < Duration::from_secs(20), "what holds the pipes was waited for");
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
        let (ended, _) = sh("trap '' TERM; echo stop; while :; do sleep 1; done", LONG, None, &none);
        assert_eq!(ended, Ended::Disobeyed("it said stop".to_owned()));
        let raised = Interrupt::default();
        raised.raise(interrupt::Signal::Terminate);
        let (ended, _) = sh("trap '' TERM; sleep 300", LONG, None, &raised);
        assert_eq!(ended, Ended::Interrupted(interrupt::Signal::Terminate));
        assert!(began.elapsed() < Duration::from_secs(30), "nothing was waited out");
    }
}
