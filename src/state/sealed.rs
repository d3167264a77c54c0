//! Files that say themselves whether they are whole: `qfm <what> <version>` LF, text, `sha1 <hex>` LF.
//!
//! They are written in the work directory beside them, which each run empties: what a killed one left there goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use sha1::{Digest, Sha1};

use super::WORK;

/// Writes `text` to `path`: in the work directory, synced, renamed.
///
/// # Errors
/// If it cannot be written; then what was there before still is.
pub fn write(path: &Path, what: &str, version: u32, text: &[u8]) -> io::Result<()> {
    let text = [format!("qfm {what} {version}\n").as_bytes(), text].concat();
    replace(path, &[&text, format!("sha1 {}\n", hash(&text)).as_bytes()])
}

/// Puts a file with these parts in the place of another: written in the work directory, synced, renamed.
///
/// # Errors
/// If it cannot be written; then what was there before still is.
pub fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let work = dir.join(WORK);
    fs::create_dir_all(&work)?;
    let mut file = tempfile::NamedTempFile::new_in(work)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// Reads what [`write()`] wrote. `None` if there is no such file.
///
/// # Errors
/// `InvalidData` if it is not whole, or of another version; or what the system says.
pub fn read(path: &Path, what: &str, version: u32) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let head = format!("qfm {what} {version}\n");
    let seal = bytes.len().checked_sub("sha1 \n".len() + 40).filter(|&seal| seal >= head.len());
    let Some(seal) = seal.filter(|_| bytes.starts_with(head.as_bytes())) else {
        return Err(invalid("it is not whole, or of another version"));
    };
    if bytes[seal..] != *format!("sha1 {}\n", hash(&bytes[..seal])).as_bytes() {
        return Err(invalid("its checksum does not fit"));
    }
    bytes.truncate(seal);
    bytes.drain(..head.len());
    Ok(Some(bytes))
}

/// An error about what a file holds.
pub fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A SHA-1 in hexadecimal digits.
pub fn hash(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_whole_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(read(&path, "test", 1).unwrap().is_none());
        write(&path, "test", 1, b"text\n").unwrap();
        assert_eq!(read(&path, "test", 1).unwrap().unwrap(), b"text\n");
        assert!(read(&path, "test", 2).is_err());
        assert!(read(&path, "else", 1).is_err());
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(read(&path, "test", 1).is_err(), "cut at {cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert!(read(&path, "test", 1).is_err(), "flipped at {cut}");
        }
    }
}
