//! `qfm config trigger-url`: a new secret for a job, as upstream and as the configuration need it.

use std::io::{self, Write};

use hyper::Uri;

use crate::config::{Fingerprint, setting};

/// So many random bytes make a secret.
const LENGTH: usize = 20;

/// Where the outside meets the listener: `http://` or `https://`, a host, perhaps a port, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    scheme: String,
    authority: String,
}

impl Base {
    /// Reads such a URL, with or without a slash at the end.
    ///
    /// # Errors
    /// How it is written.
    pub fn parse(text: &str) -> Result<Base, &'static str> {
        const FORM: &str = "write https:// or http:// and a host, such as https://mirror.example.org";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(FORM) };
        let is_bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        if !is_bare || !["http", "https"].contains(&scheme) {
            return Err(FORM);
        }
        Ok(Base { scheme: scheme.to_owned(), authority: authority.to_string() })
    }

    /// This machine, by its own name.
    pub fn here() -> Base {
        let authority = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Base { scheme: "https".to_owned(), authority }
    }
}

/// Makes a secret for a job, and writes both forms of its URL, and what to put into the configuration.
///
/// # Errors
/// If the system has no random numbers, or nobody reads.
pub fn write(job: &str, base: &Base, out: &mut dyn Write) -> io::Result<()> {
    let mut bytes = [0; LENGTH];
    let mut filled = 0;
    while filled < LENGTH {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    out.write_all(text(job, base, &secret).as_bytes())
}

fn text(job: &str, Base { scheme, authority }: &Base, secret: &str) -> String {
    let (header, fingerprint) = (setting::JOBS.header(job), Fingerprint::of(secret.as_bytes()));
    format!(
        "# For upstream, one of these. Who knows it can start the job, and it is shown only now.\n\
         {scheme}://{job}:{secret}@{authority}/trigger\n\
         {scheme}://{authority}/{job}/{secret}/trigger\n\
         \n\
         # For the configuration.\n\
         {header}\n\
         secret_sha256 = \"{fingerprint}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_scheme_and_a_host() {
        for good in ["https://mirror.example.org", "http://mirror.example.org/", "https://[2001:db8::1]:8443"] {
            assert!(Base::parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "mirror.example.org",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://a/?b",
            "https://u@a",
            "https://a b",
        ] {
            assert!(Base::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_forms_hold_the_secret_and_the_configuration_does_not() {
        let base = Base::parse("https://mirror.example.org").expect("a base");
        let text = text("a.b", &base, "abc");
        assert_eq!(text.lines().nth(1), Some("https://a.b:abc@mirror.example.org/trigger"));
        assert_eq!(text.lines().nth(2), Some("https://mirror.example.org/a.b/abc/trigger"));
        let settings = text.split_once("configuration.\n").expect("two parts").1;
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(settings, format!("[job.\"a.b\"]\nsecret_sha256 = \"{sha256}\"\n"));
    }

    #[test]
    fn no_two_secrets_are_the_same() {
        let made = || {
            let mut out = Vec::new();
            write("archive", &Base::here(), &mut out).expect("written");
            out
        };
        assert_ne!(made(), made());
    }
}
