//! A file of updates: their numbers in order, one per line.

use std::{fs, io, path::Path};

pub(crate) fn read(path: &Path) -> io::Result<Vec<u64>> {
    match fs::read_to_string(path) {
        Ok(text) => text.lines().map(|line| line.parse().map_err(io::Error::other)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes the updates to a temporary file, which is then to be renamed.
pub(crate) fn prepare(temporary: &Path, updates: &[u64]) -> io::Result<()> {
    let lines: Vec<_> = updates.iter().map(u64::to_string).collect();
    fs::write(temporary, lines.join("\n"))
}

/// Replaces the file in one step.
pub(crate) fn write(path: &Path, temporary: &Path, updates: &[u64]) -> io::Result<()> {
    prepare(temporary, updates)?;
    fs::rename(temporary, path)
}
