//! A journal as systemd has one: a socket that takes entries.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::Volumes;

/// Where it is.
const FOLDER: &str = "/run/systemd/journal";

/// The fields of an entry.
pub type Entry = BTreeMap<String, String>;

/// One that nobody sees but who sees the file system that is mounted on `/run` for it.
pub struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// `volumes` have one on `/run`.
    pub fn start(volumes: &Volumes) -> Journal {
        volumes.run("mkdir", &["-p", FOLDER]);
        let socket = UnixDatagram::bind(volumes.seen(&Path::new(FOLDER).join("socket"))).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        Journal { socket }
    }

    /// What came since the last time.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut buffer = [0; 1 << 16];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            entries.push(entry(&buffer[..length]));
        }
        // An empty one asks whether anybody listens.
        entries.retain(|entry| !entry.is_empty());
        entries
    }
}

/// Reads an entry: `NAME=VALUE` on a line, or `NAME`, and the length of the value before it.
/// (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>)
fn entry(mut bytes: &[u8]) -> Entry {
    let mut fields = Entry::new();
    while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let (name, value);
        match line.iter().position(|&byte| byte == b'=') {
            Some(at) => (name, value, bytes) = (&line[..at], &line[at + 1..], rest),
            None => {
                let (length, rest) = rest.split_first_chunk::<8>().expect("a length");
                let (text, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("a length"));
                (name, value, bytes) = (line, text, rest.strip_prefix(b"\n").expect("the end of a field"));
            }
        }
        let [name, value] = [name, value].map(|text| String::from_utf8(text.to_vec()).expect("text"));
        assert!(fields.insert(name, value).is_none(), "a field stands there twice");
    }
    fields
}
