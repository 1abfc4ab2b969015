//! The record of a lock with a queue.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::{claim::Claim, line::Line};
use crate::{
    api::record::NotBefore,
    protocol::session::{SessionId, Stored},
};

/// The ttl that a held record states: ten years. Electors that know nothing of sessions wait for so long, because the
/// record itself is not renewed. A larger value passes the year 2038 in 32-bit clocks.
pub(crate) const FENCE: Duration = Duration::from_secs(315_360_000);

/// A record as its backend stored it.
pub(crate) type StoredLock = Stored<LockRecord>;

/// What the record of a lock says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LockRecord {
    pub(crate) line: Line,
    /// A holder that no line names: another elector, a handle without a session, or an edit by hand.
    pub(crate) foreign: Option<Foreign>,
    /// Late copies of claims that are in the line already. The next write removes them.
    pub(crate) copies: Vec<Claim>,
    /// `None` if the backend has no joins, or the record lacks what they need: it is then replaced as a whole.
    pub(crate) turn: Option<Turn>,
    /// The time before which no other tenure may begin.
    pub(crate) not_before: Option<Arc<NotBefore>>,
}

/// The counters on which a write may be conditional instead of on the whole record, so that claims can join meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Turn {
    /// Counts the writes of the line. No two states of one object with different lines have the same number.
    pub(crate) number: u64,
    /// What a join is conditional on. A new one makes all joins of the one before impossible.
    pub(crate) epoch: u64,
}

impl Turn {
    /// That of the next write.
    pub(crate) const fn next(self, new_epoch: bool) -> Self {
        Self { number: self.number + 1, epoch: self.epoch + new_epoch as u64 }
    }
}

/// The tenure of a holder that is no session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Foreign {
    pub(crate) holder: Arc<str>,
    /// The ttl that the record states.
    pub(crate) lives: Duration,
    /// The fields that its holder renews. The version does not do, because our own enqueues change it.
    pub(crate) spec: Arc<str>,
    /// The record has no line, or one that can be read. Another may be that of a later version, with more holders.
    pub(crate) readable: bool,
}

impl LockRecord {
    /// Judges what is stored: `spec.holderIdentity` decides.
    ///
    /// If it is not the holder that the line names, the holders of the line are void, because electors keep our
    /// annotation when they take the record over and when they release it. Without a holder the record is free, whatever
    /// the line says, and the queue remains. `line` is the annotation, if there is one, and `joined` are the claims that
    /// are stored apart from it. A line that cannot be read has no turn, so the next write replaces it. While such a
    /// record has a holder, no claim in it counts, because none can be removed without that. The time before which no
    /// tenure may begin is independent of all that.
    pub(crate) fn judge(
        holder: Option<&str>,
        line: Option<&str>,
        joined: Vec<Claim>,
        turn: Option<Turn>,
        lives: Duration,
        spec: impl FnOnce() -> Arc<str>,
    ) -> Self {
        let parsed = line.map(Line::parse);
        let unreadable = matches!(parsed, Some(None));
        let turn = turn.filter(|_| !unreadable);
        let mut line = parsed.flatten().unwrap_or_default();
        let agrees = line.holder().map(SessionId::as_str) == holder && !unreadable;
        if !agrees {
            line.holders.clear();
            line.forget_absent();
        }
        let foreign = holder.filter(|_| !agrees);
        let counted = joined.into_iter().filter(|_| !unreadable || foreign.is_none());
        // A claim is in one place.
        let (copies, joined) = counted.partition(|claim| line.has(&claim.session, claim.nonce));
        line.joined = joined;
        let readable = !unreadable;
        let foreign =
            foreign.map(|holder| Foreign { holder: holder.into(), lives, spec: spec(), readable });
        Self { line, foreign, copies, turn, not_before: None }
    }

    /// The token of the first holder, if its session has stated it.
    pub(crate) fn token(&self) -> Option<NonZeroU64> {
        let holder = self.line.holders.first().filter(|_| self.foreign.is_none());
        holder.and_then(|holder| self.line.token(holder.claim.nonce))
    }

    /// Whether the record names this session as its holder, also if no line does.
    pub(crate) fn names(&self, session: &SessionId) -> bool {
        match &self.foreign {
            Some(foreign) => *foreign.holder == *session.as_str(),
            None => self.line.holder() == Some(session),
        }
    }

    /// The session that holds the record, if its line does not name that session: no session takes such a record.
    pub(crate) fn unlisted(&self) -> Option<&Foreign> {
        self.foreign.as_ref().filter(|foreign| SessionId::parse(&foreign.holder).is_some())
    }

    /// Whether the line can be read, if there is one.
    pub(crate) fn is_readable(&self) -> bool {
        self.foreign.as_ref().is_none_or(|foreign| foreign.readable)
    }

    /// The session that the record names as its holder although its line, which can be read or is missing, does not:
    /// the line was removed, by a webhook or by hand. For that session it is no tenure, and for others none once that
    /// session is over.
    pub(crate) fn orphan(&self) -> Option<SessionId> {
        let foreign = self.foreign.as_ref().filter(|foreign| foreign.readable)?;
        SessionId::parse(&foreign.holder)
    }

    /// The holder, as an error names it.
    pub(crate) fn shown_holder(&self) -> Arc<str> {
        match (&self.foreign, self.line.first()) {
            (Some(foreign), _) => Arc::clone(&foreign.holder),
            (None, Some(claim)) => match self.line.candidate(claim.nonce) {
                Some(candidate) => Arc::clone(&candidate.id),
                None => claim.session.to_arc(),
            },
            (None, None) => "".into(),
        }
    }
}

/// What a write of the line is conditional on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Condition {
    /// The version of the base, or no record if there is no base.
    Version,
    /// The object, the holder and the turn of the base. Claims that joined meanwhile stay.
    Turn,
}

/// A conditional write: an update of `base`, or a create if `base` is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockWrite {
    pub(crate) base: Option<Arc<StoredLock>>,
    pub(crate) condition: Condition,
    pub(crate) line: Line,
    pub(crate) turn: Turn,
    /// The holders change. Otherwise the fields of the holder stay as they are, because they may be a foreign one's.
    pub(crate) changes_holders: bool,
    /// The time before which no other tenure may begin, as it is after the write.
    pub(crate) not_before: Option<Arc<NotBefore>>,
}

impl LockWrite {
    /// The claims that are not stored apart from the line any more: they are in the queue, hold the lock, or are gone.
    pub(crate) fn taken(&self) -> impl Iterator<Item = &Claim> {
        let base = self.base.iter().map(|base| &base.record);
        let joined = base.clone().flat_map(|record| &record.line.joined);
        let joined = joined.filter(|claim| !self.line.joined.contains(claim));
        joined.chain(base.flat_map(|record| &record.copies))
    }
}

/// Adds claims behind the queue of exactly this object in this epoch, whatever else is written meanwhile. Adding a claim
/// that is there already changes at most the time at which it joined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Join {
    pub(crate) base: Arc<StoredLock>,
    pub(crate) epoch: u64,
    pub(crate) claims: Vec<Claim>,
}
