//! Sessions: one task, one heartbeat and one watch for any number of locks.
//!
//! | file | content |
//! |---|---|
//! | `mod`, [`calls`], `implement` | the public handle, its calls about locks, and the contract on it |
//! | [`task`], [`command`] | the task: its loop and its end; the calls of the handle, and the releases of guards |
//! | [`beats`] | the heartbeat; loss of the session, and the next one |
//! | [`locks`], [`lock`] | drives the machines of all locks; one lock |
//! | [`leaving`] | what is given up of one lock, until the record does not name it |
//! | [`callers`], [`tenures`] | the callers of one lock; its tenures, from a grant to the end |
//! | [`resync`] | the list of all records that the session holds |
//! | [`candidacy`], [`candidate`] | the calls of a `Leader`, and its claims; one candidate of an election |
//! | [`elections`] | the watches of elections that a user observes |
//! | [`observed`] | the sessions of other processes that locks wait for |
//! | [`requests`], [`timers`] | requests under way; all deadlines in one list |
//! | [`meter`] | what is measured, with the feature `metrics` |
//! | [`end`] | the end of another process's session, for operators |

mod beats;
mod callers;
pub(crate) mod calls;
mod candidacy;
mod candidate;
mod command;
mod elections;
#[cfg_attr(
    not(any(feature = "etcd", feature = "kubernetes")),
    expect(dead_code, reason = "the embedded backend has no tools for operators")
)]
pub(crate) mod end;
mod implement;
mod leaving;
mod lock;
mod locks;
mod meter;
#[cfg(feature = "metrics")]
mod metrics;
mod observed;
mod requests;
mod resync;
mod task;
mod tenures;
mod timers;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use futures::stream::FuturesUnordered;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::Instrument as _;

use self::{
    beats::Beats,
    command::Command,
    elections::Elections,
    requests::Sender,
    resync::Resync,
    task::{Learned, Task},
    timers::Timers,
};
use crate::{
    SessionOptions,
    api::error::{Error, Result},
    protocol::session::{SessionId, heartbeat::Heartbeat},
    runtime::handle::{Handle, require_runtime},
    store::sessions::SessionStore,
    util::{
        clock::{Clock, Moment},
        watched::Watched,
    },
};

/// The limits of one request about a lock: a third of the time to live within these bounds.
const SHORTEST_REQUEST: Duration = Duration::from_secs(1);
const LONGEST_REQUEST: Duration = Duration::from_secs(10);

/// What the handle of a session knows of it.
#[derive(Debug)]
pub(crate) struct Status {
    id: Arc<str>,
    validity: Moment,
    /// How many sessions of this handle are over.
    lost: u64,
    /// Its task has ended: the session was closed, or its runtime is gone.
    ended: bool,
    /// It was closed.
    closed: bool,
    /// Why the session is not open yet.
    failure: Option<Error>,
}

/// Any number of locks with one heartbeat, first come, first served.
///
/// A session is one record that this process renews. Its locks are not renewed: they are held while the session is
/// alive, so a process that holds 10,000 locks sends one request every five seconds. Processes that wait for a lock
/// stand in a queue in its record, in the order in which they came, and each release hands the lock to the next one.
///
/// A clone is the same session. When all clones and all guards are dropped, the session ends.
///
/// A session implements [`Sync`](crate::Sync). Of the timing in [`LockOptions`](crate::LockOptions) only the time to
/// live has a meaning, and only as a bound: a lock lives as long as its session, so a shorter one is refused. The
/// default is not compared. Two calls for one name wait for each other, as two processes would.
///
/// An election of a session is the same queue: its candidates lead in the order in which they came, and
/// [`list_members`](crate::Sync::list_members) lists them in this order. The election is in the namespace of the session.
/// A leader that steps down or loses its tenure competes again at the end of the queue.
///
/// # Guarantees
///
/// As [`Sync::lock`](crate::Sync::lock), if all users of a lock use sessions. Waits are served in the order in which
/// their entries were stored. A crashed process delays its locks by the time to live of its session.
///
/// **A lost session loses all its locks.** If no heartbeat is confirmed in time, or the record of the session is
/// deleted, all guards end at once with [`Loss::Session`](crate::Loss::Session) or
/// [`Loss::Expired`](crate::Loss::Expired). The handle then begins a new session. Waits join the queue of their lock
/// again, at its end. Use several sessions to limit what one loss costs.
///
/// **Other electors.** A handle without a session, or client-go, respects a lock of a session, and a session respects
/// theirs. But what is free may be taken by either at once, past the queue. After a crash of all processes with
/// sessions, the others wait until an operator clears `holderIdentity`.
///
/// ```
/// use leasehold::{LockOptions, Memory, SessionOptions, Sync as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> leasehold::Result<()> {
/// let session = Memory::default().session(SessionOptions::default()).await?;
/// let orders = session.lock("orders", LockOptions::default()).await?;
/// let billing = session.lock("billing", LockOptions::default()).await?;
/// orders.check()?;
/// billing.release().await?;
/// session.end().await?;
/// assert!(!orders.is_held());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    commands: mpsc::UnboundedSender<Command>,
    status: Arc<Watched<Status>>,
    clock: Clock,
    sender: Sender,
    /// For lists and events of elections.
    handle: Arc<Handle>,
    ttl: Duration,
}

