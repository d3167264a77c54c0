//! The commands, and the arguments of each.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser, ValueHint};
use clap::error::ErrorKind;
use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::value::{self, Pattern, coming, moment};
use crate::config::job;
use crate::list::write::CHECKSUMS_OF;
use crate::path::{RelPath, RelPathBuf};
use crate::plan::relink::Match;
use crate::push::trigger_url::Base;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Make the mirror equal to upstream; the command that runs if none is named
    Sync(Sync),
    /// Compare everything with the saved lists, without network, and say what is wrong
    ///
    /// Kind, size and times of all entries, and the content of files that a list gives a checksum of. Where a run is at work, or changes the
    /// mirror meanwhile, that is all it says (4).
    Verify(Verify),
    /// Show what the mirror needs, by module, release, architecture and category, from the lists alone
    Size(Size),
    /// Look at all that a run needs, and say what is wrong and what to do; change nothing
    ///
    /// The configuration, rsync, upstream and its lists, the mirror root and the modules' directories, the state, room, users and modes,
    /// clocks, runs, and what starts them. Each line is OK, WARN or FAIL; what depends on something that failed is SKIP. Each check ends
    /// by a limit of its own. A WARN does not count: the exit status is 0, or what a run would end with. Lists are fetched as for a dry
    /// run. Call it as the user who runs qfm.
    Doctor(Doctor),
    /// Show how the mirror is: how fresh, what is open, and the last runs
    ///
    /// It reads the saved state alone, beside a run too, and changes nothing. A module is as old as the last run that ended well and was
    /// about it (0, 7 or 11), or as the first run if none did. With --warning or --critical it is a plugin for monitoring: one line, and the
    /// exit status below, which is not that of other commands. What is wrong with the call itself is 2. Without them it is 10 if
    /// something of the state cannot be read.
    #[command(after_help = super::health_codes())]
    Status(Status),
    /// Make one file of equal ones, as hard links, to gain space
    ///
    /// Candidates come from the lists in the tree: files with the same last part, size and list time. Those that have the same owner,
    /// group, mode and mtime too are read, each once; of equal ones, by SHA-256, one takes the names of the others. No name is missing
    /// for a moment. Extended attributes and ACLs are not looked at. So many files are read at once as there are processors, and no more
    /// than `--jobs`: 1 suits a single spinning disk.
    Hardlink(Hardlink),
    /// Open to everybody what upstream's lists still mark as restricted: the bitflip, at the hour of a release
    ///
    /// A mirror that is given releases before they are public (restricted = true) keeps them from others by upstream's modes. This gives
    /// all others the right to read (a+rX) what the applied lists mark, at and below PATH; nothing that they do not name or that they give
    /// to everybody already, and nothing behind a symbolic link. Files are opened first, then directories, the deepest first. Without
    /// --yes it only shows what that is. Runs leave it open as long as upstream does not change it again: what is newer than
    /// all that was opened, and restricted all the same, is closed. The mode of a file is that of all its hard links.
    Bitflip(Bitflip),
    /// Tell MirrorManager which directories are here, without a run
    ///
    /// A run does this itself, when checkin.site is set and something was committed. What is told is the committed state of each
    /// module, and takes the place of what MirrorManager knew. Without MODULE and --all, it is what MirrorManager was not told yet.
    Checkin(Checkin),
    /// Tell downstreams that something is new here, without a run
    ///
    /// A run does this itself, where something is new that they were not told of. Who is told stands in the tables [downstream.NAME] of qfm.toml(5), and in
    /// the file push.mirrors. What it says depends on no push; with --strict, or push.strict, it is 11 if one failed.
    Push(Push),
    /// Show what changed between two lists: + came, - went, ~ differs
    ///
    /// The lists may be in any order. A row that one of them has twice may be shown although both have it.
    Diff(Diff),
    /// Make the lists of a tree of one's own, for mirrors that follow them
    ///
    /// Each DIRECTORY gets its list at its top, named as the setting list says. All lists take their places together, when all are made,
    /// or none does; one that would be the same is left alone. Left out are what its group may not read, symbolic links that lead
    /// nowhere, names with a line feed (then 8), devices, what NFS and rsync keep for themselves, and the lists. Of the
    /// settings, root, list and jobs matter.
    MakeList(MakeList),
    /// Start a job for who comes over ssh: the forced command of a key
    ///
    /// Takes the words that Debian's pushers send, in SSH_ORIGINAL_COMMAND: sync:all, or no word, has the job run and ends at once;
    /// sync:stage1 and sync:stage2 end when that stage is done; sync:archive:NAME names the job; sync:mhop tells one's own downstreams
    /// that have stages of stage 1, before the session ends; sync:callback has upstream told at the end. Words that are given here are stronger. Other words are ignored, and said. Settings come from the configuration file alone, not
    /// from flags or the environment.
    Trigger(Trigger),
    /// Run a job now, and once more if a trigger comes meanwhile
    ///
    /// A job is what triggers start: see [job.NAME] in qfm.toml(5). Where it is running already, it runs once more after that, and this
    /// command ends at once. Settings come from the configuration file alone, not from flags or the environment. The exit status is that
    /// of the last run: what its command ended with, 124 if its deadline passed, 126 or 127 if it cannot be run, 128 and the number of
    /// the signal that ended it; 11 if only pushes failed, with push.strict.
    RunJob(RunJob),
    /// Listen for triggers over HTTP, and start the jobs that they name
    ///
    /// A job that has a secret is started by GET or POST of /JOB/SECRET/trigger, or of /trigger with JOB and SECRET as basic
    /// authentication; the answer (202) does not wait for it. Whatever else can be read is answered with 404. GET of /healthz is answered with 200.
    /// A trigger that comes during a run makes one more run, however many come. What was triggered before the listener ended is started
    /// when it begins. Settings come from the configuration file alone, which is read anew at SIGHUP. It ends in order, with 0, at SIGTERM
    /// and SIGINT.
    Listen,
    /// Write, check, show or import the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page qfm(1), in the format of man(7)
    Man {
        /// Write all pages into this directory instead: qfm(1), qfm.toml(5), qfm-lists(5), qfm-push(7), and one for each command
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: Option<PathBuf>,
    },
    /// Show qfm at work in a temporary directory, with an rsync daemon of its own
    Demo,
}

