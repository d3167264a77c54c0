//! Settings → [`Config`]: what only shows when all values are known together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Origin, Problem, Wrong};
use super::layers::{Environment, Settings};
use super::setting::{self, SETTINGS};
use super::{
    AddressFamily, Config, Delete, DeleteMode, Lists, Module, Progress, Published, Rsync, Space, Upstream, hook,
    levels, listen, options,
};
use crate::plan::filter::Term;

/// Fedora's modules and their directories.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("fedora-enchilada", "fedora"),
    ("fedora-epel", "epel"),
    ("fedora-archive", "archive"),
    ("fedora-secondary", "fedora-secondary"),
    ("fedora-alt", "alt"),
];

/// `modules = "all"`.
const ALL: &str = "all";

/// How long deletions wait if the settings say that they do, and not how long.
const GRACE: Duration = Duration::from_secs(2 * 3600);

/// What the whole buffet has beside the modules' directories.
pub(super) const TOP_FILE: &str = "DIRECTORY_SIZES.txt";

/// Parts of fedora-enchilada that upstream offers as modules of their own.
const PARTS_OF_ENCHILADA: [&str; 3] = ["fedora-linux-releases", "fedora-linux-development", "fedora-linux-updates"];

/// Something that is allowed and probably a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A module that upstream does not want to be mirrored on its own.
    PartOfEnchilada {
        /// Its name.
        module: String,
    },
    /// `[module.NAME]` of a module that is not mirrored.
    UnusedModule {
        /// Its name.
        module: String,
    },
    /// Something in a configuration of quick-fedora-mirror.
    Old(Problem),
    /// A variable that begins with `QFM_` and means nothing.
    UnknownVariable {
        /// Its name.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::PartOfEnchilada { module } => write!(
                f,
                "module {module} is a part of fedora-enchilada and should not be mirrored on its own: use fedora-enchilada with filters"
            ),
            Warning::UnusedModule { module } => {
                write!(f, "{} has no effect: `modules` does not name {module}", setting::MODULES.header(module))
            }
            Warning::Old(problem) => f.write_str(&problem.with_hint()),
            Warning::UnknownVariable { name, nearest: Some(nearest) } => {
                write!(f, "the environment variable {name} means nothing: did you mean {nearest}?")
            }
            Warning::UnknownVariable { name, nearest: None } => {
                write!(f, "the environment variable {name} means nothing")
            }
        }
    }
}

/// Checks what the settings say together. The result can be used if no problem was added.
pub(super) fn build(settings: &Settings, file: Option<&Path>, verbosity: i8, problems: &mut Vec<Problem>) -> Config {
    let mut builder = Builder { settings, file, problems };
    let root = builder.required_path("root");
    let state = builder.required_path("state");
    let names = builder.module_names();
    let all = names == [ALL];
    let names = if all { BUILT_IN.map(|(name, _)| name.to_string()).to_vec() } else { names };
    let modules: Vec<Module> = names.iter().filter_map(|name| builder.module(name)).collect();
    builder.unique_directories(&modules);
    builder.upstreams(&modules);
    builder.places(&root, &state, &modules);
    builder.rsync();
    builder.terms("filter.exclude");
    builder.terms("filter.only");
    Config {
        upstream: settings.text("upstream").map(|text| Upstream(text.to_string())),
        root,
        state,
        modules,
        top_files: if all { vec![TOP_FILE.to_string()] } else { Vec::new() },
        restricted: settings.is_on("restricted"),
        check_indexes: settings.is_on("check_indexes"),
        full_check_every: settings.span("full_check_every"),
        read_altered: settings.text("read_altered").and_then(super::value::size).unwrap_or_default(),
        warn_after: settings.span("warn_after"),
        time_file: settings.text("time_file").map(PathBuf::from),
        jobs: settings.number("jobs"),
        rsync: rsync(settings),
        delete: Delete {
            mode: match settings.text("delete.mode") {
                Some("never") => DeleteMode::Never,
                _ => DeleteMode::Now,
            },
            after: match settings.text("delete.mode") {
                Some("after") => settings.span_if_set("delete.after").unwrap_or(GRACE),
                _ => settings.span("delete.after"),
            },
            max_share: settings.number("delete.max_share"),
            min_entries: settings.number("delete.min_entries"),
            max_shrink: settings.number("delete.max_shrink"),
        },
        check_in: None,
        triggered: Vec::new(),
        push: None,
        trace: None,
        published: Published {
            page: settings.text("status.html").map(PathBuf::from),
            title: settings.text("status.title").unwrap_or("Mirror status").to_owned(),
            metrics: settings.text("status.metrics").map(PathBuf::from),
        },
        hooks: hook::read(settings, problems),
        listen: listen::read(settings, problems),
        space: Space { check: settings.is_on("space.check"), margin: settings.number("space.margin") },
        progress: match settings.text("progress") {
            Some("always") => Progress::Always,
            Some("never") => Progress::Never,
            _ => Progress::Auto,
        },
        verbosity,
        log_file: settings.text("log_file").map(PathBuf::from),
        log_levels: settings.text("log_level").and_then(|text| levels::read(text).ok()),
        old: None,
    }
}

