//! The words by which an admin names parts of a tree, and what each stands for.
//!
//! Each stands for whole repositories or directories, never for single files that a `repomd.xml` or `.treeinfo` still lists,
//! so that leaving a part out leaves no broken metadata behind (`drpms` is the harmless exception).

use regex::bytes::{Regex, RegexBuilder};

use super::posix::{self, PREFIX};

/// Names of architectures, as they stand in paths.
pub const ARCHITECTURES: [&str; 14] = [
    "x86_64",
    "x86_64_v2",
    "aarch64",
    "ppc64le",
    "ppc64",
    "ppc",
    "s390x",
    "s390",
    "armhfp",
    "armv7hl",
    "i386",
    "i686",
    "riscv64",
    "sparc64",
];

/// Releases that have no number.
pub const RELEASES: [&str; 3] = ["rawhide", "test", "eln"];

/// Categories without an argument, each with its pattern and what it is. `editions` is no pattern: see [`Term::Editions`].
pub const CATEGORIES: [(&str, &str, &str); 13] = [
    ("debug", r"/debug(/|$)", "debugging symbols"),
    ("source", r"/(source|Source|SRPMS)(/|$)", "source packages"),
    ("drpms", r"/drpms(/|$)", "delta packages"),
    (
        "iso",
        r"/isos?(/|$)|/[Ll]ive/[^/]+\.iso$|/[Ll]ive/ARCH(/|$)|^alt/live-respins(/|$)|/jigdo(/|$)",
        "installation and live media (the network installer stays)",
    ),
    (
        "images",
        r"/ARCH/[Ii]mages(/|$)|/[Ii]mages/ARCH(/|$)|/raspberrypi(/|$)",
        "cloud, container and board images (the network installer stays)",
    ),
    ("test-releases", r"/releases/test(/|$)", "alpha and beta releases"),
    ("updates-testing", r"/updates/testing(/|$)|^(archive/)?epel/testing(/|$)", "updates before they are stable"),
    ("rawhide", r"/development/rawhide(/|$)", "the development tree"),
    ("branched", r"/development/[0-9]+(/|$)", "the next release before it is released"),
    ("modular", r"/Modular(/|$)", "modular repositories"),
    ("fedora-core", r"^archive/fedora/linux/(core|extras)(/|$)", "Fedora Core and Extras"),
    ("torrents", r"\.torrent$", "torrent files"),
    ("editions", "", "every directory beside Everything in a release"),
];

/// The words that take an argument.
const PREFIXES: [&str; 7] = ["arch:", "alt:", "release:", "repo:", "re:", PREFIX, "epel-"];

/// One word of `exclude` or `only`.
#[derive(Clone, Debug)]
pub enum Term {
    /// Everything that a pattern matches, of `<directory>/<path>`.
    Pattern {
        /// The pattern.
        regex: Regex,
        /// Which question it answers, for include-only.
        dimension: Dimension,
    },
    /// Everything that an expression of POSIX matches of `<directory>/<path>`, a tab and the size in bytes.
    Line {
        /// The expression, in our syntax.
        regex: Regex,
    },
    /// Every directory beside `Everything` below `/(releases|development|releases/test)/<release>/`.
    Editions,
}

/// Words of one dimension are alternatives to each other; words of different dimensions narrow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// `release:`
    Release,
    /// `arch:`
    Architecture,
    /// `alt:`
    Alt,
    /// `repo:`
    Repository,
    /// Everything else: what it matches is meant, and nothing besides.
    Part,
}

