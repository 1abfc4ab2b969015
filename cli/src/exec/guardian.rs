//! The process that kills the process group of CMD at the deadline, or when `leasehold` itself has died.
//!
//! It reads lines from its standard input: `group PID`, then `until NANOSECONDS` on the host's clock, and
//! another `until` after each renewal. EOF means that the parent died: the guardian kills the group.

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
    exec::{
        adopted::Awaited,
        reexec::{GUARDIAN, reexec},
    },
};

/// The longest sleep between two looks at the clock, because timers stop while the machine is suspended.
const POLL: Duration = Duration::from_millis(500);

/// The parent's handle of the guardian. Dropping it ends the guardian without a kill.
#[derive(Debug)]
pub(crate) struct Guardian {
    process: Child,
    orders: ChildStdin,
    _awaited: Awaited,
}

impl Guardian {
    /// Starts a guardian that kills `group` at the deadline of `tenure`, unless the deadline is extended.
    pub(crate) fn start(group: Pid, tenure: &Tenure) -> io::Result<Self> {
        let mut process = reexec(GUARDIAN)?
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // Signals to the parent's process group must not reach the guardian.
            .process_group(0)
            .spawn()?;
        let awaited = Awaited::new(Pid::from_child(&process));
        let mut orders = process.stdin.take().expect("piped above");
        writeln!(orders, "group {}", group.as_raw_nonzero())?;
        // From here on, a full pipe must not block the parent.
        fcntl_setfl(&orders, OFlags::NONBLOCK)?;
        let mut guardian = Self { process, orders, _awaited: awaited };
        guardian.extend(tenure);
        Ok(guardian)
    }

    /// Sends the present deadline of `tenure`, and returns the time left until then.
    pub(crate) fn extend(&mut self, tenure: &Tenure) -> Duration {
        // Read the clock first: a delay in between makes the deadline earlier, never later.
        let now = clock::now();
        let left = tenure.remaining();
        let until = now + left;
        // Ignore errors: a full pipe contains earlier deadlines, and `is_gone` detects a dead guardian.
        let _ = self.orders.write_all(format!("until {}\n", until.as_nanos()).as_bytes());
        left
    }

    /// Whether the guardian has died.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Guardian {
    /// Kills the guardian. EOF would make it kill the group, whose id may belong to other processes by now.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The main function of the guardian: reads deadlines, waits, kills.
pub(crate) fn watch() -> ExitCode {
    let mut input = io::stdin();
    let mut unread = Vec::new();
    let (mut group, mut until): (Option<Pid>, Option<Duration>) = (None, None);
    loop {
        let left = until.map(|until| until.saturating_sub(clock::now()));
        if let (Some(group), Some(Duration::ZERO)) = (group, left) {
            kill(group);
            // Kill once. The id stays reserved until the parent reaps the group; later it may be reused.
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

/// Waits for input, at most until `left` has passed. False after the wait.
fn readable(left: Option<Duration>) -> io::Result<bool> {
    let pause = left.unwrap_or(POLL).min(POLL);
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

/// Waits until the parent dies or kills this process. If it exited, the parent would start another guardian.
fn wait_for_end() -> ExitCode {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    ExitCode::SUCCESS
}