/// What the making of lists needs. The result can be used if no problem was added.
pub(super) fn lists(
    settings: &Settings,
    file: Option<&Path>,
    directories: &[String],
    problems: &mut Vec<Problem>,
) -> Lists {
    let mut builder = Builder { settings, file, problems };
    let root = builder.required_path("root");
    let mut lists: Vec<(String, String)> = Vec::new();
    for directory in directories.iter().map(|directory| directory.trim_end_matches('/')) {
        if let Err(why) = component(directory) {
            let what = format!("{directory:?} is no directory right below the root: it {why}");
            builder.problems.push(Wrong::new(what, "--root names the directory that holds it").at(Origin::Default, ""));
        } else if !lists.iter().any(|(known, _)| known == directory) {
            let pattern = settings.text("list").unwrap_or_default();
            lists.push((directory.to_owned(), builder.file_name(pattern, directory, "list")));
        }
    }
    Lists { root, lists, jobs: settings.number("jobs") }
}

/// What is allowed and probably a mistake.
pub(super) fn warnings(settings: &Settings, config: &Config, environment: &Environment) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mirrored = |name: &str| config.modules.iter().any(|module| module.name == name);
    for part in PARTS_OF_ENCHILADA.into_iter().filter(|part| mirrored(part)) {
        warnings.push(Warning::PartOfEnchilada { module: part.to_string() });
    }
    for name in settings.named(&setting::MODULES).into_iter().filter(|name| !mirrored(name)) {
        warnings.push(Warning::UnusedModule { module: name.to_string() });
    }
    let variables: Vec<String> = SETTINGS
        .iter()
        .map(setting::Setting::variable)
        .chain(["QFM_CONFIG", "QFM_TRIGGER"].map(str::to_string))
        .collect();
    // What a hook or a job is given is no setting, if it calls this program.
    let is_given = |name: &&str| name.starts_with("QFM_HOOK") || ["QFM_JOB", "QFM_STAGE"].contains(name);
    for name in environment
        .own_names()
        .filter(|name| !is_given(name))
        .filter(|name| !variables.iter().any(|known| known == name))
    {
        let nearest = setting::nearest(name, variables.iter().map(String::as_str)).map(str::to_string);
        warnings.push(Warning::UnknownVariable { name: name.to_string(), nearest });
    }
    warnings
}

struct Builder<'a> {
    settings: &'a Settings,
    file: Option<&'a Path>,
    problems: &'a mut Vec<Problem>,
}

