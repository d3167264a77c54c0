//! The tests' own tools: a tool that sees nothing makes every test pass.

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::*;
use tree::{View, differences, inode_snapshot, snapshot};

type TestResult = anyhow::Result<()>;

fn small() -> anyhow::Result<Site> {
    let mut site = Site::new();
    site.upstream
        .file("fedora/linux/a.rpm", b"aaa")?
        .file("fedora/linux/b.rpm", b"bbb")?
        .hardlink("fedora/linux/a.rpm", "archive/linux/a.rpm")?
        .link("fedora/linux/latest", "a.rpm")?
        .file("fedora/linux/repodata/repomd.xml", b"<repomd/>")?
        .dir("fedora/beta")?
        .file("fedora/beta/c.rpm", b"ccc")?
        .mode("fedora/beta", 0o750)?
        .file(Path::new("fedora").join(name(b"\xff \t#")), b"odd")?
        .publish()?;
    Ok(site)
}

fn rsync(program: &Path, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).output().unwrap()
}

fn pull(url: &str, to: &Path) -> Output {
    rsync(Path::new("rsync"), &["-aH", &format!("{url}/"), to.to_str().unwrap()])
}

#[test]
fn a_daemon_serves_counts_and_ends() -> TestResult {
    let site = small()?;
    let daemon = site.serve();
    let copy = tempfile::tempdir()?;
    assert!(pull(&daemon.url(), copy.path()).status.success());
    let everything = View { restricted: true, contents: true, ..View::PUBLIC };
    assert_same_in(&everything, site.upstream.root(), copy.path());
    assert!(pull(&daemon.module_url("fedora"), &copy.path().join("one")).status.success());

    let served = daemon.served()?;
    assert_eq!(served.calls, 2, "that it was waited for is no call");
    assert!(served.sent > 100, "{served:?}");

    let port = daemon.port();
    drop(daemon);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    Ok(())
}

#[test]
fn daemons_do_not_disturb_each_other() -> TestResult {
    let (one, two) = (small()?, small()?);
    let daemons = (one.serve(), two.serve());
    assert_ne!(daemons.0.port(), daemons.1.port());
    Ok(())
}

#[test]
fn a_daemon_can_ask_for_a_password_and_talk() -> TestResult {
    let site = small()?;
    let daemon = site.setup().account("mirror", "secret").message("good morning\n").start()?;
    let url = daemon.url().replace("rsync://", "rsync://mirror@") + "/";
    let mut command = Command::new("rsync");
    command.arg(&url).stdin(Stdio::null());
    assert_eq!(command.env("RSYNC_PASSWORD", "wrong").output()?.status.code(), Some(5));
    let right = command.env("RSYNC_PASSWORD", "secret").output()?;
    assert!(right.status.success());
    assert!(String::from_utf8(right.stdout)?.contains("good morning"));
    Ok(())
}

#[test]
fn a_daemon_can_be_full() -> TestResult {
    let site = small()?;
    let daemon = site.setup().max_connections(1).start()?;
    let mut first = TcpStream::connect(("127.0.0.1", daemon.port()))?;
    first.write_all(b"@RSYNCD: 29.0\nbuffet\n")?;
    let copy = tempfile::tempdir()?;
    wait_until("the second connection is refused", || pull(&daemon.url(), copy.path()).status.code() == Some(5));
    Ok(())
}

