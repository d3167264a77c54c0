//! The commands in the manual are true, those in lines of their own by being run, one after the other.
//!
//! A page says what an example is in the comment before it: `sh` is run, `toml` is a configuration or goes to the end of one, `mirrors`
//! is a runmirrors.mirror, `list` a list, and `text` is nothing that a machine reads. What needs another machine meets stand-ins.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::error::ErrorKind;
use qfm::cli::{self, Command};
use qfm::list::{Carry, Listing, Sections};
use qfm::push::runmirrors;
use regex::Regex;
use support::{QFM, Sandbox, Site};

/// The pages with examples, in the order in which one works with them.
const PAGES: [&str; 4] = ["qfm.1", "qfm.toml.5", "qfm-lists.5", "qfm-push.7"];

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a reader sees of lines of a page.
fn seen(roff: &str) -> String {
    let escapes = [("\\-", "-"), ("\\(aq", "'"), ("\\(ha", "^"), ("\\(ti", "~"), ("\\&", ""), ("\\e", "\\")];
    escapes.iter().fold(roff.to_owned(), |text, (escape, means)| text.replace(escape, means))
}

/// The examples of a page: what they are, and their text.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let (mut before, mut inside) = ("", false);
    for line in page.lines() {
        match line {
            ".EX" => {
                let kind =
                    before.strip_prefix(".\\\" example: ").unwrap_or_else(|| panic!("an example without a kind"));
                examples.push((kind.to_owned(), String::new()));
                inside = true;
            }
            ".EE" => inside = false,
            _ if inside => examples.last_mut().expect("begun").1.extend([&seen(line), "\n"]),
            _ => {}
        }
        before = line;
    }
    examples
}

/// What the examples take for granted.
fn furnish(sandbox: &Sandbox, current: &Path) {
    fs::create_dir_all(sandbox.path("etc/qfm")).expect("made");
    fs::create_dir_all(sandbox.path("srv/mirror/pub")).expect("made");
    for tree in ["fedora/linux", "epel/10"] {
        fs::create_dir_all(sandbox.path("srv/master/pub").join(tree)).expect("made");
    }
    for (file, text) in [
        ("upstream.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 upstream\n"),
        ("old-list", "[Version]\n2\n\n[Files]\n1\tf\t1\ta\n\n[Checksums SHA1]\n\n[End]\n"),
    ] {
        fs::write(current.join(file), text).expect("written");
    }
    for (file, text) in [
        ("etc/qfm/push-key", "no key\n"),
        ("etc/qfm/runmirrors.mirror", ""),
        // Nobody listens there.
        ("etc/qfm/leaf-url", "http://127.0.0.1:1/trigger\n"),
    ] {
        fs::write(sandbox.path(file), text).expect("written");
        fs::set_permissions(sandbox.path(file), Permissions::from_mode(0o600)).expect("set");
    }
    fs::create_dir_all(sandbox.path("usr/local/bin")).expect("made");
    std::os::unix::fs::symlink(QFM, sandbox.path("usr/local/bin/qfm")).expect("linked");
    // Jobs are read from where the file is looked for, whatever the environment says.
    fs::create_dir_all(sandbox.path(".config")).expect("made");
    std::os::unix::fs::symlink(sandbox.path("etc/qfm"), sandbox.path(".config/qfm")).expect("linked");
    std::os::unix::fs::symlink("/bin/true", sandbox.path("usr/local/bin/releases-sync")).expect("linked");
    sandbox.stand_in("ssh", &format!("echo \"$*\" >>'{}'", sandbox.path("called").display()));
}

