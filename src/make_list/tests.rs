use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::list::write::CHECKSUMS_OF;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Tree {
        Tree(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(path)
    }

    fn dir(&self, path: impl AsRef<Path>, mode: u32) {
        fs::create_dir_all(self.path(&path)).unwrap();
        fs::set_permissions(self.path(&path), Permissions::from_mode(mode)).unwrap();
    }

    fn file(&self, path: impl AsRef<Path>, bytes: &[u8], mode: u32) {
        fs::write(self.path(&path), bytes).unwrap();
        fs::set_permissions(self.path(&path), Permissions::from_mode(mode)).unwrap();
        self.touch(path, 1_790_000_000);
    }

    fn touch(&self, path: impl AsRef<Path>, time: u64) {
        let time = UNIX_EPOCH + Duration::from_secs(time);
        File::open(self.path(path)).unwrap().set_modified(time).unwrap();
    }

    fn list(&self, options: &Options) -> (Written, Vec<u8>) {
        make(self.0.path(), options).unwrap()
    }

    /// `type path` of each row.
    fn rows(&self, options: &Options) -> (Written, Vec<String>) {
        let (made, list) = self.list(options);
        let list = String::from_utf8(list).unwrap();
        let files = list.strip_prefix("[Version]\n2\n\n[Files]\n").expect("the head");
        let rows = files.lines().take_while(|line| !line.is_empty());
        let rows = rows.map(|row| {
            let fields: Vec<_> = row.splitn(4, '\t').collect();
            format!("{} {}", fields[1], fields[3])
        });
        (made, rows.collect())
    }
}

/// Bytes in memory, as a stream.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn make(directory: &Path, options: &Options) -> Result<(Written, Vec<u8>), TreeError> {
    let list = Memory::default();
    let sinks = Sinks { list: Sink::Stream("memory".into(), Box::new(list.clone())), plain: None, images: None };
    let written = write_lists(&Root::open(directory)?, options, sinks, &Interrupt::default())?;
    let text = list.0.lock().unwrap().clone();
    Ok((written, text))
}

fn by_mtime() -> Options {
    Options { times: Times::Modified, ..newest() }
}

fn newest() -> Options {
    Options { checksums_of: vec![CHECKSUMS_OF.into()], sorted: true, jobs: 3, ..Options::default() }
}

#[test]
fn a_whole_list_byte_for_byte() {
    let tree = Tree::new();
    tree.dir("a/repodata", 0o755);
    tree.file("a/repodata/repomd.xml", b"abc", 0o644);
    tree.file("a-b", b"12", 0o644);
    tree.touch("a/repodata", 1_790_000_001);
    tree.touch("a", 1_790_000_002);
    let (made, list) = tree.list(&by_mtime());
    let size = |path| fs::metadata(tree.path(path)).unwrap().len();
    let expected = format!(
        "[Version]\n2\n\n[Files]\n\
         1790000000\tf\t3\ta/repodata/repomd.xml\n\
         1790000001\td\t{}\ta/repodata\n\
         1790000002\td\t{}\ta\n\
         1790000000\tf\t2\ta-b\n\
         \n[Checksums SHA1]\n\
         a9993e364706816aba3e25717850c26c9cd0d89d\ta/repodata/repomd.xml\n\
         \n[End]\n",
        size("a/repodata"),
        size("a"),
    );
    assert_eq!(String::from_utf8(list).unwrap(), expected);
    assert_eq!((made.rows, made.warnings.len()), (4, 0));
}

#[test]
fn an_empty_directory_has_a_whole_list() {
    let (made, list) = Tree::new().list(&newest());
    assert_eq!(list, b"[Version]\n2\n\n[Files]\n\n[Checksums SHA1]\n\n[End]\n");
    assert_eq!(made.rows, 0);
}

#[test]
fn the_newest_time_counts_the_change_of_the_inode() {
    let tree = Tree::new();
    tree.file("old", b"", 0o644);
    let metadata = fs::metadata(tree.path("old")).unwrap();
    let (_, list) = tree.list(&newest());
    let row = format!("\n{}\tf\t0\told\n", metadata.ctime().max(1_790_000_000));
    assert!(String::from_utf8(list).unwrap().contains(&row));
}

#[test]
fn marks_say_what_the_public_must_not_see() {
    let tree = Tree::new();
    tree.dir("beta", 0o750);
    tree.dir("beta/os", 0o755);
    tree.file("beta/os/open", b"", 0o644);
    tree.file("beta/os/shut", b"", 0o640);
    symlink("open", tree.path("beta/os/link")).unwrap();
    tree.file("shut", b"", 0o640);
    tree.file("tail", b"", 0o644);
    let (_, rows) = tree.rows(&by_mtime());
    assert_eq!(
        rows,
        ["l* beta/os/link", "f* beta/os/open", "f- beta/os/shut", "d* beta/os", "d- beta", "f- shut", "f tail"]
    );
}

