//! `qfm status`.

use std::io::{self, Write};
use std::process::ExitCode;

use qfm::config::{self, Loaded};
use qfm::exit::{Health, Status};
use qfm::report::name_config;
use qfm::status::judge::{Limits, judge};
use qfm::status::metrics::metrics;
use qfm::status::publish::publish_page;
use qfm::status::text::text;
use qfm::status::{gather, plugin};
use qfm::{cli, sync};

use super::Call;

pub fn status(arguments: &cli::Status, call: &Call) -> Result<ExitCode, config::Error> {
    let limits = Limits { warning: arguments.warning, critical: arguments.critical };
    let monitors = limits != Limits::default();
    let mut out = io::stdout();
    let loaded = call.load_any(&call.environment);
    let loaded = loaded.and_then(|loaded| loaded.config.require(&arguments.modules).map(|()| loaded));
    let Loaded { mut config, file, .. } = match loaded {
        // Monitoring reads this line, and knows no codes of ours.
        Err(error) if monitors => {
            let faults: Vec<String> = error.faults().into_iter().map(|(fault, _)| fault).collect();
            out.write_all(plugin::unknown(&faults.join("; ")).as_bytes())?;
            return Ok(Health::Unknown.into());
        }
        loaded => loaded?,
    };
    if let Some(file) = &arguments.html {
        config.require_outside(file)?;
    }
    let at_work = sync::is_at_work(&config);
    config.modules.retain(|module| arguments.modules.is_empty() || arguments.modules.contains(&module.name));
    let overview = gather(&config, file.as_deref(), at_work);
    let judgement = judge(&overview, &limits);
    if monitors {
        out.write_all(plugin::line(&overview, &judgement, &limits).as_bytes())?;
        return Ok(judgement.health.into());
    }
    if arguments.json {
        out.write_all(overview.json().map_err(io::Error::from)?.as_bytes())?;
    } else if arguments.metrics {
        out.write_all(metrics(&overview).map_err(io::Error::other)?.as_bytes())?;
    } else if let Some(file) = &arguments.html {
        if let Err(error) = publish_page(&overview, &config.published.title, file) {
            drop(writeln!(io::stderr(), "qfm: error: {:#}", anyhow::Error::new(error)));
            return Ok(Status::Local.into());
        }
    } else {
        // Colours go where nobody sees them, or NO_COLOR is set.
        let text = name_config(&text(&overview, &judgement), call.overrides.config.as_deref());
        anstream::stdout().write_all(text.as_bytes())?;
    }
    Ok(if overview.unreadable.is_empty() { Status::Done } else { Status::Local }.into())
}
