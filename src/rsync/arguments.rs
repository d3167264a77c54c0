//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{AddressFamily, Rsync, Transport, Upstream};
use crate::plan::compare::By;
use crate::plan::leftovers::PARTIAL;

/// Where one call takes from and puts to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The rsync source, without a trailing `/`.
    pub upstream: Upstream,
    /// The directory that stands for it here.
    pub destination: PathBuf,
}

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Fetches lists into a scratch directory.
    Lists {
        /// The scratch directory.
        scratch: PathBuf,
        /// The directories with the saved lists, and with those that others left: what is the same in one is not fetched, what is not
        /// starts from there.
        bases: Vec<PathBuf>,
        /// Look into lists of the same size and time too.
        ignore_times: bool,
    },
    /// Fetches content into the tree.
    Content {
        /// Or into this directory beside it, to be looked at first.
        beside: Option<PathBuf>,
        /// When what came takes its place.
        arrival: Arrival,
        /// By what it is told whether what is here is the file.
        by: By,
        /// Spare rsync its own check of names, which costs quadratic time; ours replaces it.
        trust_sender: bool,
    },
}

impl Purpose {
    /// Whether size and time are not believed.
    pub fn doubts_times(&self) -> bool {
        match self {
            Purpose::Lists { ignore_times, .. } => *ignore_times,
            Purpose::Content { by, .. } => *by != By::Time,
        }
    }
}

/// When a file that came takes its place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Each as soon as it is whole; what is cut off is fetched anew.
    AtOnce,
    /// Each as soon as it is whole; what is cut off is kept, and the next call goes on from there. A look for a leftover of each name
    /// costs a quarter of the call where files are small.
    Resumable,
    /// All of them at the end: for files that clients read together.
    Together,
}

/// The arguments of one call. Names come over stdin, NUL-separated.
pub fn arguments(settings: &Rsync, source: &Source, purpose: &Purpose) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |argument: &str| arguments.push(argument.into());
    // What is said is read by `item`: each name once, unchanged ones too, bytes as they are.
    // Line by line, so that what is shown is what is happening.
    ["--outbuf=L", "-ii", "-8", "--out-format=@%i %l %b %n//%L", "--info=name1", "--stats", "--no-h", "--no-motd"]
        .into_iter()
        .for_each(&mut add);
    ["--from0", "--files-from=-", "--ignore-missing-args"].into_iter().for_each(&mut add);
    match purpose {
        // Upstream's directory may be one that nobody writes to: ours is for us.
        Purpose::Lists { .. } => ["--times", "--chmod=u+rwX"].into_iter().for_each(&mut add),
        Purpose::Content { beside, .. } => {
            // No list names a device.
            ["-aSH", "--no-D"].into_iter().for_each(&mut add);
            // What comes beside the tree is looked at again when it takes its place.
            if settings.safe_links && beside.is_none() {
                add("--safe-links");
            }
            if settings.safe_modes {
                add("--chmod=ug-s,o-w");
            }
        }
    }
    match purpose {
        Purpose::Lists { ignore_times, .. } => {
            // What changed in them, or what they are: anything between costs more than both, on any link (benches/README.md).
            add(if settings.compress_lists { "--compress" } else { "--whole-file" });
            if *ignore_times {
                add("--ignore-times");
            }
        }
        Purpose::Content { arrival, by, trust_sender, .. } => {
            match arrival {
                Arrival::AtOnce => {}
                Arrival::Resumable => add(&format!("--partial-dir={PARTIAL}")),
                Arrival::Together => add("--delay-updates"),
            }
            match by {
                By::Time => {}
                By::Content => add("--checksum"),
                By::Nothing => add("--ignore-times"),
            }
            if *trust_sender {
                add("--trust-sender");
            }
        }
    }
    arguments.extend(connection(settings, &source.upstream));
    if let Purpose::Lists { bases, .. } = purpose {
        arguments.extend(bases.iter().map(|lists| joined("--compare-dest=", lists)));
    }
    arguments.extend(settings.options.iter().cloned());
    arguments.push("--".into());
    arguments.push(format!("{}/", with_user(&source.upstream, settings.user.as_deref())).into());
    arguments.push(joined("", destination(source, purpose).join("").as_path()));
    arguments
}

/// The arguments of a call that has a daemon list its modules, one in each line: its name, spaces, a TAB, a comment. A message of the
/// day comes before: the option that takes it out takes out the modules, too.
pub fn listing(settings: &Rsync, server: &Upstream) -> Vec<OsString> {
    let mut arguments = connection(settings, server);
    arguments.extend(settings.options.iter().cloned());
    arguments.extend(["--".into(), server.0.clone().into()]);
    arguments
}

/// How an upstream is connected to.
fn connection(settings: &Rsync, upstream: &Upstream) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |argument: &str| arguments.push(argument.into());
    add(&format!("--timeout={}", seconds(settings.timeout)));
    if is_daemon(upstream) {
        add(&format!("--contimeout={}", seconds(settings.connect_timeout)));
    }
    match settings.address_family {
        AddressFamily::Any => {}
        AddressFamily::Ipv4 => add("-4"),
        AddressFamily::Ipv6 => add("-6"),
    }
    settings.bind.iter().for_each(|address| add(&format!("--address={address}")));
    settings.bwlimit.iter().for_each(|limit| add(&format!("--bwlimit={limit}")));
    if let Some(file) = settings.password_file.as_deref().filter(|_| is_daemon(upstream)) {
        arguments.push(joined("--password-file=", file));
    }
    arguments
}

