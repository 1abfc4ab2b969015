//! The contract over any store, once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tracing::Instrument as _;

use crate::{
    Options,
    api::{
        error::{Error, Result},
        guard::{Guard, NO_TENURE, Release},
        leader::{Campaign, Leader},
        member::{ElectWatcher, Member},
        name::{self, LeaseName, Name, Namespace},
        options::{LeaderOptions, ListMembersOptions, LockOptions, WatchElectOptions},
        timing::Timing,
    },
    protocol::machine::Machine,
    runtime::{
        candidate::{Candidate, Membership},
        candidates::Candidacies,
        contender::{Command, Driver, answered},
        members,
        observer::{self, Sightings},
        queue::Desk,
        request::{Claim, Pending},
        standing::Standing,
        telemetry::Telemetry,
    },
    store::{Entry, Key, Kind, Scope, Store},
    util::{clock::Clock, environment, mutex::lock, watched::Shown},
};

/// How many records a handle remembers that it has nothing to do with at present.
const REMEMBERED: usize = 4096;

/// How long the check of a backend may take, all its requests together.
const INIT: Duration = Duration::from_secs(30);

/// One handle: the parsed options, and a seat for each record it has to do with.
#[derive(Debug)]
pub(crate) struct Core {
    store: Arc<dyn Store>,
    options: Options,
    namespace: Namespace,
    identity: Name,
    clock: Clock,
    seats: Mutex<Seats>,
    candidacies: Arc<Candidacies>,
}

/// What is kept for one record.
#[derive(Debug)]
enum Place {
    /// A contender at work.
    Taken(Seat),
    /// What the last one knew: the next begins there, without a read.
    Known(Box<Machine>),
}

/// The way to one contender.
#[derive(Clone, Debug)]
struct Seat {
    commands: mpsc::UnboundedSender<Command>,
    releases: mpsc::UnboundedSender<Release>,
    standing: Arc<Shown<Standing>>,
}

impl Seat {
    /// Returns once nothing that was held or asked for here is left in the record; at once if something is.
    fn left(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (done, end) = oneshot::channel();
        let told = self.releases.send(Release { tenure: NO_TENURE, done: Some(done) });
        async move {
            match told {
                Ok(()) => end.await.unwrap_or(Ok(())),
                // One that has ended leaves nothing.
                Err(_) => Ok(()),
            }
        }
    }

    /// Returns once its contender has ended, with everything that it began, or is of use to somebody.
    async fn settled(&self) -> Result<()> {
        self.left().await?;
        tokio::select! {
            biased;
            () = self.commands.closed() => {}
            () = self.standing.until(|standing| standing.used) => {}
        }
        Ok(())
    }
}

/// In an order of their own: all contenders hear at once that their handle has gone, one after the other.
type Seats = BTreeMap<(Key, Name), Place>;

