//! `[hook]` → [`Hooks`].

use std::path::PathBuf;
use std::time::Duration;

use super::error::{Problem, Wrong};
use super::layers::Settings;

/// What is started before and after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Before anything is asked for.
    pub before: Option<Hook>,
    /// When something changed.
    pub changed: Option<Hook>,
    /// When the run failed.
    pub failed: Option<Hook>,
    /// Each may take so long.
    pub timeout: Duration,
}

/// A program that is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When: `before`, `changed` or `failed`.
    pub name: &'static str,
    /// Absolute.
    pub program: PathBuf,
    /// Its arguments; no shell sees them.
    pub arguments: Vec<String>,
}

/// What the settings say. It can be used if no problem was added.
pub(super) fn read(settings: &Settings, problems: &mut Vec<Problem>) -> Hooks {
    let mut hook = |name: &'static str| {
        let key = format!("hook.{name}");
        let (program, arguments) = settings.list(&key).unwrap_or_default().split_first()?;
        let program = PathBuf::from(program);
        if !program.is_absolute() {
            let hint = "no PATH is searched, and no shell is asked: write for example [\"/usr/local/sbin/purge-cdn\", \"--soft\"] in the file, or give one flag for each word";
            let wrong = Wrong::new(format!("{program:?} is no absolute path"), hint);
            problems.push(wrong.at(settings.origin(&key), key));
        }
        Some(Hook { name, program, arguments: arguments.to_vec() })
    };
    Hooks {
        before: hook("before"),
        changed: hook("changed"),
        failed: hook("failed"),
        timeout: settings.span("hook.timeout"),
    }
}
