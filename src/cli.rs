//! The command line: commands and their flags, and a flag for every setting of [`crate::config::setting`].
//!
//! `qfm` alone, and `qfm MODULE…`, is `qfm sync`. What is common to all commands (the settings, `--config`, `--set`,
//! `-v`, `-q`) can stand before and after the command's name, and adds up.

mod command;
pub mod complete;
pub mod manual;
pub mod schedule;
pub mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, ValueHint};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::config::setting::{self, Kind, Setting, flags};
use crate::config::{Override, Overrides};
use crate::exit::{self, Health};
pub use command::*;

/// What the help of a command says of the flags that it leaves out.
const SETTINGS_ELSEWHERE: &str = "Each setting is a flag too: `qfm --help` names them, qfm.toml(5) explains them.";

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Cli {
    /// What to do.
    pub command: Command,
    /// What the command line says about the configuration.
    pub overrides: Overrides,
}

/// Keeps a Linux mirror in step with its upstream, from the file lists that upstream publishes
#[derive(Parser)]
#[command(name = "qfm", version)]
struct Arguments {
    #[command(flatten)]
    sync: Sync,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The whole command line, for parsing, help and completions.
pub fn command() -> clap::Command {
    common(Arguments::command()).after_help(exit_codes())
}

/// Reads the command line, the program's name first.
///
/// The error is also how clap asks for help or version to be printed; [`clap::Error::exit_code`] is 2 for wrong usage.
pub fn parse<T: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = T>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let Arguments { sync, command: named } = Arguments::from_arg_matches(&matches)?;
    let given = match named {
        None => Command::Sync(sync),
        Some(Command::Sync(later)) => Command::Sync(sync.and(later)),
        Some(other) if sync == Sync::default() => other,
        Some(_) => {
            let name = matches.subcommand_name().unwrap_or_default();
            let what =
                format!("a flag or module of sync stands before `{name}`; write the flags of {name} after its name");
            return Err(command.error(ErrorKind::ArgumentConflict, what));
        }
    };
    if let Command::Sync(sync) = &given
        && let Some((kind, what)) = sync.contradiction()
    {
        return Err(command.error(kind, what));
    }
    let overrides = overrides(&matches).map_err(|what| command.error(ErrorKind::ArgumentConflict, what))?;
    Ok(Cli { command: given, overrides })
}

fn exit_codes() -> String {
    let lines = exit::Status::ALL.map(|status| format!("  {:>3}  {}", status.code(), status.sentence()));
    format!("Exit status:\n{}", lines.join("\n"))
}

fn health_codes() -> String {
    let lines = Health::ALL.map(|health| format!("  {}  {}", health.code(), health.sentence()));
    format!("Exit status with --warning or --critical:\n{}", lines.join("\n"))
}

/// Adds what is common to all commands. Not clap's global arguments: of those, what stands after a command's name
/// replaces what stands before it.
fn common(command: clap::Command) -> clap::Command {
    // The settings are the same everywhere: to explain them once is enough.
    let in_subcommand = |command| common(command).mut_args(unexplained_setting).after_help(SETTINGS_ELSEWHERE);
    common_but_settings(command).args(flags().map(flag)).mut_subcommands(in_subcommand)
}

fn unexplained_setting(arg: Arg) -> Arg {
    if setting::find(arg.get_id().as_str()).is_some() { arg.hide_long_help(true) } else { arg }
}

fn common_but_settings(command: clap::Command) -> clap::Command {
    command
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_hint(ValueHint::FilePath)
                .value_parser(clap::value_parser!(PathBuf))
                .action(ArgAction::Append)
                .help("Read this configuration file"),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .value_parser(|text: &str| match text.split_once('=') {
                    Some((key, value)) if !key.is_empty() => Ok((key.to_string(), value.to_string())),
                    _ => Err("write KEY=VALUE, for example module.fedora-epel.keep_releases=2"),
                })
                .help("Set any setting, also of a module (module.NAME.KEY=VALUE); can be repeated"),
        )
        .arg(
            Arg::new("verbose")
                .short('v')
                .long("verbose")
                .action(ArgAction::Count)
                .help("Say each path with its cause; twice: each call of rsync too"),
        )
        .arg(
            Arg::new("quiet")
                .short('q')
                .long("quiet")
                .action(ArgAction::SetTrue)
                .overrides_with("quiet")
                .help("Say only what is wrong; of a dry run, too"),
        )
}

