//! A text that a caller gives, or that is in a file which may be replaced while the handle lives.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A certificate, a key or a password.
#[derive(Clone)]
pub(super) enum Secret {
    Text(String),
    File(PathBuf),
}

impl Secret {
    /// The text as it is now. The error names the file.
    pub(super) fn read(&self) -> io::Result<String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => read(path),
        }
    }

    pub(super) const fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
