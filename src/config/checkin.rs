//! Checking in with MirrorManager: what the settings, the file of report_mirror and the service manager say of it, together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use configparser::ini::{Ini, IniDefault};
use ureq::http::Uri;

use super::error::{Problem, Wrong};
use super::layers::{Environment, Settings};
use super::secret::Secret;
use super::{Category, CheckIn, Config, Module, Origin, Password, Proxies, Value};
use crate::path::{RelPath, RelPathBuf};

/// The categories of Fedora's modules, and where each begins below the mirror root.
const BUILT_IN: [(&str, &str, &str); 5] = [
    ("fedora-enchilada", "fedora linux", "fedora/linux"),
    ("fedora-epel", "fedora epel", "epel"),
    ("fedora-archive", "fedora archive", "archive"),
    ("fedora-secondary", "fedora secondary arches", "fedora-secondary"),
    ("fedora-alt", "fedora other", "alt"),
];

/// What a request has beside categories, under names of the same rank.
const NO_CATEGORIES: [&str; 5] = ["version", "global", "site", "host", "stats"];

/// The name of the password as a credential of a systemd service.
const CREDENTIAL: &str = "qfm.checkin-password";

/// Adds to the configuration what it says of check-in; `read` gives the bytes of a file.
pub(super) fn add(
    settings: &Settings,
    environment: &Environment,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    config: &mut Config,
    problems: &mut Vec<Problem>,
) {
    let mut fault = |key: &str, wrong: Wrong| problems.push(wrong.at(settings.origin(key), key));
    let theirs = match settings.text("checkin.report_mirror").map(|path| ReportMirror::read(Path::new(path), read)) {
        Some(Ok(theirs)) => Some(theirs),
        Some(Err(wrong)) => return fault("checkin.report_mirror", wrong),
        None => None,
    };
    let of_theirs = |value: fn(&ReportMirror) -> &Option<String>| theirs.as_ref().and_then(|it| value(it).clone());
    let said = |key: &str| settings.text(key).map(str::to_owned);
    let Some(site) = said("checkin.site").or_else(|| of_theirs(|it| &it.site)) else { return };
    let credential = environment.get("CREDENTIALS_DIRECTORY").map(|directory| Path::new(directory).join(CREDENTIAL));
    let credential = credential.filter(|path| read(path).is_ok());
    let file = said("checkin.password_file").map(PathBuf::from).or(credential);
    let password = match (settings.secret("checkin.password"), file) {
        (Some(secret), _) => Password::Said(secret.clone()),
        (None, Some(file)) => Password::In(file),
        (None, None) => match theirs.as_ref().and_then(|theirs| theirs.password.clone()) {
            Some(secret) => Password::Said(secret),
            // It was said, and what is wrong with it too.
            None if settings.is_spoilt("checkin.password") => return,
            None => {
                let hint = format!(
                    "write it into a file that checkin.password_file names, or pass the credential {CREDENTIAL}"
                );
                return fault("checkin.password", Wrong::new("the password of checkin.site is missing", hint));
            }
        },
    };
    let is_said = settings.origin("checkin.endpoint") != Origin::Default;
    let (key, endpoint) = match of_theirs(|it| &it.server) {
        Some(server) if !is_said => ("checkin.report_mirror", server),
        _ => ("checkin.endpoint", said("checkin.endpoint").unwrap_or_default()),
    };
    let proxy = match address(&endpoint) {
        Ok(address) => Proxies::of(environment).to(&address),
        // What it says may have a password in it.
        Err(wrong) if !is_said => return fault(key, Wrong { what: format!("its server {}", wrong.what), ..wrong }),
        Err(wrong) => return fault(key, wrong),
    };
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = said("checkin.host").or_else(|| of_theirs(|it| &it.host)).unwrap_or_else(machine);
    let mut taken: BTreeMap<(String, String), String> = BTreeMap::new();
    for module in &mut config.modules {
        let key = |leaf: &str| format!("module.{}.{leaf}", module.name);
        let category = match category(settings, &config.root, module, theirs.as_ref()) {
            Ok(Some((name, top))) => {
                let host = said(&key("checkin_host")).unwrap_or_else(|| host.clone());
                Category { name, top, host }
            }
            Ok(None) => continue,
            Err((leaf, wrong)) => {
                fault(&key(leaf), wrong);
                continue;
            }
        };
        let place = (category.host.clone(), category.name.clone());
        if let Some(other) = taken.insert(place, module.name.clone()) {
            let what = format!("{other} has the category {} of host {} too", category.name, category.host);
            let hint =
                "what is checked in for the one would take the other from MirrorManager; \"\" leaves a module out";
            fault(&key("checkin_category"), Wrong::new(what, hint));
        }
        module.category = Some(category);
    }
    let proxy = proxy.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    config.check_in = Some(CheckIn {
        site,
        password,
        endpoint,
        proxy,
        timeout: settings.span("checkin.timeout"),
        retries: settings.number("checkin.retries"),
        retry_delay: settings.span("checkin.retry_delay"),
        max_shrink: settings.number("checkin.max_shrink"),
    });
}

