//! What users of the old programs rely on, line by line, and the test that fails if it does not hold.
//!
//! The tables of `docs/moving-from-quick-fedora-mirror.md` say what is promised under the old names. Each of their lines must stand here,
//! with a test that is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The file below `tests` without its ending, the test, and the lines that it tries: section and first cell of a table, as far as it goes.
const TRIED: &[(&str, &str, &[&str])] = &[
    (
        "old_mirror",
        "a_tree_of_the_old_tool_is_taken_over_and_kept_in_step",
        &["Keys `DESTD`", "Keys `TIMEFILE`", "Keys `MODULES`"],
    ),
    ("old_keys", "a_local_source_needs_no_daemon", &["Keys `REMOTE`"]),
    ("old_mirror", "settings_that_choose_what_is_mirrored", &["Keys `PREBITFLIP`", "Keys `FILTEREXP`"]),
    ("old_keys", "the_whole_buffet_is_all_modules_of_the_mapping_and_its_sizes", &["Keys `MIRRORBUFFET`"]),
    (
        "old_keys",
        "modules_lists_and_extra_files_have_the_names_that_are_set",
        &["Keys `MODULEMAPPING`", "Keys `FILELIST`", "Keys `EXTRAFILES`"],
    ),
    (
        "old_keys",
        "rsync_is_called_as_the_keys_say",
        &["Keys `RSYNC`", "Keys `RSYNCTIMEOUT`", "Keys `RSYNCOPTS`", "Keys `CURL`"],
    ),
    ("old_mirror", "trouble_is_told_in_the_old_words", &["Keys `MAXRETRIES`"]),
    (
        "old_keys",
        "what_the_old_tool_left_of_a_transfer_is_used_or_removed_unless_it_is_to_be_left_alone",
        &["Keys `NORSYNCRECOVERY`"],
    ),
    ("old_keys", "directories_keep_their_times_whatever_the_key_says_and_without_a_call", &["Keys `KEEPDIRTIMES`"]),
    ("old_mirror", "who_meets_another_run_is_silent_unless_the_last_good_one_is_long_ago", &["Keys `WARNDELAY`"]),
    ("old_mirror", "the_log_has_the_items_that_are_asked_for", &["Keys `LOGFILE`"]),
    ("old_texts", "each_line_is_said_from_its_level_on", &["Keys `LOGITEMS`, `LOGJOURNAL`, `VERBOSE`"]),
    (
        "old_texts",
        "each_item_is_logged_if_it_is_asked_for_and_nothing_else",
        &["Keys `LOGITEMS`, `LOGJOURNAL`, `VERBOSE`"],
    ),
    ("old_texts", "what_does_not_happen_in_every_run_has_its_item_too", &["Keys `LOGITEMS`, `LOGJOURNAL`, `VERBOSE`"]),
    ("old_keys", "the_log_goes_to_the_journal_of_systemd", &["Keys `LOGITEMS`, `LOGJOURNAL`, `VERBOSE`"]),
    (
        "old_keys",
        "mirror_manager_is_told_of_site_host_category_and_place_as_the_keys_say",
        &[
            "Keys `CHECKIN_SITE`",
            "Keys `CHECKIN_PASSWORD`",
            "Keys `CHECKIN_HOST_…`",
            "Keys `MIRRORMANAGER`",
            "Keys `MIRRORMANAGERMAPPING`",
            "Keys `MIRRORMANAGERMODULEMAPPING`",
        ],
    ),
    ("old_keys", "a_check_in_is_tried_as_often_as_is_said_of_it_or_of_all", &["Keys `MAXCHECKINRETRIES`"]),
    ("old_keys", "a_dry_run_works_in_the_directory_for_temporary_files", &["Keys `TMPDIR`"]),
    (
        "old_mirror",
        "options_that_look_closer",
        &["Options `-a`", "Options `-t", "Options `-T`", "Options `--dir-times`"],
    ),
    ("old_mirror", "what_cannot_be_done_ends_with_1", &["Options `-c`", "Options `-h`"]),
    ("old_texts", "each_line_is_said_from_its_level_on", &["Options `-d"]),
    ("old_mirror", "options_that_do_less", &["Options `-n`", "Options `-N`", "Options `--refresh"]),
    (
        "old_mirror",
        "mirror_manager_is_told_as_the_options_say",
        &["Options `--checkin-only`", "Options `--dump-mm-checkin"],
    ),
    ("old_mirror", "the_time_file_has_the_last_mirror_time", &["Options `--no-paranoia`"]),
    (
        "old_texts",
        "each_line_is_said_from_its_level_on",
        &[
            "Texts `Mirror starting: …`",
            "Texts `Total on server:`",
            "Texts `Changes in <module>",
            "Texts `No change in file list",
            "Texts `    Downloaded files",
            "Texts `>> Log: …`",
            "Texts `>> Calling …`",
            "Texts names, as",
            "Texts the settings",
            "Texts `>> Transferring …`",
            "Texts all that happens",
        ],
    ),
    ("old_texts", "what_does_not_happen_in_every_run_has_its_item_too", &["Texts `Updating timestamps on"]),
    (
        "old_mirror",
        "trouble_is_told_in_the_old_words",
        &["Texts `Err: Looks like the file list", "Texts `Err: rsync says source"],
    ),
    (
        "create_filelist",
        "all_that_the_old_program_can_write",
        &[
            "create-filelist `-d`",
            "create-filelist `-t`",
            "create-filelist `-f`",
            "create-filelist `-i`",
            "create-filelist `-c`",
            "create-filelist `-C`",
            "create-filelist `-s`",
            "create-filelist `-S`",
        ],
    ),
    (
        "create_filelist",
        "long_options_may_be_cut_short_and_of_what_is_said_twice_the_last_counts",
        &["create-filelist `-d`"],
    ),
    ("old_hardlink", "only_where_the_copy_is_must_be_said_and_nothing_is_left_behind", &["quick-fedora-hardlink `-c`"]),
    (
        "old_hardlink",
        "equal_files_of_all_lists_become_one_and_its_texts_are_the_old_ones",
        &[
            "quick-fedora-hardlink `-n`",
            "quick-fedora-hardlink `--no-ctime`",
            "quick-fedora-hardlink `-v`",
            "quick-fedora-hardlink `-t`",
        ],
    ),
    (
        "old_hardlink",
        "as_little_is_said_as_is_asked_for_and_as_much",
        &["quick-fedora-hardlink `-q`", "quick-fedora-hardlink `-s`", "quick-fedora-hardlink `--debug`"],
    ),
];

