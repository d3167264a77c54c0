//! The file `runmirrors.mirror` of Debian's mirror tools, read as it stands.
//!
//! A line is one mirror, or a pause before those that follow:
//!
//! ```text
//! all|staged|mhop SHORTNAME HOST USER [2 [KEYFILE]] [-option…]
//! all|staged|mhop SHORTNAME ssh+ftpsync://[USER@]HOST[/ARCHIVE]
//! all SHORTNAME http://…
//! DELAY [SECONDS [stage1]]
//! ```
//!
//! The last form of a mirror is ours: its trigger is a URL. A line that cannot be read is told, and the others hold.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Address, Downstream, Secret, Ssh, Stages, Url, Way, check_archive, check_options};

/// What `DELAY` alone means.
const DELAY: Duration = Duration::from_secs(600);

/// What stands in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A mirror is told.
    Tell(Downstream),
    /// Those that follow wait.
    Pause(Pause),
}

/// A pause between two mirrors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How long, at most.
    pub time: Duration,
    /// It is over when all before it that have stages are done with their first.
    pub until_stage_1: bool,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {what}", crate::path::escape(path.as_os_str().as_encoded_bytes()))]
pub struct BadLine {
    /// The file.
    pub path: PathBuf,
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it, and what to write. It has nothing of a URL in it, for that may be a secret.
    pub what: String,
}

/// Reads the file: what it says, in its order, and the lines that say nothing.
pub fn read(path: &Path, bytes: &[u8]) -> (Vec<Step>, Vec<BadLine>) {
    let (mut steps, mut bad) = (Vec::new(), Vec::new());
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        match std::str::from_utf8(line).map_err(|_| "is not valid UTF-8".to_owned()).and_then(step) {
            Ok(step) => steps.extend(step),
            Err(what) => bad.push(BadLine { path: path.to_owned(), line: index + 1, what }),
        }
    }
    (steps, bad)
}

/// What one line says; nothing for a comment.
fn step(line: &str) -> Result<Option<Step>, String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    match fields.as_slice() {
        [] => Ok(None),
        [first, ..] if first.starts_with('#') => Ok(None),
        ["DELAY", rest @ ..] => pause(rest).map(Step::Pause).map(Some),
        [kind, rest @ ..] => mirror(kind, rest).map(Step::Tell).map(Some),
    }
}

fn pause(fields: &[&str]) -> Result<Pause, String> {
    let (time, until_stage_1) = match fields {
        [] => return Ok(Pause { time: DELAY, until_stage_1: false }),
        [seconds] => (seconds, false),
        [seconds, "stage1"] => (seconds, true),
        _ => return Err("DELAY takes a number of seconds, and perhaps `stage1`".to_owned()),
    };
    let seconds = time.parse().map_err(|_| format!("{time:?} is no number of seconds"))?;
    Ok(Pause { time: Duration::from_secs(seconds), until_stage_1 })
}

fn mirror(kind: &str, fields: &[&str]) -> Result<Downstream, String> {
    let stages = match kind {
        "all" => Stages::None,
        "staged" => Stages::Two,
        "mhop" => Stages::Hops,
        _ => return Err(format!("{kind:?} is none of all, staged, mhop and DELAY")),
    };
    let (name, way) = match fields {
        [name, url] if url.contains("://") => (name, by_url(stages, url)?),
        [name, host, user, rest @ ..] => {
            let (key, options) = protocol_and_options(rest)?;
            let address = Address::new(Some(user), host)?;
            (name, Way::Ssh(Ssh { address, key, options, archive: None }))
        }
        _ => return Err("a mirror is written `all SHORTNAME HOST USER`, or `all SHORTNAME URL`".to_owned()),
    };
    Ok(Downstream { name: (*name).to_owned(), stages, way })
}