/// `qfm sync`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Sync {
    /// The modules to sync; without one, all that are configured
    #[arg(id = "MODULE")]
    pub modules: Vec<String>,
    /// Show the plan, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Compare everything, not only what changed: also finds files that were overwritten in place, which their directory does not show
    #[arg(short = 'a', long)]
    pub full: bool,
    /// Transfer, but delete nothing, and leave lists and saved state as they are: the next run does the rest
    #[arg(short = 'N', long)]
    pub transfer_only: bool,
    /// Transfer only what nothing names yet: packages and new indexes, no replaced index, no pointer, no list; the next run does the rest
    #[arg(long)]
    pub content_only: bool,
    /// Where another run is under way, wait for its end instead of giving way (4)
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// Only transfer anew, whatever they look like, the entries whose DIRECTORY/PATH this regular expression matches anywhere; it is
    /// matched against bytes, and is of the kind that re: takes in filters; delete nothing, and leave lists and saved state as they are
    #[arg(long, value_name = "REGEX", value_parser = Pattern::parse)]
    pub refresh: Option<Pattern>,
    /// Compare everything, and put right the times of all directories
    #[arg(long)]
    pub dir_times: bool,
    /// Compare everything, and also ask rsync about what the lists say is not older than this: seconds since the epoch, or a time as
    /// date(1) takes it, such as yesterday, '3 days ago', '2026-05-01 12:00'
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<i64>,
    /// Leave it to the next run, or to qfm push, to tell downstreams of what is new
    #[arg(long)]
    pub no_push: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Exit with 3 if there is something to do, or something was done
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Delete in this module, or below MODULE/PATH, however much it is; can be repeated
    #[arg(long, value_name = "MODULE[/PATH]")]
    pub allow_delete: Vec<String>,
    /// Plan from this saved list, without network; can be repeated; implies --dry-run; other modules are left alone
    #[arg(id = "list-file", long, value_name = "MODULE=PATH", value_parser = ListFile::parser(), value_hint = ValueHint::FilePath)]
    pub list_files: Vec<ListFile>,
    /// With --dry-run: write the parts of the plan into this directory, which is made in one that is there, as NUL-separated names
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub plan_out: Option<PathBuf>,
}

