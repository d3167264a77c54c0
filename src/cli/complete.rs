//! Completions: commands and flags, and the names that the configuration gives to modules, jobs and downstreams.
//!
//! The script of a shell asks the program itself what could stand there, so it needs no change when a module is added. It is asked
//! by a variable ([`ASKED`]), before anything else is done, and answers from the configuration that the line names, without a word where
//! that is broken or missing, and without network.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Arg;
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::command;
use crate::config::{self, Config, Overrides, setting};
use crate::plan::filter::term::{ARCHITECTURES, CATEGORIES, RELEASES};
use crate::push::round::Round;

/// The variable by which the script of a shell says that it asks, and which shell it is of. No setting, as it does not begin with `QFM_`.
const ASKED: &str = "_QFM_COMPLETE";

/// What a zsh calls that found the script as a file of its function path: the first call defines the function, and should complete too.
const ZSH_AUTOLOADED: &str = "[[ $funcstack[1] = _qfm ]] && _clap_dynamic_completer_qfm \"$@\"\n";

/// Answers the script of a shell, if it asks.
///
/// Whoever presses a key wants no complaint in the middle of a line: what goes wrong is no answer.
pub fn answer() -> bool {
    let asked = CompleteEnv::with_factory(|| with_names(command())).var(ASKED);
    asked.try_complete(env::args_os(), env::current_dir().ok().as_deref()).unwrap_or(true)
}

/// Writes the script for a shell.
///
/// # Errors
/// If nobody reads.
pub fn script(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string()).ok_or(io::ErrorKind::Unsupported)?;
    completer.write_registration(ASKED, "qfm", "qfm", "qfm", out)?;
    if shell == Shell::Zsh { out.write_all(ZSH_AUTOLOADED.as_bytes()) } else { Ok(()) }
}

/// The command with what its arguments could be. Each is known by what it is called, whichever command has it.
fn with_names(command: clap::Command) -> clap::Command {
    command.mut_args(with_candidates).mut_subcommands(with_names)
}

fn with_candidates(arg: Arg) -> Arg {
    // All commands have a flag for each setting: they are offered where nothing else begins as the word does.
    let arg = if setting::find(arg.get_id().as_str()).is_some() { arg.hide(true) } else { arg };
    let candidates: fn() -> Vec<CompletionCandidate> = match arg.get_id().as_str() {
        "MODULE" | "allow_delete" => modules,
        "JOB" | "job" => jobs,
        "NAME" => downstreams,
        "filter.exclude" | "filter.only" => filter_words,
        _ => return arg,
    };
    arg.add(ArgValueCandidates::new(candidates))
}

fn modules() -> Vec<CompletionCandidate> {
    configured().map(|config| named(config.modules.iter().map(|module| &module.name))).unwrap_or_default()
}

fn jobs() -> Vec<CompletionCandidate> {
    configured().map(|config| named(config.triggered.iter().map(|job| &job.name))).unwrap_or_default()
}

fn downstreams() -> Vec<CompletionCandidate> {
    let push = configured().and_then(|config| config.push);
    push.map(|push| named(Round::new(&push).names())).unwrap_or_default()
}

fn filter_words() -> Vec<CompletionCandidate> {
    let categories = CATEGORIES.iter().map(|(word, _, what)| CompletionCandidate::new(word).help(Some((*what).into())));
    let architectures = ARCHITECTURES.iter().map(|name| CompletionCandidate::new(format!("arch:{name}")));
    let releases = RELEASES.iter().map(|name| CompletionCandidate::new(format!("release:{name}")));
    categories.chain(architectures).chain(releases).collect()
}

fn named<'n>(names: impl Iterator<Item = &'n String>) -> Vec<CompletionCandidate> {
    names.map(CompletionCandidate::new).collect()
}

/// What the configuration says that the line names, or else the usual one.
fn configured() -> Option<Config> {
    let line: Vec<OsString> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let overrides = Overrides { config: file_of(&line), ..Overrides::default() };
    config::guess(&overrides, &env::vars_os().collect())
}

/// The last file that a line names by `--config FILE` or `--config=FILE`; a bash makes three words of the latter.
fn file_of(line: &[OsString]) -> Option<PathBuf> {
    let after = |index: usize| line.get(index).filter(|word| *word != "=").or_else(|| line.get(index + 1));
    line.iter().enumerate().rev().find_map(|(index, word)| match word.to_str()?.strip_prefix("--config")? {
        "" => after(index + 1).map(PathBuf::from),
        rest => rest.strip_prefix('=').map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_configuration_of_a_line_counts() {
        let file = |line: &str| file_of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(file("qfm sync x"), None);
        assert_eq!(file("qfm --config"), None);
        assert_eq!(file("qfm --config /a sync --config=/b x"), Some("/b".into()));
        assert_eq!(file("qfm --config = /a sync"), Some("/a".into()));
        assert_eq!(file("qfm --configure /a"), None);
    }
}
