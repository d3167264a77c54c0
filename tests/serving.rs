//! The examples of `examples/serving`, each started and asked.

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use support::listener::{curl, is_here};
use support::*;
use tempfile::TempDir;

/// The group of restricted files; on no machine that tests run on is anybody in it.
const RESTRICTED: u32 = 54321;

/// What nobody may see, in `fedora/linux`.
const HIDDEN: [&str; 7] = [
    ".~tmp~/a.rpm",
    ".a.rpm.Xy12ab",
    ".qfm-list.0",
    ".git/config",
    ".git/treeinfo",
    ".qfm-x/.treeinfo",
    ".~tmp~/COMPOSE_ID",
];

const INDEX: &str = "repodata/0123456789abcdef0123456789abcdef-primary.xml.gz";

/// A tree, and a place for all that a server writes.
struct Site {
    directory: TempDir,
    port: u16,
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let linux = directory.path().join("pub/fedora/linux");
        let public = ["a.rpm", "boot.iso", ".treeinfo", "repodata/repomd.xml", "repodata/repomd.xml.asc", INDEX];
        let restricted = ["44/early.rpm", "embargo.rpm"];
        for name in public.iter().chain(&restricted).chain(&HIDDEN) {
            let path = linux.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            // Servers encode nothing that is small.
            let times = if name.contains("repodata") { 1000 } else { 1 };
            fs::write(&path, format!("this is {name}").repeat(times)).expect("written");
        }
        fs::create_dir(directory.path().join("pub/epel")).expect("made");
        fs::write(directory.path().join("pub/fedora/fullfiletimelist-fedora"), "a list").expect("written");
        for (name, mode) in [("44", 0o750), ("embargo.rpm", 0o640)] {
            let path = linux.join(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
            if geteuid().is_root() {
                chown(&path, None, Some(RESTRICTED)).expect("its group");
            }
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        Site { directory, port: port.expect("a port").port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// An example, with other words in the place of some, each of which it must have.
    fn example(&self, name: &str, others: &[(&str, &str)]) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/serving").join(name);
        let mut text = fs::read_to_string(path).expect("the example");
        let tree = self.path("pub").display().to_string();
        for (word, other) in [("/srv/mirror/pub", tree.as_str())].iter().chain(others) {
            assert!(text.contains(word), "{name} has no {word}");
            text = text.replace(word, other);
        }
        text
    }

    /// Starts a server, and waits until it listens.
    fn start(&self, command: &mut Command) -> Server {
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let server = Server(child);
        wait_until("it listens", || TcpStream::connect(self.address()).is_ok());
        server
    }
}

/// A server; it ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // With its workers, which KILL would leave.
        kill_process(Pid::from_child(&self.0), Signal::TERM).ok();
        self.0.wait().ok();
    }
}

/// Starts an rsync daemon by an example, has it asked, and returns the names that came.
fn rsynced(site: &Site, example: &str, others: &[(&str, &str)], source: &str, password: Option<&str>) -> Vec<String> {
    let (here, port) = (format!("{}/", site.directory.path().display()), format!("port = {}", site.port));
    let mut others = others.to_vec();
    others.extend([("/var/log/", here.as_str()), ("/run/", here.as_str())]);
    let text = site.example(example, &others);
    let number = text.lines().find(|line| line.starts_with("port = ")).expect("a port").to_owned();
    let config = site.path(example);
    fs::write(&config, text.replace(&number, &port)).expect("written");
    let mut daemon = Command::new("rsync");
    daemon.args(["--daemon", "--no-detach", "--address=127.0.0.1"]).arg(format!("--config={}", config.display()));
    let _server = site.start(&mut daemon);
    let came = site.path("came");
    let mut client = Command::new("rsync");
    client.args(["-r", "--checksum-choice=md5"]).arg(format!("rsync://{source}")).arg(&came);
    client.env("RSYNC_PASSWORD", password.unwrap_or_default());
    let output = client.stdin(Stdio::null()).output().expect("rsync");
    assert!(output.status.success() || password == Some("wrong"), "{}", String::from_utf8_lossy(&output.stderr));
    let log = fs::read_to_string(config.with_extension("log")).expect("a log");
    assert!(!log.contains("nknown"), "{log}");
    if !came.exists() {
        return Vec::new();
    }
    let files = walkdir::WalkDir::new(&came).into_iter().map(|entry| entry.expect("an entry"));
    let files = files.filter(|entry| entry.file_type().is_file());
    let names = files.map(|entry| entry.path().strip_prefix(&came).expect("below").display().to_string());
    let mut names: Vec<String> = names.collect();
    names.sort();
    fs::remove_dir_all(&came).expect("removed");
    names
}

