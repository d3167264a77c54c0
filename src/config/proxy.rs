//! The proxy that the environment names.

use std::fmt;

use ureq::Proxy;
use ureq::http::Uri;

use super::error::{Origin, Problem, Wrong};
use super::layers::Environment;
use super::secret::MASK;

/// The variables that say it, each in small letters or else in capitals.
const VARIABLES: [&str; 8] =
    ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

/// What the environment says of proxies: the one rule for all that is called over HTTP.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies(Environment);

impl Proxies {
    /// What this environment says.
    pub fn of(environment: &Environment) -> Proxies {
        Proxies(environment.only(&VARIABLES))
    }

    /// Through whom an address is called: `https_proxy` or `http_proxy` says it, by the scheme of the address, or else `all_proxy`; in
    /// small letters, or else in capitals. `None` where none does, or where `no_proxy` excepts the host.
    ///
    /// # Errors
    /// The variable that names what is no proxy: what was meant to go through one must not go around it.
    pub fn to(&self, address: &Uri) -> Result<Option<Proxy>, Problem> {
        let said = |name: &str| {
            let names = [name.to_owned(), name.to_uppercase()];
            names.into_iter().find_map(|name| Some((self.0.get(&name)?.to_string_lossy().into_owned(), name)))
        };
        let of_scheme = if address.scheme_str() == Some("http") { "http_proxy" } else { "https_proxy" };
        let Some((proxy, name)) = said(of_scheme).or_else(|| said("all_proxy")) else { return Ok(None) };
        let host = address.host().unwrap_or_default();
        if said("no_proxy").is_some_and(|(list, _)| is_excepted(host, &list)) {
            return Ok(None);
        }
        // What it says may have a password in it.
        let wrong = Wrong::new("is no address of a proxy", "for example http://proxy.example.org:3128");
        Proxy::new(&proxy).map(Some).map_err(|_| wrong.at(Origin::Environment(name), ""))
    }
}

/// What they say may have a password in it.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Whether a list of names has the host, or what it is below.
fn is_excepted(host: &str, list: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_lowercase();
    let mut names = list.split([',', ' ']).filter(|name| !name.is_empty());
    names.any(|name| {
        let name = name.trim_start_matches('*').trim_start_matches('.').to_lowercase();
        // What is left of `*` is nothing.
        name.is_empty() || host.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(address: &str, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let proxy = Proxies::of(&variables.iter().copied().collect()).to(&address.parse().unwrap());
        proxy.map(|it| it.map(|it| format!("{}:{}", it.host(), it.port()))).map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_variable_of_the_scheme_counts_before_that_for_all() {
        let all = [("http_proxy", "http://a:1"), ("HTTPS_PROXY", "b:2"), ("ALL_PROXY", "socks5://c:3")];
        let chosen = |address: &str, variables: &[_]| found(address, variables).unwrap();
        assert_eq!(chosen("http://h/", &all).as_deref(), Some("a:1"));
        assert_eq!(chosen("https://h/", &all).as_deref(), Some("b:2"));
        assert_eq!(chosen("https://h/", &all[2..]).as_deref(), Some("c:3"));
        assert_eq!(chosen("https://h/", &all[..1]), None, "it is for http alone");
        assert_eq!(chosen("http://h/", &[("http_proxy", "x"), ("HTTP_PROXY", "y")]).as_deref(), Some("x:80"));
        assert_eq!(chosen("http://h/", &[("http_proxy", "")]), None);
    }

    #[test]
    fn no_proxy_excepts_hosts_and_what_is_below_them() {
        let is_direct = |host: &str, list: &str| {
            let variables = [("https_proxy", "http://p:1"), ("no_proxy", list)];
            found(&format!("https://{host}:8443/x"), &variables).unwrap().is_none()
        };
        for list in ["h.example", "a, H.example", "example", ".example", "*.example", "*", "a *"] {
            assert!(is_direct("h.example", list), "{list}");
        }
        for list in ["", "a", "h", "ample", "x.h.example", "example.org"] {
            assert!(!is_direct("h.example", list), "{list}");
        }
        assert!(is_direct("[::1]", "localhost,::1") && is_direct("127.0.0.1", "127.0.0.1"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_it() {
        let problem = found("https://h/", &[("https_proxy", "gopher://u:hunter2@p")]).unwrap_err();
        assert_eq!(problem, "environment https_proxy: is no address of a proxy");
    }
}
