//! The directory of a control plane and its files.

use std::fs::OpenOptions;
use std::io::{PipeWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Waits until its standard input is closed, which means that the test process and its guardians have ended. Then it
/// removes the directory.
const JANITOR: &str = r#"cat >/dev/null; exec rm -rf -- "$1""#;

/// A directory for one control plane. Only its owner can read it.
///
/// It is removed when this is dropped, and also when the test process dies before.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    life: Option<PipeWriter>,
    janitor: Child,
}

impl Directory {
    pub(super) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("leasehold-controlplane-").tempdir();
        let directory = directory.expect("a temporary directory");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let janitor = Command::new("/bin/sh")
            .args(["-c", JANITOR, "leasehold-janitor"])
            .arg(directory.path())
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // so that Ctrl-C does not reach it
            .spawn()
            .expect("/bin/sh runs");
        Self { path: directory.keep(), life: Some(writer), janitor }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle that keeps the directory until the process that holds it has ended.
    pub(super) fn hold(&self) -> Stdio {
        let life = self.life.as_ref().expect("open until dropped");
        life.try_clone().expect("another descriptor").into()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.life = None;
        let _ = self.janitor.wait();
    }
}

/// Writes a file that only its owner can read.
pub(super) fn write(path: &Path, text: &str) -> PathBuf {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path.to_owned()
}

/// The last lines of a log, after a line with its name.
pub(super) fn tail(path: &Path) -> String {
    const LINES: usize = 30;
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    format!("--- {} ---\n{}\n", path.display(), last.join("\n"))
}