#[test]
fn what_is_left_out() {
    let tree = Tree::new();
    tree.file("fullfiletimelist-x", b"", 0o644);
    tree.dir("below", 0o755);
    tree.file("below/fullfiletimelist-x", b"", 0o644);
    tree.file("below/.nfs0001", b"", 0o644);
    tree.dir("below/.~tmp~", 0o755);
    tree.file("below/.~tmp~/half", b"", 0o644);
    tree.dir("private", 0o700);
    tree.file("private/open", b"", 0o644);
    tree.file("secret", b"", 0o604);
    symlink("secret", tree.path("to-secret")).unwrap();
    symlink("private", tree.path("to-private")).unwrap();
    symlink("below", tree.path("to-below")).unwrap();
    let options = Options { skip_top: vec!["fullfiletimelist-x".into()], ..by_mtime() };
    let (made, rows) = tree.rows(&options);
    assert_eq!(rows, ["f below/fullfiletimelist-x", "d below", "l to-below"]);
    assert!(made.warnings.is_empty());
}

#[test]
fn what_a_list_cannot_hold_is_a_warning() {
    let tree = Tree::new();
    symlink("nowhere", tree.path("dangling")).unwrap();
    symlink("loop", tree.path("loop")).unwrap();
    tree.dir("line\nfeed", 0o755);
    tree.file("line\nfeed/inside", b"", 0o644);
    drop(std::os::unix::net::UnixListener::bind(tree.path("socket")).unwrap());
    tree.file("tail", b"", 0o644);
    let (made, rows) = tree.rows(&by_mtime());
    assert_eq!(rows, ["f tail"]);
    assert!(
        matches!(
            made.warnings[..],
            [Warning::Dangling { .. }, Warning::Name { .. }, Warning::Dangling { .. }, Warning::Special { .. }]
        ),
        "{:?}",
        made.warnings
    );
}

#[test]
fn names_are_bytes() {
    let tree = Tree::new();
    for name in [&b"\xff\xfe"[..], b" \t#;*[\"'\\\r", b"-dash", &[b'x'; 255]] {
        tree.file(OsStr::from_bytes(name), b"", 0o644);
        let (made, list) = tree.list(&by_mtime());
        let row = [b"\tf\t0\t", name, b"\n"].concat();
        assert!(list.windows(row.len()).any(|window| window == row), "{name:?}");
        assert!(made.warnings.is_empty());
    }
}

#[test]
fn a_directory_that_cannot_be_read_is_no_list() {
    let tree = Tree::new();
    let error = make(&tree.path("absent"), &newest()).unwrap_err();
    assert_eq!(error.path, tree.path("absent"));
    tree.dir("shut", 0o040);
    let readable_for_root = fs::read_dir(tree.path("shut")).is_ok();
    let result = make(&tree.path(""), &newest());
    tree.dir("shut", 0o755);
    assert_eq!(result.is_ok(), readable_for_root);
}

#[test]
fn a_top_behind_a_symbolic_link_is_followed() {
    let tree = Tree::new();
    tree.dir("real", 0o755);
    tree.file("real/file", b"", 0o644);
    symlink("real", tree.path("link")).unwrap();
    let (made, list) = make(&tree.path("link"), &by_mtime()).unwrap();
    assert_eq!(made.rows, 1);
    assert!(list.windows(7).any(|window| window == b"\t0\tfile"));
}

#[test]
fn plain_lists_say_the_same() {
    let tree = Tree::new();
    tree.dir("iso", 0o755);
    tree.file("iso/a.iso", b"", 0o644);
    tree.file("iso/a.rpm", b"", 0o640);
    let texts = [(); 3].map(|()| Memory::default());
    let [list, plain, images] =
        texts.clone().map(|text| Sink::Stream("memory".into(), Box::new(text) as Box<dyn Write>));
    let sinks = Sinks { list, plain: Some(plain), images: Some(images) };
    write_lists(&Root::open(tree.0.path()).unwrap(), &newest(), sinks, &Interrupt::default()).unwrap();
    assert_eq!(*texts[1].0.lock().unwrap(), b"./iso/a.iso\n./iso/a.rpm\n./iso\n");
    assert_eq!(*texts[2].0.lock().unwrap(), b"./iso/a.iso\n");
}

#[test]
fn the_list_does_not_depend_on_who_reads_first() {
    let tree = Tree::new();
    for number in 0..40 {
        tree.dir(format!("{}/{}/{}", number % 3, number % 7, number), 0o755);
        tree.file(format!("{}/{}/file{number}", number % 3, number % 7), b"", 0o644);
    }
    for sorted in [true, false] {
        let with = |jobs| tree.list(&Options { jobs, sorted, ..newest() }).1;
        let alone = with(1);
        assert!((2..9).all(|jobs| with(jobs) == alone));
    }
}

#[test]
fn after_an_interrupt_it_ends() {
    let tree = Tree::new();
    tree.dir("a", 0o755);
    let interrupt = Interrupt::default();
    interrupt.raise(crate::interrupt::Signal::Interrupt);
    let sinks = Sinks { list: Sink::Stream("memory".into(), Box::new(Memory::default())), plain: None, images: None };
    let written = write_lists(&Root::open(tree.0.path()).unwrap(), &newest(), sinks, &interrupt).unwrap();
    assert_eq!(written.rows, 0);
}
