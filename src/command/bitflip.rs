//! `qfm bitflip`.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use qfm::cli::{self, schedule};
use qfm::config::setting::SETTINGS;
use qfm::config::{self, Loaded, Wrong};
use qfm::exit::Status;
use qfm::path::{RelPath, RelPathBuf};
use qfm::report::record::Recorder;
use qfm::report::terminal::{Stdout, Terminal};
use qfm::sync;
use qfm::sync::bitflip::How;

use super::{Audience, Call, listen_for_signals};
use crate::no_result;

pub fn bitflip(arguments: &cli::Bitflip, call: &Call) -> Result<Status, config::Error> {
    let Loaded { config, file, .. } = call.load_any(&call.environment)?;
    // What is to be called later, by others, knows the file alone.
    let is_setting = |name: &str| SETTINGS.iter().any(|setting| setting.variable() == name);
    let is_of_file_alone = call.overrides.settings.is_empty() && !call.environment.own_names().any(is_setting);
    if arguments.at.is_some() && !is_of_file_alone {
        let wrong = Wrong::new(
            "who calls it then knows the configuration file alone",
            "write there what flags and environment say",
        );
        return Err(config::Error::Invalid(vec![wrong.at(config::Origin::Flag("--at".to_owned()), "")]));
    }
    let how = match (arguments.yes, arguments.wait) {
        (false, _) => How::DryRun,
        (true, false) => How::AtOnce,
        (true, true) => How::Waits,
    };
    let path = arguments.path.as_ref().map_or(RelPath::TOP, RelPathBuf::as_path);
    let interrupt = listen_for_signals()?;
    let terminal = Terminal::new(config.verbosity, Stdout::Else, false);
    let is_dry_run = how == How::DryRun;
    let audience = Audience::new(&config, Recorder::new(is_dry_run), terminal, is_dry_run);
    let result = sync::bitflip::bitflip(&config, path, how, &interrupt, &audience);
    let (record, status) = audience.recorder.finish();
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
            if result.would_open() && is_of_file_alone {
                out.write_all(&how_to_open(path, file.as_deref(), arguments.at)?)?;
            } else if result.would_open() {
                out.write_all(b"To open it: this call again, with --yes\n")?;
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
