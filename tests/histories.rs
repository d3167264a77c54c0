//! Histories by chance: upstream changes, also under a run; others damage the mirror; runs fail and are killed; the admin changes
//! settings. Whatever happened, when it is over the mirror is what upstream is, and another run has nothing to do.
//!
//! `QFM_TEST_HISTORIES` sets how many there are, `QFM_TEST_SEED` repeats one by the number that it showed when it failed.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use qfm::exit::Status;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::tree::{Kind, View, differences, snapshot};
use support::*;

/// So many histories where nobody says how many.
const HISTORIES: u64 = 80;

/// So many rsync exit codes, and then some that mean nothing.
const CODES: [u8; 18] = [1, 2, 3, 4, 5, 10, 11, 12, 14, 20, 21, 22, 23, 24, 25, 30, 35, 99];

/// Names that upstream may give.
const NAMES: &[&[u8]] = &[
    b"a.rpm",
    b"b.rpm",
    b"c.iso",
    b"os",
    b"deep",
    b"repodata",
    b"repomd.xml",
    b"x-primary.xml.gz",
    b"updates",
    b"-rf",
    b"tab\there",
    b"\xc3\xa9",
    b"e\xcc\x81",
    b"\xff",
    b"A.RPM",
    b".hidden",
    b"sp ace ",
];

