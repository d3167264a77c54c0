//! What the parser makes of a file, before anything has a value.

/// One command of the file. Offsets count characters.
#[derive(Clone, Debug)]
pub(super) enum Statement {
    /// `NAME=value`, also behind `export` and its like.
    Assign(Assign),
    /// A name without a value behind `export` and its like.
    Declare { name: String, traits: Traits, at: usize },
    /// `unset NAME`.
    Unset { name: String, at: usize },
    /// An assignment that was refused.
    Spoilt { name: String, at: usize },
}

#[derive(Clone, Debug)]
pub(super) struct Assign {
    pub name: String,
    /// The key in `NAME[key]=value`.
    pub key: Option<Word>,
    /// `+=`
    pub adds: bool,
    pub value: Assigned,
    pub traits: Traits,
    /// Where the name stands.
    pub at: usize,
}

/// What `export`, `typeset` and their like say of a name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    /// It stands behind one of them.
    pub declared: bool,
    pub association: bool,
    pub array: bool,
    pub exported: bool,
    pub readonly: bool,
    pub integer: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Assigned {
    Word(Word),
    Items(Vec<Item>),
}

/// An item of an array.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The key in `[key]=value`.
    pub key: Option<Word>,
    pub value: Word,
}

/// Pieces that stand together.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub parts: Vec<Part>,
    /// Where it begins.
    pub at: usize,
    /// Where it ends.
    pub end: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    /// Characters without quotes or backslash.
    Bare { text: String, at: usize },
    /// Characters that mean themselves; also none, between two quotes.
    Quoted(String),
    /// A character behind a backslash, without quotes.
    Escaped(char),
    /// `$NAME` and its forms.
    Parameter(Parameter),
    /// `$((…))`: what stands between.
    Arithmetic { text: String, at: usize },
}

#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub name: String,
    pub form: Form,
    pub quoted: bool,
    pub at: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// `$NAME`, `${NAME}`
    Plain,
    /// `${NAME[@]}`
    Each,
    /// `${NAME[*]}`
    Joined,
    /// `${NAME:-word}`, or without the colon `${NAME-word}`, for which an empty value is one too.
    Default { word: Word, or_empty: bool },
}
