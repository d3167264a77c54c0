//! Who is told of what is here: MirrorManager (checkin) and downstreams (push).

use std::io::{self, Write};

use qfm::cli;
use qfm::config;
use qfm::exit::Status;
use qfm::push::round::Round;
use qfm::report::record::Recorder;
use qfm::report::terminal::{Stdout, Terminal};
use qfm::report::{Event, Listener};
use qfm::sync::checkin::{self, Action};
use qfm::sync::push::{self, Wanted};

use super::{Audience, Call, listen_for_signals};

pub fn checkin(arguments: &cli::Checkin, call: &Call) -> Result<Status, config::Error> {
    let config = call.load(&arguments.modules)?;
    let action = match (arguments.dry_run, &arguments.dump) {
        (true, _) => Action::Show,
        (_, Some(file)) => Action::Dump(file.clone()),
        _ => Action::Send,
    };
    let is_sent = action == Action::Send;
    let wanted =
        checkin::Wanted { modules: arguments.modules.clone(), all: arguments.all, force: arguments.force, action };
    let interrupt = listen_for_signals()?;
    let terminal = Terminal::new(config.verbosity, Stdout::Summary, false);
    let audience = Audience::new(&config, Recorder::new(!is_sent), terminal, !is_sent);
    let shown = checkin::check_in(&config, &wanted, &interrupt, &audience, &audience.recorder);
    io::stdout().lock().write_all(shown.unwrap_or_default().as_bytes())?;
    Ok(audience.recorder.finish().1)
}

pub fn push(arguments: &cli::Push, call: &Call) -> Result<Status, config::Error> {
    let mut config = call.load(&[])?;
    if arguments.due && config.push.is_none() {
        return Ok(Status::Done);
    }
    let settings = config.push.as_mut().ok_or(config::Error::NobodyDownstream)?;
    settings.strict |= arguments.strict;
    let settings = config.push.as_ref().ok_or(config::Error::NobodyDownstream)?;
    let round = Round::new(settings)
        .only(&arguments.names)
        .map_err(|(name, known)| config::Error::UnknownDownstream { name, known })?;
    let interrupt = listen_for_signals()?;
    let stdout = if arguments.json || arguments.dry_run { Stdout::Else } else { Stdout::Summary };
    let terminal = Terminal::new(config.verbosity, stdout, false);
    let audience = Audience::new(&config, Recorder::new(arguments.dry_run), terminal, arguments.dry_run);
    if arguments.dry_run {
        io::stdout().lock().write_all(round.show(&audience).as_bytes())?;
        return Ok(audience.recorder.finish().1);
    }
    let wanted = match arguments.names.as_slice() {
        [] if arguments.due => Wanted::Due,
        [] => Wanted::All,
        _ => Wanted::Some,
    };
    push::push(&config, &round, wanted, &interrupt, &audience);
    let (record, status) = audience.recorder.finish();
    audience.hear(&Event::Finished(&record));
    if arguments.json {
        writeln!(io::stdout().lock(), "{}", record.of_push())?;
    }
    Ok(status)
}
