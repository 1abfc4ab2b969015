//! The time before which no tenure may begin, as the claims of a session obey and state it.
//!
//! Before that time the line of the record may already name a claim as a holder. That is a reservation: no other claim
//! can come first, and no tenure has begun. The tenure begins when the time is over, and, if the claim states a time
//! itself, once the record shows that: a process that crashes right after its start still keeps others out.
//!
//! ```text
//!  Waiting ── a state shows it among the holders ──▶ Reserved ── the time is over, and its own is stated ──▶ Held
//! ```

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{LockMachine, Phase, Wanted};
use crate::{
    api::record::NotBefore,
    protocol::{
        not_before::{Closed, Known, WallClock},
        queue::{
            claim::Holder,
            line::Line,
            record::{LockRecord, StoredLock},
        },
        record::Nonce,
    },
    util::clock::Moment,
};

/// How many statements of one claim are remembered. An older one counts as that of another holder, which only
/// lengthens a wait.
const MAX_SENT: usize = 8;

/// No other tenure begins for a time after the start of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AtLeast {
    pub(crate) length: Duration,
    /// The identity of the process, for the record.
    pub(crate) holder: Arc<str>,
}

/// What must be known before a reservation becomes a tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Proof {
    /// Nothing more.
    None,
    /// It has to wait for the time of another tenure. After that it needs a proof.
    Later,
    /// A read that is sent after this moment.
    Since(Moment),
}

/// What a machine knows of such times. Most machines have none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spacing {
    /// What the record states.
    shown: Option<Known>,
    /// What claims of this session state, or have stated.
    own: Vec<Own>,
}

/// What one claim of this session states.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Own {
    nonce: Nonce,
    /// What writes of this machine have stated before its tenure began, and when they were sent.
    sent: Vec<(Moment, Arc<NotBefore>)>,
    /// What its tenure states, once that has begun.
    begun: Option<Known>,
}

impl Spacing {
    const NONE: Self = Self { shown: None, own: Vec::new() };

    fn own_mut(&mut self, nonce: Nonce) -> &mut Own {
        let at = self.own.iter().position(|own| own.nonce == nonce).unwrap_or_else(|| {
            self.own.push(Own { nonce, sent: Vec::new(), begun: None });
            self.own.len() - 1
        });
        &mut self.own[at]
    }
}

impl Own {
    fn has_sent(&self, stated: Option<&Arc<NotBefore>>) -> bool {
        self.sent.iter().any(|(_, sent)| Some(sent) == stated)
    }
}

impl LockMachine {
    /// Lets a claim, which was added just before, keep others from beginning for a time after its start.
    pub(crate) fn space(&mut self, nonce: Nonce, at_least: AtLeast) {
        if let Some(claim) = self.claims.iter_mut().find(|claim| claim.nonce == nonce) {
            claim.at_least = Some(Box::new(at_least));
            self.spacing.get_or_insert_with(|| Box::new(Spacing::NONE));
        }
    }

    /// The wall clock shows `wall` at `now`. The machine goes on from there until the next call.
    pub(crate) const fn set_wall_clock(&mut self, now: Moment, wall: SystemTime) {
        self.wall_clock = WallClock::new(now, wall);
    }

    /// Goes on with the time that an earlier machine of this lock has seen, so that the wait for it does not start again.
    pub(crate) fn inherit(&mut self, earlier: Self) {
        let shown = earlier.spacing.and_then(|spacing| spacing.shown);
        if shown.is_some() {
            self.spacing.get_or_insert_with(|| Box::new(Spacing::NONE)).shown = shown;
        }
    }

    /// The work of the tenure begins only `now`: its time counts from here.
    pub(crate) fn began(&mut self, now: Moment, nonce: Nonce) {
        let claim = self.claims.iter().find(|claim| claim.nonce == nonce);
        let at_least = claim.and_then(|claim| claim.at_least.as_ref());
        if let (Some(AtLeast { length, holder }), Some(spacing)) =
            (at_least.map(|at_least| &**at_least), &mut self.spacing)
        {
            let value = self.wall_clock.not_before(now, *length, holder);
            spacing.own_mut(nonce).begun = Some(Known::own(value, now));
        }
    }

    /// The caller of this claim has never received its guard, so its release takes the time back.
    pub(crate) fn withdraw(&mut self, nonce: Nonce) {
        let own = self.spacing.iter_mut().flat_map(|spacing| &mut spacing.own);
        for own in own.filter(|own| own.nonce == nonce) {
            own.sent.extend(own.begun.take().map(|known| (known.since, known.value)));
        }
    }

