//! One address for a run: a name that leads to several hosts may lead to the lists of one and the content of another.
//!
//! The name of a daemon is looked up once, and its calls are made to one of its addresses until that gives trouble; then to the
//! next. rsync would try the next one by itself if it could not connect, and so nothing is said of that, and nothing waited for.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use super::Run;
use crate::config::{AddressFamily, Rsync, Upstream};
use crate::interrupt::{Interrupt, Waited};

/// Variables by which somebody else makes the connection, and looks the name up.
const CONNECTED_BY_OTHERS: [&str; 2] = ["RSYNC_PROXY", "RSYNC_CONNECT_PROG"];

/// The addresses of upstreams, by name, as far as they were asked for.
#[derive(Default)]
pub(super) struct Addresses(Mutex<HashMap<String, Found>>);

/// The addresses of one name.
struct Found {
    all: Vec<IpAddr>,
    /// The one that is used.
    at: usize,
    /// So many could not be connected to, one after the other.
    unreachable: usize,
}

impl Addresses {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Found>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The address that is used for a name, if it was looked up.
    fn of(&self, host: &str) -> Option<IpAddr> {
        self.lock().get(host).map(|found| found.all[found.at])
    }

    fn add(&self, host: &str, all: Vec<IpAddr>) {
        if !all.is_empty() {
            self.lock().insert(host.to_owned(), Found { all, at: 0, unreachable: 0 });
        }
    }

    /// A call was answered.
    fn answered(&self, host: &str) {
        self.lock().entry(host.to_owned()).and_modify(|found| found.unreachable = 0);
    }

    /// A call came to nothing: the next one goes to the next address. Returns whether that is worth trying at once, because none has
    /// been tried since the last answer that this one could be.
    fn next(&self, host: &str, is_unreachable: bool) -> bool {
        let mut known = self.lock();
        let Some(found) = known.get_mut(host) else { return false };
        found.at = (found.at + 1) % found.all.len();
        found.unreachable = if is_unreachable { found.unreachable + 1 } else { 0 };
        if found.unreachable == found.all.len() {
            found.unreachable = 0;
        }
        found.unreachable > 0
    }
}

impl Run<'_> {
    /// An upstream by the address that this run uses for it, or by its name where others look that up.
    pub(super) fn addressed(&self, upstream: &Upstream) -> Upstream {
        let settings = &self.config.rsync;
        let Some(host) = by_address(settings, upstream) else { return upstream.clone() };
        if self.addresses.of(host).is_none() {
            self.addresses.add(host, look_up(settings, host, self.interrupt));
        }
        // A name that cannot be looked up is left to rsync, which says why.
        self.addresses.of(host).map_or_else(|| upstream.clone(), |address| upstream.at_address(address))
    }

    /// A call to an upstream was answered.
    pub(super) fn was_answered(&self, upstream: &Upstream) {
        upstream.host_name().into_iter().for_each(|host| self.addresses.answered(host));
    }

    /// A call to an upstream came to nothing. Returns whether another address can be tried at once.
    pub(super) fn try_next_address(&self, upstream: &Upstream, is_unreachable: bool) -> bool {
        upstream.host_name().is_some_and(|host| self.addresses.next(host, is_unreachable))
    }
}

/// The host of a daemon by whose address calls may be made; `None` where others look the name up, and where it is an address.
pub(crate) fn by_address<'u>(settings: &Rsync, upstream: &'u Upstream) -> Option<&'u str> {
    let others = CONNECTED_BY_OTHERS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let takes_one = settings.one_address && !others && takes_an_address(&settings.program, &settings.options);
    upstream.host_name().filter(|_| takes_one)
}

/// The addresses of a name, in the order of the system's choice; none if they cannot be had before somebody asks for the end.
pub(crate) fn look_up(settings: &Rsync, host: &str, interrupt: &Interrupt) -> Vec<IpAddr> {
    let name = host.to_owned();
    // It may take as long as the system's resolver likes, and cannot be ended.
    let found = interrupt.wait_for(settings.connect_timeout, move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        found.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
    });
    match found {
        Waited::Done(found) => usable(found, settings.address_family, settings.bind),
        Waited::TooLong | Waited::BrokeOff | Waited::Interrupted(_) => Vec::new(),
    }
}