/// The category of a module, in lower case, and where in the module's directory it begins; or the setting at fault.
fn category(
    settings: &Settings,
    root: &Path,
    module: &Module,
    theirs: Option<&ReportMirror>,
) -> Result<Option<(String, RelPathBuf)>, (&'static str, Wrong)> {
    let key = |leaf: &str| format!("module.{}.{leaf}", module.name);
    let (name, top) = match (settings.entry(&key("checkin_category")).map(|entry| &entry.value), theirs) {
        (Some(Value::Unset), _) => return Ok(None),
        (Some(Value::Text(name)), _) => (name.to_lowercase(), built_in_top(module)),
        (_, Some(theirs)) => match theirs.category(&root.join(&module.directory)) {
            Some(found) => found,
            None => return Ok(None),
        },
        (_, None) => match built_in(&module.name) {
            Some((name, _)) => (name.to_owned(), built_in_top(module)),
            None => return Ok(None),
        },
    };
    if NO_CATEGORIES.contains(&name.as_str()) {
        let wrong = Wrong::new(format!("{name:?} is no name of a category"), "for example \"fedora epel\"");
        return Err(("checkin_category", wrong));
    }
    let top = match settings.text(&key("checkin_prefix")) {
        Some(prefix) => {
            let below = Path::new(prefix.trim_matches('/')).strip_prefix(&module.directory);
            let below = below.map_err(|_| {
                let what = format!("{prefix:?} is not in the module's directory {}", module.directory);
                ("checkin_prefix", Wrong::new(what, format!("for example {:?}", module.directory)))
            })?;
            below.to_string_lossy().into_owned()
        }
        None => top.to_owned(),
    };
    let path = RelPath::of_dir(top.as_bytes());
    let path = path.map_err(|error| ("checkin_prefix", Wrong::new(format!("{top:?} is no directory: {error}"), "")))?;
    Ok(Some((name, path.to_owned())))
}

/// The category of one of Fedora's modules, and where it begins below the mirror root if the module's directory is the usual one.
pub(super) fn built_in(module: &str) -> Option<(&'static str, &'static str)> {
    BUILT_IN.iter().find(|(name, ..)| *name == module).map(|&(_, category, place)| (category, place))
}

/// Where in its directory the category of one of Fedora's modules begins.
fn built_in_top(module: &Module) -> &'static str {
    built_in(&module.name).and_then(|(_, place)| place.split_once('/')).map_or("", |(_, top)| top)
}

/// Whether this is where Fedora's MirrorManager was once, as it stands in most old configurations: nobody answers there.
pub(super) fn is_retired(server: &str) -> bool {
    server.contains("admin.fedoraproject.org/")
}

/// What is called, as an address.
fn address(endpoint: &str) -> Result<Uri, Wrong> {
    let wrong = |what: &str| Wrong::new(what, "for example https://mirrors.example.org/xmlrpc");
    let address: Uri = endpoint.parse().map_err(|error| wrong(&format!("is no address: {error}")))?;
    let (Some("http" | "https"), Some(place)) = (address.scheme_str(), address.authority()) else {
        return Err(wrong("is no address that begins with https:// or http://"));
    };
    if place.as_str().contains('@') {
        return Err(wrong("has a user or a password in it"));
    }
    if place.port_u16().is_none() && place.as_str() != place.host() {
        return Err(wrong("has a port that is none"));
    }
    Ok(address)
}

/// What the configuration of report_mirror says.
struct ReportMirror {
    server: Option<String>,
    site: Option<String>,
    password: Option<Secret>,
    host: Option<String>,
    /// The categories that are on, in lower case, each with the directory where it begins.
    categories: BTreeSet<(String, PathBuf)>,
}

