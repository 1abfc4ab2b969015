//! The other processes that take the record, and the races that are left open to one that is farther away.
//!
//! Processes that take a record in turn may all be nearer to the server than another one that they do not know of, because
//! it has never won: it needs an event and a claim, and one of them is always ready before that. So they let some free
//! records pass for a while. The version of the record tells which, so all choose the same ones:
//!
//! | of the races | left open for |
//! |---|---|
//! | one in 8 | a sixteenth of the mean time between two releases |
//! | one in 16 | an eighth |
//! | one in 32 | a quarter, and so on |
//!
//! in milliseconds, rounded up to a power of two, and at most 400 ms and a tenth of the ttl. So each row costs the same
//! small part of the time. Nothing is left open unless the record is in use all the time: while it stands free for
//! longer than a far process needs, that process can take it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Machine, backoff::MAX_RACE_SPAN};
use crate::{protocol::record::Versioned, util::clock::Moment};

/// One of so many races, at most, is left open.
const RACES_PER_OPEN_RACE: u32 = 4;
/// One race of n is left open for n of so many parts of the mean time between two releases.
const OPEN_PARTS: u32 = 64;
/// A race is left open for at most this part of the ttl.
const MAX_OPEN_PART_OF_TTL: u32 = 10;
/// Turns that are longer than this on average are seldom enough that a far contender comes first in some of them.
const MAX_OPEN_TURN: Duration = Duration::from_secs(60);
/// A record that stood free for longer was an open race by itself: twice the longest delay of a claim.
const IDLE: Duration = Duration::from_millis(800);
/// A contender that had the record within so many tenures leaves it to others in an open race.
const RECENT_TURNS: u32 = 8;
/// A contender that has freed the record so many times, with no tenure of another process since, is alone.
const TURNS_ALONE: u32 = 8;
/// How many tenures of other processes are remembered.
const RIVALS: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Rivals {
    /// The holders of the last tenures of others.
    recent: Vec<Arc<str>>,
    /// How many tenures of a holder that had one shortly before began since the last own write.
    overtaken: u32,
    /// How many tenures of others began since the last own one; `None` before the first one.
    missed: Option<u32>,
    /// How often the record became free since the last tenure of another process began; `None` before the first one.
    alone: Option<u32>,
    /// When the record was last seen to become free, if it has not stood free for long since.
    freed_at: Option<Moment>,
    /// The mean time between two releases; zero before it is known.
    turn: Duration,
    /// The version in which the record was seen to become free at that moment, and not later, by a read.
    freed: Option<u64>,
    /// A local caller cannot wait as long as a race may be left open.
    hurried: bool,
}

impl Rivals {
    pub(super) fn number(&self) -> usize {
        self.recent.iter().collect::<BTreeSet<_>>().len()
    }

    /// How many turns of its own this contender has missed while several others had theirs twice.
    pub(super) fn rounds(&self) -> u32 {
        match u32::try_from(self.number()) {
            Ok(number @ 2..) => self.overtaken / (2 * number),
            _ => 0,
        }
    }

    /// A write of this contender is stored.
    pub(super) const fn own_write(&mut self) {
        self.overtaken = 0;
    }

    /// A tenure of this contender began.
    pub(super) const fn own_tenure(&mut self) {
        self.missed = Some(0);
    }

    /// A tenure of another process began.
    pub(super) fn tenure_seen(&mut self, holder: &Arc<str>) {
        self.missed(1);
        if self.recent.contains(holder) {
            self.overtaken = self.overtaken.saturating_add(1);
        }
        if self.recent.len() == RIVALS {
            self.recent.remove(0);
        }
        self.recent.push(Arc::clone(holder));
    }

    /// So many tenures of other processes began and ended while this contender did not look.
    pub(super) fn tenures_unseen(&mut self, tenures: u32) {
        if tenures > 0 {
            self.missed(tenures);
        }
    }

    fn missed(&mut self, tenures: u32) {
        self.missed = self.missed.map(|missed| missed.saturating_add(tenures));
        self.alone = Some(0);
    }

    /// The record was seen to become free with this version, which is `None` if a read found it free, so that it may have
    /// been free for long.
    pub(super) fn freed(&mut self, now: Moment, version: Option<u64>) {
        if let Some(before) = self.freed_at.replace(now) {
            let turn = (now - before).min(MAX_OPEN_TURN * 2);
            let known = if self.turn.is_zero() { turn } else { self.turn };
            self.turn = known / 2 + turn / 2;
        }
        self.freed = version;
        self.alone = self.alone.map(|alone| alone + 1).filter(|&alone| alone <= TURNS_ALONE);
        if self.alone.is_none() {
            self.recent.clear();
        }
    }

    /// This contender has freed the record with this version.
    pub(super) const fn freed_by_itself(&mut self, version: u64) {
        self.freed = Some(version);
    }

    /// The free record was claimed, by any process.
    pub(super) fn claimed(&mut self, now: Moment) {
        if self.freed_at.is_some_and(|freed_at| now - freed_at > IDLE) {
            self.freed_at = None;
            self.turn = Duration::ZERO;
        }
    }

    /// Another process has had the record not long ago, and the last own tenure is one of the last few.
    fn is_in_turn(&self) -> bool {
        self.alone.is_some() && self.missed.is_some_and(|missed| missed <= RECENT_TURNS)
    }

    /// For how long a record that became free with this version is left to contenders that have had no turn.
    fn left_open(&self, version: u64, ttl: Duration) -> Duration {
        if self.hurried || !self.is_in_turn() || self.freed != Some(version) {
            return Duration::ZERO;
        }
        // The finaliser of SplitMix64: half of all versions end in a zero, a quarter in two.
        let mixed = (version ^ (version >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let races = 1 << (mixed ^ (mixed >> 31)).trailing_zeros().min(31);
        if races < RACES_PER_OPEN_RACE || self.turn > MAX_OPEN_TURN {
            return Duration::ZERO;
        }
        let most = MAX_RACE_SPAN.min(ttl / MAX_OPEN_PART_OF_TTL);
        let left_open = (self.turn.saturating_mul(races) / OPEN_PARTS).min(most);
        // So that all leave it open for about the same time, although their means differ a little.
        match u64::try_from(left_open.as_millis()) {
            Ok(0) | Err(_) => Duration::ZERO,
            Ok(left_open) => Duration::from_millis(left_open.next_power_of_two()).min(most),
        }
    }
}

impl Machine {
    /// A local caller cannot wait as long as a race may be left open, so none is.
    pub(crate) const fn set_hurried(&mut self, hurried: bool) {
        self.backoff.rivals.hurried = hurried;
    }

    /// For how long this free record is left to contenders that are farther from the server. The ttl is that of the
    /// record, because it is the same for all.
    pub(super) fn left_open(&self, found: &Versioned) -> Duration {
        // No other contender may claim a record that prefers this one, and a single try does not come back.
        let alone = found.record.preferred.as_ref() == Some(&self.identity);
        if alone || self.tried_at.is_some() {
            return Duration::ZERO;
        }
        self.backoff.rivals.left_open(found.version.number.get(), found.record.lives())
    }
}
