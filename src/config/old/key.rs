//! The keys of the old configuration, and what they stand for.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::setting::nearest;
use super::super::shell::Value;

/// The name of the file, wherever it lies.
pub const NAME: &str = "quick-fedora-mirror.conf";

/// One key.
pub(super) struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value must be.
    pub shape: Shape,
}

/// What the value of a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One text.
    Text,
    /// A whole number.
    Number,
    /// On if there is anything.
    Flag,
    /// Texts.
    List,
    /// Keys with values.
    Pairs,
}

/// The keys whose values are associations.
pub(super) const ASSOCIATIONS: [&str; 3] = ["MODULEMAPPING", "MIRRORMANAGERMAPPING", "MIRRORMANAGERMODULEMAPPING"];

/// What a key for each module begins with.
pub(super) const HOST_OF_MODULE: &str = "CHECKIN_HOST_";

const fn key(name: &'static str, shape: Shape) -> Key {
    Key { name, shape }
}

/// All keys.
pub(super) const KEYS: [Key; 31] = [
    key("DESTD", Shape::Text),
    key("TIMEFILE", Shape::Text),
    key("REMOTE", Shape::Text),
    key("MASTERMODULE", Shape::Text),
    key("PREBITFLIP", Shape::Flag),
    key("MIRRORBUFFET", Shape::Flag),
    key("MODULES", Shape::List),
    key("MODULEMAPPING", Shape::Pairs),
    key("MIRRORMANAGERMAPPING", Shape::Pairs),
    key("MIRRORMANAGERMODULEMAPPING", Shape::Pairs),
    key("FILELIST", Shape::Text),
    key("EXTRAFILES", Shape::List),
    key("RSYNC", Shape::Text),
    key("CURL", Shape::Text),
    key("RSYNCTIMEOUT", Shape::Number),
    key("RSYNCOPTS", Shape::List),
    key("MAXRETRIES", Shape::Number),
    key("MAXCHECKINRETRIES", Shape::Number),
    key("NORSYNCRECOVERY", Shape::Flag),
    key("KEEPDIRTIMES", Shape::Flag),
    key("FILTEREXP", Shape::Text),
    key("CHECKIN_SITE", Shape::Text),
    key("CHECKIN_PASSWORD", Shape::Text),
    key("CHECKIN_HOST", Shape::Text),
    key("MIRRORMANAGER", Shape::Text),
    key("VERBOSE", Shape::Number),
    key("LOGJOURNAL", Shape::Flag),
    key("LOGFILE", Shape::Text),
    key("LOGITEMS", Shape::Text),
    key("WARNDELAY", Shape::Number),
    key("TMPDIR", Shape::Text),
];

/// The key of a name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that was probably meant.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    nearest(&name.to_uppercase(), KEYS.iter().map(|key| key.name))
}

/// The settings that keys stand for, each with what is written here.
const SETTINGS: [(&str, &str); 24] = [
    ("root", "DESTD"),
    ("time_file", "TIMEFILE"),
    ("state", "TIMEFILE"),
    ("upstream", "REMOTE and MASTERMODULE"),
    ("restricted", "PREBITFLIP"),
    ("modules", "MODULES"),
    ("module.NAME.directory", "MODULEMAPPING"),
    ("module.NAME.checkin_category", "MIRRORMANAGERMAPPING"),
    ("module.NAME.checkin_prefix", "MIRRORMANAGERMODULEMAPPING"),
    ("list", "FILELIST"),
    ("extra_files", "EXTRAFILES"),
    ("filter.exclude", "FILTEREXP"),
    ("rsync.program", "RSYNC"),
    ("rsync.timeout", "RSYNCTIMEOUT"),
    ("rsync.options", "RSYNCOPTS"),
    ("rsync.retries", "MAXRETRIES"),
    ("checkin.retries", "MAXCHECKINRETRIES"),
    ("checkin.site", "CHECKIN_SITE"),
    ("checkin.password_file", "CHECKIN_PASSWORD"),
    ("checkin.host", "CHECKIN_HOST"),
    ("checkin.endpoint", "MIRRORMANAGER"),
    ("log_file", "LOGFILE"),
    ("warn_after", "WARNDELAY"),
    ("modules = \"all\"", "MIRRORBUFFET"),
];

