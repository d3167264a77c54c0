//! What the end of a call means, and what to do about it.

use crate::path::escape;

/// What to do after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// All that was asked for was looked at.
    Done,
    /// Trouble that may pass: the same call again, later.
    Again(String),
    /// Nobody answered at the address: the same call again, later, or at another address.
    Unreachable(String),
    /// What was asked for is not there any more, or changed under way: the list is older than the content.
    Stale,
    /// Some of it went away while it was sent: the same, and rsync says so.
    Vanished,
    /// Something here refused.
    Local(String),
    /// There is no room here.
    Full(String),
    /// Upstream refused, and will again.
    Refused(String),
    /// The option to trust the sender is not known to this rsync.
    NoTrustSender,
    /// The daemon does not compare by checksums.
    NoChecksums,
    /// rsync cannot do what it was told to.
    Failed(String),
}

/// Judges how rsync ended, by its exit code (`None`: killed by a signal) and what it said on stderr.
///
/// The texts differ between versions, so they are looked at loosely, and only where the code leaves the matter open.
pub fn judge(code: Option<i32>, stderr: &str) -> Judgement {
    let said = || last_words(stderr);
    let Some(code) = code else { return Judgement::Again(format!("rsync was killed; {}", said())) };
    let is_full =
        |line: &&str| ["No space left on device", "Disk quota exceeded"].iter().any(|text| line.contains(text));
    if code != 0
        && let Some(line) = stderr.lines().find(is_full)
    {
        return Judgement::Full(shown(line.trim()));
    }
    match code {
        0 => Judgement::Done,
        1 if stderr.contains("trust-sender") && stderr.contains("unknown option") => Judgement::NoTrustSender,
        _ if stderr.contains("configured to refuse --checksum") => Judgement::NoChecksums,
        5 if refuses(stderr) => Judgement::Refused(said()),
        10 if stderr.contains("failed to connect") => Judgement::Unreachable(said()),
        35 => Judgement::Unreachable(said()),
        5 | 10 | 12 | 20 | 30 => Judgement::Again(said()),
        3 | 23 if stderr.contains("[sender] change_dir") => Judgement::Refused(said()),
        23 => match local_trouble(stderr) {
            Some(line) => Judgement::Local(line),
            None => Judgement::Stale,
        },
        24 => Judgement::Vanished,
        3 | 11 => Judgement::Local(said()),
        _ => Judgement::Failed(said()),
    }
}

/// Whether a daemon said no in a way that waiting does not change.
fn refuses(stderr: &str) -> bool {
    ["auth failed", "Unknown module", "access denied", "chdir failed", "chroot failed", "password"]
        .iter()
        .any(|text| stderr.contains(text))
}

/// The first line that says that something on our side failed: rsync names the side since 3.2, and before that the operation.
fn local_trouble(stderr: &str) -> Option<String> {
    const OPERATIONS: [&str; 12] = [
        "mkstemp",
        "recv_generator:",
        "rename ",
        "failed to set",
        "write failed",
        "mkdir ",
        "chown ",
        "chgrp ",
        "delete_file",
        "cannot delete",
        "unlink ",
        "symlink ",
    ];
    let is_ours = |line: &&str| {
        let ours = line.contains("[receiver]") || line.contains("[generator]");
        let theirs = line.contains("[sender]");
        ours && (line.contains("failed") || line.contains("annot"))
            || !theirs && OPERATIONS.iter().any(|op| line.contains(op))
    };
    // A file that changed while it was sent: ours says so, but it is upstream's doing.
    stderr.lines().filter(|line| !line.contains("failed verification")).find(is_ours).map(shown)
}

/// A line of rsync's for human eyes: it may repeat what upstream says.
fn shown(line: &str) -> String {
    escape(line.as_bytes())
}

