//! What a host's tasks send to the world, each with the host's own time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use leasehold::{Loss, Tenure};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::{api::Request, faults::Fault, wire::Reply};

/// One thing that a task did.
pub(crate) enum Message {
    Request {
        request: Request,
        reply: oneshot::Sender<Reply>,
    },
    /// A read of the guarded resource, or a write to it; answered with its value unless it refused the token.
    Access {
        name: &'static str,
        token: u64,
        write: Option<u64>,
        reply: oneshot::Sender<Option<u64>>,
    },
    TenureBegan {
        name: &'static str,
        tenure: Tenure,
    },
    TenureEnded {
        name: &'static str,
        token: u64,
        /// Why, if not by its user.
        lost: Option<Loss>,
    },
    /// Somebody began to want it, or ceased to.
    Demand {
        name: &'static str,
        begins: bool,
    },
    /// A tenure that was given back, and is held still.
    HeldAfterRelease {
        name: &'static str,
        token: u64,
    },
    /// It is about to give back whatever this process holds of that name.
    UnlockCalled {
        name: &'static str,
    },
    Fault(Fault),
    /// Something that the trace is to tell apart.
    Trace(u64),
}

/// The way out of one life of one process.
#[derive(Clone)]
pub(crate) struct ProcessChannel(Arc<Inner>);

struct Inner {
    started_at: Instant,
    messages: Mutex<Vec<(u64, Message)>>,
    faults_stopped: Arc<AtomicBool>,
    stopping: AtomicBool,
    stop: Notify,
    faults_stopped_notice: Notify,
}

impl ProcessChannel {
    /// Called on the runtime whose time it tells.
    pub(crate) fn new(faults_stopped: Arc<AtomicBool>) -> Self {
        Self(Arc::new(Inner {
            started_at: now(),
            messages: Mutex::default(),
            faults_stopped,
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            faults_stopped_notice: Notify::new(),
        }))
    }

    pub(crate) fn started_at(&self) -> Instant {
        self.0.started_at
    }

    /// Milliseconds of this life, on its own clock.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from((now() - self.0.started_at).as_millis()).expect("a short life")
    }

    pub(crate) fn send(&self, message: Message) {
        let at = self.now();
        self.0.messages.lock().unwrap_or_else(PoisonError::into_inner).push((at, message));
    }

    /// What was given back ends at once, whatever the server is yet to be told.
    pub(crate) fn check_released(&self, name: &'static str, tenure: &Tenure) {
        if tenure.is_held() {
            self.send(Message::HeldAfterRelease { name, token: tenure.token().get() });
        }
    }

    pub(crate) fn collect(&self) -> Vec<(u64, Message)> {
        std::mem::take(&mut *self.0.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No more faults: who holds goes on holding.
    pub(crate) fn faults_stopped(&self) -> bool {
        self.0.faults_stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        self.0.stop.notify_waiters();
    }

    pub(crate) async fn stopped(&self) {
        let stop = self.0.stop.notified();
        if !self.0.stopping.load(Ordering::Relaxed) {
            stop.await;
        }
    }

    /// Asks the resource; `None` if it refuses the token.
    pub(crate) async fn access(
        &self,
        name: &'static str,
        token: u64,
        write: Option<u64>,
    ) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Access { name, token, write, reply });
        answer.await.ok().flatten()
    }

    /// Wakes those who pause: it has become calm.
    pub(crate) fn announce_faults_stopped(&self) {
        self.0.faults_stopped_notice.notify_waiters();
    }

    /// At most as long as it is not calm, and then not for long.
    pub(crate) async fn pause(&self, duration: Duration) {
        let faults_stopped_notice = self.0.faults_stopped_notice.notified();
        if self.faults_stopped() {
            return sleep(duration.min(Duration::from_millis(500))).await;
        }
        // Whether it became calm or the time has passed is the same to whoever pauses.
        let _ = timeout(duration, faults_stopped_notice).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the host's own clock")]
fn now() -> Instant {
    Instant::now()
}
