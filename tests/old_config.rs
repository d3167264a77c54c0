//! The configuration of quick-fedora-mirror as an admin has it: read by the program, or refused with what to write.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use qfm::exit::Status;
use serde_json::{Value, json};
use tempfile::TempDir;

const USAGE: i32 = Status::Usage.code() as i32;

/// What must be said.
const MINIMAL: &str = "DESTD=/srv/pub\nTIMEFILE=/var/lib/mirror/timefile\n";

struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().expect("a temporary directory"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("below the home")).expect("created");
        fs::write(&path, text).expect("written");
        path
    }

    fn qfm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("qfm").expect("built");
        // What holds the password is not what others may read.
        command
            .env_clear()
            .env("QFM_CHECKIN_PASSWORD", "hunter2")
            .env("HOME", self.0.path())
            .current_dir(self.0.path())
            .args(arguments);
        command
    }

    fn output(&self, arguments: &[&str], file: &Path) -> String {
        let output = self.qfm(arguments).arg(file).output().expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}\n{}", fs::read_to_string(file).expect("read"));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The values of `config show`, by key.
    fn show(&self, file: &Path) -> Value {
        let shown: Value =
            serde_json::from_str(&self.output(&["config", "show", "--json", "--config"], file)).expect("JSON");
        let settings = shown["settings"].as_object().expect("an object");
        settings.iter().map(|(key, entry)| (key.clone(), entry["value"].clone())).collect()
    }

    /// What is said of a file that is refused.
    fn refused(&self, text: &str) -> String {
        let file = self.write("quick-fedora-mirror.conf", text);
        let output = self.qfm(&["config", "check", "--config"]).arg(&file).output().expect("started");
        assert_eq!(output.status.code(), Some(USAGE), "{text}");
        String::from_utf8_lossy(&output.stderr).replace(&format!("{}:", file.display()), "")
    }

    /// What `config check` warns of.
    fn warned(&self, text: &str) -> String {
        let file = self.write("quick-fedora-mirror.conf", &format!("{MINIMAL}{text}"));
        self.output(&["config", "check", "--config"], &file)
    }
}

const STYLES: [&str; 5] = [
    MINIMAL,
    // As the sample has it, with what is commonly changed.
    "# Configuration file for quick-fedora-mirror\n\
     # This file is sourced by zsh.\n\n\
     DESTD=/srv/mirror/pub\n\
     #MODULES=(fedora-enchilada fedora-epel)\n\
     MODULES=(fedora-enchilada fedora-epel\n         fedora-alt # live images\n)\n\
     TIMEFILE=$HOME/quick-fedora-mirror-timefile\n\
     REMOTE=rsync://mirror.example.org\nMASTERMODULE=fedora-buffet0\n\
     FILTEREXP='(/debug/|/source/|\\.drpm)'\n\
     RSYNCTIMEOUT=$((60 * 20)) # twenty minutes\n\
     VERBOSE=${VERBOSE:-3}\nLOGITEMS=@\nLOGFILE=/var/log/quick-fedora-mirror.log\n\
     CHECKIN_SITE='A \"Site\"'\nCHECKIN_PASSWORD='hun\"ter2'\nCHECKIN_HOST=\"m.example.org\"\nCHECKIN_HOST_fedora_epel=e\n",
    // As a program would write it.
    "export DESTD=\"/srv/pub\"; export TIMEFILE=\"/srv/state/time\"\ntypeset -a MODULES\nMODULES=(\"fedora-epel\")\n\
     typeset -A MODULEMAPPING\nMODULEMAPPING=([fedora-epel]=pub-epel)\nRSYNCOPTS=(-aSH -f 'R .~tmp~' --stats --delay-updates \
     --out-format='@ %i %10l  %n%L' --bwlimit=20m -4 --preallocate)\nPREBITFLIP=1\nMAXRETRIES=3\nWARNDELAY=43200\n",
    // With names of one's own, another upstream, modules of another kind, Windows line ends and no last newline.
    "\u{feff}base=/data\r\nDESTD=$base/mirror\r\nTIMEFILE=${base}/state/time\r\nREMOTE=backup:/srv\r\nMASTERMODULE=pub\r\n\
     MODULES=(rocky fedora-epel)\r\nMODULEMAPPING+=(rocky rocky)\r\nMIRRORMANAGERMAPPING+=(rocky 'Rocky Linux')\r\n\
     MIRRORMANAGERMODULEMAPPING+=(rocky rocky/pub)\r\nMAXCHECKINRETRIES=4\r\nFILELIST='list-${mdir}'\r\nEXTRAFILES=()\r\nKEEPDIRTIMES=yes",
    "DESTD=/srv/pub\nTIMEFILE=/t/time\nMIRRORBUFFET=1\nREMOTE=/net/upstream\nMASTERMODULE=\nFILTEREXP=\nCURL=/usr/bin/curl\nTMPDIR=/tmp\n",
];

