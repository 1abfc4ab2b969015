//! The contract over any store, implemented once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::ready, stream};
use tokio::sync::{mpsc, oneshot};

use super::{
    attempt::answered,
    candidate::Candidate,
    candidates::{Candidates, Registration},
    contenders::Contenders,
    leftovers::Leftovers,
    membership::Membership,
    observer::{self, Observer},
    roster,
    seen::Seen,
};
use crate::{
    Options,
    api::{
        error::{Error, Result},
        guard::Guard,
        leader::{Leader, LeaderState},
        member::{ElectWatcher, Member},
        metadata::{check_annotations, check_labels},
        name::{self, Name, Namespace, RecordName},
        options::{LeaderOptions, ListMembersOptions, LockOptions, WatchElectOptions},
    },
    store::{Kind, RecordKey, Scope, Store},
    util::{clock::Clock, watched::Watched},
};

/// How long the check of a backend may take, all its requests together.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);

/// One handle: the parsed options, its contenders and its candidates.
#[derive(Debug)]
pub(crate) struct Handle {
    store: Arc<dyn Store>,
    options: Options,
    namespace: Namespace,
    identity: Name,
    clock: Clock,
    contenders: Arc<Contenders>,
    candidates: Arc<Candidates>,
}

/// A candidate that is registered, and the options that were checked.
pub(crate) struct Registered {
    pub(crate) election: Arc<RecordKey>,
    pub(crate) candidate_id: Name,
    pub(crate) payload: Option<Arc<str>>,
    pub(crate) state: Arc<Watched<LeaderState>>,
    pub(crate) registration: Registration,
}

