//! Damage by chance: what others may do to a mirror.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Chance, list_name, name};

/// What is below a module's directory, but its list.
pub fn entries(module: &Path, wanted: impl Fn(&fs::FileType) -> bool) -> Vec<PathBuf> {
    let found = walkdir::WalkDir::new(module).min_depth(1).sort_by_file_name();
    let found = found.into_iter().map(|entry| entry.expect("an entry")).filter(|entry| wanted(&entry.file_type()));
    let list = list_name(&module.file_name().expect("a directory").to_string_lossy());
    let is_list = |path: &Path| path.ends_with(&list);
    found.map(walkdir::DirEntry::into_path).filter(|path| !is_list(path)).collect()
}

/// What others may call their files.
const ODD: &[&[u8]] = &[b"new.rpm", b"-rf", b" ", b"\xff\xfe", b"line\nfeed", b".p0.rpm.new"];

/// One of these names that is free, in any directory of the module.
pub fn free(chance: &mut Chance, module: &Path, names: &[&[u8]]) -> PathBuf {
    let mut directories = entries(module, fs::FileType::is_dir);
    directories.push(module.to_owned());
    let mut path = chance.one_of(&directories).join(name(chance.one_of(names)));
    while fs::symlink_metadata(&path).is_ok() {
        path.as_mut_os_string().push("x");
    }
    path
}

fn remove(path: &Path) {
    let is_dir = fs::symlink_metadata(path).expect("an entry").is_dir();
    if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
}

/// Does something that the directory shows in which it happens.
pub fn damage_a_directory(chance: &mut Chance, upstream: &Path, module: &Path, outside: &Path) {
    let anything: fn(&fs::FileType) -> bool = |_| true;
    // What was added goes no more: the time of its directory alone would be left of it, which is not looked at.
    let listed = |wanted: fn(&fs::FileType) -> bool| {
        let is_listed = |path: &PathBuf| {
            path.strip_prefix(module).is_ok_and(|path| fs::symlink_metadata(upstream.join(path)).is_ok())
        };
        entries(module, wanted).into_iter().filter(is_listed).collect::<Vec<_>>()
    };
    let (files, directories) = (listed(fs::FileType::is_file), listed(fs::FileType::is_dir));
    let Some(any) = Some(listed(anything)).filter(|any| !any.is_empty()).map(|any| chance.one_of(&any)) else { return };
    let links = listed(fs::FileType::is_symlink);
    let action = chance.below(11);
    let (what, path) = match action {
        0 if !files.is_empty() => ("removed the file", chance.one_of(&files)),
        1 if !directories.is_empty() => ("removed the directory", chance.one_of(&directories)),
        2 => ("replaced by a link out", any),
        3 => ("replaced by a link to nothing", any),
        4 => ("replaced by a file", any),
        5 => ("replaced by a directory", any),
        6 => ("renamed", any),
        7 if !links.is_empty() => ("led elsewhere", chance.one_of(&links)),
        8 => ("added the file", free(chance, module, ODD)),
        9 if !files.is_empty() => ("took another's name:", chance.one_of(&files)),
        _ => ("added the directory", free(chance, module, ODD)),
    };
    chance.note(format_args!("{what} {path:?}"));
    match what {
        "renamed" => {
            let to = free(chance, module, ODD);
            chance.note(format_args!("  to {to:?}"));
            // A directory cannot go into itself.
            if !to.starts_with(&path) {
                fs::rename(&path, &to).expect("renamed");
            }
        }
        "took another's name:" => {
            // What has size and time of the file that belongs there cannot be told from it without reading it.
            let looks = |path: &Path| fs::metadata(path).map(|stat| (stat.len(), stat.modified().ok())).ok();
            let belongs = |there: &PathBuf| looks(&upstream.join(there.strip_prefix(module).expect("a path below it")));
            let others: Vec<PathBuf> = files.into_iter().filter(|there| belongs(there) != looks(&path)).collect();
            if let Some(to) = (!others.is_empty()).then(|| chance.one_of(&others)) {
                chance.note(format_args!("  that of {to:?}"));
                fs::rename(&path, &to).expect("renamed");
            }
        }
        "led elsewhere" => {
            let len = fs::symlink_metadata(&path).expect("a link").len() as usize;
            fs::remove_file(&path).and_then(|()| symlink("?".repeat(len), &path)).expect("linked");
        }
        "added the file" => fs::write(&path, "extra").expect("written"),
        "added the directory" => fs::create_dir_all(path.join("deep"))
            .and_then(|()| fs::write(path.join("deep/file"), "extra"))
            .expect("made"),
        _ => {
            remove(&path);
            match action {
                2 => symlink(outside, &path).expect("linked"),
                3 => symlink("nowhere", &path).expect("linked"),
                4 => fs::write(&path, "a file").expect("written"),
                5 => fs::create_dir(&path).and_then(|()| fs::write(path.join("in it"), "extra")).expect("made"),
                _ => {}
            }
        }
    }
}

/// Writes to a file in a way that its directory does not show.
pub fn damage_a_file(chance: &mut Chance, module: &Path) {
    let file = chance.one_of(&entries(module, fs::FileType::is_file));
    let stat = fs::metadata(&file).expect("a file");
    let what =
        chance.one_of(&["cut", "longer", "same size, now", "same size, in the future", "same size, in the past"]);
    chance.note(format_args!("{what}: {file:?}"));
    let same_size = vec![b'?'; stat.len() as usize];
    let dated = |time: SystemTime| {
        fs::write(&file, &same_size)?;
        fs::File::options().write(true).open(&file)?.set_modified(time)
    };
    match what {
        "cut" => fs::File::options().write(true).open(&file).and_then(|file| file.set_len(stat.len() / 2)),
        "longer" => fs::write(&file, [same_size.as_slice(), b"more"].concat()),
        "same size, now" => fs::write(&file, &same_size),
        "same size, in the past" => dated(stat.modified().expect("a time") - Duration::from_secs(100)),
        _ => dated(SystemTime::now() + Duration::from_secs(100_000)),
    }
    .expect("damaged");
}
