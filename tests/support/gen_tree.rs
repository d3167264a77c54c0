//! The generator of Fedora-shaped trees, which lies outside of this repository.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `gen_tree.py` with these arguments; nothing if it is not here, so that a test can say that it was skipped.
#[track_caller]
pub fn gen_tree(args: &[impl AsRef<OsStr>]) -> Option<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bench/gen_tree.py");
    if !script.exists() {
        return None;
    }
    let output = Command::new("python3").arg(script).args(args).stdin(Stdio::null()).output().ok()?;
    assert!(output.status.success(), "gen_tree.py failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}
