//! The record of a lock with a queue.

use std::{sync::Arc, time::Duration};

use super::line::Line;
use crate::protocol::session::{SessionId, Stored};

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
}

/// The tenure of a holder that is no session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Foreign {
    pub(crate) holder: Arc<str>,
    /// The ttl that the record states.
    pub(crate) lives: Duration,
    /// The fields that its holder renews. The version does not do, because our own enqueues change it.
    pub(crate) spec: Arc<str>,
}

impl LockRecord {
    /// Judges what is stored: `spec.holderIdentity` decides.
    ///
    /// If it is not the holder that the line names, the holders of the line are void, because electors keep our
    /// annotation when they take the record over and when they release it. Without a holder the record is free, and the
    /// queue remains. `line` is the annotation, if there is one.
    pub(crate) fn judge(
        holder: Option<&str>,
        line: Option<&str>,
        lives: Duration,
        spec: impl FnOnce() -> Arc<str>,
    ) -> Self {
        let parsed = line.map(Line::parse);
        let unreadable = matches!(parsed, Some(None));
        let mut line = parsed.flatten().unwrap_or_default();
        let named = line.holder().map(SessionId::as_str);
        if named == holder && !unreadable {
            return Self { line, foreign: None };
        }
        line.holders.clear();
        let foreign = (unreadable || holder.is_some()).then(|| Foreign {
            holder: holder.unwrap_or_default().into(),
            lives,
            spec: spec(),
        });
        Self { line, foreign }
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

/// A conditional write: an update of exactly `base`, or a create if `base` is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockWrite {
    pub(crate) base: Option<Arc<StoredLock>>,
    pub(crate) line: Line,
    /// The holders change. Otherwise the fields of the holder stay as they are, because they may be a foreign one's.
    pub(crate) changes_holders: bool,
}
