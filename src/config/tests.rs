//! File, environment and flags to a configuration, without a file system.

use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::job::Key;
use super::listen::Address;
use super::*;

const MINIMAL: &str = "upstream = \"rsync://host/fedora-buffet\"\nroot = \"/srv/pub\"\nmodules = [\"fedora-epel\"]\n";

fn resolve(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, Error> {
    let overrides = Overrides {
        config: Some("/c/qfm.toml".into()),
        settings: flags
            .iter()
            .map(|(key, text)| Override {
                key: key.to_string(),
                flag: format!("--{key}"),
                texts: vec![text.to_string()],
            })
            .collect(),
        verbosity: 0,
        ..Overrides::default()
    };
    load::resolve(&overrides, &variables.iter().copied().collect(), &|_| Ok(text.as_bytes().to_vec()))
}

fn good(text: &str) -> Loaded {
    resolve(text, &[], &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The faults, each with its hint after ` | `.
fn faults(text: &str) -> Vec<String> {
    let error = resolve(text, &[], &[]).expect_err(text);
    assert_eq!(error.status(), crate::exit::Status::Usage);
    error.faults().into_iter().map(|(fault, hint)| format!("{fault} | {hint}")).collect()
}

/// `MINIMAL` with more lines has exactly one fault, that says this.
fn fault(more: &str, says: &str) {
    let faults = faults(&format!("{MINIMAL}{more}"));
    assert!(faults.len() == 1 && faults[0].contains(says), "{more}\n{says}\n{faults:#?}");
}

#[test]
fn the_sample_uncommented_says_the_defaults() {
    let loaded = good(&sample::uncommented());
    for setting in setting::SETTINGS {
        let entry = loaded.settings.entry(setting.key).expect("every setting has an entry");
        assert!(matches!(entry.origin, Origin::File { .. }), "{} is not in the sample", setting.key);
        if setting.fallback != setting::Fallback::Required {
            assert_eq!(entry.value, setting.default(), "{}", setting.key);
        }
    }
    for setting in setting::MODULE_SETTINGS {
        let key = format!("module.fedora-epel.{}", setting.key);
        assert!(loaded.settings.entry(&key).is_some(), "{key} is not in the sample");
    }
    for setting in setting::JOB_SETTINGS {
        let key = format!("job.default.{}", setting.key);
        assert!(loaded.settings.entry(&key).is_some(), "{key} is not in the sample");
    }
    for setting in setting::DOWNSTREAM_SETTINGS {
        let key = format!("downstream.tier2.{}", setting.key);
        assert!(loaded.settings.entry(&key).is_some(), "{key} is not in the sample");
    }
    let plain = good(
        "upstream = \"rsync://mirror.example.org/fedora-buffet\"\nroot = \"/srv/mirror/pub\"\nmodules = [\"fedora-enchilada\", \"fedora-epel\"]",
    );
    assert_eq!(format!("{:?}", loaded.config), format!("{:?}", plain.config));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn the_sample_as_it_is_only_lacks_what_must_be_said() {
    let faults = faults(&sample());
    assert_eq!(faults.len(), 3, "{faults:#?}");
    for key in ["upstream", "root", "modules"] {
        assert!(faults.iter().any(|fault| fault.starts_with(&format!("{key}: is missing"))), "{key}: {faults:#?}");
    }
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = good(MINIMAL).config;
    assert_eq!(config.state, Path::new("/var/lib/qfm"));
    assert_eq!(config.jobs, 8);
    assert_eq!(config.full_check_every, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.rsync.program, Path::new("rsync"));
    assert_eq!(
        (config.rsync.timeout, config.rsync.connect_timeout),
        (Duration::from_secs(600), Duration::from_secs(60))
    );
    assert_eq!((config.rsync.deadline, config.rsync.retries), (None, 10));
    assert_eq!(config.rsync.retry_delay, Duration::from_secs(2));
    assert!(config.rsync.compress_lists && !config.restricted);
    assert_eq!((config.delete.mode, config.delete.max_share, config.delete.min_entries), (DeleteMode::Now, 30, 50));
    let epel = &config.modules[0];
    assert_eq!((epel.name.as_str(), epel.directory.as_str()), ("fedora-epel", "epel"));
    assert_eq!(epel.list, "fullfiletimelist-epel");
    assert_eq!(epel.extra_files, ["fullfilelist", "imagelist-epel"]);
    assert_eq!((epel.keep_releases, config.top_files.len()), (None, 0));
}

#[test]
fn the_stronger_source_wins_and_is_remembered() {
    let text = format!("{MINIMAL}jobs = 2\n[rsync]\nretries = 3");
    let origin = |loaded: &Loaded, key| loaded.settings.origin(key);
    let loaded = good(&text);
    assert_eq!((loaded.config.jobs, loaded.config.rsync.retries), (2, 3));
    assert_eq!(origin(&loaded, "jobs"), Origin::File { path: "/c/qfm.toml".into(), line: 4, column: 8 });
    assert_eq!(origin(&loaded, "progress"), Origin::Default);
    let variables = [("QFM_JOBS", "5"), ("QFM_RSYNC_RETRIES", "")];
    let loaded = resolve(&text, &variables, &[]).expect("good");
    assert_eq!((loaded.config.jobs, loaded.config.rsync.retries), (5, 3), "an empty variable is ignored");
    assert_eq!(origin(&loaded, "jobs"), Origin::Environment("QFM_JOBS".into()));
    let loaded = resolve(&text, &variables, &[("jobs", "7")]).expect("good");
    assert_eq!(loaded.config.jobs, 7);
    assert_eq!(origin(&loaded, "jobs"), Origin::Flag("--jobs".into()));
}

#[test]
fn an_empty_value_takes_back() {
    let text = format!("{MINIMAL}[rsync]\nbwlimit = \"20m\"\n[filter]\nexclude = [\"debug\"]");
    assert_eq!(good(&text).config.rsync.bwlimit.as_deref(), Some("20m"));
    let loaded = resolve(&text, &[], &[("rsync.bwlimit", ""), ("filter.exclude", "")]).expect("good");
    assert_eq!(loaded.config.rsync.bwlimit, None);
    assert!(loaded.config.modules[0].exclude.is_empty());
}

#[test]
fn all_faults_are_reported_together_each_with_its_place() {
    let text = "upstream = \"rsync://host/m\"\njob = 4\n\n[rsync]\ntimeout = 600\nretries = 1001\n[filter]\nexclude = [\"debug\",\n  7]\n";
    let overrides = Overrides {
        config: Some("/c/qfm.toml".into()),
        settings: vec![
            Override { key: "modules".into(), flag: "--modules".into(), texts: vec!["fedora-epl".into()] },
            Override { key: "rsnc.user".into(), flag: "--set".into(), texts: vec!["x".into()] },
        ],
        verbosity: 0,
        ..Overrides::default()
    };
    let environment = [("QFM_PROGRESS", "sometimes")].into_iter().collect();
    let error = load::resolve(&overrides, &environment, &|_| Ok(text.as_bytes().to_vec())).expect_err("faults");
    let said: Vec<String> = error.faults().into_iter().map(|(fault, hint)| format!("{fault} | {hint}")).collect();
    let expected = [
        "/c/qfm.toml:2:7: job: expected a table, found the number 4 | did you mean `jobs`?",
        "/c/qfm.toml:5:11: rsync.timeout: expected a time span in quotes, found the number 600 | write for example `timeout = \"3h\"`",
        "/c/qfm.toml:6:11: rsync.retries: `1001` is not a whole number from 0 to 1000 | for example 3",
        "/c/qfm.toml:9:3: filter.exclude: expected a list of text, found the number 7 in it",
        "environment QFM_PROGRESS: progress: `sometimes` is not one of its words | it can be auto, always, never",
        "flag --set: rsnc.user: there is no such setting | did you mean `rsync.user`?",
        "root: is missing in /c/qfm.toml | write for example `root = \"/srv/mirror/pub\"`",
        "flag --modules: modules: the directory of module fedora-epl is not known | did you mean `fedora-epel`?",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said}\n{expected}");
    }
}

#[test]
fn a_job_does_one_thing_and_has_a_plain_name() {
    let jobs = |more: &str| good(&format!("{MINIMAL}{more}")).config;
    let work = Work::Modules(Vec::new());
    let default = Job { name: "default".into(), work, deadline: None, callback: Vec::new(), key: None };
    assert_eq!(jobs("").triggered, std::slice::from_ref(&default));
    let config = jobs(
        "[job.archive]\ncommand = [\"/bin/a b\", \"$x\"]\ndeadline = \"6h\"\n[job.\"a.b\"]\nmodules = [\"fedora-epel\"]",
    );
    let work = |name| config.job(Some(name)).expect("a job").work.clone();
    assert_eq!(work("archive"), Work::Command { program: "/bin/a b".into(), arguments: vec!["$x".into()] });
    assert_eq!(work("a.b"), Work::Modules(vec!["fedora-epel".into()]));
    assert!(config.job(None).is_err(), "there are two, and none is named default");
    let config = jobs("[job.archive]\nconfig = \"/etc/qfm/other.toml\"");
    assert_eq!(config.job(None).expect("the only one").work, Work::Config("/etc/qfm/other.toml".into()));
    assert!(config.job(Some("default")).is_err() && config.job(Some("")).is_err());
    fault("[job.archive]\nmodules = [\"fedora-epel\"]\ncommand = [\"/bin/true\"]", "modules and command at once");
    fault("[job.archive]\nmodules = [\"fedora-alt\"]", "not among the modules");
    fault("[job.archive]\ncommand = [\"sync\"]", "no absolute path");
    for name in ["../x", ".", "..", "-x", ".x", "a b", "", "a/b", "ä"] {
        for below in ["modules = [\"fedora-epel\"]", "", "secret_file = \"\""] {
            fault(&format!("[job.{name:?}]\n{below}"), "no name of a job");
        }
    }
    for login in ["-oProxyCommand=x@h", "u@-h", "u", "@h", "u@h i", "u@h;i"] {
        fault(&format!("[job.archive]\ncallback = [\"-4\", {login:?}]"), "does not end in a login");
    }
}

#[test]
fn what_is_said_to_ssh_is_taken_for_nothing_else() {
    let way = "[downstream.a]\nssh = \"u@h\"\n";
    for options in ["[]", "[\"-4\", \"-p\", \"22\"]", "[\"-vp\", \"22\", \"-oPort=22\"]", "[\"-o\", \"-x\"]"] {
        good(&format!("{MINIMAL}{way}options = {options}\narchive = \"a-1.b_c\""));
    }
    for (options, word) in [
        ("[\"h2\", \"cmd\"]", "h2"),
        ("[\"-p\", \"22\", \"h2\"]", "h2"),
        ("[\"-p22\", \"h2\"]", "h2"),
        ("[\"--\", \"h2\"]", "--"),
        ("[\"-4\", \"-\"]", "-"),
    ] {
        fault(&format!("{way}options = {options}"), &format!("downstream.a.options: {word:?} is no option of ssh"));
    }
    fault(&format!("{way}options = [\"-4p\"]"), "has no value");
    fault("[job.archive]\ncallback = [\"h2\", \"u@h\"]", "job.archive.callback: \"h2\" is no option of ssh");
    for archive in ["a b", "a;b", "$a", "a/b"] {
        fault(&format!("{way}archive = {archive:?}"), "downstream.a.archive");
        fault(&format!("{way}[push]\narchive = {archive:?}"), "push.archive");
    }
}

#[test]
fn a_table_with_nothing_below_it_is_one_all_the_same() {
    let config = good(&format!("{MINIMAL}[job.archive]\n[job.releases]\n[module.fedora-alt]")).config;
    let names: Vec<&str> = config.triggered.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["archive", "releases"]);
    assert_eq!(config.triggered[0].work, Work::Modules(Vec::new()));
    fault("[job.\"a b\"]", "/c/qfm.toml:4:6: job.a b: \"a b\" is no name");
    fault("[downstream.tier2]", "/c/qfm.toml:4:13: downstream.tier2: nothing says how it is told");
    fault("[downstream.tier2]\nkind = \"staged\"", "nothing says how it is told");
    let loaded = good(&format!("{MINIMAL}[module.fedora-alt]"));
    assert_eq!(loaded.warnings, [Warning::UnusedModule { module: "fedora-alt".into() }]);
}

#[test]
fn a_job_has_one_secret_at_most_and_it_does_not_show() {
    let sha256 = Fingerprint::of(b"correct horse battery staple").to_string();
    let key = |line: &str| {
        good(&format!("{MINIMAL}[job.archive]\n{line}")).config.job(None).expect("the only one").key.clone()
    };
    assert_eq!(key(&format!("secret_sha256 = {sha256:?}")), Fingerprint::parse(&sha256).map(Key::Sha256));
    assert_eq!(key("secret_file = \"/etc/qfm/secret\""), Some(Key::In("/etc/qfm/secret".into())));
    assert_eq!(key("secret_sha256 = \"\""), None);
    fault("[job.archive]\nsecret_sha256 = \"abc\"", "no SHA-256");
    fault(&format!("[job.archive]\nsecret_sha256 = {sha256:?}\nsecret_file = \"/x\""), "has a secret_sha256 too");
    for known in [&b"abc"[..], b"", b"\n"] {
        fault(&format!("[job.archive]\nsecret_sha256 = \"{}\"", Fingerprint::of(known)), "everybody knows");
    }
    let shown = format!("{:?}", key(&format!("secret_sha256 = {sha256:?}")));
    assert!(!shown.contains(&sha256[..4]), "{shown}");
}

#[test]
fn the_two_files_of_a_trace_are_two() {
    fault("[trace]\nfile = \"a/{host}\"\nin_progress = \"/srv/pub/a/{host}\"", "is the file of trace.file too");
    good(&format!("{MINIMAL}[trace]\nfile = \"a/{{host}}\"\nin_progress = \"b/{{host}}\""));
}

#[test]
fn a_listener_has_an_address_and_knows_its_proxies() {
    let listen = |more: &str| good(&format!("{MINIMAL}{more}")).config.listen;
    let default = listen("");
    assert_eq!(default.address.to_string(), "127.0.0.1:8473", "loopback");
    assert!(default.trusted_proxies.is_empty() && default.start == Start::Itself && default.rate == 60);
    let listen =
        listen("[listen]\naddress = \"unix:/a b\"\nstart = \"systemctl\"\ntrusted_proxies = [\"::ffff:10.0.0.1\"]");
    assert_eq!(listen.address, Address::Unix("/a b".into()));
    assert_eq!(listen.trusted_proxies, ["10.0.0.1".parse::<IpAddr>().expect("an address")], "as connections have it");
    assert_eq!(listen.start, Start::Systemctl);
    fault("listen.address = \"localhost:80\"", "nothing to listen on");
    fault("listen.trusted_proxies = [\"127.0.0.0/8\"]", "no IP address");
}

#[test]
fn what_is_not_toml_says_where() {
    let said = faults("root = \"/srv\"\nupstream = rsync://host/m\n");
    assert!(said[0].starts_with("/c/qfm.toml:2:12: not TOML: "), "{said:#?}");
    assert!(said[0].ends_with("text stands in quotes: `upstream = \"rsync://host/m\"`"), "{said:#?}");
    let said = faults("jobs = 1\njobs = 2\n");
    assert!(said[0].starts_with("/c/qfm.toml:2:1: not TOML: duplicate key"), "{said:#?}");
    assert!(faults("[rsync").iter().all(|fault| fault.contains("/c/qfm.toml:1:")));
    let overrides = Overrides { config: Some("/c".into()), ..Overrides::default() };
    let error = load::resolve(&overrides, &Environment::default(), &|_| Ok(b"# \xff".to_vec())).expect_err("bytes");
    assert!(error.to_string().starts_with("/c:1:3: the file is not valid UTF-8"), "{error}");
}

#[test]
fn tables_and_values_are_not_confused() {
    fault("rsync = 3", "rsync: expected a table, found the number 3");
    fault("[jobs]", "jobs: expected a whole number, found a table");
    fault("[rsync]\njobs = 3", "`jobs` belongs at the top of the file");
    fault("timeout = \"3h\"", "`timeout` belongs below [rsync]");
    fault("module.fedora-epel = \"epel\"", "write `[module.fedora-epel]`");
    fault(
        "[module.fedora-epel]\nexlude = []",
        "module.fedora-epel.exlude: there is no such setting | did you mean `exclude`?",
    );
    fault(
        "[module.a.b]",
        "module.a.b: there is no such setting | a name with dots stands in quotes: `[module.\"a.b\"]`",
    );
    let said = faults("root = \"/x\"\nupstream = \"h::m\"\n[modules.fedora-epel]\n");
    assert!(said.len() == 1 && said[0].contains("`[module.NAME]`"), "{said:#?}");
}

#[test]
fn modules_have_settings_of_their_own() {
    let loaded = good(
        "root = \"/srv/pub\"\nmodules = [\"rocky.9\", \"fedora-alt\"]\nupstream = \"h::m\"\n\
         [filter]\nexclude = [\"debug\"]\nonly = [\"arch:x86_64\"]\nkeep_releases = 3\n\
         [module.\"rocky.9\"]\ndirectory = \"rocky\"\nupstream = \"h::rocky/\"\nlist = \"list-$mdir\"\nextra_files = []\n\
         exclude = [\"source\"]\nonly = []\nkeep_releases = 0\n",
    );
    let [rocky, alt] = &loaded.config.modules[..] else { panic!("two modules") };
    assert_eq!((rocky.directory.as_str(), rocky.list.as_str(), rocky.extra_files.len()), ("rocky", "list-rocky", 0));
    assert_eq!(rocky.upstream, Some(Upstream("h::rocky".into())));
    assert_eq!(rocky.exclude, ["debug", "source"]);
    assert!(rocky.only.is_empty() && rocky.keep_releases.is_none(), "replaced, not added");
    assert_eq!((alt.directory.as_str(), alt.upstream.clone()), ("alt", None));
    assert_eq!(
        (&alt.exclude[..], &alt.only[..], alt.keep_releases),
        (&["debug".into()][..], &["arch:x86_64".into()][..], Some(3))
    );
}

#[test]
fn a_module_is_set_by_flag_too() {
    let flags = [("module.fedora-epel.keep_releases", "2"), ("module.fedora-epel.exclude", "re:a{1,2}")];
    let loaded = resolve(MINIMAL, &[], &flags).expect("good");
    assert_eq!(loaded.config.modules[0].keep_releases, Some(2));
    assert_eq!(loaded.config.modules[0].exclude, ["re:a{1,2}"]);
}

#[test]
fn all_is_the_whole_buffet() {
    let text = MINIMAL.replace("[\"fedora-epel\"]", "\"all\"");
    let config = good(&text).config;
    let names: Vec<_> = config.modules.iter().map(|module| (module.name.as_str(), module.directory.as_str())).collect();
    assert_eq!(names, BUILT_IN);
    assert_eq!(config.top_files, ["DIRECTORY_SIZES.txt"]);
    let said = faults(&MINIMAL.replace("[\"fedora-epel\"]", "[\"all\", \"fedora-epel\"]"));
    assert!(said.len() == 1 && said[0].contains("\"all\" beside other modules"), "{said:#?}");
}

#[test]
fn modules_fit_together() {
    let with = |modules: &str, more: &str| faults(&MINIMAL.replace("[\"fedora-epel\"]", modules).replace("$", more));
    let said = with("[\"fedora-epel\", \"fedora-epel\"]", "");
    assert!(said.len() == 1 && said[0].starts_with("/c/qfm.toml:3:11: modules: names fedora-epel twice"), "{said:#?}");
    let said = with("[]", "");
    assert!(said.len() == 1 && said[0].contains("modules: is missing"), "{said:#?}");
    let said = with("[\"fedora-buffet\"]", "");
    assert!(said.len() == 1 && said[0].contains("`modules = \"all\"`"), "{said:#?}");
    let said = with("[\"rocky\"]", "");
    assert!(said.len() == 1 && said[0].contains("[module.rocky]"), "{said:#?}");
    let said = with("[\"a/b\"]", "");
    assert!(said.len() == 1 && said[0].contains("no module name"), "{said:#?}");
    let said = with("[\"fedora-epel\", \"x\"]\n[module.x]\ndirectory = \"epel\"", "");
    assert!(said.len() == 1 && said[0].contains("fedora-epel and x have the same directory epel"), "{said:#?}");
}

#[test]
fn names_are_one_component() {
    for directory in ["", ".", "..", "a/b", "/a", "-a", &"x".repeat(256)] {
        let text = format!("{MINIMAL}[module.fedora-epel]\ndirectory = {directory:?}");
        if directory.is_empty() {
            assert_eq!(good(&text).config.modules[0].directory, "epel", "empty means not set");
        } else {
            assert!(faults(&text)[0].contains("no directory name"), "{directory}");
        }
    }
    fault("list = \"a/$mdir\"", "list: \"a/epel\" is no file name");
    fault("list = \"list-$module\"", "`$` that stands for nothing");
    fault("extra_files = [\"..\"]", "extra_files: \"..\" is no file name");
    fault("extra_files = [\"fullfiletimelist-$mdir\"]", "the list itself");
}

#[test]
fn each_module_has_an_upstream() {
    let without = |more: &str| format!("root = \"/srv/pub\"\nmodules = [\"fedora-epel\", \"fedora-alt\"]\n{more}");
    let said = faults(&without(""));
    assert!(said.len() == 1 && said[0].starts_with("upstream: is missing"), "{said:#?}");
    let said = faults(&without("[module.fedora-epel]\nupstream = \"h::epel\""));
    assert!(said.len() == 1 && said[0].contains("fedora-alt has none of its own"), "{said:#?}");
    good(&without("[module.fedora-epel]\nupstream = \"h::epel\"\n[module.fedora-alt]\nupstream = \"/srv/alt\""));
}

#[test]
fn our_files_lie_outside_the_modules() {
    fault("state = \"/srv/pub/epel\"", "state: lies in the directory of module fedora-epel");
    fault("state = \"/srv/pub/epel/.state\"", "state: lies in");
    fault("state = \"/srv\"", "state: holds the directory of module");
    fault("state = \"/srv/pub\"", "state: holds the directory of module");
    fault("time_file = \"/srv/pub/epel/time\"", "time_file: lies in");
    fault("log_file = \"/srv/pub/epel/log\"", "log_file: lies in");
    fault("[rsync]\npassword_file = \"/srv/pub/epel/p\"", "rsync.password_file: lies in");
    good(&format!("{MINIMAL}state = \"/srv/pub/.qfm\""));
    good(&format!("{MINIMAL}state = \"/srv/pub/epel2\""));
}

#[test]
fn rsync_settings_fit_together() {
    fault("[rsync]\noptions = [\"--delete\"]", "rsync.options: the option `--delete` is refused | qfm deletes itself");
    fault("[rsync]\nbind = \"::1\"\naddress_family = \"ipv4\"", "::1 does not belong to");
    fault("[rsync]\nuser = \"u:p\"", "rsync.password_file");
    let config =
        good(&format!("{MINIMAL}[rsync]\nbind = \"::1\"\naddress_family = \"ipv6\"\noptions = [\"--fsync\"]")).config;
    assert_eq!((config.rsync.bind, config.rsync.address_family), ("::1".parse().ok(), AddressFamily::Ipv6));
    assert_eq!(config.rsync.options, ["--fsync"]);
}

#[test]
fn a_password_in_an_upstream_is_refused_and_not_repeated() {
    let text = "root = \"/srv/pub\"\nmodules = [\"fedora-epel\"]\nupstream = \"rsync://u:hunter2@h/m\"";
    let said = faults(text);
    assert!(said.len() == 1 && said[0].contains("rsync.password_file"), "{said:#?}");
    assert!(!said[0].contains("hunter2"), "{said:#?}");
}

#[test]
fn what_is_probably_a_mistake_is_a_warning() {
    let text = MINIMAL.replace("fedora-epel", "fedora-linux-updates")
        + "[module.fedora-linux-updates]\ndirectory = \"updates\"\n[module.fedora-alt]\nlist = \"x\"\n";
    let loaded =
        resolve(&text, &[("QFM_RSYNC_TIMOUT", "1h"), ("QFM_CONFIG", "/x"), ("OTHER", "1")], &[]).expect("good");
    assert_eq!(
        loaded.warnings,
        [
            Warning::PartOfEnchilada { module: "fedora-linux-updates".into() },
            Warning::UnusedModule { module: "fedora-alt".into() },
            Warning::UnknownVariable { name: "QFM_RSYNC_TIMOUT".into(), nearest: Some("QFM_RSYNC_TIMEOUT".into()) },
        ]
    );
}

#[test]
fn the_file_is_looked_for_in_order() {
    let environment = |variables: &[(&str, &str)]| variables.iter().copied().collect::<Environment>();
    let both = environment(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]);
    let theirs = [Path::new(OLD_SYSTEM_FILE), Path::new("/h/.config/quick-fedora-mirror.conf")];
    let native = Overrides::default();
    let expected = [Path::new("/x/qfm/qfm.toml"), Path::new(SYSTEM_FILE), theirs[0], theirs[1]];
    assert_eq!(candidates(&native, &both), expected);
    let home = environment(&[("XDG_CONFIG_HOME", "relative"), ("HOME", "/h")]);
    let expected = [Path::new("/h/.config/qfm/qfm.toml"), Path::new(SYSTEM_FILE), theirs[0], theirs[1]];
    assert_eq!(candidates(&native, &home), expected);
    let old = Overrides { places: Places::Old { program: Some("/opt/bin".into()) }, ..Overrides::default() };
    let expected =
        [theirs[0], theirs[1], Path::new("/opt/bin/quick-fedora-mirror.conf"), Path::new("quick-fedora-mirror.conf")];
    assert_eq!(candidates(&old, &home), expected);
    let read = |wanted: &'static str| {
        move |path: &Path| {
            if path == Path::new(wanted) { Ok(MINIMAL.into()) } else { Err(io::ErrorKind::NotFound.into()) }
        }
    };
    let found = |config: Option<&str>, environment: &Environment, wanted| {
        let overrides = Overrides { config: config.map(PathBuf::from), ..Overrides::default() };
        load::resolve(&overrides, environment, &read(wanted)).map(|loaded| loaded.file)
    };
    let named = environment(&[("QFM_CONFIG", "/q"), ("HOME", "/h")]);
    assert_eq!(found(Some("/f"), &named, "/f").expect("by flag"), Some("/f".into()));
    assert_eq!(found(None, &named, "/q").expect("by variable"), Some("/q".into()));
    assert_eq!(found(None, &both, SYSTEM_FILE).expect("of the system"), Some(SYSTEM_FILE.into()));
    assert!(matches!(found(Some("/f"), &named, "/q"), Err(Error::Read { .. })), "a named file must be there");
    let error = found(None, &home, "/nowhere").expect_err("no file");
    let (what, hint) = &error.faults()[0];
    assert!(what.contains("/h/.config/qfm/qfm.toml, /etc/qfm/qfm.toml"), "{what}");
    assert!(hint.contains("qfm config init"), "{hint}");
    let denied = load::resolve(&Overrides::default(), &home, &|_| Err(io::ErrorKind::PermissionDenied.into()));
    assert!(matches!(denied, Err(Error::Read { .. })), "a file that cannot be read is not passed over");
}

