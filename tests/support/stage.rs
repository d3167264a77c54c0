//! A mirror whose runs are cut off or disturbed, and what must hold after the next one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use qfm::demo::tree::{Kind, Snapshot, View, snapshot};
use qfm::exit::Status;
use rustix::process::{Pid, Signal};

use super::{
    ARCHIVE, Built, Chance, Daemon, FEDORA, Mirror, Site, Upstream, assert_same_in, noise, processes_on, wait_until,
};

/// Temporary files of other programs, in directories that each change of upstream concerns.
const OTHERS: [&str; 4] = [
    "fedora/os/.p1.rpm.AbCdEf",
    "fedora/os/.~tmp~/p2.rpm",
    "fedora/os/.nfs00000000012345670000abcd",
    "fedora/os/repodata/.~tmp~/other.xml",
];

pub struct Stage {
    // The daemon goes before what it serves.
    daemon: Daemon,
    pub site: Site,
    pub mirror: Mirror,
    version: usize,
    others: Vec<(PathBuf, Inode)>,
}

/// What changes when somebody touches a file.
pub type Inode = (u64, i64, i64);

pub fn inode(path: &Path) -> Inode {
    let stat = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{} is gone: {error}", path.display()));
    (stat.ino(), stat.ctime(), stat.ctime_nsec())
}

fn build(up: &mut Upstream) -> Built {
    for number in 0..30 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.file("fedora/os/repodata/0-primary.xml", b"0")?.file("fedora/os/repodata/repomd.xml", b"0-primary.xml")?;
    up.file("fedora/os/Packages", b"0")?.file("fedora/os/kind", b"a file")?.link("fedora/latest", "os")?;
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?.file("archive/os/a.rpm", b"aaa").map(drop)
}

