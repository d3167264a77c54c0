//! Arguments, signals, exit status.

use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use qfm::cli::{self, Cli, Command, ConfigCommand, schedule};
use qfm::config::job::DEFAULT;
use qfm::config::{self, Config, Environment, Loaded, Overrides, Progress, Wrong};
use qfm::diff::DiffError;
use qfm::exit::Status;
use qfm::interrupt::{Interrupt, Signal};
use qfm::make_list;
use qfm::old;
use qfm::path::{RelPath, RelPathBuf};
use qfm::push::listen::Trouble;
use qfm::push::round::Round;
use qfm::push::trigger::OF_A_SESSION;
use qfm::push::trigger_url::Base;
use qfm::push::words::Words;
use qfm::push::{self, Job, JobError, authorized};
use qfm::relink;
use qfm::report::changes::Form;
use qfm::report::doctor as examined;
use qfm::report::log::Log;
use qfm::report::once::Once;
use qfm::report::record::{self, Recorder};
use qfm::report::relinked;
use qfm::report::terminal::{Stdout, Terminal};
use qfm::report::{Event, Listener, Listeners, name_config, size_table};
use qfm::state::jobs::{Asked, JobResult, Origin, Stage};
use qfm::sync::bitflip::How;
use qfm::sync::checkin::{self, Action};
use qfm::sync::push::Wanted;
use qfm::sync::{self, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

fn main() -> ExitCode {
    raise_open_files();
    let arguments: Vec<_> = std::env::args_os().collect();
    // A panic has said what happened; scripts are told by the code that it is a bug.
    let code = std::panic::catch_unwind(|| match arguments.first().and_then(|argv0| old::program(argv0)) {
        Some(program) => {
            listen_for_signals().map_or(Status::Bug, |interrupt| program.run(&arguments, &interrupt)).into()
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
    let environment: Environment = std::env::vars_os().collect();
    let mut out = io::stdout();
    let result = match command {
        Command::Sync(arguments) => sync(&arguments, &overrides, &environment),
        Command::Verify(arguments) => verify(&arguments, &overrides, &environment),
        Command::Size(arguments) => size(&arguments, &overrides, &environment),
        Command::Doctor(arguments) => doctor(&arguments, &overrides, &environment),
        Command::Hardlink(arguments) => hardlink(&arguments, &overrides, &environment),
        Command::Bitflip(arguments) => bitflip(&arguments, &overrides, &environment),
        Command::Checkin(arguments) => checkin(&arguments, &overrides, &environment),
        Command::Push(arguments) => tell_downstreams(&arguments, &overrides, &environment),
        Command::Diff(arguments) => return diff(&arguments).into(),
        Command::MakeList(arguments) => make_list(&arguments, &overrides, &environment),
        Command::Trigger(arguments) => match trigger(&arguments, &overrides, &environment) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::RunJob(arguments) => match run_job(&arguments, &overrides, &environment) {
            // What a job runs may end with any code.
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Listen => listen(&overrides, &environment),
        Command::Demo => return demo().into(),
        Command::Config(ConfigCommand::Init { file }) => {
            config::commands::init(file.as_deref(), &mut out).map(|()| Status::Done)
        }
        Command::Config(ConfigCommand::Check) => {
            config::commands::check(&overrides, &environment, &mut out).map(|()| Status::Done)
        }
        Command::Config(ConfigCommand::AuthorizedKey { key, job, from }) => {
            authorized_key(&key, job.as_deref(), &from, &overrides, &environment)
        }
        Command::Config(ConfigCommand::Import { file, assignments }) => {
            config::commands::import(&file, &environment, assignments, &mut out, &mut io::stderr())
                .map(|()| Status::Done)
        }
        Command::Config(ConfigCommand::TriggerUrl { job, at }) => {
            let at = at.unwrap_or_else(Base::here);
            push::trigger_url::write(&job, &at, &mut out).map_err(Into::into).map(|()| Status::Done)
        }
        Command::Config(ConfigCommand::Show { json }) => {
            config::commands::show(&overrides, &environment, json, &mut out).map(|()| Status::Done)
        }
        Command::Completions { shell } => cli::completions(shell, &mut out).map_err(Into::into).map(|()| Status::Done),
        Command::Man { directory: None } => cli::manual::page(&mut out).map_err(Into::into).map(|()| Status::Done),
        Command::Man { directory: Some(path) } => {
            cli::manual::pages(&path).map(|()| Status::Done).map_err(|source| config::Error::Write { path, source })
        }
    };
    let status = match result.and_then(|status| Ok(out.flush().map(|()| status)?)) {
        Ok(status) => status,
        // Who reads has seen enough: `qfm config show | head`.
        Err(config::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Status::Done,
        Err(error) => {
            // Nowhere is left to say that standard error is gone.
            drop(error.report("qfm: error: ", &mut io::stderr()));
            let faults = error.faults().into_iter();
            let faults = faults.map(|(fault, hint)| if hint.is_empty() { fault } else { format!("{fault} ({hint})") });
            no_result(error.status(), faults.collect(), json)
        }
    };
    status.into()
}

fn sync(arguments: &cli::Sync, overrides: &Overrides, environment: &Environment) -> Result<Status, config::Error> {
    let config = load(overrides, environment, &arguments.modules)?;
    let named = |allowed: &String| allowed.split('/').next().unwrap_or_default().to_owned();
    config.require(&arguments.allow_delete.iter().map(named).collect::<Vec<_>>())?;
    let options = Options {
        modules: concerned(&arguments.modules, &arguments.list_files),
        dry_run: arguments.is_dry_run(),
        full: arguments.full,
        transfer_only: arguments.transfer_only || arguments.content_only,
        content_only: arguments.content_only,
        wait: arguments.wait,
        no_push: arguments.no_push,
        trigger: environment.get("QFM_TRIGGER").map(|origin| origin.to_string_lossy().into_owned()),
        refresh: arguments.refresh.as_ref().map(|pattern| pattern.0.clone()),
        dir_times: arguments.dir_times,
        since: arguments.since,
        allow_delete: arguments.allow_delete.clone(),
        list_files: lists(&config, &arguments.list_files)?,
        plan_out: arguments.plan_out.clone(),
        paths: config.verbosity > 0,
        json: arguments.json,
        ..Options::default()
    };
    one_run(&config, overrides.config.as_deref(), &options, arguments.detailed_exitcode)
}

fn verify(arguments: &cli::Verify, overrides: &Overrides, environment: &Environment) -> Result<Status, config::Error> {
    let config = load(overrides, environment, &arguments.modules)?;
    let options = Options {
        modules: arguments.modules.clone(),
        dry_run: !arguments.repair,
        full: true,
        verify: !arguments.repair,
        checksums: arguments.checksums,
        repair: arguments.repair,
        paths: config.verbosity > 0,
        json: arguments.json,
        ..Options::default()
    };
    one_run(&config, overrides.config.as_deref(), &options, arguments.detailed_exitcode)
}

/// One run, with everybody who listens, and its result on standard output. `named` is the file that the command line names.
fn one_run(
    config: &Config,
    named: Option<&Path>,
    options: &Options,
    detailed_exitcode: bool,
) -> Result<Status, config::Error> {
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug) };
    // Of a dry run, as of a run, only what is wrong is said to who wants to hear no more. What is wrong is what verify is for.
    let shows_plan = options.verify || config.verbosity >= 0;
    let stdout = match (options.json, options.dry_run) {
        (false, false) => Stdout::Summary,
        (false, true) if shows_plan => Stdout::Plan,
        _ => Stdout::Else,
    };
    let terminal = Terminal::new(config.verbosity, stdout, shows_progress(config)).with_config(named);
    let terminal = Once::new(terminal);
    let recorder = Recorder::new(options.dry_run);
    let log = log(config, options.dry_run)?.map(Once::new);
    let mut listeners: Vec<&dyn Listener> = vec![&recorder, &terminal];
    listeners.extend(log.iter().map(|log| log as &dyn Listener));
    let shown = sync::sync(config, options, &interrupt, &Listeners(listeners), &recorder);
    let (record, status) = recorder.finish();
    let mut out = io::stdout().lock();
    match &shown {
        Some(plan) if options.json => out.write_all(plan.as_bytes())?,
        Some(plan) if shows_plan => out.write_all(name_config(plan, named).as_bytes())?,
        None if options.json => writeln!(out, "{}", serde_json::to_string(&record).map_err(io::Error::from)?)?,
        _ => {}
    }
    let changed = record.changed || shown.is_some() && record.planned;
    Ok(if detailed_exitcode && changed { status.worse(Status::Changed) } else { status })
}

fn shows_progress(config: &Config) -> bool {
    match config.progress {
        Progress::Always => true,
        Progress::Never => false,
        Progress::Auto => io::stderr().is_terminal() && config.verbosity >= 0,
    }
}

/// The log file, if there is one. A dry run writes nothing.
fn log(config: &Config, dry_run: bool) -> Result<Option<Log>, config::Error> {
    let Some(path) = config.log_file.as_deref().filter(|_| !dry_run) else { return Ok(None) };
    Log::open(path).map(Some).map_err(|source| config::Error::Write { path: path.to_owned(), source })
}

/// The log file, if it can be written: a trigger must not be lost for want of it, nor a run.
fn log_if_possible(config: &Config) -> Result<Option<Log>, config::Error> {
    Ok(log(config, false).or_else(|error| error.report("qfm: error: ", &mut io::stderr()).map(|()| None))?)
}

fn hardlink(
    arguments: &cli::Hardlink,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Status, config::Error> {
    let config = load(overrides, environment, &arguments.modules)?;
    let (modules, dry_run, by) = (arguments.modules.clone(), arguments.dry_run, arguments.by);
    let options = relink::Options { modules, dry_run, by };
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug) };
    let stdout = if arguments.json { Stdout::Else } else { Stdout::Summary };
    let terminal = Terminal::new(config.verbosity, stdout, shows_progress(&config));
    let recorder = relinked::Recorder::new(dry_run);
    let log = log(&config, dry_run)?;
    let mut listeners: Vec<&dyn Listener> = vec![&recorder, &terminal];
    listeners.extend(log.iter().map(|log| log as &dyn Listener));
    relink::relink(&config, &options, &interrupt, &Listeners(listeners), &recorder);
    let (record, status) = recorder.finish();
    if arguments.json {
        writeln!(io::stdout().lock(), "{}", serde_json::to_string(&record).map_err(io::Error::from)?)?;
    }
    let has_links = arguments.detailed_exitcode && record.linked > 0;
    Ok(if has_links { status.worse(Status::Changed) } else { status })
}

fn bitflip(
    arguments: &cli::Bitflip,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Status, config::Error> {
    let Loaded { config, file, .. } = load_any(overrides, environment)?;
    let how = match (arguments.yes, arguments.wait) {
        (false, _) => How::DryRun,
        (true, false) => How::AtOnce,
        (true, true) => How::Waits,
    };
    let path = arguments.path.as_ref().map_or(RelPath::TOP, RelPathBuf::as_path);
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug) };
    let terminal = Terminal::new(config.verbosity, Stdout::Else, false);
    let recorder = Recorder::new(how == How::DryRun);
    let log = log(&config, how == How::DryRun)?;
    let mut listeners: Vec<&dyn Listener> = vec![&recorder, &terminal];
    listeners.extend(log.iter().map(|log| log as &dyn Listener));
    let result = sync::bitflip::bitflip(&config, path, how, &interrupt, &Listeners(listeners));
    let (record, status) = recorder.finish();
    let mut out = io::stdout().lock();
    match result {
        Some(result) if arguments.json => {
            let mut result = result.json();
            result["status"] = record.status.into();
            result["code"] = record.code.into();
            result["errors"] = record.errors.into();
            writeln!(out, "{result}")?;
        }
        Some(result) if config.verbosity >= 0 || arguments.at.is_some() => {
            out.write_all(result.text().as_bytes())?;
            if result.would_open() {
                out.write_all(&how_to_open(path, file.as_deref(), arguments.at)?)?;
            }
        }
        Some(_) => {}
        None => return Ok(no_result(status, record.errors, arguments.json)),
    }
    Ok(status)
}

/// The command that opens a path, or the lines that have others start it at a moment.
fn how_to_open(path: RelPath<'_>, config: Option<&Path>, at: Option<i64>) -> io::Result<Vec<u8>> {
    let program = std::env::current_exe()?;
    let config = config.map(std::path::absolute).transpose()?;
    let config = config.iter().flat_map(|config| [b"--config", config.as_os_str().as_bytes()]);
    let mut words: Vec<&[u8]> = std::iter::once(program.as_os_str().as_bytes()).chain(config).collect();
    words.push(b"bitflip");
    words.extend(Some(path.bytes()).filter(|_| !path.is_top()));
    words.push(b"--yes");
    let Some(at) = at else {
        return Ok([b"To open it: ", schedule::line(&words).as_slice(), b"\n"].concat());
    };
    // A run that is at work then is waited for: nobody would try again.
    words.push(b"--wait");
    let lines = schedule::lines(at, rustix::process::geteuid().as_raw(), &words).unwrap_or_default();
    Ok([b"To have it opened then, one of these:\n", lines.as_slice()].concat())
}

fn checkin(
    arguments: &cli::Checkin,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Status, config::Error> {
    let config = load(overrides, environment, &arguments.modules)?;
    let action = match (arguments.dry_run, &arguments.dump) {
        (true, _) => Action::Show,
        (_, Some(file)) => Action::Dump(file.clone()),
        _ => Action::Send,
    };
    let is_sent = action == Action::Send;
    let wanted =
        checkin::Wanted { modules: arguments.modules.clone(), all: arguments.all, force: arguments.force, action };
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug) };
    let terminal = Terminal::new(config.verbosity, Stdout::Summary, false);
    let recorder = Recorder::new(!is_sent);
    let log = log(&config, !is_sent)?;
    let mut listeners: Vec<&dyn Listener> = vec![&recorder, &terminal];
    listeners.extend(log.iter().map(|log| log as &dyn Listener));
    let shown = checkin::check_in(&config, &wanted, &interrupt, &Listeners(listeners), &recorder);
    io::stdout().lock().write_all(shown.unwrap_or_default().as_bytes())?;
    Ok(recorder.finish().1)
}

fn tell_downstreams(
    arguments: &cli::Push,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Status, config::Error> {
    let mut config = load(overrides, environment, &[])?;
    if arguments.due && config.push.is_none() {
        return Ok(Status::Done);
    }
    let settings = config.push.as_mut().ok_or(config::Error::NobodyDownstream)?;
    settings.strict |= arguments.strict;
    let settings = config.push.as_ref().ok_or(config::Error::NobodyDownstream)?;
    let round = Round::new(settings)
        .only(&arguments.names)
        .map_err(|(name, known)| config::Error::UnknownDownstream { name, known })?;
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug) };
    let stdout = if arguments.json || arguments.dry_run { Stdout::Else } else { Stdout::Summary };
    let terminal = Terminal::new(config.verbosity, stdout, false);
    let recorder = Recorder::new(arguments.dry_run);
    let log = log(&config, arguments.dry_run)?;
    let mut listeners: Vec<&dyn Listener> = vec![&recorder, &terminal];
    listeners.extend(log.iter().map(|log| log as &dyn Listener));
    let listeners = Listeners(listeners);
    if arguments.dry_run {
        io::stdout().lock().write_all(round.show(&listeners).as_bytes())?;
        return Ok(recorder.finish().1);
    }
    let wanted = match arguments.names.as_slice() {
        [] if arguments.due => Wanted::Due,
        [] => Wanted::All,
        _ => Wanted::Some,
    };
    sync::push::push(&config, &round, wanted, &interrupt, &listeners);
    let (record, status) = recorder.finish();
    listeners.hear(&Event::Finished(&record));
    if arguments.json {
        writeln!(io::stdout().lock(), "{}", record.of_push())?;
    }
    Ok(status)
}

