//! Assignments → settings, and what no setting stands for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::checkin;
use super::super::error::{Origin, Problem, Wrong};
use super::super::layers::{Environment, Settings};
use super::super::secret::mask_options;
use super::super::setting::{self, Kind};
use super::super::shell::{Assigned, Assignments, Value};
use super::super::value::Value as Set;
use super::key::{self, HOST_OF_MODULE, Shape};
use super::{Old, at, options, origin};
use crate::config::BUILT_IN;
use crate::plan::filter::posix;

/// Words by which people mean "off", where any word means "on".
const MEANT_OFF: [&str; 7] = ["0", "no", "n", "false", "off", "none", "disabled"];

/// The directory of a module in a name, as a shell may have it and as it is read.
const BRACED: &str = "${mdir}";
const PLAIN: &str = "$mdir";

/// The keys that decide what is written and deleted.
const DECIDING: [&str; 12] = [
    "DESTD",
    "TIMEFILE",
    "REMOTE",
    "MASTERMODULE",
    "MODULES",
    "MODULEMAPPING",
    "FILELIST",
    "EXTRAFILES",
    "FILTEREXP",
    "RSYNCOPTS",
    "LOGFILE",
    "TMPDIR",
];

/// What else a file says besides settings.
#[derive(Clone, Debug)]
pub(in super::super) struct Translated {
    /// What no setting stands for.
    pub old: Old,
    /// What is allowed and probably a mistake.
    pub warnings: Vec<Problem>,
    /// The whole buffet is mirrored: all modules, and what lies beside them.
    pub whole_buffet: bool,
    /// The modules are named one by one.
    pub names_modules: bool,
    /// What was read.
    pub assigned: BTreeMap<String, Assigned>,
    /// The key that each setting was made of.
    written: BTreeMap<String, &'static str>,
    path: PathBuf,
}

/// Lays an old file over the settings. `None` if it is refused.
pub(in super::super) fn translate(
    bytes: &[u8],
    path: &Path,
    environment: &Environment,
    settings: &mut Settings,
    problems: &mut Vec<Problem>,
) -> Option<Translated> {
    let defaults = key::defaults();
    let read = match super::assignments(bytes, path, environment, &defaults) {
        Ok(read) => read,
        Err(refused) => {
            problems.extend(refused);
            return None;
        }
    };
    let mut translator = Translator {
        path,
        read: &read,
        defaults: &defaults,
        settings,
        written: BTreeMap::new(),
        warnings: read.warnings.iter().map(|warning| at(warning, path)).collect(),
        problems: Vec::new(),
    };
    translator.names();
    translator.sources();
    translator.modules();
    translator.transfer();
    translator.filter();
    translator.check_in();
    let old = translator.old();
    let whole_buffet = translator.flag("MIRRORBUFFET");
    let Translator { written, mut warnings, problems: mut found, .. } = translator;
    warnings.sort_by_key(|problem| place(&problem.origin));
    found.sort_by_key(|problem| place(&problem.origin));
    problems.extend(found);
    let names_modules = settings.list("modules").is_none_or(|names| names != ["all"]);
    let path = path.to_path_buf();
    Some(Translated { old, warnings, whole_buffet, names_modules, assigned: read.names, written, path })
}

impl Translated {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What must be said, and is said neither here nor by a stronger source.
    pub fn require(&self, settings: &mut Settings, problems: &mut Vec<Problem>) {
        for (setting, name, example) in [
            ("root", "DESTD", "DESTD=/srv/mirror/pub"),
            ("state", "TIMEFILE", "TIMEFILE=/var/lib/mirror/quick-fedora-mirror-timefile"),
        ] {
            if settings.origin(setting) == Origin::Default && !settings.is_spoilt(setting) {
                let (what, at) = match self.assigned.get(name) {
                    Some(assigned) => ("is empty".to_string(), origin(&self.path, assigned.name_at)),
                    None => (format!("is missing in {}", self.path.display()), Origin::Default),
                };
                problems.push(Wrong::new(what, format!("write for example `{example}`")).at(at, name));
                settings.spoil(setting);
            }
        }
    }

