//! Secrets of jobs, and the comparison with what a request brings. Pure.

use subtle::{Choice, ConstantTimeEq};

use super::request::Claim;
use crate::config::Fingerprint;

/// A job that can be triggered over HTTP, and what its secret must come to.
#[derive(Clone, Debug)]
pub struct Door {
    /// The name of the job.
    pub job: String,
    /// The fingerprint of its secret.
    pub fingerprint: Fingerprint,
}

/// The job that a claim opens, if it names one and brings its secret.
///
/// All doors are tried, whether the name is known or not and whichever of them opens, so the time does not tell either.
pub fn opened<'a>(doors: &'a [Door], claim: &Claim<'_>) -> Option<&'a str> {
    let mut opened = None;
    for door in doors {
        let fits =
            door.fingerprint.bytes().ct_eq(claim.fingerprint.bytes()) & Choice::from(u8::from(door.job == claim.job));
        if fits.into() {
            opened = Some(door.job.as_str());
        }
    }
    opened
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"correct horse battery staple";

    fn doors() -> Vec<Door> {
        let door = |job: &str, secret| Door { job: job.to_owned(), fingerprint: Fingerprint::of(secret) };
        vec![door("archive", SECRET), door("releases", b"another secret, of releases"), door("security", SECRET)]
    }

    fn open(job: &str, secret: &[u8]) -> Option<String> {
        opened(&doors(), &Claim { job: job.into(), fingerprint: Fingerprint::of(secret) }).map(str::to_owned)
    }

    #[test]
    fn a_secret_opens_its_own_job_and_no_other() {
        assert_eq!(open("archive", SECRET).as_deref(), Some("archive"));
        assert_eq!(open("security", SECRET).as_deref(), Some("security"));
        assert_eq!(open("releases", SECRET), None);
        assert_eq!(open("Archive", SECRET), None);
        assert_eq!(open("", SECRET), None);
        assert_eq!(open("archive", b""), None);
    }

    proptest! {
        #[test]
        fn no_other_secret_opens(secret in proptest::collection::vec(any::<u8>(), 0..80), job in "[a-z]{0,9}") {
            prop_assume!(secret != SECRET);
            prop_assert_eq!(open(&job, &secret), None);
        }

        #[test]
        fn a_secret_that_differs_in_one_bit_opens_nothing(at in 0..SECRET.len(), bit in 0..8) {
            let mut secret = SECRET.to_owned();
            secret[at] ^= 1u8 << bit;
            prop_assert_eq!(open("archive", &secret), None);
        }
    }
}
