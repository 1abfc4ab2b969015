//! The machine of one lock in one session: all claims of the session for it.
//!
//! One machine for each lock, and not for each claim, because one write can carry all that a session wants: a release
//! and the next claim of the same process are one write. At most one request is under way.
//!
//! ```text
//!  claim ──▶ Waiting ── a state shows it among the holders ──▶ Held ── a newer state does not ──▶ lost
//!               │ cancel                                         │ release
//!               ▼                                                ▼
//!            leaving: written out of the record, and no write of it can still be stored ──▶ left
//! ```
//!
//! A tenure begins at the first sight of the grant, from any source, and ends before its release is sent. The version
//! of that state is its token. A state older than one that was processed is ignored everywhere. If the record states a
//! time before which no tenure may begin, or the claim states one, the tenure begins later: see [`at_least`].

mod at_least;
mod backoff;
mod decide;
mod joins;
mod stated;
mod step;
mod unresolved;

use std::{collections::BTreeSet, num::NonZeroU64, sync::Arc, time::Duration};

pub(crate) use self::at_least::AtLeast;
use self::at_least::{Proof, Spacing};
use self::joins::Joins;
pub(crate) use self::step::{Event, Failure, Interest, Outcome, Step};
use self::unresolved::{Basis, Unresolved, note};
use super::{
    candidate::Candidate,
    claim::{Claim, Mode},
    record::StoredLock,
};
use crate::{
    api::{error::Loss, record::NotBefore},
    protocol::{not_before::WallClock, record::Nonce, session::SessionId},
    util::clock::Moment,
};

