//! Which lines two lists do not share, at the cost of comparing bytes where they agree.
//!
//! Two lists of one upstream agree in most of their lines and in their order, so common stretches are passed over by comparing
//! blocks of memory, without a look at what they say. At a difference the next common line is looked for nearby, then far ahead.
//! What was skipped on the way to it goes into a table, and lines that stand in both tables cancel out: whatever the order,
//! only lines that one list alone has are left.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use memchr::{memmem, memrchr};
use rayon::prelude::*;

use super::sections::{cut, line_at};

/// So many bytes are compared at a time.
const BLOCK: usize = 4 << 10;

/// So many lines on both sides of a difference are searched for the next common one: each only if the one before did not do.
const WINDOWS: [usize; 3] = [8, 64, 512];

/// Each list is cut into so many parts for each thread.
const PARTS_PER_THREAD: usize = 4;

/// The line at a cut is looked for at most so far from where it is expected.
const REACH: usize = 32 << 20;

/// So many lines at a cut are looked for, until one is found.
const TRIES: usize = 4;

/// The rows of one list: some of its text, whole lines.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'t> {
    text: &'t [u8],
    start: usize,
    end: usize,
}

impl<'t> Rows<'t> {
    /// The lines of `text` within `range`, each with its LF. Lists have less than 4 GiB.
    pub fn new(text: &'t [u8], range: &Range<usize>) -> Rows<'t> {
        Rows { text, start: range.start, end: range.end }
    }

    fn bytes(&self) -> &'t [u8] {
        &self.text[self.start..self.end]
    }

    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// The line that starts at `at`, without its LF.
    fn line(&self, at: usize) -> &'t [u8] {
        line_at(&self.text[..self.end], at)
    }

    /// The first line, without its LF, and where it starts.
    fn take_line(&mut self) -> Option<(usize, &'t [u8])> {
        if self.is_empty() {
            return None;
        }
        let start = self.start;
        let line = self.line(start);
        self.start = (start + line.len() + 1).min(self.end);
        Some((start, line))
    }
}

/// The lines that one of two lists has alone, by where they start in it, in its order. A line that a list has twice may be here
/// although the other has it once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Lines of the old list.
    pub gone: Vec<u32>,
    /// Lines of the new list.
    pub come: Vec<u32>,
}

impl Differences {
    /// Compares the rows of two lists.
    pub fn between(old: Rows<'_>, new: Rows<'_>) -> Differences {
        let parts: Vec<Skipped> = parts(old, new).into_par_iter().map(|(old, new)| Pass::new(old, new).run()).collect();
        let mut skipped = Skipped::default();
        for mut part in parts {
            skipped.gone.append(&mut part.gone);
            skipped.come.append(&mut part.come);
        }
        skipped.cancel_out(old, new)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.come.is_empty()
    }
}

/// Cuts both lists at lines that they share, for several threads. Any cut is right: what one part of the new list holds and
/// another of the old is found by the table.
fn parts<'t>(old: Rows<'t>, new: Rows<'t>) -> Vec<(Rows<'t>, Rows<'t>)> {
    let count = (rayon::current_num_threads() * PARTS_PER_THREAD).min(1 + (old.end - old.start) / (4 * BLOCK));
    let step = (old.end - old.start).div_ceil(count).max(1);
    let (mut rest_old, mut rest_new) = (old, new);
    let mut parts = Vec::with_capacity(count);
    for piece in cut(old.text, old.start..old.end, (old.start..old.end).step_by(step).skip(1)).iter().skip(1) {
        let Some((at_old, at_new)) = shared_line(rest_old, rest_new, piece.start) else { continue };
        parts.push((Rows { end: at_old, ..rest_old }, Rows { end: at_new, ..rest_new }));
        rest_old.start = at_old;
        rest_new.start = at_new;
    }
    parts.push((rest_old, rest_new));
    parts
}

/// A line of `old` at or a little after `from`, and where `new` has it too, if that is near to where it is expected.
fn shared_line(old: Rows<'_>, new: Rows<'_>, from: usize) -> Option<(usize, usize)> {
    let mut lines = Rows { start: from.max(old.start), ..old };
    for _ in 0..TRIES {
        let (at, line) = lines.take_line()?;
        let expected = new.start + (at - old.start);
        let near = Rows { end: new.end.min(expected.saturating_add(REACH)), ..new };
        let start = expected.saturating_sub(REACH).clamp(near.start, near.end.max(near.start));
        if let Some(found) = find_line(near, start, line) {
            return Some((at, found));
        }
    }
    None
}

