//! Runs, and what is shown or done without one: sync, verify, size, hardlink.

use std::io::{self, Write};
use std::path::PathBuf;

use qfm::cli;
use qfm::config::{self, Config};
use qfm::exit::Status;
use qfm::relink;
use qfm::report::record::{self, Recorder};
use qfm::report::terminal::{Stdout, Terminal};
use qfm::report::{Listeners, name_config, relinked, size_table};
use qfm::sync::{self, Options};

use super::{Audience, Call, listen_for_signals, terminal};

pub fn sync(arguments: &cli::Sync, call: &Call) -> Result<Status, config::Error> {
    let config = call.load(&arguments.modules)?;
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
        trigger: call.environment.get("QFM_TRIGGER").map(|origin| origin.to_string_lossy().into_owned()),
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
    one_run(call, &config, &options, arguments.detailed_exitcode)
}

pub fn verify(arguments: &cli::Verify, call: &Call) -> Result<Status, config::Error> {
    let config = call.load(&arguments.modules)?;
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
    one_run(call, &config, &options, arguments.detailed_exitcode)
}

/// One run, with everybody who listens, and its result on standard output.
fn one_run(call: &Call, config: &Config, options: &Options, detailed_exitcode: bool) -> Result<Status, config::Error> {
    let interrupt = listen_for_signals()?;
    // Of a dry run, as of a run, only what is wrong is said to who wants to hear no more. What is wrong is what verify is for.
    let shows_plan = options.verify || config.verbosity >= 0;
    let stdout = match (options.json, options.dry_run) {
        (false, false) => Stdout::Summary,
        (false, true) if shows_plan => Stdout::Plan,
        _ => Stdout::Else,
    };
    let named = call.overrides.config.as_deref();
    let terminal = terminal(config, stdout).with_config(named);
    let audience = Audience::new(config, Recorder::new(options.dry_run), terminal, options.dry_run);
    let shown = sync::sync(config, options, &interrupt, &audience, &audience.recorder);
    let (record, status) = audience.recorder.finish();
    let mut out = io::stdout().lock();
    match &shown {
        Some(plan) if options.json => out.write_all(plan.as_bytes())?,
        Some(plan) if shows_plan => out.write_all(name_config(plan, named).as_bytes())?,
        None if options.json && options.verify => writeln!(out, "{}", record::no_result(status, &record.errors))?,
        None if options.json => writeln!(out, "{}", serde_json::to_string(&record).map_err(io::Error::from)?)?,
        _ => {}
    }
    let changed = record.changed || shown.is_some() && record.planned;
    Ok(if detailed_exitcode && changed { status.worse(Status::Changed) } else { status })
}

pub fn size(arguments: &cli::Size, call: &Call) -> Result<Status, config::Error> {
    let config = call.load(&arguments.modules)?;
    let list_files = lists(&config, &arguments.list_files)?;
    let modules = concerned(&arguments.modules, &arguments.list_files);
    let options = Options { modules, dry_run: true, list_files, ..Options::default() };
    let interrupt = listen_for_signals()?;
    let recorder = Recorder::new(true);
    let terminal = Terminal::new(config.verbosity, Stdout::Else, false);
    let sizes = sync::size(&config, &options, &interrupt, &Listeners(vec![&recorder, &terminal]));
    let text = if arguments.json { size_table::json(&sizes) } else { size_table::text(&sizes) };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(recorder.finish().1)
}

pub fn hardlink(arguments: &cli::Hardlink, call: &Call) -> Result<Status, config::Error> {
    let config = call.load(&arguments.modules)?;
    let (modules, dry_run, by) = (arguments.modules.clone(), arguments.dry_run, arguments.by);
    let options = relink::Options { modules, dry_run, by };
    let interrupt = listen_for_signals()?;
    let stdout = if arguments.json { Stdout::Else } else { Stdout::Summary };
    let audience = Audience::new(&config, relinked::Recorder::new(dry_run), terminal(&config, stdout), dry_run);
    relink::relink(&config, &options, &interrupt, &audience, &audience.recorder);
    let (record, status) = audience.recorder.finish();
    if arguments.json {
        writeln!(io::stdout().lock(), "{}", serde_json::to_string(&record).map_err(io::Error::from)?)?;
    }
    let has_links = arguments.detailed_exitcode && record.linked > 0;
    Ok(if has_links { status.worse(Status::Changed) } else { status })
}

/// The modules that a command is about: those that are named, else those that a list is given of; empty for all.
fn concerned(named: &[String], lists: &[cli::ListFile]) -> Vec<String> {
    if named.is_empty() { lists.iter().map(|list| list.module.clone()).collect() } else { named.to_owned() }
}

/// The lists that take the place of upstream's, by module.
fn lists(config: &Config, lists: &[cli::ListFile]) -> Result<Vec<(String, PathBuf)>, config::Error> {
    config.require(&lists.iter().map(|list| list.module.clone()).collect::<Vec<_>>())?;
    Ok(lists.iter().map(|list| (list.module.clone(), list.path.clone())).collect())
}