/// Why a word is no [`Term`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTerm {
    /// No such category.
    #[error("{term:?} is not a category{}; a pattern is written re:PATTERN", suggestion(.nearest))]
    Unknown {
        /// The word.
        term: String,
        /// The word that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// `arch:` and the like without their argument, or with one that cannot be part of a path.
    #[error("{term:?} needs a name behind {prefix:?}, without a slash")]
    Argument {
        /// The word.
        term: String,
        /// Its beginning.
        prefix: &'static str,
    },
    /// An architecture or a release that no list here has had: rather a slip than something new.
    #[error("{term:?} names no {what}{}; known are {known}; a pattern is written re:PATTERN", suggestion(.nearest))]
    Unheard {
        /// The word.
        term: String,
        /// What it should name.
        what: &'static str,
        /// What it could name.
        known: String,
        /// The name that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// The pattern behind `re:` or `ere:` is not a regular expression.
    #[error("{term:?} is not a regular expression: {why}")]
    Pattern {
        /// The word.
        term: String,
        /// What the parser said.
        why: String,
    },
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

impl Term {
    /// Reads one word.
    ///
    /// # Errors
    /// If it names nothing, with the nearest name that does.
    pub fn parse(term: &str) -> Result<Term, BadTerm> {
        let pattern = |pattern: &str, dimension| {
            let regex = compile(pattern).map_err(|error| BadTerm::Pattern {
                term: term.to_owned(),
                why: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            })?;
            Ok(Term::Pattern { regex, dimension })
        };
        if term == "editions" {
            return Ok(Term::Editions);
        }
        if let Some((_, regex, _)) = CATEGORIES.iter().find(|(name, ..)| *name == term) {
            return pattern(&with_architectures(regex), Dimension::Part);
        }
        let Some(prefix) = PREFIXES.into_iter().find(|prefix| term.starts_with(prefix)) else {
            return Err(BadTerm::Unknown { term: term.to_owned(), nearest: nearest(term) });
        };
        let argument = &term[prefix.len()..];
        if prefix == "re:" {
            return pattern(argument, Dimension::Part);
        }
        if prefix == PREFIX {
            let bad = |why| BadTerm::Pattern { term: term.to_owned(), why };
            let why = |wrong: posix::Wrong| match wrong.hint {
                "" => wrong.to_string(),
                hint => format!("{wrong}; {hint}"),
            };
            let pattern = posix::to_regex(argument).map_err(|wrong| bad(why(wrong)))?;
            let regex = compile(&pattern).map_err(|_| bad("it is too large".to_owned()))?;
            return Ok(Term::Line { regex });
        }
        if argument.is_empty() || argument.contains('/') {
            return Err(BadTerm::Argument { term: term.to_owned(), prefix });
        }
        let unheard = |what, known, names: &[&'static str]| {
            let nearest = nearest_of(argument, names.iter().copied());
            Err(BadTerm::Unheard { term: term.to_owned(), what, known, nearest })
        };
        if prefix == "arch:" && !ARCHITECTURES.contains(&argument) {
            return unheard("architecture", ARCHITECTURES.join(", "), &ARCHITECTURES);
        }
        let is_number = argument.starts_with(|first: char| first.is_ascii_digit());
        if prefix == "release:" && !is_number && !RELEASES.contains(&argument) {
            return unheard("release", format!("numbers and {}", RELEASES.join(", ")), &RELEASES);
        }
        let name = regex::escape(argument);
        match prefix {
            "arch:" => pattern(&format!("/{name}(/|$)"), Dimension::Architecture),
            "alt:" => pattern(&format!("^alt/{name}(/|$)"), Dimension::Alt),
            "release:" => pattern(&release(&name), Dimension::Release),
            "repo:" => pattern(&format!("^(rocky|almalinux)/[^/]+/{name}(/|$)"), Dimension::Repository),
            _ => pattern(&format!("^epel/{name}(/|$)"), Dimension::Part),
        }
    }

    /// Which question the word answers.
    pub fn dimension(&self) -> Dimension {
        match self {
            Term::Pattern { dimension, .. } => *dimension,
            Term::Line { .. } | Term::Editions => Dimension::Part,
        }
    }

    /// Whether `path` (the module's directory, `/`, the path in the module) belongs to the part.
    pub fn matches(&self, path: &[u8], is_dir: bool) -> bool {
        self.matches_line(path, path, is_dir)
    }

    /// The same where the `line` (the path, a tab, the size) is known.
    pub fn matches_line(&self, path: &[u8], line: &[u8], is_dir: bool) -> bool {
        match self {
            Term::Pattern { regex, .. } => regex.is_match(path),
            Term::Line { regex } => regex.is_match(line),
            Term::Editions => is_edition(path, is_dir),
        }
    }
}

impl Dimension {
    /// Whether the question arises for `path` at all: a path in no release is in no wrong release either.
    pub fn concerns(self, path: &[u8]) -> bool {
        use std::sync::LazyLock;
        static RELEASE: LazyLock<Regex> = LazyLock::new(|| {
            compiled(
                r"/(releases/test|releases|updates/testing|updates|development)/[^/]+(/|$)|^epel/((testing|next)/)?[0-9]+(\.[0-9]+)?(/|$)",
            )
        });
        static ARCHITECTURE: LazyLock<Regex> = LazyLock::new(|| compiled(&format!("/{}(/|$)", any_architecture())));
        static ALT: LazyLock<Regex> = LazyLock::new(|| compiled("^alt/[^/]+/"));
        static REPOSITORY: LazyLock<Regex> = LazyLock::new(|| compiled("^(rocky|almalinux)/[^/]+/[^/]+/"));
        match self {
            Dimension::Release => RELEASE.is_match(path),
            Dimension::Architecture => ARCHITECTURE.is_match(path),
            Dimension::Alt => ALT.is_match(path),
            Dimension::Repository => REPOSITORY.is_match(path),
            Dimension::Part => true,
        }
    }
}

/// The pattern of a release whose name is already escaped.
fn release(name: &str) -> String {
    format!(
        r"/(releases|updates|updates/testing|development)/{name}(/|$)|^epel/((testing|next)/)?{name}(\.[0-9]+)?(/|$)"
    )
}

/// The categories that are patterns, with their patterns.
pub fn category_patterns() -> Vec<(&'static str, String)> {
    let patterns = CATEGORIES.iter().filter(|(_, pattern, _)| !pattern.is_empty());
    patterns.map(|(name, pattern, _)| (*name, with_architectures(pattern))).collect()
}

fn with_architectures(pattern: &str) -> String {
    pattern.replace("ARCH", &any_architecture())
}

fn any_architecture() -> String {
    format!("({})", ARCHITECTURES.join("|"))
}

/// Bytes, not text: a path need not be UTF-8.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).build()
}

/// A pattern of our own.
fn compiled(pattern: &str) -> Regex {
    compile(pattern).expect("a pattern of our own is a regular expression")
}

fn is_edition(path: &[u8], is_dir: bool) -> bool {
    let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    let Some(at) = parts.iter().position(|part| matches!(*part, b"releases" | b"development")) else {
        return false;
    };
    // The release follows, behind `test` in `releases/test`; then the edition.
    let is_test = parts[at] == b"releases" && parts.get(at + 1) == Some(&&b"test"[..]);
    let edition = at + if is_test { 3 } else { 2 };
    // A file beside the editions (COMPOSE_ID) is none.
    at > 0 && parts.get(edition).is_some_and(|name| *name != b"Everything" && (is_dir || parts.len() > edition + 1))
}

fn nearest(term: &str) -> Option<&'static str> {
    nearest_of(term, CATEGORIES.iter().map(|(name, ..)| *name).chain(["epel-next"]).chain(PREFIXES))
}