/// What the admin may leave out: a word of the configuration, and what it means for a name.
type LeftOut = (&'static str, fn(&[u8]) -> bool);

const LEFT_OUT: [LeftOut; 3] = [
    ("re:\\.iso(/|$)", |name| name.split(|&byte| byte == b'/').any(|part| part.ends_with(b".iso"))),
    ("re:/updates(/|$)", |name| name.split(|&byte| byte == b'/').skip(1).any(|part| part == b"updates")),
    ("re:^fedora/os/deep(/|$)", |name| name == b"fedora/os/deep" || name.starts_with(b"fedora/os/deep/")),
];

fn build(up: &mut Upstream) -> Built {
    for directory in ["fedora/os", "fedora/os/deep/er", "fedora/updates/a", "archive/os", "epel/9"] {
        for number in 0..4 {
            up.file(format!("{directory}/p{number}.rpm"), format!("package {number} of {directory}"))?;
        }
    }
    up.file("fedora/os/repodata/1-primary.xml", b"primary")?.file("fedora/os/repodata/repomd.xml", b"<repomd/>")?;
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?.hardlink("fedora/os/p1.rpm", "epel/9/p1.rpm")?;
    up.link("fedora/here", ".")?.dir("fedora/empty")?.file("fedora/os/boot.iso", b"image").map(drop)
}

/// What the admin has set.
#[derive(Clone, Debug)]
struct Settings {
    modules: Vec<&'static str>,
    left_out: Vec<usize>,
    restricted: bool,
    delete: &'static str,
}

impl Settings {
    fn apply(&self, scene: &mut Scene) {
        let words: Vec<&str> = self.left_out.iter().map(|&index| LEFT_OUT[index].0).collect();
        let (restricted, delete) = (self.restricted, self.delete);
        let lines = format!("filter.exclude = {words:?}\nrestricted = {restricted}\n{delete}\nrsync.retries = 1");
        scene.configure(&self.modules, &lines);
    }

    /// Whether a name of upstream's is not to be here.
    fn leaves_out(&self, name: &[u8]) -> bool {
        let directory = name.split(|&byte| byte == b'/').next().unwrap_or_default();
        let is_here = |module: &&str| match *module {
            FEDORA => directory == b"fedora",
            ARCHIVE => directory == b"archive",
            _ => directory == b"epel",
        };
        !self.modules.iter().any(is_here) || self.left_out.iter().any(|&index| LEFT_OUT[index].1(name))
    }
}

/// One history.
struct History {
    chance: Chance,
    scene: Scene,
    settings: Settings,
    outside: Outside,
    /// The mirror was damaged: only a run that looks at everything must find that.
    damaged: bool,
    /// It was damaged in a way that a later run does not find if one before did not look at everything.
    hidden: bool,
    /// Upstream took something back.
    went_back: bool,
}

impl History {
    fn new(seed: u64) -> History {
        let mut chance = Chance::new(seed);
        let modules = chance.one_of(&[vec![FEDORA], vec![FEDORA, ARCHIVE]]);
        let scene = Scene::new(&modules, build);
        let outside = Outside::of(&scene.mirror);
        let settings = Settings { modules, left_out: Vec::new(), restricted: false, delete: "" };
        History { chance, scene, settings, outside, damaged: false, hidden: false, went_back: false }
    }

    /// Changes upstream, in some places; or takes it back to what it was some time ago.
    fn change_upstream(&mut self) {
        let (upstream, past) = (self.scene.site.upstream.root(), self.scene.mirror.root.with_file_name("past"));
        match (self.chance.below(3), past.exists()) {
            (0, true) => {
                self.chance.note("upstream goes back");
                self.went_back = true;
                renameat_with(CWD, upstream, CWD, &past, RenameFlags::EXCHANGE).expect("exchanged");
                return;
            }
            (_, false) => {
                let copied = Command::new("cp").arg("-a").args([upstream, &past]).status();
                assert!(copied.is_ok_and(|status| status.success()), "cp -a failed");
            }
            _ => {}
        }
        let (chance, upstream) = (&mut self.chance, &mut self.scene.site.upstream);
        for _ in 0..=chance.below(4) {
            let directory = chance.one_of(&["fedora", "fedora", "archive", "epel"]);
            change_one(chance, upstream, directory).expect("a changed upstream");
        }
        upstream.publish().expect("published");
    }

    fn damage(&mut self) {
        let (upstream, mirror) = (self.scene.site.upstream.path("fedora"), self.scene.mirror.path("fedora"));
        if !mirror.exists() || entries(&mirror, fs::FileType::is_file).is_empty() {
            return;
        }
        self.damaged = true;
        if self.chance.below(3) == 0 {
            damage_a_file(&mut self.chance, &mirror);
            self.hidden = true;
        } else {
            damage_a_directory(&mut self.chance, &upstream, &mirror, self.outside.path());
        }
    }

    fn change_settings(&mut self) {
        let settings = &mut self.settings;
        match self.chance.below(5) {
            0 => settings.restricted = !settings.restricted,
            1 => {
                settings.delete = self.chance.one_of(&[
                    "",
                    "delete.mode = \"never\"",
                    "delete.mode = \"after\"",
                    "delete.after = \"1h\"",
                ])
            }
            2 => settings.modules = vec![FEDORA, ARCHIVE, EPEL],
            _ => settings.left_out = (0..LEFT_OUT.len()).filter(|_| self.chance.below(3) == 0).collect(),
        }
        self.chance.note(format_args!("{settings:?}"));
        settings.apply(&mut self.scene);
    }

    /// Has something happen at the next run's rsync calls.
    fn disturb(&mut self) {
        let (code, call) = (self.chance.one_of(&CODES), self.scene.next_call() + self.chance.below(4));
        let kind = self.chance.below(4);
        self.chance.note(format_args!("call {call} is disturbed ({kind}, {code})"));
        match kind {
            0 => self.scene.wrapper.fail_before(call, code),
            1 => self.scene.wrapper.fail_after(call, code),
            2 => self.scene.wrapper.before(call, "kill -9 $PPID; exit 1"),
            _ => self.scene.wrapper.after(call, "kill -9 $PPID; exit 1"),
        }
    }

    /// A run that may end in any way but as if qfm were wrong.
    fn run(&mut self) {
        let flags: &[&str] =
            self.chance.one_of(&[&[][..], &[], &["--full"], &["--allow-delete", FEDORA], &[FEDORA], &["--dry-run"]]);
        let mut flags = [flags, self.closely()].concat();
        flags.dedup();
        self.chance.note(format_args!("--- run {flags:?}"));
        let result = self.scene.run(&flags);
        self.hidden &= result.code != Some(0) || flags.contains(&"--dry-run");
        self.judge(result.code, &result.stderr);
    }

    /// How closely the next run looks.
    fn closely(&self) -> &'static [&'static str] {
        if self.hidden { &["--full"] } else { &[] }
    }

    /// A run under which upstream moves on, once the lists are there.
    fn run_while_upstream_changes(&mut self) {
        self.chance.note("--- run, and meanwhile:");
        let (began, over) =
            (self.scene.mirror.root.with_file_name("began"), self.scene.mirror.root.with_file_name("over"));
        let commands = format!("touch {began:?}; until test -e {over:?}; do sleep 0.01; done");
        self.scene.wrapper.after(self.scene.next_call(), &commands);
        let mut child = self.scene.mirror.command(self.closely()).spawn().expect("the program starts");
        wait_until("the lists are fetched", || began.exists() || child.try_wait().is_ok_and(|status| status.is_some()));
        self.change_upstream();
        fs::write(&over, "").expect("written");
        let output = child.wait_with_output().expect("it ends");
        [began, over].iter().filter(|mark| mark.exists()).for_each(|mark| fs::remove_file(mark).expect("removed"));
        self.judge(output.status.code(), &String::from_utf8_lossy(&output.stderr));
    }

    fn judge(&mut self, code: Option<i32>, stderr: &str) {
        self.chance.note(format_args!("    {code:?} {}", stderr.trim().replace('\n', "\n      ")));
        let bug = Some(i32::from(Status::Bug.code()));
        assert!(code != bug && !stderr.contains("panicked"), "{stderr}");
    }

    /// All is quiet now: two runs at most, and the mirror is what upstream is.
    fn end(mut self) {
        self.scene.wrapper.leave_alone();
        self.settings.delete = "";
        self.settings.apply(&mut self.scene);
        let mut flags: Vec<&str> = self.settings.modules.iter().flat_map(|module| ["--allow-delete", module]).collect();
        if self.damaged {
            flags.push("--full");
        }
        self.chance.note(format_args!("--- end {flags:?}"));
        let first = self.scene.run(&flags);
        self.judge(first.code, &first.stderr);
        let second = self.scene.run(&flags);
        self.judge(second.code, &second.stderr);
        assert_eq!(second.code, Some(0), "{}", second.stderr);
        self.outside.assert_untouched();
        fs::remove_dir_all(self.scene.mirror.path("other-tree")).expect("it is not part of this");
        let leaves_out = |name: &[u8]| self.settings.leaves_out(name);
        let view = View { restricted: self.settings.restricted, contents: true, ignore: &leaves_out };
        let everything = View { restricted: true, contents: true, ..View::PUBLIC };
        let [wanted, found] =
            [(self.scene.site.upstream.root(), view), (&self.scene.mirror.root, everything)].map(|(top, view)| {
                let mut entries = snapshot(top, &view).expect("a readable tree");
                // Names that are not alike are not known to be one file.
                entries.values_mut().for_each(|entry| entry.first_name = None);
                if self.went_back {
                    // What upstream had for a while, but no list that was followed, was met under a run: the list says of a mode
                    // no more than whether it is public, and a directory may be newer than its row.
                    entries.values_mut().for_each(|entry| entry.mode = 0);
                    let directories = entries.values_mut().filter(|entry| entry.kind == Kind::Directory);
                    directories.for_each(|entry| entry.mtime = 0);
                }
                entries
            });
        let lines = differences(&wanted, &found);
        assert!(lines.is_empty(), "the mirror differs:\n  {}", lines.join("\n  "));
        self.scene.assert_quiet();
        // A new name for a file, or one less, changes it for all modules that have it: rsync is asked whether it is still what it was.
        self.scene.run(&["--full"]).status(Status::Done);
        let plan = self.scene.run(&["--full", "--dry-run", "--detailed-exitcode"]);
        assert_eq!(plan.code, Some(0), "there is a plan: {}", plan.stdout);
    }
}

