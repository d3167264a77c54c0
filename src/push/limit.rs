//! How much an address may ask in vain. Pure: the clock is handed in.
//!
//! Only requests that opened nothing count. A trigger with the right secret is never refused for coming often, because a trigger is
//! never lost; it is coalesced. An address that has asked in vain too often is not listened to until it has paused.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is counted over.
const MINUTE: Duration = Duration::from_secs(60);

/// So many addresses are remembered at most.
const MOST_ADDRESSES: usize = 4096;

/// A bucket for each address, which each request in vain puts something into, and which empties evenly within a minute.
#[derive(Debug)]
pub struct Limit {
    /// How many requests fill a bucket; 0: none does.
    per_minute: u32,
    /// When the bucket of an address will be empty. What is not here is empty.
    empty_at: HashMap<IpAddr, Instant>,
}

impl Limit {
    /// A limit of so many requests a minute; 0 is no limit.
    pub fn new(per_minute: u32) -> Limit {
        Limit { per_minute, empty_at: HashMap::new() }
    }

    /// Whether an address has asked in vain so often that it is not listened to now.
    pub fn is_spent(&self, address: IpAddr, now: Instant) -> bool {
        let Some(share) = MINUTE.checked_div(self.per_minute) else { return false };
        let full = self.empty_at.get(&network(address)).map(|at| at.saturating_duration_since(now));
        full.is_some_and(|full| full + share > MINUTE)
    }

    /// Counts a request in vain.
    pub fn count(&mut self, address: IpAddr, now: Instant) {
        let Some(share) = MINUTE.checked_div(self.per_minute) else { return };
        let network = network(address);
        if self.empty_at.len() >= MOST_ADDRESSES && !self.empty_at.contains_key(&network) {
            self.make_room(now);
        }
        let empty_at = self.empty_at.entry(network).or_insert(now);
        *empty_at = ((*empty_at).max(now) + share).min(now + MINUTE);
    }

    /// Forgets the addresses that have paused, or, where none has, the one that will first.
    fn make_room(&mut self, now: Instant) {
        self.empty_at.retain(|_, at| *at > now);
        if self.empty_at.len() >= MOST_ADDRESSES {
            let first = self.empty_at.iter().min_by_key(|(_, at)| **at).map(|(network, _)| *network);
            first.map(|network| self.empty_at.remove(&network));
        }
    }
}

/// What is counted as one address: of IPv6 the first 64 bits, which one host has all the rest of.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a moment to begin with")]

    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_is_spent_after_so_many_and_comes_back_evenly() {
        let (mut limit, now) = (Limit::new(6), Instant::now());
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..6 {
            assert!(!limit.is_spent(one, now));
            limit.count(one, now);
        }
        assert!(limit.is_spent(one, now));
        assert!(limit.is_spent(address("::ffff:192.0.2.1"), now), "the same address in other words");
        assert!(!limit.is_spent(other, now), "another address");
        let later = now + Duration::from_secs(10);
        assert!(!limit.is_spent(one, later), "a sixth of a minute is one request");
        limit.count(one, later);
        assert!(limit.is_spent(one, later));
        assert!(!limit.is_spent(one, later + MINUTE));
    }

    #[test]
    fn asking_on_does_not_make_it_longer_than_a_minute() {
        let (mut limit, now) = (Limit::new(60), Instant::now());
        (0..10_000).for_each(|_| limit.count(address("192.0.2.1"), now));
        assert!(limit.is_spent(address("192.0.2.1"), now + Duration::from_millis(900)));
        assert!(!limit.is_spent(address("192.0.2.1"), now + Duration::from_secs(1)));
    }

    #[test]
    fn a_host_has_many_addresses_of_ipv6() {
        let (mut limit, now) = (Limit::new(1), Instant::now());
        limit.count(address("2001:db8:0:1::1"), now);
        assert!(limit.is_spent(address("2001:db8:0:1:ffff::2"), now));
        assert!(!limit.is_spent(address("2001:db8:0:2::1"), now));
    }

    #[test]
    fn no_limit_never_refuses() {
        let (mut limit, now) = (Limit::new(0), Instant::now());
        (0..1000).for_each(|_| limit.count(address("192.0.2.1"), now));
        assert!(!limit.is_spent(address("192.0.2.1"), now));
        assert!(limit.empty_at.is_empty());
    }

    proptest! {
        // Each counts thousands of addresses.
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn what_is_remembered_has_a_bound(seeds in proptest::collection::vec(any::<u32>(), 1..40)) {
            let (mut limit, now) = (Limit::new(10), Instant::now());
            for (step, seed) in seeds.into_iter().enumerate() {
                let now = now + Duration::from_millis(step as u64);
                for i in 0..300_u32 {
                    limit.count(IpAddr::V4(seed.wrapping_add(i).into()), now);
                }
                prop_assert!(limit.empty_at.len() <= MOST_ADDRESSES);
            }
        }
    }
}
