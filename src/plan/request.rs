//! What rsync is asked for in one call, and whether what it says was asked for.
//!
//! rsync's own check of the names that a sender returns costs quadratic time and is switched off (reference: rsync). This one
//! replaces it: every name is looked up here, in logarithmic time, and one that was not asked for ends the call.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use rayon::prelude::*;

use super::compare::{By, Doubt, Fetch, FetchCause};
use super::publish::Class;
use super::twins::{Key, Missing, Twin};
use crate::list::Kind;
use crate::path::RelPath;

/// Why a name stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is to be fetched.
    Fetch(FetchCause),
    /// It is here, and may be the same file as something missing.
    Twin,
    /// It lies beside a list: fetched if upstream has it.
    Extra,
}

/// One name of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'t> {
    /// Its path in the module.
    pub path: RelPath<'t>,
    /// Its publication class.
    pub class: Class,
    /// Why it is named.
    pub role: Role,
    /// What it has in common with other names of the same file.
    pub key: Option<Key<'t>>,
    /// By what rsync tells whether what is here is the file.
    pub by: By,
    /// Whether its content is in doubt, and nobody looks.
    pub in_doubt: bool,
    /// A directory that is here: nothing waits for its time and mode.
    is_dir_here: bool,
}

impl<'t> Name<'t> {
    /// Something to be fetched.
    pub fn fetched(fetch: &Fetch<'t>) -> Name<'t> {
        let (class, role, key) = (fetch.class(), Role::Fetch(fetch.cause), Some(Key::of_fetch(fetch)));
        let is_dir_here = fetch.kind == Kind::Dir && !matches!(fetch.cause, FetchCause::Missing | FetchCause::Kind);
        let (by, in_doubt) = (fetch.by(), fetch.doubt == Doubt::Left);
        Name { path: fetch.path, class, role, key, by, in_doubt, is_dir_here }
    }

    /// A twin, once for each class in which something is missing that it may be the same file as: rsync links only what stands
    /// in one request.
    pub fn twin(twin: &Twin<'t>, missing: &Missing<'t>) -> impl Iterator<Item = Name<'t>> {
        let names = missing.names(&twin.key).iter();
        let classes: HashSet<Class> = names.map(|missing| missing.class).collect();
        let (path, key, role) = (twin.path, Some(twin.key), Role::Twin);
        let by = if twin.doubt == Doubt::Read { By::Content } else { By::Time };
        let in_doubt = twin.doubt == Doubt::Left;
        classes.into_iter().map(move |class| Name { path, class, role, key, by, in_doubt, is_dir_here: false })
    }

    /// A file beside a module's list.
    pub fn extra(path: RelPath<'t>) -> Name<'t> {
        let (class, role, key) = (Class::Pointer, Role::Extra, None);
        Name { path, class, role, key, by: By::Time, in_doubt: false, is_dir_here: false }
    }

    /// Whether it is to be fetched, and clients follow it.
    pub fn is_pointer(&self) -> bool {
        matches!(self.role, Role::Fetch(_)) && Class::of(self.path, Kind::File) == Class::Pointer
    }
}

/// The names of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'t> {
    /// The module, by number.
    pub module: usize,
    /// What stands before its paths below the source: `<directory>/`, or nothing where the source is the module itself.
    pub prefix: String,
    /// The names, sorted by path.
    pub names: Vec<Name<'t>>,
}

impl<'t> Part<'t> {
    /// The same module with some of its names.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&Name<'t>) -> bool) -> Part<'t> {
        let names = self.names.iter().filter(|name| wanted(name)).copied().collect();
        Part { module: self.module, prefix: self.prefix.clone(), names }
    }
}

/// Puts directories that are here into the last class in which anything is named: they need no call of their own, and what comes
/// into them changes their times.
pub fn leave_directories_to_the_last(parts: &mut [Part<'_>]) {
    let names = parts.iter().flat_map(|part| &part.names);
    if let Some(last) = names.filter(|name| !name.is_dir_here).map(|name| name.class).max() {
        let names = parts.iter_mut().flat_map(|part| &mut part.names);
        names.filter(|name| name.is_dir_here).for_each(|name| name.class = last);
    }
}

/// What one call asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'t> {
    within: &'t str,
    parts: Vec<Part<'t>>,
    top: Vec<&'t str>,
}

/// A name that rsync said, by part and by number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(usize, usize);

