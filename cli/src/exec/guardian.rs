//! The process that kills a group when its deadline has passed, or when whoever keeps the deadline has gone.
//!
//! It reads lines from its standard input: `group PID`, then `until NANOSECONDS` on the host's clock,
//! again with each renewal. The end of the input is the end of the keeper: the group is killed.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ExitCode, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process_group},
};

use leasehold::Tenure;

use crate::{
    clock,
    exec::reexec::{GUARDIAN, reexec},
};

/// How long the clock is not looked at, at most: it goes on during a suspend of the machine, timers do not.
const LOOK: Duration = Duration::from_millis(500);

/// The keeper's end. Dropping it dismisses the guardian.
#[derive(Debug)]
pub(crate) struct Guardian {
    process: Child,
    orders: ChildStdin,
}

impl Guardian {
    /// Starts a guardian of the group `group`, which lives as long as `tenure` if nothing else is heard.
    pub(crate) fn start(group: Pid, tenure: &Tenure) -> io::Result<Self> {
        let mut process = reexec(GUARDIAN)?
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // Out of reach of what is sent to the keeper's own group.
            .process_group(0)
            .spawn()?;
        let mut orders = process.stdin.take().expect("piped above");
        writeln!(orders, "group {}", group.as_raw_nonzero())?;
        // From here on nothing is worth blocking for.
        fcntl_setfl(&orders, OFlags::NONBLOCK)?;
        let mut guardian = Self { process, orders };
        guardian.extend(tenure);
        Ok(guardian)
    }

    /// Tells the deadline of `tenure`, and returns what remains until then.
    pub(crate) fn extend(&mut self, tenure: &Tenure) -> Duration {
        // In this order: whatever comes between makes the deadline earlier, not later.
        let now = clock::now();
        let left = tenure.remaining();
        let until = now + left;
        // A full pipe has earlier deadlines in it; a guardian that has died is seen by `is_gone`.
        let _ = self.orders.write_all(format!("until {}\n", until.as_nanos()).as_bytes());
        left
    }

    /// Whether somebody has killed the guardian.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Guardian {
    /// The group has gone: the guardian must not be told so by the end of its input, for its number may be another's by now.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the guardian does: reads, waits, kills.
pub(crate) fn watch() -> ExitCode {
    let mut input = io::stdin();
    let mut unread = Vec::new();
    let (mut group, mut until): (Option<Pid>, Option<Duration>) = (None, None);
    loop {
        let left = until.map(|until| until.saturating_sub(clock::now()));
        if let (Some(group), Some(Duration::ZERO)) = (group, left) {
            kill(group);
            // Killed once: its number stays taken until the keeper has seen it, later it may be another's.
            return wait_for_end();
        }
        match readable(left) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => break,
        }
        let mut bytes = [0; 4096];
        match input.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => unread.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        }
        while let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            match parse(&line) {
                Some(Order::Group(number)) => group = Some(number),
                Some(Order::Until(number)) => until = Some(number),
                None => {}
            }
        }
    }
    if let Some(group) = group {
        kill(group);
    }
    ExitCode::SUCCESS
}

enum Order {
    Group(Pid),
    Until(Duration),
}

fn parse(line: &[u8]) -> Option<Order> {
    let (what, number) = str::from_utf8(line).ok()?.trim().split_once(' ')?;
    match what {
        "group" => number.parse().ok().and_then(Pid::from_raw).map(Order::Group),
        "until" => number.parse().ok().map(Duration::from_nanos).map(Order::Until),
        _ => None,
    }
}

fn kill(group: Pid) {
    let _ = kill_process_group(group, Signal::KILL);
}

/// Whether there is something to read, before `left` has passed.
fn readable(left: Option<Duration>) -> io::Result<bool> {
    let pause = left.unwrap_or(LOOK).min(LOOK);
    let pause = Timespec {
        tv_sec: pause.as_secs().cast_signed(),
        tv_nsec: i64::from(pause.subsec_nanos()),
    };
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut fds, Some(&pause)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Stays until the keeper has gone or ends it, so that the keeper does not start another.
fn wait_for_end() -> ExitCode {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    ExitCode::SUCCESS
}
