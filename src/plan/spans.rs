//! What the time of a change tells: whether it may be ours, or is a sign of others.

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

    /// What of them lies in none of the others.
    #[must_use]
    pub fn without(&self, others: &Spans) -> Spans {
        let mut left = self.clone();
        for (begin, end) in others.iter() {
            let parts = left.0.iter().flat_map(|&(first, last)| {
                let before = (first, last.min(begin.saturating_sub(1)));
                let after = (first.max(end.saturating_add(1)), last);
                if end < first || last < begin { [(first, last), (1, 0)] } else { [before, after] }
            });
            left.0 = parts.filter(|(first, last)| first <= last).collect();
        }
        left
    }

    /// Each with its ends, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }
}

/// Who changed a file, by its ctime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Nobody since it was known to be right, or a run of ours that put it right.
    Known,
    /// A run of ours that did not put its module in order: rsync's look at size and time is enough.
    Ours,
    /// A run that was killed, or others after it: until when it was at work is not known. It had no reason to change the content of a file
    /// whose row is the same.
    Killed,
    /// Others: its content may be another, whatever its size and time.
    Others {
        /// Whether rsync was asked by size and time already.
        asked: bool,
    },
}

/// What the ctimes of a module's files tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ctimes {
    /// What changed then is right.
    pub known: Spans,
    /// What changed then was changed by us.
    pub ours: Spans,
    /// Since then a run was at work that was killed.
    pub killed: Option<i64>,
    /// What others changed before this moment was asked of rsync by size and time.
    pub asked: Option<i64>,
}

impl Ctimes {
    /// Who changed a file at a moment.
    pub fn touch(&self, ctime: i64) -> Touch {
        if self.known.hold(ctime) {
            Touch::Known
        } else if self.ours.hold(ctime) {
            Touch::Ours
        } else if self.killed.is_some_and(|since| since <= ctime) {
            Touch::Killed
        } else {
            Touch::Others { asked: self.asked.is_some_and(|asked| ctime < asked) }
        }
    }

    /// Whether the content of a file that changed then is in doubt.
    pub fn doubt(&self, ctime: i64) -> bool {
        matches!(self.touch(ctime), Touch::Others { .. } | Touch::Killed)
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
            let mut others = Spans::default();
            others.add(limit, limit + 3);
            prop_assert_eq!(spans.without(&others).hold(moment), is_in && !others.hold(moment));
            let ends: Vec<i64> = spans.iter().flat_map(|(begin, end)| [begin, end]).collect();
            prop_assert!(ends.is_sorted() && spans.iter().zip(spans.iter().skip(1)).all(|(a, b)| a.1 < b.0), "{:?}", spans);
        }
    }
}
