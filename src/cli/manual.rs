//! The manual pages.
//!
//! They are written by hand, in the folder beside this file, with the macros of man(7). A line `@part@` stands for what the program
//! itself knows: its commands and flags, the exit codes, the table of settings, the words of filters. The page of a command is
//! made of its help. In all of them a character means itself, so that what is copied from a page can be run, and what stands
//! between backticks is bold ([`literal`]).

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{Arguments, common_but_settings};
use crate::config::setting::{FAMILIES, Fallback, Kind, SETTINGS, Setting, TABLES};
use crate::exit::Status;
use crate::plan::filter::term::{ARCHITECTURES, CATEGORIES, RELEASES};

/// When the pages last changed in more than a setting.
const DATE: &str = "2026-11-30";

/// Whose pages they are.
const SOURCE: &str = concat!("qfm ", env!("CARGO_PKG_VERSION"));

/// The name of the handbook that the pages belong to.
const MANUAL: &str = "Mirroring";

/// Writes qfm(1).
///
/// # Errors
/// If `out` cannot be written to.
pub fn page(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(main_page()?.as_bytes())
}

/// Writes all pages into a directory, which must exist: those that are written by hand, and one for each command.
///
/// # Errors
/// If a page cannot be written.
pub fn pages(directory: &Path) -> io::Result<()> {
    for (name, text) in [
        ("qfm.1", main_page()?),
        ("qfm.toml.5", file_page()),
        ("qfm-lists.5", fill(include_str!("manual/qfm-lists.5"), &[])),
        ("qfm-push.7", fill(include_str!("manual/qfm-push.7"), &[])),
    ] {
        std::fs::write(directory.join(name), text)?;
    }
    // Without what is common to all commands: that stands in qfm(1).
    let commands = built(Arguments::command());
    commands.get_subcommands().try_for_each(|command| command_pages(command, directory))
}

fn main_page() -> io::Result<String> {
    let bare = Arguments::command().disable_help_flag(true).disable_version_flag(true);
    let common = common_but_settings(clap::Command::new("qfm").version(SOURCE));
    let parts = [
        ("commands", commands(&built(Arguments::command()))),
        ("options", options(bare)?),
        ("common options", options(common)?),
        ("flags", terms(flags())),
        ("exit status", terms(Status::ALL.map(|status| plain(&status.code().to_string(), status.sentence())))),
    ];
    Ok(fill(include_str!("manual/qfm.1"), &parts))
}

fn file_page() -> String {
    let example = include_str!("../../examples/qfm.toml").replace('\\', "\\e");
    let parts =
        [("example", example), ("values", terms(values())), ("settings", settings()), ("words", terms(filter_words()))];
    fill(include_str!("manual/qfm.toml.5"), &parts)
}

/// A page, whose parts take their places.
fn fill(page: &str, parts: &[(&str, String)]) -> String {
    let line = |line: &str| match line.strip_prefix('@').and_then(|line| line.strip_suffix('@')) {
        Some(name) => {
            let (_, part) = parts.iter().find(|(part, _)| *part == name).unwrap_or_else(|| panic!("no part {name}"));
            part.lines().map(literal).collect()
        }
        None if line.starts_with(".TH ") => literal(&format!("{line} {DATE} \"{SOURCE}\" {MANUAL}")),
        None => literal(line),
    };
    page.lines().map(line).collect()
}

/// A line of a page with its line feed. Characters that typesetters replace by prettier ones, which no shell understands, mean themselves;
/// backticks begin and end what is bold.
fn literal(line: &str) -> String {
    if line.starts_with(".TH ") {
        // No word is cut, and no blanks are put into a command.
        return format!("{line}\n.nr HY 0\n.nh\n.ad l\n");
    } else if line.starts_with(".\\\"") {
        return format!("{line}\n");
    }
    let mut text = String::new();
    let (mut letters, mut is_bold) = (line.chars(), false);
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.extend(['\\', letters.next().filter(|next| *next != '\\').unwrap_or('e')]),
            '-' => text.push_str("\\-"),
            '\'' => text.push_str("\\(aq"),
            '^' => text.push_str("\\(ha"),
            '~' => text.push_str("\\(ti"),
            '`' => {
                is_bold = !is_bold;
                text.push_str(if is_bold { "\\fB" } else { "\\fR" });
            }
            // Also where nobody says which encoding it is.
            _ if !letter.is_ascii() => text.push_str(&format!("\\[u{:04X}]", u32::from(letter))),
            _ => text.push(letter),
        }
    }
    text.push('\n');
    text
}

fn command_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned();
    let man = Man::new(command.clone().override_usage(usage))
        .title(name.to_uppercase())
        .date(DATE)
        .manual(MANUAL)
        .source(SOURCE);
    let mut text = Vec::new();
    man.render(&mut text)?;
    let text = format!("{}{}", ours(&text), see_also(name));
    std::fs::write(directory.join(man.get_filename()), text.lines().map(literal).collect::<String>())?;
    command.get_subcommands().try_for_each(|command| command_pages(command, directory))
}

