//! An HTTP request: which job it asks for, and with what secret. Pure.
//!
//! Two shapes, as Ubuntu's primary sends them:
//!
//! - `GET /trigger` with basic authentication: the user name is the job, the password the secret;
//! - `GET /JOB/SECRET/trigger`.
//!
//! `POST` means the same. The path is taken as it came: nothing in it is decoded, resolved or overlooked, so there is one way to
//! write each name, and everything else asks for nothing.

use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use crate::config::Fingerprint;

/// With or without padding: clients differ, and it means the same.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A request for a job. Whether there is such a job, and whether this is its secret, is not known yet.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// The name, as it came.
    pub job: Cow<'a, str>,
    /// What the secret comes to.
    pub fingerprint: Fingerprint,
}

/// What a request is about.
#[derive(Clone, Debug)]
pub enum Asked<'a> {
    /// That a job be started.
    Job(Claim<'a>),
    /// Whether the listener is there.
    Health,
    /// Nothing that is known here.
    Nothing,
}

/// Reads the head of a request.
pub fn read(head: &Parts) -> Asked<'_> {
    if head.uri.query().is_some() {
        return Asked::Nothing;
    }
    let (path, method) = (head.uri.path(), &head.method);
    match path {
        // Who only looks asks for nothing: a checker of links must not start a job.
        "/healthz" if method == Method::GET || method == Method::HEAD => Asked::Health,
        _ if method != Method::GET && method != Method::POST => Asked::Nothing,
        "/trigger" => basic(&head.headers).map_or(Asked::Nothing, Asked::Job),
        _ => in_path(path).map_or(Asked::Nothing, Asked::Job),
    }
}

fn in_path(path: &str) -> Option<Claim<'_>> {
    let mut parts = path.strip_prefix('/')?.strip_suffix("/trigger")?.split('/');
    let (job, secret, None) = (parts.next()?, parts.next()?, parts.next()) else { return None };
    // The unreserved characters of RFC 3986, 2.3.
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    (is_plain(job) && is_plain(secret)).then(|| claim(job.into(), secret.as_bytes()))
}

/// RFC 7617. Two headers are none: somebody between might have looked at the other one.
fn basic(headers: &HeaderMap) -> Option<Claim<'static>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, rest) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let both = BASE64.decode(rest.trim_ascii()).ok()?;
    let colon = both.iter().position(|byte| *byte == b':')?;
    let (job, secret) = (str::from_utf8(&both[..colon]).ok()?, &both[colon + 1..]);
    Some(claim(job.to_owned().into(), secret))
}

/// The address that a request comes from, by the word of the last proxy that passed it on: the last one in `X-Forwarded-For`, with or
/// without a port. What stands before it came with the request, and may be anything.
pub fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
    let bare = last.strip_prefix('[').and_then(|last| last.strip_suffix(']')).unwrap_or(last);
    let with_port = || last.parse().map(|address: SocketAddr| address.ip());
    bare.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

