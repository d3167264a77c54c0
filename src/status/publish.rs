//! The page and the metrics in their places.

use std::path::Path;

use super::Overview;
use super::judge::{Limits, judge};
use super::metrics::metrics;
use super::page::page;
use crate::path::RelPath;
use crate::tree::{Root, TreeError, own};

/// Puts the page of a mirror into a file that everybody may read, whole and at once.
///
/// # Errors
/// If it cannot be written; then what was there still is.
pub fn publish_page(overview: &Overview, title: &str, file: &Path) -> Result<(), TreeError> {
    let text = page(overview, &judge(overview, &Limits::default()), title);
    put(file, &text.map_err(|error| failed(file, error))?)
}

/// Puts the metrics of a mirror into a file that everybody may read, whole and at once.
///
/// # Errors
/// If it cannot be written; then what was there still is.
pub fn publish_metrics(overview: &Overview, file: &Path) -> Result<(), TreeError> {
    put(file, &metrics(overview).map_err(|error| failed(file, error))?)
}

fn failed(file: &Path, error: impl ToString) -> TreeError {
    TreeError::new("cannot write", file, std::io::Error::other(error.to_string()))
}

fn put(file: &Path, text: &str) -> Result<(), TreeError> {
    let absolute = std::path::absolute(file).map_err(|error| TreeError::new("cannot write", file, error))?;
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    let name = absolute.file_name().unwrap_or_default().as_encoded_bytes();
    let name = RelPath::new(name).map_err(|error| failed(file, error))?;
    own::put(&Root::open(directory)?, name, text.as_bytes())
}