fn flag(setting: &Setting) -> Arg {
    let help = match setting.fallback {
        crate::config::setting::Fallback::Is(default) => format!("{} [default: {default}]", setting.help),
        _ => setting.help.to_string(),
    };
    let flag = Arg::new(setting.key)
        .long(setting.flag())
        .value_name(setting.kind.placeholder())
        .action(ArgAction::Append)
        .help_heading(setting.table().map_or("Settings".to_owned(), |table| format!("Settings [{table}]")))
        .hide_short_help(true)
        .help(help);
    match setting.kind {
        Kind::Bool => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Words(words) => flag.value_parser(PossibleValuesParser::new(words)),
        Kind::Path | Kind::Program => flag.value_hint(ValueHint::AnyPath),
        Kind::List(_) => flag.allow_hyphen_values(setting.key == "rsync.options"),
        _ => flag,
    }
}

/// What stands before and after the names of commands, together.
fn overrides(matches: &ArgMatches) -> Result<Overrides, &'static str> {
    let mut overrides = Overrides::default();
    let mut set: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut given: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let (mut verbose, mut quiet) = (0, false);
    let mut level = Some(matches);
    while let Some(matches) = level {
        if let Some(mut files) = matches.get_many::<PathBuf>("config") {
            overrides.config = files.next_back().cloned();
        }
        for (key, value) in matches.get_many::<(String, String)>("set").into_iter().flatten() {
            set.entry(key.clone()).or_default().push(value.clone());
        }
        for setting in flags() {
            if matches.value_source(setting.key) == Some(ValueSource::CommandLine) {
                let texts = matches.get_many::<String>(setting.key).into_iter().flatten().cloned();
                given.entry(setting.key).or_default().extend(texts);
            }
        }
        verbose += i8::try_from(matches.get_count("verbose")).unwrap_or(i8::MAX).min(2);
        quiet |= matches.get_flag("quiet");
        level = matches.subcommand().map(|(_, matches)| matches);
    }
    if verbose > 0 && quiet {
        return Err("--verbose and --quiet exclude each other");
    }
    overrides.verbosity = if quiet { -1 } else { verbose.min(2) };
    let set = set.into_iter().map(|(key, texts)| Override { key, flag: "--set".to_string(), texts });
    let given = flags().filter_map(|setting| {
        let texts = given.remove(setting.key)?;
        Some(Override { key: setting.key.to_string(), flag: format!("--{}", setting.flag()), texts })
    });
    overrides.settings = set.chain(given).collect();
    Ok(overrides)
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::value::Pattern;
    use super::*;

    fn read(line: &str) -> Cli {
        parse(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn sync(line: &str) -> Sync {
        match read(line).command {
            Command::Sync(sync) => sync,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refused(line: &str) -> String {
        let error = parse(line.split(' ')).expect_err(line);
        assert_eq!(error.exit_code(), i32::from(exit::Status::Usage.code()), "{line}");
        error.to_string()
    }

    #[test]
    fn clap_finds_no_fault() {
        command().debug_assert();
    }

    #[test]
    fn sync_is_the_default() {
        assert_eq!(sync("qfm"), Sync::default());
        let expected = Sync { modules: vec!["fedora-epel".into()], full: true, ..Sync::default() };
        for line in
            ["qfm fedora-epel -a", "qfm --full fedora-epel", "qfm sync fedora-epel --full", "qfm -a sync fedora-epel"]
        {
            assert_eq!(sync(line), expected, "{line}");
        }
    }

    #[test]
    fn all_flags_of_sync_are_read() {
        let line =
            "qfm --json -n --detailed-exitcode --allow-delete a --allow-delete=b --list-file m=/l=x --plan-out /p x y";
        let list_files = vec![ListFile { module: "m".into(), path: "/l=x".into() }];
        assert_eq!(
            sync(line),
            Sync {
                modules: vec!["x".into(), "y".into()],
                dry_run: true,
                json: true,
                detailed_exitcode: true,
                allow_delete: vec!["a".into(), "b".into()],
                list_files,
                plan_out: Some("/p".into()),
                ..Sync::default()
            }
        );
        let asked = sync("qfm -N --refresh ^epel/.*rpm$ --dir-times --since 17 sync --since @18");
        let expected = Sync { transfer_only: true, dir_times: true, since: Some(18), ..Sync::default() };
        assert_eq!(asked, Sync { refresh: Pattern::parse("^epel/.*rpm$").ok(), ..expected });
        assert!(parse(["qfm", "--refresh", "("]).is_err() && parse(["qfm", "--since", "soon"]).is_err());
        assert!(sync("qfm --list-file m=/l").is_dry_run());
        assert!(!sync("qfm m").is_dry_run());
    }

    #[test]
    fn a_part_of_a_run_is_not_asked_for_with_what_is_another_kind_of_run() {
        for with in ["--dry-run", "--list-file m=/l", "--refresh ."] {
            for line in [format!("qfm --content-only {with}"), format!("qfm {with} sync --content-only")] {
                assert!(refused(&line).contains("--content-only is a part of a run"), "{line}");
            }
        }
        assert!(sync("qfm sync --content-only -N").content_only);
    }

    #[test]
    fn the_other_commands_are_read() {
        let size = Size { modules: vec!["m".into()], json: true, list_files: Vec::new() };
        assert_eq!(read("qfm size --json m").command, Command::Size(size));
        let doctor = Doctor { modules: vec!["m".into()], json: true };
        assert_eq!(read("qfm doctor m --json").command, Command::Doctor(doctor));
        let verify = Verify { modules: vec!["m".into()], checksums: true, repair: true, ..Verify::default() };
        assert_eq!(read("qfm verify --repair m --checksums").command, Command::Verify(verify));
        let dump = Checkin { modules: vec!["m".into()], force: true, dump: Some("/f".into()), ..Checkin::default() };
        assert_eq!(read("qfm checkin --force m --dump /f").command, Command::Checkin(dump));
        assert_eq!(read("qfm config check").command, Command::Config(ConfigCommand::Check));
        let init = ConfigCommand::Init { file: Some("/f".into()) };
        assert_eq!(read("qfm config init /f").command, Command::Config(init));
        assert_eq!(read("qfm config show --json").command, Command::Config(ConfigCommand::Show { json: true }));
        assert_eq!(read("qfm completions bash").command, Command::Completions { shell: Shell::Bash });
        assert_eq!(read("qfm man").command, Command::Man { directory: None });
        assert_eq!(read("qfm demo").command, Command::Demo);
    }

    #[test]
    fn wrong_usage_is_refused() {
        assert!(refused("qfm -n config check").contains("before `config`"));
        assert!(refused("qfm --json size").contains("before `size`"));
        assert!(refused("qfm --plan-out /p").contains("--dry-run"));
        assert!(refused("qfm --list-file /l").contains("MODULE=PATH"));
        assert!(refused("qfm --set jobs").contains("KEY=VALUE"));
        assert!(refused("qfm -v sync -q").contains("exclude each other"));
        assert!(refused("qfm --job 3").contains("--jobs"));
        assert!(refused("qfm checkin -n --dump /f").contains("--dump"));
        assert!(refused("qfm --checkin-password hunter2").contains("--checkin-password"));
        refused("qfm config");
    }

    #[test]
    fn common_flags_stand_before_and_after_the_command_and_add_up() {
        let line = "qfm --config /a -v --set jobs=1 --filter-exclude re:a,b --jobs 2 config --set root=/x show -v --jobs=3 --filter-exclude debug";
        let overrides = read(line).overrides;
        assert_eq!(overrides.config, Some("/a".into()));
        assert_eq!(overrides.verbosity, 2);
        let given: Vec<_> =
            overrides.settings.iter().map(|o| format!("{} {} {}", o.flag, o.key, o.texts.join(" "))).collect();
        assert_eq!(
            given,
            ["--set jobs 1", "--set root /x", "--jobs jobs 2 3", "--filter-exclude filter.exclude re:a,b debug"]
        );
        assert_eq!(read("qfm -q").overrides.verbosity, -1);
        assert_eq!(read("qfm -vvvv").overrides.verbosity, 2);
    }

    #[test]
    fn flags_of_yes_and_no_need_no_value() {
        let restricted = |line: &str| read(line).overrides.settings[0].texts.clone();
        assert_eq!(restricted("qfm --restricted"), ["true"]);
        assert_eq!(restricted("qfm --restricted=false"), ["false"]);
        assert_eq!(sync("qfm --restricted fedora-epel").modules, ["fedora-epel"]);
        assert_eq!(read("qfm --rsync-options -z").overrides.settings[0].texts, ["-z"]);
    }

    #[test]
    fn help_hides_the_settings_until_asked_and_names_all_codes() {
        let short = command().render_help().to_string();
        let long = command().render_long_help().to_string();
        assert!(!short.contains("--rsync-timeout") && long.contains("--rsync-timeout"));
        for status in exit::Status::ALL {
            assert!(short.contains(status.sentence()), "{status:?}");
        }
    }
}
