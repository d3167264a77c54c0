//! The table `[listen]` → [`Listen`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::error::{Problem, Wrong};
use super::layers::Settings;

/// How triggers over HTTP are listened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where, unless the service manager hands sockets over.
    pub address: Address,
    /// Who starts a job.
    pub start: Start,
    /// Whose word on where a request comes from is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// So many requests in a minute may be in vain from one address; 0: any number.
    pub rate: u32,
    /// A connection may last so long.
    pub timeout: Duration,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket with a name. Absolute.
    Unix(PathBuf),
}

/// Who starts a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Whoever was told to.
    Itself,
    /// systemd, as `qfm@JOB.service`.
    Systemctl,
}

/// As it is written in the file.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    fn parse(text: &str) -> Option<Address> {
        match text.strip_prefix("unix:") {
            Some(path) => path.starts_with('/').then(|| Address::Unix(path.into())),
            None => text.parse().ok().map(Address::Tcp),
        }
    }
}

/// The settings of the listener. They can be used if no problem was added.
pub(super) fn read(settings: &Settings, problems: &mut Vec<Problem>) -> Listen {
    let mut fault = |key: &str, wrong: Wrong| problems.push(wrong.at(settings.origin(key), key));
    let text = settings.text("listen.address").unwrap_or_default();
    let address = Address::parse(text).unwrap_or_else(|| {
        let hint =
            "write an IP address and a port, such as 127.0.0.1:8473 or [::1]:8473, or unix: and an absolute path";
        fault("listen.address", Wrong::new(format!("{text:?} is nothing to listen on"), hint));
        Address::Tcp((Ipv4Addr::LOCALHOST, 0).into())
    });
    let mut trusted_proxies = Vec::new();
    for text in settings.list("listen.trusted_proxies").unwrap_or_default() {
        match text.parse::<IpAddr>() {
            Ok(address) => trusted_proxies.push(address.to_canonical()),
            Err(_) => {
                let hint = "write each as a number, such as 127.0.0.1 or ::1";
                fault("listen.trusted_proxies", Wrong::new(format!("{text:?} is no IP address"), hint));
            }
        }
    }
    let start = match settings.text("listen.start") {
        Some("systemctl") => Start::Systemctl,
        _ => Start::Itself,
    };
    Listen {
        address,
        start,
        trusted_proxies,
        rate: settings.number("listen.rate"),
        timeout: settings.span("listen.timeout"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_port_of_a_number_or_a_socket_with_a_name() {
        for good in ["127.0.0.1:8473", "[::1]:80", "unix:/run/qfm/trigger.sock"] {
            assert_eq!(Address::parse(good).map(|address| address.to_string()).as_deref(), Some(good));
        }
        for wrong in
            ["", "localhost:80", "127.0.0.1", ":80", "[::1]", "unix:", "unix:run/sock", "/run/sock", "127.0.0.1:99999"]
        {
            assert_eq!(Address::parse(wrong), None, "{wrong}");
        }
    }
}
