//! What a host's tasks send to the world, each with the host's own time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use leasehold::{Guard, Loss, Tenure, TenureState};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::{api::Request, faults::Fault, wire::Replied};

/// One thing that a task did.
pub(crate) enum Letter {
    Request {
        request: Request,
        reply: oneshot::Sender<Replied>,
    },
    /// A read of the guarded resource, or a write to it; answered with its value unless it refused the token.
    Access {
        name: &'static str,
        token: u64,
        write: Option<u64>,
        reply: oneshot::Sender<Option<u64>>,
    },
    Began {
        name: &'static str,
        tenure: Tenure,
    },
    Ended {
        name: &'static str,
        token: u64,
        /// Why, if not by its user.
        lost: Option<Loss>,
    },
    /// Somebody began to want it, or ceased to.
    Wants {
        name: &'static str,
        begins: bool,
    },
    /// A tenure that was given back, and is held still.
    Kept {
        name: &'static str,
        token: u64,
    },
    /// It is about to give back whatever this process holds of that name.
    Unlocks {
        name: &'static str,
    },
    Met(Fault),
    /// Something that the trace is to tell apart.
    Saw(u64),
}

/// The way out of one life of one process.
#[derive(Clone)]
pub(crate) struct Post(Arc<Inner>);

struct Inner {
    begun: Instant,
    letters: Mutex<Vec<(u64, Letter)>>,
    calm: Arc<AtomicBool>,
    stopping: AtomicBool,
    stop: Notify,
    calmed: Notify,
}

impl Post {
    /// Called on the runtime whose time it tells.
    pub(crate) fn new(calm: Arc<AtomicBool>) -> Self {
        Self(Arc::new(Inner {
            begun: now(),
            letters: Mutex::default(),
            calm,
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            calmed: Notify::new(),
        }))
    }

    pub(crate) fn begun(&self) -> Instant {
        self.0.begun
    }

    /// Milliseconds of this life, on its own clock.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from((now() - self.0.begun).as_millis()).expect("a short life")
    }

    pub(crate) fn send(&self, letter: Letter) {
        let at = self.now();
        self.0.letters.lock().unwrap_or_else(PoisonError::into_inner).push((at, letter));
    }

    /// What was given back ends at once, whatever the server is yet to be told.
    pub(crate) fn given_back(&self, name: &'static str, tenure: &Tenure) {
        if tenure.is_held() {
            self.send(Letter::Kept { name, token: tenure.token().get() });
        }
    }

    pub(crate) fn collect(&self) -> Vec<(u64, Letter)> {
        std::mem::take(&mut *self.0.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No more faults: who holds goes on holding.
    pub(crate) fn is_calm(&self) -> bool {
        self.0.calm.load(Ordering::Relaxed)
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
        self.send(Letter::Access { name, token, write, reply });
        answer.await.ok().flatten()
    }

    /// Wakes those who pause: it has become calm.
    pub(crate) fn calm_down(&self) {
        self.0.calmed.notify_waiters();
    }

    /// At most as long as it is not calm, and then not for long.
    pub(crate) async fn pause(&self, long: Duration) {
        let calmed = self.0.calmed.notified();
        if self.is_calm() {
            return sleep(long.min(Duration::from_millis(500))).await;
        }
        // Whether it became calm or the time has passed is the same to whoever pauses.
        let _ = timeout(long, calmed).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the host's own clock")]
fn now() -> Instant {
    Instant::now()
}

/// That somebody wants it, until this is dropped.
pub(crate) struct Want {
    post: Post,
    name: &'static str,
}

impl Want {
    pub(crate) fn new(post: &Post, name: &'static str) -> Self {
        post.send(Letter::Wants { name, begins: true });
        Self { post: post.clone(), name }
    }
}

impl Drop for Want {
    fn drop(&mut self) {
        self.post.send(Letter::Wants { name: self.name, begins: false });
    }
}

/// A tenure as its user has it: its end is told before the guard is given back.
pub(crate) struct Holding {
    post: Post,
    name: &'static str,
    pub(crate) tenure: Tenure,
    guard: Option<Guard>,
}

impl Holding {
    pub(crate) fn new(post: &Post, name: &'static str, guard: Guard) -> Self {
        let mut holding = Self::lent(post, name, guard.tenure());
        holding.guard = Some(guard);
        holding
    }

    /// A tenure whose guard is elsewhere.
    pub(crate) fn lent(post: &Post, name: &'static str, tenure: Tenure) -> Self {
        post.send(Letter::Began { name, tenure: tenure.clone() });
        Self { post: post.clone(), name, tenure, guard: None }
    }

    /// The guard, to be given back otherwise than by dropping it.
    pub(crate) fn end(mut self) -> Option<Guard> {
        self.guard.take()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let lost = match self.tenure.state() {
            TenureState::Lost(why) => Some(why),
            _ => None,
        };
        let token = self.tenure.token().get();
        self.post.send(Letter::Ended { name: self.name, token, lost });
    }
}