#[test]
fn what_is_imported_is_what_holds() {
    let home = Home::new();
    for style in STYLES {
        let old = home.write("mirror.conf", style);
        let toml = home.output(&["config", "import"], &old);
        let new = home.write("mirror.toml", &toml);
        assert_eq!(home.show(&old), home.show(&new), "{style}\n{toml}");
        assert!(!toml.contains("ter2"), "{toml}");
    }
}

#[test]
fn keys_become_settings_with_the_old_defaults() {
    let home = Home::new();
    let show = |style: usize| home.show(&home.write("mirror.conf", STYLES[style]));
    let minimal = show(0);
    for (key, value) in [
        ("root", json!("/srv/pub")),
        ("state", json!("/var/lib/mirror/timefile.qfm")),
        ("time_file", json!("/var/lib/mirror/timefile")),
        ("upstream", json!("rsync://dl.fedoraproject.org/fedora-buffet")),
        ("modules", json!(["fedora-enchilada", "fedora-epel"])),
        ("rsync.timeout", json!("10m")),
        ("rsync.retries", json!(9)),
        ("warn_after", json!("1d")),
        ("rsync.options", json!([])),
        ("filter.exclude", json!([])),
        ("restricted", json!(false)),
    ] {
        assert_eq!(minimal[key], value, "{key}");
    }
    let sample = show(1);
    assert_eq!(sample["upstream"], json!("rsync://mirror.example.org/fedora-buffet0"));
    assert_eq!(sample["modules"], json!(["fedora-enchilada", "fedora-epel", "fedora-alt"]));
    assert_eq!(sample["filter.exclude"], json!([r"ere:(/debug/|/source/|\.drpm)"]));
    assert_eq!(sample["rsync.timeout"], json!("20m"));
    for (key, value) in [
        ("checkin.site", "A \"Site\""),
        ("checkin.host", "m.example.org"),
        ("checkin.endpoint", "https://mirrormanager.fedoraproject.org/xmlrpc"),
        ("module.fedora-epel.checkin_host", "e"),
    ] {
        assert_eq!(sample[key], json!(value), "{key}");
    }
    assert!(sample["module.fedora-epel.checkin_category"].is_null(), "it is built in");
    let written = show(2);
    assert_eq!(written["module.fedora-epel.directory"], json!("pub-epel"));
    assert_eq!(written["rsync.options"], json!(["--preallocate"]));
    assert_eq!(written["rsync.bwlimit"], json!("20m"));
    assert_eq!(written["rsync.address_family"], json!("ipv4"));
    assert_eq!((&written["restricted"], &written["rsync.retries"]), (&json!(true), &json!(2)));
    let other = show(3);
    assert_eq!(other["upstream"], json!("backup:/srv/pub"));
    assert_eq!((&other["list"], &other["extra_files"]), (&json!("list-$mdir"), &json!([])));
    assert_eq!(other["module.rocky.directory"], json!("rocky"));
    assert_eq!(other["module.rocky.checkin_category"], json!("Rocky Linux"));
    assert_eq!(other["module.rocky.checkin_prefix"], json!("rocky/pub"));
    assert_eq!(other["checkin.retries"], json!(3));
    let whole = show(4);
    assert_eq!((&whole["modules"], &whole["upstream"]), (&json!(["all"]), &json!("/net/upstream")));
}

