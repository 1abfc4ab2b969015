//! The contenders of one handle: finds or spawns the one for a record, and keeps what an idle one knew.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::{
    attempt::answered,
    contender::{Command, Contender},
    contender_status::ContenderStatus,
    limiter::Limiter,
    outage::Outage,
    queue::Queue,
    request::{Pending, Request},
    telemetry::Telemetry,
};
use crate::{
    api::{
        error::{Error, Result},
        guard::{NO_TENURE, Release},
        name::Name,
        timing::Durations,
    },
    protocol::machine::Machine,
    store::{Kind, RecordKey, Store},
    util::{
        clock::{Clock, Moment},
        environment,
        mutex::lock,
        watched::Watched,
    },
};

/// How many records a handle remembers after its callers are done with them.
const REMEMBERED: usize = 4096;

/// The contenders of one handle, by record and identity.
#[derive(Debug)]
pub(crate) struct Contenders {
    store: Arc<dyn Store>,
    clock: Clock,
    limiter: Arc<Limiter>,
    slots: Mutex<Slots>,
}

/// Ordered, because all contenders see at once that their handle is gone, and a simulation must repeat that order.
type Slots = BTreeMap<SlotKey, Slot>;
type SlotKey = (RecordKey, Name);

#[derive(Debug)]
enum Slot {
    /// A contender is at work.
    Running(Channels),
    /// What the last contender knew: the next one begins there, without a read.
    Idle(Box<Machine>),
}

/// The channels to one contender.
#[derive(Clone, Debug)]
struct Channels {
    commands: mpsc::UnboundedSender<Command>,
    releases: mpsc::UnboundedSender<Release>,
    status: Arc<Watched<ContenderStatus>>,
}

impl Channels {
    /// Completes once nothing of this contender is left in the record; at once if a caller uses it.
    fn released(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (done, end) = oneshot::channel();
        let sent = self.releases.send(Release { done: Some(done), ..Release::of(NO_TENURE) });
        async move {
            match sent {
                Ok(()) => end.await.unwrap_or(Ok(())),
                // A contender that has ended leaves nothing behind.
                Err(_) => Ok(()),
            }
        }
    }

    /// Completes once the contender has ended with everything that it began, or a caller uses it.
    async fn settled(&self) -> Result<()> {
        self.released().await?;
        tokio::select! {
            biased;
            () = self.commands.closed() => {}
            () = self.status.wait_for(|status| status.used) => {}
        }
        Ok(())
    }
}