    /// For errors: no tenure may begin yet, and no other holder is the reason.
    pub(crate) fn closed(&self, now: Moment) -> Option<Closed> {
        let record = &self.record()?.record;
        let foreign_holds = self.foreign_holds(now, record);
        let reserved = |holder: &Holder| {
            let mut reserved = self.claims.iter().filter(|claim| claim.is_reserved());
            holder.claim.session == self.me
                && reserved.any(|claim| claim.nonce == holder.claim.nonce)
        };
        let free = !foreign_holds && record.line.holders.iter().all(reserved);
        self.closed_until(now).filter(|_| free)
    }

    /// No tenure may begin yet, even if another session holds the record.
    pub(super) fn closed_until(&self, now: Moment) -> Option<Closed> {
        let (spacing, record) = (self.spacing.as_ref()?, &self.record()?.record);
        let until = self.opens_at(record);
        let shown = spacing.shown.as_ref().filter(|_| now < until);
        shown.map(|known| known.closed(until, &self.wall_clock))
    }

    /// The record shows this state.
    pub(super) fn note_not_before(&mut self, now: Moment, record: &LockRecord) {
        if self.spacing.is_none() && record.not_before.is_none() {
            return;
        }
        let Self { me, spacing, claims, leaving, wall_clock, .. } = self;
        let known = spacing.get_or_insert_with(|| Box::new(Spacing::NONE));
        known.shown = Known::noted(known.shown.take(), now, record.not_before.as_ref(), wall_clock);
        known.own.retain(|own| {
            record.line.held(me, own.nonce).is_some()
                || leaving.contains(&own.nonce)
                || claims.iter().any(|claim| claim.nonce == own.nonce)
        });
        let spaced = claims.iter().any(|claim| claim.at_least.is_some());
        if known.shown.is_none() && known.own.is_empty() && !spaced {
            *spacing = None;
        }
    }

    /// The record is absent.
    pub(super) fn forget_not_before(&mut self) {
        if let Some(spacing) = &mut self.spacing {
            spacing.shown = None;
        }
    }

    /// When the record allows another tenure to begin: long ago, if it states no time.
    pub(super) fn opens_at(&self, record: &LockRecord) -> Moment {
        let Some(spacing) = &self.spacing else { return Moment::default() };
        match self.own_in(spacing, record) {
            Some(Own { begun: Some(begun), .. }) => begun.own_opens_at(),
            Some(own) if own.has_sent(record.not_before.as_ref()) => Moment::default(),
            _ => {
                let shown = spacing.shown.as_ref();
                shown.and_then(|known| known.opens_at(&self.wall_clock)).unwrap_or_default()
            }
        }
    }

