//! Lists: what is between two of them (diff), and those of one's own tree (make-list).

use std::io::{self, Write};

use qfm::cli;
use qfm::config;
use qfm::diff::DiffError;
use qfm::exit::Status;
use qfm::make_list::{self, Wanted};
use qfm::report::changes::Form;

use super::{Call, listen_for_signals};
use crate::no_result;

pub fn diff(arguments: &cli::Diff) -> Status {
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

pub fn make_list(arguments: &cli::MakeList, call: &Call) -> Result<Status, config::Error> {
    let lists = config::lists(&call.overrides, &call.environment, &arguments.directories)?;
    let interrupt = listen_for_signals()?;
    let options = make_list::Options {
        checksums_of: arguments.checksums_of.clone(),
        sorted: arguments.sort,
        jobs: lists.jobs,
        ..make_list::Options::default()
    };
    let wanted = Wanted { plain: arguments.plain, images: arguments.images, dry_run: arguments.dry_run };
    let made = match make_list::make_lists(&lists, &options, wanted, &interrupt, &mut io::stderr()) {
        Ok(made) => made,
        Err(error) => {
            let status = error.status();
            drop(writeln!(io::stderr(), "qfm: error: {:#}", anyhow::Error::new(error)));
            return Ok(status);
        }
    };
    let mut out = io::stdout().lock();
    for change in made.changes.iter().filter(|_| call.overrides.verbosity >= 0) {
        writeln!(out, "{change}")?;
    }
    let status = if made.lacks_names { Status::Partial } else { Status::Done };
    Ok(if arguments.detailed_exitcode && !made.changes.is_empty() { status.worse(Status::Changed) } else { status })
}
