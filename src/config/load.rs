//! Finding and reading the file, and the checks that need the file system.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::build::{self, Warning};
use super::error::{Error, Problem, Wrong};
use super::layers::{Environment, Overrides, Places, Settings};
use super::value::Value;
use super::{Config, Downstream, Lists, Origin, Password, Url, Way, checkin, file, job, kept, old, push};

/// Where the file is looked for last.
pub const SYSTEM_FILE: &str = "/etc/qfm/qfm.toml";

/// Where the old tool's file is looked for first.
pub const OLD_SYSTEM_FILE: &str = "/etc/quick-fedora-mirror.conf";

/// A configuration and how it came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// Every value with its origin.
    pub settings: Settings,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// What is probably a mistake.
    pub warnings: Vec<Warning>,
}

/// Reads the file, lays environment and flags over it, and checks everything, also what only the file system knows.
///
/// All faults are reported together. No file is fine if environment and flags say enough.
pub fn load(overrides: &Overrides, environment: &Environment) -> Result<Loaded, Error> {
    let mut loaded = resolve(overrides, environment, &|path| read_of(overrides, path))?;
    let problems = file_system_problems(&loaded);
    // It was so before qfm came, and is no reason to stop a mirror.
    if loaded.config.old.is_some()
        && let Some((key, wrong)) = shown_password(&loaded)
    {
        loaded.warnings.push(Warning::Old(wrong.at(loaded.settings.origin(key), "CHECKIN_PASSWORD")));
    }
    if problems.is_empty() { Ok(loaded) } else { Err(Error::Invalid(problems)) }
}

/// Reads a configuration of quick-fedora-mirror, and writes it as one of our own.
///
/// Only the file counts; the environment gives what it names.
pub fn import(path: &Path, environment: &Environment) -> Result<String, Error> {
    let bytes = read_file(path)?;
    let mut settings = Settings::defaults();
    let mut problems = Vec::new();
    let Some(translated) = old::translate(&bytes, path, environment, &mut settings, &mut problems) else {
        return Err(Error::Invalid(problems));
    };
    translated.require(&mut settings, &mut problems);
    let config = build::build(&settings, Some(path), 0, &mut problems);
    translated.rename(&mut problems);
    problems.extend(directories(&config, &settings, true));
    if problems.is_empty() { Ok(old::toml(&settings, &translated)) } else { Err(Error::Invalid(problems)) }
}

/// What a configuration of quick-fedora-mirror assigns, before any interpretation: an object of strings, arrays and objects. And the names
/// that have another value where the built-in ones are known, as those with `MODULES+=(…)`.
pub fn assignments(path: &Path, environment: &Environment) -> Result<(serde_json::Value, Vec<String>), Error> {
    let bytes = read_file(path)?;
    let read_after = |before: BTreeMap<_, _>| old::assignments(&bytes, path, environment, &before);
    let alone = read_after(BTreeMap::new()).map_err(Error::Invalid)?.names;
    let builds_upon = match read_after(old::defaults()) {
        Ok(read) => {
            let value = |name| read.names.get(name).map(|assigned| &assigned.value);
            alone.iter().filter(|(name, it)| value(*name) != Some(&it.value)).map(|(name, _)| name.clone()).collect()
        }
        // An import tells what is wrong.
        Err(_) => Vec::new(),
    };
    Ok((alone.into_iter().map(|(name, assigned)| (name, assigned.value.to_json())).collect(), builds_upon))
}

/// Reads a file of the configuration. What the command line names may be a pipe too: who types `--config <(…)` means it.
fn read_of(overrides: &Overrides, path: &Path) -> io::Result<Vec<u8>> {
    if overrides.config.as_deref() == Some(path) { std::fs::read(path) } else { kept::read(path) }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        let what = format!("cannot read {}: {error}", path.display());
        let wrong = Wrong::new(what, "name a configuration of quick-fedora-mirror");
        Error::Invalid(vec![wrong.at(Origin::Default, "")])
    })
}