/// `qfm verify`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Verify {
    /// The modules to verify; without one, all that are configured
    #[arg(id = "MODULE")]
    pub modules: Vec<String>,
    /// Also compare the content of the indexes that a repomd.xml in the tree gives checksums of
    #[arg(long)]
    pub checksums: bool,
    /// Put right what is wrong: a full run that does not believe the times of what others touched
    #[arg(long)]
    pub repair: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Exit with 3 if nothing is wrong, but something is here that should not be; with --repair, if anything changed
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `qfm size`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The modules to measure; without one, all that are configured
    #[arg(id = "MODULE")]
    pub modules: Vec<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Measure this saved list, without network; can be repeated
    #[arg(id = "list-file", long, value_name = "MODULE=PATH", value_parser = ListFile::parser(), value_hint = ValueHint::FilePath)]
    pub list_files: Vec<ListFile>,
}

/// `qfm doctor`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Doctor {
    /// The modules to look at; without one, all that are configured
    #[arg(id = "MODULE")]
    pub modules: Vec<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `qfm status`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The modules to show; without one, all that are configured
    #[arg(id = "MODULE")]
    pub modules: Vec<String>,
    /// Print one JSON object, with all that is known
    #[arg(long, conflicts_with_all = ["warning", "critical", "html", "metrics"])]
    pub json: bool,
    /// Print metrics for Prometheus, in its text format; the setting status.metrics has each run write them to a file
    #[arg(long, conflicts_with_all = ["warning", "critical", "html"])]
    pub metrics: bool,
    /// For monitoring: warn of a module that is older than this, such as 6h or '1d 12h'
    #[arg(short, long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "html")]
    pub warning: Option<Duration>,
    /// For monitoring: the same, where it is critical
    #[arg(short, long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "html")]
    pub critical: Option<Duration>,
    /// Write a page for the public to this file, whole and at once; the setting status.html has each run do so
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
}

/// `qfm hardlink`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardlink {
    /// The modules to look at; without one, all that are configured
    #[arg(id = "MODULE")]
    pub modules: Vec<String>,
    /// Show what would be gained, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// What makes files candidates, beside their size: name and list time; name, also where the times differ; or size alone
    #[arg(long = "match", value_name = "WHAT", default_value = "time", value_parser = matches())]
    pub by: Match,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Exit with 3 if there is something to do, or something was done
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// The words of `--match`.
fn matches() -> impl TypedValueParser<Value = Match> {
    PossibleValuesParser::new(["time", "name", "size"]).map(|word| match word.as_str() {
        "name" => Match::Name,
        "size" => Match::Size,
        _ => Match::Time,
    })
}

/// `qfm bitflip`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitflip {
    /// What is opened, with all below it: a path below the mirror root, such as fedora/linux/releases/43; without it, all
    #[arg(value_name = "PATH", value_parser = below_root())]
    pub path: Option<RelPathBuf>,
    /// Do it
    #[arg(long)]
    pub yes: bool,
    /// Show what would be opened, and change nothing: what also happens without --yes
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Show what would be opened, and print the lines that have systemd, or at(1), do it then: seconds since the epoch, or a time as date(1)
    /// takes it, such as '2026-04-14 14:00 UTC'
    #[arg(long, value_name = "TIME", value_parser = coming, conflicts_with_all = ["yes", "json"])]
    pub at: Option<i64>,
    /// Where a run is under way, wait for its end instead of giving way (4)
    #[arg(long)]
    pub wait: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A path below the mirror root.
