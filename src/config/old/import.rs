//! The old configuration written as one of our own.

use super::super::error::Origin;
use super::super::layers::Settings;
use super::super::setting::{self, Kind, SETTINGS};
use super::translate::Translated;

/// Keys without a setting, and what becomes of them.
const LEFT: [(&str, &str); 8] = [
    ("VERBOSE", "-v and -q of the command line say how much is told"),
    ("LOGITEMS", "log_file gets what each run says and does"),
    ("LOGJOURNAL", "started by systemd, what qfm says is in the journal"),
    ("KEEPDIRTIMES", "the times of directories are always kept"),
    ("NORSYNCRECOVERY", "what a run leaves behind is used or removed by the next"),
    ("CURL", "qfm speaks HTTP itself"),
    ("TMPDIR", "working files lie in the state directory, those of a dry run where the environment says"),
    ("CHECKIN_PASSWORD", "write it into a file that only its owner can read, and name that: checkin.password_file"),
];

/// The text of a TOML file with the same settings, and in comments what has none.
pub(in super::super) fn toml(settings: &Settings, translated: &Translated) -> String {
    let mut text = format!("# Imported from {}.\n", one_line(&translated.path().display().to_string()));
    for warning in &translated.warnings {
        let hint = &warning.wrong.hint;
        let separator = if hint.is_empty() { "" } else { "; " };
        text.push_str(&format!("# Warning: {}{separator}{}\n", one_line(&warning.to_string()), one_line(hint)));
    }
    let left = left_over(translated);
    if !left.is_empty() {
        text.push_str("#\n# Not carried over:\n");
        left.iter().for_each(|line| text.push_str(&format!("#   {}\n", one_line(line))));
    }
    text.push('\n');
    let mut table = None;
    for setting in SETTINGS {
        let Some(entry) = settings.entry(setting.key) else { continue };
        if setting.kind == Kind::Secret || entry.value == setting.default() && entry.origin == Origin::Default {
            continue;
        }
        if setting.table() != table {
            table = setting.table();
            text.push_str(&format!("\n[{}]\n", table.unwrap_or_default()));
        }
        text.push_str(&format!("{} = {}\n", setting.leaf(), entry.value));
    }
    let mut module = None;
    for (key, entry) in settings.iter() {
        let Some((family, name, leaf)) = setting::split_key(key) else { continue };
        if module != Some(name) {
            module = Some(name);
            text.push_str(&format!("\n{}\n", family.header(name)));
        }
        text.push_str(&format!("{leaf} = {}\n", entry.value));
    }
    text
}

/// One line for each key that is said and has no setting.
fn left_over(translated: &Translated) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, assigned) in &translated.assigned {
        let why = LEFT.iter().find(|(left, _)| left == name);
        let Some((_, why)) = why else { continue };
        // A password has no place in a file that is shown around.
        let value = match name.as_str() {
            "CHECKIN_PASSWORD" => "***".to_string(),
            _ => assigned.value.to_json().to_string(),
        };
        lines.push(format!("{name}, which is {value}: {why}"));
    }
    if translated.assigned.contains_key("RSYNCOPTS") {
        lines.push("RSYNCOPTS: of it only what is not qfm's own anyway".to_string());
    }
    if translated.whole_buffet && translated.names_modules {
        lines.push("MIRRORBUFFET: DIRECTORY_SIZES.txt, because MODULEMAPPING is not the built-in one".to_string());
    }
    lines
}

fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
