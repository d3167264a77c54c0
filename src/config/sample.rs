//! The commented sample that `qfm config init` writes, made from the table.

use super::setting::{DOWNSTREAM_SETTINGS, JOB_SETTINGS, MODULE_SETTINGS, SETTINGS, Setting};

const HEAD: &str = "\
# qfm.toml: the configuration of qfm. `qfm config check` checks it, `qfm config show` says where each value comes from.
#
# A line that begins with `#` and a name shows the default; remove the `#` to change it.
# upstream, root and modules have no default: they show an example. \"\" means: not set.
# Every setting is an environment variable too (rsync.timeout is QFM_RSYNC_TIMEOUT) and a flag (--rsync-timeout).
";

const MODULE_HEAD: &str = "
# A module that is not one of Fedora's needs a table with at least its directory; for the others it changes single
# settings. The name is that of the rsync module. On the command line: --set module.fedora-epel.list=VALUE
#[module.fedora-epel]
";

const JOB_HEAD: &str = "
# A job: what a trigger starts (`qfm trigger`). Without any there is one, named default, that syncs all modules. It has at most
# one of modules, config and command.
#[job.default]
";

const DOWNSTREAM_HEAD: &str = "
# A downstream: who is told when something changed here, over ssh or by a URL. Those of push.mirrors are told too.
#[downstream.tier2]
";

/// The text of the sample: every setting, commented out, with its default and what it does.
pub fn sample() -> String {
    let mut text = HEAD.to_string();
    let mut table = None;
    for setting in SETTINGS {
        if setting.table() != table {
            table = setting.table();
            text.push_str(&format!("\n[{}]\n", table.unwrap_or_default()));
        }
        describe(&mut text, setting, setting.sample());
    }
    text.push_str(MODULE_HEAD);
    for setting in MODULE_SETTINGS {
        let value = if setting.key == "directory" { "\"epel\"" } else { setting.sample() };
        describe(&mut text, setting, value);
    }
    text.push_str(JOB_HEAD);
    JOB_SETTINGS.iter().for_each(|setting| describe(&mut text, setting, setting.sample()));
    text.push_str(DOWNSTREAM_HEAD);
    DOWNSTREAM_SETTINGS.iter().for_each(|setting| describe(&mut text, setting, setting.sample()));
    text
}

fn describe(text: &mut String, setting: &Setting, value: &str) {
    text.push_str(&format!("\n# {}\n#{} = {value}\n", setting.help, setting.leaf()));
}

#[cfg(test)]
pub(super) fn uncommented() -> String {
    let is_setting =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    sample().lines().map(|line| format!("{}\n", if is_setting(line) { &line[1..] } else { line })).collect()
}