impl Core {
    /// Parses `options`: the only door for names and identities.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        mut options: Options,
        default_namespace: &str,
    ) -> Result<Arc<Self>> {
        name::parse_prefix(&options.prefix)?;
        let namespace =
            Namespace::parse(options.namespace.as_deref().unwrap_or(default_namespace))?;
        let identity = match &options.identity {
            Some(identity) => Name::parse("identity", identity)?,
            None => name::incarnation(),
        };
        options.namespace = Some(namespace.to_string());
        options.identity = Some(identity.to_string());
        let clock = options.clock;
        Ok(Arc::new(Self {
            store,
            options,
            namespace,
            identity,
            clock,
            seats: Mutex::default(),
            candidacies: Arc::default(),
        }))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn backend(&self) -> &'static str {
        self.store.backend()
    }

    pub(crate) async fn init(&self) -> Result<()> {
        runtime()?;
        answered(&*self.store, INIT, self.store.check(&self.namespace)).await
    }

    pub(crate) async fn lock(self: &Arc<Self>, id: &str, options: LockOptions) -> Result<Guard> {
        runtime()?;
        options.timing.check()?;
        let key = self.key("lock name", Kind::Lock, id, None)?;
        self.claim(&key, &self.identity, options.timing, options.wait).granted().await
    }

    pub(crate) async fn unlock(&self, id: &str) -> Result<()> {
        let key = self.key("lock name", Kind::Lock, id, None)?;
        let not_held = || Error::NotHeld { name: id.to_owned() };
        let (done, end) = oneshot::channel();
        {
            let seats = lock(&self.seats);
            let Some(Place::Taken(seat)) = seats.get(&((*key).clone(), self.identity.clone()))
            else {
                return Err(not_held());
            };
            seat.commands.send(Command::Unlock(done)).map_err(|_| not_held())?;
        }
        end.await.unwrap_or_else(|_| Err(not_held()))
    }

    pub(crate) async fn leader(
        self: &Arc<Self>,
        name: &str,
        options: LeaderOptions,
    ) -> Result<Leader> {
        runtime()?;
        options.timing.check()?;
        let election =
            self.key("election name", Kind::Election, name, options.namespace.as_deref())?;
        let me = match &options.id {
            Some(id) => Name::parse("candidate id", id)?,
            None => self.identity.clone(),
        };
        let campaign = Arc::<Shown<Campaign>>::default();
        let (resign, resigned) = mpsc::unbounded_channel();
        let place = ((*election).clone(), me.clone());
        let Some(place) =
            self.candidacies.register(place, Arc::clone(&campaign), resign.downgrade())
        else {
            return Err(Error::AlreadyCandidate { election: name.to_owned(), id: me.to_string() });
        };
        let (stands, standing) = oneshot::channel();
        let leader =
            Leader::new(me.to_arc(), election.title.to_arc(), Arc::clone(&campaign), resign);
        let candidate = Candidate {
            core: Arc::clone(self),
            election,
            me,
            timing: options.timing,
            campaign,
            resign: resigned,
            stands: Some(stands),
            membership: Membership::None,
            warned: BTreeMap::new(),
            place: Some(place),
        };
        // It ends when `leader` is resigned or dropped, also if this future is.
        tokio::spawn(candidate.run());
        standing.await.unwrap_or_else(|_| Err(Error::Closed { name: name.to_owned() }))?;
        Ok(leader)
    }

    /// Returns once nothing that `me` held or asked for is left in the record `key`.
    pub(crate) async fn left(&self, key: &Key, me: &Name, limit: Duration) -> Result<()> {
        let left = {
            let seats = lock(&self.seats);
            let Some(Place::Taken(seat)) = seats.get(&(key.clone(), me.clone())) else {
                return Ok(());
            };
            seat.left()
        };
        answered(&*self.store, limit, left).await
    }

    /// Returns once what was given up is undone: candidacies first, since they give up seats.
    pub(crate) async fn close(&self) -> Result<()> {
        runtime()?;
        self.candidacies.settled().await;
        let seats: Vec<_> = lock(&self.seats)
            .values()
            .filter_map(|place| match place {
                Place::Taken(seat) => Some(seat.clone()),
                Place::Known(_) => None,
            })
            .collect();
        let settled = join_all(seats.iter().map(Seat::settled)).await;
        settled.into_iter().collect()
    }

    pub(crate) async fn list_members(&self, options: ListMembersOptions) -> Result<Vec<Member>> {
        runtime()?;
        let scope = self.elections(options.namespace.as_deref(), options.election.as_deref())?;
        Ok(members::members(&self.options.prefix, &self.list(&scope).await?))
    }

    pub(crate) async fn watch_elect(&self, options: WatchElectOptions) -> Result<ElectWatcher> {
        runtime()?;
        let scope = self.elections(options.namespace.as_deref(), options.id.as_deref())?;
        Ok(members::watch(self.sightings(scope).await?, self.options.prefix.clone()))
    }

    /// What there is in `scope` now.
    pub(crate) async fn list(&self, scope: &Scope) -> Result<Vec<Entry>> {
        answered(&*self.store, observer::LIST, self.store.list(scope)).await
    }

    /// What there is in `scope`, from now on.
    pub(crate) async fn sightings(&self, scope: Scope) -> Result<Sightings> {
        Sightings::begin(Arc::clone(&self.store), self.clock, scope).await
    }

    pub(crate) fn elections(
        &self,
        namespace: Option<&str>,
        election: Option<&str>,
    ) -> Result<Scope> {
        let lease =
            |name| Ok(LeaseName::of(&self.options.prefix, &Name::parse("election name", name)?));
        Ok(Scope::Elections(self.namespace(namespace)?, election.map(lease).transpose()?))
    }

    pub(crate) fn namespace(&self, chosen: Option<&str>) -> Result<Namespace> {
        chosen.map_or_else(|| Ok(self.namespace.clone()), Namespace::parse)
    }

    fn key(
        &self,
        what: &'static str,
        kind: Kind,
        name: &str,
        namespace: Option<&str>,
    ) -> Result<Arc<Key>> {
        let title = Name::parse(what, name)?;
        let lease = LeaseName::of(&self.options.prefix, &title);
        Ok(Arc::new(Key { namespace: self.namespace(namespace)?, lease, kind, title }))
    }

    /// Queues `me` for the record `key`; at most `wait` long, for ever if that is `None`.
    pub(crate) fn claim(
        self: &Arc<Self>,
        key: &Arc<Key>,
        me: &Name,
        timing: Timing,
        wait: Option<Duration>,
    ) -> Pending {
        let asked = self.clock.now();
        let (reply, answer) = oneshot::channel();
        let claim = Claim { timing, asked, deadline: wait.map(|wait| asked + wait), reply };
        let mut seats = lock(&self.seats);
        let seat = self.seat(&mut seats, key, me);
        // In the same breath as the look-up: an idle contender retires under this lock.
        let _ = seat.commands.send(Command::Claim(claim));
        Pending::new(key.title.to_arc(), answer, seat.releases, seat.standing)
    }

    /// The seat of `me` before the record `key`, with a contender at work.
    fn seat(self: &Arc<Self>, seats: &mut Seats, key: &Arc<Key>, me: &Name) -> Seat {
        let place = ((**key).clone(), me.clone());
        let known = match seats.remove(&place) {
            // Its contender may have ended with the runtime that it was on.
            Some(Place::Taken(seat)) if !seat.commands.is_closed() => {
                seats.insert(place, Place::Taken(seat.clone()));
                return seat;
            }
            Some(Place::Known(machine)) => Some(*machine),
            Some(Place::Taken(_)) | None => None,
        };
        let machine = known.unwrap_or_else(|| {
            let machine = Machine::new(me.to_arc(), environment::random(), Timing::default());
            if matches!(key.kind, Kind::Candidate(_)) { machine.temporary() } else { machine }
        });
        let (commands, orders) = mpsc::unbounded_channel();
        let (releases, given_back) = mpsc::unbounded_channel();
        let standing = Arc::<Shown<Standing>>::default();
        let desk = Desk::new(
            key.title.to_arc(),
            me.to_arc(),
            self.clock,
            releases.clone(),
            Arc::clone(&standing),
            Telemetry::new(key),
        );
        let driver = Driver {
            store: Arc::clone(&self.store),
            key: Arc::clone(key),
            clock: self.clock,
            machine,
            desk,
            renewing: None,
            commands: orders,
            releases: given_back,
        };
        let span = tracing::debug_span!("contender", name = %key.title, lease = %key.lease, %me);
        tokio::spawn(drive(driver, Arc::downgrade(self), place.clone()).instrument(span));
        let seat = Seat { commands, releases, standing };
        seats.insert(place, Place::Taken(seat.clone()));
        seat
    }

    /// Gives up the seat of an idle contender, unless somebody has just come to it, and keeps what it knows.
    fn retire(
        &self,
        place: &(Key, Name),
        commands: &mpsc::UnboundedReceiver<Command>,
        machine: &Machine,
    ) -> bool {
        let mut seats = lock(&self.seats);
        if !commands.is_empty() {
            return false;
        }
        if seats.len() >= REMEMBERED {
            seats.retain(|_, place| matches!(place, Place::Taken(_)));
        }
        match place.0.kind {
            Kind::Candidate(_) => seats.remove(place),
            _ => seats.insert(place.clone(), Place::Known(Box::new(machine.clone()))),
        };
        true
    }
}

/// Runs a contender to its end. It ends by itself: when it is idle, or after its handle has gone and its tenure has ended.
async fn drive(driver: Driver, core: Weak<Core>, place: (Key, Name)) {
    let retire = |commands: &mpsc::UnboundedReceiver<Command>, machine: &Machine| {
        core.upgrade().is_none_or(|core| core.retire(&place, commands, machine))
    };
    driver.run(retire).await;
}

/// The contenders need a runtime to run on: better said than panicked about.
fn runtime() -> Result<()> {
    Handle::try_current().map(drop).map_err(|_| Error::Config {
        backend: "leasehold",
        reason: "there is no Tokio runtime here: call it from within one".into(),
        source: None,
    })
}
