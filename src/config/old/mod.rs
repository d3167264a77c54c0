//! The configuration of quick-fedora-mirror: its assignments become settings, and what no setting stands for is kept beside.

mod import;
mod key;
mod options;
mod translate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) use import::toml;
pub(super) use key::{NAME, defaults, is_old, setting_for};
pub(super) use translate::{Translated, translate};

use super::error::{Origin, Problem, Wrong};
use super::layers::Environment;
use super::shell::{self, Assignments, Surroundings, Value};

/// What the old configuration says and no setting of qfm stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    /// `TIMEFILE`: the last mirror time, and the lock; empty where the file does not say it. Absolute.
    pub time_file: PathBuf,
    /// `VERBOSE`: 0 to 9.
    pub verbose: u8,
    /// `LOGITEMS`: the letters of what is logged; `@` is all.
    pub log_items: String,
    /// `LOGJOURNAL`: log to the journal of systemd.
    pub log_journal: bool,
    /// `KEEPDIRTIMES`: qfm always keeps them.
    pub keep_dir_times: bool,
    /// `NORSYNCRECOVERY`: leave alone what an aborted run left in `.~tmp~`.
    pub no_recovery: bool,
    /// `RSYNCOPTS` as it stands there; qfm takes from it what is not its own anyway.
    pub rsync_options: Option<Vec<String>>,
    /// `TMPDIR`: where working files lie.
    pub temporary: Option<PathBuf>,
}

/// Reads the assignments of a file, as a shell would that starts with the environment and `before`.
///
/// # Errors
/// All that is refused, each with its place.
pub fn assignments(
    bytes: &[u8],
    path: &Path,
    environment: &Environment,
    before: &BTreeMap<String, Value>,
) -> Result<Assignments, Vec<Problem>> {
    let variable = |name: &str| environment.given(name).and_then(|value| value.to_str()).map(str::to_string);
    let surroundings = Surroundings { environment: &variable, before, associations: &key::ASSOCIATIONS };
    shell::read(bytes, &surroundings).map_err(|refusals| refusals.iter().map(|it| refused(it, bytes, path)).collect())
}

/// A refusal; of a setting as a TOML file has it, with the key to write.
fn refused(refusal: &shell::Refusal, bytes: &[u8], path: &Path) -> Problem {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().nth(refusal.at.line - 1).unwrap_or_default();
    let rest: String = line.chars().skip(refusal.at.column - 1).collect();
    let mut problem = at(refusal, path);
    if let Some((name, _)) = rest.split_once('=')
        && let Some(keys) = key::instead_of(name.trim())
    {
        problem.wrong.hint = format!("{} is a setting of TOML files; write {keys} here, without blanks", name.trim());
    }
    problem
}

fn at(refusal: &shell::Refusal, path: &Path) -> Problem {
    Wrong::new(refusal.what.clone(), refusal.hint.clone()).at(origin(path, refusal.at), "")
}

fn origin(path: &Path, at: shell::Position) -> Origin {
    Origin::File { path: path.to_path_buf(), line: at.line, column: at.column }
}
