//! The manual pages, made from the command line, the exit codes, the table of settings and the words of filters.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{Arguments, common_but_settings};
use crate::config::SYSTEM_FILE;
use crate::config::setting::{DOWNSTREAM_SETTINGS, Fallback, JOB_SETTINGS, Kind, MODULE_SETTINGS, SETTINGS, Setting};
use crate::exit::Status;
use crate::plan::filter::term::{ARCHITECTURES, CATEGORIES, RELEASES};

/// When the pages last changed in more than a setting.
const DATE: &str = "2026-11-22";

/// The name of the handbook that the pages belong to.
const MANUAL: &str = "Mirroring";

/// The name of the page of the configuration file.
const FILE_PAGE: &str = "qfm.toml.5";

/// Writes qfm(1).
pub fn page(out: &mut dyn Write) -> io::Result<()> {
    // The flags of all settings would fill a screen, and have a section of their own.
    let command = common_but_settings(Arguments::command());
    let man = dated(Man::new(command.clone()).title("QFM"));
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    man.render_subcommands_section(out)?;
    let mut roff = Roff::new();
    let settings = "Each setting of qfm.toml(5) is a flag, which can stand before and after the name of a command, and an \
        environment variable. A flag is stronger than the environment, that is stronger than the configuration file. \
        An empty flag takes back what a weaker source said of a setting without default; an empty variable is ignored. \
        Commas separate the items of a list; those of filters and of rsync's options are a flag each, and in the \
        environment they are separated by newlines, or by blanks if there is no newline.";
    section(&mut roff, "SETTINGS", settings, SETTINGS.iter().map(flag));
    let several = "One module's trouble does not stop the others; the status is the most serious one.";
    section(&mut roff, "EXIT STATUS", several, exit_status());
    section(&mut roff, "FILES", "", files());
    section(&mut roff, "ENVIRONMENT", "", environment());
    see_also(&mut roff, &[(FILE_PAGE, ""), ("rsync.1", "")]);
    roff.to_writer(out)?;
    Ok(())
}

/// Writes qfm.toml(5).
pub fn file_page(out: &mut dyn Write) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("TH", ["QFM.TOML", "5", DATE, concat!("qfm ", env!("CARGO_PKG_VERSION")), MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("qfm.toml - the configuration of qfm")]);
    let places = "The configuration of qfm(1) is a TOML file: the one that --config names, else the one that QFM_CONFIG names, \
        else the first of $XDG_CONFIG_HOME/qfm/qfm.toml (or ~/.config/qfm/qfm.toml) and /etc/qfm/qfm.toml, else a \
        configuration of quick-fedora-mirror (see below). No file is \
        needed if flags and environment say enough. Unknown keys are refused. `qfm config init` writes a sample with every \
        setting, `qfm config check` checks a file, `qfm config show` says what holds and where it comes from.";
    section(&mut roff, "DESCRIPTION", places, []);
    section(&mut roff, "VALUES", "", values());
    section(&mut roff, "SETTINGS", "They stand at the top of the file, before the first table.", table_of(None));
    for (table, introduction) in [
        ("filter", "What the mirror carries of its modules. The words of filters are listed below."),
        ("rsync", "How rsync is called."),
        ("delete", "What may be deleted, and how much of it without a human."),
        ("space", "How much room there must be before anything is begun."),
        ("checkin", "How MirrorManager is told what is here: see CHECKIN below."),
        ("push", "How downstreams are told that something changed here: see qfm-push(1)."),
        ("trace", "What others see of how fresh this mirror is."),
        ("status", "A page that says how this mirror is: see qfm-status(1)."),
        (
            "listen",
            "How `qfm listen` takes triggers over HTTP. What can be triggered is each [job.NAME] with a secret.",
        ),
    ] {
        section(&mut roff, &format!("TABLE [{table}]"), introduction, table_of(Some(table)));
    }
    let modules = "A table for each module that needs one, with the name of the rsync module. Fedora's modules are built in \
        and need none.";
    section(&mut roff, "TABLES [module.NAME]", modules, MODULE_SETTINGS.iter().map(key));
    let jobs = "A table for each job: what a trigger starts (qfm-trigger(1)), with a name of letters, digits, dots, dashes and underscores. \
        It syncs modules of this configuration, or those of another one, or runs a command: at most one of modules, config and command \
        is said. Where no job is, there is one that is named default and syncs all modules.";
    section(&mut roff, "TABLES [job.NAME]", jobs, JOB_SETTINGS.iter().map(key));
    let downstreams = "A table for each mirror that is told when something changed here (qfm-push(1)), over ssh or by a URL. Those that the \
        file push.mirrors names are told too.";
    section(&mut roff, "TABLES [downstream.NAME]", downstreams, DOWNSTREAM_SETTINGS.iter().map(key));
    let filters = "A word stands for whole repositories or directories, so that leaving them out leaves no metadata behind \
        that names what is not there. Of words in only, those of one kind are alternatives, and those of different kinds \
        narrow each other; what lies in no release is in no wrong release either.";
    section(&mut roff, "FILTERS", filters, filter_words());
    let old = "A configuration of quick-fedora-mirror is read too, and never run: /etc/quick-fedora-mirror.conf or \
        ~/.config/quick-fedora-mirror.conf where there is no TOML file, or the one that is named. A name that ends in .toml is \
        TOML, the name quick-fedora-mirror.conf is not; of others, one with a line that begins with a key of the old tool is of \
        that kind. Assignments are read as zsh reads them, with quotes, lists, associations, +=, $NAME, ${NAME:-word} and \
        $((1 + 2)); what is more than that is refused, with its place and what to write instead. What is not said has the old tool's default. The saved state lies in \
        TIMEFILE.qfm. Flags and environment are stronger, as for any file. `qfm config import` prints such a file as TOML, \
        `qfm config import --assignments` what was read. Started under the name quick-fedora-mirror, by a symbolic link, qfm takes that \
        program's options, says what it said, and ends with 0 or 1.";
    section(&mut roff, "CONFIGURATION OF QUICK-FEDORA-MIRROR", old, []);
    let modes = "Modes are upstream's, without set-id bits and without the right of others to write (rsync.safe_modes). What a list marks as \
        restricted is not mirrored; with restricted = true it is, for its owner and its group. What turns restricted is closed for \
        others at the start of the run that learns of it, before anything is transferred, and also where it is not to be mirrored \
        and its deletion is held. qfm-bitflip(1) opens a release at its hour, before the lists say so. All of this rests on who runs what:";
    section(&mut roff, "WHO MAY READ", modes, who_may_read());
    section(&mut roff, "CHECKIN", CHECKIN, []);
    roff.control("SH", ["EXAMPLE"]);
    roff.control("nf", []);
    for line in include_str!("../../examples/qfm.toml").lines().filter(|line| !line.is_empty()) {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    see_also(&mut roff, &[("qfm.1", "")]);
    roff.to_writer(out)
}