impl ReportMirror {
    fn read(path: &Path, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<ReportMirror, Wrong> {
        let shown = path.display();
        let bytes = read(path).map_err(|error| Wrong::new(format!("cannot read {shown}: {error}"), ""))?;
        let text = String::from_utf8(bytes).map_err(|_| Wrong::new(format!("{shown} is not valid UTF-8"), ""))?;
        // As Python's ConfigParser reads it: a password may hold what begins a comment elsewhere.
        let mut defaults = IniDefault::default();
        defaults.enable_inline_comments = false;
        let mut ini = Ini::new_from_defaults(defaults);
        let sections = ini.read(text).map_err(|error| {
            // The rest of an error may repeat what stands in the line.
            let line = error.split(':').next().unwrap_or_default();
            Wrong::new(format!("{shown} is no file of report_mirror: {line}"), "")
        })?;
        let said = |section: &str, key: &str| sections.get(section).and_then(|keys| keys.get(key)).cloned().flatten();
        let is_on = |section: &str| said(section, "enabled").is_none_or(|enabled| enabled == "1");
        if !["global", "site", "host"].into_iter().all(is_on) {
            return Err(Wrong::new(
                format!("{shown} says that it is not enabled"),
                "take the setting away, or set `enabled=1` in [global], [site] and [host] there",
            ));
        }
        let site = said("site", "name").ok_or_else(|| {
            let hint = "name report_mirror's file, such as /etc/mirrormanager-client/report_mirror.conf";
            Wrong::new(format!("{shown} has no `name` below [site]"), hint)
        })?;
        let categories = sections.keys().filter(|name| !NO_CATEGORIES.contains(&name.as_str()) && is_on(name));
        let categories = categories.filter_map(|name| {
            let path: PathBuf = Path::new(&said(name, "path")?).components().collect();
            Some((name.clone(), path))
        });
        Ok(ReportMirror {
            server: said("global", "server").filter(|server| !is_retired(server)),
            site: Some(site),
            password: said("site", "password").map(Secret::new),
            host: said("host", "name"),
            categories: categories.collect(),
        })
    }

    /// The category that begins in a module's directory, and where in it.
    fn category(&self, directory: &Path) -> Option<(String, &str)> {
        self.categories
            .iter()
            .find_map(|(name, path)| Some((name.clone(), path.strip_prefix(directory).ok()?.to_str()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[global]\nenabled=1\nserver=https://x/\n# [site]\n[site]\nenabled = 1\nname=A \"site\"\npassword=a#b;c\\d=e%f\n\
        [host]\nenabled=1\nname=h.example\nuser_active=1\n[stats]\napache=x\n[Fedora Linux]\nenabled=1\npath=/srv/pub/fedora/linux/\n\
        [Fedora EPEL]\nenabled=1\npath=/srv/pub/epel\n[Fedora Other]\nenabled=0\npath=/srv/pub/alt\n";

    fn read(text: &str) -> Result<ReportMirror, Wrong> {
        ReportMirror::read(Path::new("/f"), &|_| Ok(text.as_bytes().to_vec()))
    }

    #[test]
    fn the_file_of_report_mirror_is_read_as_python_reads_it() {
        let theirs = read(FILE).unwrap();
        assert_eq!(theirs.site.as_deref(), Some("A \"site\""));
        assert_eq!(theirs.password.as_ref().map(Secret::reveal), Some("a#b;c\\d=e%f"));
        assert_eq!(theirs.host.as_deref(), Some("h.example"));
        assert_eq!(theirs.category(Path::new("/srv/pub/fedora")), Some(("fedora linux".into(), "linux")));
        assert_eq!(theirs.category(Path::new("/srv/pub/epel")), Some(("fedora epel".into(), "")));
        assert_eq!(theirs.category(Path::new("/srv/pub/alt")), None, "it is not enabled");
        assert_eq!(theirs.server.as_deref(), Some("https://x/"));
        let retired = FILE.replace("https://x/", "https://admin.fedoraproject.org/mirrormanager/xmlrpc");
        assert_eq!(read(&retired).unwrap().server, None);
    }

    #[test]
    fn what_is_called_is_a_whole_address_without_a_secret() {
        for good in ["https://h/xmlrpc", "HTTP://h:8080", "http://[::1]:80/x", "https://h.example"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in
            ["", "h/xmlrpc", "ftp://h/", "http://", "http:///x", "http://u:p@h/", "http://h:99999/", "http://a b/"]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused_without_showing_it() {
        let refused = |text: &str| read(text).err().expect(text).what;
        assert!(refused("upstream = 1\n").contains("[site]"));
        assert!(refused(&FILE.replace("[global]\nenabled=1", "[global]\nenabled=0")).contains("not enabled"));
        let broken = refused(&format!("{FILE}[password=hunter2\n"));
        assert!(broken.contains("line") && !broken.contains("hunter2"), "{broken}");
    }
}