fn public() -> Vec<String> {
    let names = [".treeinfo", "a.rpm", "boot.iso", INDEX, "repodata/repomd.xml", "repodata/repomd.xml.asc"];
    let list = "fedora/fullfiletimelist-fedora".to_owned();
    std::iter::once(list).chain(names.map(|name| format!("fedora/linux/{name}"))).collect()
}

#[test]
fn everybody_gets_what_is_public_and_no_more_and_a_friend_gets_what_is_restricted_too() {
    if !geteuid().is_root() {
        println!("not root: not tried");
        return;
    }
    let site = Site::new();
    let address = site.address();
    assert_eq!(rsynced(&site, "rsyncd.conf", &[], &format!("{address}/fedora-buffet/"), None), public());

    let secrets = site.path("rsyncd-private.secrets");
    fs::write(&secrets, "tier1:right\n").expect("written");
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).expect("its mode");
    let (secrets, group) = (secrets.display().to_string(), format!("gid = {RESTRICTED}"));
    let here = [
        ("192.0.2.0/24", "127.0.0.1"),
        ("gid = mirror-restricted", group.as_str()),
        ("/etc/rsyncd-private.secrets", &secrets),
    ];
    let source = format!("tier1@{address}/fedora-buffet0/");
    let came = rsynced(&site, "rsyncd-private.conf", &here, &source, Some("right"));
    let restricted = ["fedora/linux/44/early.rpm", "fedora/linux/embargo.rpm"].map(str::to_owned);
    let mut wanted: Vec<String> = public().into_iter().chain(restricted).collect();
    wanted.sort();
    assert_eq!(came, wanted);
    assert!(rsynced(&site, "rsyncd-private.conf", &here, &source, Some("wrong")).is_empty());
    assert!(rsynced(&site, "rsyncd-private.conf", &here[1..], &source, Some("wrong")).is_empty());
}

/// The headers of an answer, in lower case.
fn headers(url: &str) -> String {
    let (_, said) =
        curl(&["--dump-header", "-", "--output", "/dev/null", "--header", "Accept-Encoding: gzip, br", url]);
    said.to_lowercase()
}

#[track_caller]
fn assert_serves(site: &Site, log: &str) {
    let url = |name: &str| format!("http://{}/fedora/linux/{name}", site.address());
    let (asked, kept) =
        ("cache-control: max-age=0, must-revalidate", "cache-control: public, max-age=604800, immutable");
    for (name, kind, cached) in [
        ("a.rpm", "application/x-rpm", kept),
        ("boot.iso", "application/x-iso9660-image", asked),
        (".treeinfo", "text/plain", asked),
        ("repodata/repomd.xml", "text/xml", asked),
        ("repodata/repomd.xml.asc", "application/pgp-signature", asked),
        (INDEX, "application/gzip", kept),
    ] {
        let said = headers(&url(name));
        assert!(said.starts_with("http/1.1 200") && said.contains(&format!("content-type: {kind}")), "{name}: {said}");
        assert!(said.contains(cached) && said.contains("accept-ranges: bytes"), "{name}: {said}");
        assert!(!said.contains("content-encoding") && said.contains("etag: "), "{name}: {said}");
    }
    assert!(headers(&url("../fullfiletimelist-fedora").replace("linux/../", "")).contains(asked));

    let (status, listing) = curl(&[&url("")]);
    assert!(status == 200 && listing.contains("a.rpm") && listing.contains(":"), "{listing}");
    assert!(!listing.contains("~tmp~") && !listing.contains(".qfm"), "{listing}");
    for name in HIDDEN.iter().chain(&[".~tmp~/", ".git/"]) {
        assert_eq!(curl(&[&url(name)]).0, 404, "{name}");
    }
    if geteuid().is_root() {
        for name in ["embargo.rpm", "44/", "44/early.rpm"] {
            assert_eq!(curl(&[&url(name)]).0, 403, "{name}");
        }
    }

    assert_eq!(curl(&["--range", "5-6", &url("a.rpm")]), (206, "is".to_owned()));
    wait_until("the part is in the log", || {
        let log = fs::read_to_string(site.path(log)).unwrap_or_default();
        log.lines().any(|line| line.contains(" 206 ") && line.contains("\"bytes=5-6\" \"bytes 5-6/13\""))
    });
    let mut twice = Command::new("curl");
    twice.args(["--silent", "--noproxy", "*", "--write-out", "%{num_connects}", "-o", "/dev/null", "-o", "/dev/null"]);
    let connections = twice.args([url("a.rpm"), url("boot.iso")]).output().expect("curl").stdout;
    assert_eq!(connections, b"10", "the connection is kept");
}