impl Builder<'_> {
    /// A fault of the value of `key`, at the place where the value stands.
    fn fault(&mut self, key: &str, what: impl Into<String>, hint: impl Into<String>) {
        let problem = Wrong::new(what, hint).at(self.settings.origin(key), key);
        // What holds for all modules is not said for each.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn missing(&mut self, key: &str) {
        if self.settings.is_spoilt(key) {
            return;
        }
        let example = setting::find(key)
            .map_or(String::new(), |setting| format!("write for example `{} = {}`", setting.leaf(), setting.example));
        let place = self.file.map(|file| format!(" in {}", file.display()));
        self.fault(key, format!("is missing{}", place.unwrap_or_default()), example);
    }

    /// An empty path stands for one that is missing; nothing is checked with it.
    fn required_path(&mut self, key: &str) -> PathBuf {
        match self.settings.text(key) {
            Some(path) => PathBuf::from(path),
            None => {
                self.missing(key);
                PathBuf::new()
            }
        }
    }

    fn module_names(&mut self) -> Vec<String> {
        let names = self.settings.list("modules").unwrap_or_default();
        if names.is_empty() {
            self.missing("modules");
        }
        let mut kept: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            if kept.contains(name) {
                self.fault("modules", format!("names {name} twice"), "each module stands there once");
            } else {
                kept.push(name.clone());
            }
        }
        if kept.len() > 1 && kept.iter().any(|name| name == ALL) {
            self.fault("modules", "has \"all\" beside other modules", "write `modules = \"all\"`, or name the modules");
            kept.retain(|name| name != ALL);
        }
        kept
    }

    fn module(&mut self, name: &str) -> Option<Module> {
        if let Err(why) = component(name) {
            self.fault("modules", format!("{name:?} is no module name: it {why}"), "for example fedora-epel");
            return None;
        }
        let key = |leaf: &str| format!("module.{name}.{leaf}");
        let directory = self.directory(name, &key("directory"))?;
        let own_or = |leaf: &str, general: &str| {
            let own = key(leaf);
            if self.settings.entry(&own).is_some_and(|entry| entry.value != super::Value::Unset) {
                own
            } else {
                general.to_string()
            }
        };
        let (list_key, extra_key) = (own_or("list", "list"), own_or("extra_files", "extra_files"));
        let (only_key, keep_key) = (own_or("only", "filter.only"), own_or("keep_releases", "filter.keep_releases"));
        let list = self.file_name(self.settings.text(&list_key).unwrap_or_default(), &directory, &list_key);
        let names = self.settings.list(&extra_key).unwrap_or_default();
        let extra_files: Vec<String> = names.iter().map(|name| self.file_name(name, &directory, &extra_key)).collect();
        if extra_files.contains(&list) {
            self.fault(&extra_key, format!("names {list}, which is the list itself"), "remove it there");
        }
        self.terms(&key("exclude"));
        self.terms(&key("only"));
        let settings = self.settings;
        let terms = |key: &str| settings.list(key).unwrap_or_default().iter().cloned();
        Some(Module {
            name: name.to_string(),
            directory,
            upstream: settings.text(&key("upstream")).map(|text| Upstream(text.to_string())),
            list,
            extra_files,
            exclude: terms("filter.exclude").chain(terms(&key("exclude"))).collect(),
            only: terms(&only_key).collect(),
            keep_releases: match settings.number(&keep_key) {
                0 => None,
                newest => Some(newest),
            },
            category: None,
        })
    }

    /// Checks that the words of a filter name something.
    fn terms(&mut self, key: &str) {
        for term in self.settings.list(key).unwrap_or_default() {
            if let Err(why) = Term::parse(term) {
                self.fault(key, format!("has a word that names nothing: {why}"), "qfm.toml(5) lists the words");
            }
        }
    }

    fn directory(&mut self, name: &str, key: &str) -> Option<String> {
        let built_in = BUILT_IN.iter().find(|(module, _)| *module == name).map(|(_, directory)| *directory);
        let Some(directory) = self.settings.text(key).or(built_in) else {
            if !self.settings.is_spoilt(key) {
                self.unknown_module(name);
            }
            return None;
        };
        if let Err(why) = component(directory) {
            self.fault(
                key,
                format!("{directory:?} is no directory name: it {why}"),
                "name one directory right below the mirror root",
            );
            return None;
        }
        Some(directory.to_string())
    }

    fn unknown_module(&mut self, name: &str) {
        let header = setting::MODULES.header(name);
        let hint = match setting::nearest(name, BUILT_IN.map(|(known, _)| known)) {
            _ if name.starts_with("fedora-buffet") => {
                format!("the buffet holds all modules: write `modules = \"all\"` and an upstream that ends in /{name}")
            }
            Some(nearest) => {
                format!("did you mean `{nearest}`? Else write `{header}` and `directory = …` below it")
            }
            None => {
                format!("write `{header}` and below it `directory = …`: its directory below the mirror root")
            }
        };
        self.fault("modules", format!("the directory of module {name} is not known"), hint);
    }

    /// A name at the top of a module's directory, with `$mdir` replaced.
    fn file_name(&mut self, text: &str, directory: &str, key: &str) -> String {
        let name = text.replace("$mdir", directory);
        if name.contains('$') {
            self.fault(
                key,
                format!("{text:?} has a `$` that stands for nothing"),
                "only $mdir is replaced, by the directory",
            );
        } else if let Err(why) = component(&name) {
            self.fault(
                key,
                format!("{name:?} is no file name: it {why}"),
                "name one file at the top of the module's directory",
            );
        }
        name
    }

    fn unique_directories(&mut self, modules: &[Module]) {
        let mut holders = BTreeMap::new();
        for module in modules {
            if let Some(first) = holders.insert(&module.directory, &module.name) {
                let key = [&module.name, first]
                    .map(|name| format!("module.{name}.directory"))
                    .into_iter()
                    .find(|key| self.settings.entry(key).is_some())
                    .unwrap_or_else(|| "modules".to_string());
                let what = format!("{first} and {} have the same directory {}", module.name, module.directory);
                self.fault(&key, what, "give each module a directory of its own");
            }
        }
    }

    fn upstreams(&mut self, modules: &[Module]) {
        if self.settings.text("upstream").is_some() || self.settings.is_spoilt("upstream") {
            return;
        }
        let without: Vec<&str> = modules
            .iter()
            .filter(|module| {
                module.upstream.is_none() && !self.settings.is_spoilt(&format!("module.{}.upstream", module.name))
            })
            .map(|module| module.name.as_str())
            .collect();
        if without.len() == modules.len() {
            self.missing("upstream");
        } else if !without.is_empty() {
            let names = without.join(", ");
            let hint = format!(
                "write `upstream = …` at the top of the file, or below {}",
                setting::MODULES.header(without[0])
            );
            self.fault("upstream", format!("is missing, and {names} has none of its own"), hint);
        }
    }

    /// Our own files must not lie where the mirror is made equal to upstream: they would be published, and deleted.
    fn places(&mut self, root: &Path, state: &Path, modules: &[Module]) {
        if root.as_os_str().is_empty() {
            return;
        }
        for module in modules {
            let directory = root.join(&module.directory);
            let inside = format!("lies in the directory of module {} ({})", module.name, directory.display());
            for key in [
                "state",
                "time_file",
                "log_file",
                "rsync.password_file",
                "checkin.password_file",
                "checkin.report_mirror",
                "push.mirrors",
                "push.key",
                "status.html",
                "status.metrics",
            ] {
                if self.settings.text(key).is_some_and(|path| Path::new(path).starts_with(&directory)) {
                    self.fault(key, &inside, "it would be published, and deleted: choose a place outside the mirror");
                }
            }
            if !state.as_os_str().is_empty() && directory != state && directory.starts_with(state) {
                let what = format!("holds the directory of module {} ({})", module.name, directory.display());
                self.fault("state", what, "choose a directory that has nothing else in it");
            }
        }
    }

    fn rsync(&mut self) {
        let options = self.settings.list("rsync.options").unwrap_or_default();
        let modes = if self.settings.is_on("restricted") { options::check_modes(options) } else { Vec::new() };
        for wrong in options::check(options).into_iter().chain(modes) {
            self.fault("rsync.options", wrong.what, wrong.hint);
        }
        if self.settings.is_on("rsync.confine")
            && let Some(option) = options::writing_elsewhere(self.settings.list("rsync.options").unwrap_or_default())
        {
            let what = format!("the option `{option}` has rsync write where rsync.confine does not let it");
            self.fault("rsync.options", what, "leave it out, or set rsync.confine = false");
        }
        let bind = self.settings.text("rsync.bind").and_then(|text| text.parse::<IpAddr>().ok());
        let family = self.settings.text("rsync.address_family");
        if let (Some(bind), Some(family)) = (bind, family)
            && (family == "ipv4" && bind.is_ipv6() || family == "ipv6" && bind.is_ipv4())
        {
            let what = format!("{bind} does not belong to rsync.address_family = \"{family}\"");
            self.fault("rsync.bind", what, "change one of the two");
        }
        let user = self.settings.text("rsync.user").unwrap_or_default();
        if user.contains([':', '@', '/']) || user.starts_with('-') {
            self.fault(
                "rsync.user",
                "is no user name: it contains `:`, `@` or `/`, or starts with `-`",
                "write the name alone; a password belongs into the file that rsync.password_file names",
            );
        }
    }
}

