//! What is no assignment: named, with what to write instead, and passed over as far as it goes.

use super::super::syntax::{Assigned, Statement};
use super::{ONLY_ASSIGNMENTS, Parser, SHOWN, Stop, as_list, is_sign, tight};

/// What begins a condition or a loop, or is a part of one.
const CONDITIONS: [&str; 18] = [
    "if", "then", "elif", "else", "fi", "for", "foreach", "while", "until", "repeat", "select", "do", "done", "case",
    "esac", "[[", "[", "!",
];

/// Words that open a command of several lines, and those that close one.
const OPENERS: [&str; 8] = ["if", "for", "foreach", "while", "until", "select", "case", "{"];
const CLOSERS: [&str; 5] = ["fi", "done", "end", "esac", "}"];

/// What the shell itself runs.
const BUILT_IN: [&str; 11] =
    ["eval", "exec", "exit", "return", "setopt", "unsetopt", "emulate", "set", "shift", "trap", "autoload"];

impl Parser<'_> {
    /// The characters of the first word, as they stand.
    pub(super) fn command_word(&self) -> String {
        let rest = self.text.chars[self.at..].iter();
        rest.take_while(|c| !c.is_whitespace() && !is_sign(**c)).take(SHOWN).collect()
    }

    /// Refuses what stands from `start` on.
    pub(super) fn not_an_assignment(&mut self, command: &str, start: usize) -> Stop {
        let shown = self.shown_line(start);
        let behind = self.text.between(start + command.chars().count(), self.line_end());
        let behind = behind.trim_start();
        let is_name = !command.is_empty() && self.name() == command;
        let mut is_compound = false;
        let (what, hint) = if command.is_empty() && self.starts_with("((") {
            ("is arithmetic", "write NAME=$((…))".to_string())
        } else if command.is_empty() {
            ("begins with a parenthesis or another sign of the shell", ONLY_ASSIGNMENTS.to_string())
        } else if CONDITIONS.contains(&command) {
            is_compound = OPENERS.contains(&command);
            (
                "is a condition, a loop or a part of one",
                "write the assignments that it would end with; a default is written NAME=${NAME:-value}".to_string(),
            )
        } else if command == "{" || command == "}" {
            is_compound = command == "{";
            ("is a group of commands", ONLY_ASSIGNMENTS.to_string())
        } else if command == "function" || behind.starts_with('(') && is_name {
            is_compound = true;
            ("is a function", "write the assignments that it would make".to_string())
        } else if is_name && (behind.starts_with('=') || behind.starts_with("+=")) {
            self.statements.push(Statement::Spoilt { name: command.to_string(), at: start });
            let hint = match self.secret {
                true => format!("write {command}=value"),
                false => format!("write {command}{}", tight(behind)),
            };
            ("has blanks around `=`", hint)
        } else if command == "source" || command == "." {
            ("reads another file", "write what that file sets into this one".to_string())
        } else if ["local", "float"].contains(&command) {
            ("declares what is not read", "write NAME=value alone".to_string())
        } else if BUILT_IN.contains(&command) {
            ("is a command of the shell", ONLY_ASSIGNMENTS.to_string())
        } else if command.starts_with('[') && command.ends_with(']') {
            ("is the head of a table, as TOML has it", ONLY_ASSIGNMENTS.to_string())
        } else if let Some((list, _)) = command.split_once('[') {
            ("is no assignment to a key that can be read", format!("write {list}+=('key' value)"))
        } else if command.split_once('=').is_some_and(|(name, _)| name.contains(['-', '.'])) {
            ("has a `-` or `.` in its name", "write `_` instead, as in CHECKIN_HOST_fedora_epel".to_string())
        } else {
            ("is a command", ONLY_ASSIGNMENTS.to_string())
        };
        let stop = self.stop(start, format!("`{shown}` {what}"), hint);
        if is_compound && !self.pass_compound() {
            return Stop::File;
        }
        stop
    }

    /// Passes over all lines of a condition, a loop or a function, roughly, for the file is refused anyway; stays in the last one. Whether
    /// there is a last one.
    fn pass_compound(&mut self) -> bool {
        let mut open = 0;
        let mut was_opened = false;
        loop {
            let line = self.text.between(self.at, self.line_end());
            let words = line.split(|c: char| c.is_whitespace() || c == ';');
            for word in words.take_while(|word| !word.starts_with('#')) {
                if OPENERS.contains(&word) || word.ends_with("(){") {
                    open += 1;
                    was_opened = true;
                } else if CLOSERS.contains(&word) {
                    open -= 1;
                }
            }
            if was_opened && open <= 0 {
                return true;
            }
            self.at = self.line_end();
            if self.peek().is_none() {
                return false;
            }
            self.at += 1;
        }
    }

    /// Refuses a word behind the assignment that begins at `at`.
    pub(super) fn after_assignment(&mut self, at: usize) -> Stop {
        let (name, is_empty) = match self.statements.last() {
            Some(Statement::Assign(last)) => {
                (last.name.clone(), matches!(&last.value, Assigned::Word(word) if word.parts.is_empty()))
            }
            // What is wrong with it is said.
            _ => return Stop::Line,
        };
        let shown = self.shown_line(at);
        let rest = self.text.between(self.at, self.line_end());
        if is_empty {
            let value = if self.secret { "value".to_string() } else { as_list(rest.trim()) };
            return self.stop(at, format!("`{shown}` has a blank after `=`"), format!("write {name}={value}"));
        }
        let line = self.text.between(at, self.line_end());
        let (_, value) = line.split_once('=').unwrap_or_default();
        let list = as_list(value.trim());
        let what = match self.secret {
            true => "more follows after the value of this line".to_string(),
            false => format!("`{}` follows after the value of {name}", self.command_word()),
        };
        let hint = match list != value.trim() && !self.secret {
            true => format!("a list is written {name}={list}"),
            false => "a value with blanks stands in quotes; a list is written NAME=(one two)".to_string(),
        };
        self.stop(self.at, what, hint)
    }
}
