//! The numbers that the old program showed of a module, from its plan.

use crate::list::Kind;
use crate::plan::ModulePlan;
use crate::plan::compare::FetchCause;

/// Files (and links), and directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    files: u64,
    dirs: u64,
}

impl Pair {
    fn add(&mut self, kind: Kind) {
        if kind == Kind::Dir { self.dirs += 1 } else { self.files += 1 }
    }

    /// So much more, and so much less.
    fn and_not(self, more: Pair, less: Pair) -> Pair {
        let of = |here: u64, more: u64, less: u64| (here + more).saturating_sub(less);
        Pair { files: of(self.files, more.files, less.files), dirs: of(self.dirs, more.dirs, less.dirs) }
    }
}

/// What is to be done in a module, as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    server: Pair,
    new: Pair,
    client: Pair,
    not_on_server: Pair,
    missing: Pair,
    size: u64,
    /// What others touched, or changes because something goes from it.
    times: Pair,
    checksum: u64,
    changed: u64,
    /// Paths that are asked for.
    pub transfer: u64,
}

impl Counts {
    /// Those of a plan. What is new is what the list has from `last_time` on, in seconds since the epoch.
    ///
    /// The local tree is counted by what should be here: a run does not walk it all.
    pub fn of(plan: &ModulePlan<'_>, last_time: i64) -> Counts {
        let mut counts = Counts {
            server: Pair { files: plan.carried.saturating_sub(plan.dirs), dirs: plan.dirs },
            changed: plan.changed_rows,
            transfer: plan.fetch.len() as u64,
            ..Counts::default()
        };
        for fetch in &plan.fetch {
            if fetch.time >= last_time && fetch.cause != FetchCause::Surrounding {
                counts.new.add(fetch.kind);
            }
            match fetch.cause {
                FetchCause::Missing | FetchCause::Kind => counts.missing.add(fetch.kind),
                FetchCause::Size => counts.size += 1,
                FetchCause::Checksum => counts.checksum += 1,
                FetchCause::Surrounding | FetchCause::Altered => counts.times.add(fetch.kind),
                _ => {}
            }
        }
        for delete in plan.deletes.iter().chain(&plan.staying) {
            counts.not_on_server.dirs += delete.dirs;
            counts.not_on_server.files += delete.entries.saturating_sub(delete.dirs);
        }
        counts.client = counts.server.and_not(counts.not_on_server, counts.missing);
        counts
    }

    /// Directories whose times are put right.
    pub fn directory_times(&self) -> u64 {
        self.times.dirs
    }

    /// The table, line by line.
    pub fn table(&self) -> [String; 10] {
        let both = |what: &str, Pair { files, dirs }: Pair| format!("{what:<22} {files:7} files, {dirs:4} dirs.");
        let one = |what: &str, count: u64, unit: &str| format!("{what:<22} {count:7} {unit}.");
        [
            both("Total on server:", self.server),
            both("New on server:", self.new),
            both("Total on client:", self.client),
            both("Not present on server:", self.not_on_server),
            both("Missing on client:", self.missing),
            one("Size Changed:", self.size, "files"),
            one("Timestamps to restore:", self.times.files + self.times.dirs, "files"),
            one("Checksum Failed:", self.checksum, "files"),
            one("Filelist changes:", self.changed, "paths"),
            one("Total to transfer:", self.transfer, "paths"),
        ]
    }

    /// The same in one line, for the log.
    pub fn line(&self) -> String {
        let both = |Pair { files, dirs }: Pair| format!("{files}/{dirs}");
        format!(
            "server {}, new {}, client {}, not on server {}, missing {}, size {}, times {}, checksum {}, list {}, transfer {}",
            both(self.server),
            both(self.new),
            both(self.client),
            both(self.not_on_server),
            both(self.missing),
            self.size,
            both(self.times),
            self.checksum,
            self.changed,
            self.transfer,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::RelPath;
    use crate::plan::compare::{Fetch, LocalKind};
    use crate::plan::{Delete, DeleteCause, Earlier};

    #[test]
    fn the_numbers_stand_where_they_always_stood() {
        let fetch = |cause, kind, time| {
            let (path, doubt) = (RelPath::new(b"p").unwrap(), Default::default());
            Fetch { path, kind, cause, size: 1, time, doubt }
        };
        let gone = Delete {
            in_doubt: false,
            dir: RelPath::TOP.to_owned(),
            name: b"gone"[..].into(),
            kind: LocalKind::Dir,
            cause: DeleteCause::Gone,
            entries: 5,
            dirs: 2,
            earlier: Earlier::Unseen,
            since: 0,
        };
        let plan = ModulePlan {
            carried: 1_000_110,
            dirs: 110,
            changed_rows: 9,
            fetch: vec![
                fetch(FetchCause::Missing, Kind::File, 5),
                fetch(FetchCause::Missing, Kind::Link, 20),
                fetch(FetchCause::Missing, Kind::Dir, 20),
                fetch(FetchCause::Size, Kind::File, 20),
                fetch(FetchCause::Checksum, Kind::File, 5),
                fetch(FetchCause::Changed, Kind::File, 10),
                fetch(FetchCause::Surrounding, Kind::Dir, 20),
            ],
            deletes: vec![gone],
            ..ModulePlan::nothing("fedora-enchilada", "fedora")
        };
        let table = Counts::of(&plan, 10).table();
        let expected = "\
Total on server:       1000000 files,  110 dirs.
New on server:               3 files,    1 dirs.
Total on client:       1000001 files,  111 dirs.
Not present on server:       3 files,    2 dirs.
Missing on client:           2 files,    1 dirs.
Size Changed:                1 files.
Timestamps to restore:       1 files.
Checksum Failed:             1 files.
Filelist changes:            9 paths.
Total to transfer:           7 paths.";
        assert_eq!(table.join("\n"), expected);
    }
}
