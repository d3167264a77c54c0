//! Arguments and exit status; what is between them is in [`command`].

mod command;

use std::io::{self, Write};
use std::process::ExitCode;

use qfm::cli::{self, Cli, Command};
use qfm::config;
use qfm::exit::Status;
use qfm::old;
use qfm::report::record;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use command::{Call, configuration, job, lists, run as runs, tell};

fn main() -> ExitCode {
    if cli::complete::answer() {
        return Status::Done.into();
    }
    raise_open_files();
    let arguments: Vec<_> = std::env::args_os().collect();
    // A panic has said what happened; scripts are told by the code that it is a bug.
    let code = std::panic::catch_unwind(|| match arguments.first().and_then(|argv0| old::program(argv0)) {
        Some(program) => {
            ended(command::listen_for_signals().map(|interrupt| program.run(&arguments, &interrupt).into()), false)
        }
        None => {
            let json = arguments.iter().any(|word| word == "--json");
            cli::parse(&arguments).map_or_else(|error| usage(&error, json).into(), |cli| run(cli, json))
        }
    });
    code.unwrap_or(Status::Bug.into())
}

/// `json` is whether somebody waits for an object on standard output, however the command ends.
fn run(Cli { command, overrides }: Cli, json: bool) -> ExitCode {
    let call = Call { overrides, environment: std::env::vars_os().collect() };
    let mut out = io::stdout();
    let result = match command {
        Command::Sync(arguments) => runs::sync(&arguments, &call),
        Command::Verify(arguments) => runs::verify(&arguments, &call),
        Command::Size(arguments) => runs::size(&arguments, &call),
        Command::Hardlink(arguments) => runs::hardlink(&arguments, &call),
        Command::Doctor(arguments) => command::doctor::doctor(&arguments, &call),
        Command::Bitflip(arguments) => command::bitflip::bitflip(&arguments, &call),
        // Monitoring has codes of its own.
        Command::Status(arguments) => return ended(command::status::status(&arguments, &call), json),
        Command::Checkin(arguments) => tell::checkin(&arguments, &call),
        Command::Push(arguments) => tell::push(&arguments, &call),
        Command::Diff(arguments) => Ok(lists::diff(&arguments)),
        Command::MakeList(arguments) => lists::make_list(&arguments, &call),
        // What a job runs may end with any code.
        Command::Trigger(arguments) => return ended(job::trigger(&arguments, &call), json),
        Command::RunJob(arguments) => return ended(job::run_job(&arguments, &call), json),
        Command::Listen => job::listen(&call),
        Command::Config(command) => configuration::run(command, &call, &mut out),
        Command::Completions { shell } => {
            cli::complete::script(shell, &mut out).map_err(Into::into).map(|()| Status::Done)
        }
        Command::Man { directory: None } => cli::manual::page(&mut out).map_err(Into::into).map(|()| Status::Done),
        Command::Man { directory: Some(path) } => {
            cli::manual::pages(&path).map(|()| Status::Done).map_err(|source| config::Error::Write { path, source })
        }
        Command::Demo => Ok(demo()),
    };
    ended(result.and_then(|status| Ok(out.flush().map(|()| status.into())?)), json)
}

/// What the program ends with; what went wrong is said, to readers and in an object for programs.
fn ended(result: Result<ExitCode, config::Error>, json: bool) -> ExitCode {
    match result {
        Ok(code) => code,
        // Who reads has seen enough: `qfm config show | head`.
        Err(config::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Status::Done.into(),
        Err(error) => {
            // Nowhere is left to say that standard error is gone.
            drop(error.report("qfm: error: ", &mut io::stderr()));
            no_result(error.status(), error.lines(), json).into()
        }
    }
}

fn demo() -> Status {
    let shown = std::env::current_exe().map_err(anyhow::Error::new);
    match shown.and_then(|program| qfm::demo::run(&program, &mut io::stdout())) {
        Ok(status) => status,
        Err(error) => {
            drop(writeln!(io::stderr(), "qfm: error: {error:#}"));
            Status::Bug
        }
    }
}

/// Lets this program have as many files open as it may ask for: a directory is open for each level of what is walked or removed.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // With fewer, what is nested too deeply is told of where it is met.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap_or_default();
}

/// Ends a command that has no result; an object says why, if one is waited for.
fn no_result(status: Status, errors: Vec<String>, json: bool) -> Status {
    if json {
        // It was said on standard error, and the code says it too.
        drop(writeln!(io::stdout(), "{}", record::no_result(status, &errors)));
    }
    status
}

/// Prints what clap has to say: help and version, or what is wrong with the command line.
fn usage(error: &clap::Error, json: bool) -> Status {
    if error.use_stderr() {
        let text = error.render().to_string();
        drop(write!(io::stderr(), "qfm: {text}"));
        // What follows is advice and a summary of all flags.
        let what = text.split("\n\n").next().unwrap_or_default();
        no_result(Status::Usage, vec![what.trim_start_matches("error: ").trim().to_owned()], json)
    } else {
        drop(error.print());
        Status::Done
    }
}