/// The pause before a full queue is read again, give or take a half.
const FULL_PAUSE: Duration = Duration::from_secs(2);
/// The longest interval between reads of a record that a foreign holder has, for the first in the queue. There is no
/// other way to hear of its release, because a watch of the name costs an event per waiter and hand-over.
const FOREIGN_POLL: Duration = Duration::from_secs(1);
/// A session that waits for so many locks reads each of them once per time to live. One that holds more does not spend a
/// write on the token of each.
const MANY: u32 = 64;
/// So many places at the head of the queue read the record often, because they follow soon.
const NEAR: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Known {
    /// Nothing, or only that the content changed.
    Nothing,
    Absent,
    Present(Arc<StoredLock>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Waiting,
    /// The record names it as a holder, and its tenure has not begun.
    Reserved {
        slot: u16,
        proof: Proof,
    },
    Held {
        token: NonZeroU64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    nonce: Nonce,
    mode: Mode,
    phase: Phase,
    try_once: bool,
    since: Moment,
    /// A state proves that the lock is in use if more states than this were seen: one that was requested after the
    /// call.
    stale_sights: u64,
    /// A write that contains it was sent.
    sent: bool,
    /// The candidate in an election that makes the claim.
    candidate: Option<Arc<Candidate>>,
    /// When its token is stated with a write of its own, once it holds.
    state_at: Moment,
    at_least: Option<Box<AtLeast>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Flight {
    Read {
        mark: u64,
        sent_at: Moment,
    },
    Write {
        write: Unresolved,
        /// The version of its base, and zero for a create.
        version: u64,
        /// It changes parts of the record instead of replacing it.
        patch: bool,
        /// It only states tokens.
        informs: bool,
        /// The time that it states for a claim of this session.
        states: Option<Arc<NotBefore>>,
    },
    Join(Unresolved),
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockMachine {
    me: SessionId,
    known: Known,
    /// The highest version processed, from any source.
    mark: u64,
    known_at: Moment,
    /// How many states were seen, also the same one again.
    sights: u64,
    /// A conflict or an unknown outcome: what is known may not be the present state.
    outdated: bool,
    joins: Joins,
    /// The label is gone from a record that was held: the record may still name a claim of this session.
    unlabelled: bool,
    claims: Vec<Wanted>,
    leaving: Vec<Nonce>,
    unresolved: Vec<Unresolved>,
    flight: Option<Flight>,
    conflicts: u32,
    /// Failed reads in a row.
    failures: u32,
    /// Failed writes in a row. Counted apart from reads, because a backend that answers every read and fails every write
    /// must not receive a write at once after each read.
    failed_writes: u32,
    pause_until: Moment,
    /// The pause follows a write that only stated tokens.
    pause_has_time: bool,
    /// Until then the event of a conflicting write is waited for.
    event_until: Moment,
    poll_at: Option<Moment>,
    over: BTreeSet<SessionId>,
    /// A session in the queue was over. Until then all ahead are observed: more may have ended with it.
    suspicious_until: Moment,
    foreign_since: Moment,
    /// A single try found a holder: it is observed until then, so that a later try may find it over.
    curious_until: Moment,
    events: Vec<Event>,
    /// How many locks this session waits for.
    waits: u32,
    /// How many locks this session holds; the largest number until that is known.
    held: usize,
    /// The time before which no tenure may begin, if there is one.
    spacing: Option<Box<Spacing>>,
    wall_clock: WallClock,
}

impl LockMachine {
    pub(crate) const fn new(me: SessionId) -> Self {
        Self {
            me,
            known: Known::Nothing,
            mark: 0,
            known_at: Moment::from_nanos(0),
            sights: 0,
            outdated: false,
            joins: Joins::NONE,
            unlabelled: false,
            claims: Vec::new(),
            leaving: Vec::new(),
            unresolved: Vec::new(),
            flight: None,
            conflicts: 0,
            failures: 0,
            failed_writes: 0,
            pause_until: Moment::from_nanos(0),
            pause_has_time: false,
            event_until: Moment::from_nanos(0),
            poll_at: None,
            over: BTreeSet::new(),
            suspicious_until: Moment::from_nanos(0),
            foreign_since: Moment::from_nanos(0),
            curious_until: Moment::from_nanos(0),
            events: Vec::new(),
            waits: 0,
            held: usize::MAX,
            spacing: None,
            wall_clock: WallClock::UNSET,
        }
    }

    /// Expects that the record does not exist, so that the first request is its create. If it exists, the create
    /// conflicts and costs one request more.
    pub(crate) fn expecting_absence(mut self) -> Self {
        self.known = Known::Absent;
        self
    }

    /// Reports how many locks the session waits for and holds. With many waits each lock is read less often, and with many
    /// held locks no write is spent on the token of each.
    pub(crate) const fn among(&mut self, waits: u32, held: usize) {
        (self.waits, self.held) = (waits, held);
    }

    /// Adds a claim. Its nonce is new.
    pub(crate) fn claim(&mut self, now: Moment, nonce: Nonce, mode: Mode, try_once: bool) {
        let (phase, since) = (Phase::Waiting, now);
        let stale_sights = self.sights + u64::from(self.flight.is_some());
        let (sent, candidate, state_at) = (false, None, Moment::NEVER);
        // Most locks have one claim, and a list grows from nothing to four places.
        if self.claims.is_empty() {
            self.claims.reserve_exact(1);
        }
        self.claims.push(Wanted {
            nonce,
            mode,
            phase,
            try_once,
            since,
            stale_sights,
            sent,
            candidate,
            state_at,
            at_least: None,
        });
        self.poll_at = None;
    }

    /// Says that a candidate in an election made this claim, which was added just before.
    pub(crate) fn describe(&mut self, nonce: Nonce, candidate: Arc<Candidate>) {
        if let Some(claim) = self.claims.iter_mut().find(|claim| claim.nonce == nonce) {
            claim.candidate = Some(candidate);
        }
    }

    /// Whether this session's claim with this nonce is in the record.
    pub(crate) fn is_listed(&self, nonce: Nonce) -> bool {
        self.record().is_some_and(|found| found.record.line.has(&self.me, nonce))
    }

    /// Gives a claim up: a release if it is held, otherwise a cancel. Nothing is held through it from now on.
    pub(crate) fn give_up(&mut self, nonce: Nonce) {
        let Some(index) = self.claims.iter().position(|claim| claim.nonce == nonce) else { return };
        let claim = self.claims.remove(index);
        if claim.is_held() {
            // Earlier writes were not urgent. Others wait for this one.
            (self.conflicts, self.failed_writes) = (0, 0);
            if std::mem::take(&mut self.pause_has_time) {
                self.pause_until = Moment::from_nanos(0);
            }
        }
        if claim.sent {
            self.leaving.push(nonce);
        } else {
            self.events.push(Event::Left { nonce });
        }
    }

    /// What happened since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The session is known to be over.
    pub(crate) fn passed(&mut self, session: &SessionId) {
        self.over.insert(session.clone());
    }

    /// The request under way is a write that only states tokens, so no caller waits for it.
    pub(crate) const fn only_informs(&self) -> bool {
        matches!(self.flight, Some(Flight::Write { informs: true, .. }))
    }

    pub(crate) fn is_held(&self) -> bool {
        self.claims.iter().any(Wanted::is_held)
    }

    /// Reads the record before anything else.
    pub(crate) const fn doubt(&mut self) {
        self.outdated = true;
        self.event_until = Moment::from_nanos(0);
    }

    /// The state that is known, for messages and for the order of the queue.
    pub(crate) const fn record(&self) -> Option<&Arc<StoredLock>> {
        match &self.known {
            Known::Present(found) => Some(found),
            Known::Nothing | Known::Absent => None,
        }
    }

    /// Another session waits for a lock that this one holds.
    pub(crate) fn is_requested(&self) -> bool {
        self.is_held() && self.record().is_some_and(|found| found.record.line.length() > 0)
    }

    /// A state from a watch or a list.
    pub(crate) fn seen(&mut self, now: Moment, mut state: Arc<StoredLock>) {
        let version = state.version.number.get();
        let filled = version == self.mark && matches!(self.known, Known::Nothing);
        if version < self.mark || version == self.mark && !filled {
            return;
        }
        let replaced = self.record().is_some_and(|known| known.version.uid != state.version.uid);
        self.mark = version;
        (self.outdated, self.unlabelled) = (false, false);
        (self.joins.owed, self.joins.turned) = (false, false);
        self.order_joined(&mut state);
        self.sights += 1;
        self.known_at = now;
        self.poll_at = None;
        self.unresolved.retain(|request| !request.basis.is_past(&state));
        let foreign = |state: &StoredLock| state.record.foreign.as_ref().map(|f| f.spec.clone());
        let before = self.record().and_then(|known| foreign(known));
        if foreign(&state) != before {
            self.foreign_since = now;
        }
        self.note_not_before(now, &state.record);
        let waits = self.spacing.is_some() && now < self.opens_at(&state.record);
        let proof = if waits { Proof::Later } else { Proof::None };
        let mut begun = Vec::new();
        for claim in &mut self.claims {
            let held = state.record.line.held(&self.me, claim.nonce);
            match (claim.phase, held) {
                (Phase::Waiting, Some(holder)) => {
                    claim.phase = Phase::Reserved { slot: holder.slot, proof };
                    // Without a time there is nothing to wait for.
                    if self.spacing.is_none() {
                        begun.push(claim.nonce);
                    }
                }
                (Phase::Reserved { .. } | Phase::Held { .. }, None) => {
                    let loss = if replaced { Loss::Deleted } else { Loss::Taken };
                    self.events.push(Event::Lost { nonce: claim.nonce, loss });
                }
                (Phase::Reserved { .. } | Phase::Held { .. }, Some(_)) if replaced => {
                    self.events.push(Event::Lost { nonce: claim.nonce, loss: Loss::Deleted });
                }
                _ => {}
            }
        }
        for nonce in begun {
            self.begin_tenure(now, nonce, state.version.number);
        }
        self.forget_lost();
        self.known = Known::Present(state);
    }

    /// The tenure of a reservation begins.
    fn begin_tenure(&mut self, now: Moment, nonce: Nonce, token: NonZeroU64) {
        let Some(claim) = self.claims.iter_mut().find(|claim| claim.nonce == nonce) else { return };
        if let Phase::Reserved { slot, .. } = claim.phase {
            claim.phase = Phase::Held { token };
            claim.state_at = stated::first(now, &self.me, claim);
            self.events.push(Event::Granted { nonce, token, slot });
        }
    }

    /// An event says that no claim of this session holds the lock since this version: its label is gone, or the whole
    /// object. It shows the content before that, so the content is not known now.
    pub(crate) fn unlabelled(&mut self, version: NonZeroU64) {
        if version.get() <= self.mark {
            return;
        }
        self.mark = version.get();
        self.known = Known::Nothing;
        // Usually another session holds the record now. But a person may have removed the label alone, and then no other
        // event or list would show the claim that no caller wants (L6).
        self.unlabelled |= self.is_held();
        self.lose_held(Loss::Taken);
    }

    /// The answer to a read.
    pub(crate) fn read(
        &mut self,
        now: Moment,
        random: u64,
        result: Result<Option<Arc<StoredLock>>, Failure>,
    ) {
        let Some(Flight::Read { mark, sent_at }) = self.flight.take() else { return };
        match result {
            // A server that lags behind, or a store that was restored. The present state is still unknown.
            Ok(Some(state)) if state.version.number.get() < mark => {
                self.read_failed(now, random, Failure::default());
            }
            Ok(Some(state)) => {
                self.failures = 0;
                self.outdated = false;
                self.known_at = now;
                self.confirm_reserved(sent_at);
                self.poll_at = None;
                let before = self.sights;
                // The object exists, also in a version that was known before the absence.
                if matches!(self.known, Known::Absent) {
                    self.known = Known::Nothing;
                }
                self.seen(now, state);
                // Also a state that was known already was read now.
                self.sights = before + 1;
            }
            // An absence has no version. It is outdated if a newer state arrived meanwhile.
            Ok(None) if mark != self.mark => {}
            Ok(None) => {
                self.failures = 0;
                self.outdated = false;
                self.unlabelled = false;
                self.known = Known::Absent;
                self.known_at = now;
                self.forget_not_before();
                self.lose_held(Loss::Deleted);
                self.unresolved.retain(|request| request.basis.fits(None));
            }
            Err(failure) => self.read_failed(now, random, failure),
        }
    }

    /// Whether this outcome of the write under way shows that the time which the write states was not stored.
    pub(crate) fn is_altered(&self, outcome: &Outcome) -> bool {
        match (&self.flight, outcome) {
            (Some(Flight::Write { states, .. }), Outcome::Stored(state)) => {
                states.is_some() && state.record.not_before != *states
            }
            _ => false,
        }
    }

    /// The outcome of a write.
    pub(crate) fn wrote(&mut self, now: Moment, random: u64, outcome: Outcome) {
        let altered = self.is_altered(&outcome);
        let informs = self.only_informs();
        let request = match self.flight.take() {
            Some(Flight::Write { write, version, .. }) => {
                // Nothing was changed, or not the time: another program takes such a change back.
                if altered
                    || matches!(&outcome, Outcome::Stored(state) if state.version.number.get() <= version)
                {
                    return self.write_failed(now, random, Failure::default());
                }
                write
            }
            Some(Flight::Join(join)) => {
                let lacks = |state: &StoredLock, nonce| !state.record.line.has(&self.me, nonce);
                if let Outcome::Stored(state) = &outcome
                    && join.nonces.iter().any(|nonce| lacks(state, *nonce))
                {
                    return self.write_failed(now, random, Failure::default());
                }
                join
            }
            other => return self.flight = other,
        };
        (self.joins.owed, self.joins.turned) = (false, false);
        match outcome {
            Outcome::Stored(state) => {
                (self.failures, self.failed_writes) = (0, 0);
                // A join cannot conflict with writes of the line, so it says nothing of them.
                if !matches!(request.basis, Basis::Epoch { .. }) {
                    self.conflicts = 0;
                }
                let turn = |found: &Arc<StoredLock>| found.record.turn.map(|turn| turn.number);
                if self.record().and_then(turn) == turn(&state) {
                    self.joins.contended = false;
                }
                self.seen(now, state);
                self.joins.owed = self.record().is_some_and(|found| {
                    found.record.foreign.is_none() && found.record.line.may_promote()
                });
            }
            Outcome::Conflict => {
                self.conflicted(now, random, &request);
                self.tokens_not_stored(now, random, informs);
            }
            Outcome::Failed(failure) => {
                if !failure.refused {
                    note(&mut self.unresolved, request);
                }
                self.write_failed(now, random, failure);
                self.pause_has_time = informs;
                self.tokens_not_stored(now, random, false);
            }
        }
    }

    fn lose_held(&mut self, loss: Loss) {
        for claim in self.claims.iter().filter(|claim| claim.is_held()) {
            self.events.push(Event::Lost { nonce: claim.nonce, loss });
        }
        self.forget_lost();
    }

    /// A lost tenure is never held again. If its claim is still in the record, the next write removes it.
    fn forget_lost(&mut self) {
        let lost: Vec<_> = self.events.iter().filter_map(Event::lost).collect();
        self.claims.retain(|claim| !lost.contains(&claim.nonce));
    }
}

impl Wanted {
    const fn token(&self) -> Option<NonZeroU64> {
        match self.phase {
            Phase::Waiting | Phase::Reserved { .. } => None,
            Phase::Held { token } => Some(token),
        }
    }

    /// The claim, as `session` makes it.
    fn of(&self, session: &SessionId) -> Claim {
        let (nonce, mode) = (self.nonce, self.mode);
        Claim { session: session.clone(), nonce, mode }
    }

    /// It may be added without a condition. The description of a candidate is part of the line.
    const fn may_join(&self) -> bool {
        !self.try_once && self.candidate.is_none()
    }

    /// The record names it as a holder.
    const fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Reserved { .. } | Phase::Held { .. })
    }
}

/// A random part of `whole`.
fn part(whole: Duration, random: u64) -> Duration {
    let share = u32::try_from(random & 0xffff).unwrap_or_default();
    whole / 0x1_0000 * share
}
