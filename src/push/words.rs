//! The words of a trigger over ssh, as Debian's pushers send them (reference: push-mirroring). Pure.
//!
//! They come from the network. What becomes of them is a stage, two yeses, and a name that is held against those of the configured jobs.
//! Nothing is unquoted, expanded or run.

use crate::config::job::is_name;
use crate::state::jobs::Stage;

/// So many bytes of what was sent are read. Pushers send a hundred at most.
const LONGEST: usize = 4096;

/// So many words that mean nothing are told of.
const TOLD: usize = 5;

/// So much of each.
const TOLD_BYTES: usize = 40;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The job. What could be no name of one is in here too, in a form that is no name: to ignore it would start another job.
    pub job: Option<String>,
    /// How much of a run; all of it where nothing is said.
    pub stage: Option<Stage>,
    /// Tell downstreams after stage 1.
    pub mhop: bool,
    /// Tell upstream at the end.
    pub callback: bool,
    /// Words that mean nothing, escaped and cut short; the first few.
    pub unknown: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl Words {
    /// Reads what a client sent: words between blanks, with or without `ftpsync` before them and `&` behind them.
    pub fn sent(text: &[u8]) -> Words {
        let mut words = Words::default();
        let text = &text[..text.len().min(LONGEST)];
        let parts = text.split(u8::is_ascii_whitespace).map(|word| word.strip_suffix(b"&").unwrap_or(word));
        for (number, word) in parts.filter(|word| !word.is_empty()).enumerate() {
            if !(words.understands(word) || number == 0 && word == b"ftpsync") {
                words.wonder_at(word);
            }
        }
        words
    }

    /// Reads what the admin wrote behind `qfm trigger`: the name of a job, and the same words.
    ///
    /// # Errors
    /// With a word that means nothing.
    pub fn forced(given: &[String]) -> Result<Words, String> {
        let mut words = Words::default();
        for word in given {
            if !words.understands(word.as_bytes()) {
                if words.job.is_some() || !is_name(word) {
                    return Err(word.clone());
                }
                words.job = Some(word.clone());
            }
        }
        Ok(words)
    }

    /// These words, as far as the stronger ones say nothing else.
    #[must_use]
    pub fn under(self, stronger: Words) -> Words {
        Words {
            job: stronger.job.or(self.job),
            stage: stronger.stage.or(self.stage),
            mhop: self.mhop || stronger.mhop,
            callback: self.callback || stronger.callback,
            ..self
        }
    }

    /// Takes a word in, if it means something. Of several that say the same thing the last counts.
    fn understands(&mut self, word: &[u8]) -> bool {
        match word.strip_prefix(b"sync:") {
            Some(b"all") => self.stage = Some(Stage::All),
            Some(b"stage1") => self.stage = Some(Stage::Stage1),
            Some(b"stage2") => self.stage = Some(Stage::Stage2),
            Some(b"mhop") => self.mhop = true,
            Some(b"callback") => self.callback = true,
            Some(b"archive:") => self.job = None,
            Some(archive) if archive.starts_with(b"archive:") => self.job = Some(name(&archive[b"archive:".len()..])),
            _ => return false,
        }
        true
    }

    fn wonder_at(&mut self, word: &[u8]) {
        if self.unknown.len() < TOLD {
            self.unknown.push(short(word));
        } else {
            self.more += 1;
        }
    }
}

/// A text that is the name of a job if the bytes are, and else is none.
fn name(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_name(text) => text.to_owned(),
        _ => format!("\"{}\"", short(bytes)),
    }
}

