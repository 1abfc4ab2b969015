//! Runs a command while a tenure lasts, and stops it in time.

use std::{ffi::OsString, io, time::Duration};

use leasehold::Tenure;
use rustix::process::{Pid, Signal, getpid, kill_current_process_group, kill_process};
use tokio::time::sleep;

use crate::{
    clock, console,
    exec::{
        guardian::Guardian,
        job::{Change, Job},
        resign_request::{ResignRequest, ResignRequests},
        signals::Signals,
        terminal::Terminal,
    },
};

/// The longest sleep between two looks at the clock, because timers stop while the machine is suspended.
const POLL: Duration = Duration::from_millis(500);
/// How long a killed process group may take to end before that is reported, and between two further kills.
const REAP: Duration = Duration::from_secs(2);
/// Signals that end a process by default. A stopped process does not handle them before SIGCONT.
const ENDING: [Signal; 5] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::ABORT, Signal::TERM];

/// What to run, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) tenure: &'a Tenure,
    /// The time between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    pub(crate) command: &'a [OsString],
    pub(crate) quiet: bool,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct End {
    /// The exit code; `None` if it is not known.
    pub(crate) code: Option<u8>,
    /// Whether the tenure ended, or was about to end, before the command.
    pub(crate) lost: bool,
    /// What still runs although the tenure is over, and why; `None` if all has ended.
    pub(crate) survivors: Option<String>,
    /// The request that ended the command, if there was one.
    pub(crate) resign_request: Option<ResignRequest>,
}

/// A command that runs while a tenure lasts.
struct Supervisor<'a> {
    task: Task<'a>,
    job: Job,
    /// `None` once the group is gone.
    guardian: Option<Guardian>,
    terminal: Option<Terminal>,
    phase: Phase,
    /// When a command that was stopped, and that no shell can continue, will be ended.
    stopped: Option<Duration>,
    /// Whether it was reported that the command cannot be ended.
    reported: bool,
    lost: bool,
    resign_request: Option<ResignRequest>,
}

/// The progress of stopping the group, with the time of the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The group got SIGTERM; at this time it gets SIGKILL.
    Stopping(Duration),
    /// The group got SIGKILL; at this time it gets SIGKILL again, or is given up if the tenure is over.
    Killed(Duration),
}

