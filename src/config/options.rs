//! Which options of rsync an admin may add to ours: those that leave qfm's promises whole.

use super::error::Wrong;

/// Short options that take a value, in the same word or in the next.
const SHORT_WITH_VALUE: &str = "eBTfM@";

const DELETES: &str = "qfm deletes itself, after the guard agreed; see [delete]";
const SOURCES: &str = "qfm removes nothing from a source";
const NAMES: &str = "qfm chooses what is transferred; to leave something out, use [filter]";
const BASIS: &str = "qfm uses it for its own lists";
const VISIBLE: &str = "clients would see half-written files";
const NOTHING: &str = "rsync would succeed without a transfer; use `qfm --dry-run`";
const READS: &str = "qfm reads what rsync prints";
const LAYOUT: &str = "names would end up elsewhere";
const PROTOCOL: &str = "qfm is a client of rsync";
const BEHIND: &str = "it leaves files in the mirror that upstream does not have";

/// Options by the beginning or, where a space follows, by the whole of their name.
const REFUSED_LONG: &[(&str, &str)] = &[
    ("--delete", DELETES),
    ("--del ", DELETES),
    ("--ignore-errors ", DELETES),
    ("--force ", DELETES),
    ("--remove-s", SOURCES),
    ("--files-from", NAMES),
    ("--from0", NAMES),
    ("--no-from0", NAMES),
    ("--filter", NAMES),
    ("--exclude", NAMES),
    ("--include", NAMES),
    ("--cvs-exclude", NAMES),
    ("--max-size", NAMES),
    ("--min-size", NAMES),
    ("--existing", NAMES),
    ("--ignore-existing", NAMES),
    ("--ignore-non-existing", NAMES),
    ("--update", NAMES),
    ("--compare-dest", BASIS),
    ("--copy-dest", BASIS),
    ("--link-dest", BASIS),
    ("--inplace", VISIBLE),
    ("--append", VISIBLE),
    ("--write-devices", VISIBLE),
    ("--dry-run", NOTHING),
    ("--list-only", NOTHING),
    ("--only-write-batch", NOTHING),
    ("--read-batch", NOTHING),
    ("--version", NOTHING),
    ("--help", NOTHING),
    ("--out-format", READS),
    ("--log-format", READS),
    ("--itemize-changes", READS),
    ("--no-itemize-changes", READS),
    ("--8-bit-output", READS),
    ("--human-readable", READS),
    ("--progress", READS),
    ("--info", READS),
    ("--debug", READS),
    ("--verbose", READS),
    ("--quiet", READS),
    ("--relative", LAYOUT),
    ("--no-relative", LAYOUT),
    ("--no-implied-dirs", LAYOUT),
    ("--mkpath", LAYOUT),
    ("--server", PROTOCOL),
    ("--sender", PROTOCOL),
    ("--daemon", PROTOCOL),
    ("--config", PROTOCOL),
    ("--backup", BEHIND),
    ("--password-file", "use rsync.password_file, which is checked"),
    ("--timeout", "use rsync.timeout"),
    ("--contimeout", "use rsync.connect_timeout"),
    ("--bwlimit", "use rsync.bwlimit"),
    ("--address", "use rsync.bind"),
];

const REFUSED_SHORT: &[(char, &str)] = &[
    ('n', NOTHING),
    ('V', NOTHING),
    ('R', LAYOUT),
    ('0', NAMES),
    ('u', NAMES),
    ('C', NAMES),
    ('F', NAMES),
    ('f', NAMES),
    ('b', BEHIND),
    ('i', READS),
    ('v', READS),
    ('q', READS),
    ('P', READS),
    ('h', READS),
    ('8', READS),
];

/// Checks the options that the admin adds; one fault for each that is refused.
pub(super) fn check(options: &[String]) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut value_of: Option<&str> = None;
    for option in options {
        if let Some(holder) = value_of.take() {
            // What is handed to the other side counts as if it stood here.
            if holder == "-M" {
                wrong.extend(refuse(option));
            }
            continue;
        }
        wrong.extend(refuse(option));
        value_of = match option.as_str() {
            "--remote-option" => Some("-M"),
            "--rsh" | "--rsync-path" | "--temp-dir" => Some("-e"),
            short => waits_for_value(short),
        };
    }
    wrong
}

/// The option that has rsync write to a place of the admin's choice, if there is one.
pub(super) fn writing_elsewhere(options: &[String]) -> Option<&str> {
    let names = options.iter().map(|option| name_of(option));
    names
        .into_iter()
        .find(|name| ["--log-file", "--temp-dir", "--write-batch"].contains(name) || name.starts_with("-T"))
}

/// Checks them where modes must be upstream's, because only modes keep from others what is restricted.
pub(super) fn check_modes(options: &[String]) -> Vec<Wrong> {
    let gives_others = |option: &&String| matches!(name_of(option), "--chmod" | "--no-perms" | "--no-p");
    let refused = |option: &String| {
        let what = format!("the option `{}` is refused where `restricted` is set", name_of(option));
        Wrong::new(what, "others might read what upstream keeps from them; modes are taken over as they are")
    };
    options.iter().filter(gives_others).map(refused).collect()
}

