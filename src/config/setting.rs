//! The one table of all settings.
//!
//! The file, the environment, the flags, `config show`, the sample of `config init` and the manual are made from it.
//! A setting with the key `rsync.timeout` stands in the file as `timeout` below `[rsync]`, in the environment as
//! `QFM_RSYNC_TIMEOUT` and on the command line as `--rsync-timeout`.
//!
//! An empty value (`""`, `--flag=`) of a setting that has no default means "not set", and takes back what a weaker
//! source said. An empty environment variable is ignored.

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key with its table, such as `rsync.timeout`; in a [`Family`], the key below `[TABLE.NAME]`.
    pub key: &'static str,
    /// What the value is.
    pub kind: Kind,
    /// What holds where nothing is said.
    pub fallback: Fallback,
    /// A value other than the default, as it is written in the file.
    pub example: &'static str,
    /// What it does, in one sentence or two.
    pub help: &'static str,
}

/// What the value of a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line of text.
    Text,
    /// One line of text that shows nowhere: it has no flag, because all users see command lines.
    Secret,
    /// An absolute path.
    Path,
    /// A program: a name that is looked up in `PATH`, or an absolute path.
    Program,
    /// An rsync source, see [`super::Upstream`].
    Upstream,
    /// Yes or no.
    Bool,
    /// A whole number between two bounds, both included.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A whole number of percent, 0 to 100.
    Percent,
    /// A time span such as `10m`, `90s`, `7d`.
    Duration {
        /// The shortest, in seconds.
        min: u64,
    },
    /// A rate as rsync's `--bwlimit` takes it: KiB per second, or with a unit such as `m`.
    Rate,
    /// A number of bytes, with a unit such as `G` for GiB.
    Size,
    /// Several texts.
    List(Split),
    /// Several texts without commas, or this one word.
    ListOrWord(&'static str),
    /// Levels of the log, by topic.
    Levels,
    /// One of these words.
    Words(&'static [&'static str]),
    /// An IP address.
    Address,
}

impl Kind {
    /// The placeholder in synopsis and help.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Kind::Text | Kind::Secret => "TEXT",
            Kind::Path => "PATH",
            Kind::Program => "PROGRAM",
            Kind::Upstream => "SOURCE",
            Kind::Bool => "true|false",
            Kind::Integer { .. } => "N",
            Kind::Percent => "PERCENT",
            Kind::Duration { .. } => "DURATION",
            Kind::Rate => "RATE",
            Kind::Size => "SIZE",
            Kind::List(Split::Commas) | Kind::ListOrWord(_) => "NAME,…",
            Kind::List(Split::Terms) => "TERM",
            Kind::Levels => "LEVELS",
            Kind::Words(_) => "WORD",
            Kind::Address => "ADDRESS",
        }
    }

    /// Whether several values can be given.
    pub const fn is_list(self) -> bool {
        matches!(self, Kind::List(_) | Kind::ListOrWord(_))
    }
}

/// How a list is written where there is only text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Commas separate, in the environment and in flags; flags can be repeated too.
    Commas,
    /// Items may contain commas: one flag for each item; in the environment newlines separate, or blanks if there is no newline.
    Terms,
}

/// What holds where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, as it is written in the file.
    Is(&'static str),
    /// Nothing.
    Unset,
    /// It must be said.
    Required,
    /// In a family: the general setting with this key.
    Inherits(&'static str),
}

use Fallback::{Inherits, Is, Required, Unset};

const fn setting(
    key: &'static str,
    kind: Kind,
    fallback: Fallback,
    example: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, kind, fallback, example, help }
}