fn rsync(settings: &Settings) -> Rsync {
    let text = |key: &str| settings.text(key);
    Rsync {
        program: text("rsync.program").unwrap_or("rsync").into(),
        options: settings.list("rsync.options").unwrap_or_default().iter().map(OsString::from).collect(),
        timeout: settings.span("rsync.timeout"),
        connect_timeout: settings.span("rsync.connect_timeout"),
        deadline: settings.span_if_set("rsync.deadline"),
        bwlimit: text("rsync.bwlimit").map(str::to_string),
        address_family: match text("rsync.address_family") {
            Some("ipv4") => AddressFamily::Ipv4,
            Some("ipv6") => AddressFamily::Ipv6,
            _ => AddressFamily::Any,
        },
        one_address: settings.is_on("rsync.one_address"),
        bind: text("rsync.bind").and_then(|text| text.parse().ok()),
        user: text("rsync.user").map(str::to_string),
        password_file: text("rsync.password_file").map(PathBuf::from),
        retries: settings.number("rsync.retries"),
        retry_delay: settings.span("rsync.retry_delay"),
        compress_lists: settings.is_on("rsync.compress_lists"),
        safe_modes: settings.is_on("rsync.safe_modes"),
        safe_links: settings.is_on("rsync.safe_links"),
        confine: settings.is_on("rsync.confine"),
    }
}

/// Whether a text is the name of one file or directory; else why not.
fn component(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("is empty"),
        "." | ".." => Err("is `.` or `..`"),
        _ if name.contains('/') => Err("contains `/`"),
        _ if name.contains(char::is_control) => Err("contains a control character"),
        _ if name.len() > 255 => Err("is longer than 255 bytes"),
        _ if name.starts_with('-') => Err("starts with `-`"),
        _ => Ok(()),
    }
}