fn short(word: &[u8]) -> String {
    let (shown, dots) = if word.len() > TOLD_BYTES { (&word[..TOLD_BYTES], "...") } else { (word, "") };
    format!("{}{dots}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(text: &str) -> Words {
        Words::sent(text.as_bytes())
    }

    fn forced(words: &[&str]) -> Result<Words, String> {
        Words::forced(&words.iter().map(|word| word.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn what_pushers_send_is_understood() {
        let of = |stage| Words { stage: Some(stage), ..Words::default() };
        assert_eq!(sent(""), Words::default());
        assert_eq!(sent("ftpsync"), Words::default());
        assert_eq!(sent("sync:all"), of(Stage::All));
        assert_eq!(sent("sync:all &"), of(Stage::All));
        assert_eq!(sent("sync:all&"), of(Stage::All));
        assert_eq!(sent("ftpsync sync:stage1"), of(Stage::Stage1));
        assert_eq!(sent("sync:stage1 sync:mhop"), Words { mhop: true, ..of(Stage::Stage1) });
        assert_eq!(sent(" sync:stage2  sync:callback "), Words { callback: true, ..of(Stage::Stage2) });
        assert_eq!(sent("sync:stage1 sync:all"), of(Stage::All));
        let archive = Words { job: Some("archive-1.x_y".into()), ..of(Stage::All) };
        assert_eq!(sent("sync:archive:archive-1.x_y sync:all &"), archive);
        assert_eq!(sent("sync:archive: sync:all"), of(Stage::All));
    }

    #[test]
    fn what_means_nothing_is_told_and_has_no_effect() {
        let words = sent("sync:ALL ; rm -rf / sync:all;reboot $(x) `y` --config=/x ftpsync ftpsync");
        assert_eq!((words.job, words.stage, words.mhop, words.callback), (None, None, false, false));
        assert_eq!(words.unknown, ["sync:ALL", ";", "rm", "-rf", "/"]);
        assert_eq!(words.more, 6);
        assert_eq!(sent(&"x".repeat(100)).unknown, [format!("{}...", "x".repeat(40))]);
        assert_eq!(Words::sent(b"\x1b[2J\xff\"\\").unknown, [r#"\x1b[2J\xff\"\\"#]);
    }

    #[test]
    fn a_name_that_is_none_names_no_job() {
        for name in ["../x", "-x", ".x", "a/b", "a\"b", "ä", "$x", &"a".repeat(101), "a:b"] {
            let job = sent(&format!("sync:archive:{name}")).job.expect(name);
            assert!(!is_name(&job), "{name}: {job}");
        }
    }

    #[test]
    fn what_the_admin_wrote_is_stronger() {
        let stronger = forced(&["archive", "sync:stage2"]).expect("words");
        let words = sent("sync:archive:releases sync:stage1 sync:callback x").under(stronger);
        assert_eq!((words.job.as_deref(), words.stage, words.callback), (Some("archive"), Some(Stage::Stage2), true));
        assert_eq!(words.unknown, ["x"]);
        assert_eq!(forced(&["archive", "releases"]), Err("releases".to_owned()));
        assert_eq!(forced(&["--x"]), Err("--x".to_owned()));
        assert_eq!(forced(&["sync:archive:releases"]).expect("words").job.as_deref(), Some("releases"));
    }

    /// Bytes that no variable can hold are left out.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop_oneof![
            prop::collection::vec(1u8.., 0..60),
            "[;&|$`(){}<>*?!#~'\"\\\\ \t\r\n-]{0,40}".prop_map(String::into_bytes),
            "(ftpsync|sync:(all|stage1|stage2|mhop|callback|archive:)[ -~]{0,9}|--?[a-z=/]{1,9}|\\PC{0,9})"
                .prop_map(String::into_bytes),
            prop::collection::vec(1u8.., 5000..9000),
        ];
        prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.join(&b' '))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn hostile_words_are_harmless(text in hostile()) {
            let words = Words::sent(&text);
            let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
            prop_assert!(words.unknown.iter().all(|word| is_plain(word) && word.len() <= 4 * TOLD_BYTES + 3));
            prop_assert!(words.unknown.len() <= TOLD);
            if let Some(job) = &words.job {
                let named = format!("sync:archive:{job}");
                let was_sent = text.windows(named.len()).any(|part| part == named.as_bytes());
                prop_assert!(is_plain(job) && (!is_name(job) || was_sent), "{job}");
            }
            // The admin's name holds whatever was sent.
            let stronger = forced(&["archive"]).expect("words");
            prop_assert_eq!(words.under(stronger).job, Some("archive".to_owned()));
        }
    }
}