fn by_url(stages: Stages, url: &str) -> Result<Way, String> {
    let Some(rest) = url.strip_prefix("ssh+ftpsync://") else {
        return if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            Err("the URL begins with none of ssh+ftpsync://, https:// and http://".to_owned())
        } else if stages != Stages::None {
            Err("a URL knows no stages: write `all`".to_owned())
        } else {
            Ok(Way::Url(Url::Said(Secret::new(url))))
        };
    };
    let (address, archive) = rest.split_once('/').unwrap_or((rest, ""));
    check_archive(archive)?;
    let archive = Some(archive).filter(|archive| !archive.is_empty()).map(str::to_owned);
    Ok(Way::Ssh(Ssh { address: Address::parse(address)?, key: None, options: Vec::new(), archive }))
}

/// What follows the user: a protocol, which is of no account any more, perhaps with a key; and options of ssh.
fn protocol_and_options(fields: &[&str]) -> Result<(Option<PathBuf>, Vec<String>), String> {
    let (key, options) = match fields {
        ["1", ..] => return Err("no ssh has protocol 1 any more: write 2".to_owned()),
        ["2", key, options @ ..] if !key.starts_with('-') => (Some(PathBuf::from(key)), options),
        ["2", options @ ..] => (None, options),
        options => (None, options),
    };
    if fields.iter().any(|field| field.contains(['"', '\'', '\\'])) {
        return Err("quotes mean nothing here: put what needs them into ssh's own configuration".to_owned());
    }
    check_options(options)
        .map_err(|wrong| format!("{wrong}; before these stands the protocol (2), perhaps with a key file"))?;
    Ok((key, options.iter().map(|option| (*option).to_owned()).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        let (steps, bad) = read(Path::new("/f"), text.as_bytes());
        assert!(bad.is_empty(), "{bad:?}");
        steps
    }

    fn refused(text: &str) -> String {
        let (steps, bad) = read(Path::new("/etc/qfm/f"), text.as_bytes());
        assert!(steps.is_empty() && bad.len() == 1, "{steps:?} {bad:?}");
        bad[0].to_string()
    }

    fn ssh(user: Option<&str>, host: &str) -> Ssh {
        Ssh { address: Address::new(user, host).unwrap(), key: None, options: Vec::new(), archive: None }
    }

    fn told(stages: Stages, name: &str, ssh: Ssh) -> Step {
        Step::Tell(Downstream { name: name.into(), stages, way: Way::Ssh(ssh) })
    }

    #[test]
    fn each_form_of_a_line_is_understood() {
        let pause = |seconds, until_stage_1| Step::Pause(Pause { time: Duration::from_secs(seconds), until_stage_1 });
        let read = steps(
            "# who is pushed\n\n  \t# indented\n\
             all eu.one one.example.org archvsync\n\
             all eu.two two.example.org archvsync 2\r\n\
             staged eu.three three.example.org archvsync 2 .ssh/pushmirror-three\n\
             \tall  eu.four four.example.org  archvsync -p 2222 -o StrictHostKeyChecking=no\n\
             all eu.both both.example.org archvsync 2 /key -p 2222\n\
             all eu.port port.example.org archvsync 2 -p 2222\n\
             DELAY 30\nDELAY\nDELAY 120 stage1\n\
             mhop eu.five ssh+ftpsync://archvsync@five.example.org\n\
             staged eu.six ssh+ftpsync://archvsync@six.example.org/ports\n\
             all eu.seven ssh+ftpsync://seven.example.org/\n\
             all eight https://archive:secret@eight.example.org/trigger",
        );
        let three = Ssh { key: Some(".ssh/pushmirror-three".into()), ..ssh(Some("archvsync"), "three.example.org") };
        let options = ["-p", "2222", "-o", "StrictHostKeyChecking=no"].map(str::to_owned).to_vec();
        let four = Ssh { options, ..ssh(Some("archvsync"), "four.example.org") };
        let port = ["-p", "2222"].map(str::to_owned).to_vec();
        let both =
            Ssh { key: Some("/key".into()), options: port.clone(), ..ssh(Some("archvsync"), "both.example.org") };
        let port = Ssh { options: port, ..ssh(Some("archvsync"), "port.example.org") };
        let six = Ssh { archive: Some("ports".into()), ..ssh(Some("archvsync"), "six.example.org") };
        let eight = Way::Url(Url::Said(Secret::new("https://archive:secret@eight.example.org/trigger")));
        let expected = [
            told(Stages::None, "eu.one", ssh(Some("archvsync"), "one.example.org")),
            told(Stages::None, "eu.two", ssh(Some("archvsync"), "two.example.org")),
            told(Stages::Two, "eu.three", three),
            told(Stages::None, "eu.four", four),
            told(Stages::None, "eu.both", both),
            told(Stages::None, "eu.port", port),
            pause(30, false),
            pause(600, false),
            pause(120, true),
            told(Stages::Hops, "eu.five", ssh(Some("archvsync"), "five.example.org")),
            told(Stages::Two, "eu.six", six),
            told(Stages::None, "eu.seven", ssh(None, "seven.example.org")),
            Step::Tell(Downstream { name: "eight".into(), stages: Stages::None, way: eight }),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place_and_the_rest_holds() {
        for (line, why) in [
            ("every one one.example.org u", "\"every\" is none of"),
            ("all one", "is written"),
            ("all one one.example.org", "is written"),
            ("all one one.example.org u 1", "protocol 1"),
            ("all one one.example.org u 3", "\"3\" is no option"),
            ("all one one.example.org u # now", "\"#\" is no option"),
            ("all one one.example.org u 2 /key now", "\"now\" is no option"),
            ("all one one.example.org u -o ProxyCommand=\"x y\"", "quotes"),
            ("all one one.example.org u 2 \"/a key\"", "quotes"),
            ("all one one.example.org u -p", "has no value"),
            ("all one one.example.org u -p 22 h2 cmd", "\"h2\" is no option"),
            ("all one ssh+ftpsync://u@h/a;b", "is no name of an archive"),
            ("all one -oProxyCommand=x u", "is no host"),
            ("all one one.example.org -u", "is no user"),
            ("all one ssh+ftpsync://-x", "is no host"),
            ("all one ssh+ftpsync://u@h:22", "is no host"),
            ("all one ftp://secret.example.org", "begins with none"),
            ("staged one https://u:secret@h/trigger", "no stages"),
            ("DELAY soon", "\"soon\" is no number"),
            ("DELAY stage1", "no number"),
            ("DELAY 10 stage2", "DELAY takes"),
        ] {
            let said = refused(line);
            assert!(said.starts_with("/etc/qfm/f:1: ") && said.contains(why), "{line}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let (steps, bad) = read(Path::new("/f"), b"all a h u\n\xff\nnone\nall b h u\n");
        assert_eq!((steps.len(), bad.len()), (2, 2));
        assert_eq!((bad[0].line, bad[1].line), (2, 3));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_line_by_line(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (steps, bad) = read(Path::new("/f"), &bytes);
            let lines = bytes.split(|&byte| byte == b'\n');
            prop_assert!(steps.len() + bad.len() <= lines.count());
        }

        #[test]
        fn what_is_like_a_mirror_names_nothing_that_ssh_takes_for_an_option(
            lines in prop::collection::vec("(all|staged|mhop) [a-z.-]{1,8} [a-z@:/.-]{0,10} ?[a-z@-]{0,6} ?(2|-p|x|)", 1..20)
        ) {
            let (steps, bad) = read(Path::new("/f"), lines.join("\n").as_bytes());
            prop_assert_eq!(steps.len() + bad.len(), lines.len());
            for step in steps {
                if let Step::Tell(Downstream { way: Way::Ssh(Ssh { address, .. }), .. }) = step {
                    let words = [Some(address.host()), address.user()];
                    let is_word = |word: &str| !word.is_empty() && !word.starts_with('-') && !word.contains('@');
                    prop_assert!(words.into_iter().flatten().all(is_word));
                }
            }
        }
    }
}
