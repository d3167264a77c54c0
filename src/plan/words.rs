//! Numbers for human eyes.

use std::time::Duration;

/// Bytes for human eyes.
pub fn bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A count and its noun.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A time span, as a person writes it and as the configuration file takes it: `7d`, `1h 30m`, `10ms`.
pub fn span(span: Duration) -> String {
    const UNITS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut left = span.as_nanos();
    let mut parts = Vec::new();
    for (unit, nanos) in UNITS {
        parts.extend((left >= nanos).then(|| format!("{}{unit}", left / nanos)));
        left %= nanos;
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_are_written_as_a_person_does() {
        let seconds = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(seconds(7 * 86_400), "7d");
        assert_eq!(seconds(40 * 86_400), "40d");
        assert_eq!(seconds(2 * 3600), "2h");
        assert_eq!(seconds(5400), "1h 30m");
        assert_eq!(seconds(0), "0s");
        assert_eq!(span(Duration::from_micros(1_500)), "1ms 500us");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0..u64::from(u32::MAX), nanos in 0..1_000_000_000u32) {
            let before = Duration::new(seconds, nanos);
            prop_assert_eq!(humantime::parse_duration(&span(before)).unwrap(), before);
        }
    }
}