/// Writes qfm(1), qfm.toml(5) and a page for each command into a directory, which must exist.
pub fn pages(directory: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    page(&mut text)?;
    std::fs::write(directory.join("qfm.1"), &text)?;
    text.clear();
    file_page(&mut text)?;
    std::fs::write(directory.join(FILE_PAGE), &text)?;
    // Without what is common to all commands: that stands in qfm(1).
    let mut bare = Arguments::command().disable_help_subcommand(true);
    bare.build();
    bare.get_subcommands().try_for_each(|command| command_pages(command, directory))
}

fn command_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let man = dated(Man::new(command.clone()).title(name.to_uppercase()));
    let mut text = Vec::new();
    man.render(&mut text)?;
    let mut roff = Roff::new();
    see_also(&mut roff, &[("qfm.1", ": the settings, exit codes and files of all commands")]);
    roff.to_writer(&mut text)?;
    std::fs::write(directory.join(man.get_filename()), text)?;
    command.get_subcommands().try_for_each(|command| command_pages(command, directory))
}

fn dated(man: Man) -> Man {
    man.date(DATE).manual(MANUAL).source(concat!("qfm ", env!("CARGO_PKG_VERSION")))
}

/// A term and what it means.
type Term = (Vec<Inline>, String);

fn section(roff: &mut Roff, title: &str, introduction: &str, terms: impl IntoIterator<Item = Term>) {
    roff.control("SH", [title]);
    if !introduction.is_empty() {
        roff.text([roman(introduction)]);
    }
    for (term, text) in terms {
        roff.control("TP", []);
        roff.text(term);
        roff.text([roman(text)]);
    }
}

