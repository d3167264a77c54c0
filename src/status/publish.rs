//! The page in its place.

use std::path::Path;

use super::Overview;
use super::judge::{Limits, judge};
use super::page::page;
use crate::path::RelPath;
use crate::tree::{Root, TreeError, own};

/// Puts the page of a mirror into a file that everybody may read, whole and at once.
///
/// # Errors
/// If it cannot be written; then what was there still is.
pub fn publish(overview: &Overview, title: &str, file: &Path) -> Result<(), TreeError> {
    let failed = |error: String| TreeError::new("cannot write", file, std::io::Error::other(error));
    let text =
        page(overview, &judge(overview, &Limits::default()), title).map_err(|error| failed(error.to_string()))?;
    let absolute = std::path::absolute(file).map_err(|error| TreeError::new("cannot write", file, error))?;
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    let name = absolute.file_name().unwrap_or_default().as_encoded_bytes();
    let name = RelPath::new(name).map_err(|error| failed(error.to_string()))?;
    own::put(&Root::open(directory)?, name, text.as_bytes())
}