fn size(arguments: &cli::Size, overrides: &Overrides, environment: &Environment) -> Result<Status, config::Error> {
    let config = load(overrides, environment, &arguments.modules)?;
    let list_files = lists(&config, &arguments.list_files)?;
    let modules = concerned(&arguments.modules, &arguments.list_files);
    let options = Options { modules, dry_run: true, list_files, ..Options::default() };
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug) };
    let recorder = Recorder::new(true);
    let terminal = Terminal::new(config.verbosity, Stdout::Else, false);
    let sizes = sync::size(&config, &options, &interrupt, &Listeners(vec![&recorder, &terminal]));
    let text = if arguments.json { size_table::json(&sizes) } else { size_table::text(&sizes) };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(recorder.finish().1)
}

/// Each line is printed when it is known: a check may take its time.
fn doctor(arguments: &cli::Doctor, overrides: &Overrides, environment: &Environment) -> Result<Status, config::Error> {
    let loaded = config::load(overrides, environment);
    let says_all = overrides.verbosity >= 0;
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug) };
    // Colours go where nobody sees them, or NO_COLOR is set.
    let mut out = anstream::stdout();
    let mut checks = Vec::new();
    qfm::doctor::examine(loaded, &arguments.modules, &interrupt, &mut |check| {
        let check = check.naming(overrides.config.as_deref());
        if !arguments.json && (says_all || check.is_wrong()) {
            write!(out, "{}", check.lines()).and_then(|()| out.flush())?;
        }
        checks.push(check);
        Ok(())
    })?;
    let status = interrupt.raised().map_or_else(|| examined::status(&checks), Status::from);
    if arguments.json {
        writeln!(out, "{}", examined::json(&checks, status))?;
    } else if says_all && interrupt.raised().is_none() {
        write!(out, "{}", examined::summary(&checks))?;
    }
    Ok(status)
}