#[test]
fn the_same_calls_make_the_same_upstream() -> TestResult {
    let (mut one, mut two) = (small()?, small()?);
    assert_same_in(
        &View { restricted: true, contents: true, ..View::PUBLIC },
        one.upstream.root(),
        two.upstream.root(),
    );
    let first = one.upstream.list("fedora")?;
    assert_eq!(first, two.upstream.list("fedora")?);
    let text = String::from_utf8_lossy(&first);
    assert!(text.contains("\td-\t") && text.contains("\tf*\t3\tbeta/c.rpm\n"), "{text}");
    assert!(text.contains("\tlinux/repodata/repomd.xml\n\n[End]\n"), "{text}");

    let list_time = |site: &Site| fs::metadata(site.upstream.path("fedora/fullfiletimelist-fedora"))?.modified();
    let before = list_time(&one)?;
    one.upstream.publish()?;
    two.upstream.publish()?;
    assert_eq!(list_time(&one)?, before, "nothing changed, nothing was published");
    one.upstream.file("fedora/linux/a.rpm", b"new")?.remove("fedora/linux/b.rpm")?.publish()?;
    two.upstream.file("fedora/linux/a.rpm", b"new")?.remove("fedora/linux/b.rpm")?.publish()?;
    assert!(list_time(&one)? > before);
    assert_eq!(one.upstream.list("fedora")?, two.upstream.list("fedora")?);
    assert_eq!(fs::read(one.upstream.path("archive/linux/a.rpm"))?, b"aaa", "the other name keeps the old file");

    one.upstream.publish_raw("fedora", b"garbage")?;
    assert_eq!(one.upstream.list("fedora")?, b"garbage");
    Ok(())
}

#[test]
fn a_snapshot_sees_each_kind_of_difference() -> TestResult {
    let view = View { contents: true, ..View::PUBLIC };
    let reference = small()?;
    let wanted = snapshot(reference.upstream.root(), &view)?;
    assert!(!wanted.contains_key(&b"fedora/beta"[..]) && !wanted.contains_key(&b"fedora/beta/c.rpm"[..]));

    type Change = fn(&mut Upstream) -> anyhow::Result<&mut Upstream>;
    let changes: [(&str, Change, &str); 9] = [
        ("missing", |up| up.remove("fedora/linux/b.rpm"), "fedora/linux/b.rpm: missing"),
        ("extra", |up| up.file("fedora/x", b""), "fedora/x: not upstream"),
        ("size", |up| up.file_at("fedora/linux/b.rpm", b"bb", 1_790_003_600), "size is 2, upstream 3"),
        ("time", |up| up.touch("fedora/linux/b.rpm", 5), "time is 5, upstream 1790003600"),
        ("directory time", |up| up.touch("fedora/linux", 5), "fedora/linux: time is 5"),
        ("mode", |up| up.mode("fedora/linux/b.rpm", 0o664), "mode is 0664, upstream 0644"),
        ("target", |up| up.link("fedora/linux/latest", "b.rpm"), "target is b.rpm, upstream a.rpm"),
        ("links", |up| up.file("archive/linux/a.rpm", b"aaa"), "first name is none, upstream archive/linux/a.rpm"),
        ("bytes", |up| up.file_at("fedora/linux/b.rpm", b"BBB", 1_790_003_600), "the bytes differ"),
    ];
    for (what, change, line) in changes {
        let mut other = small()?;
        change(&mut other.upstream)?;
        let lines = differences(&wanted, &snapshot(other.upstream.root(), &view)?);
        assert!(lines.iter().any(|found| found.contains(line)), "{what}: {lines:#?}");
    }

    let mut other = small()?;
    other.upstream.remove("fedora/linux/latest")?.dir("fedora/linux/latest")?;
    let lines = differences(&wanted, &snapshot(other.upstream.root(), &view)?);
    assert!(lines.iter().any(|found| found.contains("kind is Directory, upstream Link")), "{lines:#?}");

    let ignoring = View { ignore: &|name| name.starts_with(b"fedora"), ..view };
    assert_same_in(&ignoring, reference.upstream.root(), other.upstream.root());
    Ok(())
}

