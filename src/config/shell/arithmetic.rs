//! `$((60 * 60 * 24))`: whole numbers, names, parentheses and `+ - * / %`.

/// Deeper parentheses are no configuration.
const DEEPEST: usize = 32;

/// The value, or why there is none. `lookup` gives the text of a name.
pub(super) fn evaluate(text: &str, lookup: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<i64, String> {
    if let Some(step) = ["++", "--"].into_iter().find(|step| text.contains(step)) {
        return Err(format!("`{step}` is not read"));
    }
    let mut reader = Reader { rest: text, depth: 0, lookup };
    let value = reader.sum()?;
    match reader.next() {
        None => Ok(value),
        Some(c) => Err(format!("`{c}` is not understood there")),
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
    lookup: &'a mut dyn FnMut(&str) -> Result<String, String>,
}

impl<'a> Reader<'a> {
    /// The next character that is no blank.
    fn next(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.next() == Some(wanted);
        if found {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        found
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn sum(&mut self) -> Result<i64, String> {
        let mut value = self.product()?;
        loop {
            let next = if self.take('+') {
                value.checked_add(self.product()?)
            } else if self.take('-') {
                value.checked_sub(self.product()?)
            } else {
                return Ok(value);
            };
            value = next.ok_or("the number is too large")?;
        }
    }

    fn product(&mut self) -> Result<i64, String> {
        let mut value = self.factor()?;
        loop {
            let next = if self.rest.trim_start().starts_with("**") {
                return Err("powers (`**`) are not read".to_string());
            } else if self.take('*') {
                value.checked_mul(self.factor()?)
            } else if self.take('/') {
                match self.factor()? {
                    0 => return Err("it divides by zero".to_string()),
                    by => value.checked_div(by),
                }
            } else if self.take('%') {
                match self.factor()? {
                    0 => return Err("it divides by zero".to_string()),
                    by => value.checked_rem(by),
                }
            } else {
                return Ok(value);
            };
            value = next.ok_or("the number is too large")?;
        }
    }

    fn factor(&mut self) -> Result<i64, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_string());
        }
        let value = match self.next() {
            None => Err("it ends too early".to_string()),
            Some('(') => {
                self.take('(');
                let value = self.sum()?;
                if self.take(')') { Ok(value) } else { Err("a `)` is missing".to_string()) }
            }
            Some('+') => {
                self.take('+');
                self.factor()
            }
            Some('-') => {
                self.take('-');
                self.factor()?.checked_neg().ok_or("the number is too large".to_string())
            }
            Some(c) if c.is_ascii_digit() => number(self.word()),
            Some(c) if c.is_ascii_alphabetic() || c == '_' || c == '$' => {
                self.take('$');
                let braced = self.rest.starts_with('{');
                self.rest = self.rest.strip_prefix('{').unwrap_or(self.rest);
                let name = self.word();
                let closed = !braced || self.rest.starts_with('}');
                if name.is_empty() || !closed {
                    return Err("only `NAME`, `$NAME` and `${NAME}` are read".to_string());
                }
                self.rest = if braced { &self.rest[1..] } else { self.rest };
                match (self.lookup)(name)?.trim() {
                    "" => Ok(0),
                    text => match text.strip_prefix('-') {
                        Some(digits) => number(digits).map(|number| -number),
                        None => number(text),
                    }
                    .map_err(|_| format!("{name} is no whole number")),
                }
            }
            Some(c) => Err(format!("`{c}` is not understood there")),
        };
        self.depth -= 1;
        value
    }
}

/// As zsh reads it: decimal also with zeroes before it.
fn number(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match parsed {
        // What begins with a sign does not come here, but from_str_radix would take one.
        Ok(number) if text.chars().all(|c| c.is_ascii_alphanumeric()) => Ok(number),
        _ => Err(format!("`{text}` is no whole number")),
    }
}
