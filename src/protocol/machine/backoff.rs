//! How long to pause. A contender sends a bounded number of requests, whatever its inputs are.
//!
//! | situation, with a ttl of 15 s or more | requests per hour, at most |
//! |---|---|
//! | a holder whose renewals succeed | 900; 800 on average |
//! | a waiter with a watch | one read for each ttl without an event |
//! | everything fails all the time | 2,880: one read and one write each 2.5 s, which is half the renewal interval |
//! | nothing fails, but another process always wins | one read and one write each 0.6 s, an eighth of it |
//! | nothing fails, but another program edits the record before each write | the same |
//!
//! With a shorter ttl the renewal interval is shorter, and the rates are higher in proportion. With a longer ttl the
//! pauses stay as for 15 s, so that a contender notices the end of an outage within seconds.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use super::{Failure, Machine};
use crate::util::clock::Moment;

/// The longest pause that a backend can request while no tenure is held.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The first pause after a failure, shorter with a ttl below 15 s. Each further failure doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How much each lost race widens the span of the delay before the next claim: a few times what an event and a claim
/// take, so that two hundred contenders are spread after their first race and not after twenty.
const SPAN_PER_LOST_RACE: Duration = Duration::from_millis(12);
/// The widest span of that delay.
const MAX_RACE_SPAN: Duration = Duration::from_millis(400);
/// Which part of the span is left out again when another process was first, but cost no write. Without it, a process
/// that has lost many races would lose most of the later ones too.
const SPAN_DECAY: u32 = 32;
/// The span after a stored write, while several other processes take the record in turn, is twice what the write took,
/// or this. Without it, the winners of the last races would win the next ones too, and those that are nearer to the
/// server would win all.
const MIN_FAIR_SPAN: Duration = Duration::from_millis(24);
/// One of so many races, at most, is left open to a contender that is farther from the server than those that take the
/// record in turn.
const RACES_PER_OPEN_RACE: u32 = 4;
/// For which part of the time of so many races a race is left open.
const OPEN_PART: u32 = 64;
/// A race is left open for at most this part of the ttl.
const MAX_OPEN_PART_OF_TTL: u32 = 10;
/// Turns that are longer than this on average are seldom enough that a far contender comes first in some of them.
const MAX_OPEN_TURN: Duration = Duration::from_secs(60);
/// A contender that had the record within so many tenures leaves it to others in an open race.
const RECENT_TURNS: u32 = 8;
/// After so many tenures of its own, with none of another process between them, a contender is alone.
const TURNS_ALONE: u32 = 64;
/// How many tenures of other processes are remembered.
const RIVALS: usize = 16;

/// The recent failures, and how long to pause because of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Backoff {
    pause_until: Moment,
    /// Reads in a row without a useful answer. Counted apart from writes, because a backend that answers every read and
    /// fails every write must not receive a write at once after each read.
    failed_reads: u32,
    /// The last read got no useful answer, and no watch has reported anything since.
    read_failing: bool,
    /// Writes in a row without a useful answer.
    failed_writes: u32,
    /// Conflicts in a row for which no newer version has been seen.
    unexplained_conflicts: u32,
    last_conflict: Moment,
    /// Conflicts in a row that were explained by an edit: a newer version of the same write.
    edits: u32,
    /// The span of the delay before the next claim of a free record. Grows with each conflict that the write of another
    /// process explains, until a write is stored.
    race_span: Duration,
    /// The span that would give several contenders the same chance.
    fair_span: Duration,
    rivals: Rivals,
}

/// The other processes that take the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Rivals {
    /// The holders of the last tenures of others.
    recent: Vec<Arc<str>>,
    /// How many tenures of a holder that had one shortly before began since the last own write.
    overtaken: u32,
    /// How many tenures of any holder began since the last own write; `None` before the first one.
    missed: Option<u32>,
    /// How often the record became free since the last tenure of another process began; `None` before the first one.
    alone: Option<u32>,
    /// When the record was last seen to become free, and how long after the time before that, on average.
    freed_at: Option<Moment>,
    turn: Duration,
    /// The version in which it was seen to become free at that moment, and not later, by a read.
    freed: Option<u64>,
}

impl Rivals {
    fn number(&self) -> usize {
        self.recent.iter().collect::<BTreeSet<_>>().len()
    }

    /// How many turns of its own this contender has missed while several others had theirs twice.
    fn rounds(&self) -> u32 {
        match u32::try_from(self.number()) {
            Ok(number @ 2..) => self.overtaken / (2 * number),
            _ => 0,
        }
    }

    /// Another process has had the record not long ago, and the last own tenure is one of the last few.
    fn is_in_turn(&self) -> bool {
        self.alone.is_some() && self.missed.is_some_and(|missed| missed <= RECENT_TURNS)
    }

    /// So many tenures of other processes began.
    fn missed(&mut self, tenures: u32) {
        self.missed = self.missed.map(|missed| missed.saturating_add(tenures));
        self.alone = Some(0);
    }
}

impl Backoff {
    pub(super) const fn pause_until(&self) -> Moment {
        self.pause_until
    }

