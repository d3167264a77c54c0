//! What is asked of a job, who is at it, and how it ended: `jobs/<configuration>/<job>/` in the state directory.
//!
//! | file | what |
//! | --- | --- |
//! | `pending.<what>` | a mark: somebody asks for this (`all`, `stage1`, `stage2`, `callback`) |
//! | `running.<what>` | a mark that was taken: the run that it asked for is under way, or was cut off; at the end its result is added for who has it open |
//! | `lock` | held by who takes marks, as long as that may go on |
//! | `busy` | empty; held by what a run started, as its standard input, as long as that is at work |
//! | `result` | how the last run ended |
//!
//! A job belongs to a configuration file and not to a mirror root: two files may share a root, and a trigger must be kept also where
//! the root's volume is not mounted.
//!
//! A mark is the presence of a file. So to set it again changes nothing, and what is set while a run is under way stays for one more
//! run. Whoever sets a mark and then finds the lock taken can leave: its holder looks at the marks
//! once more after it gave the lock back.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{StateError, folder, make_directory, sealed};

/// The mark of who wants to be told at the end.
const CALLBACK: &str = "callback";

const RESULT: &str = "job";
const RESULT_VERSION: u32 = 1;

/// A lock that is taken is looked at so often before it counts as taken: who wants to know whether it is takes it for a moment.
const LOOKS: u32 = 5;

/// The time between two looks.
const MOMENT: Duration = Duration::from_millis(20);

/// The place of one job.
#[derive(Clone, Debug)]
pub struct JobState {
    dir: PathBuf,
}

/// What of a run is asked for. [`Stage::All`] contains the others: who asked for less is content with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Content that nothing names yet.
    Stage1,
    /// The rest, after [`Stage::Stage1`].
    Stage2,
    /// Everything.
    All,
}

impl Stage {
    /// All of them, the least first.
    pub const EVERY: [Stage; 3] = [Stage::Stage1, Stage::Stage2, Stage::All];

    /// Its name in the words of Debian's pushers.
    pub const fn word(self) -> &'static str {
        match self {
            Stage::Stage1 => "stage1",
            Stage::Stage2 => "stage2",
            Stage::All => "all",
        }
    }
}

/// Where a trigger came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Over ssh: `qfm trigger`.
    Ssh,
    /// Over HTTP: `qfm listen`.
    Http,
    /// Somebody on this machine: `qfm run-job`.
    Local,
}

impl Origin {
    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Origin::Ssh => "ssh",
            Origin::Http => "http",
            Origin::Local => "local",
        }
    }
}

/// What one trigger asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How much of a run.
    pub stage: Stage,
    /// Where it came from.
    pub origin: Origin,
    /// Upstream wants to be told when it is done.
    pub callback: bool,
}

/// How the last run of a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    /// What was asked for.
    pub stage: Stage,
    /// By whom.
    pub trigger: Origin,
    /// When it began, in seconds since the epoch.
    pub started: i64,
    /// How long it took.
    pub seconds: u64,
    /// What it ended with, in the numbers of shells and timeout(1) where it did not end by itself: 124 is too late, 126 and 127 that it
    /// cannot be run, 128 and more a signal. `None` where it was cut off with its runner.
    pub code: Option<u8>,
    /// Why that is no good end, for human eyes, with the last lines that a command said.
    pub error: Option<String>,
}

/// A mark that was set: kept by who waits for the end of the run that it asks for.
#[derive(Debug)]
pub struct Mark {
    file: File,
    asked: Asked,
}

/// How far it is with what a mark asks for.
#[derive(Debug)]
pub enum Progress {
    /// No run of it began.
    Pending,
    /// Its run is under way, or was cut off.
    Begun,
    /// Its run is over.
    Ended(JobResult),
    /// Its run was cut off, and it gave way to another mark for the same.
    Replaced,
}

impl Mark {
    /// What it asks for.
    pub fn asked(&self) -> Asked {
        self.asked
    }
}

/// The lock of a job, held until it is dropped.
#[derive(Debug)]
pub struct JobLock<'s> {
    state: &'s JobState,
    _file: File,
}

