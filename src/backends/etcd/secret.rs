//! A text that a caller gives, or that is in a file which may be replaced while the handle lives.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::util::mutex::lock;

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

/// A password that is read again for each use. While its file is missing or empty, the last one is kept.
#[derive(Clone)]
pub(super) struct Password {
    secret: Secret,
    last: Arc<Mutex<String>>,
}

impl Password {
    /// Fails if the file cannot be read.
    pub(super) fn new(secret: Secret) -> io::Result<Self> {
        let password = Self { secret, last: Arc::default() };
        password.read()?;
        Ok(password)
    }

    pub(super) fn text(&self) -> String {
        if let Err(error) = self.read() {
            tracing::warn!("the password for etcd cannot be read again: {error}");
        }
        lock(&self.last).clone()
    }

    fn read(&self) -> io::Result<()> {
        let text = self.secret.read()?;
        let line_break: &[char] = if self.secret.is_file() { &['\r', '\n'] } else { &[] };
        let text = text.trim_end_matches(line_break);
        if !text.is_empty() {
            text.clone_into(&mut lock(&self.last));
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_while_its_file_is_missing_or_empty() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        assert!(Password::new(Secret::File(file.clone())).is_err(), "a wrong path is an error");
        fs::write(&file, "first\n").unwrap();
        let password = Password::new(Secret::File(file.clone())).unwrap();
        assert_eq!(password.text(), "first");

        fs::write(&file, "second\r\n").unwrap();
        assert_eq!(password.text(), "second");
        fs::write(&file, "\n").unwrap();
        assert_eq!(password.text(), "second");
        fs::remove_file(&file).unwrap();
        assert_eq!(password.text(), "second");
        assert_eq!(Password::new(Secret::Text("a\n".into())).unwrap().text(), "a\n", "as given");
    }
}