/// Where a line stands in `rows`, from byte `from` of the list on; a line that is cut off there does not count.
fn find_line(rows: Rows<'_>, from: usize, line: &[u8]) -> Option<usize> {
    let finder = memmem::Finder::new(line);
    let found = finder.find_iter(&rows.text[from..rows.end]).map(|at| from + at).find(|&at| {
        let starts = at == rows.start || rows.text[at - 1] == b'\n';
        starts && rows.text[..rows.end].get(at + line.len()) == Some(&b'\n')
    });
    found.filter(|_| !line.is_empty())
}

/// Lines that were skipped, by where they start. The upper half of each number is free for a hash.
#[derive(Default)]
struct Skipped {
    gone: Vec<u64>,
    come: Vec<u64>,
}

/// One pass over two parts of two lists.
struct Pass<'t> {
    old: Rows<'t>,
    new: Rows<'t>,
    skipped: Skipped,
    /// So many bytes may still be searched far ahead. What is found earns new ones: lists that share their order never run out, lists
    /// that do not are not searched again and again.
    patience: usize,
}

impl<'t> Pass<'t> {
    fn new(old: Rows<'t>, new: Rows<'t>) -> Pass<'t> {
        Pass { old, new, skipped: Skipped::default(), patience: old.bytes().len() + new.bytes().len() }
    }

    fn run(mut self) -> Skipped {
        loop {
            self.pass_over_common();
            if self.old.is_empty() || self.new.is_empty() {
                self.skip(self.old.end, self.new.end);
                return self.skipped;
            }
            let found = WINDOWS.iter().find_map(|&lines| self.near(lines)).or_else(|| self.far());
            let (old, new) = found.unwrap_or_else(|| self.behind(WINDOWS[WINDOWS.len() - 1]));
            self.skip(old, new);
        }
    }

    /// Passes over the lines that both have in common here.
    fn pass_over_common(&mut self) {
        let (old, new) = (self.old.bytes(), self.new.bytes());
        let blocks = old.chunks_exact(BLOCK).zip(new.chunks_exact(BLOCK)).take_while(|(old, new)| old == new);
        let mut len = blocks.count() * BLOCK;
        len += old[len..].iter().zip(&new[len..]).take_while(|(old, new)| old == new).count();
        let whole_lines = memrchr(b'\n', &old[..len]).map_or(0, |lf| lf + 1);
        self.old.start += whole_lines;
        self.new.start += whole_lines;
    }

    /// The nearest line that stands in both among the next so many.
    fn near(&self, lines: usize) -> Option<(usize, usize)> {
        let hasher = FixedState::default();
        let window = |mut rows: Rows<'t>| {
            let mut window: Vec<(u64, usize, usize)> = Vec::with_capacity(lines);
            while let Some((at, line)) = rows.take_line().filter(|_| window.len() < lines) {
                window.push((hasher.hash_one(line), window.len(), at));
            }
            window
        };
        let (old, mut new) = (window(self.old), window(self.new));
        new.sort_unstable();
        let mut best: Option<(usize, usize, usize)> = None;
        for (hash, before, at) in old {
            if best.is_some_and(|(distance, ..)| before >= distance) {
                break;
            }
            let Some(&(_, after, there)) =
                new[new.partition_point(|line| line.0 < hash)..].first().filter(|line| line.0 == hash)
            else {
                continue;
            };
            let same = self.old.line(at) == self.new.line(there);
            if same && best.is_none_or(|(distance, ..)| before + after < distance) {
                best = Some((before + after, at, there));
            }
        }
        best.map(|(_, old, new)| (old, new))
    }

    /// A line of either side that is near, and stands on the other side anywhere ahead: what lies before it came, or went, as a whole.
    fn far(&mut self) -> Option<(usize, usize)> {
        let (behind_old, behind_new) = self.behind(WINDOWS[WINDOWS.len() - 1]);
        for (old, new) in [(self.old.start, self.new.start), (behind_old, behind_new)] {
            if let Some(found) = self.search(self.old, old, self.new) {
                return Some((old, found));
            }
            if let Some(found) = self.search(self.new, new, self.old) {
                return Some((found, new));
            }
        }
        None
    }

    /// Where the line of `here` that starts at `at` stands in `there`, as far as patience goes.
    fn search(&mut self, here: Rows<'_>, at: usize, there: Rows<'_>) -> Option<usize> {
        if at >= here.end || self.patience == 0 {
            return None;
        }
        let reach = there.bytes().len().min(self.patience);
        let found = find_line(Rows { end: there.start + reach, ..there }, there.start, here.line(at));
        match found {
            Some(found) => self.patience += found - there.start,
            None => self.patience -= reach,
        }
        found
    }

    /// Where so many lines end on both sides.
    fn behind(&self, lines: usize) -> (usize, usize) {
        let behind = |mut rows: Rows<'_>| {
            let _last = (0..lines).map_while(|_| rows.take_line()).last();
            rows.start
        };
        (behind(self.old), behind(self.new))
    }

    /// Puts the lines before the given places aside.
    fn skip(&mut self, old: usize, new: usize) {
        let sides = [(&mut self.old, old, &mut self.skipped.gone), (&mut self.new, new, &mut self.skipped.come)];
        for (rows, until, skipped) in sides {
            while rows.start < until
                && let Some((at, _)) = rows.take_line()
            {
                skipped.push(at as u64);
            }
        }
    }
}

