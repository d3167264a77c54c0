//! No secret shows: what could be one is replaced before it is printed.

use std::fmt;

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
    fn options_that_carry_a_password_are_masked() {
        let options =
            ["--chmod=D755", "-e", "sshpass -p hunter2 ssh", "--rsh=sshpass -phunter2 ssh", "--token", "hunter2", "-4"];
        let masked = mask_options(&options.map(str::to_string));
        assert_eq!(masked, ["--chmod=D755", "-e", "***", "--rsh=***", "--token", "***", "-4"]);
    }
}
