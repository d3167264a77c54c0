//! What a program may write to is the kernel's business (Landlock): what it is told, or tricked into by a link that appears under
//! its hands, does not matter then.
//!
//! A receiver of rsync reaches its files by path. Since 3.5 it looks at each part of them itself; older ones follow a link that takes
//! a directory's place in the wrong moment, and those before 3.2.5 write to any name that a sender makes up.

use std::io;
use std::path::Path;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError,
};

/// The leave to write to some places and nowhere else, to be put on by a process about itself.
pub struct Confinement(RulesetCreated);

impl Confinement {
    /// To a directory and all below it; to the one above where it is yet to be made. `None` where the kernel cannot do that: Linux
    /// before 5.19, or without Landlock.
    ///
    /// # Errors
    /// If the directory cannot be opened.
    pub fn to(directory: &Path) -> io::Result<Option<Confinement>> {
        let there = if directory.exists() { directory } else { directory.parent().unwrap_or(directory) };
        match ruleset() {
            Ok(ruleset) => {
                let opened = |path: &Path| PathFd::new(path).map_err(io::Error::other);
                let directory = PathBeneath::new(opened(there)?, AccessFs::from_write(ABI::V3));
                let nothing = PathBeneath::new(opened(Path::new("/dev/null"))?, AccessFs::WriteFile);
                let ruleset = ruleset.add_rule(directory).and_then(|ruleset| ruleset.add_rule(nothing));
                ruleset.map(Confinement).map(Some).map_err(io::Error::other)
            }
            Err(_) => Ok(None),
        }
    }

    /// Puts it on, for good. Takes no lock and allocates nothing unless it fails: for the time between fork and exec.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn put_on(self) -> io::Result<()> {
        self.0.restrict_self().map(drop).map_err(io::Error::other)
    }
}

/// Whether the kernel can confine a program.
pub fn is_possible() -> bool {
    ruleset().is_ok()
}

/// No leave to write to anything: names may be moved from one directory to another where there will be, so that what arrived in a
/// partial directory can take its place.
fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_write(ABI::V2))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::Truncate)?
        .create()
}
