//! Names that mean something to zsh itself.

/// What zsh keeps for itself: it turns what is assigned into something else, or refuses it. In the order of their bytes.
#[rustfmt::skip]
const KEPT: [&str; 93] = [
    "ARGC", "CDPATH", "EGID", "ERRNO", "EUID", "FIGNORE", "FPATH", "FUNCNEST", "GID", "HISTCHARS", "HISTCMD",
    "HISTSIZE", "IFS", "KEYBOARD_HACK", "KEYTIMEOUT", "LINENO", "LISTMAX", "MAILCHECK", "MAILPATH", "MANPATH",
    "MODULE_PATH", "NULLCMD", "OPTARG", "OPTIND", "PPID", "PROMPT", "PSVAR", "RANDOM", "READNULLCMD",
    "SAVEHIST", "SECONDS", "SHLVL", "SPROMPT", "TRY_BLOCK_ERROR", "TRY_BLOCK_INTERRUPT", "TTYIDLE", "UID",
    "USERNAME", "WATCH", "WORDCHARS", "_", "aliases", "argv", "builtins", "cdpath", "commands", "dirstack",
    "dis_aliases", "dis_builtins", "dis_functions", "dis_functions_source", "dis_galiases", "dis_patchars",
    "dis_reswords", "dis_saliases", "fignore", "fpath", "funcfiletrace", "funcsourcetrace", "funcstack",
    "functions", "functions_source", "functrace", "galiases", "histchars", "history", "historywords", "jobdirs",
    "jobstates", "jobtexts", "keymaps", "mailpath", "manpath", "module_path", "nameddirs", "options",
    "parameters", "patchars", "path", "pipestatus", "prompt", "psvar", "reswords", "saliases", "status",
    "termcap", "terminfo", "userdirs", "usergroups", "watch", "widgets", "zsh_eval_context",
    "zsh_scheduled_events",
];

/// What zsh sets at its start, whatever the environment says.
const SET: [&str; 13] = [
    "CPUTYPE",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "HOST",
    "MACHTYPE",
    "OLDPWD",
    "OSTYPE",
    "PWD",
    "TIMEFMT",
    "TMPPREFIX",
    "TTY",
    "VENDOR",
    "signals",
];

/// What zsh sets at its start where the environment does not.
const FILLED_IN: [&str; 4] = ["HOME", "LOGNAME", "PATH", "TERM"];

/// Whether zsh does not take an assignment to a name as it stands.
pub(super) fn is_kept(name: &str) -> bool {
    KEPT.binary_search(&name).is_ok() || name.starts_with("ZSH_")
}

/// Whether zsh itself gives a name the value that it has before anything is assigned.
pub(super) fn is_set(name: &str, in_environment: bool) -> bool {
    is_kept(name) || SET.contains(&name) || !in_environment && FILLED_IN.contains(&name)
}

#[cfg(test)]
#[test]
fn names_are_in_order() {
    assert!(KEPT.is_sorted());
}
