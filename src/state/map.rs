//! Lists, mapped read-only: a row points into the map, and no path is copied.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// The bytes of a file of ours.
#[derive(Debug)]
pub struct Map(Option<memmap2::Mmap>);

impl Map {
    /// Maps a list in the state directory, or in a scratch directory of ours.
    ///
    /// # Errors
    /// If it cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Map> {
        let file = File::open(path)?;
        // An empty file cannot be mapped.
        if file.metadata()?.len() == 0 {
            return Ok(Map(None));
        }
        // SAFETY: the map is sound as long as nobody changes the file in place. These files lie in a directory of ours and are
        // replaced by renaming only, by us and by the rsync that we started and waited for. Whoever else writes to them, as
        // root or as our own user, can make this process read other bytes, or end by SIGBUS if the file gets shorter.
        #[expect(unsafe_code, reason = "a map of a file has no safe constructor")]
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Map(Some(map)))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