impl Stage {
    /// A mirror that is in step, with temporary files of others in it.
    pub fn new() -> Stage {
        let mut site = Site::new();
        build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
        let daemon = site.serve();
        let mirror = Mirror::new(&daemon.url(), &[FEDORA, ARCHIVE]);
        mirror.sync();
        let mut stage = Stage { daemon, site, mirror, version: 0, others: Vec::new() };
        for name in OTHERS {
            let path = stage.mirror.path(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(&path, "not ours").expect("written");
        }
        stage.others = OTHERS.map(|name| stage.mirror.path(name)).map(|path| (path.clone(), inode(&path))).into();
        stage
    }

    /// Changes upstream in every way that concerns a mirror, a little, and publishes that.
    pub fn change(&mut self, chance: &mut Chance) {
        self.version += 1;
        let (version, up) = (self.version, &mut self.site.upstream);
        change(up, version, chance).and_then(|()| up.publish().map(drop)).expect("a changed upstream");
    }

    /// What of upstream a run is to bring here, and what is here before it.
    pub fn seen(&self) -> [Snapshot; 2] {
        [self.site.upstream.root(), &self.mirror.root]
            .map(|top| snapshot(top, &View { contents: true, restricted: true, ..View::PUBLIC }).expect("readable"))
    }

    /// Fails unless each file here is whole, the one from before a run or the one that upstream has, and none of both is lost.
    #[track_caller]
    pub fn assert_whole(&self, seen: &[Snapshot; 2]) {
        let [upstream, before] = seen;
        let now = snapshot(&self.mirror.root, &View { contents: true, restricted: true, ..View::PUBLIC })
            .expect("a readable mirror");
        let wanted = |name: &[u8]| [upstream.get(name), before.get(name)].into_iter().flatten();
        for (name, entry) in now.iter().filter(|(_, entry)| entry.kind == Kind::File) {
            let is_known = wanted(name).any(|known| known.digest == entry.digest);
            // What is not listed is nobody's: what rsync left of its work.
            assert!(is_known || wanted(name).next().is_none(), "{} is not whole", name.escape_ascii());
        }
        for (name, entry) in upstream {
            let stays = before.get(name).is_some_and(|before| before.kind == entry.kind);
            assert!(!stays || now.contains_key(name), "{} is lost", name.escape_ascii());
        }
    }

    /// Fails unless a client that reads the pointer finds what it names.
    #[track_caller]
    pub fn assert_followable(&self) {
        let repodata = self.mirror.path("fedora/os/repodata");
        let named = fs::read_to_string(repodata.join("repomd.xml")).expect("the pointer");
        assert!(repodata.join(&named).exists(), "the pointer names {named}, which is not here");
    }

    /// Fails unless the next run brings all in step, and leaves nothing but that; what others have here is not touched. Returns how long
    /// it took.
    #[track_caller]
    pub fn assert_mended_by_a_run(&self) -> Duration {
        let began = Instant::now();
        self.mirror.run(&[]).status(Status::Done);
        let takes = began.elapsed();
        self.assert_in_step();
        takes
    }

    /// Fails unless the mirror is what upstream is, the state is in order, and what others have here was not touched.
    #[track_caller]
    pub fn assert_in_step(&self) {
        let is_others = |name: &[u8]| {
            let has = |other: &str| {
                other.as_bytes() == name || name.ends_with(b"/.~tmp~") && other.as_bytes().starts_with(name)
            };
            OTHERS.iter().any(|other| has(other))
        };
        assert_same_in(
            &View { contents: true, ignore: &is_others, ..View::PUBLIC },
            self.site.upstream.root(),
            &self.mirror.root,
        );
        for (path, before) in &self.others {
            assert_eq!(inode(path), *before, "{} was touched", path.display());
        }
        let folder = fs::read_dir(&self.mirror.state).expect("the state").next().expect("a folder").expect("a folder");
        let names = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let names: BTreeSet<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        let expected =
            ["archive.applied", "archive.stamps", "fedora.applied", "fedora.stamps", "lists", "lock", "runs", "spans"];
        assert_eq!(names, expected.map(str::to_owned).into(), "in the state");
    }
}

fn change(up: &mut Upstream, version: usize, chance: &mut Chance) -> Built {
    chance.note(format_args!("version {version}"));
    for _ in 0..3 {
        let number = chance.below(30);
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number} of {version}"))?;
    }
    let size = chance.one_of(&[10, 1000, 100_000, 3_000_000]);
    up.file(format!("fedora/os/v{version}.iso"), noise(size))?;
    up.file(format!("fedora/new/{version}/deep/a.rpm"), format!("new {version}"))?;
    up.link(format!("fedora/new/link-{version}"), format!("{version}/deep"))?;
    up.hardlink(format!("fedora/new/{version}/deep/a.rpm"), format!("archive/new/{version}/a.rpm"))?;
    up.file(format!("fedora/os/repodata/{version}-primary.xml"), noise(chance.one_of(&[10, 100_000])))?;
    up.file("fedora/os/repodata/repomd.xml", format!("{version}-primary.xml"))?;
    up.file("fedora/os/Packages", format!("{version}"))?;
    up.link("fedora/latest", format!("new/{version}"))?;
    match version % 3 {
        0 => up.file("fedora/os/kind", format!("file {version}"))?,
        1 => up.remove("fedora/os/kind")?.file("fedora/os/kind/a", b"a")?.file("fedora/os/kind/b/c", b"c")?,
        _ => up.link("fedora/os/kind", "p1.rpm")?,
    };
    let last = version - 1;
    up.remove(format!("fedora/os/repodata/{last}-primary.xml"))?;
    if last > 0 {
        up.remove(format!("fedora/os/v{last}.iso"))?.remove(format!("archive/new/{last}"))?;
        up.remove(format!("fedora/new/{last}"))?.remove(format!("fedora/new/link-{last}"))?;
    }
    Ok(())
}

/// Kills a run and all that it started, as if at once: it is stopped before the others go, so that it does not see them go.
#[track_caller]
pub fn kill_all(mut run: Child, root: &Path) {
    let pid = Pid::from_child(&run);
    // What has ended by itself needs no signal, here and below.
    rustix::process::kill_process(pid, Signal::STOP).ok();
    for pid in descendants(pid).into_iter().chain([pid]) {
        rustix::process::kill_process(pid, Signal::KILL).ok();
    }
    run.wait().expect("it can be waited for");
    wait_until("all that it started is gone", || processes_on(root).is_empty());
}

/// All processes that a process started, those of the others first.
fn descendants(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<Pid> = children
        .flat_map(|line| line.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>())
        .collect();
    children.into_iter().flat_map(|child| descendants(child).into_iter().chain([child])).collect()
}
