//! `RSYNCOPTS` → what of it is not qfm's own: options to add, and settings.

/// What `RSYNCOPTS` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Options to add to qfm's own.
    pub options: Vec<String>,
    /// Settings, with their texts.
    pub settings: Vec<(&'static str, String)>,
}

/// What qfm does anyway, or does not need because it reads what rsync says itself. Whole names.
const OWN: [&str; 30] = [
    "--archive",
    "--recursive",
    "--links",
    "--perms",
    "--times",
    "--group",
    "--owner",
    "--devices",
    "--specials",
    "--hard-links",
    "--sparse",
    "--stats",
    "--delay-updates",
    "--out-format",
    "--log-format",
    "--verbose",
    "--quiet",
    "--progress",
    "--human-readable",
    "--itemize-changes",
    "--info",
    "--partial",
    "--relative",
    "--no-motd",
    "--files-from",
    "--from0",
    "--timeout",
    "--no-h",
    "--no-human-readable",
    "--outbuf",
];

/// The same as single letters.
const OWN_LETTERS: &str = "arlptgoDHSvqhiPR";

/// Letters that take a value.
const WITH_VALUE: &str = "eBTfM@";

/// Options that are settings of qfm, and what stands behind their values there.
const SETTINGS: [(&str, &str, &str); 4] = [
    ("--bwlimit", "rsync.bwlimit", ""),
    ("--contimeout", "rsync.connect_timeout", "s"),
    ("--address", "rsync.bind", ""),
    ("--password-file", "rsync.password_file", ""),
];

/// Options with a value that may stand in the next word.
const LONG_WITH_VALUE: [&str; 17] = [
    "--bwlimit",
    "--contimeout",
    "--address",
    "--password-file",
    "--timeout",
    "--out-format",
    "--log-format",
    "--filter",
    "--exclude",
    "--include",
    "--exclude-from",
    "--include-from",
    "--info",
    "--rsh",
    "--rsync-path",
    "--temp-dir",
    "--files-from",
];

/// Leaves out what qfm brings itself.
pub(super) fn read(words: &[String]) -> Said {
    let mut said = Said::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.starts_with('-') && !rest.is_empty()) {
            said.letters(letters, || words.next().cloned());
            continue;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None if LONG_WITH_VALUE.contains(&word.as_str()) => (word.as_str(), words.next().cloned()),
            None => (word.as_str(), None),
        };
        said.long(name, value);
    }
    said
}

impl Said {
    fn long(&mut self, name: &str, value: Option<String>) {
        match (name, value) {
            ("--ipv4", _) => self.settings.push(("rsync.address_family", "ipv4".to_string())),
            ("--ipv6", _) => self.settings.push(("rsync.address_family", "ipv6".to_string())),
            ("--filter", Some(rule)) if protects_partial(&rule) => {}
            (name, _) if OWN.contains(&name) => {}
            (name, Some(value)) => match SETTINGS.iter().find(|(option, ..)| *option == name) {
                Some((_, setting, unit)) => self.settings.push((setting, format!("{value}{unit}"))),
                None => self.options.push(format!("{name}={value}")),
            },
            (name, None) => self.options.push(name.to_string()),
        }
    }

    fn letters(&mut self, letters: &str, next: impl FnOnce() -> Option<String>) {
        let mut kept = String::new();
        for (at, letter) in letters.char_indices() {
            if WITH_VALUE.contains(letter) {
                let rest = &letters[at + letter.len_utf8()..];
                let value = if rest.is_empty() { next() } else { Some(rest.to_string()) };
                match value {
                    Some(rule) if letter == 'f' && protects_partial(&rule) => {}
                    Some(value) => self.options.push(format!("-{letter}{value}")),
                    None => self.options.push(format!("-{letter}")),
                }
                break;
            }
            match letter {
                '4' => self.settings.push(("rsync.address_family", "ipv4".to_string())),
                '6' => self.settings.push(("rsync.address_family", "ipv6".to_string())),
                letter if OWN_LETTERS.contains(letter) => {}
                letter => kept.push(letter),
            }
        }
        if !kept.is_empty() {
            self.options.insert(0, format!("-{kept}"));
        }
    }
}

/// The old tool's own filter: nothing of it is needed where names are asked for one by one.
fn protects_partial(rule: &str) -> bool {
    matches!(rule.trim(), "R .~tmp~" | "R .~tmp~/" | "risk .~tmp~" | "risk .~tmp~/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> Said {
        read(&words.iter().map(|word| word.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn what_the_old_tool_brought_is_left_out() {
        let words = [
            "-aSH",
            "-f",
            "R .~tmp~",
            "--stats",
            "--delay-updates",
            "--out-format=@ %i %10l  %n%L",
            "-v",
            "--progress",
        ];
        assert_eq!(said(&words), Said::default());
    }

    #[test]
    fn what_was_added_is_kept_as_option_or_setting() {
        let words =
            ["-aSHz4", "--preallocate", "--bwlimit", "20m", "--contimeout=30", "-e", "ssh -p 22", "--exclude=x"];
        let found = said(&words);
        assert_eq!(found.options, ["-z", "--preallocate", "-essh -p 22", "--exclude=x"]);
        assert_eq!(
            found.settings,
            [
                ("rsync.address_family", "ipv4".to_string()),
                ("rsync.bwlimit", "20m".to_string()),
                ("rsync.connect_timeout", "30s".to_string())
            ]
        );
    }
}