/// Where a call writes to, it and all below it; `None` where that is nobody's business: a remote shell keeps files of its own.
pub fn confinement<'d>(settings: &Rsync, source: &'d Source, purpose: &'d Purpose) -> Option<&'d Path> {
    let is_shell = source.upstream.transport() == Transport::Shell;
    (settings.confine && !is_shell).then(|| destination(source, purpose))
}

fn destination<'d>(source: &'d Source, purpose: &'d Purpose) -> &'d Path {
    match purpose {
        Purpose::Lists { scratch, .. } => scratch,
        Purpose::Content { beside: Some(beside), .. } => beside,
        Purpose::Content { .. } => &source.destination,
    }
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

/// rsync counts in whole seconds, and 0 means none.
fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs().max(1)
}

/// Whether an upstream is an rsync daemon: only there connection settings mean anything.
fn is_daemon(upstream: &Upstream) -> bool {
    upstream.transport() == Transport::Daemon
}

fn with_user(upstream: &Upstream, user: Option<&str>) -> String {
    let Some(user) = user.filter(|_| is_daemon(upstream)) else { return upstream.0.clone() };
    match upstream.0.strip_prefix("rsync://") {
        Some(rest) => format!("rsync://{user}@{rest}"),
        None => format!("{user}@{}", upstream.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings() -> Rsync {
        Rsync {
            program: "rsync".into(),
            options: vec!["--sockopts=SO_KEEPALIVE".into()],
            timeout: Duration::from_secs(600),
            connect_timeout: Duration::from_millis(10),
            deadline: None,
            bwlimit: Some("10m".to_owned()),
            address_family: AddressFamily::Ipv6,
            one_address: true,
            bind: Some([127, 0, 0, 1].into()),
            user: Some("tier1".to_owned()),
            password_file: Some("/etc/qfm/secret".into()),
            retries: 0,
            retry_delay: Duration::ZERO,
            compress_lists: true,
            safe_modes: true,
            safe_links: true,
            confine: true,
        }
    }

    fn line(upstream: &str, purpose: &Purpose) -> String {
        let source = Source { upstream: Upstream(upstream.to_owned()), destination: "/srv/pub".into() };
        arguments(&settings(), &source, purpose)
            .iter()
            .map(|argument| argument.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_daemon_is_told_who_we_are_and_never_the_password() {
        let purpose = Purpose::Lists { scratch: "/s".into(), bases: vec!["/l".into()], ignore_times: false };
        let line = line("rsync://host/buffet", &purpose);
        assert!(
            line.ends_with("--compare-dest=/l --sockopts=SO_KEEPALIVE -- rsync://tier1@host/buffet/ /s/"),
            "{line}"
        );
        for part in ["--contimeout=1 ", "--password-file=/etc/qfm/secret", "-6", "--address=127.0.0.1", "--bwlimit=10m"]
        {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn a_call_is_confined_to_its_destination_unless_a_remote_shell_makes_it() {
        let fetch = Purpose::Content { beside: None, arrival: Arrival::AtOnce, by: By::Time, trust_sender: true };
        let lists = Purpose::Lists { scratch: "/s".into(), bases: vec!["/l".into()], ignore_times: false };
        let to = |upstream: &str, purpose: &Purpose, settings: &Rsync| {
            let source = Source { upstream: Upstream(upstream.to_owned()), destination: "/srv/pub".into() };
            confinement(settings, &source, purpose).map(Path::to_owned)
        };
        for upstream in ["rsync://host/buffet", "host::buffet", "/srv/upstream"] {
            assert_eq!(to(upstream, &fetch, &settings()), Some("/srv/pub".into()));
            assert_eq!(to(upstream, &lists, &settings()), Some("/s".into()));
        }
        assert_eq!(to("host:/srv/upstream", &fetch, &settings()), None);
        assert_eq!(to("host::buffet", &fetch, &Rsync { confine: false, ..settings() }), None);
    }

    #[test]
    fn daemon_options_are_left_out_where_no_daemon_is() {
        let purpose =
            Purpose::Content { beside: None, arrival: Arrival::Together, by: By::Nothing, trust_sender: true };
        for upstream in ["/srv/upstream", "host:/srv/upstream"] {
            let line = line(upstream, &purpose);
            assert!(
                !line.contains("--contimeout") && !line.contains("--password-file") && !line.contains("tier1"),
                "{line}"
            );
            assert!(line.contains("--delay-updates --ignore-times --trust-sender"), "{line}");
            assert!(line.ends_with(&format!("-- {upstream}/ /srv/pub/")), "{line}");
        }
        assert!(self::line("host::buffet", &purpose).contains("-- tier1@host::buffet/ "));
    }
}
