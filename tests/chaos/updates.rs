//! A file of updates: the number of each, one a line, in order.

use std::{fs, io, path::Path};

pub(crate) fn read(path: &Path) -> io::Result<Vec<u64>> {
    match fs::read_to_string(path) {
        Ok(text) => text.lines().map(|line| line.parse().map_err(io::Error::other)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes the whole file beside its place. Renaming it makes it the one that counts.
pub(crate) fn prepare(beside: &Path, updates: &[u64]) -> io::Result<()> {
    let lines: Vec<_> = updates.iter().map(u64::to_string).collect();
    fs::write(beside, lines.join("\n"))
}

/// Replaces the file at once.
pub(crate) fn write(path: &Path, beside: &Path, updates: &[u64]) -> io::Result<()> {
    prepare(beside, updates)?;
    fs::rename(beside, path)
}