impl Session {
    /// Opens a session of `handle` over `store`.
    pub(crate) async fn open(
        store: Arc<dyn SessionStore>,
        handle: &Arc<Handle>,
        session: SessionOptions,
    ) -> Result<Self> {
        require_runtime()?;
        let (options, ttl) = (handle.options(), session.check()?);
        let namespace = handle.namespace(None)?;
        let identity: Arc<str> = options.identity.as_deref().unwrap_or_default().into();
        let clock = options.clock;
        let own =
            session.namespace.as_deref().map(|own| handle.namespace(Some(own))).transpose()?;
        let own = own.filter(|own| *own != namespace);
        let mut id = SessionId::new(ttl, [Task::random(), Task::random()]);
        if let Some(own) = &own {
            id = id.in_namespace(own.as_str());
        }
        let (commands, received) = mpsc::unbounded_channel();
        let (release_sender, releases) = mpsc::unbounded_channel();
        let (opened, open) = oneshot::channel();
        let validity = Moment::default();
        let status = Arc::new(Watched::new(Status {
            id: id.to_arc(),
            validity,
            lost: 0,
            ended: false,
            closed: false,
            failure: None,
        }));
        let limit = (ttl / 3).clamp(SHORTEST_REQUEST, LONGEST_REQUEST);
        let heartbeat = Heartbeat::new(clock.now(), id, Arc::clone(&identity));
        let sessions = own.unwrap_or_else(|| namespace.clone());
        let sender = Sender { store, namespace, sessions, limit };
        let task = Task {
            sender: sender.clone(),
            clock,
            identity: Arc::clone(&identity),
            ttl,
            beats: Beats::new(heartbeat),
            status: Arc::clone(&status),
            watch: None,
            ready: false,
            locks: BTreeMap::new(),
            idle: BTreeSet::new(),
            elections: Elections::default(),
            tenures: BTreeMap::new(),
            observed: BTreeMap::new(),
            over: BTreeSet::new(),
            timers: Timers::default(),
            requests: FuturesUnordered::new(),
            jobs: VecDeque::new(),
            commands: received,
            releases,
            release_sender,
            opened: Some(opened),
            closing: None,
            orphaned: false,
            resync: Resync::default(),
            waits: 0,
            learned: Learned::default(),
        };
        tokio::spawn(task.run().instrument(tracing::debug_span!("session", %identity)));
        let opened = match session.wait {
            None => open.await,
            Some(wait) => timeout(wait, open).await.unwrap_or_else(|_| {
                let failure = status.borrow().failure.take();
                Ok(Err(failure.unwrap_or_else(|| sender.no_answer(wait))))
            }),
        };
        opened.unwrap_or_else(|_| Err(closed("session")))?;
        let handle = Arc::clone(handle);
        Ok(Self(Arc::new(Inner { commands, status, clock, sender, handle, ttl })))
    }

    /// The name of the session. It is also the name of its record, and the records of its locks name it as their holder.
    /// [`Tenure::holder`](crate::Tenure::holder) and errors have the identity of the process instead. After a loss this
    /// is the name of the next session.
    #[must_use]
    pub fn id(&self) -> String {
        self.0.status.borrow().id.to_string()
    }

    /// How long the session is still alive if no heartbeat succeeds; zero while there is none.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.status.borrow().validity.since(self.0.clock.now())
    }

    /// Waits until the present session is over: lost, or closed.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn lost(&self) {
        let present = self.0.status.borrow().lost;
        self.0.status.wait_for(|status| status.lost != present || status.ended).await;
    }

    /// Ends the session: all its guards and waits end, its locks are released, and its record is deleted.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the backend could not be reached within the time to live of the session. The session
    /// and its locks are then over by themselves after that time. The same holds if the release of a lock is refused,
    /// and for [`Error::Closed`]: the runtime that the session was on has ended.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it goes on in the background.
    pub async fn end(&self) -> Result<()> {
        let (done, end) = oneshot::channel();
        if self.send(Command::Close(done)).is_ok()
            && let Ok(outcome) = end.await
        {
            return outcome;
        }
        if self.0.status.borrow().closed { Ok(()) } else { Err(closed(&self.id())) }
    }

    fn send(&self, command: Command) -> Result<(), ()> {
        self.0.commands.send(command).map_err(drop)
    }
}

fn closed(name: &str) -> Error {
    Error::Closed { name: name.into() }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