/// All settings but those of single modules, in the order in which they are shown; tables are together.
pub const SETTINGS: &[Setting] = &[
    setting(
        "upstream",
        Kind::Upstream,
        Required,
        r#""rsync://mirror.example.org/fedora-buffet""#,
        "Where lists and content come from: the rsync module that holds all modules' directories. Forms: rsync://host/module, host::module, host:/path (over ssh), /path. Not needed if each module has its own.",
    ),
    setting(
        "root",
        Kind::Path,
        Required,
        r#""/srv/mirror/pub""#,
        "The mirror root: the directory that holds the modules' directories.",
    ),
    setting(
        "state",
        Kind::Path,
        Is(r#""/var/lib/qfm""#),
        r#""/srv/qfm-state""#,
        "The directory for saved lists and locks, outside the modules' directories.",
    ),
    setting(
        "modules",
        Kind::ListOrWord("all"),
        Required,
        r#"["fedora-enchilada", "fedora-epel"]"#,
        "The modules to mirror, or \"all\" for Fedora's whole buffet: all built-in modules and DIRECTORY_SIZES.txt.",
    ),
    setting(
        "list",
        Kind::Text,
        Is(r#""fullfiletimelist-$mdir""#),
        r#""filelist-$mdir""#,
        "The name of the list at the top of a module's directory; $mdir stands for the directory.",
    ),
    setting(
        "extra_files",
        Kind::List(Split::Commas),
        Is(r#"["fullfilelist", "imagelist-$mdir"]"#),
        r#"["imagelist-$mdir"]"#,
        "Other files at the top of a module's directory, fetched when the module changed, if upstream has them.",
    ),
    setting(
        "restricted",
        Kind::Bool,
        Is("false"),
        "true",
        "Also mirror what upstream keeps from the public until release day (pre-bitflip content), with upstream's modes: see WHO MAY READ in qfm.toml(5).",
    ),
    setting(
        "check_indexes",
        Kind::Bool,
        Is("false"),
        "true",
        "Let a new repomd.xml, and what lies beside it, take its place only when all indexes that it names are here with the checksums \
         that it gives; else the repository stays as it is, and the run is partial. Without this, it must be the one that the list names.",
    ),
    setting(
        "full_check_every",
        Kind::Duration { min: 0 },
        Is(r#""7d""#),
        r#""3h""#,
        "Compare every directory as a whole once in this time, a few in each run; 0s: all of them in every run.",
    ),
    setting(
        "read_altered",
        Kind::Size,
        Is(r#""16G""#),
        r#""500M""#,
        "What others touched here may have other content behind the right size and time. So many bytes of it in each module and each \
         full_check_every are compared by content, which both sides read; what is more is told of once, stays in doubt, and waits for \
         qfm verify --repair. 0: nothing is read.",
    ),
    setting(
        "warn_after",
        Kind::Duration { min: 0 },
        Is(r#""1d""#),
        r#""6h""#,
        "A run that finds another one under way ends silently (4), unless no run ended well for this long: then it says so.",
    ),
    setting(
        "time_file",
        Kind::Path,
        Unset,
        r#""/var/lib/mirror/timefile""#,
        "The TIMEFILE of quick-fedora-mirror, where qfm takes its place. While one of the two runs, the other does not start. \
         Where nothing is saved yet, its LASTTIME and the list in the tree spare the first run questions about content that did not change since. \
         After each run of all modules that ends well, it has the time of that (LASTTIME), so that going back is possible.",
    ),
    setting("jobs", Kind::Integer { min: 1, max: 256 }, Is("8"), "4", "How many local directories are read at once."),
    setting(
        "progress",
        Kind::Words(&["auto", "always", "never"]),
        Is(r#""auto""#),
        r#""never""#,
        "When the progress display is drawn; auto: if standard error is a terminal.",
    ),
    setting(
        "log_file",
        Kind::Path,
        Unset,
        r#""/var/log/qfm/qfm.log""#,
        "Also append to this file what each run says and does, path by path, and what triggers do. It may be rotated at any time. \
         A dry run leaves it alone.",
    ),
    setting(
        "log_level",
        Kind::Levels,
        Unset,
        r#""info,rsync=debug,push=trace""#,
        "How much the log file and the journal of systemd get: off, error, warn, info, debug (each path, each call of rsync) or trace; for all \
         topics, or for one of run, lists, compare, plan, transfer, delete, rsync, hardlink, checkin, push and jobs. Without it the file gets debug, \
         and the journal what -q and -v say of standard error.",
    ),
    setting(
        "filter.exclude",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["debug", "arch:s390x", 're:\.(iso|qcow2){1,2}$']"#,
        "What is left out: categories such as debug, source, iso, arch:NAME, release:N, re:REGEX, or ere:REGEX as POSIX has it. What a module excludes is added.",
    ),
    setting(
        "filter.only",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["release:43", "arch:x86_64"]"#,
        "What alone is carried, in the words of exclude; empty: everything.",
    ),
    setting(
        "filter.keep_releases",
        Kind::Integer { min: 0, max: 1000 },
        Is("0"),
        "3",
        "How many of the newest releases are carried; 0: all.",
    ),
    setting(
        "rsync.program",
        Kind::Program,
        Is(r#""rsync""#),
        r#""/opt/rsync/bin/rsync""#,
        "The rsync program: a name looked up in PATH, or an absolute path.",
    ),
    setting(
        "rsync.options",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["--chmod=D755,F644", "--no-motd"]"#,
        "Options added to qfm's own, one item each (--name=value); what would break qfm's promises is refused.",
    ),
    setting(
        "rsync.timeout",
        Kind::Duration { min: 1 },
        Is(r#""10m""#),
        r#""3h""#,
        "A call of rsync ends when nothing has come for this long, or next to nothing: less than 64 bytes a second. A daemon must let qfm in within this time, whatever it has to say.",
    ),
    setting(
        "rsync.connect_timeout",
        Kind::Duration { min: 1 },
        Is(r#""60s""#),
        r#""30s""#,
        "How long connecting to a daemon may take.",
    ),
    setting(
        "rsync.deadline",
        Kind::Duration { min: 1 },
        Unset,
        r#""8h""#,
        "How long all calls of a run together may take.",
    ),
    setting(
        "rsync.bwlimit",
        Kind::Rate,
        Unset,
        r#""20m""#,
        "The bandwidth limit, as rsync's --bwlimit takes it: KiB per second, or with a unit such as m.",
    ),
    setting(
        "rsync.address_family",
        Kind::Words(&["any", "ipv4", "ipv6"]),
        Is(r#""any""#),
        r#""ipv4""#,
        "Which addresses of upstream are used.",
    ),
    setting(
        "rsync.one_address",
        Kind::Bool,
        Is("true"),
        "false",
        "Look a daemon's name up once for each run, and make all calls to one of its addresses, so that lists and content are of one host; false: leave the name to rsync. A proxy and rsync-ssl get the name in any case.",
    ),
    setting("rsync.bind", Kind::Address, Unset, r#""192.0.2.7""#, "The local address to connect from."),
    setting("rsync.user", Kind::Text, Unset, r#""mirror""#, "The user name for the daemon."),
    setting(
        "rsync.password_file",
        Kind::Path,
        Unset,
        r#""/etc/qfm/password""#,
        "A file with the daemon's password, that other users cannot read.",
    ),
    setting(
        "rsync.retries",
        Kind::Integer { min: 0, max: 1000 },
        Is("10"),
        "3",
        "How often a call is tried again after trouble that may pass.",
    ),
    setting(
        "rsync.retry_delay",
        Kind::Duration { min: 0 },
        Is(r#""2s""#),
        r#""5s""#,
        "The wait before the first retry; it doubles with each.",
    ),
    setting(
        "rsync.compress_lists",
        Kind::Bool,
        Is("true"),
        "false",
        "Fetch what changed in the lists, compressed; false: fetch changed lists whole, which is faster on a link of more than 2 Gbit/s.",
    ),
    setting(
        "rsync.confine",
        Kind::Bool,
        Is("true"),
        "false",
        "Have the kernel (Landlock) keep rsync from writing anywhere but below the mirror root, and below the work directory for lists; \
         false for a program of one's own that writes elsewhere. Not used with a remote shell.",
    ),
    setting(
        "rsync.safe_modes",
        Kind::Bool,
        Is("true"),
        "false",
        "Publish no set-id bits and nothing that others may write to, whatever upstream has; false: of what comes from then on, modes \
         as upstream has them.",
    ),
    setting(
        "rsync.safe_links",
        Kind::Bool,
        Is("true"),
        "false",
        "Leave out symbolic links that lead out of what upstream publishes; false: publish them as upstream has them.",
    ),
    setting(
        "delete.mode",
        Kind::Words(&["now", "after", "never"]),
        Is(r#""now""#),
        r#""never""#,
        "now: delete at the end of the run; after: when delete.after has passed; never: only count and report what upstream no longer has.",
    ),
    setting(
        "delete.after",
        Kind::Duration { min: 0 },
        Unset,
        r#""2h""#,
        "How long what upstream no longer has stays here, for clients that still read the old indexes; without it 2h if delete.mode is after, else no time. What is excluded, restricted or was never listed does not stay.",
    ),
    setting(
        "delete.max_share",
        Kind::Percent,
        Is("30"),
        "10",
        "Deletions of a module wait for a human above this share (percent) of its entries …",
    ),
    setting(
        "delete.min_entries",
        Kind::Integer { min: 0, max: i64::MAX as u64 },
        Is("50"),
        "1000",
        "… if they are also more entries than this.",
    ),
    setting(
        "delete.max_shrink",
        Kind::Percent,
        Is("30"),
        "50",
        "They wait too if the module's list shrank within a day by more than this share (percent), in entries (and then by more than delete.min_entries) or in the bytes that it names (by more than 1 GiB).",
    ),
    setting(
        "space.check",
        Kind::Bool,
        Is("true"),
        "false",
        "Begin nothing if what is new upstream does not fit; false: for file systems that compress or share blocks, where its size says little.",
    ),
    setting(
        "space.margin",
        Kind::Percent,
        Is("5"),
        "10",
        "How much more than what is needed must be free, in percent of it.",
    ),
    setting(
        "checkin.site",
        Kind::Text,
        Unset,
        r#""Example University""#,
        "The name of the site in MirrorManager, letter for letter. With it, a run tells MirrorManager which directories are here.",
    ),
    setting(
        "checkin.password",
        Kind::Secret,
        Unset,
        r#""correct horse""#,
        "The site's password. In the file only where others cannot read that; better in checkin.password_file, or as the credential \
         qfm.checkin-password of the systemd service.",
    ),
    setting(
        "checkin.password_file",
        Kind::Path,
        Unset,
        r#""/etc/qfm/checkin-password""#,
        "A file with the site's password in its first line, that other users cannot read.",
    ),
    setting(
        "checkin.host",
        Kind::Text,
        Unset,
        r#""mirror.example.org""#,
        "The name of the host in MirrorManager, letter for letter; without it the name of this machine.",
    ),
    setting(
        "checkin.report_mirror",
        Kind::Path,
        Unset,
        r#""/etc/mirrormanager-client/report_mirror.conf""#,
        "The configuration of report_mirror, that server, site, password, host and categories are taken from where no setting says them; \
         Fedora's old server, which nobody answers at, is not.",
    ),
    setting(
        "checkin.endpoint",
        Kind::Text,
        Is(r#""https://mirrormanager.fedoraproject.org/xmlrpc""#),
        r#""https://mirrors.example.org/xmlrpc""#,
        "Where MirrorManager is called.",
    ),
    setting(
        "checkin.timeout",
        Kind::Duration { min: 1 },
        Is(r#""5m""#),
        r#""10m""#,
        "How long one call of MirrorManager may take in all; it needs half a minute for 100,000 directories.",
    ),
    setting(
        "checkin.retries",
        Kind::Integer { min: 0, max: 1000 },
        Is("3"),
        "10",
        "How often a call is tried again after trouble that may pass.",
    ),
    setting(
        "checkin.retry_delay",
        Kind::Duration { min: 0 },
        Is(r#""5s""#),
        r#""1s""#,
        "The wait before the first retry; it doubles with each.",
    ),
    setting(
        "checkin.max_shrink",
        Kind::Percent,
        Is("30"),
        "50",
        "A check-in waits for a human if a category has fewer directories than last time by more than this share (percent).",
    ),
    setting(
        "push.mirrors",
        Kind::Path,
        Unset,
        r#""/etc/qfm/runmirrors.mirror""#,
        "A runmirrors.mirror file of Debian's mirror tools, as it stands: who downstream is told of each run that changed something, beside those who have a table [downstream.NAME].",
    ),
    setting(
        "push.ssh",
        Kind::Program,
        Is(r#""ssh""#),
        r#""/opt/openssh/bin/ssh""#,
        "The ssh program: a name looked up in PATH, or an absolute path.",
    ),
    setting(
        "push.key",
        Kind::Path,
        Unset,
        r#""/etc/qfm/push-key""#,
        "The key for all who have none of their own; without it ssh chooses.",
    ),
    setting(
        "push.options",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["-4", "-oStrictHostKeyChecking=accept-new"]"#,
        "Options of ssh for all pushes, one item each. BatchMode=yes, ConnectTimeout=45 and keep-alives every 45 seconds stand before them, and no password is asked for.",
    ),
    setting(
        "push.archive",
        Kind::Text,
        Unset,
        r#""releases""#,
        "The archive that those are told of who name none (the word sync:archive:NAME); without it the other side's default.",
    ),
    setting(
        "push.stage_wait",
        Kind::Duration { min: 0 },
        Is(r#""10m""#),
        r#""1h""#,
        "When the first of those who are told in stages is done with stage 1, the others are waited for so long before stage 2 begins (PUSHDELAY of Debian's tools).",
    ),
    setting(
        "push.timeout",
        Kind::Duration { min: 1 },
        Is(r#""2m""#),
        r#""30s""#,
        "How long a push without stages may take: what it starts on the other side should not last.",
    ),
    setting(
        "push.deadline",
        Kind::Duration { min: 1 },
        Is(r#""30m""#),
        r#""2h""#,
        "How long all pushes of a run may take together. The run lasts so much longer, but has given its locks back.",
    ),
    setting("push.jobs", Kind::Integer { min: 1, max: 1000 }, Is("32"), "8", "How many are told at once."),
    setting(
        "push.strict",
        Kind::Bool,
        Is("false"),
        "true",
        "A push that failed makes a run that is otherwise done end with 11; false: it is only said.",
    ),
    setting(
        "trace.file",
        Kind::Text,
        Unset,
        r#""project/trace/{host}""#,
        "A trace file as Debian's mirrors have it, below the mirror root or at an absolute path; {host} stands for trace.host. It is written after a complete run that brought newer lists, and neither deleted nor fetched.",
    ),
    setting(
        "trace.host",
        Kind::Text,
        Unset,
        r#""mirror.example.org""#,
        "What this mirror is called; without it the name of this machine.",
    ),
    setting(
        "trace.maintainer",
        Kind::Text,
        Unset,
        r#""Mirror Admins <mirror@example.org>""#,
        "Who looks after the mirror, for the trace.",
    ),
    setting(
        "trace.in_progress",
        Kind::Text,
        Unset,
        r#""Archive-Update-in-Progress-{host}""#,
        "A file that is there while a run changes the mirror, named as trace.file. What a killed run left of it goes when the next one starts.",
    ),
    setting(
        "status.html",
        Kind::Path,
        Unset,
        r#""/srv/mirror/pub/status.html""#,
        "A page for the public that says how this mirror is, written after each run, also after one that failed; outside the modules' directories. `qfm status --html FILE` writes one without a run.",
    ),
    setting(
        "status.title",
        Kind::Text,
        Is(r#""Mirror status""#),
        r#""mirror.example.org""#,
        "What that page calls this mirror.",
    ),
    setting(
        "status.metrics",
        Kind::Path,
        Unset,
        r#""/var/lib/prometheus/node-exporter/qfm.prom""#,
        "Metrics for the textfile collector of Prometheus' node exporter, written after each run, also after one that failed; outside the modules' directories. `qfm status --metrics` prints them.",
    ),
    setting(
        "hook.before",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["/usr/local/sbin/mount-mirror"]"#,
        "A program that is started before a run asks upstream for anything, when it has its locks: an absolute path and its arguments, one item each; no shell sees them. If it fails, nothing is begun, and the run ends with 10. In its environment are QFM_HOOK (before), QFM_HOOK_ROOT (the mirror root) and QFM_HOOK_MODULES (names, with blanks between); what is known of the run, as --json prints it, is its standard input. What it writes goes to standard error. A dry run starts no hook.",
    ),
    setting(
        "hook.changed",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["/usr/local/sbin/purge-cdn", "--soft"]"#,
        "A program that is started at the end of a run that changed something, however that went, while it has its locks: such as one that purges the caches of a CDN. As hook.before, and QFM_HOOK_STATUS and QFM_HOOK_CODE (how it ended), QFM_HOOK_CHANGED and QFM_HOOK_REMOVED: files with the paths below the mirror root that came or changed, and that went (a directory stands for all below it), each ended by NUL. A path may stand there twice. If it fails, the run ends with 11, and the next one starts it with these paths too.",
    ),
    setting(
        "hook.failed",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["/usr/local/sbin/page", "--topic=mirror"]"#,
        "A program that is started when a run has ended with anything but 0 and 4, or without having begun; not after a signal, nor where the call or the configuration is wrong (2). As hook.before, and QFM_HOOK_STATUS and QFM_HOOK_CODE. What it ends with changes nothing.",
    ),
    setting(
        "hook.timeout",
        Kind::Duration { min: 1 },
        Is(r#""5m""#),
        r#""30s""#,
        "A hook that takes longer has failed, and is ended with its process group: by SIGTERM, and by SIGKILL ten seconds later.",
    ),
    setting(
        "listen.address",
        Kind::Text,
        Is(r#""127.0.0.1:8473""#),
        r#""unix:/run/qfm/trigger.sock""#,
        "Where `qfm listen` listens: an IP address and a port, or unix: and the path of a socket that its user and group may connect to. Sockets that systemd hands over come first.",
    ),
    setting(
        "listen.start",
        Kind::Words(&["itself", "systemctl"]),
        Is(r#""itself""#),
        r#""systemctl""#,
        "Who starts a job: the listener itself, or systemd, as qfm@JOB.service.",
    ),
    setting(
        "listen.trusted_proxies",
        Kind::List(Split::Commas),
        Is("[]"),
        r#"["127.0.0.1"]"#,
        "The addresses of proxies: of a request that comes from one, the last address in X-Forwarded-For is where it came from. Who comes through a Unix socket is believed as well.",
    ),
    setting(
        "listen.rate",
        Kind::Integer { min: 0, max: 100_000 },
        Is("60"),
        "10",
        "How many requests in a minute may be in vain (wrong secret, no such job, anything else) from one address, before it is not listened to for a while; 0: any number.",
    ),
    setting(
        "listen.timeout",
        Kind::Duration { min: 1 },
        Is(r#""10s""#),
        r#""30s""#,
        "How long a request may take to come, and its answer to go.",
    ),
];

/// The settings of one module, below `[module.NAME]`; also `--set module.NAME.key=VALUE`.
pub const MODULE_SETTINGS: &[Setting] = &[
    setting(
        "directory",
        Kind::Text,
        Required,
        r#""rocky""#,
        "The module's directory below the mirror root; Fedora's modules have it built in.",
    ),
    setting(
        "upstream",
        Kind::Upstream,
        Unset,
        r#""rsync://mirror.example.org/rocky-linux""#,
        "The rsync module of this module alone, where there is no module that holds all.",
    ),
    setting("list", Kind::Text, Inherits("list"), r#""fullfiletimelist-rocky""#, "The name of this module's list."),
    setting(
        "extra_files",
        Kind::List(Split::Commas),
        Inherits("extra_files"),
        r#"["README"]"#,
        "The extra files of this module, in place of the general ones.",
    ),
    setting(
        "exclude",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["source"]"#,
        "What is left out of this module, added to filter.exclude.",
    ),
    setting(
        "only",
        Kind::List(Split::Terms),
        Inherits("filter.only"),
        r#"["arch:aarch64"]"#,
        "What alone is carried of this module, in place of filter.only.",
    ),
    setting(
        "keep_releases",
        Kind::Integer { min: 0, max: 1000 },
        Inherits("filter.keep_releases"),
        "2",
        "How many of the newest releases of this module are carried, in place of filter.keep_releases; 0: all.",
    ),
    setting(
        "checkin_category",
        Kind::Text,
        Unset,
        r#""fedora epel""#,
        "The module's category in MirrorManager; Fedora's modules have it built in, and \"\" leaves a module out.",
    ),
    setting(
        "checkin_prefix",
        Kind::Text,
        Unset,
        r#""fedora/linux""#,
        "Where the category begins, below the mirror root; without it at the module's directory. Fedora's modules have it built in.",
    ),
    setting(
        "checkin_host",
        Kind::Text,
        Inherits("checkin.host"),
        r#""epel.example.org""#,
        "The name of the host that has this module, in place of checkin.host.",
    ),
];

/// The settings of one job, below `[job.NAME]`.
pub const JOB_SETTINGS: &[Setting] = &[
    setting(
        "modules",
        Kind::List(Split::Commas),
        Is("[]"),
        r#"["fedora-epel"]"#,
        "The modules that it syncs; empty: all of this configuration.",
    ),
    setting(
        "config",
        Kind::Path,
        Unset,
        r#""/etc/qfm/releases.toml""#,
        "Another configuration of qfm whose modules it syncs, in place of this one's.",
    ),
    setting(
        "command",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["/usr/local/bin/archive-sync", "--quiet"]"#,
        "A command that it runs in place of qfm: an absolute program and its arguments, one item each; no shell sees them. \
         In its environment QFM_JOB is the name of the job, QFM_STAGE what is asked for (stage1, stage2 or all), and QFM_TRIGGER where that came from \
         (ssh, http or local).",
    ),
    setting(
        "deadline",
        Kind::Duration { min: 1 },
        Unset,
        r#""6h""#,
        "How long it may run, and how long a session waits for it to begin: then it is ended, by SIGTERM, and SIGKILL 10 seconds later.",
    ),
    setting(
        "callback",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["-i", "/etc/qfm/callback", "archvsync@upstream.example.org"]"#,
        "Who is told over ssh that it is done, where the word sync:callback asks for it: options of ssh, one item each, and the login last.",
    ),
    setting(
        "secret_sha256",
        Kind::Text,
        Unset,
        r#""3a5f1c08…""#,
        "The SHA-256 of the secret that starts it over HTTP (qfm listen), in hexadecimal digits: `qfm config trigger-url JOB` makes a secret, and says it.",
    ),
    setting(
        "secret_file",
        Kind::Path,
        Unset,
        r#""/etc/qfm/archive-secret""#,
        "A file with that secret itself in its first line, of 16 characters at least, that other users cannot read; in place of secret_sha256.",
    ),
];

/// The settings of one downstream, below `[downstream.NAME]`.
pub const DOWNSTREAM_SETTINGS: &[Setting] = &[
    setting("ssh", Kind::Text, Unset, r#""archvsync@tier2.example.org""#, "Who is told over ssh: user@host, or host."),
    setting(
        "kind",
        Kind::Words(&["all", "staged", "mhop"]),
        Is(r#""all""#),
        r#""staged""#,
        "all: told once. staged: told of stage 1, and of stage 2 when all staged ones have theirs. mhop: the same, and its own staged downstreams belong to its stage 1.",
    ),
    setting("key", Kind::Path, Inherits("push.key"), r#""/etc/qfm/tier2-key""#, "Its key, in place of push.key."),
    setting(
        "options",
        Kind::List(Split::Terms),
        Is("[]"),
        r#"["-p", "2222"]"#,
        "Options of ssh for it, added to push.options; one item each.",
    ),
    setting(
        "archive",
        Kind::Text,
        Inherits("push.archive"),
        r#""fedora""#,
        "The archive that it is told of, in place of push.archive.",
    ),
    setting(
        "url_file",
        Kind::Path,
        Unset,
        r#""/etc/qfm/tier2-url""#,
        "In place of ssh: a file with the URL that triggers it in its first line, which is called with a GET. Who knows the URL can do so: other users should not be able to read the file.",
    ),
    setting(
        "url",
        Kind::Secret,
        Unset,
        r#""https://fedora:correct-horse@tier2.example.org/trigger""#,
        "The URL itself. In the file only where others cannot read that; better in url_file.",
    ),
];

/// The tables that stand once, in the order of their settings: the name, and what the manual says before those.
pub const TABLES: &[(&str, &str)] = &[
    ("filter", "What the mirror carries of its modules. The words of filters are listed below."),
    ("rsync", "How rsync is called."),
    ("delete", "What may be deleted, and how much of it without a human."),
    ("space", "How much room there must be before anything is begun."),
    ("checkin", "How MirrorManager is told what is here: see CHECKIN below."),
    ("push", "How downstreams are told that something changed here: see qfm-push(7)."),
    ("trace", "What others see of how fresh this mirror is: see qfm-push(7)."),
    ("status", "What says how this mirror is, after each run: see qfm-status(1)."),
    ("hook", "Programs that are started before and after a run."),
    ("listen", "How `qfm listen` takes triggers over HTTP. What can be triggered is each [job.NAME] with a secret."),
];

/// Tables that stand once for each of several things that have names, such as `[module.NAME]`.
#[derive(Debug)]
pub struct Family {
    /// The name of the table, such as `module`.
    pub table: &'static str,
    /// What the manual says before the settings.
    pub introduction: &'static str,
    /// What can be said of each.
    pub settings: &'static [Setting],
}

/// All of them.
pub const FAMILIES: &[Family] = &[MODULES, JOBS, DOWNSTREAMS];

/// What is said of single modules.
pub const MODULES: Family = Family {
    table: "module",
    introduction: "A table for each module that needs one, with the name of the rsync module. Fedora's modules are built in and need \
        none.",
    settings: MODULE_SETTINGS,
};

/// What triggers start.
pub const JOBS: Family = Family {
    table: "job",
    introduction: "A table for each job: what a trigger starts (qfm-push(7)), with a name of letters, digits, dots, dashes and \
        underscores. It syncs modules of this configuration, or those of another one, or runs a command: at most one of modules, \
        config and command is said. Where no job is, there is one that is named default and syncs all modules.",
    settings: JOB_SETTINGS,
};

/// Who is told of what is new here.
pub const DOWNSTREAMS: Family = Family {
    table: "downstream",
    introduction: "A table for each mirror that is told when something changed here (qfm-push(7)), over ssh or by a URL. Those that \
        the file push.mirrors names are told too.",
    settings: DOWNSTREAM_SETTINGS,
};

/// The settings that can be given on the command line.
pub fn flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.kind != Kind::Secret)
}

impl Setting {
    /// The environment variable, such as `QFM_RSYNC_TIMEOUT`.
    pub fn variable(&self) -> String {
        format!("QFM_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The flag without its dashes, such as `rsync-timeout`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The table of the file that holds it, such as `rsync`; `None` at the top.
    pub fn table(&self) -> Option<&'static str> {
        self.key.rsplit_once('.').map(|(table, _)| table)
    }

    /// The key within its table, such as `timeout`.
    pub fn leaf(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, leaf)| leaf)
    }

    /// What the sample shows: the default as it is written in the file, `""` for nothing, an example for what must be said.
    pub fn sample(&self) -> &'static str {
        match self.fallback {
            Is(text) => text,
            Unset => r#""""#,
            Required => self.example,
            Inherits(key) => find(key).map_or(self.example, Setting::sample),
        }
    }
}

/// The setting with a full key; `module.NAME.key` finds the module's setting, whatever the name.
pub fn find(key: &str) -> Option<&'static Setting> {
    match split_key(key) {
        Some((family, _, leaf)) => family.settings.iter().find(|setting| setting.key == leaf),
        None => SETTINGS.iter().find(|setting| setting.key == key),
    }
}

/// Cuts `module.NAME.key` into family, name and key; the name may contain dots.
pub fn split_key(key: &str) -> Option<(&'static Family, &str, &str)> {
    let (table, rest) = key.split_once('.')?;
    let family = FAMILIES.iter().find(|family| family.table == table)?;
    rest.rsplit_once('.').map(|(name, leaf)| (family, name, leaf))
}

impl Family {
    /// The header of the table of one: `[module.NAME]`, with quotes where the name needs them.
    pub fn header(&self, name: &str) -> String {
        let is_bare = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let name = if is_bare { name.to_owned() } else { toml::Value::from(name).to_string() };
        format!("[{}.{name}]", self.table)
    }
}

/// The name that was probably meant, if one is near enough.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = name.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| known)
}

/// What to write instead of a key that does not exist.
pub fn instead_of(key: &str) -> String {
    if let Some((family, name, leaf)) = split_key(key) {
        let known = || family.settings.iter().map(|setting| setting.key);
        return match nearest(leaf, known()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("{} takes {}", family.header(name), known().collect::<Vec<_>>().join(", ")),
        };
    }
    let (table, leaf) = key.rsplit_once('.').map_or((None, key), |(table, leaf)| (Some(table), leaf));
    let is_table = |name: &str| SETTINGS.iter().any(|setting| setting.table() == Some(name));
    // The usual slip: the right key in the wrong table, or after a table's header where it was meant for the top.
    if table.is_none_or(is_table)
        && let Some(setting) = SETTINGS.iter().find(|setting| setting.leaf() == leaf)
    {
        return match setting.table() {
            Some(table) => format!("`{leaf}` belongs below [{table}]; its full key is {}", setting.key),
            None => format!("`{leaf}` belongs at the top of the file, before the first [table]"),
        };
    }
    let tables = SETTINGS.iter().filter_map(Setting::table).chain(FAMILIES.iter().map(|family| family.table));
    match nearest(key, SETTINGS.iter().map(|setting| setting.key).chain(tables)) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`qfm config init` shows all keys".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_variables_and_flags_are_unique() {
        let unique = |name: fn(&Setting) -> String| SETTINGS.iter().map(name).collect::<BTreeSet<_>>().len();
        assert_eq!(unique(|s| s.key.to_string()), SETTINGS.len());
        assert_eq!(unique(Setting::variable), SETTINGS.len());
        assert_eq!(unique(Setting::flag), SETTINGS.len());
    }

    #[test]
    fn tables_stand_together_after_the_top() {
        let mut tables: Vec<_> = SETTINGS.iter().map(Setting::table).collect();
        tables.dedup();
        let expected: Vec<_> = std::iter::once(None).chain(TABLES.iter().map(|(table, _)| Some(*table))).collect();
        assert_eq!(tables, expected);
    }

    #[test]
    fn names_follow_from_the_key() {
        let setting = find("rsync.connect_timeout").expect("in the table");
        assert_eq!(setting.variable(), "QFM_RSYNC_CONNECT_TIMEOUT");
        assert_eq!(setting.flag(), "rsync-connect-timeout");
        assert_eq!((setting.table(), setting.leaf()), (Some("rsync"), "connect_timeout"));
    }

    #[test]
    fn slips_are_understood() {
        assert_eq!(instead_of("rsync.tmeout"), "did you mean `rsync.timeout`?");
        assert_eq!(instead_of("timeout"), "`timeout` belongs below [rsync]; its full key is rsync.timeout");
        assert_eq!(instead_of("rsnc.user"), "did you mean `rsync.user`?");
        assert_eq!(instead_of("rsnc"), "did you mean `rsync`?");
        assert_eq!(instead_of("rsync.jobs"), "`jobs` belongs at the top of the file, before the first [table]");
        assert_eq!(instead_of("module.a.b.exlude"), "did you mean `exclude`?");
        assert!(instead_of("colour").contains("config init"));
    }
}