fn below_root() -> impl TypedValueParser<Value = RelPathBuf> {
    OsStringValueParser::new().try_map(|text| {
        // A shell completes the name of a directory with a slash.
        let bytes = text.as_encoded_bytes();
        let path = RelPath::new(bytes.strip_suffix(b"/").unwrap_or(bytes));
        path.map(RelPath::to_owned)
            .map_err(|error| format!("{error}; write a path below the mirror root, such as fedora/linux/releases/43"))
    })
}

/// `qfm checkin`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkin {
    /// The modules to tell, whether or not anything of them is new
    #[arg(id = "MODULE")]
    pub modules: Vec<String>,
    /// Tell all modules, whether or not anything is new
    #[arg(long)]
    pub all: bool,
    /// Tell also what has shrunk by more than checkin.max_shrink
    #[arg(long)]
    pub force: bool,
    /// Show what would be sent, as JSON, without the password
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Write the request of each module to FILE-MODULE instead, as XML-RPC; the password is in it, and only its owner may read it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "dry_run")]
    pub dump: Option<PathBuf>,
}

/// `qfm push`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// Who is told, without any pause; without one, all of them
    #[arg(id = "NAME")]
    pub names: Vec<String>,
    /// Tell them only if something is new here that they were not told of
    #[arg(long, conflicts_with = "NAME")]
    pub due: bool,
    /// Show what would be called, and in which order; URLs are not shown
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Exit with 11 if somebody could not be told
    #[arg(long)]
    pub strict: bool,
    /// Print the result as one JSON object
    #[arg(long, conflicts_with = "dry_run")]
    pub json: bool,
}

/// `qfm diff`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The list to start from
    #[arg(value_hint = ValueHint::FilePath)]
    pub old: PathBuf,
    /// The list to compare it with
    #[arg(value_hint = ValueHint::FilePath)]
    pub new: PathBuf,
    /// Print one JSON object, with what both lists say of each path
    #[arg(long)]
    pub json: bool,
    /// Print the paths alone, each ended by NUL
    #[arg(short = '0', long, conflicts_with = "json")]
    pub null: bool,
    /// Exit with 3 if the lists differ
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `qfm make-list`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct MakeList {
    /// The directories below the root to list
    #[arg(id = "DIRECTORY", required = true, value_hint = ValueHint::DirPath)]
    pub directories: Vec<String>,
    /// Say what would change, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Write fullfilelist too: all paths, one a line
    #[arg(long)]
    pub plain: bool,
    /// Write imagelist-DIRECTORY too: the paths of images, one a line
    #[arg(long)]
    pub images: bool,
    /// Give the checksums of the files of this name; can be repeated
    #[arg(long = "checksum", value_name = "NAME", default_value = CHECKSUMS_OF, value_parser = value::name())]
    pub checksums_of: Vec<OsString>,
    /// Sort the names of each directory, instead of taking them as the file system has them
    #[arg(long)]
    pub sort: bool,
    /// Exit with 3 if a list changed, or would change
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `qfm trigger`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Trigger {
    /// The job, and words that are stronger than those that are sent, such as sync:all; without a job the one that is sent, that is
    /// named default, or the only one
    #[arg(id = "WORD")]
    pub words: Vec<String>,
}

/// `qfm run-job`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct RunJob {
    /// The job; without it the one that is named default, or the only one
    #[arg(id = "JOB")]
    pub job: Option<String>,
    /// Run it only if a trigger asks for it
    #[arg(long)]
    pub triggered: bool,
    /// The same, in a session of its own
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// `qfm config …`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Write a commented sample with every setting
    Init {
        /// The file to write, which must not exist; without it, standard output
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Check the configuration, and say all that is wrong
    ///
    /// What hooks, jobs and pushes need on this machine is looked at too, and nothing is changed, started or called: programs, keys, other
    /// configurations, files with secrets and URLs, and push.mirrors. What is certain to fail is an error; what this user may not look at, a warning.
    Check,
    /// Show every setting, its value and where it comes from
    Show {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the line of authorized_keys with which a key may trigger a job, and nothing else
    AuthorizedKey {
        /// The public key of who pushes: a .pub file
        #[arg(value_hint = ValueHint::FilePath)]
        key: PathBuf,
        /// The job; without it the one that is named default, or the only one
        job: Option<String>,
        /// An address or pattern from which the key is good; can be repeated
        #[arg(long, value_name = "ADDRESS")]
        from: Vec<String>,
    },
    /// Make a secret for triggers of a job over HTTP, and print its URLs, and what to put into the configuration
    TriggerUrl {
        /// The job
        #[arg(id = "JOB", value_parser = job_name)]
        job: String,
        /// Where upstream reaches the listener, or the web server in front of it; without it, https:// and the name of this machine
        #[arg(long, value_name = "URL", value_parser = Base::parse)]
        at: Option<Base>,
    },
    /// Print a configuration of quick-fedora-mirror as TOML, and in comments what has no setting
    Import {
        /// The file; it is read, and never run
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Print only what the file assigns, as one JSON object: strings, arrays, objects; passwords too
        #[arg(long)]
        assignments: bool,
    },
}

fn job_name(text: &str) -> Result<String, &'static str> {
    const FORM: &str =
        "a job's name consists of letters, digits, `.`, `-` and `_`, and begins with none of `.` and `-`";
    if job::is_name(text) { Ok(text.to_owned()) } else { Err(FORM) }
}

/// A saved list that takes the place of upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFile {
    /// The module.
    pub module: String,
    /// The list.
    pub path: PathBuf,
}