impl JobState {
    /// The place of a job of the configuration file `config` (absolute, without links) below the state directory `base`. Nothing is made.
    ///
    /// `job` must be safe as a file name, see [`crate::config::job::is_name`].
    pub fn at(base: &Path, config: &Path, job: &str) -> JobState {
        JobState { dir: base.join("jobs").join(folder(config)).join(job) }
    }

    /// Makes the folder where it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(&self) -> Result<(), StateError> {
        make_directory(&self.dir).map_err(StateError::io("cannot make the folder of the job", &self.dir))
    }

    /// Puts down what is asked for, so that it outlives this process and a loss of power.
    ///
    /// # Errors
    /// If it cannot be written. Then nothing was promised.
    pub fn mark(&self, asked: Asked) -> Result<Mark, StateError> {
        // The run that takes the stage begins later than this, and so has what else is asked for.
        if asked.callback {
            self.put(CALLBACK, asked.origin)?;
        }
        Ok(Mark { file: self.put(asked.stage.word(), asked.origin)?, asked })
    }

    fn put(&self, what: &str, origin: Origin) -> Result<File, StateError> {
        let path = self.pending(what);
        let failed = |error| StateError::io("cannot mark the job in", &path)(error);
        // Nothing is taken away from it: its run may be over before the next line.
        let mut file = File::options().create(true).append(true).read(true).open(&path).map_err(failed)?;
        // Who asked first is good to know, and no part of the mark.
        if file.metadata().map_err(failed)?.len() == 0 {
            file.write_all(format!("{}\n", origin.word()).as_bytes()).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        self.sync()?;
        Ok(file)
    }

    /// How far it is with what a mark asks for.
    ///
    /// # Errors
    /// If the mark cannot be read.
    pub fn progress(&self, mark: &Mark) -> Result<Progress, StateError> {
        let what = mark.asked.stage.word();
        let failed = |error| StateError::io("cannot read the mark", &self.pending(what))(error);
        let id = |of: fs::Metadata| (of.dev(), of.ino());
        let own = id(mark.file.metadata().map_err(failed)?);
        let is_at = |path: PathBuf| fs::metadata(path).is_ok_and(|found| id(found) == own);
        // In the order of its way: so it is not missed between the two.
        let place = if is_at(self.pending(what)) {
            Progress::Pending
        } else if is_at(self.running(what)) {
            Progress::Begun
        } else {
            Progress::Replaced
        };
        // The result is there before the name goes.
        let mut file = &mark.file;
        file.rewind().map_err(failed)?;
        let text = io::read_to_string(file).map_err(failed)?;
        let result = text.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        Ok(result.map_or(place, Progress::Ended))
    }

    /// Whether a run is asked for that did not begin.
    pub fn is_pending(&self) -> bool {
        Stage::EVERY.iter().any(|stage| self.pending(stage.word()).exists())
    }

    /// Whether a run is asked for that did not begin, or was cut off.
    pub fn is_marked(&self) -> bool {
        Stage::EVERY.iter().any(|stage| self.is_set(stage.word()))
    }

    /// What is asked for and not done yet: the words of the marks, taken or not.
    pub fn marks(&self) -> Vec<&'static str> {
        Stage::EVERY.map(Stage::word).into_iter().chain([CALLBACK]).filter(|what| self.is_set(what)).collect()
    }

    /// Whether a mark is there, taken or not.
    fn is_set(&self, what: &str) -> bool {
        self.pending(what).exists() || self.running(what).exists()
    }

    /// Takes the lock, without waiting. `None` if somebody else has it: that one looks at the marks before it ends.
    ///
    /// # Errors
    /// If the file system has no locks, or refuses.
    pub fn lock(&self) -> Result<Option<JobLock<'_>>, StateError> {
        let path = self.dir.join("lock");
        let failed = StateError::io("cannot open the lock", &path);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        for look in 1..=LOOKS {
            match file.try_lock() {
                Ok(()) => return Ok(Some(JobLock { state: self, _file: file })),
                Err(TryLockError::WouldBlock) if look < LOOKS => std::thread::sleep(MOMENT),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(StateError::NoLocks { path, source }),
            }
        }
        Ok(None)
    }

    /// Whether somebody is at it. Nothing is made or kept locked by asking.
    pub fn is_locked(&self) -> bool {
        let file = File::open(self.dir.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// How the last run ended, if there was one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn result(&self) -> Result<Option<JobResult>, StateError> {
        let path = self.dir.join("result");
        let failed = |error| StateError::io("cannot read", &path)(error);
        let Some(text) = sealed::read(&path, RESULT, RESULT_VERSION).map_err(failed)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| failed(error.into()))
    }

    fn pending(&self, what: &str) -> PathBuf {
        self.dir.join(format!("pending.{what}"))
    }

    fn running(&self, what: &str) -> PathBuf {
        self.dir.join(format!("running.{what}"))
    }

    fn sync(&self) -> Result<(), StateError> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(StateError::io("cannot sync", &self.dir))
    }
}