fn see_also(roff: &mut Roff, pages: &[(&str, &str)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for (page, what) in pages {
        let (name, number) = page.rsplit_once('.').unwrap_or((page, "1"));
        let comma = if line.is_empty() { "" } else { ", " };
        line.extend([roman(comma), bold(name), roman(format!("({number}){what}"))]);
    }
    roff.text(line);
}

fn plain(term: &str, text: impl Into<String>) -> Term {
    (vec![bold(term)], text.into())
}

fn exit_status() -> impl Iterator<Item = Term> {
    Status::ALL.into_iter().map(|status| plain(&status.code().to_string(), status.sentence()))
}

fn files() -> [Term; 4] {
    [
        plain(
            "$XDG_CONFIG_HOME/qfm/qfm.toml, ~/.config/qfm/qfm.toml",
            "The configuration, if neither --config nor QFM_CONFIG names another. `qfm config init` writes a sample.",
        ),
        plain(SYSTEM_FILE, "The configuration, if there is none above."),
        plain(
            "/etc/quick-fedora-mirror.conf, ~/.config/quick-fedora-mirror.conf",
            "A configuration of quick-fedora-mirror, if there is none above.",
        ),
        plain(
            "/var/lib/qfm",
            "The saved state, one folder for each mirror root; the setting state names another place.",
        ),
    ]
}

fn who_may_read() -> [Term; 3] {
    [
        plain(
            "qfm",
            "A user of its own, or root. Owners and groups are upstream's where rsync may set them: owners as root only, groups also \
             as a member. Everything else belongs to the user and its primary group: let that be a group without other members.",
        ),
        plain(
            "Web servers and public rsync daemons",
            "Users who do not own the tree and are in no group that has files there, never root: for rsyncd, uid = nobody and \
             gid = nogroup. A web server that is a member of the mirror's group publishes what is restricted.",
        ),
        plain(
            "A daemon for mirrors that may have what is restricted",
            "A member of the group of the restricted files (for rsyncd: gid = GROUP), with auth users and a secrets file, or hosts \
             allow, as a daemon or at least a module of its own.",
        ),
    ]
}

fn environment() -> [Term; 4] {
    [
        plain("QFM_CONFIG", "The configuration file, as --config."),
        plain("QFM_…", "The settings, as above."),
        plain("XDG_CONFIG_HOME, HOME", "Where the configuration is looked for."),
        plain("TMPDIR", "Where a dry run keeps its working files."),
    ]
}

/// What is to be known before a check-in is set up.
const CHECKIN: &str = "MirrorManager lets only hosts check in that are marked private there; public mirrors are crawled. What a check-in \
    names takes the place of what was known: so it is never sent in part, nor without a directory, and held where a category shrank \
    (checkin.max_shrink). A run that committed something sends one request for each host; one that failed (11) does not fail the \
    run, and the next one sends it. The password is taken from checkin.password (QFM_CHECKIN_PASSWORD), checkin.password_file, the \
    credential qfm.checkin-password of the service (LoadCredential= in systemd.exec(5)), or the file of report_mirror, in this order. \
    Of that file categories count whose path lies in the directory of a module. Authorities are those of the system; SSL_CERT_FILE and \
    SSL_CERT_DIR name others in their place. A proxy, which must let CONNECT pass, is the one that https_proxy names, or http_proxy for an \
    address with http://, or else all_proxy; no_proxy excepts hosts and what is below them; all also in capitals.";

/// A setting as flag and as variable.
fn flag(setting: &Setting) -> Term {
    let (flag, variable) = (format!("--{}", setting.flag()), setting.variable());
    let value = setting.kind.placeholder();
    // A flag that stands alone means true, and takes no word after it for its value.
    let (before, after) = if matches!(setting.kind, Kind::Bool) { ("[=", "], ") } else { (" ", ", ") };
    if setting.kind == Kind::Secret {
        return (vec![bold(variable)], meaning(setting));
    }
    (vec![bold(flag), roman(before), italic(value), roman(after), bold(variable)], meaning(setting))
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

fn table_of(table: Option<&str>) -> impl Iterator<Item = Term> {
    SETTINGS.iter().filter(move |setting| setting.table() == table).map(key)
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
    use crate::config::setting::FAMILIES;

    fn text(render: fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut text = Vec::new();
        render(&mut text).expect("written to memory");
        // Hyphens are escaped in roff.
        String::from_utf8(text).expect("UTF-8").replace('\\', "")
    }

    #[test]
    fn the_page_has_every_code_and_every_variable() {
        let text = text(page);
        for status in Status::ALL {
            assert!(text.contains(status.sentence()), "{status:?}");
        }
        assert!(SETTINGS.iter().all(|setting| text.contains(&setting.variable())));
        for setting in crate::config::setting::flags() {
            let value = setting.kind.placeholder();
            let value = if value == "true|false" { format!("[=fI{value}fR], ") } else { format!(" fI{value}fR, ") };
            assert!(text.contains(&format!("--{}fR{value}", setting.flag())), "{}", setting.key);
        }
        for title in ["EXIT STATUS", "FILES", "ENVIRONMENT"] {
            assert!(text.contains(title), "{title}");
        }
    }

    #[test]
    fn the_page_of_the_file_has_every_setting_and_every_word() {
        let text = text(file_page);
        for setting in SETTINGS.iter().chain(FAMILIES.iter().flat_map(|family| family.settings)) {
            assert!(text.contains(&format!("fB{}fR = ", setting.leaf())), "{}", setting.key);
        }
        for (word, ..) in CATEGORIES {
            assert!(text.contains(&format!("fB{word}fR")), "{word}");
        }
        let tables: std::collections::BTreeSet<&str> = SETTINGS.iter().filter_map(Setting::table).collect();
        for table in tables {
            assert!(text.contains(&format!("TABLE [{table}]")), "{table}");
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
