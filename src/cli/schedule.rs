//! The lines by which others start a command of ours later, for the shell.

use chrono::DateTime;

/// The lines that have systemd, or at(1), start a command at a moment, in seconds since the epoch, as the user of this number. `None` if
/// there is no such date.
///
/// The words of the command are bytes as the system has them.
pub fn lines(moment: i64, user: u32, command: &[&[u8]]) -> Option<Vec<u8>> {
    let moment = DateTime::from_timestamp(moment, 0)?;
    // systemd takes a dollar sign for the begin of a variable, and a timer to be a minute late for no fault.
    let doubled: Vec<Vec<u8>> = command.iter().map(|word| doubled(word, b'$')).collect();
    let for_systemd = line(&doubled);
    let date = moment.format("%Y-%m-%d %H:%M:%S");
    let timer = format!("systemd-run --on-calendar='{date} UTC' --timer-property=AccuracySec=1s --uid={user} -- ");
    let at = format!(" | TZ=UTC at -t {}\n", moment.format("%Y%m%d%H%M.%S"));
    Some([timer.as_bytes(), &for_systemd, b"\necho ", &quoted(&line(command)), at.as_bytes()].concat())
}

/// A command as a line for the shell.
pub fn line(command: &[impl AsRef<[u8]>]) -> Vec<u8> {
    command.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(&b' ')
}

/// A word that the shell reads as it is.
fn quoted(word: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._+-@,:=".contains(byte);
    if !word.is_empty() && word.iter().all(is_plain) {
        return word.to_owned();
    }
    let parts: Vec<&[u8]> = word.split(|&byte| byte == b'\'').collect();
    [b"'", parts.join(&b"'\\''"[..]).as_slice(), b"'"].concat()
}

fn doubled(word: &[u8], which: u8) -> Vec<u8> {
    word.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == which { 2 } else { 1 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_started_at_its_moment_in_utc() {
        let lines = lines(1_776_175_200, 990, &[b"/usr/bin/qfm", b"bitflip", b"a b$c'd", b"--yes"]).unwrap();
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "systemd-run --on-calendar='2026-04-14 14:00:00 UTC' --timer-property=AccuracySec=1s --uid=990 -- \
             /usr/bin/qfm bitflip 'a b$$c'\\''d' --yes\n\
             echo '/usr/bin/qfm bitflip '\\''a b$c'\\''\\'\\'''\\''d'\\'' --yes' | TZ=UTC at -t 202604141400.00\n"
        );
        assert_eq!(super::lines(i64::MAX, 0, &[]), None);
    }
}
