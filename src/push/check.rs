//! What a hook, a trigger or a push would trip over on this machine. It is looked at, and nothing is changed, started or called.
//!
//! What is certain to fail when it is needed is a fault. What this user may not look at, and what another `PATH` may have, is in doubt: who
//! checks is often not who runs.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

use super::OF_AN_ADMIN;
use super::round::Round;
use crate::config::job::Key;
use crate::config::listen::Address;
use crate::config::{
    self, Downstream, Environment, Hooks, Job, Loaded, Overrides, Problem, Ssh, Url, Way, Work, Wrong, is_url, kept,
};

/// What was found, each at the place of its setting.
#[derive(Debug, Default)]
pub struct Found {
    /// What is certain to fail.
    pub faults: Vec<Problem>,
    /// What may fail.
    pub doubts: Vec<Problem>,
}

/// Looks at what the hooks, the jobs and the pushes of a configuration need.
pub fn check(loaded: &Loaded, environment: &Environment) -> Found {
    let mut look = Look { loaded, environment, found: Found::default() };
    let Hooks { before, changed, failed, .. } = &loaded.config.hooks;
    for hook in [before, changed, failed].into_iter().flatten() {
        look.program(&format!("hook.{}", hook.name), &hook.program);
    }
    for job in &loaded.config.triggered {
        look.job(job);
    }
    look.listener();
    look.push();
    look.found
}

struct Look<'a> {
    loaded: &'a Loaded,
    environment: &'a Environment,
    found: Found,
}

impl Look<'_> {
    fn job(&mut self, Job { name, work, key, .. }: &Job) {
        let setting = |leaf: &str| format!("job.{name}.{leaf}");
        match work {
            Work::Modules(_) => {}
            Work::Command { program, .. } => self.program(&setting("command"), program),
            Work::Config(path) => self.configuration(&setting("config"), path),
        }
        if let Some(Key::In(path)) = key
            && self.can_read(&setting("secret_file"), path)
            && let Err(wrong) = kept::fingerprint(path)
        {
            self.fault(&setting("secret_file"), wrong);
        }
    }

    fn listener(&mut self) {
        let Address::Unix(socket) = &self.loaded.config.listen.address else { return };
        let Some(directory) = socket.parent().filter(|directory| !directory.is_dir()) else { return };
        // A service manager may make it for the time that the service runs.
        let what = format!("there is no directory {} here", directory.display());
        self.doubt("listen.address", Wrong::new(what, "make it, or let RuntimeDirectory= of the unit do so"));
    }

    fn push(&mut self) {
        let Some(push) = &self.loaded.config.push else { return };
        if let Some(path) = &push.key {
            self.key("push.key", path);
        }
        if let Some(path) = &push.mirrors
            && self.can_read("push.mirrors", path)
        {
            for fault in Round::new(push).faults() {
                self.fault("push.mirrors", Wrong::new(fault, ""));
            }
        }
        self.program("push.ssh", &push.ssh);
        for Downstream { name, way, .. } in &push.downstreams {
            match way {
                Way::Ssh(Ssh { key: Some(path), .. }) => self.key(&format!("downstream.{name}.key"), path),
                Way::Url(Url::In(path)) => self.url(&format!("downstream.{name}.url_file"), path),
                Way::Ssh(_) | Way::Url(Url::Said(_)) => {}
            }
        }
    }

    fn key(&mut self, setting: &str, path: &Path) {
        if self.can_read(setting, path) && !path.is_file() {
            self.fault(setting, Wrong::new(format!("there is no file {}", path.display()), "ssh-keygen makes a key"));
        }
    }

    fn url(&mut self, setting: &str, path: &Path) {
        if !self.can_read(setting, path) {
            return;
        }
        let shown = path.display();
        match kept::text(path) {
            Ok(text) if is_url(text.lines().next().unwrap_or_default().trim()) => {}
            Ok(_) => {
                let hint = "it begins with https:// or http://, and has no blanks";
                self.fault(setting, Wrong::new(format!("the first line of {shown} is no URL"), hint));
            }
            Err(error) => self.fault(setting, Wrong::new(format!("cannot read {shown}: {error}"), "")),
        }
    }

    /// A program is there and can be run: by its path, or by its name in `PATH`.
    fn program(&mut self, setting: &str, program: &Path) {
        if program.components().count() == 1 && !program.is_absolute() {
            let path = self.environment.get("PATH").unwrap_or(OsStr::new(super::job::PATH));
            if !std::env::split_paths(path).any(|directory| is_program(&directory.join(program))) {
                let what = format!("there is no program {} in PATH here", program.display());
                self.doubt(setting, Wrong::new(what, "install it, or write its path"));
            }
            return;
        }
        let shown = program.display();
        match fs::metadata(program) {
            Ok(_) if is_program(program) => {}
            Ok(metadata) if metadata.is_file() => {
                self.fault(setting, Wrong::new(format!("{shown} cannot be run"), format!("chmod +x {shown}")));
            }
            Ok(_) => self.fault(setting, Wrong::new(format!("{shown} is no program"), "name a file that can be run")),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => self.hidden(setting, program),
            Err(error) => {
                self.fault(setting, Wrong::new(format!("{shown} cannot be run: {error}"), "install it there"))
            }
        }
    }

    /// Another configuration is good, and is another.
    fn configuration(&mut self, setting: &str, path: &Path) {
        let is = |file: &Path| matches!((file.canonicalize(), path.canonicalize()), (Ok(ours), Ok(its)) if ours == its);
        if self.loaded.file.as_deref().is_some_and(is) {
            let hint = "leave it out: a job syncs the modules of its own configuration if nothing else is said";
            self.fault(setting, Wrong::new(format!("{} is this configuration itself", path.display()), hint));
        } else if self.can_read(setting, path) {
            if let Err(error) = kept::open(path) {
                let what = format!("cannot read {}: {error}", path.display());
                return self.fault(setting, Wrong::new(what, "name a configuration of qfm"));
            }
            let overrides = Overrides { config: Some(path.to_owned()), ..Overrides::default() };
            if let Err(error) = config::load(&overrides, &self.environment.only(&OF_AN_ADMIN)) {
                let what = format!("{} is not good: {}", path.display(), error.to_string().replace('\n', "; "));
                self.fault(setting, Wrong::new(what, format!("qfm config check --config {}", path.display())));
            }
        }
    }

    /// Whether this user may read what is there, or nothing is; else that is in doubt.
    fn can_read(&mut self, setting: &str, path: &Path) -> bool {
        let is_hidden = access(path, Access::READ_OK) == Err(rustix::io::Errno::ACCESS);
        if is_hidden {
            self.hidden(setting, path);
        }
        !is_hidden
    }

    fn hidden(&mut self, setting: &str, path: &Path) {
        let what = format!("{} cannot be looked at by this user", path.display());
        self.doubt(setting, Wrong::new(what, "check it as the user who runs qfm"));
    }

    fn fault(&mut self, setting: &str, wrong: Wrong) {
        self.found.faults.push(wrong.at(self.loaded.settings.origin(setting), setting));
    }

    fn doubt(&mut self, setting: &str, wrong: Wrong) {
        self.found.doubts.push(wrong.at(self.loaded.settings.origin(setting), setting));
    }
}

/// Whether a path leads to a file that somebody can run.
fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}
