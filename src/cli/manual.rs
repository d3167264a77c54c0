//! The manual pages, made from the command line, the exit codes and the table of settings.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Arguments, command};
use crate::config::SYSTEM_FILE;
use crate::config::setting::{Fallback, SETTINGS};
use crate::exit::Status;

/// Writes qfm(1).
pub fn page(out: &mut dyn Write) -> io::Result<()> {
    let man = Man::new(command());
    man.render_title(out)?;
    man.render_name_section(out)?;
    // The flags of all settings would fill a screen.
    Man::new(Arguments::command()).render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    man.render_subcommands_section(out)?;
    let mut roff = Roff::new();
    let several = "One module's trouble does not stop the others; the status is the most serious one.";
    section(&mut roff, "EXIT STATUS", several, exit_status());
    section(&mut roff, "FILES", "", files());
    let precedence = "A flag is stronger than the environment, that is stronger than the configuration file. \
        An empty variable is ignored. Commas separate the items of a list; those of filters and of rsync's options \
        are separated by newlines, or by blanks if there is no newline.";
    section(&mut roff, "ENVIRONMENT", precedence, environment());
    roff.to_writer(out)?;
    man.render_version_section(out)
}

/// Writes qfm(1) and a page for each command into a directory, which must exist.
pub fn pages(directory: &Path) -> io::Result<()> {
    let mut whole = Vec::new();
    page(&mut whole)?;
    std::fs::write(directory.join("qfm.1"), whole)?;
    // Without what is common to all commands: that stands in qfm(1).
    let mut bare = Arguments::command().disable_help_subcommand(true);
    bare.build();
    bare.get_subcommands().try_for_each(|command| command_pages(command, directory))
}

fn command_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render(&mut text)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("qfm"), roman("(1): the settings, exit codes and files of all commands")]);
    roff.to_writer(&mut text)?;
    std::fs::write(directory.join(man.get_filename()), text)?;
    command.get_subcommands().try_for_each(|command| command_pages(command, directory))
}

fn section(roff: &mut Roff, title: &str, introduction: &str, terms: Vec<(String, String)>) {
    roff.control("SH", [title]);
    if !introduction.is_empty() {
        roff.text([roman(introduction)]);
    }
    for (term, text) in terms {
        roff.control("TP", []);
        roff.text([bold(term)]);
        roff.text([roman(text)]);
    }
}

fn exit_status() -> Vec<(String, String)> {
    Status::ALL.iter().map(|status| (status.code().to_string(), status.sentence().to_string())).collect()
}

fn files() -> Vec<(String, String)> {
    let term = |file: &str, text: &str| (file.to_string(), text.to_string());
    vec![
        term(
            "$XDG_CONFIG_HOME/qfm/qfm.toml, ~/.config/qfm/qfm.toml",
            "The configuration, if neither --config nor QFM_CONFIG names another. `qfm config init` writes a sample.",
        ),
        term(SYSTEM_FILE, "The configuration, if there is none above."),
        term(
            "/var/lib/qfm",
            "The saved state, one folder for each mirror root; the setting state names another place.",
        ),
    ]
}

fn environment() -> Vec<(String, String)> {
    let general = [
        ("QFM_CONFIG", "The configuration file, as --config."),
        ("XDG_CONFIG_HOME, HOME", "Where the configuration is looked for."),
    ];
    let settings = SETTINGS.iter().map(|setting| {
        let default = match setting.fallback {
            Fallback::Is(default) => format!(" Default: {default}."),
            _ => String::new(),
        };
        (setting.variable(), format!("As --{}: {}{default}", setting.flag(), setting.help))
    });
    general.map(|(name, text)| (name.to_string(), text.to_string())).into_iter().chain(settings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_code_and_every_variable() {
        let mut page_text = Vec::new();
        page(&mut page_text).expect("written to memory");
        // Hyphens are escaped in roff.
        let text = String::from_utf8(page_text).expect("UTF-8").replace('\\', "");
        for status in Status::ALL {
            assert!(text.contains(status.sentence()), "{status:?}");
        }
        for setting in SETTINGS {
            assert!(text.contains(&setting.variable()), "{}", setting.key);
            assert!(text.contains(&format!("--{}", setting.flag())), "{}", setting.key);
        }
        for title in ["EXIT STATUS", "FILES", "ENVIRONMENT"] {
            assert!(text.contains(title), "{title}");
        }
    }

    #[test]
    fn each_command_has_a_page() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        pages(directory.path()).expect("written");
        for name in ["qfm.1", "qfm-sync.1", "qfm-size.1", "qfm-config.1", "qfm-config-init.1", "qfm-man.1"] {
            assert!(directory.path().join(name).is_file(), "{name}");
        }
    }
}