/// The addresses that the settings let rsync use, each once. None if one makes sense on one link only: it is nothing without that.
fn usable(found: Vec<IpAddr>, family: AddressFamily, bind: Option<IpAddr>) -> Vec<IpAddr> {
    let is_local = |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    if found.iter().any(is_local) {
        return Vec::new();
    }
    let is_wanted = |address: &IpAddr| match family {
        AddressFamily::Any => bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4()),
        AddressFamily::Ipv4 => address.is_ipv4(),
        AddressFamily::Ipv6 => address.is_ipv6(),
    };
    let mut usable: Vec<IpAddr> = Vec::new();
    for address in found.into_iter().filter(is_wanted) {
        if !usable.contains(&address) {
            usable.push(address);
        }
    }
    usable
}

/// Whether rsync connects by itself, and needs no name: a remote shell may know a host by no address, and a certificate is for a name.
fn takes_an_address(program: &Path, options: &[OsString]) -> bool {
    let is_shell =
        |option: &OsString| ["-e", "--rsh"].iter().any(|shell| option.as_encoded_bytes().starts_with(shell.as_bytes()));
    !program.ends_with("rsync-ssl") && !options.iter().any(is_shell)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn each_address_is_tried_once_at_once_and_then_one_after_each_wait() {
        let known = Addresses::default();
        known.add("host", addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]));
        let at = || known.of("host").unwrap().to_string();
        assert_eq!(at(), "192.0.2.1");
        assert!(known.next("host", true) && at() == "192.0.2.2");
        assert!(known.next("host", true) && at() == "192.0.2.3");
        // All were tried.
        assert!(!known.next("host", true) && at() == "192.0.2.1");
        assert!(known.next("host", true) && at() == "192.0.2.2");
        known.answered("host");
        // One that answers, and has no place for us, is waited for.
        assert!(!known.next("host", false) && at() == "192.0.2.3");
        assert!(known.next("host", true) && at() == "192.0.2.1");
        assert!(!known.next("other", true) && known.of("other").is_none());
        known.add("alone", addresses(&["192.0.2.9"]));
        assert!(!known.next("alone", true) && known.of("alone").is_some());
        known.add("nobody", Vec::new());
        assert!(known.of("nobody").is_none());
    }

    #[test]
    fn the_settings_choose_among_the_addresses() {
        let found = || addresses(&["2001:db8::1", "192.0.2.1", "2001:db8::1", "192.0.2.2"]);
        let usable = |family, bind| {
            let usable = super::usable(found(), family, bind);
            usable.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let bind = Some([127, 0, 0, 1].into());
        assert_eq!(usable(AddressFamily::Any, None), "2001:db8::1 192.0.2.1 192.0.2.2");
        assert_eq!(usable(AddressFamily::Any, bind), "192.0.2.1 192.0.2.2");
        assert_eq!(usable(AddressFamily::Ipv4, None), "192.0.2.1 192.0.2.2");
        assert_eq!(usable(AddressFamily::Ipv6, None), "2001:db8::1");
        assert!(super::usable(addresses(&["192.0.2.1", "fe80::1"]), AddressFamily::Any, None).is_empty());
    }

    #[test]
    fn who_needs_the_name_gets_it() {
        let takes = |program: &str, options: &[&str]| {
            takes_an_address(Path::new(program), &options.iter().map(OsString::from).collect::<Vec<_>>())
        };
        assert!(takes("rsync", &["--sockopts=SO_KEEPALIVE", "--old-args"]) && !takes("/usr/bin/rsync-ssl", &[]));
        for options in [&["-e", "ssh"][..], &["-essh -n"], &["--rsh=ssh"], &["--rsh", "ssh"]] {
            assert!(!takes("rsync", options), "{options:?}");
        }
    }
}
