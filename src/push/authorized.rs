//! The line of `authorized_keys` that pins a key to a job. Pure.

use crate::config::Wrong;

/// The line for a public key: it may do nothing but trigger this job, and come from these addresses alone, if any are named.
///
/// `program` and `config` are absolute paths; `job` is a job's name; `key` is what a `.pub` file holds.
///
/// # Errors
/// What cannot stand in such a line, and what to do.
pub fn line(program: &str, config: &str, job: &str, from: &[String], key: &str) -> Result<String, Wrong> {
    // The user's shell reads the command, and sshd the line.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._+-@,".contains(c);
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
    let mut words = key.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().split_whitespace();
    let (kind, data) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_kind = ["ssh-", "ecdsa-", "sk-"].iter().any(|kinds| kind.starts_with(kinds)) && kind.chars().all(is_plain);
    if !is_kind || !data.starts_with("AAAA") || !data.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c)) {
        return Err(Wrong::new("there is no public key in it", "name the .pub file that the pusher sent"));
    }
    let comment = words.map(|word| word.escape_default().to_string()).collect::<Vec<_>>().join(" ");
    let from = if from.is_empty() { String::new() } else { format!("from=\"{}\",", from.join(",")) };
    let line = format!("restrict,{from}command=\"{program} --config {config} trigger {job}\" {kind} {data} {comment}");
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3Nz+/= mirror@up\n";

    #[test]
    fn a_key_may_trigger_one_job() {
        let from = ["192.0.2.1".to_owned(), "2001:db8::/32".to_owned()];
        assert_eq!(
            line("/usr/bin/qfm", "/etc/qfm/qfm.toml", "archive", &from, KEY).unwrap(),
            "restrict,from=\"192.0.2.1,2001:db8::/32\",command=\"/usr/bin/qfm --config /etc/qfm/qfm.toml trigger archive\" \
             ssh-ed25519 AAAAC3Nz+/= mirror@up"
        );
        assert!(line("/usr/bin/qfm", "/c.toml", "a", &[], KEY).unwrap().starts_with("restrict,command="));
    }

    #[test]
    fn what_would_be_read_otherwise_is_refused() {
        for path in ["/usr bin/qfm", "/a\"b", "/a$b", "/a;b", "/a\nb"] {
            assert!(line(path, "/c", "a", &[], KEY).is_err() && line("/q", path, "a", &[], KEY).is_err(), "{path:?}");
        }
        for from in ["", "a b", "a\"b", "a,b"] {
            assert!(line("/q", "/c", "a", &[from.to_owned()], KEY).is_err(), "{from:?}");
        }
        for key in [
            "",
            "ssh-ed25519",
            "command=\"x\" ssh-ed25519 AAAA",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA",
            "ssh-rsa AA\"A",
        ] {
            assert!(line("/q", "/c", "a", &[], key).is_err(), "{key:?}");
        }
    }
}