#[test]
fn flags_are_stronger_than_the_file() {
    let home = Home::new();
    let file = home.write("mirror.conf", "DESTD=/srv/pub\n");
    let flags = ["config", "show", "--state=/var/lib/q", "--root=/srv/other", "--config"];
    assert!(home.output(&flags, &file).contains("/srv/other"));
    home.qfm(&["config", "check", "--config"]).arg(&file).assert().code(USAGE).stderr(contains("TIMEFILE: is missing"));
}

#[test]
fn what_was_read_is_told_before_any_interpretation() {
    let home = Home::new();
    let file = home.write("x", "A=1 B=(x 'y z')\nMODULEMAPPING=(a b)\nMODULES+=(c)\nexport C=\"$HOMES\"\nA=2");
    let read: Value = serde_json::from_str(&home.output(&["config", "import", "--assignments"], &file)).expect("JSON");
    assert_eq!(read, json!({"A": "2", "B": ["x", "y z"], "MODULEMAPPING": {"a": "b"}, "MODULES": ["c"], "C": ""}));
    let output = home.qfm(&["config", "import", "--assignments"]).arg(&file).output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "qfm: note: MODULES builds upon what is built in, which is left out here\n");
}

#[test]
fn each_slip_is_named_with_its_fix() {
    let home = Home::new();
    fs::create_dir(home.0.path().join("state")).expect("made");
    let state = home.0.path().join("state").display().to_string();
    for (more, place, what, fix) in [
        ("MODULES=$(cat /etc/modules)", "3:9", "`$(cat /etc/modules)` is a command", "write its result out"),
        ("MASTERMODULE = x", "3:1", "blanks around `=`", "write MASTERMODULE=x"),
        ("FILTEREXP=(foo|bar)", "3:15", "bare `|`", "single quotes"),
        ("FILTEREXP=foo|bar", "3:14", "bare `|`", "single quotes"),
        ("FILTEREXP='(a)\\1'", "3:11", "back-reference \\1 (character 4)", "write out"),
        ("FILELIST=\"list-$mdir\"", "3:16", "`$mdir`", "single quotes"),
        ("FILTEREX='x'", "3:1", "FILTEREX: there is no such key", "did you mean FILTEREXP?"),
        ("modules=(fedora-epel)", "3:1", "modules: there is no such key", "did you mean MODULES?"),
        ("MODULES=(fedora-epl)", "3:1", "no directory for fedora-epl", "did you mean fedora-epel?"),
        ("MODULES='fedora-epel fedora-alt'", "3:9", "takes a list", "write MODULES=(fedora-epel fedora-alt)"),
        (
            "MODULES=(fedora-epel, fedora-alt)",
            "3:1",
            "`fedora-epel,` is one item",
            "write MODULES=(fedora-epel fedora-alt)",
        ),
        ("M='fedora-epel fedora-alt'\nMODULES=($M)", "4:1", "is one item", "write MODULES=(fedora-epel fedora-alt)"),
        ("MODULES='fedora-epel, fedora-alt'", "3:9", "takes a list", "write MODULES=(fedora-epel fedora-alt)"),
        ("FILELIST='list-$dir'", "3:10", "a `$` that stands for nothing", "$mdir"),
        ("upstream = \"rsync://host/m\"", "3:1", "has blanks around `=`", "write REMOTE and MASTERMODULE here"),
        ("REMOTE=rsync://u:hunter2@host", "3:8", "REMOTE: `rsync://u:***@host", "--password-file=FILE into RSYNCOPTS"),
        ("DESTD=\"~/pub\"", "3:7", "DESTD: `~/pub` is not an absolute path", "does not expand `~` in quotes"),
        ("TIMEFILE='$HOME/time'", "3:10", "TIMEFILE: `$HOME/time` is not", "nothing in single quotes"),
        ("MAXRETRIES=x", "3:12", "`x` is no whole number", "MAXRETRIES=10"),
        ("MAXRETRIES=1002", "3:12", "`1002` is more than 1001", "MAXRETRIES=10"),
        ("MODULES=()", "3:1", "names no module", "write for example"),
        ("RSYNCTIMEOUT=10m", "3:14", "`10m` is no whole number", "RSYNCTIMEOUT=600"),
        ("RSYNCTIMEOUT=0", "3:14", "hang forever", "RSYNCTIMEOUT=600"),
        ("RSYNCOPTS=(-aSH --delete)", "3:1", "RSYNCOPTS: the option `--delete` is refused", "guard"),
        ("RSYNCOPTS='-aSH --stats'", "3:11", "takes a list", "RSYNCOPTS=(-aSH --stats)"),
        ("VERBOSE=10", "3:9", "more than 9", "0 to 9"),
        ("export RSYNC_PASSWORD=hunter2", "3:8", "qfm sets no variables", "--password-file"),
        ("DESTD=$NOTHING/pub", "3:7", "DESTD: NOTHING is not set", "${NOTHING:-}"),
        ("b=$NOTHING/x\nLOGFILE=$b/log", "3:3", "LOGFILE: NOTHING is not set", "set NOTHING before"),
        ("MODULES+=($NOTHING)", "3:11", "MODULES: NOTHING is not set", "${NOTHING:-}"),
        ("DESTD=", "3:1", "DESTD: is empty", "DESTD=/srv/mirror/pub"),
        ("DESTD=relative", "3:7", "DESTD: `relative` is not an absolute path", ""),
        ("LOGFILE=/srv/pub/epel/log", "3:9", "LOGFILE: lies in", "published"),
        (&format!("TIMEFILE={state}"), "3:10", "TIMEFILE: ", "is a directory"),
        (&format!("LOGFILE={state}"), "3:9", "LOGFILE: ", "name a file, such as /"),
    ] {
        let says = home.refused(&format!("{MINIMAL}{more}\n"));
        assert_eq!(says.matches("error: ").count(), 1, "{more}\n{says}");
        assert!(says.contains(&format!("error: {place}: ")), "{more}\n{says}");
        assert!(says.contains(what) && says.contains(fix) && !says.contains("hunter2"), "{more}\n{says}");
    }
    let missing = home.refused("MODULES=(fedora-epel)\n");
    assert!(missing.contains("DESTD: is missing") && missing.contains("TIMEFILE: is missing"), "{missing}");
}

