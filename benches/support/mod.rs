//! What the benches measure: lists in the shape of Fedora's, made here, the same ones each time.

// Each bench uses a part of it.
#![allow(dead_code)]

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use qfm::interrupt::Interrupt;
use qfm::list::Sections;
use qfm::make_list::{self, Sink, Sinks};
use qfm::tree::Root;
use qfm::tree::draft::{self, Draft};
use tempfile::TempDir;

/// So many packages of one letter a repository has on average. With the directories around them that is 65 entries a directory.
const PER_LETTER: u64 = 74;

/// One in so many rows differs between two lists that follow each other.
const CHANGED: usize = 1000;

const VARIANTS: [&str; 3] = ["Everything", "Server", "Modular"];
const ARCHES: [&str; 4] = ["x86_64", "aarch64", "ppc64le", "s390x"];
const PARTS: [&str; 2] = ["os", "debug/tree"];
const WORDS: [&str; 16] = [
    "python3",
    "golang",
    "github",
    "prometheus",
    "common",
    "devel",
    "libs",
    "sphinx",
    "theme",
    "client",
    "static",
    "langpack",
    "plugin",
    "utils",
    "doc",
    "data",
];

/// How many rows the lists have.
pub fn rows() -> usize {
    number("QFM_BENCH_ROWS").unwrap_or(1_000_000)
}

/// How many rows the tree has.
pub fn tree_rows() -> usize {
    number("QFM_BENCH_TREE_ROWS").unwrap_or(rows() / 10)
}

fn number(variable: &str) -> Option<usize> {
    let value = env::var(variable).ok()?;
    let number = value.replace('_', "").parse().ok().filter(|number| *number > 0);
    Some(number.unwrap_or_else(|| panic!("{variable} is {value:?} and not a number of rows")))
}

/// Where what is made is left for other tools to be measured with, if anybody wants that.
fn kept() -> Option<PathBuf> {
    let directory = PathBuf::from(env::var_os("QFM_BENCH_KEEP")?);
    fs::create_dir_all(&directory).expect("QFM_BENCH_KEEP is a directory that can be made");
    Some(directory)
}

/// Leaves a list for other tools.
pub fn keep(name: &str, text: &[u8]) {
    if let Some(directory) = kept() {
        fs::write(directory.join(name), text).expect("room for a list");
    }
}

/// The settings of all benches. What is measured takes up to seconds: few samples are enough, and more would take long.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}

/// A group of benches whose throughput is counted in `elements`.
pub fn group<'c>(criterion: &'c mut Criterion, name: &str, elements: usize) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    // The other mode runs each sample longer than the one before, which is for what takes microseconds.
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(elements as u64));
    group
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len() as u64) as usize]
    }

    /// A time, ten digits, in a span of some years.
    fn time(&mut self) -> u64 {
        1_600_000_000 + self.below(150_000_000)
    }
}

/// A list that is being written.
struct Writer {
    text: Vec<u8>,
    sums: Vec<u8>,
    /// The directories that the scan is in, outermost first.
    open: Vec<String>,
    left: usize,
    numbers: Numbers,
}

impl Writer {
    /// Goes on in another directory. Those that are left on the way get their rows now: upstream's scan names a directory after
    /// what it holds.
    fn enter(&mut self, directory: &str) {
        let holds = |outer: &String| directory == outer || directory.starts_with(&format!("{outer}/"));
        while self.open.last().is_some_and(|last| !holds(last)) {
            self.leave();
        }
        let slashes = directory.match_indices('/').map(|(at, _)| at).chain([directory.len()]);
        let above: Vec<String> = slashes.map(|at| directory[..at].to_owned()).skip(self.open.len()).collect();
        // A directory that is open has its row to come.
        self.left = self.left.saturating_sub(above.len());
        self.open.extend(above);
    }

    fn leave(&mut self) {
        let Some(directory) = self.open.pop() else { return };
        let time = self.numbers.time();
        writeln!(self.text, "{time}\td\t4096\t{directory}").expect("memory");
    }

    fn file(&mut self, name: &str) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let directory = self.open.last().map_or("", String::as_str);
        let (time, size) = (self.numbers.time(), self.numbers.below(1 << 24));
        writeln!(self.text, "{time}\tf\t{size}\t{directory}/{name}").expect("memory");
        if name == "repomd.xml" {
            let [a, b, c] = [self.numbers.next(), self.numbers.next(), self.numbers.next() >> 32];
            writeln!(self.sums, "{a:016x}{b:016x}{c:08x}\t{directory}/{name}").expect("memory");
        }
    }

    /// One repository: packages by their first letter, and what a client reads first.
    fn repository(&mut self, top: &str, release: usize, arch: &str) {
        for letter in b'a'..=b'z' {
            let letter = char::from(letter);
            self.enter(&format!("{top}/Packages/{letter}"));
            // Few directories have the average: some hold a handful of packages, some hundreds.
            let spread = 1 + self.numbers.below(2 * PER_LETTER);
            let count = spread * (1 + self.numbers.below(3)) / 2;
            for number in 0..count {
                let words = [(); 4].map(|()| self.numbers.word()).join("-");
                let (major, build) = (self.numbers.below(9), 1 + self.numbers.below(9));
                self.file(&format!("{letter}{words}-{major}.{number}.{build}-{build}.fc{release}.{arch}.rpm"));
            }
            if self.left == 0 {
                return;
            }
        }
        self.enter(&format!("{top}/repodata"));
        for index in ["primary.xml.zst", "filelists.xml.zst", "other.xml.zst", "comps.xml", "updateinfo.xml.zst"] {
            let hash = [self.numbers.next(), self.numbers.next(), self.numbers.next(), self.numbers.next()];
            self.file(&format!("{:016x}{:016x}{:016x}{:016x}-{index}", hash[0], hash[1], hash[2], hash[3]));
        }
        self.file("repomd.xml");
    }
}

