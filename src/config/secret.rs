//! No secret shows: what could be one is replaced before it is printed.

use std::fmt;

use sha2::{Digest, Sha256};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// A text that shows itself to nobody who does not ask.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// The SHA-256 of a secret.
///
/// A secret is random and long (`qfm config trigger-url` makes one), so nothing can be guessed from it, and a slow digest with a salt
/// would only slow down answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a secret.
    pub fn of(secret: &[u8]) -> Fingerprint {
        Fingerprint(Sha256::digest(secret).into())
    }

    /// Reads 64 hexadecimal digits, in any case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let digits = text.bytes().map(|digit| (digit as char).to_digit(16)).collect::<Option<Vec<u32>>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|two| (two[0] << 4 | two[1]) as u8).collect();
        (digits.len() == 64).then(|| bytes.try_into().ok().map(Fingerprint))?
    }

    /// Whether it is that of what nobody means as a secret: of nothing, as a variable that was not set gives it to `sha256sum`, or of the
    /// "abc" of the standard's example, which is in many manuals.
    pub fn is_of_no_secret(&self) -> bool {
        [&b""[..], b"\n", b"abc"].into_iter().any(|text| *self == Fingerprint::of(text))
    }

    /// The bytes, to be compared in a time that does not tell where they differ.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// As [`Fingerprint::parse`] reads it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// It does not show: a short secret could be guessed from it.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Words that give away that a value, or the value after it, is a secret.
const TELLING: [&str; 4] = ["pass", "secret", "token", "credential"];

/// Hides what stands between the first `:` and the last `@` of an address: `user:***@host`.
pub fn mask_address(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    match (rest.find(':'), rest.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => format!("{scheme}{}:{MASK}{}", &rest[..colon], &rest[at..]),
        _ => text.to_string(),
    }
}

/// Whether a name gives away that its value is a secret.
pub fn is_telling(name: &str) -> bool {
    let name = name.to_lowercase();
    TELLING.iter().any(|word| name.contains(word))
}

/// Hides the values of options that look like secrets: `--token=***`, and the item after `--token`.
///
/// Paths of password files are no secrets, but they cannot be told from secrets here.
pub fn mask_options(options: &[String]) -> Vec<String> {
    let mut masked = Vec::with_capacity(options.len());
    let mut value_follows = false;
    for option in options {
        let telling = is_telling(option);
        let dashed = option.starts_with('-');
        masked.push(match option.split_once('=') {
            _ if value_follows && !dashed => MASK.to_string(),
            Some((name, _)) if telling && dashed => format!("{name}={MASK}"),
            None if telling && dashed && !option.contains(char::is_whitespace) => option.clone(),
            _ if telling => MASK.to_string(),
            _ => mask_address(option),
        });
        value_follows = telling && dashed && !option.contains('=');
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_the_password_and_nothing_else() {
        assert_eq!(mask_address("rsync://u:p:w@h@ost/m"), "rsync://u:***@ost/m");
        assert_eq!(mask_address("u:pw@host::m"), "u:***@host::m");
        assert_eq!(mask_address("rsync://u@host:873/m"), "rsync://u@host:873/m");
        assert_eq!(mask_address("/srv/mirror"), "/srv/mirror");
    }

    #[test]
    fn a_fingerprint_is_the_sha_256_and_does_not_show() {
        let fingerprint = Fingerprint::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(fingerprint.to_string(), text);
        assert!(!format!("{fingerprint:?}").contains("ba78"));
        assert_eq!(Fingerprint::parse(&text.to_uppercase()).expect("digits").to_string(), text);
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace('b', "g"), &text.replace("ba", "é")] {
            assert!(Fingerprint::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn options_that_carry_a_password_are_masked() {
        let options =
            ["--chmod=D755", "-e", "sshpass -p hunter2 ssh", "--rsh=sshpass -phunter2 ssh", "--token", "hunter2", "-4"];
        let masked = mask_options(&options.map(str::to_string));
        assert_eq!(masked, ["--chmod=D755", "-e", "***", "--rsh=***", "--token", "***", "-4"]);
    }
}
