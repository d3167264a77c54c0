//! README.md is true: its commands run, one after the other; its tables are those of the program.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use qfm::config::setting;
use qfm::exit::Status;
use regex::Regex;
use support::{QFM, Sandbox, Site, assert_same};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: impl AsRef<Path>) -> String {
    let path = repository().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fenced block: its words behind the fence, its text.
struct Block {
    info: String,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => open = Some(Block { info: info.to_owned(), text: String::new() }),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// The rows of the table with this head, as cells.
fn table(markdown: &str, head: &str) -> Vec<Vec<String>> {
    let lines = markdown.lines().skip_while(|line| *line != head).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> =
        rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect();
    assert!(!rows.is_empty(), "there is no table {head}");
    rows
}

fn site() -> Site {
    let mut site = Site::new();
    let upstream = &mut site.upstream;
    for release in [41, 42, 43] {
        let os = format!("epel/{release}/Everything/x86_64/os");
        upstream.file(format!("{os}/Packages/a/a-{release}.rpm"), "package").expect("made");
        upstream.file(format!("{os}/repodata/repomd.xml"), format!("<repomd {release}/>")).expect("made");
    }
    upstream.publish().expect("lists");
    site
}

#[test]
fn the_first_two_commands_are_the_demonstration_and_the_test() {
    let shell: Vec<Block> = blocks(&read("README.md")).into_iter().filter(|block| block.info == "sh").collect();
    assert_eq!(shell[0].text, "cargo run --release -- demo\n");
    assert_eq!(shell[1].text, "bash .ci/test\n");
}

#[test]
fn every_command_runs_in_its_order() {
    let site = site();
    let daemon = site.serve();
    let sandbox = Sandbox::new(repository(), daemon.url());
    for tree in ["fedora/linux", "epel/10"] {
        fs::create_dir_all(sandbox.path("/srv/master/pub").join(tree)).expect("the tree of a master");
    }
    for Block { info, text } in blocks(&read("README.md")) {
        match info.as_str() {
            "sh" => {
                let output = sandbox.run(&text);
                assert!(output.status.success(), "{text}ended with {output:?}");
            }
            "toml config" => sandbox.edit(&text),
            "cron" => {
                let fields: Vec<&str> = text.trim().splitn(7, ' ').collect();
                let is_time = |field: &str| field.chars().all(|c| c.is_ascii_digit() || "*/,-".contains(c));
                assert!(fields[..5].iter().all(|field| is_time(field)), "{text}");
                assert_eq!(fields[5], "mirror");
                let output = sandbox.run(fields[6]);
                let silent = output.stdout.is_empty() && output.stderr.is_empty();
                assert!(output.status.success() && silent, "nothing changed, and cron would mail: {output:?}");
            }
            other => panic!("a block is marked {other:?}: who runs it?"),
        }
    }
    assert_same(site.upstream.root(), &sandbox.path("/srv/mirror/pub"));
    let left: Vec<_> = fs::read_dir(sandbox.path("tmp")).expect("read").collect();
    assert!(left.is_empty(), "{left:?}");
    for page in ["man1/qfm.1", "man5/qfm.toml.5", "man7/qfm-push.7"] {
        assert!(sandbox.path("/usr/local/share/man").join(page).is_file(), "{page}");
    }

    // What the stand-ins were asked for, and what they would have met.
    let called = fs::read_to_string(sandbox.path("called")).expect("a record");
    assert!(called.contains("useradd --system --no-create-home --home-dir"), "{called}");
    assert!(called.contains("systemctl enable --now qfm.timer"), "{called}");
    assert!(sandbox.path("/etc/systemd/system/qfm.timer").is_file());
}

#[test]
fn the_units_start_what_the_readme_installs() {
    let service = read("examples/systemd/qfm.service");
    for line in ["ExecStart=qfm", "User=mirror", "StateDirectory=qfm", "ReadWritePaths=-/srv/mirror/pub"] {
        assert!(service.lines().any(|it| it == line), "{line}");
    }
    // All in one directory: they name each other.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut units = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd")).expect("examples") {
        let name = entry.expect("an example").file_name().into_string().expect("a name of text");
        let text = read(format!("examples/systemd/{name}"));
        // The pages and the program are not installed here.
        let text: String =
            text.lines().filter(|line| !line.starts_with("Documentation=")).fold(String::new(), |text, line| {
                text + &line.replace("ExecStart=qfm", &format!("ExecStart={QFM}")) + "\n"
            });
        fs::write(directory.path().join(&name), text).expect("written");
        units.push(name);
    }
    assert!(units.len() >= 5, "{units:?}");
    for name in units {
        match Command::new("systemd-analyze").arg("verify").arg(directory.path().join(&name)).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let fault = said.lines().find(|line| {
                    line.contains("qfm")
                        && ["Unknown", "nvalid", "ailed to parse"].iter().any(|word| line.contains(word))
                });
                assert_eq!(fault, None, "{said}");
            }
            Err(error) => println!("systemd-analyze is not here ({error}): {name} is not looked at by it"),
        }
    }
}