fn diff(arguments: &cli::Diff) -> Status {
    let form = match (arguments.json, arguments.null) {
        (true, _) => Form::Json,
        (_, true) => Form::Nul,
        _ => Form::Text,
    };
    let (mut out, mut complaints) = (io::stdout().lock(), io::stderr());
    match qfm::diff::diff(&arguments.old, &arguments.new, form, &mut out, &mut complaints) {
        Ok(true) if arguments.detailed_exitcode => Status::Changed,
        Ok(_) => Status::Done,
        Err(DiffError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Status::Done,
        Err(error) => {
            let status = error.status();
            let error = format!("{:#}", anyhow::Error::new(error));
            drop(writeln!(complaints, "qfm: error: {error}"));
            drop(out);
            no_result(status, vec![error], arguments.json)
        }
    }
}

/// The modules that a command is about: those that are named, else those that a list is given of; empty for all.
fn concerned(named: &[String], lists: &[cli::ListFile]) -> Vec<String> {
    if named.is_empty() { lists.iter().map(|list| list.module.clone()).collect() } else { named.to_owned() }
}

fn make_list(
    arguments: &cli::MakeList,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Status, config::Error> {
    let lists = config::lists(overrides, environment, &arguments.directories)?;
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug) };
    let options = make_list::Options {
        checksums_of: arguments.checksums_of.clone(),
        sorted: arguments.sort,
        jobs: lists.jobs,
        ..make_list::Options::default()
    };
    let wanted = make_list::Wanted { plain: arguments.plain, images: arguments.images, dry_run: arguments.dry_run };
    let made = match make_list::make_lists(&lists, &options, wanted, &interrupt, &mut io::stderr()) {
        Ok(made) => made,
        Err(error) => {
            let status = error.status();
            drop(writeln!(io::stderr(), "qfm: error: {:#}", anyhow::Error::new(error)));
            return Ok(status);
        }
    };
    let mut out = io::stdout().lock();
    for change in made.changes.iter().filter(|_| overrides.verbosity >= 0) {
        writeln!(out, "{change}")?;
    }
    let status = if made.lacks_names { Status::Partial } else { Status::Done };
    Ok(if arguments.detailed_exitcode && !made.changes.is_empty() { status.worse(Status::Changed) } else { status })
}