fn nearest_of(term: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let scored = names.map(|name| (strsim::damerau_levenshtein(term, name), name));
    scored.min().filter(|(distance, name)| *distance <= name.len().div_ceil(3)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(term: &str, path: &str) -> bool {
        Term::parse(term).unwrap().matches(path.as_bytes(), false)
    }

    #[test]
    fn each_word_hits_its_part_and_spares_its_neighbours() {
        let arch = "fedora/linux/releases/43/Everything/x86_64";
        for (term, hit, spared) in [
            ("arch:x86_64", arch.to_owned(), "fedora/linux/releases/43/Everything/x86_64_v2/os".to_owned()),
            ("debug", format!("{arch}/debug"), format!("{arch}/os/Packages/d/debugedit.rpm")),
            (
                "source",
                "fedora/linux/releases/43/Everything/source/tree/x".into(),
                format!("{arch}/os/Packages/s/source-highlight.rpm"),
            ),
            ("drpms", format!("{arch}/drpms/a.drpm"), format!("{arch}/os/drpms.txt")),
            ("iso", format!("{arch}/iso/a.iso"), format!("{arch}/os/images/boot.iso")),
            (
                "images",
                "fedora/linux/releases/43/Cloud/x86_64/images/a.qcow2".into(),
                format!("{arch}/os/images/install.img"),
            ),
            ("test-releases", "fedora/linux/releases/test/44_Beta".into(), "fedora/linux/releases/44".into()),
            ("updates-testing", "epel/testing/9".into(), "fedora/linux/updates/43".into()),
            ("rawhide", "fedora/linux/development/rawhide".into(), "fedora/linux/development/44".into()),
            ("branched", "fedora/linux/development/44".into(), "fedora/linux/development/rawhide".into()),
            ("modular", "fedora/linux/updates/38/Modular/x86_64".into(), "fedora/linux/updates/38/Everything".into()),
            ("editions", "fedora/linux/releases/43/Server/x86_64".into(), "fedora/linux/releases/43/COMPOSE_ID".into()),
            ("editions", "fedora/linux/releases/test/44_Beta/Spins/a".into(), format!("{arch}/os")),
            ("alt:stage", "alt/stage/x".into(), "alt/staged".into()),
            ("epel-next", "epel/next/9".into(), "epel/9".into()),
            ("fedora-core", "archive/fedora/linux/core/1".into(), "archive/fedora/linux/releases/20".into()),
            ("torrents", "alt/a.torrent".into(), "alt/a.torrent.d".into()),
            ("release:43", "fedora/linux/updates/testing/43/x".into(), "fedora/linux/updates/433".into()),
            ("release:9", "epel/9.2/Everything".into(), "epel/99".into()),
            ("repo:devel", "rocky/9/devel/x86_64".into(), "rocky/9/development".into()),
            ("re:^alt/.*[.]img$", "alt/x/a.img".into(), "fedora/a.img".into()),
            ("ere:^alt/.*[.]img$", "alt/x/a.img".into(), "fedora/a.img".into()),
        ] {
            assert!(matches(term, &hit), "{term} hits {hit}");
            assert!(!matches(term, &spared), "{term} spares {spared}");
        }
    }

    #[test]
    fn a_word_that_names_nothing_is_refused_with_the_nearest() {
        let message = |term: &str| Term::parse(term).unwrap_err().to_string();
        assert!(message("debgu").contains("did you mean \"debug\"?"));
        assert!(message("x86_64").contains("re:PATTERN"));
        assert!(message("arch:").contains("needs a name"));
        assert!(message("release:a/b").contains("without a slash"));
        assert!(message("re:(").contains("not a regular expression"));
        assert!(message("arch:x86-64").contains("did you mean \"x86_64\"?"));
        assert!(message("arch:amiga").contains("known are x86_64, "));
        assert!(message("release:rawhid").contains("did you mean \"rawhide\"?"));
        assert!(message("release:f43").contains("numbers and rawhide"));
        for known in ["release:43", "release:9.2", "release:44_Beta", "release:rawhide", "arch:riscv64"] {
            assert!(Term::parse(known).is_ok(), "{known}");
        }
        assert!(message(r"ere:(a)\1").contains("back-reference"));
        assert!(message("ere:((a{999}){999}){999}").contains("too large"));
    }

    #[test]
    fn a_pattern_matches_bytes() {
        assert!(Term::parse("re:a.b").unwrap().matches(b"a\xffb", false));
    }

    proptest! {
        #[test]
        fn any_word_is_judged_and_any_path_asked_about_without_panic(
            word in prop_oneof![any::<String>(), "(re:|ere:|arch:|alt:|release:|repo:|epel-).{0,9}"],
            path: Vec<u8>,
        ) {
            match Term::parse(&word) {
                Ok(term) => drop(term.matches(&path, path.len() % 2 == 0)),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
