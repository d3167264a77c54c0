use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

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

    fn list(&self, options: &Options) -> (Made, Vec<u8>) {
        let mut list = Vec::new();
        (make(self.0.path(), options, &mut list).unwrap(), list)
    }

    /// `type path` of each row.
    fn rows(&self, options: &Options) -> (Made, Vec<String>) {
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

fn by_mtime() -> Options {
    Options { clock: Times::Modified, ..Options::default() }
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
    assert_eq!((made.entries, made.bytes, made.warnings.len()), (4, 5, 0));
}

#[test]
fn an_empty_directory_has_a_whole_list() {
    let (made, list) = Tree::new().list(&Options::default());
    assert_eq!(list, b"[Version]\n2\n\n[Files]\n\n[Checksums SHA1]\n\n[End]\n");
    assert_eq!(made.entries, 0);
}

#[test]
fn the_newest_time_counts_the_change_of_the_inode() {
    let tree = Tree::new();
    tree.file("old", b"", 0o644);
    let metadata = fs::metadata(tree.path("old")).unwrap();
    let (_, list) = tree.list(&Options::default());
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
            [Warning::Dangling { .. }, Warning::LineFeed { .. }, Warning::Dangling { .. }, Warning::Special { .. }]
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
    let error = make(&tree.path("absent"), &Options::default(), &mut Vec::new()).unwrap_err();
    assert!(matches!(&error, MakeError::Read { path, .. } if *path == tree.path("absent")), "{error:?}");
    tree.dir("shut", 0o040);
    let readable_for_root = fs::read_dir(tree.path("shut")).is_ok();
    let result = make(&tree.path(""), &Options::default(), &mut Vec::new());
    tree.dir("shut", 0o755);
    assert_eq!(result.is_ok(), readable_for_root);
}

#[test]
fn a_top_behind_a_symbolic_link_is_followed() {
    let tree = Tree::new();
    tree.dir("real", 0o755);
    tree.file("real/file", b"", 0o644);
    symlink("real", tree.path("link")).unwrap();
    let mut list = Vec::new();
    assert_eq!(make(&tree.path("link"), &by_mtime(), &mut list).unwrap().entries, 1);
    assert!(list.windows(7).any(|window| window == b"\t0\tfile"));
}

#[test]
fn installing_replaces_only_what_differs() {
    let tree = Tree::new();
    let path = tree.path("list");
    assert!(install(b"one", &path).unwrap());
    let first = fs::metadata(&path).unwrap();
    assert_eq!(first.mode() & 0o7777, 0o644);
    assert!(!install(b"one", &path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
    assert!(install(b"two", &path).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::read_dir(tree.path("")).unwrap().count(), 1, "no temporary file is left");
    assert!(install(b"x", &tree.path("absent/list")).is_err());
}