/// What to write instead of a setting, which is named in full or without its table.
pub(super) fn instead_of(setting: &str) -> Option<&'static str> {
    let is_it = |full: &str| full == setting || full.rsplit_once('.').is_some_and(|(_, leaf)| leaf == setting);
    SETTINGS.iter().find(|(full, _)| is_it(full)).map(|(_, keys)| *keys)
}

/// The setting to write instead of a key.
pub fn setting_for(key: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|(_, keys)| keys.split(" and ").any(|name| name == key)).map(|(setting, _)| *setting)
}

/// What the keys are before the file says anything.
pub fn defaults() -> BTreeMap<String, Value> {
    let text = |text: &str| Value::Scalar(text.to_string());
    let list = |items: &[&str]| Value::Array(items.iter().map(ToString::to_string).collect());
    let pairs = |pairs: &[(&str, &str)]| {
        Value::Association(pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
    };
    let directories = super::super::BUILT_IN;
    let prefixes = directories.map(|(module, directory)| match module {
        "fedora-enchilada" => (module, "fedora/linux"),
        _ => (module, directory),
    });
    let categories = [
        ("fedora-alt", "fedora other"),
        ("fedora-archive", "fedora archive"),
        ("fedora-enchilada", "fedora linux"),
        ("fedora-epel", "fedora epel"),
        ("fedora-secondary", "fedora secondary arches"),
    ];
    [
        ("REMOTE", text("rsync://dl.fedoraproject.org")),
        ("MASTERMODULE", text("fedora-buffet")),
        ("MODULES", list(&["fedora-enchilada", "fedora-epel"])),
        ("MODULEMAPPING", pairs(&directories)),
        ("MIRRORMANAGERMAPPING", pairs(&categories)),
        ("MIRRORMANAGERMODULEMAPPING", pairs(&prefixes)),
        ("FILELIST", text("fullfiletimelist-$mdir")),
        ("EXTRAFILES", list(&["fullfilelist", "imagelist-$mdir"])),
        ("RSYNC", text("/usr/bin/rsync")),
        ("CURL", text("/usr/bin/curl")),
        ("RSYNCTIMEOUT", text("600")),
        ("MAXRETRIES", text("10")),
        ("MIRRORMANAGER", text("https://mirrormanager.fedoraproject.org/xmlrpc")),
        ("VERBOSE", text("0")),
        ("LOGITEMS", text("aeElrR")),
        ("WARNDELAY", text("86400")),
        ("RSYNCOPTS", list(&["-aSH", "-f", "R .~tmp~", "--stats", "--delay-updates", "--out-format=@ %i %10l  %n%L"])),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect()
}

/// Whether a file is one of the old configuration.
///
/// A name that ends in `.toml` is not, the old tool's own name is; of others the content tells: no TOML file has a line that
/// begins with one of the old keys.
pub fn is_old(path: &Path, bytes: &[u8]) -> bool {
    if path.extension().is_some_and(|extension| extension == "toml") {
        return false;
    }
    path.file_name().is_some_and(|name| name == NAME)
        || String::from_utf8_lossy(bytes).split(['\n', ';']).any(begins_with_key)
}

fn begins_with_key(line: &str) -> bool {
    let mut words = line.trim_start_matches('\u{feff}').split_whitespace();
    let name = |word: &str| word.split(['=', '+', '[']).next().unwrap_or_default().to_string();
    let Some(first) = words.next() else { return false };
    let first = match first {
        "export" | "typeset" | "declare" | "readonly" => words.find(|word| !word.starts_with('-')).unwrap_or_default(),
        first => first,
    };
    find(&name(first)).is_some()
}

#[cfg(test)]
#[test]
fn each_key_and_each_setting_that_stand_for_each_other_are_there() {
    use super::super::setting;
    for (setting, keys) in SETTINGS {
        let (name, _) = setting.split_once(" = ").unwrap_or((setting, ""));
        assert!(setting::find(name).is_some(), "{setting}");
        for key in keys.split(" and ") {
            assert!(find(key).is_some(), "{key}");
        }
    }
    assert_eq!((instead_of("timeout"), setting_for("MASTERMODULE")), (Some("RSYNCTIMEOUT"), Some("upstream")));
}
