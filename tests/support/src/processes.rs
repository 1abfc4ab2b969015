//! Processes by their ids, also where `/proc` is that of another PID namespace, as in some containers.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A process that has not been reaped.
#[derive(Clone, Debug)]
pub struct Process {
    directory: PathBuf,
    status: String,
}

impl Process {
    /// The process with this id in the PID namespace of this process.
    pub fn find(pid: impl std::fmt::Display) -> Option<Self> {
        let pid = &*pid.to_string();
        let own = Self::read(Path::new("/proc/self")).expect("/proc shows this process");
        let is_it =
            |process: &Self| process.pid(own.depth()) == Some(pid) && process.is_beside(&own);
        let named = Self::read(&Path::new("/proc").join(pid));
        named.filter(is_it).or_else(|| all().into_iter().find(is_it))
    }

    /// The file `name` of its directory in `/proc`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Whether it has not ended.
    pub fn runs(&self) -> bool {
        !['Z', 'X'].contains(&self.state())
    }

    /// The state, as the kernel abbreviates it.
    pub fn state(&self) -> char {
        self.field("State").and_then(|state| state.chars().next()).expect("a state")
    }

    /// A field of `/proc/PID/status`.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.status.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Its children, those included that have ended.
    pub fn children(&self) -> Vec<Self> {
        let number = self.field("Pid").map(str::to_owned);
        all().into_iter().filter(|process| process.field("PPid") == number.as_deref()).collect()
    }

    fn read(directory: &Path) -> Option<Self> {
        let status = fs::read(directory.join("status")).ok()?;
        let status = String::from_utf8_lossy(&status).into_owned();
        Some(Self { directory: directory.to_owned(), status })
    }

    /// Its ids, from the PID namespace of `/proc` to its own.
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.field("NSpid").unwrap_or_default().split_whitespace()
    }

    /// How many PID namespaces its own lies below that of `/proc`.
    fn depth(&self) -> usize {
        self.ids().count().saturating_sub(1)
    }

    /// Its id in the namespace at `depth`.
    fn pid(&self, depth: usize) -> Option<&str> {
        self.ids().nth(depth)
    }

    /// Whether it is not known to be in another PID namespace than `other`.
    fn is_beside(&self, other: &Self) -> bool {
        let namespace = |process: &Self| fs::read_link(process.file("ns/pid")).ok();
        namespace(self).is_none_or(|own| namespace(other) == Some(own))
    }
}

/// All processes that `/proc` lists.
pub fn all() -> Vec<Process> {
    let directories = fs::read_dir("/proc").expect("/proc").flatten();
    let numbered = directories.filter(|directory| {
        directory.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
    });
    numbered.filter_map(|directory| Process::read(&directory.path())).collect()
}
