//! A listener behind the real nginx, with the example configuration.

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::listener::*;
use support::*;

/// An nginx; it ends with this.
struct Nginx {
    child: Child,
    address: String,
    /// Another server that it has, which says nothing of logs.
    neighbour: String,
}

impl Nginx {
    /// In front of a listener at `upstream`, with all of its files in `directory`.
    fn start(directory: &Path, upstream: &str) -> Nginx {
        let [address, neighbour] = [0; 2]
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"))
            .map(|socket| socket.local_addr().expect("an address").to_string());
        let example = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nginx/qfm.conf"));
        let example = example
            .expect("the example")
            .replace("unix:/run/qfm/trigger.sock", upstream)
            .replace("listen 80;", &format!("listen {address};"))
            .replace("listen [::]:80;", "");
        let here = directory.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {here}/{kind};\n"))
            .concat();
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let text = format!(
            "{user}daemon off;\nmaster_process off;\npid {here}/nginx.pid;\nerror_log {here}/error.log info;\nevents {{}}\nhttp {{\n\
             {temporary}    access_log {here}/access.log;\n{example}\
             server {{ listen {neighbour}; return 404; }}\n}}\n"
        );
        let config = directory.join("nginx.conf");
        fs::write(&config, text).expect("written");
        let nginx = |arguments: &[&str]| {
            let mut command = Command::new("nginx");
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{path}:/usr/sbin")).arg("-p").arg(directory).arg("-c").arg(&config);
            command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
            command
        };
        let tested = nginx(&["-t"]).output().expect("nginx starts");
        assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
        let child = nginx(&[]).stderr(Stdio::null()).spawn().expect("nginx starts");
        wait_until("nginx listens", || TcpStream::connect(&address).is_ok());
        Nginx { child, address, neighbour }
    }

    /// The status of its answer to a request with this line.
    fn status(&self, line: &str) -> u16 {
        ask(&self.address, line)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The status of the answer to a request with this line.
fn ask(address: &str, line: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(format!("{line}\r\nHost: mirror\r\nConnection: close\r\n\r\n").as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    // It hangs up before all is read of what is too long.
    let end = stream.read_to_end(&mut answer).map_or_else(|error| error.kind(), |_| ErrorKind::UnexpectedEof);
    assert!([ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&end), "{end}");
    status(&String::from_utf8_lossy(&answer))
}

fn both_shapes_go_through(yard: &Yard, upstream: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let nginx = Nginx::start(directory.path(), upstream);
    let address = &nginx.address;
    let path = path_of("releases", SECRET);
    assert_eq!(curl(&[&format!("http://archive:{SECRET}@{address}/trigger")]), (202, String::new()));
    yard.wait_for_runs(1);
    yard.settle();
    assert_eq!(curl(&[&format!("http://{address}{path}")]), (202, String::new()));
    yard.wait_for_runs(2);
    yard.settle();
    assert_eq!(curl(&["--data", "anything", &format!("http://{address}{path}")]), (202, String::new()));
    yard.wait_for_runs(3);
    yard.settle();
    assert_eq!(yard.runs(), ["archive all http 0", "releases all http 0", "releases all http 0"]);

    assert_eq!(curl(&[&format!("http://archive:{SECRET}x@{address}/trigger")]).0, 404);
    assert_eq!(curl(&[&format!("http://{address}/trigger")]).0, 404);
    assert_eq!(curl(&[&format!("http://{address}/healthz")]).0, 404, "it is not for the outside");
    for trick in ["//", "/./", "/%2e/", "/x/../", "/%2F"] {
        let status = nginx.status(&format!("GET {}{} HTTP/1.1", trick, &path[1..]));
        assert!([400, 404].contains(&status), "{trick}: {status}");
    }
    assert_eq!(nginx.status(&format!("GET {path}?a HTTP/1.1")), 404);
    assert_eq!(nginx.status(&format!("GET {path}/ HTTP/1.1")), 404);
    assert_eq!(nginx.status(&format!("HEAD {path} HTTP/1.1")), 404);
    yard.settle();
    assert_eq!(yard.runs().len(), 3);

    let near = ["/trigger/x", "x", "/", "/Trigger", "?trigger"].map(|end| path.replace("/trigger", end));
    for miss in near {
        assert_eq!(nginx.status(&format!("GET {miss} HTTP/1.1")), 404, "{miss}");
    }
    let big = format!("X-Big: {}", "x".repeat(40_000));
    for unreadable in [format!("GET {path} HTTP/1.1\r\n{big}"), format!("GET {path} HTTPS/9"), format!("G{path}")] {
        assert_eq!(nginx.status(&unreadable), 400);
    }
    assert_eq!(ask(&nginx.neighbour, "GET /written HTTP/1.1"), 404);
    assert_eq!(ask(&nginx.neighbour, &format!("GET /written HTTP/1.1\r\n{big}")), 400);
    for log in ["access.log", "error.log"] {
        let text = fs::read_to_string(directory.path().join(log)).expect("a log");
        assert!(!text.contains(SECRET), "{text}");
        assert!(text.contains("/written"), "{log} is written at all: {text}");
    }
}

#[test]
fn both_shapes_go_through_nginx_to_a_unix_socket() {
    if !is_here("nginx") || !is_here("curl") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = format!("unix:{}", directory.path().join("trigger.sock").display());
    let yard = Yard::new(&format!("listen.address = {upstream:?}"));
    let listening = yard.listen();
    both_shapes_go_through(&yard, &upstream);
    let said = listening.said();
    assert!(
        said.contains("job archive is triggered over http (all) from 127.0.0.1") && !said.contains(SECRET),
        "{said}"
    );
}

#[test]
fn both_shapes_go_through_nginx_to_a_port() {
    if !is_here("nginx") || !is_here("curl") {
        return;
    }
    let yard = Yard::new("listen.trusted_proxies = [\"127.0.0.1\"]");
    let listening = yard.listen();
    both_shapes_go_through(&yard, &listening.address.clone());
    assert!(!listening.said().contains(SECRET));
}

#[test]
fn nginx_keeps_the_secret_also_where_nobody_listens_behind_it() {
    if !is_here("nginx") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let nginx = Nginx::start(directory.path(), &format!("unix:{}/nobody", directory.path().display()));
    assert_eq!(nginx.status(&format!("GET {} HTTP/1.1", path_of("archive", SECRET))), 502);
    let error = fs::read_to_string(directory.path().join("error.log")).expect("a log");
    assert!(!error.contains(SECRET), "{error}");
}
