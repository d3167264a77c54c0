//! Extended regular expressions of POSIX, in the C locale: characters are bytes.
//!
//! Rules: IEEE Std 1003.1, chapter 9. What POSIX leaves undefined, and tools read in different ways, is refused with its place.

use std::fmt;

/// What a word of a filter begins with that is such an expression.
pub const PREFIX: &str = "ere:";

/// The largest number of an interval (`RE_DUP_MAX`).
const MOST: u32 = 32767;

/// Groups within groups are not nested deeper than this.
const DEEPEST: usize = 100;

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where, in bytes, from 0.
    pub at: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead; empty where nothing can be said.
    pub hint: &'static str,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (character {})", self.what, self.at + 1)
    }
}

/// The same expression in the syntax of the regex crate, for bytes and without Unicode.
///
/// # Errors
/// If it is not an expression, or one that POSIX does not define.
pub fn to_regex(expression: &str) -> Result<String, Wrong> {
    let mut reader = Reader { bytes: expression.as_bytes(), at: 0, depth: 0, out: String::from("(?s-u)") };
    reader.alternatives()?;
    match reader.peek() {
        None => Ok(reader.out),
        Some(_) => Err(reader.wrong(reader.at, "a `)` that closes nothing", "write \\) for a parenthesis")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    out: String,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn ahead(&self, by: usize) -> Option<u8> {
        self.bytes.get(self.at + by).copied()
    }

    fn wrong(&self, at: usize, what: impl Into<String>, hint: &'static str) -> Wrong {
        Wrong { at, what: what.into(), hint }
    }

    /// Up to the end, or the parenthesis that closes.
    fn alternatives(&mut self) -> Result<(), Wrong> {
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'|' | b')')) {
                self.repeated()?;
            }
            if self.at == start {
                let hint = "an empty alternative matches everything: leave out the `|` or the parentheses";
                return Err(self.wrong(start, "nothing stands here", hint));
            }
            if self.peek() != Some(b'|') {
                return Ok(());
            }
            self.at += 1;
            self.out.push('|');
        }
    }

    /// One atom with what repeats it.
    fn repeated(&mut self) -> Result<(), Wrong> {
        let start = self.out.len();
        let at = self.at;
        let is_anchor = self.atom()?;
        while let Some(c @ (b'*' | b'+' | b'?' | b'{')) = self.peek() {
            if is_anchor {
                let what = format!("`{}` behind an anchor", char::from(c));
                return Err(self.wrong(self.at, what, "a plain sign is written with a backslash"));
            }
            let repetition = match c {
                b'{' => self.interval()?,
                c => {
                    self.at += 1;
                    char::from(c).to_string()
                }
            };
            // In a group, or a second sign would make the first one modest.
            self.out.insert_str(start, "(?:");
            self.out.push(')');
            self.out.push_str(&repetition);
            if self.out.len() - start > 4 * (self.at - at) + 8192 {
                return Err(self.wrong(at, "too many repetitions of repetitions", ""));
            }
        }
        Ok(())
    }

    /// Whether it was an anchor.
    fn atom(&mut self) -> Result<bool, Wrong> {
        let at = self.at;
        let Some(c) = self.peek() else { return Ok(false) };
        self.at += 1;
        match c {
            b'^' => self.out.push_str(r"\A"),
            b'$' => self.out.push_str(r"\z"),
            b'.' => self.out.push('.'),
            b'(' => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return Err(self.wrong(at, "groups are nested too deeply", ""));
                }
                self.out.push_str("(?:");
                self.alternatives()?;
                if self.peek() != Some(b')') {
                    return Err(self.wrong(at, "a `(` that nothing closes", "write \\( for a parenthesis"));
                }
                self.at += 1;
                self.out.push(')');
                self.depth -= 1;
            }
            b'[' => self.bracket(at)?,
            b'*' | b'+' | b'?' | b'{' => {
                let what = format!("nothing stands before `{}`", char::from(c));
                return Err(self.wrong(at, what, "a plain sign is written with a backslash"));
            }
            b'\\' => self.escape(at)?,
            c => self.byte(c),
        }
        Ok(matches!(c, b'^' | b'$'))
    }

    fn byte(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_') {
            self.out.push(char::from(byte));
        } else {
            self.out.push_str(&format!(r"\x{byte:02x}"));
        }
    }

    fn escape(&mut self, at: usize) -> Result<(), Wrong> {
        let Some(c) = self.peek() else {
            return Err(self.wrong(at, "a backslash at the end", "write \\\\ for a backslash"));
        };
        let hint = match c {
            b'1'..=b'9' => {
                let what = format!("the back-reference \\{}", char::from(c));
                return Err(self.wrong(at, what, "extended expressions have none: write out what it stands for"));
            }
            b'd' => "write [0-9]",
            b's' => "write [[:space:]]",
            b'w' => "write [[:alnum:]_]",
            b't' => "write a tab itself, or [[:blank:]]",
            b'<' | b'>' | b'`' | b'\'' => "it is not POSIX: use ^, $ or the characters around the word",
            c if c.is_ascii_alphanumeric() || !c.is_ascii() => {
                "leave out the backslash if the character itself is meant"
            }
            c => {
                self.at += 1;
                self.byte(c);
                return Ok(());
            }
        };
        let shown = if c.is_ascii() { char::from(c).to_string() } else { String::new() };
        Err(self.wrong(at, format!("\\{shown} is not defined by POSIX"), hint))
    }

    /// `{n}`, `{n,}`, `{n,m}`
    fn interval(&mut self) -> Result<String, Wrong> {
        let at = self.at;
        let hint = "write {n}, {n,} or {n,m}, or \\{ for a brace";
        self.at += 1;
        let least = self.number();
        let most = match self.peek() {
            Some(b',') => {
                self.at += 1;
                if self.peek() == Some(b'}') { None } else { Some(self.number()) }
            }
            _ => Some(least),
        };
        let closed = self.peek() == Some(b'}');
        self.at += 1;
        match (closed, least, most) {
            (true, Some(least), None) if least <= MOST => Ok(format!("{{{least},}}")),
            (true, Some(least), Some(Some(most))) if least <= most && most <= MOST => Ok(format!("{{{least},{most}}}")),
            _ => Err(self.wrong(at, "a `{` that begins no interval", hint)),
        }
    }

    fn number(&mut self) -> Option<u32> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        std::str::from_utf8(&self.bytes[start..self.at]).ok()?.parse().ok()
    }

    /// `[…]`: a backslash is a plain character, a `]` that comes first is one too.
    fn bracket(&mut self, start: usize) -> Result<(), Wrong> {
        let mut holds = [false; 256];
        let negated = self.peek() == Some(b'^');
        self.at += usize::from(negated);
        let first = self.at;
        loop {
            let at = self.at;
            let Some(c) = self.peek() else {
                return Err(self.wrong(start, "a `[` that nothing closes", "write \\[ for a bracket"));
            };
            if c == b']' && at > first {
                self.at += 1;
                break;
            }
            if c == b'[' && self.ahead(1) == Some(b':') {
                self.class(&mut holds)?;
                if self.peek() == Some(b'-') && self.ahead(1) != Some(b']') {
                    return Err(self.wrong(self.at, "a class is no end of a range", "put the `-` last"));
                }
                continue;
            }
            if c == b'-' && at > first && !matches!(self.ahead(1), Some(b']' | b'-')) {
                return Err(self.wrong(at, "a `-` between ranges", "put the `-` first or last"));
            }
            let from = self.element(start)?;
            let to = if self.peek() == Some(b'-') && !matches!(self.ahead(1), None | Some(b']')) {
                self.at += 1;
                if self.peek() == Some(b'[') && self.ahead(1) == Some(b':') {
                    return Err(self.wrong(self.at, "a class is no end of a range", "put the `-` last"));
                }
                self.element(start)?
            } else {
                from
            };
            if to < from {
                return Err(self.wrong(at, "the range ends before it begins", ""));
            }
            for byte in from..=to {
                holds[usize::from(byte)] = true;
            }
        }
        self.set(&holds, negated);
        Ok(())
    }

    /// One character of a bracket, also as `[.x.]` or `[=x=]`.
    fn element(&mut self, start: usize) -> Result<u8, Wrong> {
        let at = self.at;
        let Some(c) = self.peek() else {
            return Err(self.wrong(start, "a `[` that nothing closes", "write \\[ for a bracket"));
        };
        let Some(sign) = self.ahead(1).filter(|sign| c == b'[' && matches!(sign, b'.' | b'=')) else {
            self.at += 1;
            return Ok(c);
        };
        match (self.ahead(2), self.ahead(3), self.ahead(4)) {
            (Some(element), Some(close), Some(b']')) if close == sign => {
                self.at += 5;
                Ok(element)
            }
            _ => {
                let what = "a collating element of more than one character";
                Err(self.wrong(at, what, "the C locale has single characters only"))
            }
        }
    }

    /// `[:alpha:]` and its like.
    fn class(&mut self, holds: &mut [bool; 256]) -> Result<(), Wrong> {
        let at = self.at;
        let rest = &self.bytes[at + 2..];
        let end = rest.windows(2).position(|pair| pair == b":]");
        let name = end.map_or(rest, |end| &rest[..end]);
        let is_in: fn(u8) -> bool = match name {
            b"alpha" => |c| c.is_ascii_alphabetic(),
            b"digit" => |c| c.is_ascii_digit(),
            b"alnum" => |c| c.is_ascii_alphanumeric(),
            b"upper" => |c| c.is_ascii_uppercase(),
            b"lower" => |c| c.is_ascii_lowercase(),
            b"space" => |c| matches!(c, b' ' | b'\t'..=b'\r'),
            b"blank" => |c| matches!(c, b' ' | b'\t'),
            b"punct" => |c| c.is_ascii_punctuation(),
            b"print" => |c| matches!(c, b' '..=b'~'),
            b"graph" => |c| c.is_ascii_graphic(),
            b"cntrl" => |c| c.is_ascii_control(),
            b"xdigit" => |c| c.is_ascii_hexdigit(),
            _ => {
                let hint = "there are alpha digit alnum upper lower space blank punct print graph cntrl xdigit";
                return Err(self.wrong(at, "no class of characters that POSIX names", hint));
            }
        };
        self.at += 2 + name.len() + 2;
        (0..=u8::MAX).filter(|byte| is_in(*byte)).for_each(|byte| holds[usize::from(byte)] = true);
        Ok(())
    }

    fn set(&mut self, holds: &[bool; 256], negated: bool) {
        self.out.push('[');
        let mut byte = 0_usize;
        while byte < 256 {
            let from = byte;
            while byte < 256 && holds[byte] != negated {
                byte += 1;
            }
            if byte > from {
                self.out.push_str(&format!(r"\x{:02x}-\x{:02x}", from, byte - 1));
            } else {
                byte += 1;
            }
        }
        // A bracket that holds nothing cannot be written as such.
        if self.out.ends_with('[') {
            self.out.push_str(r"^\x00-\xff");
        }
        self.out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;

    fn matches(expression: &str, line: &[u8]) -> bool {
        let regex = to_regex(expression).unwrap_or_else(|wrong| panic!("{expression}: {wrong}"));
        Regex::new(&regex).unwrap_or_else(|error| panic!("{expression}: {error}")).is_match(line)
    }

    #[test]
    fn expressions_mean_what_posix_says() {
        for (expression, hit, spared) in [
            ("/debug/|/source/", "fedora/source/x\t1", "fedora/debugedit\t1"),
            (r"\.iso\t".replace(r"\t", "\t").as_str(), "a.iso\t12", "a.iso.sum\t12"),
            ("^alt/.*[0-9]{10,}$", "alt/x\t1234567890", "alt/x\t123456789"),
            ("[]x]", "]", "["),
            ("[^]x]", "y", "x]"),
            (r"[\.]", "\\", "x"),
            ("[a-]", "-", "b"),
            ("[--/]", ".", "0"),
            ("[[:digit:][:upper:]_]x", "Ax", "ax"),
            ("[[.-.]]", "-", "."),
            ("[[=a=]b]", "a", "c"),
            ("a{2}$", "xaa", "xa"),
            ("^a{1,2}$", "aa", "aaa"),
            ("^(ab)+?$", "abab", "aba"),
            ("^a.c$", "abc", "ac"),
            (r"a\{1}", "a{1}", "a"),
            (r"s390x?\/", "s390/", "s390"),
            ("}", "}", "{"),
            ("a|b|c", "c", "d"),
        ] {
            assert!(matches(expression, hit.as_bytes()), "{expression} hits {hit}");
            assert!(!matches(expression, spared.as_bytes()), "{expression} spares {spared}");
        }
        assert!(matches("^é.$", b"\xc3\xa9\xff"), "characters are bytes");
        assert!(matches("^[^a]$", b"\xff"));
    }

    #[test]
    fn what_posix_does_not_define_is_refused_with_its_place() {
        for (expression, at, what) in [
            (r"(a)\1", 3, "back-reference"),
            (r"a\d", 1, "not defined"),
            (r"a\w", 1, "not defined"),
            (r"\<a", 0, "not defined"),
            ("a\\", 1, "backslash at the end"),
            ("*a", 0, "nothing stands before"),
            ("(+a)", 1, "nothing stands before"),
            ("^*", 1, "behind an anchor"),
            ("a|", 2, "nothing stands here"),
            ("()", 1, "nothing stands here"),
            ("(a", 0, "nothing closes"),
            ("a)", 1, "closes nothing"),
            ("[a", 0, "nothing closes"),
            ("[]", 0, "nothing closes"),
            ("[z-a]", 1, "before it begins"),
            ("[[:letter:]]", 1, "no class"),
            ("[[.ab.]]", 1, "more than one character"),
            ("a{,2}", 1, "no interval"),
            ("a{2,1}", 1, "no interval"),
            ("a{40000}", 1, "no interval"),
            ("a{x", 1, "no interval"),
        ] {
            let wrong = to_regex(expression).expect_err(expression);
            assert_eq!(wrong.at, at, "{expression}: {wrong}");
            assert!(wrong.what.contains(what), "{expression}: {wrong}");
        }
    }

    /// What `grep -E` says in the C locale; `None` where there is none, or it does not take the expression.
    #[expect(clippy::disallowed_methods, reason = "a test asks another program")]
    fn grep(expression: &str, line: &str) -> Option<bool> {
        let mut grep = Command::new("grep");
        grep.args(["-E", "-q", "-e", expression]).env_clear().env("LC_ALL", "C").stdin(Stdio::piped());
        let mut child = grep.stderr(Stdio::null()).spawn().ok()?;
        // It may have ended before it read anything.
        drop(writeln!(child.stdin.take().expect("a pipe"), "{line}"));
        match child.wait().expect("ended").code() {
            Some(0) => Some(true),
            Some(1) => Some(false),
            _ => None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn it_agrees_with_grep(
            words in prop::collection::vec(prop::sample::select(vec![
                "a", "b", "ab", "/", ".", "*", "+", "?", "(", ")", "|", "^", "$", "[", "]", "[^", "[ab]", "[^a]", "-", "{2}",
                "{1,}", "{0,1}", "\\.", "\\\\", "[[:alpha:]]", "[:digit:]", "[]a]", "[\\]", "é", "1", " ",
            ]), 1..8),
            line in "[ab/.\\\\1 é^$*()-]{0,6}",
        ) {
            let expression = words.concat();
            if let Ok(regex) = to_regex(&expression) {
                let ours = Regex::new(&regex).expect("a regular expression").is_match(line.as_bytes());
                if let Some(theirs) = grep(&expression, &line) {
                    prop_assert_eq!(ours, theirs, "{} on {}: {}", expression, line, regex);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            if let Ok(regex) = to_regex(&text) {
                drop(Regex::new(&regex));
            }
        }
    }
}