/// The places where the file is looked for, if it is not named: the first that exists is read.
///
/// The old tool's places come last. Its own directory and the current one count only for who asks for them
/// ([`Overrides::places`]): a file that lies about there is not meant for qfm.
pub fn candidates(overrides: &Overrides, environment: &Environment) -> Vec<PathBuf> {
    let absolute = |name| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("HOME").map(|home| home.join(".config"));
    let ours = absolute("XDG_CONFIG_HOME").or_else(|| home.clone()).map(|home| home.join("qfm/qfm.toml"));
    let theirs = [PathBuf::from(OLD_SYSTEM_FILE)].into_iter().chain(home.map(|home| home.join(old::NAME)));
    match &overrides.places {
        Places::Native => ours.into_iter().chain([PathBuf::from(SYSTEM_FILE)]).chain(theirs).collect(),
        Places::Old { program } => {
            let beside = program.iter().map(|directory| directory.join(old::NAME));
            theirs.chain(beside).chain([PathBuf::from(old::NAME)]).collect()
        }
    }
}

/// All of [`load`] that does not touch the file system; `read` gives the bytes of a file.
pub(super) fn resolve(
    overrides: &Overrides,
    environment: &Environment,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Loaded, Error> {
    let Layers { mut settings, file, mut problems, translated } = layers(overrides, environment, read)?;
    if let Some(translated) = &translated {
        translated.require(&mut settings, &mut problems);
    }
    let mut config = build::build(&settings, file.as_deref(), overrides.verbosity, &mut problems);
    checkin::add(&settings, environment, read, &mut config, &mut problems);
    job::add(&settings, &mut config, &mut problems);
    push::add(&settings, environment, &mut config, &mut problems);
    let mut warnings = Vec::new();
    if let Some(translated) = translated {
        translated.rename(&mut problems);
        warnings.extend(translated.warnings.into_iter().map(Warning::Old));
        if translated.whole_buffet {
            config.top_files = vec![build::TOP_FILE.to_string()];
        }
        config.old = Some(translated.old);
    }
    judge(problems, file.is_none() && settings.lacks_required(), overrides, environment)?;
    warnings.extend(build::warnings(&settings, &config, environment));
    Ok(Loaded { config, settings, file, warnings })
}

/// The configuration as far as it can be read, whatever is wrong with it: for who completes a command line. Never to be acted on.
pub fn guess(overrides: &Overrides, environment: &Environment) -> Option<Config> {
    let read = layers(overrides, environment, &|path| read_of(overrides, path));
    // Who asks has a line to finish, and no use for what is wrong.
    let Layers { settings, file, mut problems, .. } = read.ok()?;
    let mut config = build::build(&settings, file.as_deref(), overrides.verbosity, &mut problems);
    job::add(&settings, &mut config, &mut problems);
    push::add(&settings, environment, &mut config, &mut problems);
    Some(config)
}

/// What the making of lists in these directories needs of the settings. What else is missing is not missed.
///
/// # Errors
/// All faults together.
pub fn lists(overrides: &Overrides, environment: &Environment, directories: &[String]) -> Result<Lists, Error> {
    let Layers { settings, file, mut problems, translated } =
        layers(overrides, environment, &|path| read_of(overrides, path))?;
    let lists = build::lists(&settings, file.as_deref(), directories, &mut problems);
    if let Some(translated) = translated {
        translated.rename(&mut problems);
    }
    judge(problems, file.is_none() && settings.text("root").is_none(), overrides, environment)?;
    Ok(lists)
}

/// What the sources say, laid over each other.
struct Layers {
    settings: Settings,
    file: Option<PathBuf>,
    problems: Vec<Problem>,
    /// What else a configuration of quick-fedora-mirror says.
    translated: Option<old::Translated>,
}

fn layers(
    overrides: &Overrides,
    environment: &Environment,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Layers, Error> {
    let found = find(overrides, environment, read)?;
    let mut settings = Settings::defaults();
    let mut problems = Vec::new();
    let is_old = |(path, bytes): &(PathBuf, Vec<u8>)| {
        old::is_old(path, bytes) || overrides.places != Places::Native && !is_toml(path)
    };
    let mut translated = None;
    if let Some((path, bytes)) = found.as_ref().filter(|found| is_old(found)) {
        translated = old::translate(bytes, path, environment, &mut settings, &mut problems);
        if translated.is_none() {
            return Err(Error::Invalid(problems));
        }
    } else if let Some((path, bytes)) = &found {
        file::apply(bytes, path, &mut settings, &mut problems);
        if problems.iter().any(|problem| problem.key.is_empty()) {
            // Not TOML: nothing that the file says is known, and all else would be wrong too.
            return Err(Error::Invalid(problems));
        }
    }
    settings.apply_environment(environment, &mut problems);
    settings.apply_flags(&overrides.settings, &mut problems);
    if let Some(state) = overrides.state.as_ref().filter(|_| translated.is_some())
        && settings.origin("state") == Origin::Default
        && !settings.is_spoilt("state")
    {
        let state = Value::Text(state.display().to_string());
        settings.set("state", state, Origin::Environment("TMPDIR".to_string()));
    }
    Ok(Layers { settings, file: found.map(|(path, _)| path), problems, translated })
}

/// All problems together, if there are any; where something is missing that a file would say, that there is none comes first.
fn judge(
    mut problems: Vec<Problem>,
    lacks_file: bool,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<(), Error> {
    if problems.is_empty() {
        return Ok(());
    }
    if lacks_file {
        if overrides.places != Places::Native {
            // What else is missing has other names in the file that there should be.
            problems.clear();
        }
        problems.insert(0, no_file(overrides, environment));
    }
    Err(Error::Invalid(problems))
}

fn find(
    overrides: &Overrides,
    environment: &Environment,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Option<(PathBuf, Vec<u8>)>, Error> {
    let named = overrides.config.clone().or_else(|| environment.get("QFM_CONFIG").map(PathBuf::from));
    if let Some(path) = named {
        return match read(&path) {
            Ok(bytes) => Ok(Some((path, bytes))),
            Err(source) => Err(Error::Read { path, source }),
        };
    }
    let mut unreadable = None;
    for path in candidates(overrides, environment) {
        match read(&path) {
            Ok(bytes) => return Ok(Some((path, bytes))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            // The old tool takes the first that it can read.
            Err(source) if overrides.places != Places::Native && unreadable.is_none() => {
                unreadable = Some(Error::Read { path, source });
            }
            Err(_) if overrides.places != Places::Native => {}
            Err(source) => return Err(Error::Read { path, source }),
        }
    }
    unreadable.map_or(Ok(None), Err)
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

fn no_file(overrides: &Overrides, environment: &Environment) -> Problem {
    let places: Vec<_> = candidates(overrides, environment).iter().map(|path| path.display().to_string()).collect();
    let what = format!("there is no configuration file; looked for {}", places.join(", "));
    let hint = match overrides.places {
        Places::Native => {
            format!("`qfm config init {}` writes a sample to start from; --config names another place", places[0])
        }
        Places::Old { .. } => "write one there, with DESTD and TIMEFILE; -c names another place".to_string(),
    };
    Wrong::new(what, hint).at(super::Origin::Default, "")
}

/// What only the file system knows: who can read the password, and where paths really lead.
fn file_system_problems(loaded: &Loaded) -> Vec<Problem> {
    let config = &loaded.config;
    let mut problems = directories(config, &loaded.settings, config.old.is_some());
    let mut fault = |key: &str, wrong: Wrong| problems.push(wrong.at(loaded.settings.origin(key), key));
    if let Some(path) = &config.rsync.password_file
        && let Err(wrong) = kept::check_owned(path, "the daemon's password")
    {
        fault("rsync.password_file", wrong);
    }
    if let (Some(Password::In(path)), Some(_)) =
        (config.check_in.as_ref().map(|it| &it.password), loaded.settings.text("checkin.password_file"))
        && let Err(wrong) = kept::check_owned(path, "the site's password")
    {
        fault("checkin.password_file", wrong);
    }
    if let Some((key, wrong)) = shown_password(loaded)
        && config.old.is_none()
    {
        fault(key, wrong);
    }
    for Downstream { name, way, .. } in config.push.iter().flat_map(|push| &push.downstreams) {
        let Way::Url(url) = way else { continue };
        let key = |leaf: &str| format!("downstream.{name}.{leaf}");
        let (key, checked) = match (url, loaded.settings.origin(&key("url"))) {
            (Url::In(path), _) => (key("url_file"), kept::check_owned(path, "the URL")),
            (Url::Said(_), Origin::File { path, .. }) => {
                // What cannot be looked at now could be read before.
                (key("url"), std::fs::metadata(&path).map_or(Ok(()), |metadata| kept::check_mode(&path, &metadata)))
            }
            (Url::Said(_), _) => continue,
        };
        if let Err(wrong) = checked {
            fault(&key, wrong);
        }
    }
    let state = really(&config.state);
    for module in &config.modules {
        let directory = really(&config.root.join(&module.directory));
        if state.starts_with(&directory) || directory.starts_with(&state) {
            let what = format!(
                "{} and the directory of module {} lie in each other: they lead to {} and {}",
                config.state.display(),
                module.name,
                state.display(),
                directory.display()
            );
            fault("state", Wrong::new(what, "choose a directory outside the mirror that has nothing else in it"));
        }
    }
    problems
}

/// Directories that are named where a file must be.
fn directories(config: &Config, settings: &Settings, is_old: bool) -> Vec<Problem> {
    let files = [
        ("time_file", "TIMEFILE", "timefile", &config.time_file),
        ("log_file", "LOGFILE", "quick-fedora-mirror.log", &config.log_file),
    ];
    let problem = |(setting, key, leaf, path): (&str, &str, &str, &Option<PathBuf>)| {
        let path = path.as_deref().filter(|path| path.is_dir())?;
        let origin = settings.origin(setting);
        let name = if is_old && matches!(origin, Origin::File { .. }) { key } else { setting };
        let hint = format!("name a file, such as {}", path.join(leaf).display());
        Some(Wrong::new(format!("{} is a directory", path.display()), hint).at(origin, name))
    };
    files.into_iter().filter_map(problem).collect()
}

/// The file that holds the password for MirrorManager among other things, and the setting that says so.
fn holds_password(loaded: &Loaded) -> Option<(&'static str, PathBuf)> {
    let settings = &loaded.settings;
    if settings.secret("checkin.password").is_some() {
        return match settings.origin("checkin.password") {
            Origin::File { path, .. } => Some(("checkin.password", path)),
            _ => None,
        };
    }
    match &loaded.config.check_in.as_ref()?.password {
        Password::Said(_) => settings.text("checkin.report_mirror").map(|path| ("checkin.report_mirror", path.into())),
        Password::In(_) => None,
    }
}

/// What is wrong with a file that holds the password for MirrorManager among other things, and the setting that says so.
fn shown_password(loaded: &Loaded) -> Option<(&'static str, Wrong)> {
    let (key, path) = holds_password(loaded)?;
    // What cannot be looked at now could be read before.
    let metadata = std::fs::metadata(&path).ok()?;
    Some((key, kept::check_mode(&path, &metadata).err()?))
}

/// The path without symbolic links, as far as it exists.
fn really(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (existing.canonicalize(), path.strip_prefix(existing)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_path_buf()
}
