//! The forms of an rsync source, and what is not one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::Upstream;
use super::error::Wrong;
use super::secret::mask_address;

const FORMS: &str = "write rsync://host/module, host::module, host:/path (over ssh) or an absolute local path";

/// How rsync reaches an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// An rsync daemon: `rsync://host/module` or `host::module`.
    Daemon,
    /// A remote shell: `host:path`.
    Shell,
    /// A local directory.
    Local,
}

impl Upstream {
    /// Checks an rsync source and removes trailing slashes; no error ever repeats a password.
    pub fn parse(text: &str) -> Result<Upstream, Wrong> {
        let shown = mask_address(text);
        let wrong = |what: &str, hint: &str| Err(Wrong::new(format!("`{shown}` {what}"), hint));
        if text.starts_with('-') {
            return wrong("starts with `-`, which rsync would take for an option", FORMS);
        }
        if text.contains(char::is_control) {
            return Err(Wrong::new("an upstream cannot contain control characters", FORMS));
        }
        let source = text.trim_end_matches('/');
        if source.starts_with('/') {
            return Ok(Upstream(source.to_string()));
        }
        let scheme = source.find("://").map(|at| (&source[..at], &source[at + 3..]));
        let (authority, path) = match scheme {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("rsync") => rest.split_once('/').unwrap_or((rest, "")),
            Some((scheme, _)) => {
                return wrong(&format!("has the scheme {scheme}, which rsync does not speak"), FORMS);
            }
            None => split_host(source),
        };
        if authority.split_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return wrong(
                "has a password in it, which every user of this host could read in the process list",
                "write user@ only, put the password into a file that nobody else can read and name it in rsync.password_file",
            );
        }
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if scheme.is_some() {
            if !is_host_and_port(host) {
                return wrong("has no valid host name or port", FORMS);
            }
            if path.is_empty() {
                return wrong(
                    "names a host but no module",
                    "write rsync://host/module; `rsync rsync://host/` lists the modules",
                );
            }
            return Ok(Upstream(source.to_string()));
        }
        if path.is_empty() {
            return wrong("is none of the forms of an rsync source", FORMS);
        }
        if !is_host(host) {
            return wrong("has no valid host name", FORMS);
        }
        match path {
            ":" => wrong("names a host but no path", "write host:/path or host::module, without a `/` alone"),
            "::" => wrong("names a host but no module", "write host::module; `rsync host::` lists the modules"),
            _ => Ok(Upstream(source.to_string())),
        }
    }

    /// How rsync reaches it.
    pub fn transport(&self) -> Transport {
        let text = &self.0;
        if text.starts_with('/') {
            return Transport::Local;
        }
        if text.contains("://") || split_host(text).1.starts_with("::") { Transport::Daemon } else { Transport::Shell }
    }

    /// The name of a daemon's host; `None` for what is no daemon, and for an address.
    pub fn host_name(&self) -> Option<&str> {
        let host = self.daemon()?;
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        (!is_address).then_some(host)
    }

    /// A daemon's host, by name or address; `None` for what is no daemon.
    pub fn daemon(&self) -> Option<&str> {
        Some(&self.0[self.host()?])
    }

    /// The same daemon by an address.
    #[must_use]
    pub fn at_address(&self, address: IpAddr) -> Upstream {
        let Some(host) = self.host() else { return self.clone() };
        let address = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        Upstream([&self.0[..host.start], &address, &self.0[host.end..]].concat())
    }

    /// Where a daemon's host stands in the text.
    fn host(&self) -> Option<Range<usize>> {
        let text = self.0.as_str();
        if self.transport() != Transport::Daemon {
            return None;
        }
        let (start, authority) = match text.find("://") {
            Some(at) => (at + 3, text[at + 3..].split('/').next().unwrap_or_default()),
            None => (0, split_host(text).0),
        };
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        let (start, host) = (start + user, &authority[user..]);
        let end = if host.starts_with('[') { host.find(']').map(|at| at + 1) } else { host.find(':') };
        Some(start..start + end.unwrap_or(host.len()))
    }

    /// Where the name of a daemon's module begins in the text; what is before it names the daemon.
    fn module_start(&self) -> Option<usize> {
        let text = self.0.as_str();
        match self.transport() {
            Transport::Daemon => match text.find("://") {
                // Behind the scheme and the host.
                Some(at) => text[at + 3..].find('/').map(|slash| at + 3 + slash + 1),
                None => text.rfind("::").map(|at| at + 2),
            },
            Transport::Shell | Transport::Local => None,
        }
    }

    /// A daemon, as the source that lists its modules, and its module that is meant; `None` for what is no daemon.
    pub fn server(&self) -> Option<(Upstream, &str)> {
        let (server, module) = self.0.split_at(self.module_start()?);
        Some((Upstream(server.to_owned()), module.split('/').next().unwrap_or(module)))
    }

    /// A daemon's module, and the path below it; the whole and nothing for what is no daemon.
    ///
    /// Some daemons without chroot (seen: rsync 3.5.0) look for the names of a request in the wrong place if the source is a
    /// directory below their module. So the source is always the module, and the path goes into the names.
    pub fn at_module(&self) -> (Upstream, &str) {
        let text = self.0.as_str();
        match self.module_start().and_then(|start| text[start..].find('/').map(|len| start + len)) {
            Some(end) => (Upstream(text[..end].to_string()), &text[end + 1..]),
            None => (self.clone(), ""),
        }
    }
}

