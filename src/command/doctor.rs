//! `qfm doctor`.

use std::io::Write;

use qfm::cli;
use qfm::config;
use qfm::exit::Status;
use qfm::report::doctor as examined;

use super::{Call, listen_for_signals};

/// Each line is printed when it is known: a check may take its time.
pub fn doctor(arguments: &cli::Doctor, call: &Call) -> Result<Status, config::Error> {
    let loaded = config::load(&call.overrides, &call.environment);
    let says_all = call.overrides.verbosity >= 0;
    let interrupt = listen_for_signals()?;
    // Colours go where nobody sees them, or NO_COLOR is set.
    let mut out = anstream::stdout();
    let mut checks = Vec::new();
    qfm::doctor::examine(loaded, &arguments.modules, &interrupt, &mut |check| {
        let check = check.naming(call.overrides.config.as_deref());
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
