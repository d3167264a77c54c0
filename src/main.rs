//! Arguments, signals, exit status.

use std::io::{self, Write};
use std::process::ExitCode;

use qfm::cli::{self, Cli, Command, ConfigCommand};
use qfm::config::{self, Environment};
use qfm::exit::Status;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(cli) => run(cli).into(),
        Err(error) => usage(&error).into(),
    }
}

fn run(Cli { command, overrides }: Cli) -> Status {
    let environment: Environment = std::env::vars_os().collect();
    let mut out = io::stdout().lock();
    let result = match command {
        Command::Config(ConfigCommand::Init { file }) => config::commands::init(file.as_deref(), &mut out),
        Command::Config(ConfigCommand::Check) => config::commands::check(&overrides, &environment, &mut out),
        Command::Config(ConfigCommand::Show { json }) => {
            config::commands::show(&overrides, &environment, json, &mut out)
        }
        Command::Completions { shell } => cli::completions(shell, &mut out).map_err(Into::into),
        Command::Man { directory: None } => cli::manual::page(&mut out).map_err(Into::into),
        Command::Man { directory: Some(path) } => {
            cli::manual::pages(&path).map_err(|source| config::Error::Write { path, source })
        }
        Command::Sync(_) | Command::Size(_) | Command::Demo => {
            drop(writeln!(io::stderr(), "qfm: error: this command is not built yet"));
            return Status::Bug;
        }
    };
    match result.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Status::Done,
        // Who reads has seen enough: `qfm config show | head`.
        Err(config::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Status::Done,
        Err(error) => {
            // Nowhere is left to say that standard error is gone.
            drop(error.report(&mut io::stderr()));
            error.status()
        }
    }
}

/// Prints what clap has to say: help and version, or what is wrong with the command line.
fn usage(error: &clap::Error) -> Status {
    if error.use_stderr() {
        drop(write!(io::stderr(), "qfm: {}", error.render()));
        Status::Usage
    } else {
        drop(error.print());
        Status::Done
    }
}