/// Cuts `[user@]host::module` and `[user@]host:path` before the colon; the second part is empty if there is none.
fn split_host(text: &str) -> (&str, &str) {
    // A `:` before the `@` belongs to a password, and one between brackets to an IPv6 address.
    let user = text.find('/').map_or(text, |slash| &text[..slash]).rfind('@').map_or(0, |at| at + 1);
    let after = match text[user..].strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(close) => user + close + 2,
        None => user,
    };
    match text[after..].find([':', '/']) {
        Some(at) if text[after + at..].starts_with(':') => text.split_at(after + at),
        _ => (text, ""),
    }
}

fn is_host_and_port(text: &str) -> bool {
    if is_host(text) {
        return true;
    }
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (address, _zone) = address.split_once('%').unwrap_or((address, ""));
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemons_module_is_told_from_the_path_below_it() {
        for (text, module, below) in [
            ("rsync://host/buffet", "rsync://host/buffet", ""),
            ("rsync://u@[::1]:873/pub/a/b", "rsync://u@[::1]:873/pub", "a/b"),
            ("host::pub/fedora", "host::pub", "fedora"),
            ("[::1]::pub", "[::1]::pub", ""),
            ("host:/srv/pub/fedora", "host:/srv/pub/fedora", ""),
            ("/srv/a::b/c", "/srv/a::b/c", ""),
        ] {
            let upstream = Upstream(text.to_string());
            assert_eq!(upstream.at_module(), (Upstream(module.to_string()), below), "{text}");
        }
        for (text, server) in [
            ("rsync://u@[::1]:873/pub/a/b", Some(("rsync://u@[::1]:873/", "pub"))),
            ("host::pub", Some(("host::", "pub"))),
            ("host:/srv/pub", None),
            ("/srv/a::b/c", None),
        ] {
            let server = server.map(|(server, module)| (Upstream(server.to_string()), module));
            assert_eq!(Upstream(text.to_string()).server(), server, "{text}");
        }
    }

    #[test]
    fn a_daemons_name_makes_way_for_an_address() {
        let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        for (text, name, at) in [
            ("rsync://host/m/a@b:c", "host", ["rsync://192.0.2.1/m/a@b:c", "rsync://[2001:db8::1]/m/a@b:c"]),
            ("RSYNC://u@host:8873/m", "host", ["RSYNC://u@192.0.2.1:8873/m", "RSYNC://u@[2001:db8::1]:8873/m"]),
            ("host.example::m/a", "host.example", ["192.0.2.1::m/a", "[2001:db8::1]::m/a"]),
            ("u@host::m", "host", ["u@192.0.2.1::m", "u@[2001:db8::1]::m"]),
        ] {
            let upstream = Upstream(text.to_string());
            assert_eq!(upstream.host_name(), Some(name), "{text}");
            assert_eq!(addresses.map(|address| upstream.at_address(address).0), at, "{text}");
        }
        for text in ["rsync://192.0.2.7:873/m", "rsync://[::1]/m", "[::1]::m", "host:/srv/a::b", "/srv/a::b"] {
            assert_eq!(Upstream(text.to_string()).host_name(), None, "{text}");
        }
    }

    #[test]
    fn all_forms_are_taken_without_trailing_slashes() {
        for (text, transport) in [
            ("rsync://host/module", Transport::Daemon),
            ("rsync://user@host:8873/module/a b//", Transport::Daemon),
            ("rsync://[2001:db8::1]:873/module", Transport::Daemon),
            ("RSYNC://host/module/a@b:c", Transport::Daemon),
            ("host::module", Transport::Daemon),
            ("user@host.example::module/path/", Transport::Daemon),
            ("[::1]::module", Transport::Daemon),
            ("host:/srv/a@b:c", Transport::Shell),
            ("user@host:relative", Transport::Shell),
            ("/srv/upstream/", Transport::Local),
        ] {
            let upstream = Upstream::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
            assert_eq!(upstream.0, text.trim_end_matches('/'), "{text}");
            assert_eq!(upstream.transport(), transport, "{text}");
        }
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for (text, what) in [
            ("-e sh", "starts with `-`"),
            ("fedora-buffet", "none of the forms"),
            ("some/path:x", "none of the forms"),
            ("/", "none of the forms"),
            ("https://host/module", "scheme https"),
            ("rsync://host", "no module"),
            ("rsync://host/", "no module"),
            ("rsync:///module", "host name"),
            ("rsync://host:port/module", "port"),
            ("rsync://-x/module", "host name"),
            ("host::", "no module"),
            ("host:", "no path"),
            ("host:/", "no path"),
            ("-x@y:z", "starts with `-`"),
            ("u@-oProxyCommand:z", "host name"),
            ("host\n::module", "control"),
        ] {
            let wrong = Upstream::parse(text).expect_err(text);
            assert!(wrong.what.contains(what), "{text}: {}", wrong.what);
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for text in [
            "rsync://user:hunter2@host/module",
            "user:hunter2@host::module",
            "user:hunter2@host:/path",
            "rsync://u:hunter2/x@host/m",
        ] {
            let wrong = Upstream::parse(text).expect_err(text);
            assert!(!wrong.what.contains("hunter2"), "{}", wrong.what);
        }
        let wrong = Upstream::parse("user:hunter2@host::module").expect_err("password");
        assert!(wrong.hint.contains("password_file"), "{}", wrong.hint);
    }
}