#[test]
fn an_import_refuses_a_directory_in_place_of_a_file() {
    let home = Home::new();
    for key in ["TIMEFILE", "LOGFILE"] {
        let file = home.write("mirror.conf", &format!("{MINIMAL}{key}={}\n", home.0.path().display()));
        let named = contains(format!("{key}: {} is a directory", home.0.path().display())).and(contains("name a file"));
        home.qfm(&["config", "import"]).arg(&file).assert().code(USAGE).stderr(named);
    }
}

#[test]
fn a_toml_file_with_the_old_keys_is_told_the_settings() {
    let home = Home::new();
    for (text, hint) in [
        ("DESTD=/srv/pub\n", "write root here"),
        ("MODULES+=(fedora-alt)\n", "write modules here"),
        ("DESTD=\"/srv/pub\"\n", "DESTD is a key of quick-fedora-mirror; write root here"),
        ("MASTERMODULE=\"m\"\n", "write upstream here"),
        ("MIRRORBUFFET=1\n", "write modules = \"all\" here"),
    ] {
        let file = home.write("a.toml", text);
        home.qfm(&["config", "check", "--config"]).arg(&file).assert().code(USAGE).stderr(contains(hint));
    }
}

#[test]
fn what_is_probably_a_mistake_is_warned_of() {
    let home = Home::new();
    for (more, what) in [
        ("PREBITFLIP=no\n", "PREBITFLIP: `no` means on here"),
        ("PREBITFLIP=0\n", "`0` means on here"),
        ("KEEPDIRTIMES=False\n", "`False` means on here"),
        ("FILTEREXP=.*\\.iso\n", "what is left is `.*.iso`"),
        ("FOO=1\n", "FOO: means nothing"),
        ("upstream=rsync://host/m\n", "write REMOTE and MASTERMODULE here"),
        ("CURL=/usr/bin/curl\n", "CURL: is not used"),
        ("CHECKIN_HOST=x$NOTHING\n", "NOTHING is not set"),
        ("LOGITEMS=xyz\n", "`x` means nothing"),
        ("# x\r\n", "CR LF"),
    ] {
        let said = home.warned(more);
        assert!(said.contains("warning: ") && said.contains(what), "{more}\n{said}");
    }
    assert!(
        !home
            .warned("PREBITFLIP=\nTMPDIR=${NOTHING:-}\nFILTEREXP='a*'\nbase=/x\nLOGFILE=$base/log\n")
            .contains("warning")
    );
}