    /// Names faults of settings by the keys that the admin wrote.
    pub fn rename(&self, problems: &mut [Problem]) {
        for problem in problems {
            let is_here = matches!(&problem.origin, Origin::File { path, .. } if *path == self.path);
            if let Some(name) = self.written.get(&problem.key).filter(|_| is_here) {
                problem.key = name.to_string();
            }
        }
    }
}

fn place(origin: &Origin) -> (usize, usize) {
    match origin {
        Origin::File { line, column, .. } => (*line, *column),
        _ => (0, 0),
    }
}

struct Translator<'a> {
    path: &'a Path,
    read: &'a Assignments,
    defaults: &'a BTreeMap<String, Value>,
    settings: &'a mut Settings,
    written: BTreeMap<String, &'static str>,
    warnings: Vec<Problem>,
    problems: Vec<Problem>,
}

impl Translator<'_> {
    fn assigned(&self, name: &str) -> Option<&Assigned> {
        self.read.names.get(name)
    }

    fn origin(&self, name: &str) -> Origin {
        self.assigned(name).map_or(Origin::Default, |assigned| origin(self.path, assigned.at))
    }

    /// A key that says several settings is at fault once.
    fn fault(&mut self, name: &str, what: impl Into<String>, hint: impl Into<String>) {
        let problem = Wrong::new(what, hint).at(self.origin(name), name);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn warn(&mut self, name: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(Wrong::new(what, hint).at(self.origin(name), name));
    }

    /// Names that mean nothing, and values of the wrong shape.
    fn names(&mut self) {
        for (name, assigned) in &self.read.names {
            let known = key::find(name);
            let at = origin(self.path, assigned.name_at);
            if let Some(key) = known {
                self.shape(key.name, key.shape, &assigned.value);
                for (lacking, at) in assigned.lacks.iter().filter(|_| DECIDING.contains(&key.name)) {
                    let what =
                        format!("{lacking} is not set, and what it leaves out decides what is written or deleted");
                    let hint = format!("set {lacking} before, or write ${{{lacking}:-}} if it may be empty");
                    self.problems.push(Wrong::new(what, hint).at(origin(self.path, *at), name));
                }
            } else if let Some(of) = name.strip_prefix(HOST_OF_MODULE).filter(|module| !module.is_empty()) {
                self.shape(name, Shape::Text, &assigned.value);
                if !self.list("MODULES").iter().any(|module| module.replace('-', "_") == of) {
                    let hint = "write the module as in MODULES, each - as _; or take the line away";
                    self.warn(name, "names no module of MODULES, and is not used", hint);
                }
            } else if assigned.exported && name.starts_with("RSYNC_") {
                let what = format!("{name} is meant for rsync, and qfm sets no variables");
                let hint = match name.as_str() {
                    "RSYNC_PASSWORD" => {
                        "write the password into a file that nobody else can read, and --password-file=FILE into RSYNCOPTS"
                    }
                    _ => "set it where qfm is started, for example in its systemd unit or crontab",
                };
                self.problems.push(Wrong::new(what, hint).at(at, ""));
            } else if !self.read.used.contains(name) {
                match key::meant(name).filter(|_| !assigned.exported) {
                    Some(meant) => {
                        // The name is no key of the problem: it may be that of a setting, and would be shown as another.
                        let wrong =
                            Wrong::new(format!("{name}: there is no such key"), format!("did you mean {meant}?"));
                        self.problems.push(wrong.at(at, ""));
                    }
                    None => {
                        let hint = match key::instead_of(name) {
                            Some(keys) => format!("it is a setting of TOML files; write {keys} here"),
                            None => "leave it out".to_string(),
                        };
                        let wrong = Wrong::new("means nothing to quick-fedora-mirror or qfm, and is ignored", hint);
                        self.warnings.push(wrong.at(at, name));
                    }
                }
            }
        }
    }

    fn shape(&mut self, name: &str, shape: Shape, value: &Value) {
        match (shape, value) {
            (Shape::Text | Shape::Number, Value::Array(_)) => {
                self.fault(name, "takes one text, and is given a list", format!("write {name}='…'"));
            }
            (Shape::List, Value::Scalar(text)) if text.contains(char::is_whitespace) => {
                let items = match name {
                    "RSYNCOPTS" => {
                        mask_options(&text.split_whitespace().map(str::to_string).collect::<Vec<_>>()).join(" ")
                    }
                    "MODULES" => names_in(text).collect::<Vec<_>>().join(" "),
                    _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
                };
                let what = "takes a list, and is given one text with blanks, which zsh does not split";
                self.fault(name, what, format!("write {name}=({items})"));
            }
            (Shape::Flag, Value::Scalar(text)) if MEANT_OFF.contains(&text.to_lowercase().as_str()) => {
                let what = format!("`{text}` means on here, as every text that is not empty");
                self.warn(name, what, format!("to switch it off write {name}= with nothing behind, or leave it out"));
            }
            _ => {}
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.assigned(name).map(|assigned| &assigned.value).or_else(|| self.defaults.get(name))
    }

    /// The text of a key; `None` where it is empty or not said.
    fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Scalar(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::Array(items)) => items.clone(),
            // One with blanks was found at fault; its words are no faults besides.
            Some(Value::Scalar(text)) => text.split_whitespace().map(str::to_string).collect(),
            _ => Vec::new(),
        }
    }

    fn pairs(&self, name: &str) -> BTreeMap<String, String> {
        match self.value(name) {
            Some(Value::Association(pairs)) => pairs.clone(),
            _ => BTreeMap::new(),
        }
    }

    fn flag(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Scalar(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Association(pairs)) => !pairs.is_empty(),
            None => false,
        }
    }

    /// The number of a key, the default's where it is empty or not said.
    fn number(&mut self, name: &str, example: &str) -> Option<u64> {
        let text = self.text(name).or_else(|| match self.defaults.get(name) {
            Some(Value::Scalar(text)) => Some(text),
            _ => None,
        })?;
        match text.trim().parse() {
            Ok(number) => Some(number),
            Err(_) => {
                let what = format!("`{text}` is no whole number");
                self.fault(name, what, format!("write for example {name}={example}"));
                None
            }
        }
    }

    /// How often something is done at most → how often it is done again: the first try is no retry.
    fn tries(&mut self, setting: &str, name: &'static str) {
        const MOST: u64 = 1001;
        match self.number(name, "10") {
            Some(tries @ 0..=MOST) => self.set(setting, &tries.saturating_sub(1).to_string(), name),
            Some(tries) => {
                self.settings.spoil(setting);
                self.fault(name, format!("`{tries}` is more than {MOST}"), format!("write for example {name}=10"));
            }
            None => {}
        }
    }

    /// A setting from its text, checked as on the command line.
    fn set(&mut self, setting: &str, text: &str, name: &'static str) {
        self.written.insert(setting.to_string(), name);
        let Some(known) = setting::find(setting) else { return };
        match known.read_flags(&[text.to_string()]) {
            Ok(value) => self.settings.set(setting, value, self.origin(name)),
            Err(wrong) => {
                self.settings.spoil(setting);
                let hint = match known.kind {
                    Kind::Path | Kind::Program if text.starts_with('~') => {
                        "zsh does not expand `~` in quotes: write it without, or write the path out".to_string()
                    }
                    Kind::Path | Kind::Program if text.starts_with('$') => {
                        "zsh expands nothing in single quotes: take double ones, or write the path out".to_string()
                    }
                    // Time spans are numbers of seconds here.
                    Kind::Duration { .. } => String::new(),
                    _ => wrong
                        .hint
                        .replace("name it in rsync.password_file", "write --password-file=FILE into RSYNCOPTS"),
                };
                self.problems.push(Wrong::new(wrong.what, hint).at(self.origin(name), name));
            }
        }
    }

    fn set_list(&mut self, setting: &str, items: Vec<String>, name: &'static str) {
        self.written.insert(setting.to_string(), name);
        if items.iter().any(|item| item.contains(|c: char| c.is_control() && c != '\t')) {
            self.settings.spoil(setting);
            self.fault(name, "has a control character", "leave it out");
            return;
        }
        self.settings.set(setting, Set::List(items), self.origin(name));
    }

    /// Where everything comes from and goes to.
    fn sources(&mut self) {
        if let Some(root) = self.text("DESTD").map(str::to_string) {
            self.set("root", &root, "DESTD");
        }
        if let Some(file) = self.text("TIMEFILE").map(str::to_string) {
            if file.ends_with('/') {
                self.settings.spoil("state");
                let what = format!("`{file}` is a directory");
                self.fault("TIMEFILE", what, format!("name a file, such as TIMEFILE={file}timefile"));
            } else {
                self.set("time_file", &file, "TIMEFILE");
                if self.settings.is_spoilt("time_file") {
                    self.settings.spoil("state");
                } else {
                    self.set("state", &format!("{file}.qfm"), "TIMEFILE");
                }
            }
        }
        let remote = self.text("REMOTE").or(self.default_text("REMOTE")).unwrap_or_default();
        let remote = remote.trim_end_matches('/').to_string();
        let master = self.text("MASTERMODULE").unwrap_or_default().trim_matches('/').to_string();
        // `host::` stands right before the module, all else is a directory above it.
        let upstream = match (remote.ends_with("::") || remote.ends_with(':'), master.is_empty()) {
            (_, true) => remote,
            (true, false) => format!("{remote}{master}"),
            (false, false) => format!("{remote}/{master}"),
        };
        let name = if self.assigned("REMOTE").is_some() { "REMOTE" } else { "MASTERMODULE" };
        self.set("upstream", &upstream, name);
    }

    fn default_text(&self, name: &str) -> Option<&str> {
        match self.defaults.get(name) {
            Some(Value::Scalar(text)) => Some(text),
            _ => None,
        }
    }

    /// The names in `MODULES`. What zsh takes for one item, and is several names, is found at fault.
    fn module_names(&mut self, mapping: &BTreeMap<String, String>) -> Vec<String> {
        let items = self.list("MODULES");
        let is_several = |item: &&String| names_in(item).ne([item.as_str()]) && !mapping.contains_key(*item);
        let Some(several) = items.iter().find(is_several) else { return items };
        let names: Vec<_> = items.iter().flat_map(|item| names_in(item)).map(str::to_string).collect();
        let was_told = matches!(self.value("MODULES"), Some(Value::Scalar(text)) if text.contains(char::is_whitespace));
        if !was_told {
            let what = format!("`{several}` is one item: only blanks that stand bare in the list separate items");
            self.fault("MODULES", what, format!("write MODULES=({})", names.join(" ")));
        }
        names
    }

    /// What is mirrored.
    fn modules(&mut self) {
        let mapping = self.pairs("MODULEMAPPING");
        let whole = self.flag("MIRRORBUFFET");
        let is_built_in = mapping.len() == BUILT_IN.len()
            && BUILT_IN.iter().all(|(module, directory)| mapping.get(*module).is_some_and(|found| found == directory));
        let (name, names) = match whole {
            true if is_built_in => ("MIRRORBUFFET", vec!["all".to_string()]),
            true => ("MIRRORBUFFET", mapping.keys().cloned().collect()),
            false => ("MODULES", self.module_names(&mapping)),
        };
        if names.is_empty() {
            self.fault("MODULES", "names no module", "write for example MODULES=(fedora-enchilada fedora-epel)");
            self.settings.spoil("modules");
        }
        for module in names.iter().filter(|module| *module != "all") {
            match mapping.get(module) {
                Some(directory) if BUILT_IN.contains(&(module, directory)) => {}
                Some(directory) => {
                    let directory = directory.clone();
                    self.set(&format!("module.{module}.directory"), &directory, "MODULEMAPPING");
                }
                None => {
                    let hint = match setting::nearest(module, mapping.keys().map(String::as_str)) {
                        Some(nearest) => {
                            format!("did you mean {nearest}? Else write MODULEMAPPING+=({module} directory)")
                        }
                        None => format!("write MODULEMAPPING+=({module} directory)"),
                    };
                    self.fault("MODULES", format!("MODULEMAPPING has no directory for {module}"), hint);
                    self.settings.spoil(&format!("module.{module}.directory"));
                }
            }
        }
        if !names.is_empty() {
            self.set_list("modules", names, name);
        }
        if self.flag("PREBITFLIP") {
            self.set("restricted", "true", "PREBITFLIP");
        }
        let list = self.text("FILELIST").or(self.default_text("FILELIST")).unwrap_or_default();
        let list = list.replace(BRACED, PLAIN);
        self.set("list", &list, "FILELIST");
        let extra_files = self.list("EXTRAFILES").iter().map(|file| file.replace(BRACED, PLAIN)).collect();
        self.set_list("extra_files", extra_files, "EXTRAFILES");
    }

    /// How it is fetched, and what is said about it.
    fn transfer(&mut self) {
        // The default is looked up in PATH: it need not be in /usr/bin.
        if self.assigned("RSYNC").is_some()
            && let Some(program) = self.text("RSYNC").map(str::to_string)
        {
            self.set("rsync.program", &program, "RSYNC");
        }
        if self.assigned("CURL").is_some_and(|assigned| assigned.value != Value::Scalar(String::new())) {
            self.warn("CURL", "is not used: qfm speaks HTTP itself", "leave it out");
        }
        match self.number("RSYNCTIMEOUT", "600") {
            Some(0) => {
                self.settings.spoil("rsync.timeout");
                let what = "`0` would let a call of rsync hang forever, and qfm ends every call";
                self.fault("RSYNCTIMEOUT", what, "write the longest silence in seconds, for example RSYNCTIMEOUT=600");
            }
            Some(seconds) => self.set("rsync.timeout", &format!("{seconds}s"), "RSYNCTIMEOUT"),
            None => {}
        }
        self.tries("rsync.retries", "MAXRETRIES");
        if let Some(seconds) = self.number("WARNDELAY", "86400") {
            self.set("warn_after", &format!("{seconds}s"), "WARNDELAY");
        }
        if let Some(file) = self.text("LOGFILE").map(str::to_string) {
            self.set("log_file", &file, "LOGFILE");
        }
        let said = options::read(&self.list("RSYNCOPTS"));
        for (setting, text) in said.settings {
            self.set(setting, &text, "RSYNCOPTS");
        }
        self.set_list("rsync.options", said.options, "RSYNCOPTS");
    }

    fn filter(&mut self) {
        let Some(expression) = self.text("FILTEREXP").map(str::to_string) else { return };
        if self.assigned("FILTEREXP").is_some_and(|assigned| assigned.bare_pattern) {
            let what = format!("stands without quotes: zsh takes backslashes away, and what is left is `{expression}`");
            self.warn("FILTEREXP", what, "write FILTEREXP='…', with single quotes");
        }
        match posix::to_regex(&expression) {
            Ok(_) => self.set_list("filter.exclude", vec![format!("{}{expression}", posix::PREFIX)], "FILTEREXP"),
            Err(wrong) => {
                self.settings.spoil("filter.exclude");
                self.fault("FILTEREXP", format!("`{expression}`: {wrong}"), wrong.hint);
            }
        }
    }

    /// Who checks in with MirrorManager, where, and as what.
    fn check_in(&mut self) {
        for (name, setting) in [
            ("CHECKIN_SITE", "checkin.site"),
            ("CHECKIN_PASSWORD", "checkin.password"),
            ("CHECKIN_HOST", "checkin.host"),
        ] {
            if let Some(text) = self.text(name).map(str::to_string) {
                self.set(setting, &text, name);
            }
        }
        if let Some(endpoint) = self.text("MIRRORMANAGER").map(str::to_string) {
            if checkin::is_retired(&endpoint) {
                let hint = "take it away: the address that answers today is built in";
                self.warn("MIRRORMANAGER", "is an address that answers no more, and is not used", hint);
            } else {
                self.set("checkin.endpoint", &endpoint, "MIRRORMANAGER");
            }
        }
        for name in ["MAXCHECKINRETRIES", "MAXRETRIES"] {
            if self.assigned(name).is_some() {
                self.tries("checkin.retries", name);
                break;
            }
        }
        let (categories, prefixes) = (self.pairs("MIRRORMANAGERMAPPING"), self.pairs("MIRRORMANAGERMODULEMAPPING"));
        for module in self.list("MODULES") {
            let built_in = checkin::built_in(&module);
            let host = format!("{HOST_OF_MODULE}{}", module.replace('-', "_"));
            if let Some(host) = self.text(&host).map(str::to_string) {
                self.set(&format!("module.{module}.checkin_host"), &host, HOST_OF_MODULE);
            }
            let category = categories.get(&module);
            if let Some(category) =
                category.filter(|it| built_in.is_none_or(|(name, _)| !it.eq_ignore_ascii_case(name)))
            {
                self.set(&format!("module.{module}.checkin_category"), category, "MIRRORMANAGERMAPPING");
            }
            let prefix = prefixes.get(&module);
            if let Some(prefix) = prefix.filter(|it| built_in.is_none_or(|(_, place)| **it != place)) {
                self.set(&format!("module.{module}.checkin_prefix"), prefix, "MIRRORMANAGERMODULEMAPPING");
            }
        }
    }

    /// What no setting stands for.
    fn old(&mut self) -> Old {
        let verbose = match self.number("VERBOSE", "1") {
            Some(level @ 0..=9) => level as u8,
            Some(level) => {
                self.fault("VERBOSE", format!("`{level}` is more than 9"), "write a number from 0 to 9");
                0
            }
            None => 0,
        };
        const LETTERS: &str = "@aAcCdDeEgklLmMnNopPrRsS";
        let log_items = match self.assigned("LOGITEMS") {
            Some(_) => self.text("LOGITEMS").unwrap_or_default().to_string(),
            None => self.default_text("LOGITEMS").unwrap_or_default().to_string(),
        };
        if let Some(letter) = log_items.chars().find(|letter| !LETTERS.contains(*letter)) {
            self.warn("LOGITEMS", format!("`{letter}` means nothing"), format!("the letters are {LETTERS}"));
        }
        let owned = |translator: &Self, name: &str| translator.text(name).map(str::to_string);
        Old {
            time_file: owned(self, "TIMEFILE").map(PathBuf::from).unwrap_or_default(),
            verbose,
            log_items,
            log_journal: self.flag("LOGJOURNAL"),
            keep_dir_times: self.flag("KEEPDIRTIMES"),
            no_recovery: self.flag("NORSYNCRECOVERY"),
            rsync_options: self.assigned("RSYNCOPTS").map(|_| self.list("RSYNCOPTS")),
            temporary: owned(self, "TMPDIR").map(PathBuf::from),
        }
    }
}

/// The names in a text that people may take for several.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty())
}

/// The keys that stand for settings are all read somewhere.
#[cfg(test)]
#[test]
fn every_key_is_read() {
    let source = include_str!("translate.rs");
    for key in &key::KEYS {
        assert!(source.contains(&format!("\"{}\"", key.name)), "{} is not read", key.name);
    }
}