impl JobLock<'_> {
    /// Takes what is asked for next, and what of that was cut off. Who asks for all asks for the stages too; of the stages alone the first
    /// comes first, as a run of its own: what does the second may rely on it. The callback goes with the last. `None` if there is nothing.
    ///
    /// # Errors
    /// If the marks cannot be taken.
    pub fn take(&self) -> Result<Option<Asked>, StateError> {
        let is_set = |stage: &Stage| self.state.is_set(stage.word());
        let (stages, is_last): (&[Stage], bool) = if is_set(&Stage::All) {
            (&Stage::EVERY, true)
        } else if is_set(&Stage::Stage1) {
            (&[Stage::Stage1], !is_set(&Stage::Stage2))
        } else {
            (&[Stage::Stage2], true)
        };
        let mut asked: Option<Asked> = None;
        // The stages first: whoever set one of them set the callback before.
        for &stage in stages {
            if let Some(origin) = self.take_one(stage.word())? {
                asked = Some(Asked { stage, origin, callback: false });
            }
        }
        let Some(asked) = asked else { return Ok(None) };
        let callback = is_last && self.take_one(CALLBACK)?.is_some();
        self.state.sync()?;
        Ok(Some(Asked { callback, ..asked }))
    }

    /// Takes one mark; returns who set it, if it is set.
    fn take_one(&self, what: &str) -> Result<Option<Origin>, StateError> {
        let (pending, running) = (self.state.pending(what), self.state.running(what));
        match fs::rename(&pending, &running) {
            // What was cut off is taken as well.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(StateError::io("cannot take the mark", &pending))?,
        }
        match fs::read_to_string(&running) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => {
                let text = text.map_err(StateError::io("cannot read the mark", &running))?;
                let known =
                    [Origin::Ssh, Origin::Http].into_iter().find(|origin| text.lines().next() == Some(origin.word()));
                Ok(Some(known.unwrap_or(Origin::Local)))
            }
        }
    }

    /// What a run is to have as its standard input: an empty file that is locked until all have closed it, or until it is unlocked. So what a
    /// runner started that was killed can be waited for. `None` if such a one is at work.
    ///
    /// # Errors
    /// If the file system has no locks, or refuses.
    pub fn work(&self) -> Result<Option<File>, StateError> {
        let path = self.state.dir.join("busy");
        let failed = StateError::io("cannot open the lock", &path);
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(StateError::NoLocks { path, source }),
        }
    }

    /// Saves how the run ended that these marks asked for, which were taken; they are gone then.
    ///
    /// # Errors
    /// If it cannot be saved, or a mark cannot be removed.
    pub fn done(&self, asked: Asked, result: &JobResult) -> Result<(), StateError> {
        let path = self.state.dir.join("result");
        let failed = |error| StateError::io("cannot write", &path)(error);
        let mut text = serde_json::to_vec(result).map_err(|error| failed(error.into()))?;
        sealed::write(&path, RESULT, RESULT_VERSION, &text).map_err(failed)?;
        text.push(b'\n');
        let stages = Stage::EVERY.into_iter().filter(|stage| [*stage, Stage::All].contains(&asked.stage));
        for what in stages.map(Stage::word).chain(asked.callback.then_some(CALLBACK)) {
            let running = self.state.running(what);
            let told = File::options().append(true).open(&running).and_then(|mut mark| mark.write_all(&text));
            match told.and_then(|()| fs::remove_file(&running)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(StateError::io("cannot remove the mark", &running))?,
            }
        }
        self.state.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(dir: &Path) -> JobState {
        let job = JobState::at(dir, Path::new("/etc/qfm/qfm.toml"), "archive");
        job.create().unwrap();
        job
    }

    fn asked(stage: Stage) -> Asked {
        Asked { stage, origin: Origin::Ssh, callback: false }
    }

    const RESULT: JobResult =
        JobResult { stage: Stage::All, trigger: Origin::Ssh, started: 1, seconds: 2, code: Some(0), error: None };

    #[test]
    fn marks_do_not_pile_up_and_the_strongest_counts() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path());
        assert!(!job.is_marked());
        for stage in [Stage::Stage2, Stage::All, Stage::Stage1, Stage::All] {
            job.mark(asked(stage)).unwrap();
        }
        let lock = job.lock().unwrap().unwrap();
        assert_eq!(lock.take().unwrap(), Some(asked(Stage::All)));
        lock.done(asked(Stage::All), &RESULT).unwrap();
        assert_eq!((lock.take().unwrap(), job.is_marked()), (None, false));
        assert_eq!(job.result().unwrap(), Some(RESULT));
    }

    #[test]
    fn what_comes_during_a_run_stays_for_one_more() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path());
        job.mark(asked(Stage::Stage1)).unwrap();
        let lock = job.lock().unwrap().unwrap();
        assert!(job.is_pending());
        assert_eq!(lock.take().unwrap(), Some(asked(Stage::Stage1)));
        assert!(job.is_marked() && !job.is_pending());
        job.mark(Asked { callback: true, ..asked(Stage::Stage2) }).unwrap();
        lock.done(asked(Stage::Stage1), &RESULT).unwrap();
        assert_eq!(lock.take().unwrap(), Some(Asked { callback: true, ..asked(Stage::Stage2) }));
    }

    #[test]
    fn stages_that_meet_are_done_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path());
        let second = Asked { callback: true, ..asked(Stage::Stage2) };
        job.mark(second).unwrap();
        let lock = job.lock().unwrap().unwrap();
        assert_eq!(lock.take().unwrap(), Some(second));
        job.mark(asked(Stage::Stage1)).unwrap();
        // The second was cut off, and the first is asked for again.
        assert_eq!(lock.take().unwrap(), Some(asked(Stage::Stage1)));
        lock.done(asked(Stage::Stage1), &RESULT).unwrap();
        assert_eq!(lock.take().unwrap(), Some(second));
        lock.done(second, &RESULT).unwrap();
        assert_eq!((lock.take().unwrap(), job.is_marked()), (None, false));
    }

    #[test]
    fn what_was_cut_off_is_asked_for_still() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path());
        job.mark(asked(Stage::All)).unwrap();
        let lock = job.lock().unwrap().unwrap();
        lock.take().unwrap();
        drop(lock);
        assert!(job.is_marked() && !job.is_locked());
        let lock = job.lock().unwrap().unwrap();
        assert!(job.is_locked() && job.lock().unwrap().is_none());
        assert_eq!(lock.take().unwrap(), Some(asked(Stage::All)));
    }

    #[test]
    fn work_is_one_runs_until_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path());
        let lock = job.lock().unwrap().unwrap();
        let work = lock.work().unwrap().unwrap();
        let inherited = work.try_clone().unwrap();
        drop((work, lock));
        let lock = job.lock().unwrap().unwrap();
        assert!(lock.work().unwrap().is_none(), "what was started is still there");
        inherited.unlock().unwrap();
        assert!(lock.work().unwrap().is_some());
    }

    #[test]
    fn jobs_of_other_configurations_and_names_are_others() {
        let dir = tempfile::tempdir().unwrap();
        job(dir.path()).mark(asked(Stage::All)).unwrap();
        for (config, name) in [("/etc/qfm/other.toml", "archive"), ("/etc/qfm/qfm.toml", "releases")] {
            assert!(!JobState::at(dir.path(), Path::new(config), name).is_marked());
        }
    }
}