fn put(sandbox: &Sandbox, kind: &str, text: &str) {
    let configuration = sandbox.path("etc/qfm/qfm.toml");
    match kind {
        "sh" => {
            for command in text.lines() {
                let output = sandbox.run(command);
                assert!(output.status.success(), "{command} ended with {output:?}");
            }
        }
        "toml" => {
            // Where it says which modules there are, it is a whole one.
            let before = if text.contains("\nmodules = ") && text.contains("upstream = ") {
                String::new()
            } else {
                fs::read_to_string(&configuration).expect("a configuration")
            };
            fs::write(&configuration, before + &sandbox.here(text)).expect("written");
            let output = sandbox.run("qfm config check");
            assert!(output.status.success(), "{text} is refused: {output:?}");
        }
        "mirrors" => {
            let (steps, bad) = runmirrors::read(Path::new("runmirrors.mirror"), text.as_bytes());
            assert!(bad.is_empty() && steps.len() > 3, "{bad:?}");
        }
        "list" => {
            let sections = Sections::find(text.as_bytes()).expect("a list");
            let listing = Listing::read(text.as_bytes(), &sections, |_, _| Carry::Yes).expect("rows");
            assert!(listing.bad.is_empty() && sections.checksums(text.as_bytes()).count() == 1, "{:?}", listing.bad);
        }
        "text" => {}
        other => panic!("an example is called {other:?}: who runs it?"),
    }
}

#[test]
fn every_example_is_good_in_its_order() {
    let mut site = Site::new();
    for release in [41, 42, 43] {
        let os = format!("epel/{release}/Everything/x86_64/os");
        site.upstream.file(format!("{os}/Packages/a/a-{release}.rpm"), "package").expect("made");
        site.upstream.file(format!("{os}/repodata/repomd.xml"), format!("<repomd {release}/>")).expect("made");
    }
    site.upstream.publish().expect("lists");
    let daemon = site.serve();
    let current = tempfile::tempdir().expect("a temporary directory");
    let sandbox = Sandbox::new(current.path(), daemon.url());
    furnish(&sandbox, current.path());
    let mut commands = 0;
    for name in PAGES {
        let examples = examples(&read(&format!("man/{name}")));
        assert!(!examples.is_empty(), "{name}");
        for (kind, text) in examples {
            put(&sandbox, &kind, &text);
            commands += if kind == "sh" { text.lines().count() } else { 0 };
        }
    }
    assert!(commands > 15, "{commands}");
    let called = fs::read_to_string(sandbox.path("called")).expect("somebody was told");
    assert!(called.contains("a.example.org sync:archive: sync:stage2"), "{called}");
}

/// Commands in running text: those that README, docs and pages set apart.
fn mentioned() -> Vec<(String, String)> {
    let code = Regex::new(r"`(qfm [^`\n]+)`").expect("a pattern");
    let bold = Regex::new(r"\\fB(qfm [^\\]+)\\fR").expect("a pattern");
    let mut found = Vec::new();
    for folder in ["docs", "man"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder") {
            let name = entry.expect("a file").file_name().into_string().expect("a name of text");
            found.push(format!("{folder}/{name}"));
        }
    }
    found.push("README.md".to_owned());
    let of = |file: String| {
        let text = seen(&read(&file));
        let pattern = if file.starts_with("man/") { &bold } else { &code };
        let commands = pattern.captures_iter(&text).map(|found| (file.clone(), found[1].to_owned()));
        commands.collect::<Vec<_>>()
    };
    found.into_iter().flat_map(of).collect()
}

#[test]
fn commands_in_running_text_are_understood() {
    let mentioned = mentioned();
    assert!(mentioned.len() > 40, "{}", mentioned.len());
    for (file, line) in mentioned {
        // Of a command that is only named, all that it needs may be missing.
        let named = [ErrorKind::MissingRequiredArgument, ErrorKind::MissingSubcommand, ErrorKind::DisplayHelp];
        match cli::parse(line.split_whitespace()) {
            Ok(cli) => {
                // What is no command is taken for a module.
                let Command::Sync(sync) = cli.command else { continue };
                let is_module = |name: &String| name.starts_with("fedora-") || name.chars().all(|c| !c.is_lowercase());
                assert!(sync.modules.iter().all(is_module), "{file}: `{line}` is taken for a module");
            }
            Err(error) => {
                let needs = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
                assert!(needs || named.contains(&error.kind()), "{file}: `{line}`: {error}");
            }
        }
    }
}
