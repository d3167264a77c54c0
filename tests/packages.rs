//! What goes into a package fits together, and what a package leaves behind.
//!
//! With `QFM_TEST_PACKAGES=1` a package is built and looked at too; that takes a release build.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use qfm::config::setting::SETTINGS;
use qfm::exit::Status;
use qfm::state::State;
use regex::Regex;
use support::listener::is_here;
use toml::{Table, Value};
use walkdir::WalkDir;

const QFM: &str = env!("CARGO_BIN_EXE_qfm");

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: impl AsRef<Path>) -> String {
    let path = repository().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn metadata(tool: &str) -> Table {
    let manifest: Table = read("Cargo.toml").parse().expect("TOML");
    manifest["package"]["metadata"][tool].as_table().expect("a table").clone()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The files of a package beside the program, laid out below a directory.
fn stage(kind: &str, directory: &Path) -> BTreeSet<String> {
    let mut bash = Command::new("bash");
    run(bash
        .arg(repository().join("packaging/stage"))
        .args([kind, QFM])
        .arg(directory)
        .env("MAINTAINER", "A <a@b.org>"));
    let files = WalkDir::new(directory).into_iter().map(|entry| entry.expect("an entry"));
    let files = files.filter(|entry| entry.file_type().is_file());
    files.map(|file| file.path().strip_prefix(directory).expect("below it").display().to_string()).collect()
}

fn pattern(glob: &str) -> Regex {
    let pattern = regex::escape(glob).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*");
    let pattern = pattern.replace(r"\[!", "[^").replace(r"\[", "[").replace(r"\]", "]");
    Regex::new(&format!("^{pattern}$")).expect("a pattern")
}

/// The values of a key in all units, by unit.
fn said_in_units(key: &str) -> BTreeMap<String, String> {
    let units = fs::read_dir(repository().join("examples/systemd")).expect("units").map(|unit| unit.expect("a unit"));
    let value = |unit: fs::DirEntry| {
        let text = fs::read_to_string(unit.path()).expect("a unit");
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?.to_owned();
        Some((unit.file_name().into_string().expect("text"), value))
    };
    units.filter_map(value).collect()
}

#[test]
fn each_file_that_is_laid_out_goes_into_its_package_once() {
    let link = Regex::new(r"\]\((?:\.\./)?(examples/[^)]+[a-z])\)").expect("a pattern");
    for (kind, tool) in [("deb", "deb"), ("rpm", "generate-rpm")] {
        let directory = tempfile::tempdir().expect("a directory");
        let files = stage(kind, directory.path());
        let mut left = files.clone();
        for asset in metadata(tool)["assets"].as_array().expect("assets") {
            let source = asset["source"].as_str().expect("a source");
            let Some(glob) = source.strip_prefix(&format!("target/packaging/{kind}/")) else {
                assert_eq!(source, "target/release/qfm", "the program alone is not laid out");
                continue;
            };
            let taken: Vec<&String> = files.iter().filter(|file| pattern(glob).is_match(file)).collect();
            assert!(!taken.is_empty(), "{kind}: {glob} takes nothing");
            for file in taken {
                assert!(left.remove(file), "{kind}: {file} is taken twice");
                let below = asset["dest"].as_str().expect("a destination").trim_start_matches('/');
                assert!(file.starts_with(below), "{kind}: {file} does not come below {below}");
            }
        }
        assert!(left.is_empty(), "{kind}: {left:?} are taken by no asset");
        let pages = fs::read_dir(repository().join("man")).expect("pages").count();
        assert_eq!(files.iter().filter(|file| file.starts_with("usr/share/man/man")).count(), pages);
        for name in ["etc/qfm/qfm.toml", "usr/lib/systemd/system/qfm.timer", "usr/share/doc/qfm/docs/packaging.md"] {
            assert!(files.contains(name), "{kind}: {name}");
        }
        for page in ["README.md", "docs/packaging.md"] {
            for target in link.captures_iter(&read(page)).map(|found| format!("usr/share/doc/qfm/{}", &found[1])) {
                let is_unit = target.contains("/systemd/");
                assert!(
                    is_unit || files.iter().any(|file| file.starts_with(&target)),
                    "{kind}: {page} links to {target}"
                );
            }
        }
        let sample = directory.path().join("usr/share/doc/qfm/examples/all-settings.toml");
        assert_eq!(fs::read(sample).expect("a sample"), run(Command::new(QFM).args(["config", "init"])).stdout);
    }
}

#[test]
fn what_the_packages_name_is_there() {
    let deb = metadata("deb");
    let named = |value: &Value| repository().join(value.as_str().expect("a name"));
    assert!(named(&deb["license-file"][0]).is_file());
    for script in ["postinst", "postrm"] {
        let text = fs::read_to_string(named(&deb["maintainer-scripts"]).join(script)).expect("a script");
        assert!(text.contains("\n#DEBHELPER#\n"), "{script}: without this line cargo-deb adds nothing");
    }
    let found_by_name = named(&deb["systemd-units"]["unit-scripts"]);
    for name in ["qfm.sysusers", "qfm.tmpfile"] {
        assert!(found_by_name.join(name).is_file(), "{name}");
    }
    let rpm = metadata("generate-rpm");
    for script in ["post_install_script", "pre_uninstall_script", "post_uninstall_script"] {
        run(Command::new("bash").arg("-n").arg(named(&rpm[script])));
    }
    let stopped = read("packaging/rpm/preun");
    for unit in said_in_units("WantedBy").keys() {
        assert!(stopped.contains(unit.as_str()), "{unit} may be enabled, and is not disabled at removal");
    }
}

#[test]
fn units_user_and_directories_agree() {
    let user = said_in_units("User");
    assert_eq!(user.len(), said_in_units("ExecStart").len());
    let name = user.values().next().expect("a user");
    assert!(user.values().chain(said_in_units("SocketUser").values()).all(|it| it == name), "{user:?}");
    let home = "/var/lib/qfm";
    let line = Regex::new(&format!(r#"(?m)^u {name} - "[^"]+" {home}$"#)).expect("a pattern");
    assert!(line.is_match(&read("packaging/qfm.sysusers")));

    let directories = read("packaging/qfm.tmpfile");
    for (key, above) in [("StateDirectory", "/var/lib"), ("LogsDirectory", "/var/log")] {
        let modes = said_in_units(&format!("{key}Mode"));
        for (unit, directory) in said_in_units(key) {
            let line = format!("d {above}/{directory} {} {name} {name}", modes[&unit]);
            assert!(directories.lines().any(|it| it == line), "{unit} would change it: {line}");
        }
    }
    let state = SETTINGS.iter().find(|setting| setting.key == "state").expect("a setting").sample();
    assert_eq!(state, format!("{home:?}"));
    assert!(read("examples/logrotate/qfm").contains(&format!("su {name} {name}\n")));
    for (unit, command) in said_in_units("ExecStart") {
        assert_eq!(command.split(' ').next(), Some("qfm"), "{unit}: wherever it is installed");
    }
}

#[test]
fn the_configuration_says_what_it_lacks_and_is_good_when_that_is_there() {
    let check = |text: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("qfm.toml");
        fs::write(&file, text).expect("written");
        let mut qfm = assert_cmd::Command::new(QFM);
        qfm.env_clear().args(["config", "check", "--config"]).arg(file).output().expect("it starts")
    };
    let text = read("packaging/qfm.toml");
    let output = check(&text);
    assert_eq!(output.status.code(), Some(i32::from(Status::Usage.code())));
    let said = String::from_utf8_lossy(&output.stderr);
    for setting in ["upstream", "root", "modules"] {
        assert!(said.contains(&format!("{setting}: is missing")), "{said}");
    }
    let edited = Regex::new("(?m)^#([a-z]+ = )").expect("a pattern").replace_all(&text, "$1").into_owned();
    let output = check(&edited);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn purging_removes_state_and_logs_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let write = |path: PathBuf| {
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, "").expect("written");
    };
    let state = State::at(&at("lib"), Path::new("/srv/mirror/pub"));
    for name in ["lock", "runs", "lists/epel/list"] {
        write(state.dir().join(name));
    }
    for name in ["lib/jobs/etc-qfm/default/lock", "log/qfm.log", "log/qfm.log.1", "log/qfm.log.2.gz"] {
        write(at(name));
    }
    let kept =
        ["elsewhere/lock", "lib/.ssh/id_ed25519", "lib/pub-0123456789ab/epel/a.rpm", "lib/pub/lock", "log/notes"];
    kept.iter().for_each(|name| write(at(name)));
    symlink(at("elsewhere"), at("lib/link-0123456789ab")).expect("a link");

    let script = read("packaging/deb/postrm");
    let here = script.replace("/var/lib/qfm", &at("lib").display().to_string());
    let here = here.replace("/var/log/qfm", &at("log").display().to_string());
    let purge = |argument: &str| run(Command::new("sh").args(["-c", &here, "postrm", argument]));
    let files = || {
        let entries = WalkDir::new(directory.path()).into_iter().map(|entry| entry.expect("an entry"));
        let files = entries.filter(|entry| entry.file_type().is_file());
        files.map(|file| file.path().strip_prefix(directory.path()).expect("below").display().to_string()).collect()
    };
    let before: BTreeSet<String> = files();
    for argument in ["remove", "upgrade"] {
        purge(argument);
        assert_eq!(files(), before, "{argument}");
    }
    purge("purge");
    assert_eq!(files(), BTreeSet::from(kept.map(str::to_owned)));
    assert!(!state.dir().exists() && at("lib/link-0123456789ab").is_symlink());

    kept.iter().for_each(|name| fs::remove_file(at(name)).expect("removed"));
    for name in ["lib", "log"] {
        fs::remove_dir_all(at(name)).expect("removed");
        fs::create_dir(at(name)).expect("made");
    }
    purge("purge");
    assert!(!at("lib").exists() && !at("log").exists(), "they are empty");
    purge("purge");
}

#[test]
fn a_package_is_built_and_runs() {
    if std::env::var_os("QFM_TEST_PACKAGES").is_none() {
        println!("QFM_TEST_PACKAGES is not set: no package is built");
        return;
    }
    if ["cargo-deb", "cargo-generate-rpm", "dpkg-deb", "lintian", "rpm"].iter().any(|program| !is_here(program)) {
        return;
    }
    let mut build = Command::new("bash");
    build.arg(repository().join("packaging/build")).env("DEBFULLNAME", "A Packager").env("DEBEMAIL", "a@debian.org");
    let said = String::from_utf8_lossy(&run(&mut build).stdout).into_owned();
    let deb = said.lines().find(|line| line.ends_with(".deb")).expect("it says where the package is");
    run(Command::new("lintian").args(["--fail-on", "error,warning"]).arg(deb));

    let directory = tempfile::tempdir().expect("a directory");
    run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(directory.path()));
    let version = run(Command::new(directory.path().join("usr/bin/qfm")).arg("--version")).stdout;
    assert_eq!(String::from_utf8_lossy(&version), concat!("qfm ", env!("CARGO_PKG_VERSION"), "\n"));

    let rpm = said.lines().find(|line| line.ends_with(".rpm")).expect("it says where the package is");
    let list = run(Command::new("rpm").arg("-qpl").arg(rpm)).stdout;
    let list = String::from_utf8_lossy(&list).into_owned();
    for name in ["/usr/bin/qfm", "/etc/qfm/qfm.toml", "/usr/lib/sysusers.d/qfm.conf", "/usr/share/man/man1/qfm.1.gz"] {
        assert!(list.lines().any(|line| line == name), "{name}: {list}");
    }
}
