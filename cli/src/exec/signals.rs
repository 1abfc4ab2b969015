//! All signals that can be caught.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::{
    signal::unix::{Signal as Source, SignalKind, signal},
    time::sleep,
};

use crate::{
    exec::adopted,
    exit::{Failure, Outcome},
};

/// Signals without a handler: those that cannot be caught, and those that only faults of this process raise.
const UNHANDLED: [Signal; 9] = [
    Signal::KILL,
    Signal::STOP,
    Signal::ILL,
    Signal::TRAP,
    Signal::BUS,
    Signal::FPE,
    Signal::SEGV,
    Signal::SYS,
    Signal::PIPE,
];
/// Signals that stop a process by default.
const STOPPING: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];
/// The pause before the next look for an ended child that other code may still reap.
const REST: Duration = Duration::from_secs(1);
/// Signals that end no process by default.
const HARMLESS: [Signal; 4] = [Signal::CHILD, Signal::CONT, Signal::URG, Signal::WINCH];

/// A stream of the signals that arrive, from its creation on.
///
/// It also reaps adopted children, because SIGCHLD announces their end.
pub(crate) struct Signals {
    arriving: Pin<Box<dyn Stream<Item = Signal> + Send>>,
    /// Whether a child may have ended that is not reaped yet.
    reaping: bool,
}

impl Signals {
    /// Installs the handlers. A signal that the parent process ignored, as `nohup` does, stays ignored.
    pub(crate) fn listen() -> Outcome<Self> {
        let ignored = ignored();
        let wanted = (1..32).filter_map(Signal::from_named_raw).filter(|signal| {
            let is_ignored = ignored >> (signal.as_raw() - 1) & 1 == 1;
            !UNHANDLED.contains(signal) && (!is_ignored || *signal == Signal::CHILD)
        });
        let mut sources = Vec::new();
        for number in wanted {
            let source = signal(SignalKind::from_raw(number.as_raw()))
                .map_err(|error| Failure::internal("cannot handle signals", &error))?;
            sources.push(Box::pin(arrivals(number, source)));
        }
        Ok(Self { arriving: Box::pin(stream::select_all(sources)), reaping: true })
    }

    /// The next signal. Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        loop {
            // The owner of the child has looked at it before it waits for the next signal.
            self.reaping = self.reaping && adopted::reap();
            let signal = tokio::select! {
                biased;
                signal = self.arriving.next() => signal,
                () = sleep(REST), if self.reaping => continue,
            };
            let Some(signal) = signal else { return std::future::pending().await };
            self.reaping |= signal == Signal::CHILD;
            return signal;
        }
    }

    /// The next signal that ends this process. Used while there is no command to forward signals to.
    pub(crate) async fn fatal(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if STOPPING.contains(&signal) {
                let _ = kill_process(getpid(), Signal::STOP);
            } else if !HARMLESS.contains(&signal) {
                return signal;
            }
        }
    }
}

/// Runs `work` to its end, or until a signal that ends this process. Used where no part of `work` handles signals.
///
/// The default action of a signal is enough, except in the first process of a container: a signal that it does not
/// handle has no effect there.
pub(crate) async fn unless_signalled<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    if getpid() != Pid::INIT {
        return work.await;
    }
    let mut signals = Signals::listen()?;
    tokio::select! {
        biased;
        signal = signals.fatal() => Err(Failure::signal(signal.as_raw())),
        outcome = work => outcome,
    }
}

fn arrivals(number: Signal, source: Source) -> impl Stream<Item = Signal> {
    stream::unfold(source, move |mut source| async move {
        source.recv().await.map(|()| (number, source))
    })
}

/// The signals that were ignored when this process started, one bit each; 0 if the system does not report them.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
