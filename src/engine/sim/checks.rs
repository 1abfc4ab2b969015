//! What must be true, looked at in time linear in what happens.

use super::{
    Event, Sim,
    chaos::nanos,
    host::{App, Belief, Told},
    network::SEC,
    store::{Author, Commit},
};
use crate::{
    clock::Moment,
    engine::record::{Change, Write},
    error::Loss,
};

/// What can be found to be violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Check {
    /// C1: no two believe at once that they hold the record, on the true clock.
    Overlap,
    /// C2: a token is the version of the acquiring write, is given once, and grows.
    Token,
    /// C4: a record that somebody else holds is taken over only after its own time to live; and is never freed.
    Takeover,
    /// Rule 10: whoever knew a record to be held creates it anew only after its time to live.
    Create,
    /// C5: soon after the faults have stopped somebody holds the record, and goes on to.
    Liveness,
    /// C6: requests stay under a bound, whatever happens.
    Requests,
    /// C6: at most one request at once, and never a sleep that is over before it begins.
    BusyLoop,
    /// Whoever has nothing to wake it has nothing left to do.
    Asleep,
    /// A tenure ends before its time only for a reason that is true.
    Loss,
    /// Whoever has read that the record is not theirs steps down at once.
    Told,
    /// A tenure begins only for a claim that stands.
    Withdrawn,
}

/// The first thing that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) check: Check,
    pub(super) what: String,
}

impl Sim {
    pub(super) fn fail(&mut self, check: Check, h: usize, what: &str) {
        let who = self.hosts.get(h).map_or("nobody", |host| &*host.me);
        let what = format!("at {} ns {who} {what}", self.now);
        self.report.violation.get_or_insert(Violation { check, what });
    }

    /// Compares what the machine of `h` believes with what it believed before.
    pub(super) fn track(&mut self, h: usize, local: Moment) {
        let host = &mut self.hosts[h];
        let token = host.machine.holds(local).map(crate::token::Token::get);
        let before = host.belief;
        if before.map(|belief| belief.token) != token
            && let Some(belief) = before
        {
            host.belief = None;
            self.check_loss(h, belief);
        }
        let host = &mut self.hosts[h];
        let (Some(token), Some(deadline)) = (token, host.machine.deadline()) else { return };
        let endless = host.machine.holds(deadline).is_some();
        let until = if endless { u64::MAX } else { host.clock.when(deadline) };
        let same = before.filter(|belief| belief.token == token);
        if same.is_some_and(|belief| belief.until == until) {
            return;
        }
        let since = same.map_or(self.now, |belief| belief.since);
        host.belief = Some(Belief { token, since, until });
        self.check_overlap(h);
        if same.is_none() {
            self.note(token);
            self.check_begin(h, token);
        }
    }

    pub(super) fn check_overlap(&mut self, h: usize) {
        let elector = self.elector.as_ref().and_then(|elector| elector.belief);
        let beliefs = self.hosts.iter().map(|host| host.belief);
        let beliefs = beliefs.enumerate().chain([(usize::MAX, elector)]);
        let beliefs = beliefs.filter_map(|(at, belief)| Some((at, belief?)));
        let held: Vec<(usize, Belief)> =
            beliefs.filter(|(_, belief)| belief.until > self.now).collect();
        let origin =
            |belief: &Belief| self.acquired(belief.token).map_or(belief.since, |commit| commit.at);
        let Some(first) = held.iter().map(|(_, belief)| origin(belief)).min() else { return };
        if held.len() > 1 && self.broken.is_none_or(|broken| broken < first) {
            self.fail(Check::Overlap, h, &format!("holds beside another: {held:?}"));
        }
    }

    fn check_begin(&mut self, h: usize, token: u64) {
        self.report.tenures += 1;
        let host = &self.hosts[h];
        let claim = self.acquired(token).and_then(|commit| match commit.author {
            Author::Machine { seed, change: Change::Claim, sent } => Some((seed, sent)),
            _ => None,
        });
        let Some((_, sent)) = claim.filter(|&(seed, _)| seed == host.seed) else {
            return self.fail(
                Check::Token,
                h,
                "has a token that is not of its own acquiring write",
            );
        };
        if host.app == App::Idle || sent < host.claimed {
            return self.fail(Check::Withdrawn, h, "holds for a claim that was withdrawn");
        }
        let last = self.tokens.last().copied().unwrap_or(0);
        if !self.tokens.insert(token) || token < last && self.broken.is_none() {
            self.fail(Check::Token, h, "has a token that does not grow");
        }
    }