/// Whether a name was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was.
    Asked(Place),
    /// It was not by itself, but it comes with what was: a directory above, or a file beside the modules.
    Implied,
    /// It was not.
    NotAsked,
}

impl<'t> Request<'t> {
    /// A request for names by module, and for files beside the modules' directories, all of it `within` a path below the source.
    pub fn new(within: &'t str, parts: impl IntoIterator<Item = Part<'t>>, top: &[&'t str]) -> Request<'t> {
        let mut parts: Vec<Part<'t>> = parts.into_iter().filter(|part| !part.names.is_empty()).collect();
        for part in &mut parts {
            part.names.par_sort_unstable_by_key(|name| name.path);
            part.names.dedup_by_key(|name| name.path);
        }
        Request { within, parts, top: top.to_vec() }
    }

    /// The names that are `wanted`, by module, as they are found where this request put them.
    #[must_use]
    pub fn from_there(&self, wanted: impl Fn(usize, RelPath<'t>) -> bool) -> Request<'t> {
        let parts = self.parts.iter().map(|part| part.only(|name| wanted(part.module, name.path)));
        Request::new("", parts, &self.top)
    }

    /// How many names it has.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.names.len()).sum::<usize>() + self.top.len()
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the names as `--files-from` with `--from0` reads them, sorted.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        // `/./` tells rsync where the names begin that are made here.
        let within = if self.within.is_empty() { String::new() } else { format!("{}/./", self.within) };
        for part in &self.parts {
            // Some versions of rsync drop names that begin with `#` or `;`: ours never do.
            let dot = if within.is_empty() && part.prefix.is_empty() { "./" } else { "" };
            for name in &part.names {
                write!(out, "{dot}{within}{}", part.prefix)?;
                out.write_all(name.path.bytes())?;
                out.write_all(b"\0")?;
            }
        }
        self.top.iter().try_for_each(|name| write!(out, "{within}{name}\0"))
    }

    /// Looks up a name as rsync says it.
    pub fn answer(&self, said: &[u8], is_dir: bool) -> Answer {
        for (index, part) in self.parts.iter().enumerate() {
            let Some(path) = said.strip_prefix(part.prefix.as_bytes()) else { continue };
            let Ok(path) = RelPath::new(path) else { continue };
            // A directory sorts right before what it holds.
            let at = part.names.partition_point(|name| name.path < path);
            match part.names.get(at) {
                Some(name) if name.path == path => return Answer::Asked(Place(index, at)),
                Some(name) if is_dir && name.path.is_within(path) => return Answer::Implied,
                _ => {}
            }
        }
        let above =
            |part: &Part<'_>| part.prefix.strip_suffix('/').is_some_and(|directory| directory.as_bytes() == said);
        let implied = self.top.iter().any(|name| name.as_bytes() == said)
            || is_dir && (said == b"." || self.parts.iter().any(above));
        if implied { Answer::Implied } else { Answer::NotAsked }
    }

    /// The name at a place, and its module.
    pub fn at(&self, place: Place) -> (usize, &Name<'t>) {
        let part = &self.parts[place.0];
        (part.module, &part.names[place.1])
    }

    /// What names of files that are in doubt have in common with other names of them.
    pub fn in_doubt(&self) -> HashSet<Key<'t>> {
        self.parts
            .iter()
            .flat_map(|part| &part.names)
            .filter(|name| name.in_doubt)
            .filter_map(|name| name.key)
            .collect()
    }

    /// Whether a file is asked for that is as large as that, in bytes.
    pub fn has_file_of(&self, size: u64) -> bool {
        let names = self.parts.iter().flat_map(|part| &part.names);
        names
            .filter(|name| matches!(name.role, Role::Fetch(_)))
            .any(|name| name.key.is_some_and(|key| key.size() >= size))
    }

    /// Every name that is to be fetched, with its place and module.
    pub fn fetched(&self) -> impl Iterator<Item = (Place, usize, RelPath<'t>)> {
        self.parts.iter().enumerate().flat_map(|(index, part)| {
            let names = part.names.iter().enumerate();
            let fetched = names.filter(|(_, name)| matches!(name.role, Role::Fetch(_)));
            fetched.map(move |(at, name)| (Place(index, at), part.module, name.path))
        })
    }

    /// The same in requests of about `most` names: names that may be one file stay together.
    pub fn chunks(&self, most: usize) -> Vec<Request<'t>> {
        let mut chunks: Vec<(usize, HashMap<usize, Part<'t>>)> = vec![Default::default()];
        let mut chunk_of: HashMap<Key<'t>, usize> = HashMap::new();
        for part in &self.parts {
            for name in &part.names {
                if chunks[chunks.len() - 1].0 >= most {
                    chunks.push(Default::default());
                }
                let last = chunks.len() - 1;
                let chunk = name.key.map_or(last, |key| *chunk_of.entry(key).or_insert(last));
                let (len, parts) = &mut chunks[chunk];
                *len += 1;
                let empty = || Part { module: part.module, prefix: part.prefix.clone(), names: Vec::new() };
                parts.entry(part.module).or_insert_with(empty).names.push(*name);
            }
        }
        let requests = chunks.into_iter().enumerate().map(|(index, (_, parts))| {
            Request::new(self.within, parts.into_values(), if index == 0 { &self.top } else { &[] })
        });
        requests.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &'static str, size: u64) -> Name<'static> {
        let path = RelPath::new(path.as_bytes()).unwrap();
        Name::fetched(&Fetch { path, kind: Kind::File, cause: FetchCause::Missing, size, time: 1, doubt: Doubt::None })
    }

    fn request() -> Request<'static> {
        let part = |module, prefix: &str, names| Part { module, prefix: prefix.to_owned(), names };
        Request::new(
            "",
            [
                part(0, "fedora/", vec![name("a/c", 1), name("a-b", 2), name("a/b", 3)]),
                part(1, "archive/", vec![name("x/c", 1)]),
            ],
            &["DIRECTORY_SIZES.txt"],
        )
    }

    #[test]
    fn names_are_written_sorted_and_behind_their_directory() {
        let mut bytes = Vec::new();
        request().write(&mut bytes).unwrap();
        assert_eq!(bytes, b"fedora/a/b\0fedora/a/c\0fedora/a-b\0archive/x/c\0DIRECTORY_SIZES.txt\0");
        let alone = Request::new("", [Part { module: 0, prefix: String::new(), names: vec![name("#a", 1)] }], &[]);
        let mut bytes = Vec::new();
        alone.write(&mut bytes).unwrap();
        assert_eq!(bytes, b"./#a\0");
        assert!(matches!(alone.answer(b"#a", false), Answer::Asked(_)));
        let below =
            Request::new("pub/x", [Part { module: 0, prefix: "fedora/".into(), names: vec![name("a", 1)] }], &["t"]);
        let mut bytes = Vec::new();
        below.write(&mut bytes).unwrap();
        assert_eq!(bytes, b"pub/x/./fedora/a\0pub/x/./t\0");
        assert!(matches!(below.answer(b"fedora/a", false), Answer::Asked(_)));
    }

    #[test]
    fn what_was_not_asked_for_is_known() {
        let request = request();
        let Answer::Asked(place) = request.answer(b"fedora/a/c", false) else { panic!() };
        assert_eq!((request.at(place).0, request.at(place).1.path.bytes()), (0, &b"a/c"[..]));
        for implied in [&b"fedora"[..], b"fedora/a", b"archive/x", b"."] {
            assert_eq!(request.answer(implied, true), Answer::Implied);
            assert_eq!(request.answer(implied, false), Answer::NotAsked);
        }
        assert_eq!(request.answer(b"DIRECTORY_SIZES.txt", false), Answer::Implied);
        for not in
            [&b"fedora/a/d"[..], b"fedora/a", b"archive/a/b", b"../etc/passwd", b"/etc/passwd", b"fedora/../x", b""]
        {
            assert_eq!(request.answer(not, false), Answer::NotAsked);
        }
        assert_eq!(request.answer(b"fedora/x", true), Answer::NotAsked);
    }

    #[test]
    fn chunks_hold_everything_and_keep_names_of_one_file_together() {
        let chunks = request().chunks(1);
        assert_eq!(chunks.iter().map(Request::len).sum::<usize>(), request().len());
        let holds = |chunk: &Request<'_>, said: &[u8]| chunk.answer(said, false) != Answer::NotAsked;
        let with_c: Vec<_> = chunks.iter().filter(|chunk| holds(chunk, b"fedora/a/c")).collect();
        assert_eq!(with_c.len(), 1);
        assert!(holds(with_c[0], b"archive/x/c"), "it may be the same file");
    }
}
