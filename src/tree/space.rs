//! What is free on the file systems that hold modules.

use std::path::Path;

use rustix::fs::{StatVfs, stat, statvfs};
use rustix::io::Errno;

use super::TreeError;
use crate::plan::space::{FileSystem, Free};

/// The file systems that some modules lie on, by the directories of all modules below the mirror root. A directory that is not there
/// yet will be made in the root. What lies on the root's is named by the root.
///
/// # Errors
/// If a directory or its file system cannot be looked at.
pub fn file_systems(root: &Path, directories: &[&str]) -> Result<Vec<FileSystem>, TreeError> {
    let mut found: Vec<(u64, FileSystem)> = Vec::new();
    let of_root = stat(root).map_err(|error| TreeError::new("cannot look at", root, error))?.st_dev;
    for (module, directory) in directories.iter().enumerate() {
        let own = root.join(directory);
        let (path, device) = match stat(&own) {
            Ok(stat) if stat.st_dev != of_root => (own.as_path(), stat.st_dev),
            Ok(_) | Err(Errno::NOENT) => (root, of_root),
            Err(error) => return Err(TreeError::new("cannot look at", own, error)),
        };
        match found.iter_mut().find(|(known, _)| *known == device) {
            Some((_, file_system)) => file_system.modules.push(module),
            None => {
                let numbers =
                    statvfs(path).map_err(|error| TreeError::new("cannot ask what is free on", path, error))?;
                let (block, free) = (numbers.f_frsize, free(&numbers));
                let path = path.display().to_string();
                found.push((device, FileSystem { path, modules: vec![module], block, free }));
            }
        }
    }
    Ok(found.into_iter().map(|(_, file_system)| file_system).collect())
}

/// What is free for everybody. A file system that says that it has no blocks or inodes at all does not count them.
fn free(numbers: &StatVfs) -> Free {
    Free {
        entries: (numbers.f_files > 0).then_some(numbers.f_favail),
        bytes: (numbers.f_blocks > 0).then(|| numbers.f_bavail.saturating_mul(numbers.f_frsize)),
    }
}