    pub(super) const fn is_failing(&self) -> bool {
        self.read_failing || self.failed_writes > 0
    }

    pub(super) const fn is_read_failing(&self) -> bool {
        self.read_failing
    }

    /// Ends the pause.
    pub(super) fn end_pause(&mut self, now: Moment) {
        self.pause_until = now;
    }

    /// A new caller arrived: forgets the failures before its call.
    pub(super) fn reset(&mut self, now: Moment) {
        self.end_pause(now);
        self.read_succeeded();
        self.failed_writes = 0;
    }

    /// Shortens the pause to end by then: a tenure that began needs its renewals.
    pub(super) fn end_pause_by(&mut self, latest: Moment) {
        self.pause_until = self.pause_until.min(latest);
    }

    pub(super) fn pause_at_least_until(&mut self, earliest: Moment) {
        self.pause_until = self.pause_until.max(earliest);
    }

    pub(super) fn read_succeeded(&mut self) {
        self.failed_reads = 0;
        self.read_failing = false;
    }

    /// A watch reported the record, so the state that a failed read asked for is known. The count of failed reads
    /// stays, because events must not make a contender read more often.
    pub(super) fn clear_read_failure(&mut self) {
        self.read_failing = false;
    }

    /// A write is stored, or a write of unknown outcome was recognised as stored, so long after it was sent.
    pub(super) fn write_succeeded(&mut self, took: Duration) {
        self.rivals.missed = Some(0);
        self.failed_writes = 0;
        self.unexplained_conflicts = 0;
        self.edits = 0;
        self.rivals.overtaken = 0;
        self.fair_span = (took * 2).clamp(MIN_FAIR_SPAN, MAX_RACE_SPAN);
        self.race_span = if self.rivals.number() > 1 { self.fair_span } else { Duration::ZERO };
    }

    /// A tenure of another process began.
    pub(super) fn rival_seen(&mut self, holder: &Arc<str>) {
        let rivals = &mut self.rivals;
        rivals.missed(1);
        if rivals.recent.contains(holder) {
            rivals.overtaken = rivals.overtaken.saturating_add(1);
        }
        if rivals.recent.len() == RIVALS {
            rivals.recent.remove(0);
        }
        rivals.recent.push(Arc::clone(holder));
    }

    /// So many tenures of other processes began and ended while this contender did not look.
    pub(super) fn rivals_unseen(&mut self, tenures: u32) {
        if tenures > 0 {
            self.rivals.missed(tenures);
        }
    }

    /// The record was seen to become free with this version, which is `None` if a read found it free, so that it may have
    /// been free for long.
    pub(super) fn freed(&mut self, now: Moment, version: Option<u64>) {
        let rivals = &mut self.rivals;
        if let Some(before) = rivals.freed_at.replace(now) {
            let turn = (now - before).min(MAX_OPEN_TURN * 2);
            let known = if rivals.turn.is_zero() { turn } else { rivals.turn };
            rivals.turn = known / 2 + turn / 2;
        }
        rivals.freed = version;
        rivals.alone = rivals.alone.map(|alone| alone + 1).filter(|&alone| alone <= TURNS_ALONE);
        if rivals.alone.is_none() {
            rivals.recent.clear();
        }
    }

    /// This contender has freed the record with this version.
    pub(super) const fn freed_by_itself(&mut self, version: u64) {
        self.rivals.freed = Some(version);
    }

    /// A newer version was seen, which explains the conflicts: another process was faster. It is `edited` if it shows
    /// the write that was known before.
    pub(super) fn conflict_explained(&mut self, edited: bool) {
        if self.unexplained_conflicts > 0 {
            self.unexplained_conflicts = 0;
            self.edits = if edited { self.edits.saturating_add(1) } else { 0 };
            self.race_span = (self.race_span + SPAN_PER_LOST_RACE).min(MAX_RACE_SPAN);
        }
    }