/// What clap_mangen wrote, without what [`literal`] does better, and without brackets around what is in italics already.
fn ours(page: &[u8]) -> String {
    let is_definition = |line: &&str| line.starts_with(".ie ") || line.starts_with(".el ");
    let text = String::from_utf8_lossy(page);
    // What a command has to say at its end is the meaning of its exit codes; and a page has no summary.
    let text = text.replace(".SH EXTRA", ".SH \"EXIT STATUS\"").replace(" (see a summary with \\*(Aq\\-h\\*(Aq)", "");
    let lines = text.lines().filter(|line| !is_definition(line) && *line != ".br");
    let text = lines.fold(String::new(), |text, line| text + line + "\n");
    text.replace("\\*(Aq", "'").replace("\\fI<", "\\fI").replace(">\\fR", "\\fR")
}

fn see_also(command: &str) -> String {
    let others: &[&str] = match command {
        "qfm-sync" | "qfm-verify" => &["qfm.toml(5)"],
        "qfm-size" | "qfm-diff" | "qfm-make-list" => &["qfm-lists(5)"],
        "qfm-push" | "qfm-trigger" | "qfm-run-job" | "qfm-listen" => &["qfm-push(7)"],
        "qfm-config-authorized-key" | "qfm-config-trigger-url" => &["qfm-push(7)"],
        name if name.starts_with("qfm-config") => &["qfm.toml(5)"],
        _ => &[],
    };
    let line = others.iter().fold(String::new(), |line, page| {
        let (name, section) = page.split_once('(').unwrap_or((page, "1)"));
        format!("{line}.BR {name} ({section},\n")
    });
    format!(".SH SEE ALSO\n{line}.BR qfm (1)\nfor the settings, exit codes and files of all commands\n")
}

fn built(command: clap::Command) -> clap::Command {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

/// All commands, those below others after them, with the names of their pages.
fn commands(command: &clap::Command) -> String {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.fold(String::new(), |text, command| {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text + &terms([(vec![bold(name), roman("(1)")], about)]) + &commands(command)
    })
}

/// The options of a command alone.
fn options(command: clap::Command) -> io::Result<String> {
    let mut text = Vec::new();
    Man::new(command).render_options_section(&mut text)?;
    Ok(ours(&text)
        .lines()
        .filter(|line| !line.starts_with(".SH "))
        .fold(String::new(), |text, line| text + line + "\n"))
}

/// A term and what it means.
type Term = (Vec<Inline>, String);

fn terms(terms: impl IntoIterator<Item = Term>) -> String {
    let mut roff = Roff::new();
    for (term, text) in terms {
        roff.control("TP", []);
        roff.text(term);
        roff.text([roman(text)]);
    }
    roff.to_roff()
}

fn plain(term: &str, text: impl Into<String>) -> Term {
    (vec![bold(term)], text.into())
}

/// The flags of all settings, by table.
fn flags() -> Vec<Term> {
    let of = |table: Option<&'static str>| {
        let flags: Vec<String> = SETTINGS.iter().filter(|setting| setting.table() == table).map(flag).collect();
        flags.join(", ")
    };
    let tables = TABLES.iter().map(|(table, _)| plain(&format!("[{table}]"), of(Some(table))));
    std::iter::once(plain("Before the first table", of(None))).chain(tables).collect()
}

/// A setting as it is written on the command line.
fn flag(setting: &Setting) -> String {
    let (flag, value) = (setting.flag(), setting.kind.placeholder());
    match setting.kind {
        // No flag, but a variable.
        Kind::Secret => format!("`{}`", setting.variable()),
        // Alone it means true, and takes no word after it for its value.
        Kind::Bool => format!("`--{flag}`[={value}]"),
        _ => format!("`--{flag}` {value}"),
    }
}

/// The settings at the top of the file, and a section for each table.
fn settings() -> String {
    let of = |table: Option<&'static str>| terms(SETTINGS.iter().filter(move |it| it.table() == table).map(key));
    let section = |title: String, introduction: &str, terms: String| format!(".SH {title}\n{introduction}\n{terms}");
    let tables = TABLES.iter().map(|(table, what)| section(format!("TABLE [{table}]"), what, of(Some(table))));
    let families = FAMILIES.iter().map(|family| {
        section(format!("TABLES [{}.NAME]", family.table), family.introduction, terms(family.settings.iter().map(key)))
    });
    std::iter::once(of(None)).chain(tables).chain(families).collect()
}

/// A setting as it stands in the file.
fn key(setting: &Setting) -> Term {
    let example = if setting.kind.is_list() { "array" } else { setting.kind.placeholder() };
    (vec![bold(setting.leaf()), roman(" = "), italic(example)], meaning(setting))
}

fn meaning(setting: &Setting) -> String {
    let default = match setting.fallback {
        Fallback::Is(default) => format!("Default: {default}."),
        Fallback::Inherits(general) => format!("Default: what {general} says."),
        Fallback::Required => format!("For example: {}", setting.example),
        Fallback::Unset => format!("Not set by default; for example: {}", setting.example),
    };
    let words = match setting.kind {
        Kind::Words(words) => format!("One of: {}. ", words.join(", ")),
        _ => String::new(),
    };
    format!("{} {words}{default}", setting.help)
}