/// Runs the command with the environment `variables` until it ends, the tenure ends, or a request to resign arrives.
/// Signals are forwarded to the command.
pub(crate) async fn run(
    task: Task<'_>,
    variables: &[(&str, String)],
    signals: &mut Signals,
    resign_requests: &mut ResignRequests,
) -> io::Result<End> {
    let job = Job::prepare(task.command, variables, task.quiet)?;
    let guardian =
        Guardian::start(job.group(), task.tenure).inspect_err(|_| job.signal(Signal::KILL))?;
    let mut supervisor = Supervisor {
        task,
        job,
        guardian: Some(guardian),
        terminal: Terminal::of_this_process(),
        phase: Phase::Running,
        stopped: None,
        reported: false,
        lost: false,
        resign_request: None,
    };
    supervisor.hand_over();
    if task.tenure.is_held() {
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
            match self.job.reap() {
                Some(Change::Stopped(signal)) => self.suspend(signal),
                Some(Change::Continued) => self.stopped = None,
                None => {}
            }
            let left = self.left();
            if self.job.is_gone() && left.is_empty() {
                return self.end(None);
            }
            let Some(pause) = self.step(&left) else {
                return self.end(Some(self.job.survivors(&left)));
            };
            // A tenure that ends before its deadline ends the command at once.
            let (tenure, runs) = (self.task.tenure, !matches!(self.phase, Phase::Killed(_)));
            tokio::select! {
                biased;
                _ = tenure.lost(), if runs => {}
                signal = signals.next() => self.forward(signal),
                request = resign_requests.next() => self.accept(request),
                () = sleep(pause.min(POLL)) => {}
            }
        }
    }

    fn end(&mut self, survivors: Option<String>) -> End {
        End {
            code: self.job.code(),
            lost: self.lost || !self.task.tenure.is_held(),
            survivors,
            resign_request: self.resign_request.take(),
        }
    }

    /// What runs below the command in other groups. Looked for once the command is ending.
    fn left(&mut self) -> Vec<Pid> {
        if self.job.is_gone() {
            self.guardian = None;
        } else if self.phase == Phase::Running && !self.job.has_ended() {
            return Vec::new();
        }
        self.job.left()
    }

    /// Takes the next step towards the end of the group and of `left`, if it is due. Returns the time until the next
    /// look; `None` if they are given up.
    fn step(&mut self, left: &[Pid]) -> Option<Duration> {
        let time = self.extend();
        let now = clock::now();
        let last = self.task.grace / 10;
        self.lost |= time <= self.task.grace;
        match self.phase {
            Phase::Killed(end) if now >= end && !self.task.tenure.is_held() => return None,
            Phase::Killed(end) if now >= end => {
                self.report(left);
                self.kill(now);
            }
            Phase::Running | Phase::Stopping(_) if time <= last => self.kill(now),
            Phase::Stopping(end) if now >= end => self.kill(now),
            Phase::Running if time <= self.task.grace || self.job.has_ended() => self.stop(now),
            Phase::Running if self.stopped.is_some_and(|end| now >= end) => {
                self.report_stopped();
                self.stop(now);
            }
            _ => {}
        }
        match self.phase {
            Phase::Running => {}
            Phase::Stopping(_) => self.job.terminate(left),
            Phase::Killed(_) => Job::kill(left),
        }
        Some(match self.phase {
            Phase::Running => time.saturating_sub(self.task.grace),
            Phase::Stopping(end) => (time.saturating_sub(last)).min(end.saturating_sub(now)),
            Phase::Killed(end) => end.saturating_sub(now),
        })
    }

    /// Sends the present deadline to the guardian, and returns the time left.
    fn extend(&mut self) -> Duration {
        let tenure = self.task.tenure;
        let Some(guardian) = &mut self.guardian else { return tenure.remaining() };
        if guardian.is_gone() {
            // Another process killed the guardian: start a new one.
            if let Ok(another) = Guardian::start(self.job.group(), tenure) {
                *guardian = another;
            }
        }
        guardian.extend(tenure)
    }

    fn accept(&mut self, request: ResignRequest) {
        if self.phase != Phase::Running || self.job.has_ended() {
            return request.answer("the command is already ending");
        }
        self.stop(clock::now());
        self.resign_request = Some(request);
    }

    fn stop(&mut self, now: Duration) {
        self.job.signal(Signal::TERM);
        self.job.signal(Signal::CONT);
        self.phase = Phase::Stopping(now + self.task.grace);
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
            Signal::TTIN | Signal::TTOU => self.give_way(),
            other => {
                self.job.signal(other);
                if ENDING.contains(&other) {
                    self.job.signal(Signal::CONT);
                }
            }
        }
    }

    /// A process of this group, such as `less` in the same pipeline, needs the terminal.
    fn give_way(&self) {
        let had =
            self.terminal.as_ref().is_some_and(|terminal| terminal.take_back(self.job.group()));
        if had {
            let _ = kill_current_process_group(Signal::CONT);
        } else {
            // What the signal does without a handler.
            let _ = kill_process(getpid(), Signal::STOP);
        }
    }

    /// The command was stopped by `signal`. A command that needs the terminal gets it. Otherwise this process stops
    /// itself too, because the shell knows this process as the job.
    fn suspend(&mut self, signal: i32) {
        let wants = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw).contains(&signal);
        let end = clock::now() + self.task.grace;
        let Some(terminal) = &self.terminal else {
            self.stopped = Some(end);
            return;
        };
        let group = self.job.group();
        if wants && terminal.hand_over(group) {
            self.job.signal(Signal::CONT);
        } else if self.phase != Phase::Running {
            // The end of the command is under way.
        } else if terminal.has_job_control() {
            terminal.take_back(group);
            let _ = kill_current_process_group(Signal::STOP);
            // The shell has continued the job, in the foreground or in the background.
            self.hand_over();
            self.job.signal(Signal::CONT);
        } else if wants {
            self.stopped = Some(end);
        } else {
            self.job.signal(Signal::CONT);
        }
    }

    fn hand_over(&self) {
        if let Some(terminal) = self.terminal.as_ref().filter(|terminal| !terminal.is_shared()) {
            terminal.hand_over(self.job.group());
        }
    }

    fn program(&self) -> String {
        self.task.command.first().map(|program| program.display().to_string()).unwrap_or_default()
    }

    fn report_stopped(&self) {
        if !self.task.quiet {
            console::report(format_args!(
                "`{}` was stopped for {:?}, and no terminal can continue it: it is ended now",
                self.program(),
                self.task.grace
            ));
        }
    }

    /// Reports once that the command cannot be ended.
    fn report(&mut self, left: &[Pid]) {
        if !std::mem::replace(&mut self.reported, true) && !self.task.quiet {
            console::report(format_args!(
                "`{}` could not be ended: {}. `{}` stays held and is renewed until then",
                self.program(),
                self.job.survivors(left),
                self.task.tenure.name()
            ));
        }
    }
}
