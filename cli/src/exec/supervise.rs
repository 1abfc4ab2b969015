//! A command under a tenure: runs with it, ends with it.

use std::{ffi::OsString, io, time::Duration};

use leasehold::Tenure;
use rustix::process::{Signal, kill_current_process_group};
use tokio::time::sleep;

use crate::{
    clock,
    exec::{
        guardian::Guardian,
        job::Job,
        resign_request::{Ask, Asks},
        signals::Signals,
        terminal::Terminal,
    },
};

/// How long nothing is looked at, at most: timers stand still during a suspend of the machine.
const LOOK: Duration = Duration::from_millis(500);
/// How long what was killed may take to disappear, before it is left to the system.
const BURIAL: Duration = Duration::from_secs(2);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct End {
    /// Its exit code, unless it could not even be buried.
    pub(crate) code: Option<u8>,
    /// Whether it ran, in whole or in part, into the end of the tenure.
    pub(crate) lost: bool,
    /// Who asked for its end, if somebody did.
    pub(crate) asked: Option<Ask>,
}

/// A command that runs while a tenure lasts.
struct Hold<'a> {
    tenure: &'a Tenure,
    grace: Duration,
    job: Job,
    guardian: Guardian,
    terminal: Option<Terminal>,
    phase: Phase,
    lost: bool,
    asked: Option<Ask>,
}

/// How far the group has been brought towards its end; with the instant of the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// It was told to stop, and is killed then.
    Stopping(Duration),
    /// It was killed, and is given up then.
    Killed(Duration),
}

/// Runs `command` with `variables` for as long as `tenure` lasts, and nobody asks for its end. Signals are
/// forwarded to it.
pub(crate) async fn run(
    tenure: &Tenure,
    grace: Duration,
    command: &[OsString],
    variables: &[(&str, String)],
    signals: &mut Signals,
    asks: &mut Asks,
) -> io::Result<End> {
    let job = Job::prepare(command, variables)?;
    let guardian =
        Guardian::start(job.group(), tenure).inspect_err(|_| job.signal(Signal::KILL))?;
    let terminal = Terminal::of_this_process();
    let (phase, lost, asked) = (Phase::Running, false, None);
    let mut hold = Hold { tenure, grace, job, guardian, terminal, phase, lost, asked };
    hold.hand_over();
    if hold.tenure.is_held() {
        hold.job.begin().inspect_err(|_| hold.job.signal(Signal::KILL))?;
    }
    let end = hold.watch(signals, asks).await;
    if let Some(terminal) = &hold.terminal {
        terminal.take_back(hold.job.group());
        if end.lost {
            terminal.restore();
        }
    }
    Ok(end)
}

impl Hold<'_> {
    async fn watch(&mut self, signals: &mut Signals, asks: &mut Asks) -> End {
        loop {
            if self.job.look() {
                self.suspend();
            }
            let pause = self.step();
            if self.job.is_gone() || pause.is_none() {
                let lost = self.lost || !self.tenure.is_held();
                return End { code: self.job.code(), lost, asked: self.asked.take() };
            }
            tokio::select! {
                biased;
                signal = signals.next() => self.forward(signal),
                ask = asks.next() => self.asked(ask),
                () = sleep(pause.unwrap_or_default().min(LOOK)) => {}
            }
        }
    }

    /// Brings the group as near to its end as the time that remains asks for; says when to look again.
    fn step(&mut self) -> Option<Duration> {
        if self.guardian.is_gone() {
            // Somebody killed it: another takes its place.
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

    fn asked(&mut self, ask: Ask) {
        if self.phase != Phase::Running || self.job.code().is_some() {
            return ask.answer("the command is ending already");
        }
        self.stop(clock::now());
        self.asked = Some(ask);
    }

    fn stop(&mut self, now: Duration) {
        self.job.signal(Signal::TERM);
        // What is stopped does not hear.
        self.job.signal(Signal::CONT);
        self.phase = Phase::Stopping(now + self.grace);
    }

    fn kill(&mut self, now: Duration) {
        self.job.signal(Signal::KILL);
        self.phase = Phase::Killed(now + BURIAL);
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

    /// The command has been stopped: so is the job that the shell knows, which brings it back.
    fn suspend(&self) {
        let Some(terminal) = &self.terminal else { return };
        if terminal.has_job_control() {
            terminal.take_back(self.job.group());
            let _ = kill_current_process_group(Signal::STOP);
            // Later, in the foreground or in the background, as the shell says.
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