impl Skipped {
    /// Leaves the lines that stand on one side only.
    fn cancel_out(mut self, old: Rows<'_>, new: Rows<'_>) -> Differences {
        if self.gone.is_empty() || self.come.is_empty() {
            let starts = |skipped: Vec<u64>| skipped.into_iter().map(|entry| entry as u32).collect();
            return Differences { gone: starts(self.gone), come: starts(self.come) };
        }
        sort_by_hash(&mut self.gone, old);
        sort_by_hash(&mut self.come, new);
        let (mut gone, mut come) = (by_first_bits(&mut self.gone), by_first_bits(&mut self.come));
        let alone: Vec<(Vec<u32>, Vec<u32>)> =
            gone.par_iter_mut().zip(&mut come).map(|(gone, come)| alone(gone, old, come, new)).collect();
        drop(self);
        let (mut gone, mut come): (Vec<Vec<u32>>, Vec<Vec<u32>>) = alone.into_iter().unzip();
        Differences { gone: in_order(&mut gone), come: in_order(&mut come) }
    }
}

/// Puts the hash of each line into the upper half of its number, and sorts by that.
fn sort_by_hash(entries: &mut [u64], rows: Rows<'_>) {
    let hasher = FixedState::default();
    entries.par_iter_mut().for_each(|entry| {
        let line = rows.line(*entry as usize);
        *entry |= hasher.hash_one(line) & 0xffff_ffff_0000_0000;
    });
    entries.par_sort_unstable();
}

/// Cuts what is sorted by hash into shares, one for each beginning that a hash can have.
fn by_first_bits(mut entries: &mut [u64]) -> Vec<&mut [u64]> {
    const BITS: u32 = 6;
    let mut shares = Vec::with_capacity(1 << BITS);
    for first in 0..1u64 << BITS {
        let len = entries.partition_point(|entry| entry >> (u64::BITS - BITS) <= first);
        let (share, rest) = std::mem::take(&mut entries).split_at_mut(len);
        shares.push(share);
        entries = rest;
    }
    shares
}

/// Of entries that are sorted by hash, those whose line the other side has not.
fn alone(gone: &mut [u64], old: Rows<'_>, come: &mut [u64], new: Rows<'_>) -> (Vec<u32>, Vec<u32>) {
    let of_old = |entry: &u64| old.line(*entry as u32 as usize);
    let of_new = |entry: &u64| new.line(*entry as u32 as usize);
    let (mut gone_alone, mut come_alone) = (Vec::new(), Vec::new());
    let (mut gone, mut come) = (gone, come);
    while let Some(hash) = [gone.first(), come.first()].into_iter().flatten().map(|entry| entry >> 32).min() {
        let of_hash;
        (of_hash, gone) = split_by_hash(gone, hash);
        let with_hash;
        (with_hash, come) = split_by_hash(come, hash);
        // Few lines share a hash, unless somebody took pains: then sorting them is still quick.
        of_hash.sort_unstable_by(|a, b| of_old(a).cmp(of_old(b)));
        with_hash.sort_unstable_by(|a, b| of_new(a).cmp(of_new(b)));
        let is_common = |entry: &&u64| with_hash.binary_search_by(|other| of_new(other).cmp(of_old(entry))).is_ok();
        gone_alone.extend(of_hash.iter().filter(|entry| !is_common(entry)).map(|entry| *entry as u32));
        let is_common = |entry: &&u64| of_hash.binary_search_by(|other| of_old(other).cmp(of_new(entry))).is_ok();
        come_alone.extend(with_hash.iter().filter(|entry| !is_common(entry)).map(|entry| *entry as u32));
    }
    (gone_alone, come_alone)
}

/// Splits off the entries at the front that have this hash.
fn split_by_hash(entries: &mut [u64], hash: u64) -> (&mut [u64], &mut [u64]) {
    let len = entries.iter().take_while(|entry| *entry >> 32 == hash).count();
    entries.split_at_mut(len)
}