#[test]
fn the_table_of_exit_codes_is_the_programs() {
    let rows = table(&read("README.md"), "| code | meaning |");
    let codes = Status::ALL.map(|status| vec![status.code().to_string(), status.sentence().to_owned()]);
    assert_eq!(rows, codes);
}

#[test]
fn the_order_of_seriousness_on_the_design_page_is_the_programs() {
    let text = read("docs/design.md");
    let order = Regex::new(r"rising order: ([0-9, \n]+)\.").expect("a pattern").captures(&text).expect("the order");
    let codes: Vec<u8> = order[1].split(',').map(|code| code.trim().parse().expect("a code")).collect();
    assert_eq!(codes.len(), Status::ALL.len());
    let status = |code: &u8| Status::ALL.into_iter().find(|status| status.code() == *code).expect("a known code");
    for pair in codes.windows(2) {
        let (less, more) = (status(&pair[0]), status(&pair[1]));
        assert_eq!(less.worse(more), more, "{pair:?}");
    }
}

#[test]
fn what_is_missing_is_installed_before_the_tests() {
    let sandbox = Sandbox::new(repository(), String::new());
    let log = sandbox.path("called");
    sandbox.stand_in("apt-get", &format!("echo apt-get \"$@\" >>'{}'", log.display()));
    // As root or through sudo: both are stand-ins.
    sandbox.stand_in("sudo", "[ \"$1\" != -n ] || shift\nexec \"$@\"");
    let output = sandbox.run("exec /bin/bash .ci/need sh=nothing no-such-program=one,two");
    assert!(output.status.success(), "{output:?}");
    let called = fs::read_to_string(&log).expect("a record");
    let calls: Vec<&str> = called.lines().collect();
    assert_eq!(calls.len(), 2, "{called}");
    assert!(calls[0].contains("update") && calls[1].ends_with("--no-install-recommends one two"), "{called}");

    let output = sandbox.run("exec /bin/bash .ci/need sh=nothing");
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn what_is_to_be_carried_over_has_a_setting() {
    let name = Regex::new("^`([a-zA-Z_.]+)`").expect("a pattern");
    for row in table(&read("README.md"), "| quick-fedora-mirror | qfm |") {
        let key = name.captures(&row[1]).unwrap_or_else(|| panic!("no setting in {row:?}"))[1].to_owned();
        assert!(setting::find(&key).is_some(), "{key}");
    }
}

#[test]
fn settings_that_are_named_exist_and_have_the_defaults_that_are_named() {
    let text = read("README.md");
    for found in
        Regex::new(r"`((?:delete|filter|rsync)\.[a-z_]+)`(?: \(([0-9]+)[ )])?").expect("a pattern").captures_iter(&text)
    {
        let setting = setting::find(&found[1]).unwrap_or_else(|| panic!("{}", &found[1]));
        if let Some(default) = found.get(2) {
            assert_eq!(setting.sample(), default.as_str(), "{}", setting.key);
        }
    }
}

#[test]
fn the_examples_are_good() {
    let mut command = Command::new(QFM);
    command.args(["--config", "examples/qfm.toml", "config", "check"]).current_dir(repository()).env_clear();
    let output = command.output().expect("started");
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("warning"), "{output:?}");
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#]+)[^)]*\)").expect("a pattern");
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/design.md",
        "docs/moving-from-quick-fedora-mirror.md",
        "docs/packaging.md",
        "docs/push-mirroring.md",
    ] {
        let directory = Path::new(page).parent().expect("a directory");
        let text = read(page);
        let targets: BTreeSet<&str> =
            link.captures_iter(&text).map(|found| found.get(1).expect("a target").as_str()).collect();
        for target in targets.into_iter().filter(|target| !target.contains("://")) {
            assert!(repository().join(directory).join(target).exists(), "{page} links to {target}");
        }
    }
}