#[test]
fn nginx_serves_it() {
    if !is_here("nginx") || !is_here("curl") {
        return;
    }
    let site = Site::new();
    let here = site.directory.path().display();
    let (listen, log) = (format!("listen {};", site.address()), format!("{here}/mirror.log"));
    let others = [("listen 80;", listen.as_str()), ("listen [::]:80;", ""), ("/var/log/nginx/mirror.log", &log)];
    let example = site.example("nginx/mirror.conf", &others);
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("{kind}_temp_path {here}/{kind};\n")).concat();
    let user = if geteuid().is_root() { "user nobody nogroup;\n" } else { "" };
    // Without the example, this would encode metadata.
    let encodes = "gzip on;\ngzip_types *;\ngzip_min_length 1;\n";
    let text = format!(
        "{user}daemon off;\nworker_processes 1;\npid {here}/nginx.pid;\nerror_log {here}/error.log;\nevents {{}}\nhttp {{\n{temporary}{encodes}{example}}}\n"
    );
    let config = site.path("nginx.conf");
    fs::write(&config, text).expect("written");
    let nginx = || {
        let mut command = Command::new("nginx");
        command.env("PATH", path_with_sbin()).arg("-p").arg(site.directory.path()).arg("-c").arg(&config);
        command
    };
    let tested = nginx().arg("-t").output().expect("nginx");
    let said = String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success() && !said.contains("[warn]"), "{said}");
    let _server = site.start(&mut nginx());
    assert_serves(&site, "mirror.log");
}

/// Where Debian has the modules of Apache.
const MODULES: &str = "/usr/lib/apache2/modules";

#[test]
fn apache_serves_it() {
    if !is_here("apache2") || !is_here("curl") {
        return;
    }
    if !Path::new(MODULES).is_dir() {
        println!("{MODULES} is not here: not tried");
        return;
    }
    let site = Site::new();
    let here = site.directory.path().display();
    let host = format!("<VirtualHost {}>", site.address());
    let example =
        site.example("apache/mirror.conf", &[("<VirtualHost *:80>", &host), ("${APACHE_LOG_DIR}", &here.to_string())]);
    let modules =
        ["mpm_event", "alias", "authz_core", "autoindex", "deflate", "dir", "env", "filter", "headers", "mime"];
    let modules = modules.map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n")).concat();
    let user = if geteuid().is_root() { "User nobody\nGroup nogroup\n" } else { "" };
    // Without the example, this would encode metadata.
    let encodes = "AddEncoding x-gzip .gz\n<Location />\nSetOutputFilter DEFLATE\n</Location>\n";
    let text = format!(
        "ServerRoot {here}\nServerName mirror\nListen {}\nPidFile {here}/apache.pid\nDefaultRuntimeDir {here}\nErrorLog {here}/error.log\n\
         {modules}TypesConfig /dev/null\n{user}{encodes}{example}",
        site.address()
    );
    let config = site.path("apache.conf");
    fs::write(&config, text).expect("written");
    let apache = |argument: &str| {
        let mut command = Command::new("apache2");
        command.env("PATH", path_with_sbin()).arg("-f").arg(&config).arg(argument);
        command
    };
    let tested = apache("-t").output().expect("apache2");
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let _server = site.start(&mut apache("-DFOREGROUND"));
    assert_serves(&site, "mirror.log");
}

fn path_with_sbin() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

#[test]
fn the_filters_of_the_page_are_read() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/serving/README.md"));
    let page = page.expect("the page");
    let (_, block) = page.split_once("```toml\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let mut scene = Scene::new(&[FEDORA], |up| up.file("fedora/linux/a.rpm", b"a").map(drop));
    scene.configure(&[FEDORA], block);
    let said = scene.run(&["config", "check"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}
