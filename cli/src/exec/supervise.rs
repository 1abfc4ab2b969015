//! Runs a command while a tenure lasts, and stops it in time.

use std::{ffi::OsString, io, time::Duration};

use leasehold::Tenure;
use rustix::process::{Signal, kill_current_process_group};
use tokio::time::sleep;

use crate::{
    clock,
    exec::{
        guardian::Guardian,
        job::Job,
        resign_request::{ResignRequest, ResignRequests},
        signals::Signals,
        terminal::Terminal,
    },
};

/// The longest sleep between two looks at the clock, because timers stop while the machine is suspended.
const POLL: Duration = Duration::from_millis(500);
/// How long a killed process group may take to end before it is given up.
const REAP: Duration = Duration::from_secs(2);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct End {
    /// The exit code; `None` if the process could not be reaped after SIGKILL.
    pub(crate) code: Option<u8>,
    /// Whether the tenure ended, or was about to end, before the command.
    pub(crate) lost: bool,
    /// The request that ended the command, if there was one.
    pub(crate) resign_request: Option<ResignRequest>,
}

/// A command that runs while a tenure lasts.
struct Supervisor<'a> {
    tenure: &'a Tenure,
    grace: Duration,
    job: Job,
    guardian: Guardian,
    terminal: Option<Terminal>,
    phase: Phase,
    lost: bool,
    resign_request: Option<ResignRequest>,
}

/// The progress of stopping the group, with the time of the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The group got SIGTERM; at this time it gets SIGKILL.
    Stopping(Duration),
    /// The group got SIGKILL; at this time it is given up.
    Killed(Duration),
}

/// Runs `command` with the environment `variables` until it ends, `tenure` ends, or a request to resign arrives.
/// Signals are forwarded to the command.
pub(crate) async fn run(
    tenure: &Tenure,
    grace: Duration,
    command: &[OsString],
    variables: &[(&str, String)],
    signals: &mut Signals,
    resign_requests: &mut ResignRequests,
) -> io::Result<End> {
    let job = Job::prepare(command, variables)?;
    let guardian =
        Guardian::start(job.group(), tenure).inspect_err(|_| job.signal(Signal::KILL))?;
    let terminal = Terminal::of_this_process();
    let (phase, lost, resign_request) = (Phase::Running, false, None);
    let mut supervisor =
        Supervisor { tenure, grace, job, guardian, terminal, phase, lost, resign_request };
    supervisor.hand_over();
    if supervisor.tenure.is_held() {
        supervisor.job.begin().inspect_err(|_| supervisor.job.signal(Signal::KILL))?;
    }
    let end = supervisor.watch(signals, resign_requests).await;
    if let Some(terminal) = &supervisor.terminal {
        terminal.take_back(supervisor.job.group());
        if end.lost {
            terminal.restore();
        }
    }
    Ok(end)
}

impl Supervisor<'_> {
    async fn watch(&mut self, signals: &mut Signals, resign_requests: &mut ResignRequests) -> End {
        loop {
            if self.job.reap() {
                self.suspend();
            }
            let pause = self.step();
            if self.job.is_gone() || pause.is_none() {
                let lost = self.lost || !self.tenure.is_held();
                return End {
                    code: self.job.code(),
                    lost,
                    resign_request: self.resign_request.take(),
                };
            }
            tokio::select! {
                biased;
                signal = signals.next() => self.forward(signal),
                request = resign_requests.next() => self.accept(request),
                () = sleep(pause.unwrap_or_default().min(POLL)) => {}
            }
        }
    }

    /// Takes the next step towards the end of the group, if it is due. Returns the time until the next look;
    /// `None` if the group is given up.
    fn step(&mut self) -> Option<Duration> {
        if self.guardian.is_gone() {
            // Another process killed the guardian: start a new one.
            if let Ok(another) = Guardian::start(self.job.group(), self.tenure) {
                self.guardian = another;
            }
        }
        let left = self.guardian.extend(self.tenure);
        let now = clock::now();
        let last = self.grace / 10;
        self.lost |= left <= self.grace && !self.job.is_gone();
        match self.phase {
            Phase::Killed(end) if now >= end => return None,
            Phase::Killed(end) => return Some(end.saturating_sub(now)),
            Phase::Running | Phase::Stopping(_) if left <= last => self.kill(now),
            Phase::Stopping(end) if now >= end => self.kill(now),
            Phase::Running if left <= self.grace || self.job.code().is_some() => self.stop(now),
            Phase::Running | Phase::Stopping(_) => {}
        }
        Some(match self.phase {
            Phase::Running => left.saturating_sub(self.grace),
            Phase::Stopping(end) => (left.saturating_sub(last)).min(end.saturating_sub(now)),
            Phase::Killed(end) => end.saturating_sub(now),
        })
    }

    fn accept(&mut self, request: ResignRequest) {
        if self.phase != Phase::Running || self.job.code().is_some() {
            return request.answer("the command is already ending");
        }
        self.stop(clock::now());
        self.resign_request = Some(request);
    }

    fn stop(&mut self, now: Duration) {
        self.job.signal(Signal::TERM);
        // A stopped process does not handle SIGTERM before SIGCONT.
        self.job.signal(Signal::CONT);
        self.phase = Phase::Stopping(now + self.grace);
    }

    fn kill(&mut self, now: Duration) {
        self.job.signal(Signal::KILL);
        self.phase = Phase::Killed(now + REAP);
    }

    fn forward(&self, signal: Signal) {
        match signal {
            Signal::CHILD => {}
            Signal::CONT => {
                self.hand_over();
                self.job.signal(Signal::CONT);
            }
            other => self.job.signal(other),
        }
    }

    /// The command was stopped, so this process stops itself too: the shell knows this process as the job.
    fn suspend(&self) {
        let Some(terminal) = &self.terminal else { return };
        if terminal.has_job_control() {
            terminal.take_back(self.job.group());
            let _ = kill_current_process_group(Signal::STOP);
            // The shell has continued the job, in the foreground or in the background.
            self.hand_over();
        }
        self.job.signal(Signal::CONT);
    }

    fn hand_over(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.hand_over(self.job.group());
        }
    }
}