    /// For how long a free record of this version is left to contenders that have had no turn.
    ///
    /// Those that take the record in turn may all be nearer to the server than another one that they do not know of,
    /// because it has never won. The version tells them which races to leave open, so all do in the same ones. The
    /// longer the time, the fewer the races, so that each length costs the same small part of all time.
    pub(super) fn left_open(&self, version: u64, ttl: Duration) -> Duration {
        if !self.rivals.is_in_turn() || self.rivals.freed != Some(version) {
            return Duration::ZERO;
        }
        // The finaliser of SplitMix64: half of all versions end in a zero, a quarter in two.
        let mixed = (version ^ (version >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let races = 1 << (mixed ^ (mixed >> 31)).trailing_zeros().min(31);
        if races < RACES_PER_OPEN_RACE || self.rivals.turn > MAX_OPEN_TURN {
            return Duration::ZERO;
        }
        let most = MAX_RACE_SPAN.min(ttl / MAX_OPEN_PART_OF_TTL);
        let left_open = (self.rivals.turn.saturating_mul(races) / OPEN_PART).min(most);
        // So that all leave it open for the same time, although their averages differ a little.
        match u64::try_from(left_open.as_millis()) {
            Ok(0) | Err(_) => Duration::ZERO,
            Ok(left_open) => Duration::from_millis(left_open.next_power_of_two()).min(most),
        }
    }

    /// Another process has claimed the free record before this machine wrote.
    pub(super) fn race_avoided(&mut self) {
        self.race_span -= self.race_span / SPAN_DECAY;
    }
}

impl Machine {
    pub(super) fn read_failed(&mut self, now: Moment, failure: Failure) {
        self.backoff.failed_reads = self.backoff.failed_reads.saturating_add(1);
        self.backoff.read_failing = true;
        self.back_off(now, self.backoff.failed_reads, failure);
    }

    pub(super) fn write_failed(&mut self, now: Moment, failure: Failure) {
        self.backoff.failed_writes = self.backoff.failed_writes.saturating_add(1);
        self.back_off(now, self.backoff.failed_writes, failure);
    }

    /// Pauses from the second unexplained conflict on.
    ///
    /// After the first one the machine reads at once, because a conflict is normal where processes compete. A conflict
    /// that no read explains comes from a server that lags behind or that refuses the write for another reason.
    pub(super) fn back_off_from_conflict(&mut self, now: Moment) {
        self.backoff.failed_writes = 0;
        if now - self.backoff.last_conflict > self.timing.retry() * 2 {
            self.backoff.unexplained_conflicts = 0;
        }
        self.backoff.last_conflict = now;
        self.backoff.unexplained_conflicts = self.backoff.unexplained_conflicts.saturating_add(1);
        if let Some(repeated) = self.backoff.unexplained_conflicts.checked_sub(2) {
            self.pause_for(now, self.doubled_pause(repeated).min(self.timing.retry() / 4), None);
        }
        self.back_off_from_edits(now);
    }

    /// Pauses from the second conflict in a row on, if the first one came from an edit.
    ///
    /// A read explains such a conflict, but if the editor never rests, the next write conflicts too. The pauses are
    /// short at first, and a write follows its read at once. So a holder has about ten attempts before its deadline,
    /// and one of them falls between two edits unless these are as fast as the requests.
    fn back_off_from_edits(&mut self, now: Moment) {
        if let Some(repeated) = self.backoff.edits.checked_sub(1) {
            self.pause_for(now, self.doubled_pause(repeated).min(self.timing.retry() / 4), None);
        }
    }

    /// How long to wait before a claim of a free record: a share of a span that grows with each lost race.
    ///
    /// The more processes compete, the more races each of them loses, and the wider their claims are spread. The first
    /// one then usually writes alone, and the others see its claim in their watch before they write. A contender that
    /// was overtaken comes earlier.
    pub(super) fn free_record_delay(&self, version: u64) -> Duration {
        let Backoff { race_span, rivals, .. } = &self.backoff;
        // A single try does not come back, so it is no turn.
        let is_turn = self.tried_at.is_none();
        let left_open = if is_turn { self.left_open(version) } else { Duration::ZERO };
        left_open + self.jitter(version, *race_span / (1 << rivals.rounds().min(16)))
    }

    /// For how long a record that became free with this version is left to contenders that have had no turn.
    pub(super) fn left_open(&self, version: u64) -> Duration {
        self.backoff.left_open(version, self.timing.ttl())
    }

    /// Exponential and capped. A longer pause that the backend requests is honoured as far as the tenure allows.
    fn back_off(&mut self, now: Moment, count: u32, failure: Failure) {
        let most = match failure.refused {
            // Expired credentials are often renewed within a hold, so three more attempts must fit into it.
            true if self.held.is_some() => {
                let budget = self.timing.hold().saturating_sub(self.timing.renew_interval());
                self.timing.refused().min(budget / 4)
            }
            true => self.timing.refused(),
            false if self.held.is_some() => {
                self.doubled_pause(count - 1).min(self.timing.attempt_timeout())
            }
            false => self.doubled_pause(count - 1).min(self.timing.retry()),
        };
        self.pause_for(now, most, failure.retry_after);
    }

    fn doubled_pause(&self, times: u32) -> Duration {
        (self.timing.ttl() / 150).min(FIRST_PAUSE).saturating_mul(1 << times.min(10))
    }

    /// Pauses for half of `most` plus a share of the other half, so that contenders do not retry in step.
    fn pause_for(&mut self, now: Moment, most: Duration, requested: Option<Duration>) {
        let mut pause = most / 2 + self.jitter(now.as_nanos(), most / 2);
        if let Some(requested) = requested {
            let room = self.held.as_ref().map_or(MAX_RETRY_AFTER, |held| {
                (held.until - now).saturating_sub(self.timing.attempt_timeout() * 2)
            });
            pause = pause.max(requested.min(room));
        }
        self.backoff.pause_until = now + pause;
    }

    /// A share of `most`, different for each machine and for each `salt`.
    ///
    /// A hash instead of a random source: the same inputs must lead to the same steps.
    pub(super) fn jitter(&self, salt: u64, most: Duration) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.seed, salt).hash(&mut hasher);
        let share = u32::try_from(hasher.finish() >> 48).unwrap_or(0);
        most.saturating_mul(share) / (1 << 16)
    }
}