/// A list of so many rows, and a few more if the last directory takes them, in the order of upstream's scan.
pub fn list(rows: usize) -> Vec<u8> {
    let mut writer = Writer {
        text: b"[Version]\n2\n\n[Files]\n".to_vec(),
        sums: Vec::new(),
        open: Vec::new(),
        left: rows,
        numbers: Numbers(2026),
    };
    'full: for release in 20.. {
        for variant in VARIANTS {
            for arch in ARCHES {
                for part in PARTS {
                    let top = format!("linux/releases/{release}/{variant}/{arch}/{part}");
                    writer.repository(&top, release, arch);
                    if writer.left == 0 {
                        break 'full;
                    }
                }
            }
        }
    }
    while !writer.open.is_empty() {
        writer.leave();
    }
    let Writer { mut text, sums, .. } = writer;
    text.extend_from_slice(b"\n[Checksums SHA1]\n");
    text.extend_from_slice(&sums);
    text.extend_from_slice(b"\n[End]\n");
    text
}

/// The rows of a list that was made here, one after the other, each with its LF.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text[sections(text).files].split_inclusive(|&byte| byte == b'\n')
}

/// The list with other rows.
fn with_rows<'a>(text: &'a [u8], rows: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let files = sections(text).files;
    let mut new = Vec::with_capacity(text.len() + text.len() / CHANGED);
    new.extend_from_slice(&text[..files.start]);
    rows.for_each(|row| new.extend_from_slice(row));
    new.extend_from_slice(&text[files.end..]);
    new
}

/// The next list of the same upstream: of one row in a thousand, the file is newer, or gone, or has another beside it.
pub fn changed(text: &[u8]) -> Vec<u8> {
    let mut numbers = Numbers(1);
    let mut made = Vec::new();
    for (number, line) in lines(text).enumerate() {
        if numbers.below(CHANGED as u64) > 0 || !line.windows(3).any(|bytes| bytes == b"\tf\t") {
            continue;
        }
        let other = |from: &str, to: &str| String::from_utf8_lossy(line).replacen(from, to, 1).into_bytes();
        let rows = match numbers.below(3) {
            0 => vec![[&b"1760000000"[..], &line[10..]].concat()],
            1 => Vec::new(),
            _ => vec![line.to_vec(), other(".fc", ".1.fc")],
        };
        made.push((number, rows));
    }
    let mut made = made.iter().peekable();
    let rows = lines(text).enumerate().flat_map(move |(number, line)| {
        let other = made.next_if(|(at, _)| *at == number).map(|(_, rows)| rows);
        let same = other.is_none().then_some(line);
        other.into_iter().flatten().map(Vec::as_slice).chain(same)
    });
    with_rows(text, rows)
}

/// The same rows in an order that helps nobody.
pub fn shuffled(text: &[u8]) -> Vec<u8> {
    let mut numbers = Numbers(2);
    let mut rows: Vec<&[u8]> = lines(text).collect();
    for end in (1..rows.len()).rev() {
        rows.swap(end, numbers.below(end as u64 + 1) as usize);
    }
    with_rows(text, rows.into_iter())
}

/// The parts of a list.
pub fn sections(text: &[u8]) -> Sections {
    Sections::outline(text).expect("a whole list")
}

/// A tree of empty files, and the list that names it.
pub struct Tree {
    /// The list.
    pub list: Vec<u8>,
    /// Where it is.
    pub path: PathBuf,
    /// Removes it at the end, unless it is kept.
    _directory: Option<TempDir>,
}

impl Tree {
    /// Makes a tree of so many entries, in the directory for temporary files or where it is kept.
    pub fn new(rows: usize) -> Tree {
        let directory = kept().is_none().then(|| tempfile::tempdir().expect("a temporary directory"));
        let above = kept().or(directory.as_ref().map(|directory| directory.path().to_owned()));
        let path = above.expect("one of both").join("tree");
        fs::create_dir(&path).expect("a tree is made where none is");
        let text = list(rows);
        let mut last = PathBuf::new();
        for line in lines(&text) {
            let fields: Vec<&str> = std::str::from_utf8(line).expect("ASCII").trim_end().split('\t').collect();
            let entry = path.join(fields[3]);
            let above = if fields[1] == "d" { &*entry } else { entry.parent().expect("the tree") };
            if above != last {
                fs::create_dir_all(above).expect("a directory");
                last = above.to_owned();
            }
            if fields[1] == "f" {
                File::create(&entry).expect("room for a file");
            }
        }
        // Times and sizes are those of the tree, so that nothing differs.
        let place = path.with_extension("list");
        let list = Draft::new(&place, false).map(Sink::Draft).expect("room for a list");
        let sinks = Sinks { list, plain: None, images: None };
        let root = Root::open(&path).expect("the tree");
        let written = make_list::write_lists(&root, &make_list::Options::default(), sinks, &Interrupt::default());
        draft::publish(written.expect("the list of a tree").list.into_iter().collect()).expect("in its place");
        Tree { list: fs::read(&place).expect("the list"), path, _directory: directory }
    }
}