fn run_job(
    arguments: &cli::RunJob,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<ExitCode, config::Error> {
    let environment = environment.only(&push::OF_AN_ADMIN);
    let loaded = load_for_jobs(overrides, &environment)?;
    let settings = loaded.config.job(arguments.job.as_deref())?;
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug.into()) };
    let terminal = Terminal::new(loaded.config.verbosity, Stdout::Else, false);
    let log = log_if_possible(&loaded.config)?;
    let mut listeners: Vec<&dyn Listener> = vec![&terminal];
    listeners.extend(log.iter().map(|log| log as &dyn Listener));
    let run = || {
        if arguments.detached {
            push::job::leave_session()?;
        }
        let job = Job::new(settings, &loaded.config, loaded.file.as_deref(), &environment)?;
        if !arguments.triggered && !arguments.detached {
            job.mark(Asked { stage: Stage::All, origin: Origin::Local, callback: false })?;
        }
        job.run_while_marked(&interrupt, &Listeners(listeners))
    };
    let result = match run() {
        Ok(Some(result)) => result,
        // Nobody asks for it, or somebody else is at it and does it after that.
        Ok(None) => return Ok(Status::Done.into()),
        Err(error) => return Ok(job_failed(&error).into()),
    };
    Ok(end_of(&result, &settings.name, &interrupt))
}