/// The last line that says something, without rsync's place in its source. That the other side is gone says less than what a remote shell
/// said before.
fn last_words(stderr: &str) -> String {
    const GENERAL: [&str; 3] =
        ["rsync error:", "rsync: connection unexpectedly closed", "read error: Connection reset"];
    let telling = |line: &&str| !line.trim().is_empty() && !GENERAL.iter().any(|general| line.contains(general));
    let line = stderr.lines().rfind(telling).or_else(|| stderr.lines().rfind(|line| !line.trim().is_empty()));
    shown(line.unwrap_or("it said nothing").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_leads_to_what_can_be_done() {
        let kind = |code, stderr| match judge(Some(code), stderr) {
            Judgement::Done => "done",
            Judgement::Again(_) => "again",
            Judgement::Unreachable(_) => "unreachable",
            Judgement::Stale => "stale",
            Judgement::Vanished => "vanished",
            Judgement::Local(_) => "local",
            Judgement::Full(_) => "full",
            Judgement::Refused(_) => "refused",
            Judgement::NoTrustSender => "no trust",
            Judgement::NoChecksums => "no checksums",
            Judgement::Failed(_) => "failed",
        };
        for (code, stderr, expected) in [
            (0, "", "done"),
            (1, "rsync: --trust-sender: unknown option", "no trust"),
            (
                10,
                "rsync: The server is configured to refuse --checksum (-c)\nrsync error: error in socket IO",
                "no checksums",
            ),
            (1, "rsync: --frobnicate: unknown option", "failed"),
            (5, "@ERROR: max connections (1) reached -- try again later", "again"),
            (5, "@ERROR: auth failed on module buffet", "refused"),
            (5, "@ERROR: Unknown module 'x'", "refused"),
            (10, "rsync: [Receiver] failed to connect to host: Connection refused (111)", "unreachable"),
            (10, "rsync error: error in socket IO (code 10)", "again"),
            (35, "[Receiver] timeout waiting for daemon connection", "unreachable"),
            (12, "rsync: connection unexpectedly closed", "again"),
            (30, "[Receiver] io timeout after 4 seconds -- exiting", "again"),
            (11, "rsync: [receiver] write failed on \"/x\": No space left on device (28)", "full"),
            (11, "rsync: [receiver] write failed on \"/x\": Disk quota exceeded (122)", "full"),
            (23, "rsync: [receiver] mkstemp \"/x/.a.1\" failed: Disk quota exceeded (122)", "full"),
            (23, "rsync: [sender] link_stat \"a\" (in buffet) failed: No such file or directory (2)", "stale"),
            (23, "rsync: [sender] send_files failed to open \"a\": Permission denied (13)", "stale"),
            (23, "rsync: [sender] change_dir \"/nonexist/\" failed: No such file or directory (2)", "refused"),
            (23, "rsync: [receiver] mkstemp \"/x/.a.1\" failed: Permission denied (13)", "local"),
            (23, "rsync: [generator] recv_generator: mkdir \"/x\" failed: Read-only file system (30)", "local"),
            (23, "rsync: mkstemp \"/x/.a.1\" failed: Permission denied (13)", "local"),
            (23, "ERROR: a failed verification -- update discarded.", "stale"),
            (24, "file has vanished: \"a\" (in buffet)", "vanished"),
            (14, "rsync: [Receiver] Failed to exec ssh", "failed"),
        ] {
            assert_eq!(kind(code, stderr), expected, "{code}: {stderr}");
        }
        assert!(matches!(judge(None, ""), Judgement::Again(_)));
    }

    #[test]
    fn what_is_repeated_moves_no_cursor() {
        for (code, stderr) in [(5, "@ERROR: \x1b]0;title\x07 \u{9b}2J"), (23, "rsync: mkstemp \"\x1b[2J\" failed")] {
            let judged = format!("{:?}", judge(Some(code), stderr));
            let (Judgement::Again(why) | Judgement::Local(why)) = judge(Some(code), stderr) else { panic!("{judged}") };
            assert!(!why.chars().any(char::is_control) && why.contains("\\x1b"), "{why}");
        }
    }

    #[test]
    fn the_reason_is_the_last_telling_line() {
        let stderr = "@ERROR: auth failed on module buffet\nrsync error: error starting client-server protocol (code 5) at main.c(1863)\n";
        assert_eq!(judge(Some(5), stderr), Judgement::Refused("@ERROR: auth failed on module buffet".to_owned()));
        let stderr = "rsync: [sender] change_dir \"x\" (in buffet) failed: No such file or directory (2)\nrsync error: x\n\
                      rsync: [Receiver] read error: Connection reset by peer (104)\n";
        assert_eq!(judge(Some(23), stderr), Judgement::Refused(stderr.lines().next().unwrap().to_owned()));
        let stderr = "ssh: connect to host h port 22: Connection refused\nrsync: connection unexpectedly closed (0 bytes)\nrsync error: x\n";
        assert_eq!(
            judge(Some(12), stderr),
            Judgement::Again("ssh: connect to host h port 22: Connection refused".to_owned())
        );
    }
}