impl Handle {
    /// Parses `options`, apart from the prefix, which the store has. Names and identities enter the library here and
    /// nowhere else.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        mut options: Options,
        default_namespace: &str,
    ) -> Result<Arc<Self>> {
        check_labels(&options.labels)?;
        check_annotations(&options.annotations)?;
        let namespace =
            store.names().namespace(options.namespace.as_deref().unwrap_or(default_namespace))?;
        let identity = match &options.identity {
            Some(identity) => Name::parse("identity", identity)?,
            None => name::incarnation(),
        };
        options.namespace = Some(namespace.to_string());
        options.identity = Some(identity.to_string());
        let clock = options.clock;
        Ok(Arc::new(Self {
            contenders: Contenders::new(Arc::clone(&store), clock),
            store,
            options,
            namespace,
            identity,
            clock,
            candidates: Arc::default(),
        }))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn backend(&self) -> &'static str {
        self.store.backend()
    }

    pub(crate) async fn init(&self) -> Result<()> {
        require_runtime()?;
        answered(&*self.store, INIT_TIMEOUT, self.store.check(&self.namespace)).await
    }

    pub(crate) async fn lock(&self, name: &str, options: LockOptions) -> Result<Guard> {
        require_runtime()?;
        let timing = options.timing.check()?.with_at_least(options.at_least)?;
        options.mode.without_session()?;
        let key = self.key("lock name", Kind::Lock, name, None)?;
        let pending = self.contenders.claim(&key, &self.identity, timing, options.wait, None);
        pending.granted_within(&*self.store, timing, options.wait).await
    }

    pub(crate) async fn unlock(&self, name: &str) -> Result<()> {
        let key = self.key("lock name", Kind::Lock, name, None)?;
        self.contenders.unlock(&key, &self.identity).await
    }

    pub(crate) async fn leader(&self, name: &str, options: LeaderOptions) -> Result<Leader> {
        require_runtime()?;
        let timing = options.timing.check()?;
        let Registered { election, candidate_id, payload, state, registration } =
            self.register(name, &options)?;
        let (resign, resigned) = mpsc::unbounded_channel();
        let (started, joined) = oneshot::channel();
        let leader =
            Leader::new(candidate_id.to_arc(), election.name.to_arc(), Arc::clone(&state), resign);
        let leftovers = Leftovers::new(Arc::clone(&self.store), self.clock, Arc::clone(&election));
        let candidate = Candidate {
            contenders: Arc::clone(&self.contenders),
            election,
            id: candidate_id,
            payload,
            timing,
            state,
            resign: resigned,
            started: Some(started),
            membership: Membership::None,
            leftovers,
            warned: BTreeMap::new(),
            registration: Some(registration),
        };
        // The task ends when `leader` is resigned or dropped, also if this future is dropped.
        tokio::spawn(candidate.run());
        joined.await.unwrap_or_else(|_| Err(Error::Closed { name: name.to_owned() }))?;
        Ok(leader)
    }

    /// Registers a candidate in the election `name`, so that its id is in it once.
    pub(crate) fn register(&self, name: &str, options: &LeaderOptions) -> Result<Registered> {
        let election =
            self.key("election name", Kind::Election, name, options.namespace.as_deref())?;
        let candidate_id = match &options.candidate_id {
            Some(id) => Name::parse("candidate id", id)?,
            None => self.identity.clone(),
        };
        let payload = options.check_payload()?;
        let state = Arc::<Watched<LeaderState>>::default();
        let place = ((*election).clone(), candidate_id.clone());
        let Some(registration) = self.candidates.register(place, Arc::clone(&state)) else {
            let candidate_id = candidate_id.to_string();
            return Err(Error::AlreadyCandidate { election: name.to_owned(), candidate_id });
        };
        Ok(Registered { election, candidate_id, payload, state, registration })
    }

    /// Completes once everything that was given up is undone: candidates first, because they give up records.
    pub(crate) async fn close(&self) -> Result<()> {
        require_runtime()?;
        self.candidates.settled().await;
        self.contenders.settled().await
    }

    pub(crate) async fn list_members(&self, options: ListMembersOptions) -> Result<Vec<Member>> {
        require_runtime()?;
        let scope = self.elections(options.namespace.as_deref(), options.election.as_deref())?;
        let records = self.list_candidates(&scope).await?;
        Ok(roster::members(&**self.store.names(), &records))
    }

    /// The records in `scope` now, and one for each candidate in the queue of an election.
    pub(crate) async fn list_candidates(&self, scope: &Scope) -> Result<Vec<Seen>> {
        let records = self.list(scope).await?;
        let queues = records.iter().any(|seen| roster::is_queue(&seen.entry));
        let sessions = observer::sessions(&self.store, scope, queues, self.clock).await;
        Ok(records.iter().flat_map(|seen| roster::expand(seen, &sessions)).collect())
    }

    pub(crate) async fn watch_elect(&self, options: WatchElectOptions) -> Result<ElectWatcher> {
        require_runtime()?;
        let scope = self.elections(options.namespace.as_deref(), options.election.as_deref())?;
        let (observer, names) = (self.observe(scope).await?, Arc::clone(self.store.names()));
        let batches = stream::unfold(observer, |mut observer| async move {
            Some((stream::iter(observer.next_events().await), observer))
        });
        let events = batches.flatten().filter_map(move |event| ready(event.election(&*names)));
        Ok(ElectWatcher::new(events))
    }

    /// The records in `scope` now.
    pub(crate) async fn list(&self, scope: &Scope) -> Result<Vec<Seen>> {
        let list = self.store.list(scope);
        let entries = answered(&*self.store, observer::LIST_TIMEOUT, list).await?;
        let now = self.clock.now();
        Ok(entries.into_iter().map(|entry| Seen::listed(entry, now)).collect())
    }

    /// The records in `scope`, kept up to date.
    pub(crate) async fn observe(&self, scope: Scope) -> Result<Observer> {
        Observer::begin(Arc::clone(&self.store), self.clock, scope).await
    }

    pub(crate) fn elections(
        &self,
        namespace: Option<&str>,
        election: Option<&str>,
    ) -> Result<Scope> {
        let record_name = |name| Ok(self.record_name(&Name::parse("election name", name)?));
        Ok(Scope::Elections(self.namespace(namespace)?, election.map(record_name).transpose()?))
    }

    pub(crate) fn namespace(&self, chosen: Option<&str>) -> Result<Namespace> {
        let parse = |chosen| self.store.names().namespace(chosen);
        chosen.map_or_else(|| Ok(self.namespace.clone()), parse)
    }

    /// The name of the record of the lock or election `name`.
    pub(crate) fn record_name(&self, name: &Name) -> RecordName {
        self.store.names().of(name)
    }

    fn key(
        &self,
        what: &'static str,
        kind: Kind,
        name: &str,
        namespace: Option<&str>,
    ) -> Result<Arc<RecordKey>> {
        let name = Name::parse(what, name)?;
        let record = self.record_name(&name);
        Ok(Arc::new(RecordKey { namespace: self.namespace(namespace)?, record, kind, name }))
    }
}

/// An error where there is no Tokio runtime, because spawning a task would panic.
pub(crate) fn require_runtime() -> Result<()> {
    tokio::runtime::Handle::try_current().map(drop).map_err(|_| Error::Config {
        backend: "leasehold",
        reason: "there is no Tokio runtime here: call it from within one".into(),
        source: None,
    })
}
