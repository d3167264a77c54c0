//! When changes are no sign of others.

/// So many are kept: four weeks, if a run each ten minutes has something to change.
const MOST: usize = 4096;

/// Spans of time, both ends within, nanoseconds since the epoch by the clock of the tree's file system: what changed in one of them
/// may have been changed by us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// Whether a moment lies in one of them.
    pub fn hold(&self, moment: i64) -> bool {
        let begun = self.0.partition_point(|&(begin, _)| begin <= moment);
        self.0[..begun].last().is_some_and(|&(_, end)| moment <= end)
    }

    /// Adds one. When there are too many, the two oldest become one, with what lies between.
    pub fn add(&mut self, begin: i64, end: i64) {
        // A clock may have been set back meanwhile.
        let (begin, end) = (begin.min(end), begin.max(end));
        let first = self.0.partition_point(|&(_, before)| before < begin);
        let past = self.0.partition_point(|&(after, _)| after <= end);
        let met = &self.0[first..past];
        let begin = met.first().map_or(begin, |met| begin.min(met.0));
        let end = met.last().map_or(end, |met| end.max(met.1));
        self.0.splice(first..past, [(begin, end)]);
        if self.0.len() > MOST {
            let (begin, _) = self.0.remove(0);
            self.0[0].0 = begin;
        }
    }

    /// What of them was over at a moment.
    #[must_use]
    pub fn before(&self, moment: i64) -> Spans {
        let begun = self.0.iter().filter(|&&(begin, _)| begin < moment);
        Spans(begun.map(|&(begin, end)| (begin, end.min(moment - 1))).collect())
    }

    /// Each with its ends, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_too_many_the_oldest_become_one() {
        let mut spans = Spans::default();
        (0..=MOST as i64).for_each(|number| spans.add(number * 10, number * 10 + 1));
        assert_eq!(spans.iter().count(), MOST);
        assert!(spans.hold(5), "between the two oldest");
        assert!(!spans.hold(15) && spans.hold(10 * MOST as i64));
    }

    proptest! {
        #[test]
        fn a_moment_is_held_if_any_span_has_it(
            added in proptest::collection::vec((-20..20i64, -20..20i64), 0..8), moment in -22..22i64, limit in -22..22i64
        ) {
            let mut spans = Spans::default();
            added.iter().for_each(|&(begin, end)| spans.add(begin, end));
            let is_in = added.iter().any(|&(begin, end)| begin.min(end) <= moment && moment <= begin.max(end));
            prop_assert_eq!(spans.hold(moment), is_in, "{:?}", spans);
            prop_assert_eq!(spans.before(limit).hold(moment), is_in && moment < limit);
            let ends: Vec<i64> = spans.iter().flat_map(|(begin, end)| [begin, end]).collect();
            prop_assert!(ends.is_sorted() && spans.iter().zip(spans.iter().skip(1)).all(|(a, b)| a.1 < b.0), "{:?}", spans);
        }
    }
}