/// The section and first cell of each row of the tables.
fn promised() -> BTreeSet<String> {
    let page = include_str!("../docs/moving-from-quick-fedora-mirror.md");
    let mut section = "";
    let mut rows = BTreeSet::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(title) = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')) {
            section = title;
        }
        let is_head = lines.peek().is_some_and(|next| next.starts_with("| ---"));
        if line.starts_with("| ") && !line.starts_with("| ---") && !is_head {
            let cell = line[2..].split(" | ").next().expect("a first cell");
            rows.insert(format!("{section} {cell}"));
        }
    }
    rows
}

#[test]
fn each_line_of_the_tables_has_a_test() {
    let promised = promised();
    assert!(promised.len() > 60, "{promised:?}");
    let tried = || TRIED.iter().flat_map(|(.., lines)| lines.iter());
    let untried: Vec<_> = promised.iter().filter(|line| !tried().any(|tried| line.starts_with(tried))).collect();
    assert!(untried.is_empty(), "no test is named for these: {untried:#?}");
    let idle: Vec<_> = tried().filter(|tried| !promised.iter().any(|line| line.starts_with(*tried))).collect();
    assert!(idle.is_empty(), "no table has these: {idle:#?}");
}

#[test]
fn each_test_that_is_named_is_there() {
    for (file, test, _) in TRIED {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file).with_extension("rs");
        let text = fs::read_to_string(&path).expect("a file of tests");
        assert!(text.contains(&format!("#[test]\nfn {test}() {{")), "{file}: {test}");
    }
}