fn trigger(
    arguments: &cli::Trigger,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<ExitCode, config::Error> {
    let sent = environment.get("SSH_ORIGINAL_COMMAND").unwrap_or_default().as_encoded_bytes();
    let forced = Words::forced(&arguments.words).map_err(|word| {
        let wrong = Wrong::new(format!("`{word}` is no name of a job, or there is one already"), "");
        config::Error::Invalid(vec![wrong.at(config::Origin::Default, "")])
    })?;
    let words = Words::sent(sent).under(forced);
    let environment = environment.only(&OF_A_SESSION);
    let loaded = load_for_jobs(overrides, &environment)?;
    let Some(interrupt) = listen_for_signals() else { return Ok(Status::Bug.into()) };
    let terminal = Terminal::new(loaded.config.verbosity, Stdout::Else, false);
    let log = log_if_possible(&loaded.config)?;
    let mut listeners: Vec<&dyn Listener> = vec![&terminal];
    listeners.extend(log.iter().map(|log| log as &dyn Listener));
    Ok(match push::trigger::trigger(&words, &loaded, &environment, &interrupt, &Listeners(listeners)) {
        Ok(None) => Status::Done.into(),
        Ok(Some(result)) => end_of(&result, words.job.as_deref().unwrap_or(DEFAULT), &interrupt),
        Err(trouble) => trouble.status().into(),
    })
}

fn authorized_key(
    key: &Path,
    job: Option<&str>,
    from: &[String],
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Status, config::Error> {
    let loaded = load_for_jobs(overrides, &environment.only(&push::OF_AN_ADMIN))?;
    let job = &loaded.config.job(job)?.name;
    let said = |wrong: Wrong| config::Error::Invalid(vec![wrong.at(config::Origin::Default, "")]);
    let file = loaded.file.as_deref().ok_or_else(|| said(Wrong::new(JobError::NoFile.to_string(), "")))?;
    let absolute = |path: &Path| {
        let absolute =
            std::path::absolute(path).map_err(|source| config::Error::Read { path: path.to_owned(), source });
        absolute.map(|path| path.to_string_lossy().into_owned())
    };
    let (program, file) = (absolute(&std::env::current_exe()?)?, absolute(file)?);
    let text = std::fs::read(key).map_err(|source| config::Error::Read { path: key.to_owned(), source })?;
    let line = authorized::line(&program, &file, job, from, &String::from_utf8_lossy(&text)).map_err(said)?;
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(Status::Done)
}

/// What a run of a job makes this program end with.
fn end_of(result: &JobResult, job: &str, interrupt: &Interrupt) -> ExitCode {
    if let Some(error) = &result.error {
        drop(writeln!(io::stderr(), "qfm: error: job {job}: {error}"));
    }
    result.code.map_or_else(|| interrupt.raised().map_or(Status::Local, Status::from).into(), ExitCode::from)
}

fn listen(overrides: &Overrides, environment: &Environment) -> Result<Status, config::Error> {
    let environment = environment.only(&push::OF_AN_ADMIN);
    // At SIGHUP it reads its configuration anew.
    let Some(interrupt) = end_at(&[SIGINT, SIGTERM]) else { return Ok(Status::Bug) };
    let (overrides, of_files) = (overrides.clone(), environment.clone());
    let load = move || load_for_jobs(&overrides, &of_files);
    match push::listen::listen(load, &environment, &interrupt) {
        Ok(()) => Ok(Status::Done),
        Err(Trouble::Config(error)) => Err(error),
        Err(error) => {
            let status = error.status();
            error.report();
            Ok(status)
        }
    }
}

fn job_failed(error: &JobError) -> Status {
    drop(writeln!(io::stderr(), "qfm: error: {error}"));
    error.status()
}

/// The configuration of jobs: its file alone says what they are, for what else is said is not known to who runs them.
fn load_for_jobs(overrides: &Overrides, environment: &Environment) -> Result<Loaded, config::Error> {
    if let Some(given) = overrides.settings.first() {
        let wrong = Wrong::new("jobs take their settings from the configuration file alone", "write it there");
        return Err(config::Error::Invalid(vec![
            wrong.at(config::Origin::Flag(given.flag.clone()), given.key.clone()),
        ]));
    }
    load_any(overrides, environment)
}

/// The lists that take the place of upstream's, by module.
fn lists(config: &Config, lists: &[cli::ListFile]) -> Result<Vec<(String, PathBuf)>, config::Error> {
    config.require(&lists.iter().map(|list| list.module.clone()).collect::<Vec<_>>())?;
    Ok(lists.iter().map(|list| (list.module.clone(), list.path.clone())).collect())
}

/// The configuration; what is odd about it is said.
fn load_any(overrides: &Overrides, environment: &Environment) -> Result<Loaded, config::Error> {
    let loaded = config::load(overrides, environment)?;
    for warning in &loaded.warnings {
        drop(writeln!(io::stderr(), "qfm: warning: {warning}"));
    }
    Ok(loaded)
}

/// The configuration, which must have the modules that were named.
fn load(overrides: &Overrides, environment: &Environment, modules: &[String]) -> Result<Config, config::Error> {
    let loaded = load_any(overrides, environment)?;
    loaded.config.require(modules)?;
    Ok(loaded.config)
}

/// Lets this program have as many files open as it may ask for: a directory is open for each level of what is walked or removed.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // With fewer, what is nested too deeply is told of where it is met.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap_or_default();
}

/// From now on, signals ask for the end of the run. `None` if they cannot be listened for, which is said.
fn listen_for_signals() -> Option<Arc<Interrupt>> {
    end_at(&[SIGINT, SIGTERM, SIGHUP])
}

/// The same, by these signals.
fn end_at(signals: &[i32]) -> Option<Arc<Interrupt>> {
    let interrupt = Arc::new(Interrupt::default());
    // A file that becomes larger than the limit is an error of the call that writes it, if somebody listens for the signal.
    let signals =
        signal_hook::flag::register(SIGXFSZ, Arc::default()).and_then(|_| signal_hook::iterator::Signals::new(signals));
    let mut signals = match signals {
        Ok(signals) => signals,
        Err(error) => {
            drop(writeln!(io::stderr(), "qfm: error: cannot listen for signals: {error}"));
            return None;
        }
    };
    let raised = Arc::clone(&interrupt);
    std::thread::spawn(move || {
        for signal in signals.forever() {
            raised.raise(if signal == SIGINT { Signal::Interrupt } else { Signal::Terminate });
        }
    });
    Some(interrupt)
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