fn claim<'a>(job: Cow<'a, str>, secret: &[u8]) -> Claim<'a> {
    Claim { job, fingerprint: Fingerprint::of(secret) }
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::push::secret::{Door, opened};

    const SECRET: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

    fn head(method: &str, target: &[u8], authorization: &[&str]) -> Option<Parts> {
        let mut request = Request::builder().method(method).uri(target);
        for value in authorization {
            request = request.header(AUTHORIZATION, *value);
        }
        // What is no request at all is refused by others.
        request.body(()).ok().map(|request| request.into_parts().0)
    }

    /// The job that a request opens, if all doors have the same secret.
    fn asked(method: &str, target: &str, authorization: &[&str]) -> String {
        let doors =
            ["archive", "a.b_c-d"].map(|job| Door { job: job.into(), fingerprint: Fingerprint::of(SECRET.as_bytes()) });
        let Some(head) = head(method, target.as_bytes(), authorization) else { return "no request".into() };
        match read(&head) {
            Asked::Job(claim) => opened(&doors, &claim).map_or_else(|| "closed".into(), str::to_owned),
            Asked::Health => "health".into(),
            Asked::Nothing => "nothing".into(),
        }
    }

    fn authorization(user: &str, password: &str) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
    }

    #[test]
    fn both_shapes_name_job_and_secret() {
        let path = format!("/archive/{SECRET}/trigger");
        for method in ["GET", "POST"] {
            assert_eq!(asked(method, &path, &[]), "archive");
            assert_eq!(asked(method, "/trigger", &[&authorization("archive", SECRET)]), "archive");
        }
        assert_eq!(asked("GET", &format!("/a.b_c-d/{SECRET}/trigger"), &[]), "a.b_c-d");
        // A target in the absolute form (RFC 9112, 3.2.2) is the same one.
        assert_eq!(asked("GET", &format!("http://mirror.example{path}"), &[]), "archive");
        // What somebody in front asks for is not ours to judge.
        assert_eq!(asked("GET", &path, &["Bearer of others"]), "archive");
        let unpadded = authorization("archive", SECRET).replace('=', "");
        assert_eq!(asked("GET", "/trigger", &[&unpadded.replace("Basic", "bAsIc")]), "archive");
    }

    #[test]
    fn wrong_names_and_secrets_open_nothing() {
        assert_eq!(asked("GET", &format!("/releases/{SECRET}/trigger"), &[]), "closed");
        assert_eq!(asked("GET", "/archive/wrong/trigger", &[]), "closed");
        assert_eq!(asked("GET", "/trigger", &[&authorization("archive", "wrong")]), "closed");
        assert_eq!(asked("GET", "/trigger", &[&authorization("archive", "")]), "closed");
        assert_eq!(asked("GET", "/trigger", &[&authorization("", SECRET)]), "closed");
        assert_eq!(asked("GET", "/trigger", &[&authorization("archive ", SECRET)]), "closed");
    }

    #[test]
    fn everything_else_asks_for_nothing() {
        let path = format!("/archive/{SECRET}/trigger");
        for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get", "CONNECT"] {
            assert_ne!(asked(method, &path, &[]), "archive", "{method}");
            assert_ne!(asked(method, "/trigger", &[&authorization("archive", SECRET)]), "archive", "{method}");
        }
        for target in [
            format!("/{path}"),
            format!("{path}/"),
            format!("{path}?"),
            format!("{path}?a=b"),
            format!("/x/..{path}"),
            format!("/.{path}"),
            format!("/%2e{path}"),
            path.replace("archive", "%61rchive"),
            path.replace("archive", "archive%00"),
            path.replace("archive/", "archive//"),
            path.replace("archive/", "archive/./"),
            path.replace("/trigger", "%2Ftrigger"),
            path.replace("/trigger", "/Trigger"),
            path.replace("/trigger", "/trigger;a"),
            path.replace("/trigger", ""),
            path.to_uppercase(),
            "//trigger".into(),
            "/trigger/".into(),
            "/trigger?".into(),
            "/./trigger".into(),
            "/%74rigger".into(),
            "/".into(),
            "*".into(),
        ] {
            let asked = asked("GET", &target, &[&authorization("archive", SECRET)]);
            assert!(["nothing", "closed"].contains(&asked.as_str()), "{target}: {asked}");
        }
    }

    #[test]
    fn one_authorization_that_is_whole_counts() {
        let good = authorization("archive", SECRET);
        for values in [
            &[][..],
            &[good.as_str(), &good],
            &[&good, "Basic "],
            &["Basic"],
            &["Basic "],
            &["Basic !!!!"],
            &["Basic YXJjaGl2ZQ=="],
            &[&good[6..]],
            &[&good.replace("Basic", "Bearer")],
            &[&good.replace("Basic ", "Basic\t")],
        ] {
            assert_eq!(asked("GET", "/trigger", values), "nothing", "{values:?}");
        }
    }

    #[test]
    fn health_is_asked_for_by_reading() {
        assert_eq!(asked("GET", "/healthz", &[]), "health");
        assert_eq!(asked("HEAD", "/healthz", &[]), "health");
        assert_eq!(asked("POST", "/healthz", &[]), "nothing");
        assert_eq!(asked("GET", "/healthz/", &[]), "nothing");
        assert_eq!(asked("GET", "/healthz?x", &[]), "nothing");
    }

    #[test]
    fn the_last_proxy_says_where_a_request_comes_from() {
        let from = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", value.parse().expect("a value"));
            }
            forwarded_for(&headers).map(|address| address.to_string())
        };
        assert_eq!(from(&["192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(from(&["10.0.0.1, 192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(from(&["10.0.0.1", "198.51.100.9,192.0.2.1:4711"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(from(&["2001:db8::1"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(from(&["[2001:db8::1]"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(from(&["[2001:db8::1]:80"]).as_deref(), Some("2001:db8::1"));
        for values in [&[][..], &[""], &["192.0.2.1,"], &["unknown"], &["192.0.2.1", "_hidden"]] {
            assert_eq!(from(values), None, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_request_is_too_odd(target in proptest::collection::vec(any::<u8>(), 0..90), value in "\\PC{0,40}") {
            let mut target = target;
            target.insert(0, b'/');
            if let Some(head) = head("GET", &target, &[&value]) {
                prop_assert!(!matches!(read(&head), Asked::Health) || target == b"/healthz");
            }
        }

        #[test]
        fn whatever_the_password_is_it_arrives(password in "\\PC{0,40}") {
            let head = head("GET", b"/trigger", &[&authorization("archive", &password)]).expect("a request");
            let doors = [Door { job: "archive".into(), fingerprint: Fingerprint::of(password.as_bytes()) }];
            let Asked::Job(claim) = read(&head) else { panic!("a claim") };
            prop_assert_eq!(opened(&doors, &claim), Some("archive"));
        }
    }
}