impl Contenders {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { store, clock, limiter: Limiter::new(), slots: Mutex::default() })
    }

    /// The record of the candidate `id` in `election`.
    pub(crate) fn candidate(&self, election: &RecordKey, id: &Name) -> RecordKey {
        election.candidate(&**self.store.names(), id)
    }

    /// Queues `identity` for the record `key`, for at most `wait`; `None` waits without a limit. From now on, its writes
    /// state `payload`.
    pub(crate) fn claim(
        self: &Arc<Self>,
        key: &Arc<RecordKey>,
        identity: &Name,
        timing: Durations,
        wait: Option<Duration>,
        payload: Option<Arc<str>>,
    ) -> Pending {
        let (request, answer) = Request::new(timing, self.clock.now(), wait);
        let mut slots = lock(&self.slots);
        let channels = self.running(&mut slots, key, identity);
        // Send while holding the lock, so that an idle contender cannot retire in between.
        let _ = channels.commands.send(Command::Claim(request, payload));
        Pending::new(key.name.to_arc(), answer, channels.releases, channels.status)
    }

    /// Releases the lock `key`.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`], and what kept the store from being written.
    pub(crate) async fn unlock(&self, key: &RecordKey, identity: &Name) -> Result<()> {
        let not_held = || Error::NotHeld { name: key.name.to_string() };
        let (done, end) = oneshot::channel();
        {
            let slots = lock(&self.slots);
            let channels = find(&slots, key, identity).ok_or_else(not_held)?;
            // Send while holding the lock, as a claim does: the command of a contender that retires just then could stay
            // in its channel without an answer.
            channels.commands.send(Command::Unlock(done)).map_err(|_| not_held())?;
        }
        end.await.unwrap_or_else(|_| Err(not_held()))
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Completes once nothing that `identity` held or asked for is left in the record `key`, or after `limit`.
    pub(crate) async fn released(
        &self,
        key: &RecordKey,
        identity: &Name,
        limit: Duration,
    ) -> Result<()> {
        let found = find(&lock(&self.slots), key, identity);
        match found {
            Some(channels) => answered(&*self.store, limit, channels.released()).await,
            None => Ok(()),
        }
    }

    /// Completes once every contender has ended or is used by a caller.
    pub(crate) async fn settled(&self) -> Result<()> {
        let running: Vec<_> = lock(&self.slots).values().filter_map(Slot::channels).collect();
        let settled = join_all(running.iter().map(Channels::settled)).await;
        settled.into_iter().collect()
    }

    /// The contender of `identity` for the record `key`, spawned if there is none.
    fn running(
        self: &Arc<Self>,
        slots: &mut Slots,
        key: &Arc<RecordKey>,
        identity: &Name,
    ) -> Channels {
        let slot_key = ((**key).clone(), identity.clone());
        let known = match slots.remove(&slot_key) {
            // A contender may have ended with the runtime that it was on.
            Some(Slot::Running(channels)) if !channels.commands.is_closed() => {
                slots.insert(slot_key, Slot::Running(channels.clone()));
                return channels;
            }
            Some(Slot::Idle(machine)) => Some(*machine),
            Some(Slot::Running(_)) | None => None,
        };
        let machine = known.unwrap_or_else(|| new_machine(key, identity));
        let channels = self.spawn(Arc::clone(key), slot_key.clone(), machine);
        slots.insert(slot_key, Slot::Running(channels.clone()));
        channels
    }

    fn spawn(self: &Arc<Self>, key: Arc<RecordKey>, slot: SlotKey, machine: Machine) -> Channels {
        let identity = slot.1.clone();
        let (commands, received) = mpsc::unbounded_channel();
        let (releases, given_back) = mpsc::unbounded_channel();
        let status = Arc::<Watched<ContenderStatus>>::default();
        let queue = Queue::new(
            key.name.to_arc(),
            identity.to_arc(),
            self.clock,
            releases.clone(),
            Arc::clone(&status),
            Telemetry::new(&key),
        );
        let (name, record) = (&key.name, &key.record);
        let span = tracing::debug_span!("contender", %name, %record, %identity);
        let contender = Contender {
            store: Arc::clone(&self.store),
            key,
            clock: self.clock,
            machine,
            queue,
            limiter: Arc::clone(&self.limiter),
            outage: Outage::default(),
            payload: None,
            renewing: None,
            commands: received,
            releases: given_back,
        };
        tokio::spawn(run(contender, Arc::downgrade(self), slot).instrument(span));
        Channels { commands, releases, status }
    }

    /// Removes an idle contender and keeps what it knows. False if a command has just arrived: it must go on.
    fn retire(
        &self,
        slot: &SlotKey,
        commands: &mpsc::UnboundedReceiver<Command>,
        machine: &Machine,
    ) -> bool {
        let mut slots = lock(&self.slots);
        if !commands.is_empty() {
            return false;
        }
        if slots.len() >= REMEMBERED {
            slots.retain(|_, slot| matches!(slot, Slot::Running(_)));
        }
        match slot.0.kind {
            Kind::Candidate(_) => slots.remove(slot),
            _ => slots.insert(slot.clone(), Slot::Idle(Box::new(machine.clone()))),
        };
        true
    }
}

impl Slot {
    fn channels(&self) -> Option<Channels> {
        match self {
            Self::Running(channels) => Some(channels.clone()),
            Self::Idle(_) => None,
        }
    }
}

fn find(slots: &Slots, key: &RecordKey, identity: &Name) -> Option<Channels> {
    slots.get(&(key.clone(), identity.clone()))?.channels()
}

fn new_machine(key: &RecordKey, identity: &Name) -> Machine {
    let machine = Machine::new(identity.to_arc(), environment::random(), Durations::default());
    if matches!(key.kind, Kind::Candidate(_)) { machine.temporary() } else { machine }
}

/// Runs a contender to its end: until it is idle, or until its handle is gone and its tenure has ended.
async fn run(contender: Contender, contenders: Weak<Contenders>, slot: SlotKey) {
    let retire = |commands: &mpsc::UnboundedReceiver<Command>, machine: &Machine| {
        contenders.upgrade().is_none_or(|all| all.retire(&slot, commands, machine))
    };
    contender.run(retire).await;
}