    /// The write that `token` is of: an edit beside it may have come between it and the read that recognised it.
    fn acquired(&self, token: u64) -> Option<&Commit> {
        let at = self.store.index(token)?;
        self.store.log[..=at].iter().rev().find(|commit| commit.author != Author::Beside)
    }

    fn check_loss(&mut self, h: usize, belief: Belief) {
        let host = &self.hosts[h];
        let blames =
            matches!(host.machine.loss(), Some(Loss::Taken | Loss::Altered | Loss::Deleted));
        let own = |author| match author {
            Author::Machine { seed, .. } => seed == host.seed,
            Author::Beside => true,
            Author::Foreign | Author::Operator => false,
        };
        let true_reason = self.store.after(belief.token).iter().any(|commit| !own(commit.author));
        if blames && !true_reason && !host.told.denied {
            self.fail(
                Check::Loss,
                h,
                &format!("steps down without a reason: {:?}", host.machine.loss()),
            );
        }
    }

    /// A write of `h` was stored over `before`.
    pub(super) fn check_commit(
        &mut self,
        h: usize,
        author: Author,
        write: &Write,
        before: Option<&Commit>,
        told: Told,
    ) {
        let host = &self.hosts[h];
        let Author::Machine { sent, .. } = author else { return };
        let sent = host.clock.local(sent);
        let Some(found) = before.and_then(|commit| commit.state.as_ref()) else {
            return self.check_create(h, sent, write.change, told);
        };
        let record = &found.record;
        let own = record.nonce.is_some_and(|nonce| nonce.machine == host.seed);
        if record.is_free() || own && record.holder.as_ref() == Some(&host.me) {
            return;
        }
        let waited = sent - host.clock.local(before.map_or(0, |commit| commit.at));
        if write.change != Change::Claim {
            self.fail(Check::Takeover, h, "writes over what another holds");
        } else if waited < record.lives() {
            self.fail(
                Check::Takeover,
                h,
                &format!("takes over after {waited:?} of {:?}", record.lives()),
            );
        }
    }

    fn check_create(&mut self, h: usize, sent: Moment, change: Change, told: Told) {
        let Some(lives) = told.foreign.filter(|_| !told.denied) else { return };
        let mut later = self.store.after(told.number).iter();
        let deletion = || later.find(|commit| commit.state.is_none()).map(|commit| commit.at);
        let Some(deleted) = told.gone.or_else(deletion) else { return };
        let waited = sent - self.hosts[h].clock.local(deleted);
        if change == Change::Claim && waited < lives {
            self.fail(Check::Create, h, &format!("creates after {waited:?} of {lives:?}"));
        }
    }

    /// A machine that waits for nothing must have nothing to do, and know how its release went.
    pub(super) fn check_sleep(&mut self, h: usize, local: Moment, until: Moment) {
        let host = &self.hosts[h];
        let sleeps = host.flight.is_none() && until == Moment::NEVER;
        if sleeps && !host.machine.is_done(local) {
            self.fail(Check::Asleep, h, "sleeps for ever with something to do");
        } else if sleeps && host.machine.has_left(local).is_none() {
            self.fail(Check::Asleep, h, "never says whether it has left");
        }
    }

    /// How long it may take from the last fault on until somebody holds the record.
    pub(super) fn liveness_bound(&self) -> u64 {
        let ttls = self.hosts.iter().map(|host| host.timing.ttl());
        let longest = ttls.max().unwrap_or_default();
        // Whoever knew a record that has been deleted waits for as long as that said.
        let found = self.store.log.iter().rev().find_map(|commit| commit.state.as_ref());
        let lives = found.map_or(longest, |found| found.record.lives().max(longest));
        // Whoever is preferred has another time to live to come.
        let yields = found.is_some_and(|found| found.record.preferred.is_some());
        let waits = if yields { 3 } else { 1 };
        nanos(lives * waits + longest / 3 * 12 / 10) / 100 * 108 + 5 * SEC
    }

    pub(super) fn check_liveness(&mut self) {
        let holding = |belief: &Belief| belief.until > self.now;
        match self.hosts.iter().find_map(|host| host.belief.filter(holding)) {
            Some(belief) => self.after(20 * SEC, Event::Steady(belief.token)),
            None => self.fail(Check::Liveness, usize::MAX, "holds the record"),
        }
    }

    pub(super) fn check_steadiness(&mut self, token: u64) {
        let now = self.now;
        let mut beliefs = self.hosts.iter().filter_map(|host| host.belief);
        if !beliefs.any(|belief| belief.token == token && belief.until > now) {
            self.fail(Check::Liveness, usize::MAX, "holds what nothing could have ended");
        }
        self.queue.clear();
    }
}