fn refuse(option: &str) -> Option<Wrong> {
    let refused = |why: &str| Some(Wrong::new(format!("the option `{}` is refused", name_of(option)), why));
    if option == "--" || option == "-" || !option.starts_with('-') {
        return Some(Wrong::new(
            "only options can be added, each an item of its own",
            "write `--name=value` as one item; qfm adds source and destination itself",
        ));
    }
    if let Some(remote) = option.strip_prefix("--remote-option=") {
        return refuse(remote);
    }
    if option.starts_with("--") {
        let whole = format!("{} ", name_of(option));
        return REFUSED_LONG.iter().find(|(name, _)| whole.starts_with(name)).and_then(|(_, why)| refused(why));
    }
    for (at, letter) in option.char_indices().skip(1) {
        if let Some((_, why)) = REFUSED_SHORT.iter().find(|(short, _)| *short == letter) {
            return refused(why);
        }
        if SHORT_WITH_VALUE.contains(letter) {
            let value = &option[at + letter.len_utf8()..];
            return if letter == 'M' && !value.is_empty() { refuse(value) } else { None };
        }
    }
    None
}

/// Whether the next item is the value of this one: `-e`, also at the end of a cluster such as `-ze`.
fn waits_for_value(option: &str) -> Option<&'static str> {
    let letters = option.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?;
    let at = letters.find(|letter| SHORT_WITH_VALUE.contains(letter))?;
    let last = at + 1 == letters.len();
    match letters.as_bytes()[at] {
        b'M' if last => Some("-M"),
        _ if last => Some("-e"),
        _ => None,
    }
}

/// The name alone: a value might be a secret.
fn name_of(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(options: &[&str]) -> usize {
        check(&options.iter().map(|option| option.to_string()).collect::<Vec<_>>()).len()
    }

    #[test]
    fn what_breaks_a_promise_is_refused_with_a_reason() {
        for option in [
            "--delete",
            "--delete-after",
            "--del",
            "--remove-source-files",
            "--files-from=x",
            "--from0",
            "-0",
            "--out-format=%n",
            "--log-format=%n",
            "--compare-dest=x",
            "--copy-dest=x",
            "--link-dest=x",
            "--inplace",
            "--dry-run",
            "-n",
            "-zn",
            "--list-only",
            "--relative",
            "-R",
            "--no-relative",
            "--server",
            "--daemon",
            "--password-file=x",
            "--remote-option=--delete",
            "-M--delete",
            "-zM--inplace",
            "/etc",
            "--",
            "-",
            "",
        ] {
            assert_eq!(faults(&[option]), 1, "{option}");
        }
        assert_eq!(faults(&["-M", "--delete"]), 1);
        assert_eq!(faults(&["--remote-option", "--delete", "-n"]), 2);
        let wrong = check(&["--password-file=/x".to_string()]);
        assert!(wrong[0].hint.contains("rsync.password_file"));
    }

    #[test]
    fn the_rest_passes() {
        for options in [
            &["-e", "ssh -n -p 2222"][..],
            &["-essh -n"],
            &["--rsh=ssh -n"],
            &["--rsh", "ssh -n"],
            &["-z", "--chmod=D755,F644", "--no-motd"],
            &["-ze", "ssh", "-4"],
            &["--preallocate", "--fsync", "--log-file=/var/log/rsync.log"],
            &["-M--log-file=x"],
            &["--force-change", "--delay-updates"],
        ] {
            assert_eq!(faults(options), 0, "{options:?}");
        }
    }

    #[test]
    fn what_is_written_elsewhere_is_known() {
        let found = |options: &[&str]| {
            writing_elsewhere(&options.iter().map(|option| option.to_string()).collect::<Vec<_>>()).map(str::to_owned)
        };
        assert_eq!(found(&["-z", "--log-file=/var/log/x"]).as_deref(), Some("--log-file"));
        assert_eq!(found(&["-T", "/var/tmp"]).as_deref(), Some("-T"));
        assert_eq!(found(&["-M--log-file=x", "--timeout-x", "-e", "ssh"]), None);
    }

    #[test]
    fn modes_are_upstreams_where_they_must_be() {
        let options = ["--chmod=D755,F644", "--no-perms", "--no-p", "--no-motd", "--no-partial"];
        let wrong = check_modes(&options.map(str::to_string));
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].what.contains("`--chmod`"), "{wrong:?}");
    }

    #[test]
    fn values_are_not_repeated() {
        let wrong = check(&["--password-file=hunter2".to_string(), "hunter2".to_string()]);
        assert_eq!(wrong.len(), 2);
        assert!(!format!("{wrong:?}").contains("hunter2"));
    }
}
