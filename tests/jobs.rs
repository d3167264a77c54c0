//! Jobs: what triggers start is done once more for whatever came meanwhile, and never lost.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use qfm::config::{self, Environment, Overrides};
use qfm::exit::Status;
use qfm::push::Job;
use qfm::state::jobs::{Asked, Origin, Stage};
use rustix::process::{Pid, Signal};
use support::*;

/// A mirror that is never synced, with a job `work` that runs a script.
struct Workshop {
    mirror: Mirror,
}

impl Workshop {
    /// `script` is run by sh, in a directory of its own.
    fn new(script: &str, more: &str) -> Workshop {
        let mut mirror = Mirror::new("rsync://127.0.0.1:1/none", &[FEDORA]);
        let directory = mirror.config.with_file_name("workshop");
        fs::create_dir(&directory).expect("a directory");
        let path = directory.join("script");
        fs::write(&path, format!("cd {directory:?}\n{script}\n")).expect("a script");
        mirror.add(&format!("[job.work]\ncommand = [\"/bin/sh\", {path:?}]\n{more}"));
        Workshop { mirror }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mirror.config.with_file_name("workshop").join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The job, as the program sees it.
    fn job(&self) -> Job {
        let overrides = Overrides { config: Some(self.mirror.config.clone()), ..Overrides::default() };
        let loaded = config::load(&overrides, &Environment::default()).expect("a configuration");
        let settings = loaded.config.job(Some("work")).expect("the job");
        Job::new(settings, &loaded.config, loaded.file.as_deref(), &Environment::default()).expect("a job")
    }
}

const TRIGGER: Asked = Asked { stage: Stage::All, origin: Origin::Http, callback: false };

/// Says that it began, and waits until it may go on.
const WAITS: &str = "echo run >>runs; until test -e go; do sleep 0.02; done";

#[test]
fn a_hundred_triggers_during_a_run_make_one_more() {
    let shop = Workshop::new(WAITS, "");
    let job = shop.job();
    job.mark(TRIGGER).expect("marked");
    let mut command = shop.mirror.command(&["run-job", "--triggered"]);
    let mut runner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    side_by_side(0..100, |_| {
        job.mark(TRIGGER).expect("marked");
        shop.mirror.run(&["run-job", "--triggered"]).status(Status::Done);
    });
    assert!(job.is_running() && job.is_marked());
    fs::write(shop.path("go"), "").expect("written");
    assert!(runner.wait().expect("it ends").success());
    assert!(!job.is_marked() && !job.is_running());
    assert_eq!(shop.lines("runs").len(), 2);
    assert_eq!(job.last().expect("read").expect("a result").code, Some(0));
}

#[test]
fn what_a_killed_runner_was_at_is_done_by_the_next() {
    let shop = Workshop::new(WAITS, "");
    let job = shop.job();
    job.mark(TRIGGER).expect("marked");
    let mut command = shop.mirror.command(&["run-job", "--triggered"]);
    let mut runner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    rustix::process::kill_process(Pid::from_child(&runner), Signal::KILL).expect("it runs");
    runner.wait().expect("it ends");
    assert!(job.is_marked() && !job.is_running());
    fs::write(shop.path("go"), "").expect("written");
    // Nobody triggers again: that it was cut off is enough.
    shop.mirror.run(&["run-job", "--triggered", "work"]).status(Status::Done);
    assert_eq!(shop.lines("runs").len(), 2);
    assert!(!job.is_marked());
    shop.mirror.run(&["run-job", "--triggered", "work"]).status(Status::Done);
    assert_eq!(shop.lines("runs").len(), 2, "nobody asked for it");
}

#[test]
fn what_a_killed_runner_had_started_is_waited_for_by_the_next() {
    let shop = Workshop::new(&format!("{WAITS}; echo end >>runs"), "");
    let job = shop.job();
    job.mark(TRIGGER).expect("marked");
    let start = || {
        let mut command = shop.mirror.command(&["run-job", "--triggered"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
    };
    let mut runner = start();
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    rustix::process::kill_process(Pid::from_child(&runner), Signal::KILL).expect("it runs");
    runner.wait().expect("it ends");
    let mut next = start();
    wait_until("the next is at it", || job.is_running());
    // A runner that waits can be told to end.
    rustix::process::kill_process(Pid::from_child(&next), Signal::TERM).expect("it waits");
    assert_eq!(next.wait().expect("it ends").code(), Some(i32::from(Status::Terminated.code())));
    let mut next = start();
    wait_until("the next is at it", || job.is_running());
    fs::write(shop.path("go"), "").expect("written");
    assert!(next.wait().expect("it ends").success());
    assert_eq!(shop.lines("runs"), ["run", "end", "run", "end"]);
}

#[test]
fn what_is_asked_for_while_a_killed_runners_command_lives_is_run_after_it() {
    let shop = Workshop::new(&format!("{WAITS}; echo end >>runs"), "deadline = \"1s\"");
    let log = shop.path("log");
    let text = fs::read_to_string(&shop.mirror.config).expect("readable");
    fs::write(&shop.mirror.config, format!("log_file = {log:?}\n{text}")).expect("written");
    let job = shop.job();
    let start = || {
        job.mark(TRIGGER).expect("marked");
        let mut command = shop.mirror.command(&["run-job", "--triggered"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
    };
    let mut runner = start();
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    rustix::process::kill_process(Pid::from_child(&runner), Signal::KILL).expect("it runs");
    runner.wait().expect("it ends");
    let mut next = start();
    wait_until("the next waits", || shop.lines("log").iter().any(|line| line.contains("is still at work")));
    // A session gives up when the deadline has passed: by then a runner could have done so too.
    let mut session = shop.mirror.command(&["trigger", "work", "sync:stage1"]);
    let output = session.output().expect("started");
    assert_eq!(output.status.code(), Some(i32::from(Status::Locked.code())));
    assert!(String::from_utf8_lossy(&output.stderr).contains("what was asked for is done after that"), "{output:?}");
    assert!(job.is_running() && job.is_marked(), "what is asked for is not given up");
    fs::write(shop.path("go"), "").expect("written");
    assert!(next.wait().expect("it ends").success());
    assert_eq!(shop.lines("runs"), ["run", "end", "run", "end"]);
    assert!(!job.is_marked());
}

#[test]
fn a_failed_run_is_not_repeated_and_says_so() {
    let shop = Workshop::new("echo run >>runs; exit 42", "");
    assert_eq!(shop.mirror.run(&["run-job"]).code, Some(42));
    assert_eq!(shop.lines("runs").len(), 1);
    let job = shop.job();
    assert!(!job.is_marked());
    assert_eq!(job.last().expect("read").expect("a result").code, Some(42));
}

#[test]
fn what_runs_too_long_is_ended_with_all_that_it_started() {
    let shop = Workshop::new("sleep 600 & echo $! >child; wait", "deadline = \"1s\"");
    let result = shop.mirror.run(&["run-job", "work"]);
    assert_eq!(result.code, Some(124));
    assert!(
        result.stderr.contains("error: job work (all, local): was ended because its deadline passed (1s)"),
        "{result:?}"
    );
    let child = shop.lines("child").concat();
    wait_until("what it started is gone", || {
        !fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default().contains("sleep")
    });
    assert!(!shop.job().is_marked());
}

#[test]
fn each_end_that_is_not_good_is_logged_with_its_cause() {
    let cases = [
        (
            "for n in 1 2 3 4 5 6; do echo line $n >&2; done; exit 42",
            42,
            "ended with 42; it said: line 2 / line 3 / line 4 / line 5 / line 6",
        ),
        ("kill -9 $$", 137, "was ended by signal 9"),
        // What it leaves behind holds its standard error open, and holds nothing up.
        ("echo trouble >&2; setsid sleep 20 & exit 1", 1, "ended with 1; it said: trouble"),
    ];
    for (script, code, why) in cases {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let shop = Workshop::new(script, &format!("[job.none]\ncommand = [\"/no/such\"]\n[job.bad]\nconfig = {log:?}"));
        let text = fs::read_to_string(&shop.mirror.config).expect("readable");
        fs::write(&shop.mirror.config, format!("log_file = {log:?}\n{text}")).expect("written");
        let result = shop.mirror.run(&["run-job", "work"]);
        assert_eq!(result.code, Some(code), "{result:?}");
        let line = format!(": job work (all, local): {why}");
        let logged = || fs::read_to_string(&log).expect("a log");
        assert!(result.stderr.contains(&line) && logged().contains(&line), "{result:?}\n{}", logged());
        assert_eq!(shop.job().last().expect("read").expect("a result").error.as_deref(), Some(why));
        assert_eq!(shop.mirror.run(&["run-job", "none"]).code, Some(127));
        assert!(logged().contains("job none (all, local): cannot run /no/such: No such file"), "{}", logged());
        // A sync that cannot begin.
        shop.mirror.run(&["run-job", "bad"]).status(Status::Usage);
        assert!(logged().contains("job bad (all, local): ended with 2: The command line or"), "{}", logged());
    }
}

#[test]
fn who_is_told_to_end_leaves_the_mark() {
    let shop = Workshop::new(WAITS, "");
    let mut command = shop.mirror.command(&["run-job"]);
    let mut runner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    wait_until("the run begins", || shop.lines("runs").len() == 1);
    rustix::process::kill_process(Pid::from_child(&runner), Signal::TERM).expect("it runs");
    assert_eq!(runner.wait().expect("it ends").code(), Some(i32::from(Status::Terminated.code())));
    assert!(shop.job().is_marked() && !shop.job().is_running());
}

#[test]
fn a_job_syncs_and_waits_for_a_run_that_is_under_way() {
    let scene = Scene::new(&[FEDORA, EPEL], |up| up.file("fedora/a", b"a")?.file("epel/b", b"b").map(drop));
    let go = scene.mirror.config.with_file_name("go");
    scene.wrapper.before(1, &format!("until test -e {go:?}; do sleep 0.05; done"));
    let running = scene.start(&[FEDORA]);
    wait_until("rsync is called", || scene.next_call() > 1);
    let mut job = scene.mirror.command(&["run-job"]);
    let mut job = job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    wait_until("the job has a run", || {
        processes_on(&scene.mirror.config).iter().any(|line| line.to_string_lossy().contains("--wait"))
    });
    fs::write(&go, "").expect("written");
    ended_with(running.end(), &[Status::Done]);
    assert!(job.wait().expect("it ends").success());
    scene.assert_same();
}

#[test]
fn settings_of_the_environment_and_of_flags_do_not_reach_a_job() {
    let shop = Workshop::new("env | sort >environment; pwd >place", "");
    let mut command = shop.mirror.command(&["run-job"]);
    command.env("QFM_JOB_EVIL", "1").env("QFM_STATE", "/nowhere").env("IFS", "x").env("EVIL", "1");
    command.env("CREDENTIALS_DIRECTORY", "/run/credentials/qfm");
    assert!(command.output().expect("started").status.success());
    let names: Vec<String> =
        shop.lines("environment").iter().map(|line| line.split('=').next().unwrap_or_default().to_owned()).collect();
    let own = ["PWD", "OLDPWD", "SHLVL", "_"];
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !own.contains(name)).collect();
    let expected = ["CREDENTIALS_DIRECTORY", "HOME", "LANG", "PATH", "QFM_JOB", "QFM_STAGE", "QFM_TRIGGER"];
    assert_eq!(names, expected);
    assert!(shop.lines("environment").contains(&"QFM_TRIGGER=local".to_owned()));
    let refused = shop.mirror.run(&["--jobs", "3", "run-job"]).status(Status::Usage);
    assert!(refused.stderr.contains("configuration file alone"), "{}", refused.stderr);
    let unknown = shop.mirror.run(&["run-job", "../work"]).status(Status::Usage);
    assert!(unknown.stderr.contains("configured are work"), "{}", unknown.stderr);
}
