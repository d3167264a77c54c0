//! The TOML file: text to settings, each fault with its line and column.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem, Wrong};
use super::layers::Settings;
use super::old;
use super::secret;
use super::setting::{self, FAMILIES, Family, SETTINGS};
use super::value::describe;

/// Lays the file over `settings`. All faults are found, in the order of the file; of a file that is not TOML only the faults of its syntax.
pub(super) fn apply(bytes: &[u8], path: &Path, settings: &mut Settings, problems: &mut Vec<Problem>) {
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    if valid.len() < bytes.len() {
        let origin = Place { path, text: valid }.origin(valid.len());
        problems.push(Wrong::new("the file is not valid UTF-8 from here on", "save it as UTF-8").at(origin, ""));
        return;
    }
    let place = Place { path, text: valid };
    let mut reader = Reader { place, settings, faults: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(valid);
    if errors.is_empty() {
        reader.top(document.get_ref());
    }
    for error in errors {
        // Without a span the end of the file came too early.
        let at = error.span().map_or(valid.len(), |span| span.start);
        reader.faults.push((
            at,
            "".to_string(),
            Wrong::new(format!("not TOML: {}", error.message()), quotes(valid, at)),
        ));
    }
    let Reader { mut faults, .. } = reader;
    faults.sort_by_key(|(at, ..)| *at);
    problems.extend(faults.into_iter().map(|(at, key, wrong)| wrong.at(place.origin(at), key)));
}

#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            path: self.path.to_path_buf(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
        }
    }
}

struct Reader<'a> {
    place: Place<'a>,
    settings: &'a mut Settings,
    /// Byte offset, key, fault.
    faults: Vec<(usize, String, Wrong)>,
}

impl Reader<'_> {
    fn top(&mut self, document: &DeTable<'_>) {
        for (name, value) in document.iter() {
            let is_table = SETTINGS.iter().any(|setting| setting.table() == Some(name.get_ref()));
            let family = FAMILIES.iter().find(|family| family.table == name.get_ref());
            match (value.get_ref(), family) {
                (DeValue::Table(tables), Some(family)) => self.family(family, tables),
                (DeValue::Table(table), None) if is_table => {
                    for (leaf, value) in table.iter() {
                        self.value(
                            format!("{}.{}", name.get_ref(), leaf.get_ref()),
                            leaf.span(),
                            value.get_ref(),
                            value.span(),
                        );
                    }
                }
                (found, family) if is_table || family.is_some() => {
                    let hint = match name.get_ref().as_ref() {
                        "module" => {
                            "write `[module.NAME]` on a line of its own; the list of modules is `modules`".to_string()
                        }
                        table if family.is_some() => {
                            let meant = setting::nearest(table, SETTINGS.iter().map(|setting| setting.key));
                            let meant = meant.map(|meant| format!("did you mean `{meant}`? Else "));
                            format!("{}write `[{table}.NAME]` on a line of its own", meant.unwrap_or_default())
                        }
                        table => format!("write `[{table}]` on a line of its own and the settings below it"),
                    };
                    let wrong = Wrong::new(format!("expected a table, found {}", describe(found)), hint);
                    self.faults.push((value.span().start, name.get_ref().to_string(), wrong));
                }
                (found, _) => self.value(name.get_ref().to_string(), name.span(), found, value.span()),
            }
        }
    }

    fn family(&mut self, family: &Family, tables: &DeTable<'_>) {
        for (name, value) in tables.iter() {
            let prefix = format!("{}.{}", family.table, name.get_ref());
            match value.get_ref() {
                DeValue::Table(table) => {
                    self.settings.begin(&prefix, self.place.origin(name.span().start));
                    for (leaf, value) in table.iter() {
                        self.value(format!("{prefix}.{}", leaf.get_ref()), leaf.span(), value.get_ref(), value.span());
                    }
                }
                found => {
                    let kind = family.table;
                    let hint = match family.settings.iter().find(|setting| setting.key == name.get_ref()) {
                        Some(_) => format!("the settings of a {kind} stand below `[{kind}.NAME]`"),
                        None => format!(
                            "write `{}` on a line of its own, and `{} = …` below it",
                            family.header(name.get_ref()),
                            family.settings[0].key
                        ),
                    };
                    let wrong = Wrong::new(format!("expected a table, found {}", describe(found)), hint);
                    self.faults.push((value.span().start, prefix, wrong));
                }
            }
        }
    }

    fn value(&mut self, key: String, key_span: Range<usize>, found: &DeValue<'_>, span: Range<usize>) {
        let Some(setting) = setting::find(&key) else {
            let family = FAMILIES.iter().find_map(|family| {
                let name = key.strip_prefix(family.table)?.strip_prefix('.')?;
                Some((family, name))
            });
            let hint = match (family, found) {
                (Some((family, name)), DeValue::Table(_)) => {
                    format!("a name with dots stands in quotes: `{}`", family.header(name))
                }
                _ => instead_of_old(&key).unwrap_or_else(|| setting::instead_of(&key)),
            };
            let wrong = Wrong::new("there is no such setting", hint);
            self.faults.push((key_span.start, key, wrong));
            return;
        };
        match setting.read(found) {
            Ok(value) => self.settings.set(&key, value, self.place.origin(span.start)),
            Err((mut wrong, item)) => {
                if setting.key == "modules" && matches!(found, DeValue::Table(_)) {
                    wrong.hint = "the settings of one module stand below `[module.NAME]`, without s".to_string();
                }
                self.settings.spoil(&key);
                self.faults.push((item.unwrap_or(span).start, key, wrong));
            }
        }
    }
}

/// What to write instead of a key of the old configuration.
fn instead_of_old(key: &str) -> Option<String> {
    let setting = old::setting_for(key)?;
    Some(format!("{key} is a key of quick-fedora-mirror; write {setting} here"))
}

/// The usual fault of syntax: text without quotes.
fn quotes(text: &str, offset: usize) -> String {
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(start..).unwrap_or("").lines().next().unwrap_or("");
    let assignment = line.split_once('=');
    if let Some(hint) = assignment.and_then(|(key, _)| instead_of_old(key.trim_end_matches('+').trim())) {
        return hint;
    }
    match assignment {
        Some((key, value)) if value.trim().starts_with(|c: char| c.is_alphanumeric() || c == '/') => {
            let value =
                if secret::is_telling(key) { secret::MASK.to_owned() } else { secret::mask_address(value.trim()) };
            format!("text stands in quotes: `{} = \"{value}\"`", key.trim())
        }
        None if !line.trim_start().starts_with('[') && offset < text.len() => {
            "a setting is written `key = value`, a comment begins with `#`".to_string()
        }
        _ => "`qfm config init` shows how each setting is written".to_string(),
    }
}
