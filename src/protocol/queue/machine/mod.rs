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
mod interests;
mod joins;
mod observe;
mod responses;
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
    api::record::NotBefore,
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
    /// The next call ends the pause: it follows a refusal, which all earlier callers have received, or a write that only
    /// stated tokens.
    call_ends_pause: bool,
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
            call_ends_pause: false,
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
        self.called();
    }

    /// A caller waits for the next request.
    const fn called(&mut self) {
        if self.call_ends_pause {
            (self.pause_until, self.call_ends_pause) = (Moment::from_nanos(0), false);
        }
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
            self.called();
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

    /// The session is known to be over. Forgets those that are not in the line any more: if one of them comes again, it
    /// is observed again.
    pub(crate) fn passed(&mut self, session: &SessionId) {
        if let Known::Present(found) = &self.known {
            let (present, orphan) = (found.record.line.sessions(), found.record.orphan());
            self.over.retain(|one| present.contains(one) || orphan.as_ref() == Some(one));
        }
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

    /// The record is read before anything else is decided.
    pub(crate) const fn is_outdated(&self) -> bool {
        self.outdated
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
