//! Completions in the shells themselves: names come from the configuration, quickly and without a word.

mod support;

use std::fs;
use std::process::{Command, Output};

use support::QFM;
use tempfile::TempDir;

const CONFIGURATION: &str = r#"
upstream = "rsync://192.0.2.1/buffet"
root = "/nowhere"
modules = ["fedora-epel", "fedora-enchilada"]
[job.nightly]
modules = ["fedora-epel"]
[downstream.tier2]
ssh = "mirror@192.0.2.2"
"#;

struct Home(TempDir);

impl Home {
    fn new() -> Home {
        let home = Home(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir_all(home.0.path().join(".config/qfm")).expect("made");
        home.write(".config/qfm/qfm.toml", CONFIGURATION);
        home.write("other.toml", &CONFIGURATION.replace("fedora-epel", "fedora-alt"));
        home.write("broken.toml", "modules = [\n");
        fs::create_dir(home.0.path().join("bin")).expect("made");
        std::os::unix::fs::symlink(QFM, home.0.path().join("bin/qfm")).expect("linked");
        home
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("written");
    }

    /// Runs a script in a shell; `None` where there is no such shell.
    fn run(&self, shell: &str, arguments: &[&str], script: &str) -> Option<Output> {
        let path = std::env::var("PATH").expect("a PATH");
        let mut command = Command::new(shell);
        command.args(arguments).arg("-c").arg(script).current_dir(self.0.path()).env_clear();
        command.env("PATH", format!("{}/bin:{path}", self.0.path().display())).env("HOME", self.0.path());
        match command.output() {
            Ok(output) => Some(output),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("{shell} is not here: what it completes is not looked at");
                None
            }
            Err(error) => panic!("{shell}: {error}"),
        }
    }

    /// What each shell that is here makes of a line whose last word is to be completed: the words, sorted, without their descriptions.
    fn completed(&self, line: &[&str]) -> Vec<(&'static str, Vec<String>)> {
        let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let (last, text) = (line.last().expect("a word"), line.join(" "));
        let bash = format!(
            "source <(qfm completions bash); COMP_WORDS=({words}); COMP_CWORD={}; _clap_complete_qfm qfm '{last}' x; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            line.len() - 1
        );
        // Where words are offered is no matter of ours.
        let zsh = format!(
            "compdef() {{ }}; _describe() {{ print -l -- ${{(P)3}} }}; source <(qfm completions zsh); words=({words}); CURRENT={}; \
             _clap_dynamic_completer_qfm",
            line.len()
        );
        let fish = format!("qfm completions fish | source; complete -C '{text}'");
        let shells = [("bash", &["--norc"][..], bash), ("zsh", &["-f"], zsh), ("fish", &["--no-config"], fish)];
        let offered = |(shell, arguments, script): (&'static str, &[&str], String)| {
            let output = self.run(shell, arguments, &script)?;
            assert!(output.stderr.is_empty(), "{shell}: {line:?}: {output:?}");
            let text = String::from_utf8(output.stdout).expect("text");
            let separator = if shell == "zsh" { ':' } else { '\t' };
            let words = text.lines().filter_map(|line| line.split(separator).next()).filter(|word| !word.is_empty());
            let mut words: Vec<String> = words.map(str::to_owned).collect();
            words.sort();
            Some((shell, words))
        };
        shells.into_iter().filter_map(offered).collect()
    }

    #[track_caller]
    fn assert(&self, line: &[&str], expected: &[&str]) {
        for (shell, words) in self.completed(line) {
            assert_eq!(words, expected, "{shell}: {line:?}");
        }
    }
}

#[test]
fn names_come_from_the_configuration() {
    let home = Home::new();
    home.assert(&["qfm", "sync", "fed"], &["fedora-enchilada", "fedora-epel"]);
    home.assert(&["qfm", "fed"], &["fedora-enchilada", "fedora-epel"]);
    home.assert(&["qfm", "verify", "fedora-epel", "fedora-en"], &["fedora-enchilada"]);
    home.assert(&["qfm", "run-job", "n"], &["nightly"]);
    home.assert(&["qfm", "push", "t"], &["tier2"]);
    home.assert(&["qfm", "--filter-exclude", "mod"], &["modular"]);
    home.assert(&["qfm", "make"], &["make-list"]);
    home.assert(&["qfm", "sync", "--dry"], &["--dry-run"]);
    home.assert(&["qfm", "sync", "--rsync-bw"], &["--rsync-bwlimit"]);
}

#[test]
fn the_configuration_is_the_one_that_the_line_names() {
    let home = Home::new();
    home.assert(&["qfm", "--config", "other.toml", "sync", "fed"], &["fedora-alt", "fedora-enchilada"]);
    home.assert(&["qfm", "--config", "broken.toml", "sync", "fed"], &[]);
    home.assert(&["qfm", "--config", "absent.toml", "sync", "fed"], &[]);
}

#[test]
fn a_file_of_zsh_completes_at_its_first_call() {
    let home = Home::new();
    let script = "compdef() { }; _describe() { print -l -- ${(P)3} }; mkdir f; qfm completions zsh >f/_qfm; fpath=(f); \
        autoload -U _qfm; words=(qfm sync fedora-ep); CURRENT=3; _qfm";
    if let Some(output) = home.run("zsh", &["-f"], script) {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "fedora-epel\n", "{output:?}");
    }
}
