//! `qfm config init`, `check` and `show`.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::json;

use super::load::{self, load};
use super::secret::mask_options;
use super::{Environment, Error, Loaded, Origin, Overrides, Problem, Value, sample};

/// Version of the object that `config show --json` prints.
const JSON_VERSION: u32 = 1;

/// `config init`: writes the sample to a file that must not exist yet, or without one to `out`.
pub fn init(file: Option<&Path>, out: &mut dyn Write) -> Result<(), Error> {
    let Some(path) = file else { return Ok(out.write_all(sample().as_bytes())?) };
    let mut created = match File::create_new(path) {
        Ok(created) => created,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::Exists { path: path.to_path_buf() });
        }
        Err(source) => return Err(Error::Write { path: path.to_path_buf(), source }),
    };
    created.write_all(sample().as_bytes()).map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
    writeln!(out, "wrote {}: set upstream, root and modules, then run `qfm config check`", path.display())?;
    Ok(())
}

/// `config check`: says that a configuration is good, and what is probably a mistake. `faults` and `doubts` are what was found on this machine.
pub fn check(loaded: &Loaded, faults: Vec<Problem>, doubts: &[Problem], out: &mut dyn Write) -> Result<(), Error> {
    for warning in loaded.warnings.iter().map(ToString::to_string).chain(doubts.iter().map(Problem::with_hint)) {
        writeln!(out, "warning: {warning}")?;
    }
    if !faults.is_empty() {
        return Err(Error::Invalid(faults));
    }
    match &loaded.file {
        Some(path) => writeln!(out, "{} is good", path.display())?,
        None => writeln!(out, "the settings are good (there is no configuration file)")?,
    }
    Ok(())
}

/// `config show`: every key, its value and where it comes from, without secrets.
pub fn show(overrides: &Overrides, environment: &Environment, as_json: bool, out: &mut dyn Write) -> Result<(), Error> {
    let loaded = load(overrides, environment)?;
    if as_json {
        serde_json::to_writer_pretty(&mut *out, &to_json(&loaded)).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    Ok(list(&loaded, out)?)
}

/// Every key, its value and where it comes from, without secrets.
pub fn list(loaded: &Loaded, out: &mut dyn Write) -> std::io::Result<()> {
    let rows: Vec<[String; 3]> =
        shown(loaded).map(|(key, value, origin)| [key, value.to_string(), origin.to_string()]).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(0), width(1).min(48));
    for [key, value, origin] in &rows {
        writeln!(out, "{key:keys$}  {value:values$}  {origin}")?;
    }
    Ok(())
}

/// `config import`: a configuration of quick-fedora-mirror as TOML, or only what it assigns. `err` gets what that leaves out.
pub fn import(
    file: &Path,
    environment: &Environment,
    only_assignments: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Error> {
    if only_assignments {
        let (assignments, builds_upon) = load::assignments(file, environment)?;
        writeln!(out, "{}", serde_json::to_string_pretty(&assignments).map_err(std::io::Error::from)?)?;
        for name in builds_upon {
            writeln!(err, "qfm: note: {name} builds upon what is built in, which is left out here")?;
        }
        return Ok(());
    }
    Ok(out.write_all(load::import(file, environment)?.as_bytes())?)
}

fn to_json(loaded: &Loaded) -> serde_json::Value {
    let settings: serde_json::Map<_, _> = shown(loaded)
        .map(|(key, value, origin)| {
            let origin = match origin {
                Origin::Default => json!({"from": "default"}),
                Origin::File { path, line, .. } => {
                    json!({"from": "file", "path": path.to_string_lossy(), "line": line})
                }
                Origin::Environment(name) => json!({"from": "environment", "name": name}),
                Origin::Flag(flag) => json!({"from": "flag", "name": flag}),
            };
            (key, json!({"value": value.to_json(), "origin": origin}))
        })
        .collect();
    json!({
        "version": JSON_VERSION,
        "file": loaded.file.as_ref().map(|path| path.to_string_lossy()),
        "settings": settings,
        "warnings": loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// What the settings say, and the directory of each module even where it is built in; secrets are masked.
fn shown(loaded: &Loaded) -> impl Iterator<Item = (String, Value, Origin)> {
    let given = loaded.settings.iter().map(|(key, entry)| {
        let value = match (&entry.value, key) {
            (Value::List(options), "rsync.options") => Value::List(mask_options(options)),
            (value, _) => value.clone(),
        };
        (key.to_string(), value, entry.origin.clone())
    });
    let built_in = loaded.config.modules.iter().filter_map(|module| {
        let key = format!("module.{}.directory", module.name);
        match loaded.settings.entry(&key) {
            Some(_) => None,
            None => Some((key, Value::Text(module.directory.clone()), Origin::Default)),
        }
    });
    given.chain(built_in)
}
