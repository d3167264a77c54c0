//! The configuration as an admin meets it: the program, its files, its environment and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty, starts_with};
use qfm::config::Value;
use qfm::config::setting::{Kind, SETTINGS, Setting};
use qfm::exit::Status;
use tempfile::TempDir;
use toml::de::DeValue;

const USAGE: i32 = Status::Usage.code() as i32;
const LOCAL: i32 = Status::Local.code() as i32;

const MINIMAL: &str = "upstream = \"rsync://host/fedora-buffet\"\nroot = \"/srv/pub\"\nmodules = [\"fedora-epel\"]\n";

/// A home without anything in it, and the program with nothing else in its environment.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("below the home")).expect("created");
        fs::write(&path, text).expect("written");
        path
    }

    fn qfm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("qfm").expect("built");
        command.env_clear().env("HOME", self.path()).current_dir(self.path()).args(arguments);
        command
    }

    /// `config show --json`, which must succeed.
    fn show(&self, file: &Path, variables: &[(String, String)], flags: &[String]) -> serde_json::Value {
        let mut command = self.qfm(&["config", "show", "--json", "--config"]);
        let output = command.arg(file).envs(variables.iter().cloned()).args(flags).output().expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{variables:?} {flags:?}: {said}");
        assert_eq!(said, "", "{variables:?} {flags:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

#[test]
fn without_a_configuration_it_says_where_it_looked() {
    let home = Home::new();
    if Path::new(qfm::config::SYSTEM_FILE).exists() {
        return;
    }
    let looked = format!("looked for {}/.config/qfm/qfm.toml, /etc/qfm/qfm.toml", home.path().display());
    let mut command = home.qfm(&["config", "check"]);
    command.assert().code(USAGE).stdout(is_empty()).stderr(contains(looked).and(contains("qfm config init")));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let home = Home::new();
    home.write(".config/qfm/qfm.toml", MINIMAL);
    let says = || starts_with("qfm: error: cannot read absent.toml").and(contains("qfm config init absent.toml"));
    home.qfm(&["--config", "absent.toml", "config", "check"]).assert().code(USAGE).stderr(says());
    home.qfm(&["config", "check"]).env("QFM_CONFIG", "absent.toml").assert().code(USAGE).stderr(says());
    home.qfm(&["config", "check"]).assert().success().stdout(contains(".config/qfm/qfm.toml is good"));
}

#[test]
fn the_file_is_found_in_the_order_of_the_manual() {
    let home = Home::new();
    let of_home = home.write(".config/qfm/qfm.toml", MINIMAL);
    let of_xdg = home.write("xdg/qfm/qfm.toml", MINIMAL);
    let of_variable = home.write("variable.toml", MINIMAL);
    let of_flag = home.write("flag.toml", MINIMAL);
    let good = |path: &Path| format!("{} is good\n", path.display());
    let mut check = home.qfm(&["config", "check"]);
    check.assert().success().stdout(good(&of_home)).stderr(is_empty());
    check.env("XDG_CONFIG_HOME", home.path().join("xdg")).assert().stdout(good(&of_xdg));
    check.env("QFM_CONFIG", &of_variable).assert().stdout(good(&of_variable));
    check.arg("--config").arg(&of_flag).assert().stdout(good(&of_flag));
}

#[test]
fn all_faults_come_at_once_with_line_key_and_hint() {
    let home = Home::new();
    let text = "upstream = \"rsync://host/m\"\nmodules = \"epel\"\n[rsync]\ntimeuot = \"10m\"\nretries = \"three\"\n";
    let file = home.write("qfm.toml", text);
    let output = home.qfm(&["config", "check", "--config"]).arg(&file).output().expect("started");
    assert_eq!(output.status.code(), Some(USAGE));
    assert!(output.stdout.is_empty());
    let place = file.display();
    let expected = format!(
        "qfm: error: {place}:2:11: modules: expected a list of text or one word, found the text \"epel\"
  hint: write for example `modules = [\"fedora-enchilada\", \"fedora-epel\"]`
qfm: error: {place}:4:1: rsync.timeuot: there is no such setting
  hint: did you mean `rsync.timeout`?
qfm: error: {place}:5:11: rsync.retries: expected a whole number, found the text \"three\"
  hint: write for example `retries = 3`
qfm: error: root: is missing in {place}
  hint: write for example `root = \"/srv/mirror/pub\"`
"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
}

/// The example of the table; a file where one must exist.
fn example(setting: &Setting, password_file: &Path, report_mirror: &Path) -> (String, Value) {
    let literal = match setting.key {
        "checkin.report_mirror" => format!("{:?}", report_mirror.to_str().expect("UTF-8")),
        "rsync.password_file" | "checkin.password_file" => format!("{:?}", password_file.to_str().expect("UTF-8")),
        _ => setting.example.to_string(),
    };
    let value = setting.read(DeValue::parse(&literal).expect("TOML").get_ref()).expect("a good example");
    (literal, value)
}

/// The value as one writes it in the environment and in flags.
fn words(value: &Value) -> Vec<String> {
    match value.to_json() {
        serde_json::Value::Array(items) => items.iter().map(|item| item.as_str().expect("text").to_string()).collect(),
        serde_json::Value::String(text) => vec![text],
        other => vec![other.to_string()],
    }
}

#[test]
fn every_setting_is_reached_by_file_environment_and_flag() {
    let home = Home::new();
    let password_file = home.write("password", "secret\n");
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).expect("changed");
    let report_mirror = home.write("report_mirror.conf", "[site]\nname=s\n");
    // Who names a site needs a password.
    home.write("credentials/qfm.checkin-password", "secret\n");
    let credentials = ("CREDENTIALS_DIRECTORY".to_string(), home.path().join("credentials").display().to_string());
    let minimal = home.write("minimal.toml", MINIMAL);
    for setting in SETTINGS {
        let (literal, value) = example(setting, &password_file, &report_mirror);
        let key = setting.key;
        let check = |shown: &serde_json::Value, from: &str| {
            let entry = &shown["settings"][key];
            assert_eq!(entry["value"], value.to_json(), "{key} by {from}");
            assert_eq!(entry["origin"]["from"], from, "{key}");
            entry["origin"].clone()
        };

        let rest: String = MINIMAL.lines().filter(|line| !line.starts_with(&format!("{key} "))).fold(
            String::new(),
            |mut text, line| {
                text.push_str(line);
                text.push('\n');
                text
            },
        );
        let table = setting.table().map_or(String::new(), |table| format!("[{table}]\n"));
        let file = home.write("one.toml", &format!("{rest}{table}{} = {literal}\n", setting.leaf()));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changed");
        let origin = check(&home.show(&file, std::slice::from_ref(&credentials), &[]), "file");
        let line = fs::read_to_string(&file).expect("read").lines().count();
        assert_eq!((&origin["path"], &origin["line"]), (&file.to_str().into(), &line.into()), "{key}");

        let separator = if setting.kind == Kind::List(qfm::config::setting::Split::Terms) { "\n" } else { "," };
        let variable = (setting.variable(), words(&value).join(separator));
        let origin = check(&home.show(&minimal, &[credentials.clone(), variable], &[]), "environment");
        assert_eq!(origin["name"], setting.variable(), "{key}");

        if setting.kind == Kind::Secret {
            continue;
        }
        let flags: Vec<_> = words(&value).iter().map(|word| format!("--{}={word}", setting.flag())).collect();
        let origin = check(&home.show(&minimal, std::slice::from_ref(&credentials), &flags), "flag");
        assert_eq!(origin["name"], format!("--{}", setting.flag()), "{key}");

        let flags: Vec<_> = words(&value).iter().map(|word| format!("--set={key}={word}")).collect();
        let origin = check(&home.show(&minimal, std::slice::from_ref(&credentials), &flags), "flag");
        assert_eq!(origin["name"], "--set", "{key}");
    }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let home = Home::new();
    let file = home.write("qfm.toml", &format!("{MINIMAL}jobs = 2\n"));
    let minimal = home.write("minimal.toml", MINIMAL);
    let variable = [("QFM_JOBS".to_string(), "3".to_string())];
    let flags = ["--set".to_string(), "jobs=4".to_string()];
    let both = [&flags[..], &["--jobs=5".to_string()]].concat();
    let jobs = |shown: serde_json::Value| {
        let entry = &shown["settings"]["jobs"];
        (entry["value"].clone(), entry["origin"]["from"].clone())
    };
    assert_eq!(jobs(home.show(&minimal, &[], &[])), (8.into(), "default".into()));
    assert_eq!(jobs(home.show(&file, &[], &[])), (2.into(), "file".into()));
    assert_eq!(jobs(home.show(&file, &variable, &[])), (3.into(), "environment".into()));
    assert_eq!(jobs(home.show(&file, &variable, &flags)), (4.into(), "flag".into()));
    assert_eq!(jobs(home.show(&file, &variable, &both)), (5.into(), "flag".into()));
}

#[test]
fn show_as_text_has_key_value_and_origin_in_columns() {
    let home = Home::new();
    let file = home.write("qfm.toml", &format!("{MINIMAL}jobs = 2\n"));
    let output = home.qfm(&["config", "show", "--restricted", "--config"]).arg(&file).output().expect("started");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for setting in SETTINGS {
        assert!(text.lines().any(|line| line.split(' ').next() == Some(setting.key)), "{}\n{text}", setting.key);
    }
    let columns = |key: &str| -> Vec<&str> {
        text.lines()
            .find(|line| line.starts_with(key))
            .expect(key)
            .split("  ")
            .map(str::trim)
            .filter(|c| !c.is_empty())
            .collect()
    };
    assert_eq!(columns("jobs"), ["jobs", "2", &format!("{}:4", file.display())]);
    assert_eq!(columns("restricted"), ["restricted", "true", "flag --restricted"]);
    assert_eq!(columns("module.fedora-epel.directory"), ["module.fedora-epel.directory", "\"epel\"", "default"]);
}

#[test]
fn a_module_table_is_shown_with_its_origin() {
    let home = Home::new();
    let text = "root = \"/srv/pub\"\nmodules = [\"rocky-linux\"]\n[module.rocky-linux]\ndirectory = \"rocky\"\nupstream = \"msync.example.org::rocky-linux\"\n";
    let file = home.write("qfm.toml", text);
    let shown = home.show(&file, &[], &["--set=module.rocky-linux.exclude=re:a{1,2}".to_string()]);
    let entry = |key: &str| shown["settings"][format!("module.rocky-linux.{key}")].clone();
    assert_eq!((&entry("directory")["value"], &entry("directory")["origin"]["line"]), (&"rocky".into(), &4.into()));
    assert_eq!(entry("upstream")["value"], "msync.example.org::rocky-linux");
    assert_eq!(entry("exclude")["value"], serde_json::json!(["re:a{1,2}"]));
    assert_eq!(entry("exclude")["origin"]["name"], "--set");
}

#[test]
fn secrets_do_not_show() {
    let home = Home::new();
    let file = home.write("qfm.toml", &format!("{MINIMAL}[rsync]\noptions = [\"--rsh=sshpass -p hunter2 ssh\"]\n"));
    for form in [&["config", "show"][..], &["config", "show", "--json"]] {
        let mut command = home.qfm(form);
        command
            .arg("--config")
            .arg(&file)
            .assert()
            .success()
            .stdout(contains("--rsh=***").and(contains("hunter2").not()));
    }
    let quiet = || contains("hunter2").not().and(contains("rsync.password_file"));
    let mut command = home.qfm(&["config", "check", "--upstream", "rsync://me:hunter2@host/module", "--config"]);
    command.arg(&file).assert().code(USAGE).stdout(is_empty()).stderr(quiet());
    let mut command =
        home.qfm(&["config", "check", "--set", "module.fedora-epel.upstream=me:hunter2@host::m", "--config"]);
    command.arg(&file).assert().code(USAGE).stdout(is_empty()).stderr(quiet());
}

#[test]
fn a_password_file_is_for_one_user_only() {
    let home = Home::new();
    let password_file = home.write("password", "hunter2\n");
    let shown = password_file.display();
    let file = home.write("qfm.toml", &format!("{MINIMAL}[rsync]\npassword_file = \"{shown}\"\n"));
    let mode = |mode| fs::set_permissions(&password_file, fs::Permissions::from_mode(mode)).expect("changed");
    let mut command = home.qfm(&["config", "check", "--config"]);
    command.arg(&file);
    mode(0o644);
    let says =
        format!(":5:17: rsync.password_file: {shown} can be read or changed by others\n  hint: chmod o-rwx {shown}");
    command.assert().code(USAGE).stderr(contains(says));
    mode(0o600);
    command.assert().success();
    let show = home.qfm(&["config", "show", "--config"]).arg(&file).assert().success();
    show.stdout(contains(password_file.to_str().expect("UTF-8")).and(contains("hunter2").not()));
    fs::remove_file(&password_file).expect("removed");
    command.assert().code(USAGE).stderr(contains("rsync.password_file: cannot read"));
}

#[test]
fn the_state_does_not_get_into_a_module_through_a_link() {
    let home = Home::new();
    let root = home.path().join("pub");
    fs::create_dir_all(root.join("epel")).expect("created");
    std::os::unix::fs::symlink(root.join("epel"), home.path().join("link")).expect("linked");
    let text = |state: &str| {
        let home = home.path().display();
        format!("upstream = \"h::m\"\nmodules = [\"fedora-epel\"]\nroot = \"{home}/pub\"\nstate = \"{home}/{state}\"\n")
    };
    let file = home.write("qfm.toml", &text("link/state"));
    let mut command = home.qfm(&["config", "check", "--config"]);
    command.arg(&file).assert().code(USAGE).stderr(contains("state: ").and(contains("lie in each other")));
    home.write("qfm.toml", &text("state"));
    command.assert().success();
}

#[test]
fn init_writes_a_sample_and_never_overwrites() {
    let home = Home::new();
    let file = home.path().join("qfm.toml");
    home.qfm(&["config", "init", "qfm.toml"]).assert().success().stdout(contains("wrote qfm.toml"));
    let sample = fs::read_to_string(&file).expect("written");
    home.qfm(&["config", "init"]).assert().success().stdout(sample.clone());
    home.qfm(&["config", "init", "absent/qfm.toml"]).assert().code(LOCAL).stderr(contains("create its directory"));

    let uncommented: String = sample.lines().fold(String::new(), |text, line| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => text + setting + "\n",
        _ => text + line + "\n",
    });
    let shown = home.show(&home.write("all.toml", &uncommented), &[], &[]);
    let plain = home.show(&home.write("minimal.toml", MINIMAL), &[], &[]);
    for setting in SETTINGS.iter().filter(|setting| !["upstream", "root", "modules"].contains(&setting.key)) {
        assert_eq!(shown["settings"][setting.key]["origin"]["from"], "file", "{}", setting.key);
        assert_eq!(shown["settings"][setting.key]["value"], plain["settings"][setting.key]["value"], "{}", setting.key);
    }

    fs::write(&file, "mine").expect("written");
    home.qfm(&["config", "init", "qfm.toml"]).assert().code(USAGE).stderr(contains("qfm.toml exists already"));
    assert_eq!(fs::read_to_string(&file).expect("read"), "mine");
}

#[test]
fn check_says_what_is_probably_a_mistake() {
    let home = Home::new();
    let file = home.write("qfm.toml", MINIMAL);
    let mut command = home.qfm(&["config", "check", "--config"]);
    let said = command.arg(&file).env("QFM_JOBZ", "3").assert().success();
    said.stdout(contains("warning: ").and(contains("QFM_JOBZ")).and(contains("QFM_JOBS")).and(contains("is good")));
}

#[test]
fn wrong_usage_ends_with_the_code_for_it() {
    let home = Home::new();
    for arguments in
        [&["--no-such-flag"][..], &["config", "frobnicate"], &["-n", "config", "check"], &["completions", "x"]]
    {
        home.qfm(arguments).assert().code(USAGE).stdout(is_empty()).stderr(starts_with("qfm: error: "));
    }
    home.qfm(&["--help"]).assert().success().stdout(contains("--rsync-timeout").and(contains("Exit status:")));
    home.qfm(&["--version"]).assert().success().stdout(contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_ends_before_it_begins_is_an_object_too_where_one_is_asked_for() {
    let home = Home::new();
    let file = home.write("qfm.toml", MINIMAL);
    let named = file.to_str().expect("a name");
    let bad = home.write("bad.toml", "upstream = 3\njobz = 1\n");
    let cases: [(&[&str], &str, usize); 6] = [
        (&["--config", named, "--json", "fedora-epl"], "no module `fedora-epl`", 1),
        (&["--config", named, "verify", "--json", "fedora-epl"], "no module `fedora-epl`", 1),
        (&["--config", named, "size", "--json", "fedora-epl"], "no module `fedora-epl`", 1),
        (&["--config", "absent.toml", "--json"], "cannot read absent.toml", 1),
        (&["--config", bad.to_str().expect("a name"), "config", "show", "--json"], "upstream", 4),
        (&["--json", "--no-such-flag"], "--no-such-flag", 1),
    ];
    for (arguments, said, errors) in cases {
        let output = home.qfm(arguments).output().expect("started");
        assert_eq!(output.status.code(), Some(USAGE), "{arguments:?}");
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&object["kind"], &object["status"]), (&"error".into(), &"usage".into()), "{object}");
        assert_eq!((&object["version"], &object["code"]), (&1.into(), &USAGE.into()), "{object}");
        let told = object["errors"].as_array().expect("errors");
        assert!(told.len() == errors && told[0].as_str().is_some_and(|text| text.contains(said)), "{object}");
        assert!(!output.stderr.is_empty(), "people are told too");
    }
    let output = home.qfm(&["diff", "--json", "absent", "absent"]).output().expect("started");
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&object["status"], output.status.code()), (&"local".into(), Some(10)), "{object}");
}

#[test]
fn manual_and_completions_are_printed() {
    let home = Home::new();
    home.qfm(&["man"])
        .assert()
        .success()
        .stdout(contains("EXIT STATUS").and(contains("QFM\\_RSYNC").or(contains("QFM_RSYNC"))));
    home.qfm(&["completions", "bash"]).assert().success().stdout(contains("_QFM_COMPLETE"));
    home.qfm(&["man", "absent"]).assert().code(LOCAL);
}
