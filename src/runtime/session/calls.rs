//! The calls of a session about its locks.

use std::{collections::BTreeMap, num::NonZeroU16, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::{
    LONGEST_REQUEST, Session,
    callers::Waiting,
    closed,
    command::Command,
    requests::{Sender, SessionRequest},
};
use crate::{
    LockMode, LockQueue, QueueEntry,
    api::{
        error::{Error, Result},
        guard::Guard,
        name::{Name, RecordName},
        options::LockOptions,
        timing::Timing,
        token::Token,
    },
    protocol::{
        queue::{
            claim::{Claim, Mode},
            machine::AtLeast,
            record::LockRecord,
        },
        record::Nonce,
        session::{SessionAnswer, SessionId},
    },
    runtime::handle::require_runtime,
    store::{Kind, RecordKey},
    util::environment,
};

/// How long a call whose wait is over waits until its claim has left the queue, and for the name of the holder. The
/// backend may be away, or the task of the session not polled.
const GRACE: Duration = Duration::from_secs(1);
/// What is left of the wait for several locks, at least. Without any, a call is a single try.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

impl Session {
    /// See [`Sync::lock`](crate::Sync::lock).
    pub(super) async fn acquire(&self, name: &str, options: LockOptions) -> Result<Guard> {
        require_runtime()?;
        self.check_ttl(options.timing)?;
        let mode = mode_of(options.mode.check()?);
        let at_least = self.at_least(mode, options)?;
        let key = self.key(name)?;
        let record = key.record.clone();
        let nonce = Nonce(environment::random().max(1));
        let (answer, mut granted) = oneshot::channel();
        let try_once = options.wait == Some(Duration::ZERO);
        let (asked, since) = (nonce.0, self.0.clock.now());
        let candidate = None;
        let waiting = Waiting { asked, since, mode, try_once, at_least, answer, candidate };
        let shown = key.name.to_string();
        let name = || shown.clone();
        let key = Arc::new(key);
        self.send(Command::Lock { key: Arc::clone(&key), nonce, waiting })
            .map_err(|()| closed(&name()))?;
        let mut pending = Pending { session: self, record: &record, nonce, done: false };
        let wait = match options.wait {
            None => None,
            // A single try waits for an answer of the store, but not for another holder.
            Some(Duration::ZERO) => Some(LONGEST_REQUEST),
            Some(wait) => Some(wait),
        };
        let mut left = true;
        let answer = match wait {
            None => (&mut granted).await,
            Some(waited) => {
                if let Ok(answer) = timeout(waited, &mut granted).await {
                    answer
                } else {
                    let (why, mut reason) = oneshot::channel();
                    let command = Command::Expire { record: record.clone(), nonce, waited, why };
                    self.send(command).map_err(|()| closed(&name()))?;
                    timeout(GRACE, &mut granted).await.unwrap_or_else(|_| {
                        left = false;
                        let unknown = |_| self.0.sender.no_answer(waited);
                        Ok(Err(reason.try_recv().unwrap_or_else(unknown)))
                    })
                }
            }
        };
        // After a timeout the claim may still be in the queue.
        pending.done = left && !matches!(&answer, Ok(Err(Error::Timeout { .. })));
        if let Ok(Ok(guard)) = &answer {
            guard.mark_received();
        }
        match answer.unwrap_or_else(|_| Err(closed(&name()))) {
            // In a box, because a process may wait for thousands of locks, and few of these waits end with an error.
            Err(error) if left => Err(Box::pin(self.with_identity(&key, error)).await),
            answer => answer,
        }
    }

    /// The error with the identity of the process that holds the lock, instead of the name of its session, or of
    /// nothing if the wait was too short for an answer. Without an answer now there is no reason to name a holder.
    async fn with_identity(&self, key: &RecordKey, mut error: Error) -> Error {
        let (Error::Held { holder, .. } | Error::Timeout { holder, .. }) = &mut error else {
            return error;
        };
        let sender = Sender { limit: self.0.sender.limit.min(GRACE), ..self.0.sender.clone() };
        if holder.is_empty() {
            match sender.found(key).await {
                Ok(Some(found)) => *holder = found.record.shown_holder().to_string(),
                Ok(None) => {}
                Err(unavailable) => return unavailable,
            }
        }
        if let Some(id) = SessionId::parse(holder) {
            let read = sender.session(&id, SessionRequest::Read, sender.limit).await;
            if let (SessionAnswer::Found(Some(found)), _) = read
                && !found.record.identity.is_empty()
            {
                *holder = found.record.identity.to_string();
            }
        }
        error
    }

    /// Acquires all of these locks, or none. The guards are in the order of `names`.
    ///
    /// The locks are acquired one after the other, in one order for all callers, so that two calls never wait for each
    /// other. The wait in `options` is that of all locks together.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if a name occurs twice, and the errors of [`Sync::lock`](crate::Sync::lock). The locks that
    /// were acquired before are released.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases what was acquired.
    pub async fn lock_all<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
        options: LockOptions,
    ) -> Result<Vec<Guard>> {
        let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let mut order = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            if order.insert(self.key(name)?.record, index).is_some() {
                return Err(Error::invalid("lock name", name, "it occurs twice in one call"));
            }
        }
        let end = options.wait.map(|wait| (self.0.clock.now() + wait, wait.min(SHORTEST_WAIT)));
        let mut guards: Vec<Option<Guard>> = names.iter().map(|_| None).collect();
        for index in order.into_values() {
            // A wait that ends here does not become a single try.
            let wait = end.map(|(end, least)| end.since(self.0.clock.now()).max(least));
            let one = LockOptions { wait, ..options };
            let guard = self.acquire(&names[index], one).await;
            guards[index] = Some(guard.map_err(|mut error| {
                if let (Error::Timeout { waited, .. }, Some(wait)) = (&mut error, options.wait) {
                    *waited = wait;
                }
                error
            })?);
        }
        Ok(guards.into_iter().flatten().collect())
    }

    /// The holders and waiters of the lock `name` now, in order. For people: it is outdated when it arrives.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a name that cannot be used, and failures of the backend.
    pub async fn queue(&self, name: &str) -> Result<LockQueue> {
        require_runtime()?;
        let found = self.0.sender.found(&self.key(name)?).await?;
        Ok(found.map(|found| queue_of(&found.record)).unwrap_or_default())
    }

    /// For how long after the start of the tenure no other one may begin.
    fn at_least(&self, mode: Mode, options: LockOptions) -> Result<Option<AtLeast>> {
        let Some(length) = options.timing.check()?.with_at_least(options.at_least)?.at_least()
        else {
            return Ok(None);
        };
        if mode != Mode::Exclusive {
            let bound = "only an exclusive lock can have one, because the holders of a shared lock, and of a lock with \
                slots, begin at any time";
            return Err(Error::invalid("time between two starts", &format!("{length:?}"), bound));
        }
        let holder = self.0.handle.options().identity.as_deref().unwrap_or_default().into();
        Ok(Some(AtLeast { length, holder }))
    }

    pub(super) fn key(&self, name: &str) -> Result<RecordKey> {
        let name = Name::parse("lock name", name)?;
        let record = self.0.handle.record_name(&name);
        Ok(RecordKey { namespace: self.0.sender.namespace.clone(), record, kind: Kind::Lock, name })
    }

    /// A lock cannot end before its session.
    pub(super) fn check_ttl(&self, timing: Timing) -> Result<()> {
        let ttl = timing.check()?.ttl();
        if timing == Timing::default() || ttl >= self.0.ttl {
            return Ok(());
        }
        let bound = format!(
            "a lock lives as long as its session, whose time to live is {:?}. Open a session with a shorter one",
            self.0.ttl
        );
        Err(Error::invalid("time to live", &format!("{ttl:?}"), bound))
    }
}