    /// What the holder states, if it is a claim of this session that states a time.
    fn own_in<'a>(&self, spacing: &'a Spacing, record: &LockRecord) -> Option<&'a Own> {
        spacing.own.iter().find(|own| record.line.held(&self.me, own.nonce).is_some())
    }

    /// No tenure may begin on this record at `now`.
    pub(super) fn is_closed(&self, now: Moment, base: Option<&StoredLock>) -> bool {
        base.is_some_and(|base| now < self.opens_at(&base.record))
    }

    /// A claim has a reservation.
    pub(crate) fn has_reservation(&self) -> bool {
        self.claims.iter().any(Wanted::is_reserved)
    }

    /// Notes how the reservations stand at `now`: those that have to wait need a proof once their time is over.
    fn note_reserved(&mut self, now: Moment) {
        let waits = now < self.begins_at();
        for claim in &mut self.claims {
            if let Phase::Reserved { proof, .. } = &mut claim.phase {
                *proof = match *proof {
                    _ if waits => Proof::Later,
                    Proof::Later => Proof::Since(now),
                    proof => proof,
                };
            }
        }
    }

    /// A read that was sent at this moment shows the record.
    pub(super) fn confirm_reserved(&mut self, sent_at: Moment) {
        for claim in &mut self.claims {
            if let Phase::Reserved { proof, .. } = &mut claim.phase
                && matches!(proof, Proof::Since(due) if *due <= sent_at)
            {
                *proof = Proof::None;
            }
        }
    }

    /// When the next reservation can become a tenure.
    pub(super) fn begins_at(&self) -> Moment {
        let record = self.record().filter(|_| self.has_reservation());
        record.map_or(Moment::NEVER, |found| self.opens_at(&found.record))
    }

    /// Begins the tenures of reservations, if nothing is in their way any more.
    ///
    /// The token is the version of the state that is known then. All earlier tenures have smaller ones, and a later one
    /// is granted by a later write.
    pub(super) fn begin_reserved(&mut self, now: Moment) {
        self.note_reserved(now);
        if self.outdated || now < self.begins_at() {
            return;
        }
        let Some(found) = self.record().cloned() else { return };
        let ready = self.claims.iter().filter(|claim| {
            claim.is_reserved() && !must_confirm(claim) && !self.must_state(now, claim)
        });
        let ready: Vec<_> = ready.map(|claim| claim.nonce).collect();
        for nonce in ready {
            self.begin_tenure(now, nonce, found.version.number);
            self.began(now, nonce);
        }
    }

    /// A single try got a reservation: the lock was closed when its write was stored.
    pub(super) fn has_early_try(&self, now: Moment) -> bool {
        let tried = |claim: &Wanted| claim.try_once && claim.is_reserved();
        now < self.begins_at() && self.claims.iter().any(tried)
    }

    /// The tenure of this claim may begin once the record states the time of this claim.
    fn must_state(&self, now: Moment, claim: &Wanted) -> bool {
        if !claim.is_reserved() || claim.at_least.is_none() {
            return false;
        }
        let stated = self.record().and_then(|found| found.record.not_before.as_ref());
        let own = self.spacing.iter().flat_map(|spacing| &spacing.own);
        let mut sent = own.filter(|own| own.nonce == claim.nonce).flat_map(|own| &own.sent);
        // An old one would leave too little of the time after a crash.
        !sent.any(|(sent_at, sent)| Some(sent) == stated && now < *sent_at + self.me.ttl())
    }

    /// A read is necessary before a reservation becomes a tenure.
    pub(super) fn must_confirm_any(&self, now: Moment) -> bool {
        now >= self.begins_at() && self.claims.iter().any(must_confirm)
    }

    /// A write is necessary before a reservation becomes a tenure.
    pub(super) fn must_state_any(&self, now: Moment) -> bool {
        now >= self.begins_at() && self.claims.iter().any(|claim| self.must_state(now, claim))
    }

    /// The time that a write of `line` stores.
    ///
    /// An earlier time that counts stays. A claim that can begin its tenure with this write states its own time, and
    /// one that has none removes a time that is over. Writes of other sessions leave it alone. The second value is the
    /// time that a claim states with this write, before its tenure.
    pub(super) fn not_before_of(
        &mut self,
        now: Moment,
        base: Option<&StoredLock>,
        line: &Line,
    ) -> (Option<Arc<NotBefore>>, Option<Arc<NotBefore>>) {
        let stays = base.and_then(|base| self.stays(&base.record));
        let mine = |line: &Line| line.holders.iter().any(|one| one.claim.session == self.me);
        let concerns = mine(line) || base.is_some_and(|base| mine(&base.record.line));
        if !concerns || self.is_closed(now, base) {
            return (stays, None);
        }
        let states = self.statement(now, line);
        (states.clone(), states)
    }

    /// The time that a claim of this session, whose tenure `line` lets begin at `now`, states.
    fn statement(&mut self, now: Moment, line: &Line) -> Option<Arc<NotBefore>> {
        let stating = self
            .claims
            .iter()
            .find(|claim| claim.token().is_none() && line.held(&self.me, claim.nonce).is_some())?;
        let (nonce, AtLeast { length, holder }) = (stating.nonce, &**stating.at_least.as_ref()?);
        let spacing = self.spacing.as_mut()?;
        let value = self.wall_clock.not_before(now, *length, holder);
        let own = spacing.own_mut(nonce);
        if own.sent.len() == MAX_SENT {
            own.sent.remove(0);
        }
        own.sent.push((now, Arc::clone(&value)));
        Some(value)
    }

    /// The time that the record states, in the words of the tenure that states it.
    fn stays(&self, record: &LockRecord) -> Option<Arc<NotBefore>> {
        let stated = record.not_before.as_ref();
        let own = self.spacing.as_ref().and_then(|spacing| self.own_in(spacing, record));
        match own {
            Some(Own { begun: Some(begun), .. }) => Some(Arc::clone(&begun.value)),
            Some(own) if own.has_sent(stated) => None,
            _ => stated.cloned(),
        }
    }
}

/// The claim has waited for the time of another tenure, and states none: only a read that was sent after that time
/// shows that the reservation still stands. This process may have been paused, and events may be old. A claim that
/// states a time confirms its reservation with that write.
fn must_confirm(claim: &Wanted) -> bool {
    let Phase::Reserved { proof, .. } = claim.phase else { return false };
    claim.at_least.is_none() && proof != Proof::None
}

impl Wanted {
    pub(super) const fn is_reserved(&self) -> bool {
        matches!(self.phase, Phase::Reserved { .. })
    }
}