fn values() -> Vec<Term> {
    vec![
        plain(Kind::Text.placeholder(), "Text in quotes. Where a setting has no default, \"\" means: not set."),
        plain(Kind::Path.placeholder(), "An absolute path, in quotes."),
        plain(Kind::Program.placeholder(), "A name that is looked up in PATH, or an absolute path, in quotes."),
        plain(
            Kind::Upstream.placeholder(),
            "An rsync source, in quotes: rsync://host/module, host::module, host:/path over ssh, or an absolute local path. \
             A password in it is refused; rsync.password_file names a file for it.",
        ),
        plain(Kind::Bool.placeholder(), "Without quotes."),
        plain(Kind::Integer { min: 0, max: 0 }.placeholder(), "A whole number, without quotes."),
        plain(Kind::Percent.placeholder(), "A whole number from 0 to 100, without quotes."),
        plain(
            Kind::Duration { min: 0 }.placeholder(),
            "A time span with its unit, in quotes: \"90s\", \"10m\", \"7d\".",
        ),
        plain(
            Kind::Rate.placeholder(),
            "A rate as rsync takes it, in quotes: KiB per second, or with a unit, as \"20m\".",
        ),
        plain(
            Kind::Size.placeholder(),
            "A number of bytes, or of KiB, MiB, GiB or TiB with a unit, in quotes: \"500M\", \"16G\".",
        ),
        plain(
            Kind::Levels.placeholder(),
            "A level for all topics of the log, and TOPIC=LEVEL for those that have another, with commas between them, in quotes: \
             \"info,rsync=debug\".",
        ),
        plain(Kind::Words(&[]).placeholder(), "One of the words that the setting names, in quotes."),
        plain(Kind::Address.placeholder(), "An IP address, in quotes."),
        plain("array", "Texts in brackets: [\"debug\", \"source\"]."),
    ]
}

fn filter_words() -> Vec<Term> {
    let prefixes = [
        ("release:N", format!("one release, its updates and its testing; a number, or {}", RELEASES.join(", "))),
        ("arch:NAME", format!("one architecture: {}", ARCHITECTURES.join(", "))),
        ("alt:NAME", "one directory of fedora-alt".to_owned()),
        ("epel-NAME", "one directory of EPEL, such as epel-next".to_owned()),
        ("repo:NAME", "one repository of Rocky Linux or AlmaLinux".to_owned()),
        ("re:REGEX", "whatever a regular expression matches of DIRECTORY/PATH".to_owned()),
        (
            "ere:REGEX",
            "whatever an extended regular expression of POSIX, in the C locale, matches of DIRECTORY/PATH, a tab and the size in \
             bytes: what FILTEREXP of quick-fedora-mirror is. What POSIX does not define is refused, such as \\d, *a and \\1"
                .to_owned(),
        ),
    ];
    let categories = CATEGORIES.iter().map(|(word, _, what)| plain(word, sentence(what)));
    categories.chain(prefixes.iter().map(|(word, what)| plain(word, sentence(what)))).collect()
}

/// A phrase with a capital and a full stop.
fn sentence(phrase: &str) -> String {
    let mut letters = phrase.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_mean_themselves() {
        assert_eq!(literal("`qfm -n` isn't ~/x^"), "\\fBqfm \\-n\\fR isn\\(aqt \\(ti/x\\(ha\n");
        assert_eq!(literal(r"\-x \\d \(bu"), "\\-x \\ed \\(bu\n");
        assert_eq!(literal(".\\\" a-b"), ".\\\" a-b\n");
    }

    #[test]
    fn the_page_has_every_code_and_every_flag() {
        let text = main_page().expect("written to memory").replace('\\', "");
        for status in Status::ALL {
            assert!(text.contains(status.sentence()), "{status:?}");
        }
        for setting in crate::config::setting::flags() {
            assert!(text.contains(&format!("fB--{}fR", setting.flag())), "{}", setting.key);
        }
        assert!(text.contains("QFM_CHECKIN_PASSWORD"));
    }

    #[test]
    fn the_page_of_the_file_has_every_setting_and_every_word() {
        let text = file_page().replace('\\', "");
        for setting in SETTINGS.iter().chain(FAMILIES.iter().flat_map(|family| family.settings)) {
            assert!(text.contains(&format!("fB{}fR = ", setting.leaf())), "{}", setting.key);
        }
        for (word, ..) in CATEGORIES {
            assert!(text.contains(&format!("fB{word}fR")), "{word}");
        }
    }

    #[test]
    fn each_command_has_a_page() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        pages(directory.path()).expect("written");
        for name in ["qfm.1", "qfm.toml.5", "qfm-sync.1", "qfm-config.1", "qfm-config-init.1", "qfm-man.1"] {
            assert!(directory.path().join(name).is_file(), "{name}");
        }
    }
}
