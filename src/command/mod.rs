//! The commands of the program: each reads its configuration, puts together who listens, calls the library, and says with which status
//! that ends.

pub mod bitflip;
pub mod configuration;
pub mod doctor;
pub mod job;
pub mod lists;
pub mod run;
pub mod status;
pub mod tell;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use qfm::config::levels::of_verbosity;
use qfm::config::{self, Config, Environment, Loaded, Overrides, Progress, Wrong};
use qfm::interrupt::{Interrupt, Signal};
use qfm::report::log::{Log, journal};
use qfm::report::once::Once;
use qfm::report::terminal::{Stdout, Terminal};
use qfm::report::{Event, Listener};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

/// The verbosity that names each path: so much goes to the log file where nothing else is said.
const PATHS: i8 = 1;

/// What every command is given beside its own arguments.
#[derive(Clone)]
pub struct Call {
    /// What the command line says about the configuration.
    pub overrides: Overrides,
    /// The environment of the program.
    pub environment: Environment,
}

impl Call {
    /// The configuration; what is odd about it is said.
    fn load_any(&self, environment: &Environment) -> Result<Loaded, config::Error> {
        let loaded = config::load(&self.overrides, environment)?;
        for warning in &loaded.warnings {
            drop(writeln!(io::stderr(), "qfm: warning: {warning}"));
        }
        Ok(loaded)
    }

    /// The configuration, which must have the modules that were named.
    fn load(&self, modules: &[String]) -> Result<Config, config::Error> {
        let loaded = self.load_any(&self.environment)?;
        loaded.config.require(modules)?;
        Ok(loaded.config)
    }

    /// The configuration of jobs: its file alone says what they are, for what else is said is not known to who runs them.
    fn load_for_jobs(&self, environment: &Environment) -> Result<Loaded, config::Error> {
        if let Some(given) = self.overrides.settings.first() {
            let wrong = Wrong::new("jobs take their settings from the configuration file alone", "write it there");
            return Err(config::Error::Invalid(vec![
                wrong.at(config::Origin::Flag(given.flag.clone()), given.key.clone()),
            ]));
        }
        self.load_any(environment)
    }
}

/// Who hears of what a command does: its record, the terminal, and the log.
struct Audience<R> {
    recorder: R,
    terminal: Once<Terminal>,
    log: Once<Log>,
}

impl<R: Listener> Audience<R> {
    /// The log goes to the file of the configuration, but where the command `writes_nothing`, and to the journal where standard error leads
    /// there: the terminal leaves to it what is told there.
    fn new(config: &Config, recorder: R, terminal: Terminal, writes_nothing: bool) -> Self {
        let levels = |verbosity| config.log_levels.clone().unwrap_or_else(|| of_verbosity(verbosity));
        let file = config.log_file.as_deref().filter(|_| !writes_nothing).map(|path| (path, levels(PATHS)));
        let journal = journal::of_standard_error().map(|journal| (journal, levels(config.verbosity)));
        let terminal = if journal.is_some() { terminal.beside_journal() } else { terminal };
        let log = Log::new(file, journal).with_config(terminal.config());
        Audience { recorder, terminal: Once::new(terminal), log: Once::new(log) }
    }

    /// The same for what others start: it tells nobody what it did.
    fn for_jobs(config: &Config, recorder: R) -> Self {
        Audience::new(config, recorder, Terminal::new(config.verbosity, Stdout::Else, false), false)
    }
}

impl Audience<()> {
    /// The same for what goes on until it is told to end: no summary follows, so its news are told as they come.
    fn for_service(config: &Config) -> Self {
        Audience::new(config, (), Terminal::new(config.verbosity + 1, Stdout::Else, false), false)
    }
}

impl<R: Listener> Listener for Audience<R> {
    fn hear(&self, event: &Event<'_>) {
        self.recorder.hear(event);
        self.terminal.hear(event);
        self.log.hear(event);
    }
}

/// The terminal, with a progress display where that is wanted.
fn terminal(config: &Config, stdout: Stdout) -> Terminal {
    let progress = match config.progress {
        Progress::Always => true,
        Progress::Never => false,
        Progress::Auto => io::stderr().is_terminal() && config.verbosity >= 0,
    };
    Terminal::new(config.verbosity, stdout, progress)
}

/// From now on, signals ask for the end of the command.
///
/// # Errors
/// If they cannot be listened for.
pub fn listen_for_signals() -> Result<Arc<Interrupt>, config::Error> {
    end_at(&[SIGINT, SIGTERM, SIGHUP])
}

/// The same, by these signals.
fn end_at(signals: &[i32]) -> Result<Arc<Interrupt>, config::Error> {
    let interrupt = Arc::new(Interrupt::default());
    // A file that becomes larger than the limit is an error of the call that writes it, if somebody listens for the signal.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(config::Error::Signals)?;
    let mut signals = signal_hook::iterator::Signals::new(signals).map_err(config::Error::Signals)?;
    let raised = Arc::clone(&interrupt);
    std::thread::spawn(move || {
        for signal in signals.forever() {
            raised.raise(if signal == SIGINT { Signal::Interrupt } else { Signal::Terminate });
        }
    });
    Ok(interrupt)
}
