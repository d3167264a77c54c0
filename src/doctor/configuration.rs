//! The configuration: which file it is, and what is odd about it.

use crate::config::{Error, Loaded};
use crate::report::doctor::Check;

const TOPIC: &str = "configuration";

/// What is wrong with it: each fault with its hint.
pub(super) fn refused(error: &Error) -> Vec<Check> {
    let faults = error.faults().into_iter();
    faults.map(|(fault, hint)| Check::fail(TOPIC, "", error.status(), fault, hint)).collect()
}

pub(super) fn checks(loaded: &Loaded) -> Vec<Check> {
    let config = &loaded.config;
    let file = loaded.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let modules: Vec<&str> = config.modules.iter().map(|module| module.name.as_str()).collect();
    let old = if config.old.is_some() { "quick-fedora-mirror's, " } else { "" };
    let read = Check::ok(TOPIC, file, format!("{old}modules {}", modules.join(", ")));
    let odd = |warning: &_| {
        Check::warn(TOPIC, "", warning, "see which settings hold, and where each comes from: qfm config show")
    };
    std::iter::once(read).chain(loaded.warnings.iter().map(odd)).collect()
}
