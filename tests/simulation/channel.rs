//! The channel by which a simulated process reports to the world.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use leasehold::{Loss, Tenure};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::{api::Request, faults::Fault, sessions::calls::CallMessage, wire::Reply};

/// What a task of a process reports. The world handles each message at the true time of the process's clock.
pub(crate) enum Message {
    Request {
        request: Request,
        /// How many requests of the process are under way, each within its attempt.
        under_way: usize,
        reply: oneshot::Sender<Reply>,
    },
    /// A read of the guarded resource or a write to it. The reply is the value; `None` if the resource rejected the
    /// token.
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
        /// The reason, if the user did not end the tenure.
        lost: Option<Loss>,
    },
    /// A task began or ceased to want the name.
    Demand {
        name: &'static str,
        begins: bool,
    },
    /// The release returned, but the tenure still reports that it is held.
    HeldAfterRelease {
        name: &'static str,
        token: u64,
    },
    /// The process is about to call `unlock`, which ends any tenure of the name in this process.
    UnlockCalled {
        name: &'static str,
    },
    /// A report of one call of `lock` of a session.
    Call {
        number: u64,
        message: CallMessage,
    },
    /// The process ends one of its sessions.
    SessionsEnded,
    Fault(Fault),
    /// A value that goes into the trace.
    Trace(u64),
}

/// The channel of one incarnation of a process.
#[derive(Clone)]
pub(crate) struct ProcessChannel(Arc<Inner>);

struct Inner {
    started_at: Instant,
    messages: Mutex<Vec<(u64, Message)>>,
    faults_stopped: Arc<AtomicBool>,
    stopping: AtomicBool,
    stop: Notify,
    faults_stopped_notice: Notify,
    /// When each request under way was sent, and its number. Watches and lists are not counted.
    under_way: Mutex<BTreeSet<(u64, u64)>>,
}

/// A request under way. Dropping it ends the request.
pub(crate) struct UnderWay {
    channel: ProcessChannel,
    request: (u64, u64),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.channel.under_way().remove(&self.request);
    }
}

impl ProcessChannel {
    /// Call this on the process's runtime, because the channel reads that runtime's clock.
    pub(crate) fn new(faults_stopped: Arc<AtomicBool>) -> Self {
        Self(Arc::new(Inner {
            started_at: now(),
            messages: Mutex::default(),
            faults_stopped,
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            faults_stopped_notice: Notify::new(),
            under_way: Mutex::default(),
        }))
    }

    pub(crate) fn started_at(&self) -> Instant {
        self.0.started_at
    }

    /// Milliseconds since this incarnation started, on its own clock.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from((now() - self.0.started_at).as_millis()).expect("fewer than 2^64 ms")
    }

    pub(crate) fn send(&self, message: Message) {
        let at = self.now();
        self.0.messages.lock().unwrap_or_else(PoisonError::into_inner).push((at, message));
    }

    /// Counts a request that begins now. Returns how many are under way with it, each for less than `attempt` ms.
    pub(crate) fn request_begins(&self, attempt: u64) -> (UnderWay, usize) {
        let now = self.now();
        let mut under_way = self.under_way();
        let request = (now, under_way.last().map_or(0, |(_, number)| number + 1));
        under_way.insert(request);
        let within = under_way.iter().filter(|(sent_at, _)| now - sent_at < attempt).count();
        drop(under_way);
        (UnderWay { channel: self.clone(), request }, within)
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeSet<(u64, u64)>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports a violation if a released tenure is still held. A release must take effect locally at once, before the
    /// server knows of it.
    pub(crate) fn check_released(&self, name: &'static str, tenure: &Tenure) {
        if tenure.is_held() {
            self.send(Message::HeldAfterRelease { name, token: tenure.token().get() });
        }
    }

    pub(crate) fn collect(&self) -> Vec<(u64, Message)> {
        std::mem::take(&mut *self.0.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the faults have stopped. From then on, holders keep what they hold.
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

    /// Accesses the guarded resource; `None` if it rejected the token.
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

    /// Ends every pause, because the faults have stopped.
    pub(crate) fn announce_faults_stopped(&self) {
        self.0.faults_stopped_notice.notify_waiters();
    }

    /// Sleeps for `duration`, or until the faults stop. After that, sleeps for at most 500 ms.
    pub(crate) async fn pause(&self, duration: Duration) {
        let faults_stopped_notice = self.0.faults_stopped_notice.notified();
        if self.faults_stopped() {
            return sleep(duration.min(Duration::from_millis(500))).await;
        }
        // The caller does not need to know which of the two ended the pause.
        let _ = timeout(duration, faults_stopped_notice).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's paused clock is the clock of the process"
)]
fn now() -> Instant {
    Instant::now()
}