#[test]
fn an_inode_snapshot_sees_every_writing() -> TestResult {
    let mut site = small()?;
    let before = inode_snapshot(site.upstream.root())?;
    snapshot(site.upstream.root(), &View { contents: true, ..View::PUBLIC })?;
    assert_eq!(before, inode_snapshot(site.upstream.root())?, "looking is no writing");
    let changed = |site: &Site| {
        let now = inode_snapshot(site.upstream.root()).unwrap();
        let names = before.iter().filter(|(name, inode)| now.get(*name) != Some(inode)).map(|(name, _)| name.clone());
        names.collect::<BTreeSet<_>>()
    };
    site.upstream.mode("fedora/linux/b.rpm", 0o644)?;
    assert_eq!(changed(&site), BTreeSet::from([b"fedora/linux/b.rpm".to_vec()]));
    fs::write(site.upstream.path("fedora/short-lived"), "")?;
    fs::remove_file(site.upstream.path("fedora/short-lived"))?;
    assert!(changed(&site).contains(&b"fedora"[..]));
    symlink("x", site.upstream.path("y"))?;
    assert!(changed(&site).contains(&b""[..]));
    Ok(())
}

#[test]
fn the_wrapper_counts_and_disturbs() -> TestResult {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name).display().to_string();
    fs::write(at("source"), "x")?;
    fs::write(at("names"), b"source\0two\nlines\0")?;
    let wrapper = Wrapper::new();
    wrapper.fail_before(1, 12);
    wrapper.fail_after(2, 23);
    wrapper.after(3, &format!("echo $status >'{}'", at("done")));
    let copy = |to: &str| rsync(&wrapper.program(), &[&at("source"), &at(to)]).status.code();

    assert_eq!(copy("one"), Some(12));
    assert!(!Path::new(&at("one")).exists());
    assert_eq!(copy("two"), Some(23));
    assert!(Path::new(&at("two")).exists());
    assert_eq!(copy("three"), Some(0));
    assert_eq!(fs::read_to_string(at("done"))?, "0\n");

    let help = rsync(&wrapper.program(), &["--help"]).stdout;
    assert!(String::from_utf8_lossy(&help).contains("--trust-sender"));
    wrapper.refuse_trust_sender();
    let help = rsync(&wrapper.program(), &["--help"]).stdout;
    assert!(!String::from_utf8_lossy(&help).contains("--trust-sender"));
    assert_eq!(rsync(&wrapper.program(), &["--trust-sender", &at("source"), &at("four")]).status.code(), Some(1));
    let names = format!("--files-from={}", at("names"));
    rsync(&wrapper.program(), &["--from0", &names, &at(""), &at("five")]);

    let calls = wrapper.calls();
    assert_eq!(calls.len(), 5);
    assert_eq!(calls[2].arguments, [OsString::from(at("source")), at("three").into()]);
    assert!(calls[3].has("--trust-sender") && !calls[2].has("--trust-sender"));
    assert_eq!(calls[4].files_from.as_deref(), Some(&[b"source".to_vec(), b"two\nlines".to_vec()][..]));
    Ok(())
}

#[test]
fn a_generated_tree_can_be_served() -> TestResult {
    let directory = tempfile::tempdir()?;
    let root = directory.path().join("up");
    if gen_tree(&["tree", "--root", root.to_str().unwrap(), "--entries", "2000"]).is_none() {
        eprintln!("skipped: there is no gen_tree.py");
        return Ok(());
    }
    let daemon = Daemon::start(&root)?;
    assert!(pull(&daemon.url(), &directory.path().join("copy")).status.success());
    assert_same(&root, &directory.path().join("copy"));
    Ok(())
}

#[test]
fn a_mirror_calls_the_program() {
    let mirror = Mirror::new("rsync://127.0.0.1:1/buffet", &["fedora-enchilada"]);
    let config = fs::read_to_string(&mirror.config).unwrap();
    let config: toml::Table = config.parse().unwrap();
    assert_eq!(config["modules"].as_array().unwrap().len(), 1);
    assert_eq!(config["rsync"]["retry_delay"].as_str(), Some("10ms"));
    assert!(mirror.run(&["--help"]).code.is_some());
}
