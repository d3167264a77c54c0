//! What is free on the file systems that hold modules.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, StatVfs, stat, statat, statvfs};
use rustix::io::Errno;

use super::below::each_below;
use super::{Root, TreeError};
use crate::plan::space::{FileSystem, Free};
use crate::plan::{Amount, Delete};

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

/// What deletions free at least: a file that has other names frees nothing.
///
/// # Errors
/// If something of it cannot be looked at.
pub fn freed(root: &Root, deletes: &[&Delete]) -> Result<Amount, TreeError> {
    let mut freed = Amount::default();
    for delete in deletes {
        let dir = delete.dir.as_path();
        let added = root.open_dir(dir).and_then(|fd| add_freed(&fd, &delete.name, &mut freed));
        added.map_err(|error| TreeError::new("cannot weigh what is to be deleted in", root.path_of(dir), error))?;
    }
    Ok(freed)
}

fn add_freed(dir: &OwnedFd, name: &[u8], freed: &mut Amount) -> io::Result<()> {
    each_below(
        dir.as_fd(),
        name,
        |fd| fd,
        |below| {
            let stat = statat(below.dir, below.name(), AtFlags::SYMLINK_NOFOLLOW)?;
            if below.is_dir || stat.st_nlink == 1 {
                // What is shared or compressed on some file systems may free less.
                freed.add(stat.st_blocks.unsigned_abs().saturating_mul(512));
            }
            Ok(())
        },
    )
}