fn in_order(shares: &mut [Vec<u32>]) -> Vec<u32> {
    let mut starts = Vec::with_capacity(shares.iter().map(Vec::len).sum());
    shares.iter_mut().for_each(|share| starts.append(share));
    starts.par_sort_unstable();
    starts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::*;

    fn rows(text: &[u8]) -> Rows<'_> {
        Rows::new(text, &(0..text.len()))
    }

    /// The lines that one of two texts has alone: old, new.
    fn difference(old: &[u8], new: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let differences = Differences::between(rows(old), rows(new));
        let lines = |text: &[u8], starts: &[u32]| -> Vec<Vec<u8>> {
            starts.iter().map(|&start| line_at(text, start as usize).to_vec()).collect()
        };
        (lines(old, &differences.gone), lines(new, &differences.come))
    }

    fn text(lines: &[String]) -> Vec<u8> {
        lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
    }

    fn naive(old: &[String], new: &[String]) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
        let set = |lines: &[String]| lines.iter().map(|line| line.as_bytes().to_vec()).collect::<BTreeSet<_>>();
        let (old, new) = (set(old), set(new));
        (&old - &new, &new - &old)
    }

    fn check(old: &[String], new: &[String]) {
        let (gone, come) = difference(&text(old), &text(new));
        let (gone, come) = (BTreeSet::from_iter(gone), BTreeSet::from_iter(come));
        assert_eq!((gone, come), naive(old, new));
    }

    /// Lines as long as those of lists, so that blocks and windows matter.
    fn lines(range: Range<usize>) -> Vec<String> {
        range
            .map(|number| {
                format!("1700000000\tf\t{number}\tlinux/releases/43/Everything/x86_64/os/Packages/{number:x}.rpm")
            })
            .collect()
    }

    #[test]
    fn what_came_and_went_as_a_whole_is_found_in_place() {
        for (cut, len) in [(0, 3000), (5000, 700), (9000, 1000)] {
            let old = lines(0..10_000);
            let mut new = old.clone();
            new.drain(cut..cut + len);
            check(&old, &new);
            check(&new, &old);
            let skipped = Pass::new(rows(&text(&old)), rows(&text(&new))).run();
            assert_eq!((skipped.gone.len(), skipped.come.len()), (len, 0), "nothing else was put aside");
        }
    }

    #[test]
    fn a_directory_that_is_replaced_puts_little_else_aside() {
        let old = [lines(0..5000), lines(20_000..20_900), lines(5000..9000)].concat();
        let new = [lines(0..5000), lines(40_000..40_700), lines(5000..9000)].concat();
        check(&old, &new);
        let skipped = Pass::new(rows(&text(&old)), rows(&text(&new))).run();
        assert!(skipped.gone.len() < 2500, "{}", skipped.gone.len());
    }

    #[test]
    fn reversed_lists_do_not_differ() {
        let old = lines(0..50_000);
        let new: Vec<String> = old.iter().rev().cloned().collect();
        assert_eq!(difference(&text(&old), &text(&new)), Default::default());
    }

    #[test]
    fn an_empty_list_has_nothing_in_common() {
        check(&[], &lines(0..3));
        check(&lines(0..3), &[]);
        check(&[], &[]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_order_and_any_lines_agree_with_a_naive_comparison(
            (old, new) in (1..1500usize).prop_flat_map(|count| {
                let all = lines(0..count);
                let of = move || subsequence(all.clone(), 0..=count);
                (of(), of().prop_shuffle())
            })
        ) {
            check(&old, &new);
        }

        #[test]
        fn lists_in_upstreams_order_agree_with_a_naive_comparison(
            edits in proptest::collection::vec((0..20_000usize, 0..1500usize, any::<bool>(), any::<bool>()), 0..12)
        ) {
            let old = lines(0..20_000);
            let mut new = old.clone();
            for (number, (at, len, removes, adds)) in edits.into_iter().enumerate() {
                let at = at.min(new.len());
                let end = if removes { (at + len).min(new.len()) } else { at };
                let added = if adds { lines(100_000 * (number + 1)..100_000 * (number + 1) + len) } else { Vec::new() };
                new.splice(at..end, added);
            }
            check(&old, &new);
            check(&new, &old);
        }

        #[test]
        fn lines_that_a_list_has_twice_lose_nothing(old in "[ab\n]{0,40}", new in "[ab\n]{0,40}") {
            let split = |text: &str| -> Vec<String> { text.split('\n').map(str::to_owned).collect() };
            let (old, new) = (split(&old), split(&new));
            let (gone, come) = difference(&text(&old), &text(&new));
            let (only_old, only_new) = naive(&old, &new);
            prop_assert!(only_old.iter().all(|line| gone.contains(line)), "{gone:?}");
            prop_assert!(only_new.iter().all(|line| come.contains(line)), "{come:?}");
            let twice = |lines: &[String], line: &[u8]| lines.iter().filter(|other| other.as_bytes() == line).count() > 1;
            for line in gone.iter().filter(|line| !only_old.contains(*line)) {
                prop_assert!(twice(&old, line), "{line:?}");
            }
            for line in come.iter().filter(|line| !only_new.contains(*line)) {
                prop_assert!(twice(&new, line), "{line:?}");
            }
        }
    }
}
