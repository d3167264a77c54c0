//! What programs leave in a tree when they are killed: temporary files, which no list names.
//!
//! Ours go, whatever the guard holds: nobody put them there for clients. Those of others are neither deleted nor mirrored: the
//! program may still be at work.

use super::compare::LocalKind;

/// The directory for partial and finished files that rsync makes in each directory: the name that the old tool and others use.
pub const PARTIAL: &str = ".~tmp~";

/// How the names of lists begin that wait beside their places.
pub const STAGED: &str = ".qfm-list.";

/// How the names of files begin that are about to take the place of an equal one.
pub const LINKED: &str = ".qfm-link.";

/// How directories are named that make way for something else until that is here.
pub const ASIDE: &str = ".qfm-aside.";

/// How all names begin that are made here, and by nobody else.
const OURS: &[u8] = b".qfm-";

/// What kind of temporary entry something is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporary<'n> {
    /// A list or a link of ours on its way: nobody else makes such a name.
    Staged,
    /// A directory that made way for something else: the guard let it go when it was moved.
    Aside,
    /// rsync's directory of partial and finished files.
    Partial,
    /// A file or link before rsync renames it to this name.
    Copy(&'n [u8]),
    /// What NFS keeps of a deleted file that somebody reads: it goes by itself, and comes back if it is deleted.
    Nfs,
}

impl<'n> Temporary<'n> {
    /// What an entry is; `None` if it is not temporary.
    pub fn of(name: &'n [u8], kind: LocalKind) -> Option<Temporary<'n>> {
        match kind {
            LocalKind::Dir if name == PARTIAL.as_bytes() => Some(Temporary::Partial),
            LocalKind::Dir if name.starts_with(ASIDE.as_bytes()) => Some(Temporary::Aside),
            LocalKind::Dir => None,
            LocalKind::File if [STAGED, LINKED].iter().any(|ours| name.starts_with(ours.as_bytes())) => {
                Some(Temporary::Staged)
            }
            LocalKind::File if name.starts_with(b".nfs") => Some(Temporary::Nfs),
            // What is named as if it were made here goes as what no list names.
            LocalKind::File | LocalKind::Link if name.starts_with(OURS) => None,
            LocalKind::File | LocalKind::Link => copy_of(name).map(Temporary::Copy),
            LocalKind::Other => None,
        }
    }

    /// Whether it is ours, or something in it may be. `changed` is its ctime, and `since` the moment of the file system's clock after
    /// which a run of ours changed the module; `None` if none did that was not put in order.
    pub fn may_be_ours(self, changed: i64, since: Option<i64>) -> bool {
        match self {
            Temporary::Staged | Temporary::Aside => true,
            // What is in it tells.
            Temporary::Partial => since.is_some(),
            Temporary::Copy(_) => since.is_some_and(|since| since <= changed),
            Temporary::Nfs => false,
        }
    }
}

/// The name that a temporary file is to get: of `.NAME.XXXXXX` it is `NAME`. For links rsync takes up to six digits.
fn copy_of(name: &[u8]) -> Option<&[u8]> {
    let rest = name.strip_prefix(b".")?;
    let dot = memchr::memrchr(b'.', rest)?;
    let (name, suffix) = (&rest[..dot], &rest[dot + 1..]);
    let is_suffix = suffix.len() == 6 && suffix.iter().all(u8::is_ascii_alphanumeric)
        || (1..6).contains(&suffix.len()) && suffix.iter().all(u8::is_ascii_digit);
    (is_suffix && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_entries_are_known_by_name_and_kind() {
        use LocalKind::{Dir, File, Link};
        let of = |name: &'static str, kind| Temporary::of(name.as_bytes(), kind);
        assert_eq!(of(".~tmp~", Dir), Some(Temporary::Partial));
        assert_eq!(of(".a.rpm.Ab3dEf", File), Some(Temporary::Copy(b"a.rpm")));
        assert_eq!(of(".latest.1234", Link), Some(Temporary::Copy(b"latest")));
        assert_eq!(of(".qfm-list.0", File), Some(Temporary::Staged));
        assert_eq!(of(".qfm-link.0", File), Some(Temporary::Staged));
        assert_eq!(of(".qfm-aside.0", Dir), Some(Temporary::Aside));
        assert_eq!(of(".nfs000000000123abcd00000001", File), Some(Temporary::Nfs));
        for (name, kind) in [
            (".~tmp~", File),
            (".a.rpm.Ab3dEf", Dir),
            ("a.rpm.Ab3dEf", File),
            (".a.rpm.Ab3dE", File),
            (".treeinfo", File),
            ("..123456", File),
            (".qfm-aside.0", File),
            (".qfm-other.0", Dir),
            (".qfm-list.0", Link),
        ] {
            assert_eq!(of(name, kind), None, "{name}");
        }
    }

    #[test]
    fn only_what_changed_while_a_run_of_ours_did_is_ours() {
        let copy = Temporary::Copy(b"a");
        assert!(copy.may_be_ours(5, Some(5)) && !copy.may_be_ours(4, Some(5)) && !copy.may_be_ours(5, None));
        assert!(Temporary::Staged.may_be_ours(0, None) && !Temporary::Nfs.may_be_ours(5, Some(0)));
        assert!(Temporary::Partial.may_be_ours(0, Some(5)) && !Temporary::Partial.may_be_ours(5, None));
    }
}
