//! Everything that most tests need: an upstream, a daemon that serves it, a mirror, and a wrapper that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use qfm::demo::tree::{Inode, Kind, View, differences, inode_snapshot, snapshot};
use qfm::exit::Status;
use rustix::process::{Pid, Signal};

use super::{Call, Daemon, Mirror, RunResult, Site, Upstream, Wrapper, assert_same, wait_until};

/// The module whose directory is `fedora`.
pub const FEDORA: &str = "fedora-enchilada";
/// The module whose directory is `archive`.
pub const ARCHIVE: &str = "fedora-archive";
/// The module whose directory is `epel`.
pub const EPEL: &str = "fedora-epel";

/// What a step of building an upstream returns.
pub type Built = anyhow::Result<()>;

pub struct Scene {
    // The daemon goes before what it serves.
    pub daemon: Daemon,
    pub site: Site,
    pub wrapper: Wrapper,
    pub mirror: Mirror,
    told: usize,
    staged: Vec<PathBuf>,
}

impl Scene {
    /// A published upstream, and an empty mirror of these modules.
    #[track_caller]
    pub fn new(modules: &[&str], build: impl FnOnce(&mut Upstream) -> Built) -> Scene {
        let mut site = Site::new();
        build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
        let daemon = site.serve();
        Scene::with(site, daemon, modules)
    }

    /// The same, of an upstream and a daemon of one's own.
    pub fn with(site: Site, daemon: Daemon, modules: &[&str]) -> Scene {
        let wrapper = Wrapper::new();
        let mut mirror = Mirror::new(&daemon.url(), modules);
        mirror.call_rsync_through(&wrapper);
        Scene { daemon, site, wrapper, mirror, told: 0, staged: Vec::new() }
    }

    /// A mirror that is in step already.
    #[track_caller]
    pub fn synced(modules: &[&str], build: impl FnOnce(&mut Upstream) -> Built) -> Scene {
        let mut scene = Scene::new(modules, build);
        scene.sync_to_same();
        scene.new_calls();
        scene
    }

    /// Writes the configuration anew, with these lines of TOML added.
    pub fn configure(&mut self, modules: &[&str], extra: &str) {
        let url = self.daemon.url();
        self.mirror.configure(&url, modules, &format!("rsync.retry_delay = \"10ms\"\n{extra}"));
    }

    /// Changes upstream and publishes that.
    #[track_caller]
    pub fn change(&mut self, change: impl FnOnce(&mut Upstream) -> Built) {
        let upstream = &mut self.site.upstream;
        change(upstream).and_then(|()| upstream.publish().map(drop)).expect("a changed upstream");
    }

    /// Puts other bytes in the place of a module's list.
    #[track_caller]
    pub fn publish_raw(&mut self, directory: &str, list: &[u8]) {
        self.site.upstream.publish_raw(directory, list).expect("a list in place");
    }

    /// The list of a module's directory, with rows put before its first.
    #[track_caller]
    pub fn list_with(&self, directory: &str, rows: &[&[u8]]) -> Vec<u8> {
        with_rows(&self.site.upstream.list(directory).expect("a list"), rows)
    }

    /// Makes a further version of upstream and leaves the present one in place. Returns the shell commands that put the new one
    /// there: several can be staged, to be put in place in their order.
    #[track_caller]
    pub fn stage(&mut self, change: impl FnOnce(&mut Upstream) -> Built) -> String {
        let root = self.site.upstream.root().to_owned();
        let number = self.staged.len();
        let beside = |name: &str| root.with_file_name(format!("upstream.{name}.{number}"));
        let (present, staged, past) = (beside("present"), beside("staged"), beside("past"));
        fs::rename(&root, &present).expect("renamed");
        let base = self.staged.last().unwrap_or(&present);
        let copied = Command::new("cp").arg("-a").arg(base).arg(&root).status().expect("cp");
        assert!(copied.success(), "cp -a failed");
        self.change(change);
        fs::rename(&root, &staged).expect("renamed");
        fs::rename(&present, &root).expect("renamed");
        let commands = format!("test -e {staged:?} && mv {root:?} {past:?} && mv {staged:?} {root:?}\n");
        self.staged.push(staged);
        commands
    }

    /// One run.
    pub fn run(&self, args: &[&str]) -> RunResult {
        self.mirror.run(args)
    }

    /// One run that must end well.
    #[track_caller]
    pub fn sync(&self) -> RunResult {
        self.mirror.sync()
    }

    /// One run that must end well, and after which mirror and upstream are the same.
    #[track_caller]
    pub fn sync_to_same(&self) {
        self.sync();
        self.assert_same();
    }

    /// Fails unless the mirror has all that upstream has for the public, and nothing else, byte for byte.
    #[track_caller]
    pub fn assert_same(&self) {
        assert_same(self.site.upstream.root(), &self.mirror.root);
    }