/// The mode in the record. Zero slots were refused before.
fn mode_of(mode: LockMode) -> Mode {
    match mode {
        LockMode::Exclusive => Mode::Exclusive,
        LockMode::Shared => Mode::Shared,
        LockMode::Slots(slots) => Mode::Slots(NonZeroU16::new(slots).unwrap_or(NonZeroU16::MIN)),
    }
}

pub(crate) fn queue_of(record: &LockRecord) -> LockQueue {
    let entry = |claim: &Claim, slot| {
        let token = record.line.token(claim.nonce).map(Token::new);
        let (mode, slot) = match claim.mode {
            Mode::Exclusive => (LockMode::Exclusive, None),
            Mode::Shared => (LockMode::Shared, None),
            Mode::Slots(slots) => (LockMode::Slots(slots.get()), slot),
        };
        QueueEntry { session: claim.session.to_string(), mode, slot, token }
    };
    LockQueue {
        holders: record.line.holders.iter().map(|one| entry(&one.claim, Some(one.slot))).collect(),
        waiters: record.line.waiting().map(|claim| entry(claim, None)).collect(),
        other_holder: record.foreign.as_ref().map(|foreign| foreign.holder.to_string()),
    }
}

/// A call of `lock` that has no answer yet. Its drop leaves the queue.
struct Pending<'a> {
    session: &'a Session,
    record: &'a RecordName,
    nonce: Nonce,
    done: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.done {
            let (record, nonce) = (self.record.clone(), self.nonce);
            // An error means that the session has ended, and its queue entries with it.
            let _ = self.session.send(Command::Cancel { record, nonce });
        }
    }
}