/// One change in a module of upstream's.
fn change_one(chance: &mut Chance, up: &mut Upstream, directory: &str) -> Built {
    let (root, module) = (up.root().to_owned(), up.path(directory));
    let below = |path: &Path| path.strip_prefix(&root).expect("below upstream").to_owned();
    let some = |chance: &mut Chance, wanted: fn(&fs::FileType) -> bool| {
        let found = entries(&module, wanted);
        (!found.is_empty()).then(|| chance.one_of(&found)).map(|path| below(&path))
    };
    let (any, file, dir) =
        (some(chance, |_| true), some(chance, fs::FileType::is_file), some(chance, fs::FileType::is_dir));
    let new = below(&free(chance, &module, NAMES));
    let content = "?".repeat(chance.below(40));
    // Lists leave links out that lead nowhere.
    let target = chance.one_of(&[".", "./", ".//."]);
    let action = chance.below(13);
    chance.note(format_args!("upstream {action}: {any:?} {file:?} {dir:?} {new:?}"));
    let up = match (action, any, file, dir) {
        (0, Some(any), ..) => up.remove(any)?,
        (1, _, Some(file), _) => up.file(file, content)?,
        (2, _, Some(file), _) => {
            let same = fs::metadata(up.path(&file))?.len() as usize;
            up.file(file, "!".repeat(same))?
        }
        (3, Some(any), ..) if !new.starts_with(&any) => up.rename(any, new)?,
        (4, _, Some(file), _) => up.hardlink(file, new)?,
        (5, _, Some(file), _) => {
            let other = PathBuf::from(chance.one_of(&["fedora", "archive", "epel"])).join("linked.rpm");
            if other == file { up } else { up.hardlink(file, other)? }
        }
        (6, ..) => up.link(new, target)?,
        (7, Some(any), ..) => up.remove(&any)?.file(any.join("in it"), content)?,
        (8, Some(any), ..) => up.file(any, content)?,
        (9, Some(any), ..) => up.link(any, target)?,
        (10, _, Some(file), dir) => up.mode(&file, 0o640)?.mode(dir.unwrap_or(file), 0o750)?,
        (11, _, Some(file), dir) => {
            up.mode(&file, 0o644)?.mode(dir.as_ref().unwrap_or(&file), if dir.is_some() { 0o755 } else { 0o644 })?
        }
        (12, ..) => up.dir(new)?,
        _ => up.file(new, content)?,
    };
    // A list without a row is refused.
    if entries(&module, |_| true).is_empty() {
        up.file(Path::new(directory).join("stays"), b"x")?;
    }
    Ok(())
}

#[test]
fn whatever_happened_the_mirror_becomes_what_upstream_is() {
    let histories = std::env::var("QFM_TEST_HISTORIES").map_or(HISTORIES, |number| number.parse().expect("a number"));
    side_by_side(seeds(histories), |seed| {
        let mut history = History::new(seed);
        for _ in 0..2 + history.chance.below(5) {
            match history.chance.below(8) {
                0..=2 => history.change_upstream(),
                3 => history.damage(),
                4 => history.change_settings(),
                5 | 6 => history.disturb(),
                _ => history.run_while_upstream_changes(),
            }
            if history.chance.below(3) > 0 {
                history.run();
            }
        }
        history.end();
    });
}
