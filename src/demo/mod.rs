//! `qfm demo`: shows on a small upstream of its own what the program does.
//!
//! The parts it is built from serve the integration tests too.

pub mod daemon;
pub mod tree;
pub mod upstream;

use std::path::Path;
use std::process::Command;

/// Takes out of a command's environment all that could change what it does, except where programs are found.
pub fn clean_environment(command: &mut Command, home: &Path) {
    command.env_clear().env("HOME", home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
}
