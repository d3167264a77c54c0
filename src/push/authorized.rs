//! The line of `authorized_keys` that pins a key to a job. Pure.

use crate::config::Wrong;

/// A public key, as it stands in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(String);

impl PublicKey {
    /// Reads what a `.pub` file holds; `file` is what it is called.
    ///
    /// # Errors
    /// If there is not just one key in it.
    pub fn read(file: &str, text: &str) -> Result<PublicKey, Wrong> {
        let hint = "name the .pub file of one key, which the pusher sent";
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut words = lines.next().unwrap_or_default().split_whitespace();
        let (kind, data) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is_kind =
            ["ssh-", "ecdsa-", "sk-"].iter().any(|kinds| kind.starts_with(kinds)) && kind.chars().all(is_plain);
        if !is_kind
            || !data.starts_with("AAAA")
            || !data.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c))
        {
            return Err(Wrong::new(format!("there is no public key in {file}"), hint));
        }
        if lines.next().is_some() {
            return Err(Wrong::new(format!("there is more than one line in {file}"), hint));
        }
        let comment = words.map(|word| word.escape_default().to_string()).collect::<Vec<_>>().join(" ");
        Ok(PublicKey(format!("{kind} {data} {comment}").trim_end().to_owned()))
    }
}

/// Whether neither a shell nor sshd reads a character otherwise.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/._+-@,".contains(c)
}

/// The line for a public key: it may do nothing but trigger this job, and come from these addresses alone, if any are named.
///
/// `program` and `config` are absolute paths; `job` is a job's name.
///
/// # Errors
/// What cannot stand in such a line, and what to do.
pub fn line(program: &str, config: &str, job: &str, from: &[String], key: &PublicKey) -> Result<String, Wrong> {
    // The user's shell reads the command, and sshd the line.
    if let Some(odd) = [program, config].into_iter().find(|path| !path.chars().all(is_plain)) {
        let what = format!("{odd:?} has characters that a shell or sshd may read otherwise");
        return Err(Wrong::new(what, "use a path of letters, digits and `/._+-@,`, such as that of a link"));
    }
    let is_address = |c: char| c.is_ascii_alphanumeric() || ".:-_*?!/".contains(c);
    if let Some(odd) = from.iter().find(|from| from.is_empty() || !from.chars().all(is_address)) {
        return Err(Wrong::new(
            format!("{odd:?} is no address"),
            "for example 192.0.2.1, 2001:db8::/32 or *.example.org",
        ));
    }
    let from = if from.is_empty() { String::new() } else { format!("from=\"{}\",", from.join(",")) };
    let PublicKey(key) = key;
    Ok(format!("restrict,{from}command=\"{program} --config {config} trigger {job}\" {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PublicKey {
        PublicKey::read("them.pub", "# theirs\nssh-ed25519 AAAAC3Nz+/= mirror@up\n").unwrap()
    }

    #[test]
    fn a_key_may_trigger_one_job() {
        let from = ["192.0.2.1".to_owned(), "2001:db8::/32".to_owned()];
        assert_eq!(
            line("/usr/bin/qfm", "/etc/qfm/qfm.toml", "archive", &from, &key()).unwrap(),
            "restrict,from=\"192.0.2.1,2001:db8::/32\",command=\"/usr/bin/qfm --config /etc/qfm/qfm.toml trigger archive\" \
             ssh-ed25519 AAAAC3Nz+/= mirror@up"
        );
        assert!(line("/usr/bin/qfm", "/c.toml", "a", &[], &key()).unwrap().starts_with("restrict,command="));
    }

    #[test]
    fn what_would_be_read_otherwise_is_refused() {
        for path in ["/usr bin/qfm", "/a\"b", "/a$b", "/a;b", "/a\nb"] {
            assert!(
                line(path, "/c", "a", &[], &key()).is_err() && line("/q", path, "a", &[], &key()).is_err(),
                "{path:?}"
            );
        }
        for from in ["", "a b", "a\"b", "a,b"] {
            assert!(line("/q", "/c", "a", &[from.to_owned()], &key()).is_err(), "{from:?}");
        }
        for key in [
            "",
            "ssh-ed25519",
            "command=\"x\" ssh-ed25519 AAAA",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA",
            "ssh-rsa AA\"A",
        ] {
            let wrong = PublicKey::read("them.pub", key).unwrap_err();
            assert_eq!(wrong.what, "there is no public key in them.pub", "{key:?}");
        }
        let two = PublicKey::read("two.pub", "ssh-rsa AAAA a\nssh-rsa AAAB b\n").unwrap_err();
        assert_eq!(two.what, "there is more than one line in two.pub");
    }
}
