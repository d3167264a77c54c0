//! Cases by chance that can be had again, each by its number.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};

/// Numbers that look like chance, and are the same for the same seed. What was done with them is told if the test fails.
pub struct Chance {
    seed: u64,
    state: u64,
    done: String,
}

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance { seed, state: seed, done: String::new() }
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Writes down what is done.
    pub fn note(&mut self, what: impl std::fmt::Display) {
        writeln!(self.done, "  {what}").expect("a string");
    }

    /// A number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("QFM_TEST_SEED={}\n{}", self.seed, self.done);
        }
    }
}

/// The numbers of so many cases: `QFM_TEST_SEED` alone if it is set, to repeat what failed.
pub fn seeds(cases: u64) -> Vec<u64> {
    let given = std::env::var("QFM_TEST_SEED").ok().map(|seed| vec![seed.parse().expect("a number")]);
    given.unwrap_or_else(|| (0..cases).map(|case| RandomState::new().hash_one(case)).collect())
}
