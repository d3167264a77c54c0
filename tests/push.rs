//! Telling downstreams that something is new here: what is called, in which order, and what follows from how that goes.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use qfm::config::{self, Environment, Overrides};
use qfm::exit::Status;
use qfm::push::Job;
use qfm::state::jobs::{Asked, Origin, Stage};
use support::*;
use tempfile::TempDir;

/// A program in the place of ssh. It writes down what it is called with, and does what its host is to do.
struct FakeSsh {
    directory: TempDir,
}

const SCRIPT: &str = r#"#!/bin/sh
cd @directory@ || exit 99
number=$$
printf '%s\n' "$@" > "$number.arguments"
env > "$number.environment"
mv "$number.arguments" "$number.call"
for word; do host=$last; last=$word; done
stage=${last##*sync:}
echo "begin $host $stage" >> log
if [ -e "$host.$stage" ]; then . "./$host.$stage"; fi
echo "end $host $stage" >> log
exit ${status:-0}
"#;

impl FakeSsh {
    fn new() -> FakeSsh {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let script = SCRIPT.replace("@directory@", &format!("'{}'", directory.path().display()));
        fs::write(directory.path().join("ssh"), script).expect("written");
        fs::set_permissions(directory.path().join("ssh"), Permissions::from_mode(0o755)).expect("changed");
        FakeSsh { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn settings(&self) -> String {
        format!("push.ssh = {:?}\n", self.path("ssh"))
    }

    /// What a host does when it is told of a stage: shell commands; `status` is what it ends with.
    fn on(&self, host: &str, stage: &str, commands: &str) {
        fs::write(self.path(&format!("{host}.{stage}")), commands).expect("written");
    }

    /// Until there is a file of this name, a host that does this is busy.
    fn until(name: &str) -> String {
        format!("while [ ! -e {name} ]; do sleep 0.02; done")
    }

    fn let_go(&self, name: &str) {
        fs::write(self.path(name), "").expect("written");
    }

    /// `begin` and `end` with host and stage, in their order.
    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.path("log")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn has(&self, line: &str) -> bool {
        self.log().iter().any(|said| said == line)
    }

    /// The arguments of each call, with what it had as environment.
    fn calls(&self) -> Vec<(Vec<String>, String)> {
        let entries =
            fs::read_dir(self.directory.path()).expect("readable").map(|entry| entry.expect("an entry").path());
        let calls = entries.filter(|path| path.extension().is_some_and(|extension| extension == "call"));
        let read = |path: &Path| fs::read_to_string(path).expect("readable");
        let call = |path: PathBuf| {
            (read(&path).lines().map(str::to_owned).collect(), read(&path.with_extension("environment")))
        };
        calls.map(call).collect()
    }
}

/// A mirror in step, that tells others through a program in the place of ssh.
fn scene(ssh: &FakeSsh, extra: &str) -> Scene {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    scene.mirror.add(&format!("{}{extra}", ssh.settings()));
    scene
}

fn change(scene: &mut Scene, name: &str) {
    let content = name.as_bytes().to_vec();
    scene.change(|up| up.file(format!("fedora/{name}"), content).map(drop));
}

#[test]
fn ssh_is_called_with_what_is_configured_and_with_nothing_else() {
    let ssh = FakeSsh::new();
    let mirrors = ssh.path("runmirrors.mirror");
    let file = "# who is told\nall plain plain.example.org archvsync\nstaged keyed keyed.example.org archvsync 2 /keys/own\n\
        mhop far ssh+ftpsync://push@far.example.org/ports\nall odd odd.example.org archvsync -p 2222\n";
    fs::write(&mirrors, file).expect("written");
    let extra = format!(
        "push.mirrors = {mirrors:?}\npush.key = \"/keys/general\"\npush.options = [\"-4\"]\npush.archive = \"fedora\"\n\
         downstream.own.ssh = \"u@own.example.org\"\ndownstream.own.options = [\"-oPort=23\"]\n"
    );
    let scene = scene(&ssh, &extra);
    let mut command = scene.mirror.command(&["push"]);
    command.env("QFM_CHECKIN_PASSWORD", "hunter2").env("SSH_AUTH_SOCK", "/run/agent");
    assert!(command.status().expect("it starts").success());
    let ours = "-n -T -o BatchMode=yes -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o ConnectTimeout=45 \
        -o ServerAliveInterval=45 -o ServerAliveCountMax=3 -4";
    let key = |key: &str| format!("-o IdentitiesOnly=yes -i /keys/{key}");
    let general = key("general");
    let mut expected = [
        format!("{ours} -oPort=23 {general} -l u own.example.org sync:archive:fedora sync:all"),
        format!("{ours} {general} -l archvsync plain.example.org sync:archive:fedora sync:all"),
        format!("{ours} {} -l archvsync keyed.example.org sync:archive:fedora sync:stage1", key("own")),
        format!("{ours} {} -l archvsync keyed.example.org sync:archive:fedora sync:stage2", key("own")),
        format!("{ours} {general} -l push far.example.org sync:archive:ports sync:mhop sync:stage1"),
        format!("{ours} {general} -l push far.example.org sync:archive:ports sync:stage2"),
        format!("{ours} -p 2222 {general} -l archvsync odd.example.org sync:archive:fedora sync:all"),
    ];
    expected.sort();
    let calls = ssh.calls();
    let mut made: Vec<String> = calls.iter().map(|(arguments, _)| arguments.join(" ")).collect();
    made.sort();
    assert_eq!(made, expected);
    for (_, environment) in &calls {
        assert!(!environment.contains("QFM_") && environment.contains("SSH_AUTH_SOCK=/run/agent"), "{environment}");
    }
    // The same is shown without a call.
    let shown = scene.mirror.run(&["push", "--dry-run"]).status(Status::Done).stdout;
    assert_eq!(ssh.calls().len(), expected.len());
    assert!(shown.starts_with("own (all): ") && shown.contains("odd (all): "), "{shown}");
    assert!(
        shown.contains("'sync:archive:ports sync:mhop sync:stage1'") || shown.contains("sync:mhop sync:stage1"),
        "{shown}"
    );
    assert!(shown.find("far (stage1)") < shown.find("keyed (stage2)"), "{shown}");
    // One alone.
    scene.mirror.run(&["push", "far"]).status(Status::Done);
    assert_eq!(ssh.calls().len(), expected.len() + 2);
    let refused = scene.mirror.run(&["push", "nobody"]).status(Status::Usage);
    assert!(refused.stderr.contains("no downstream `nobody`") && refused.stderr.contains("plain"), "{refused:?}");
}

#[test]
fn stage_2_begins_nowhere_before_stage_1_is_over_everywhere() {
    let ssh = FakeSsh::new();
    let one =
        |name: &str, kind: &str| format!("downstream.{name}.ssh = \"{name}\"\ndownstream.{name}.kind = \"{kind}\"\n");
    let scene =
        scene(&ssh, &[one("quick", "staged"), one("slow", "mhop"), one("once", "all"), one("lost", "staged")].concat());
    ssh.on("slow", "stage1", &FakeSsh::until("go"));
    ssh.on("lost", "stage1", "status=255");
    let mut pushing = scene.start(&["push"]);
    wait_until("the others are done", || {
        ["end quick stage1", "end once all", "end lost stage1", "begin slow stage1"].iter().all(|line| ssh.has(line))
    });
    assert!(!ssh.log().iter().any(|line| line.contains("stage2")) && !pushing.is_over(), "{:?}", ssh.log());
    ssh.let_go("go");
    assert_eq!(pushing.end(), Some(0));
    let log = ssh.log();
    let at = |line: &str| log.iter().position(|said| said == line).unwrap_or_else(|| panic!("{line}: {log:?}"));
    for host in ["quick", "slow", "lost"] {
        assert!(at(&format!("begin {host} stage2")) > at("end slow stage1"), "{log:?}");
    }
    assert_eq!(log.iter().filter(|line| line.contains("once")).count(), 2, "it is told once, and forgotten");
}

#[test]
fn who_is_not_done_in_time_is_waited_for_no_longer_and_told_of_stage_2_when_it_is() {
    let ssh = FakeSsh::new();
    let one = |name: &str| format!("downstream.{name}.ssh = \"{name}\"\ndownstream.{name}.kind = \"staged\"\n");
    let scene = scene(&ssh, &format!("push.stage_wait = \"0s\"\n{}{}", one("quick"), one("slow")));
    ssh.on("slow", "stage1", &FakeSsh::until("go"));
    let pushing = scene.start(&["push"]);
    wait_until("the quick one goes on", || ssh.has("end quick stage2"));
    assert!(!ssh.has("end slow stage1"));
    ssh.let_go("go");
    assert_eq!(pushing.end(), Some(0));
    assert!(ssh.has("end slow stage2"));
}

#[test]
fn a_delay_holds_those_that_follow_until_stage_1_is_over() {
    let ssh = FakeSsh::new();
    let mirrors = ssh.path("mirrors");
    fs::write(
        &mirrors,
        "staged one one u\nall before before u\nDELAY 3600 stage1\nall after after u\nDELAY 0\nall last last u\n",
    )
    .expect("written");
    let scene = scene(&ssh, &format!("push.mirrors = {mirrors:?}\n"));
    ssh.on("one", "stage1", &FakeSsh::until("go"));
    let pushing = scene.start(&["push"]);
    wait_until("who comes before is told", || ssh.has("end before all") && ssh.has("begin one stage1"));
    assert!(!ssh.has("begin after all") && !ssh.has("begin last all"));
    ssh.let_go("go");
    assert_eq!(pushing.end(), Some(0));
    assert!(ssh.has("end after all") && ssh.has("end last all") && ssh.has("end one stage2"));
}

#[test]
fn no_more_are_spoken_to_at_once_than_is_said() {
    let ssh = FakeSsh::new();
    let names: Vec<String> = (0..5).map(|number| format!("h{number}")).collect();
    let settings: String = names.iter().map(|name| format!("downstream.{name}.ssh = \"{name}\"\n")).collect();
    let scene = scene(&ssh, &format!("push.jobs = 2\n{settings}"));
    scene.mirror.run(&["push"]).status(Status::Done);
    let mut at_once = 0;
    for line in ssh.log() {
        if line.starts_with("begin") {
            at_once += 1
        } else {
            at_once -= 1
        }
        assert!(at_once <= 2, "{:?}", ssh.log());
    }
    assert_eq!(ssh.log().len(), 10);
}

#[test]
fn a_run_tells_of_changes_only_and_does_not_depend_on_who_hears_it() {
    let ssh = FakeSsh::new();
    let mut scene = scene(&ssh, "downstream.here.ssh = \"here\"\ndownstream.gone.ssh = \"gone\"\n");
    ssh.on("gone", "all", "echo 'ssh: connect to host gone port 22: Connection refused' >&2; status=255");
    ssh.on("here", "all", "status=5");
    scene.sync();
    scene.mirror.run(&["--full"]).status(Status::Done);
    assert!(ssh.log().is_empty(), "nothing changed");
    change(&mut scene, "b");
    scene.mirror.run(&["--dry-run"]).status(Status::Done);
    scene.mirror.run(&["--transfer-only"]).status(Status::Done);
    assert!(ssh.log().is_empty(), "nothing is committed");
    let result = scene.mirror.run(&["-v"]).status(Status::Done);
    assert_eq!(ssh.calls().len(), 2);
    let warning = "warning: cannot push to gone (all): ssh: ssh: connect to host gone port 22: Connection refused";
    assert!(result.stderr.contains(warning), "{result:?}");
    assert!(result.stderr.contains("pushed to here (all), which ended there with 5"), "{result:?}");
    assert!(result.stdout.contains("pushed to here\n"), "{result:?}");
    change(&mut scene, "c");
    scene.mirror.run(&["--no-push"]).status(Status::Done);
    assert_eq!(ssh.calls().len(), 2);
    change(&mut scene, "d");
    let record = scene.mirror.run(&["--json", "--push-strict=true"]).status(Status::Notify).json();
    let by_name: BTreeMap<&str, _> = record["pushed"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (it["downstream"].as_str().expect("a name"), it))
        .collect();
    assert_eq!((by_name["here"]["stage"].as_str(), by_name["here"]["exit"].as_i64()), (Some("all"), Some(5)));
    assert!(by_name["gone"]["error"].as_str().expect("an error").contains("refused"), "{record}");
    assert!(record["errors"][0].as_str().expect("an error").starts_with("push to gone: "), "{record}");
    let alone = scene.mirror.run(&["push", "--strict", "--json"]).status(Status::Notify).json();
    assert_eq!((alone["kind"].as_str(), alone["code"].as_u64()), (Some("push"), Some(11)));
    scene.mirror.run(&["push"]).status(Status::Done);
}

#[test]
fn the_locks_are_free_while_others_are_told_and_who_hangs_is_ended_with_all_that_it_started() {
    let ssh = FakeSsh::new();
    let mut scene =
        scene(&ssh, "push.timeout = \"1s\"\ndownstream.hangs.ssh = \"hangs\"\ndownstream.here.ssh = \"here\"\n");
    // What it starts hears of no signal but KILL's group, and would outlive a program that is ended alone.
    ssh.on("hangs", "all", "sleep 3600 & echo $! > child; wait");
    change(&mut scene, "b");
    let pushing = scene.start(&[]);
    wait_until("it hangs", || ssh.path("child").exists() && ssh.has("end here all"));
    scene.mirror.run(&["--no-push"]).status(Status::Done);
    assert_eq!(pushing.end(), Some(0));
    let child = fs::read_to_string(ssh.path("child")).expect("readable");
    wait_until("its child is gone", || {
        // A zombie that nobody waits for is gone too.
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
    let result = scene.mirror.run(&["push", "hangs"]).status(Status::Done);
    assert!(result.stderr.contains("cannot push to hangs (all): it took longer than push.timeout (1s)"), "{result:?}");
}

#[test]
fn news_of_a_run_that_was_killed_before_it_told_them_are_told_by_the_next() {
    let ssh = FakeSsh::new();
    let mut scene = scene(&ssh, "downstream.hangs.ssh = \"hangs\"\ndownstream.here.ssh = \"here\"\n");
    ssh.on("hangs", "all", &FakeSsh::until("go"));
    change(&mut scene, "b");
    let running = scene.start(&[]);
    wait_until("they are told", || ssh.has("begin hangs all") && ssh.has("end here all"));
    // Who finds that somebody is telling them does not tell them again.
    scene.sync();
    assert_eq!(ssh.calls().len(), 2);
    running.signal(rustix::process::Signal::KILL);
    assert_eq!(running.end(), None);
    ssh.let_go("go");
    wait_until("what it started ends", || ssh.has("end hangs all"));
    // Nothing is new, and all of them are told.
    scene.sync();
    assert_eq!(ssh.calls().len(), 4, "{:?}", ssh.log());
    scene.sync();
    scene.mirror.run(&["push", "--due"]).status(Status::Done);
    assert_eq!(ssh.calls().len(), 4, "{:?}", ssh.log());
    // What a run was not to tell waits for one that is.
    change(&mut scene, "c");
    scene.mirror.run(&["--no-push"]).status(Status::Done);
    scene.mirror.run(&["push", "here"]).status(Status::Done);
    assert_eq!(ssh.calls().len(), 5);
    scene.mirror.run(&["push", "--due"]).status(Status::Done);
    assert_eq!(ssh.calls().len(), 7, "{:?}", ssh.log());
    scene.sync();
    assert_eq!(ssh.calls().len(), 7, "{:?}", ssh.log());
}

#[test]
fn news_of_a_run_that_was_killed_before_it_could_put_them_down_are_told_by_the_next() {
    let ssh = FakeSsh::new();
    let mut scene = scene(&ssh, "downstream.here.ssh = \"here\"\n");
    change(&mut scene, "b");
    scene.mirror.run(&["--transfer-only"]).status(Status::Done);
    let journal = scene.state_folder().join("journal");
    let under_way = fs::read(&journal).expect("a journal");
    scene.mirror.run(&["--no-push"]).status(Status::Done);
    // What a run leaves that is killed when its lists are saved.
    fs::write(&journal, under_way).expect("written");
    let entries = fs::read_dir(scene.state_folder()).expect("the state").map(|entry| entry.expect("an entry").path());
    let marks: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains("/untold.")).collect();
    assert_eq!(marks.len(), 1);
    fs::remove_file(&marks[0]).expect("removed");
    let record = scene.mirror.run(&["--json"]).status(Status::Done).json();
    assert_eq!((record["changed"].as_bool(), ssh.calls().len()), (Some(false), 1), "{record}");
    scene.sync();
    assert_eq!(ssh.calls().len(), 1);
}

#[test]
fn a_signal_ends_all_pushes() {
    let ssh = FakeSsh::new();
    let scene = scene(&ssh, "downstream.hangs.ssh = \"hangs\"\ndownstream.hangs.kind = \"staged\"\n");
    ssh.on("hangs", "stage1", "sleep 3600");
    let pushing = scene.start(&["push"]);
    wait_until("it hangs", || ssh.has("begin hangs stage1"));
    pushing.signal(rustix::process::Signal::TERM);
    ended_with(pushing.end(), &[Status::Terminated]);
    assert!(!ssh.log().iter().any(|line| line.contains("stage2")));
}

#[test]
fn lines_that_cannot_be_read_are_told_with_their_place_and_the_others_are_followed() {
    let ssh = FakeSsh::new();
    let mirrors = ssh.path("mirrors");
    fs::write(&mirrors, "all one one u\neverybody two two u\nall three https://u:hunter2@\n").expect("written");
    let mut scene = scene(&ssh, &format!("push.mirrors = {mirrors:?}\n"));
    change(&mut scene, "b");
    let result = scene.mirror.run(&[]).status(Status::Done);
    assert!(ssh.has("end one all"));
    let place = format!("warning: {}:2: \"everybody\" is none of", mirrors.display());
    assert!(result.stderr.contains(&place) && !result.stderr.contains("hunter2"), "{result:?}");
    fs::remove_file(&mirrors).expect("removed");
    let result = scene.mirror.run(&["push", "--strict"]).status(Status::Notify);
    assert!(result.stderr.contains("cannot read") && result.stderr.contains("mirrors"), "{result:?}");
}

/// A server that answers each request with this status, and the heads of what came.
fn server(status: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heads);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(read @ 1..) => head.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            kept.lock().expect("not poisoned").push(String::from_utf8_lossy(&head).into_owned());
            let answer = format!(
                "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    (port, heads)
}

#[test]
fn a_url_is_called_through_the_proxy_of_its_scheme_and_never_around_it() {
    let ssh = FakeSsh::new();
    let (port, heads) = server("202 Accepted");
    let file = ssh.path("url");
    fs::write(&file, format!("http://tier2.test:{port}/fedora/0e6c-secret/trigger\n")).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("changed");
    let scene = scene(&ssh, &format!("downstream.tier2.url_file = {file:?}\n"));
    let proxy = WebProxy::start();
    let by = format!("http://user:hunter2@127.0.0.1:{}", proxy.port);
    let push = |variables: &[(&str, &str)]| {
        let mut command = scene.mirror.command(&["push", "--strict"]);
        let output = command.envs(variables.iter().copied()).output().expect("started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("0e6c") && !said.contains("hunter2"), "{said}");
        (output.status.code() == Some(0), said)
    };
    // Nobody here can look that name up, and the proxy for another scheme is none.
    let (is_told, said) = push(&[("http_proxy", &by), ("HTTPS_PROXY", "http://127.0.0.1:1")]);
    assert!(is_told, "{said}");
    let asked = proxy.heads();
    assert!(matches!(&asked[..], [head] if head.starts_with(&format!("CONNECT tier2.test:{port} "))), "{asked:?}");
    assert_eq!(heads.lock().expect("not poisoned").len(), 1);
    for (variable, value, why) in [
        ("http_proxy", "gopher://user:hunter2@proxy", "environment http_proxy: is no address of a proxy"),
        ("all_proxy", "http://127.0.0.1:1", "(through the proxy 127.0.0.1:1)"),
        ("https_proxy", by.as_str(), "cannot push to tier2 (all): "),
    ] {
        let (is_told, said) = push(&[(variable, value)]);
        assert!(!is_told && said.contains(why), "{said}");
    }
    assert_eq!(proxy.heads().len(), 1);
}

#[test]
fn a_url_is_called_with_a_get_and_never_shown() {
    let ssh = FakeSsh::new();
    let (port, heads) = server("202 Accepted");
    let (other, refused) = server("404 Not Found");
    let (third, moved) = server("302 Found");
    let file = ssh.path("url");
    fs::write(&file, format!("http://127.0.0.1:{port}/fedora/0e6c-secret/trigger\n")).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("changed");
    let mirrors = ssh.path("mirrors");
    fs::write(&mirrors, format!("all basic http://fedora:hunter2@127.0.0.1:{port}/trigger\n")).expect("written");
    let mut scene = scene(
        &ssh,
        &format!(
            "push.mirrors = {mirrors:?}\ndownstream.path.url_file = {file:?}\n\
             downstream.unknown.url = \"http://127.0.0.1:{other}/0e6c-secret/trigger\"\n\
             downstream.moved.url = \"http://127.0.0.1:{third}/0e6c-secret/trigger\"\n\
             downstream.nowhere.url = \"http://127.0.0.1:1/0e6c-secret/trigger\"\n\
             downstream.nothing.url = \"http://0e6c secret/\"\n",
        ),
    );
    // The file has secrets in it, and one that is no URL.
    let result = scene.mirror.run(&["push"]).status(Status::Usage);
    assert!(result.stderr.contains("downstream.nothing.url") && !result.stderr.contains("0e6c"), "{result:?}");
    scene.mirror.add("");
    let text = fs::read_to_string(&scene.mirror.config).expect("readable");
    fs::write(&scene.mirror.config, text.replace("downstream.nothing.url = \"http://0e6c secret/\"\n", ""))
        .expect("written");
    let result = scene.mirror.run(&["push"]).status(Status::Usage);
    assert!(result.stderr.contains("downstream.unknown.url"), "others can read it: {result:?}");
    fs::set_permissions(&scene.mirror.config, Permissions::from_mode(0o600)).expect("changed");
    let shown = scene.mirror.run(&["push", "--dry-run"]);
    assert!(shown.stderr.contains("mirrors can be read or changed by others: its lines with a URL"), "{shown:?}");
    assert!(!shown.stdout.contains("basic") && shown.stdout.contains("path"), "the others are followed: {shown:?}");
    let checked = scene.mirror.run(&["config", "check"]).status(Status::Usage);
    assert!(checked.stderr.contains("push.mirrors: ") && checked.stderr.contains("chmod o-rwx"), "{checked:?}");
    fs::set_permissions(&mirrors, Permissions::from_mode(0o600)).expect("changed");
    change(&mut scene, "b");
    let result = scene.mirror.run(&["-vv"]).status(Status::Done);
    let got = heads.lock().expect("not poisoned").clone();
    assert!(got.iter().any(|head| head.starts_with("GET /fedora/0e6c-secret/trigger HTTP/1.1")), "{got:?}");
    let basic = got.iter().find(|head| head.starts_with("GET /trigger HTTP/1.1")).expect("a call").to_lowercase();
    assert!(basic.contains("authorization: basic zmvkb3jhomh1bnrlcji="), "{basic}");
    assert_eq!((refused.lock().expect("not poisoned").len(), moved.lock().expect("not poisoned").len()), (1, 1));
    assert!(result.stderr.contains("cannot push to unknown (all): it does not know the URL (404)"), "{result:?}");
    assert!(result.stderr.contains("cannot push to moved (all): it moved (302)"), "{result:?}");
    assert!(result.stderr.contains("cannot push to nowhere (all): cannot be called"), "{result:?}");
    let shown = scene.mirror.run(&["push", "--dry-run"]).status(Status::Done);
    let config = scene.mirror.run(&["config", "show"]).status(Status::Done);
    for result in [result, shown, config] {
        for secret in ["0e6c", "hunter2"] {
            assert!(!result.stderr.contains(secret) && !result.stdout.contains(secret), "{secret}: {result:?}");
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    let refused = scene.mirror.run(&["push"]).status(Status::Usage);
    assert!(refused.stderr.contains("nobody is told") && refused.stderr.contains("[downstream.NAME]"), "{refused:?}");
    scene.mirror.add("push.ssh = \"/no/ssh\"\ndownstream.one.ssh = \"one\"\n");
    let mut command = scene.mirror.command(&["push"]);
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot push to one (all): cannot run /no/ssh"),
        "{output:?}"
    );
}

#[test]
fn who_is_told_of_hops_tells_those_with_stages_of_stage_1_before_its_session_ends() {
    let ssh = FakeSsh::new();
    let one =
        |name: &str, kind: &str| format!("downstream.{name}.ssh = \"{name}\"\ndownstream.{name}.kind = \"{kind}\"\n");
    let mut scene = scene(&ssh, &[one("staged", "staged"), one("far", "mhop"), one("once", "all")].concat());
    change(&mut scene, "b");
    let trigger = |scene: &Scene, words: &str| {
        let mut command = scene.mirror.command(&["trigger"]);
        let output = command.env("SSH_ORIGINAL_COMMAND", words).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
    };
    trigger(&scene, "sync:archive: sync:mhop sync:stage1");
    let mut log = ssh.log();
    log.sort();
    assert_eq!(log, ["begin far stage1", "begin staged stage1", "end far stage1", "end staged stage1"]);
    trigger(&scene, "sync:archive: sync:stage2");
    wait_until("all are told of the rest", || {
        ["end far stage2", "end staged stage2", "end once all"].iter().all(|line| ssh.has(line))
    });
    fs::remove_file(ssh.path("log")).expect("removed");
    change(&mut scene, "c");
    trigger(&scene, "sync:stage1");
    assert!(ssh.log().is_empty(), "nobody asked for that");
}

/// The default job of a mirror.
fn job(mirror: &Mirror) -> Job {
    let overrides = Overrides { config: Some(mirror.config.clone()), ..Overrides::default() };
    let loaded = config::load(&overrides, &Environment::default()).expect("a configuration");
    let settings = loaded.config.job(None).expect("the job");
    Job::new(settings, &loaded.config, loaded.file.as_deref(), &Environment::default()).expect("a job")
}

#[test]
fn a_job_goes_on_while_others_are_told_of_what_its_last_run_brought() {
    let ssh = FakeSsh::new();
    let mut scene = scene(&ssh, "downstream.hangs.ssh = \"hangs\"\ndownstream.here.ssh = \"here\"\n");
    ssh.on("hangs", "all", &FakeSsh::until("go"));
    let job = job(&scene.mirror);
    let has = |scene: &Scene, name: &str| scene.mirror.path(format!("fedora/{name}")).exists();
    let told = || ssh.log().iter().filter(|line| *line == "end here all").count();
    change(&mut scene, "b");
    let mut running = scene.mirror.command(&["run-job"]);
    let mut running = running.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    wait_until("somebody hangs", || ssh.has("begin hangs all") && told() == 1);
    wait_until("the job is free", || !job.is_running());
    assert_eq!(job.last().expect("read").expect("a result").code, Some(0));
    // A stage, for whom the session waits.
    change(&mut scene, "c");
    let mut session = scene.mirror.command(&["trigger"]);
    let output = session.env("SSH_ORIGINAL_COMMAND", "sync:stage2").output().expect("it starts");
    assert!(output.status.success() && has(&scene, "c"), "{output:?}");
    wait_until("who hears is told of that too", || told() == 2);
    // A service manager takes a unit for started whose process only tells others: that process sees to it.
    change(&mut scene, "d");
    job.mark(Asked { stage: Stage::All, origin: Origin::Http, callback: false }).expect("marked");
    wait_until("it is run", || has(&scene, "d") && !job.is_marked());
    wait_until("and told", || told() == 3);
    ssh.let_go("go");
    assert!(running.wait().expect("it ends").success());
    wait_until("all is over", || processes_on(&scene.mirror.config).is_empty());
    assert_eq!(ssh.log().iter().filter(|line| *line == "end hangs all").count(), 3);
}

#[test]
fn a_job_ends_as_its_pushes_do_where_that_is_asked_for_and_tells_what_a_killed_one_did_not() {
    let ssh = FakeSsh::new();
    let mut scene = scene(&ssh, "push.strict = true\ndownstream.here.ssh = \"here\"\n");
    ssh.on("here", "all", "status=255");
    change(&mut scene, "b");
    scene.mirror.run(&["run-job"]).status(Status::Notify);
    assert_eq!(job(&scene.mirror).last().expect("read").expect("a result").code, Some(0));
    change(&mut scene, "c");
    scene.mirror.run(&["--no-push"]).status(Status::Done);
    ssh.on("here", "all", "");
    // Nobody asks for a run.
    scene.mirror.run(&["run-job", "--triggered"]).status(Status::Done);
    assert_eq!(ssh.calls().len(), 2);
}

#[test]
fn a_session_waits_no_longer_for_downstreams_than_one_waits_for_another() {
    let ssh = FakeSsh::new();
    let mut scene =
        scene(&ssh, "push.stage_wait = \"1s\"\ndownstream.hangs.ssh = \"hangs\"\ndownstream.hangs.kind = \"staged\"\n");
    ssh.on("hangs", "stage1", "sleep 3600");
    change(&mut scene, "b");
    let mut session = scene.mirror.command(&["trigger"]);
    let output = session.env("SSH_ORIGINAL_COMMAND", "sync:mhop sync:stage1").output().expect("it starts");
    assert!(output.status.success() && ssh.has("begin hangs stage1"), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot push to hangs (stage1): it took longer than push.stage_wait (1s)"), "{said}");
}
