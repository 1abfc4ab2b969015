//! The processes that `/proc` lists, with their ids in the PID namespace of this process.
//!
//! A container may have the `/proc` of another PID namespace, such as that of its host. The names of the directories
//! are then ids of that namespace: another process, or none, has the same id in the namespace of this process.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, getpid};

use crate::exit::{Failure, Outcome, code};

/// A process of `/proc`. Ids other than `pid` are numbered as `/proc` numbers them; 0 is a process that it does not
/// show.
pub(crate) struct Entry {
    pub(crate) pid: Pid,
    directory: PathBuf,
    stat: Stat,
}

/// What the file `stat` of a process says.
struct Stat {
    pid: i32,
    state: char,
    parent: i32,
    group: i32,
    session: i32,
}

impl Entry {
    /// Whether the process has ended, but was not reaped.
    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.stat.state, 'Z' | 'X')
    }

    /// The environment with which the process began, or an error, as for another user's process.
    pub(crate) fn environment(&self) -> io::Result<Vec<u8>> {
        fs::read(self.directory.join("environ"))
    }

    pub(crate) const fn is_in_group_of(&self, other: &Self) -> bool {
        self.stat.group == other.stat.group
    }

    pub(crate) const fn is_in_session_of(&self, other: &Self) -> bool {
        self.stat.session == other.stat.session
    }
}

impl Stat {
    fn read(directory: &Path) -> Option<Self> {
        let stat = fs::read(directory.join("stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The name of the program, in parentheses, may contain any character.
        let (before, after) = stat.rsplit_once(") ")?;
        let mut fields = after.split(' ');
        Some(Self {
            pid: before.split(' ').next()?.parse().ok()?,
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            session: fields.next()?.parse().ok()?,
        })
    }
}

/// This process; `None` if `/proc` does not show it.
pub(crate) fn own() -> Option<Entry> {
    let directory = PathBuf::from("/proc/self");
    Some(Entry { pid: getpid(), stat: Stat::read(&directory)?, directory })
}

/// The children of `own`. Not every kernel lists the children of a process, so this reads the parents of all processes.
pub(crate) fn children(own: &Entry) -> Vec<Entry> {
    // The last id is that of the innermost namespace, in which this process runs.
    let depth = ids(&own.directory).len().saturating_sub(1);
    // The id of this process may be the same in both by chance.
    let is_translated = depth > 0 || own.stat.pid != own.pid.as_raw_nonzero().get();
    let directories = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = directories.filter_map(|directory| {
        let number = directory.file_name().to_str()?.parse().ok()?;
        let directory = directory.path();
        let stat = Stat::read(&directory).filter(|stat| stat.parent == own.stat.pid)?;
        let pid = if is_translated { *ids(&directory).get(depth)? } else { number };
        Some(Entry { pid: Pid::from_raw(pid)?, directory, stat })
    });
    processes.collect()
}

/// The ids of a process in the PID namespace of `/proc` and in those below it, down to its own. Empty on a kernel that
/// does not list them.
fn ids(directory: &Path) -> Vec<i32> {
    let status = fs::read(directory.join("status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Checks that `/proc` shows this process: without it a command cannot start, and what it leaves behind cannot be found.
pub(crate) fn check() -> Outcome<()> {
    if !cfg!(any(target_os = "linux", target_os = "android")) || own().is_some() {
        return Ok(());
    }
    Err(Failure::new(
        code::INTERNAL,
        "`/proc` is not mounted, or does not show this process. A command cannot be run and watched without it: mount \
            it with `mount -t proc proc /proc`",
    ))
}