#[test]
fn no_file_is_needed_if_all_is_said() {
    let flags = [("root", "/srv/pub"), ("upstream", "h::m"), ("modules", "fedora-epel")];
    let settings = flags.map(|(key, text)| Override { key: key.into(), flag: key.into(), texts: vec![text.into()] });
    let overrides = Overrides { settings: settings.to_vec(), ..Overrides::default() };
    let absent = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let loaded = load::resolve(&overrides, &Environment::default(), &absent).expect("good");
    assert_eq!(loaded.file, None);
}

#[test]
fn a_module_that_is_named_must_be_configured() {
    let config = good(&MINIMAL.replace("[\"fedora-epel\"]", "\"all\"")).config;
    config.require(&["fedora-alt".into(), "fedora-epel".into()]).expect("known");
    config.require(&[]).expect("no name means all");
    let error = config.require(&["fedora-atl".into()]).expect_err("unknown");
    let (what, hint) = &error.faults()[0];
    assert_eq!(what, "no module `fedora-atl` in the configuration");
    assert!(hint.contains("did you mean `fedora-alt`?") && hint.contains("fedora-epel"), "{hint}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_file_variable_and_flag_is_judged_without_panic(
        at in any::<prop::sample::Index>(),
        byte: u8,
        text: String,
        setting in proptest::sample::select(setting::SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>()),
        value in prop_oneof![any::<String>(), "[-0-9a-z:/.,@%\"]{0,12}"],
    ) {
        let mut damaged = sample::uncommented().into_bytes();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        let damaged = String::from_utf8_lossy(&damaged).into_owned();
        let variable = format!("QFM_{}", setting.to_uppercase().replace('.', "_"));
        for text in [damaged.as_str(), &text, MINIMAL] {
            for (variables, flags) in [(&[][..], &[][..]), (&[(variable.as_str(), value.as_str())], &[]), (&[], &[(setting, value.as_str())])] {
                if let Err(error) = resolve(text, variables, flags) {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
    }
}