impl ListFile {
    fn parser() -> impl TypedValueParser<Value = ListFile> {
        OsStringValueParser::new().try_map(|text| ListFile::parse(&text))
    }

    fn parse(text: &OsStr) -> Result<ListFile, &'static str> {
        const FORM: &str = "write MODULE=PATH, for example fedora-epel=/tmp/fullfiletimelist-epel";
        let bytes = text.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=').ok_or(FORM)?;
        let (module, path) = (&bytes[..at], &bytes[at + 1..]);
        match std::str::from_utf8(module) {
            Ok(module) if !module.is_empty() && !path.is_empty() => {
                Ok(ListFile { module: module.to_string(), path: OsStr::from_bytes(path).into() })
            }
            _ => Err(FORM),
        }
    }
}

impl Sync {
    /// Whether the plan is all that is wanted.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run || !self.list_files.is_empty()
    }

    /// What of it does not go together, wherever it stands.
    pub(super) fn contradiction(&self) -> Option<(ErrorKind, &'static str)> {
        if self.plan_out.is_some() && !self.is_dry_run() {
            Some((ErrorKind::MissingRequiredArgument, "--plan-out needs --dry-run or --list-file"))
        } else if self.content_only && (self.is_dry_run() || self.refresh.is_some()) {
            let what = "--content-only is a part of a run, and goes with none of --dry-run, --list-file and --refresh";
            Some((ErrorKind::ArgumentConflict, what))
        } else {
            None
        }
    }

    /// The flags before and after the word `sync` together; the later wins where there is one value.
    pub(super) fn and(self, later: Sync) -> Sync {
        Sync {
            modules: [self.modules, later.modules].concat(),
            dry_run: self.dry_run || later.dry_run,
            full: self.full || later.full,
            transfer_only: self.transfer_only || later.transfer_only,
            content_only: self.content_only || later.content_only,
            wait: self.wait || later.wait,
            no_push: self.no_push || later.no_push,
            refresh: later.refresh.or(self.refresh),
            dir_times: self.dir_times || later.dir_times,
            since: later.since.or(self.since),
            json: self.json || later.json,
            detailed_exitcode: self.detailed_exitcode || later.detailed_exitcode,
            allow_delete: [self.allow_delete, later.allow_delete].concat(),
            list_files: [self.list_files, later.list_files].concat(),
            plan_out: later.plan_out.or(self.plan_out),
        }
    }
}
