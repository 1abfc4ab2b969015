//! Children that this process did not start: it adopted them when their parents ended.
//!
//! On Linux this process is a subreaper while it runs a command, and it may be PID 1 of a container. Orphans of the
//! command then become its children, also from other process groups and sessions.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid},
};

use crate::{
    clock,
    exec::process_table::{self, Entry},
};

/// How long an ended child in the session of this process is left to the code that started it: it may be a credential
/// plugin. Orphans of a plugin are in this session too, and no code waits for them.
const PATIENCE: Duration = Duration::from_secs(2);

/// A look for ended children that reaps none.
const LOOK: WaitIdOptions =
    WaitIdOptions::EXITED.union(WaitIdOptions::NOHANG).union(WaitIdOptions::NOWAIT);

/// What is known about the children.
struct Known {
    /// Children that another part of the program waits for.
    awaited: Vec<Pid>,
    /// Ended children in the session of this process, and when they were first seen.
    ended: BTreeMap<i32, Duration>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { awaited: Vec::new(), ended: BTreeMap::new() });

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that its owner waits for, until this is dropped.
#[derive(Debug)]
pub(crate) struct Awaited(Pid);

impl Awaited {
    pub(crate) fn new(pid: Pid) -> Self {
        known().awaited.push(pid);
        Self(pid)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        known().awaited.retain(|pid| *pid != self.0);
    }
}

/// Reaps ended children that have no other owner. Returns true if another call is due, although no signal announces it.
pub(crate) fn reap() -> bool {
    if !matches!(waitid(WaitId::All, LOOK), Ok(Some(_))) {
        known().ended.clear();
        return false;
    }
    // The owner of that child reaps it soon. Until then a look at all processes may be in vain.
    let awaited = known().awaited.clone();
    if awaited.iter().any(|pid| matches!(waitid(WaitId::Pid(*pid), LOOK), Ok(Some(_)))) {
        return true;
    }
    let Some(own) = process_table::own() else { return false };
    let now = clock::now();
    let before = std::mem::take(&mut known().ended);
    for child in children(&own).into_iter().filter(Entry::has_ended) {
        let number = child.pid.as_raw_nonzero().get();
        let since = before.get(&number).copied().unwrap_or(now);
        if child.is_in_session_of(&own) && now < since + PATIENCE {
            known().ended.insert(number, since);
        } else {
            let _ = waitpid(Some(child.pid), WaitOptions::NOHANG);
        }
    }
    !known().ended.is_empty()
}

/// A variable that each credential plugin gets, and that no other program sets.
const PLUGIN: &str = "KUBERNETES_EXEC_INFO=";

/// The running children of other process groups that descend from a command with an environment variable that begins
/// with `mark`. Credential plugins are children too, in this session and in groups of their own.
pub(crate) fn running(mark: &str) -> Vec<Pid> {
    // Without any child, the look at all processes is spared.
    if waitid(WaitId::All, LOOK).err() == Some(Errno::CHILD) {
        return Vec::new();
    }
    let Some(own) = process_table::own() else { return Vec::new() };
    let mut running = children(&own);
    running.retain(|child| !child.has_ended() && !child.is_in_group_of(&own));
    running.retain(|child| !child.is_in_session_of(&own) || !is_of_plugin(child, mark));
    running.into_iter().map(|child| child.pid).collect()
}

/// Whether the process is a credential plugin, or was left by one. A process with neither variable is taken for one of
/// the command, because a command may drop its environment. So is one whose environment cannot be read, as of another
/// user's process.
fn is_of_plugin(process: &Entry, mark: &str) -> bool {
    let Ok(environment) = process.environment() else { return false };
    let has = |start: &str| {
        let mut variables = environment.split(|&byte| byte == 0);
        variables.any(|variable| variable.starts_with(start.as_bytes()))
    };
    has(PLUGIN) && !has(mark)
}

/// The children that no part of the program waits for.
fn children(own: &Entry) -> Vec<Entry> {
    let awaited = known().awaited.clone();
    let mut children = process_table::children(own);
    children.retain(|child| !awaited.contains(&child.pid));
    children
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io,
        os::unix::process::CommandExt as _,
        process::{Child, Command},
    };

    use super::*;

    const MARK: &str = "CHAIN=[a";

    /// A process in a group of its own, with no other variables than these.
    fn process(variables: &[(&str, &str)]) -> io::Result<Child> {
        let mut command = Command::new("sleep");
        command.arg("60").env_clear().envs(variables.iter().copied());
        command.process_group(0).spawn()
    }

    #[test]
    fn all_but_credential_plugins_are_taken_for_processes_of_the_command() {
        let plugin = ("KUBERNETES_EXEC_INFO", "{}");
        let variables = [&[plugin][..], &[("CHAIN", "[a,b]")], &[], &[plugin, ("CHAIN", "[a]")]];
        let mut processes = variables.map(|variables| process(variables).unwrap());

        let found = running(MARK);
        let is_found = |process: &Child| found.contains(&Pid::from_child(process));
        let taken: Vec<_> = processes.iter().map(is_found).collect();
        for process in &mut processes {
            process.kill().unwrap();
            process.wait().unwrap();
        }

        assert_eq!(taken, [false, true, true, true]);
    }
}