    /// The versions of upstream, among those staged and the one in place, with which the mirror is identical but for the times
    /// of directories: rsync takes those as they are upstream when it passes.
    pub fn versions_here(&self) -> Vec<PathBuf> {
        let root = self.site.upstream.root();
        let candidates = fs::read_dir(root.with_file_name("")).expect("a directory");
        let paths = candidates.map(|entry| entry.expect("an entry").path());
        let versions = paths.filter(|path| path.to_string_lossy().contains("/upstream"));
        let view = View { contents: true, ..View::PUBLIC };
        let read = |path: &Path, view: &View<'_>| {
            let mut entries = snapshot(path, view).expect("a readable tree");
            let directories = entries.values_mut().filter(|entry| entry.kind == Kind::Directory);
            directories.for_each(|entry| entry.mtime = 0);
            entries
        };
        let here = read(&self.mirror.root, &View { restricted: true, ..view });
        versions.filter(|version| differences(&read(version, &view), &here).is_empty()).collect()
    }

    /// The calls of rsync since this was asked last.
    pub fn new_calls(&mut self) -> Vec<Call> {
        let calls = self.wrapper.calls();
        let new = calls.into_iter().skip(self.told).collect::<Vec<_>>();
        self.told += new.len();
        new
    }

    /// The number that the next call of rsync will have.
    pub fn next_call(&self) -> usize {
        self.wrapper.calls().len() + 1
    }

    /// A run in which nothing is to be done: one call of rsync, nothing written to the mirror, nothing said.
    #[track_caller]
    pub fn assert_quiet(&mut self) {
        self.new_calls();
        let before = inode_snapshot(&self.mirror.root).expect("a readable mirror");
        let result = self.sync();
        assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("", ""), "nothing is to be said");
        assert_eq!(self.new_calls().len(), 1, "one call of rsync");
        assert_untouched(&before, &self.mirror.root);
    }

    /// Starts a run that is not waited for.
    pub fn start(&self, args: &[&str]) -> Running<'_> {
        let mut command = self.mirror.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Running { child: command.spawn().expect("the program starts"), mirror: &self.mirror }
    }

    /// The folder of the mirror root in the state directory.
    #[track_caller]
    pub fn state_folder(&self) -> PathBuf {
        let folders: Vec<_> = fs::read_dir(&self.mirror.state).expect("the state").collect();
        assert_eq!(folders.len(), 1, "one folder for each mirror root: {folders:?}");
        folders[0].as_ref().expect("a folder").path()
    }

    /// What qfm has on disk for itself.
    pub fn state(&self) -> BTreeMap<Vec<u8>, Inode> {
        if self.mirror.state.exists() {
            inode_snapshot(&self.mirror.state).expect("a readable state")
        } else {
            BTreeMap::new()
        }
    }
}

/// A list, with rows put before its first, which is line 5.
pub fn with_rows(list: &[u8], rows: &[&[u8]]) -> Vec<u8> {
    let head = b"[Version]\n2\n\n[Files]\n";
    let rest = list.strip_prefix(head).expect("a list with version 2");
    let rows: Vec<u8> = rows.iter().flat_map(|row| [row, &b"\n"[..]].concat()).collect();
    [head, rows.as_slice(), rest].concat()
}

/// Fails if anything below `top` was written to since the snapshot.
#[track_caller]
pub fn assert_untouched(before: &BTreeMap<Vec<u8>, Inode>, top: &Path) {
    let changed = touched(before, top);
    assert!(changed.is_empty(), "written to: {changed:#?}");
}

/// The names below `top` that were written to, came or went since the snapshot.
pub fn touched(before: &BTreeMap<Vec<u8>, Inode>, top: &Path) -> BTreeSet<String> {
    let now = inode_snapshot(top).expect("a readable tree");
    let names = before.keys().chain(now.keys()).filter(|name| before.get(*name) != now.get(*name));
    names.map(|name| name.escape_ascii().to_string()).collect()
}

/// The names in a `--files-from` of all these calls, without their directories' calls for lists.
pub fn names_asked(calls: &[Call]) -> BTreeSet<Vec<u8>> {
    let content = calls.iter().filter(|call| !call.is_for_lists());
    content.flat_map(|call| call.files_from.clone().unwrap_or_default()).collect()
}

/// A run under way.
pub struct Running<'m> {
    child: Child,
    mirror: &'m Mirror,
}

impl Running<'_> {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("it is still there");
    }

    /// Waits for its end and that of all rsync processes that it started. The exit code; nothing if a signal ended it.
    #[track_caller]
    pub fn end(mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the run ends", || {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        });
        wait_until("its rsync processes end", || processes_on(&self.mirror.root).is_empty());
        status.and_then(|status| status.code())
    }

    /// Whether it ended by itself.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_some()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The command lines of the processes that name a path.
pub fn processes_on(path: &Path) -> Vec<OsString> {
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let lines = entries.filter(|entry| entry.file_name().as_bytes()[0].is_ascii_digit());
    let lines = lines.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let wanted = path.as_os_str().as_bytes();
    lines.filter(|line| line.windows(wanted.len()).any(|part| part == wanted)).map(OsString::from_vec).collect()
}

/// What else lies beside the mirror root and in it: nothing of that may ever change.
pub struct Outside {
    directories: Vec<(PathBuf, BTreeMap<Vec<u8>, Inode>)>,
}

impl Outside {
    /// Puts files beside the root, and into it where no module is.
    pub fn of(mirror: &Mirror) -> Outside {
        let beside = mirror.root.with_file_name("outside");
        let places = [beside.clone(), beside.join("below"), mirror.root.join("other-tree")];
        for place in &places {
            fs::create_dir_all(place).expect("a directory");
            fs::write(place.join("precious"), "mine").expect("a file");
        }
        let read = |path: PathBuf| (path.clone(), inode_snapshot(&path).expect("a readable directory"));
        Outside { directories: [&places[0], &places[2]].map(|place| read(place.clone())).into() }
    }

    /// The directory beside the root.
    pub fn path(&self) -> &Path {
        &self.directories[0].0
    }

    /// Fails if anything was written there.
    #[track_caller]
    pub fn assert_untouched(&self) {
        for (path, before) in &self.directories {
            assert_untouched(before, path);
        }
    }
}

/// Fails unless it ended with one of these codes.
#[track_caller]
pub fn ended_with(code: Option<i32>, expected: &[Status]) {
    let codes: Vec<Option<i32>> = expected.iter().map(|status| Some(i32::from(status.code()))).collect();
    assert!(codes.contains(&code), "ended with {code:?}, expected {expected:?}");
}