#[test]
fn the_old_places_come_after_our_own() {
    let home = Home::new();
    if Path::new(qfm::config::SYSTEM_FILE).exists() || Path::new(qfm::config::OLD_SYSTEM_FILE).exists() {
        return;
    }
    home.write("quick-fedora-mirror.conf", MINIMAL);
    home.qfm(&["config", "check"]).assert().code(USAGE).stderr(contains("no configuration file"));
    home.write(".config/quick-fedora-mirror.conf", MINIMAL);
    home.qfm(&["config", "check"]).assert().success().stdout(contains(".config/quick-fedora-mirror.conf is good"));
    let toml = "upstream = \"rsync://host/m\"\nroot = \"/srv/pub\"\nmodules = [\"fedora-epel\"]\n";
    home.write(".config/qfm/qfm.toml", toml);
    home.qfm(&["config", "check"]).assert().success().stdout(contains("qfm.toml is good"));
}

#[test]
fn the_kind_of_a_file_is_told_by_name_or_content() {
    let home = Home::new();
    let good = |name: &str, text: &str| {
        let file = home.write(name, text);
        home.qfm(&["config", "check", "--config"]).arg(&file).assert().success().stdout(contains("is good"));
    };
    good("a", MINIMAL);
    good("a.conf", &format!("# x\nbase=/srv\n  export {MINIMAL}"));
    good("b.conf", "upstream=\"rsync://host/m\"\nroot=\"/srv/pub\"\nmodules=[\"fedora-epel\"]\n");
    let toml = home.write("a.toml", MINIMAL);
    let not_toml = contains("not TOML").and(contains("a.toml:1:"));
    home.qfm(&["config", "check", "--config"]).arg(&toml).assert().code(USAGE).stderr(not_toml);
}

#[test]
fn nothing_in_it_is_run() {
    let home = Home::new();
    let mark = home.0.path().join("run");
    let touch = format!("touch {}", mark.display());
    for text in [
        "X=$(CMD)",
        "X=`CMD`",
        "CMD",
        "X=1; CMD",
        "X=${Y:-$(CMD)}",
        "X=$((`CMD`))",
        "if CMD; then X=1; fi",
        "eval 'CMD'",
    ] {
        home.refused(&format!("{MINIMAL}{}\n", text.replace("CMD", &touch)));
        assert!(!mark.exists(), "{text}");
    }
}
