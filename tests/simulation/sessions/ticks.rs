//! The checks of each tick, and at the end, in a run with sessions.

use leasehold::Loss;

use leasehold_test_support::Violation;

use super::calls::CallMessage;
use crate::{
    checks::{
        causes::LostTenure,
        sessions::{
            claims::check_wait,
            exclusion::{self, Belief},
            line::{Claim, Line, Mode, is_session, ttl_of},
        },
        tokens::Incarnation,
    },
    scenario::{BrokenAssumption, LOCKS, MS, SEC},
    world::World,
};

/// How long a grant may be unseen behind a silent watch: the interval of lists, and the list.
const UNSEEN: u64 = 35 * SEC;

impl World {
    pub(crate) fn handle_call(&mut self, h: usize, at: u64, number: u64, message: CallMessage) {
        let owner = (h, self.hosts[h].incarnation);
        let host = &mut self.hosts[h];
        let Some(process) = &mut host.process else { return };
        match message {
            CallMessage::Began { name, mode, names } => {
                host.request_rate.demand_began();
                let call = super::calls::Call { name, mode, names, since: at, held: None };
                process.calls.insert(number, call);
            }
            CallMessage::Granted(tenure) => {
                let Some(call) = process.calls.get_mut(&number) else { return };
                let (name, kind) = (call.name, (call.mode, tenure.slot()));
                let token = tenure.token().get();
                call.granted(tenure, at);
                self.report.tenures += 1;
                self.report.session_tenures += 1;
                self.trace(token);
                let own = self.session_checks.sessions.of(owner);
                let violation = self.session_checks.grants.began(name, token, kind, &own);
                self.report_violation(violation);
            }
            CallMessage::TenureEnded(lost) => {
                let local = |at: u64| at * host.rate / 1_000_000;
                if let Some(call) = process.calls.get(&number) {
                    host.request_rate.demand_ended(local(at), local(call.since));
                }
                self.guard_ended(h, number, at, lost);
            }
            CallMessage::Ended => _ = process.calls.remove(&number),
        }
    }

    /// The guard of a call ended, with the reason if its user did not end it.
    pub(crate) fn guard_ended(&mut self, h: usize, number: u64, at: u64, lost: Option<Loss>) {
        let owner = (h, self.hosts[h].incarnation);
        let Some(process) = &mut self.hosts[h].process else { return };
        let stopping = process.stopping;
        let ended =
            process.sessions_ended.is_some_and(|when| at < when + self.scenario.fault_phase);
        let Some(call) = process.calls.get_mut(&number) else { return };
        let name = call.name;
        let Some(belief) = call.end(owner, at) else { return };
        self.trace(belief.token);
        self.session_checks.beliefs.entry(name).or_default().push(belief);
        let checked = self.scenario.broken != BrokenAssumption::ClockRates && !stopping && !ended;
        if let Some(loss) = lost.filter(|_| checked) {
            let violation = self.unexplained_loss(owner, name, loss, &belief);
            self.report_violation(violation);
        }
    }

    fn unexplained_loss(
        &self,
        owner: Incarnation,
        name: &'static str,
        loss: Loss,
        belief: &Belief,
    ) -> Option<Violation> {
        let Belief { token, since, until, .. } = *belief;
        let grace = self.max_gap();
        let from = since.saturating_sub(grace);
        let own = self.session_checks.sessions.of(owner);
        let failed = own.iter().any(|session| self.causes.had_fault(owner.0, session, from));
        let by_hand = self.session_checks.hand_made.explains(name, Some(owner), from, until)
            || own
                .iter()
                .any(|session| self.session_checks.hand_made.explains(session, None, from, until));
        let explained = match loss {
            // Of `unlock`, which ends all guards of the name in its session.
            Loss::Released => true,
            Loss::Session | Loss::Expired => failed || by_hand,
            // A stale read shows an earlier life of the record.
            _ => by_hand || self.causes.had_fault(owner.0, name, from) || failed,
        };
        let tenure = LostTenure { owner, name, loss, token, since, at: until };
        (!explained)
            .then(|| Violation::new("C5", format!("a guard was lost without a cause: {tenure:?}")))
    }

    pub(crate) fn check_session_tick(&mut self) {
        for h in 0..self.hosts.len() {
            self.check_host(h);
        }
        if (self.now / MS).is_multiple_of(1000) {
            self.check_orphans();
            self.check_waits();
        }
        let store = &self.store;
        let line = |name: &str| store.lease(name).map(|lease| Line::of(lease)).unwrap_or_default();
        let violation = self.session_checks.handovers.check(
            self.now,
            |name, claim| line(name).waiting().any(|one| one.is(claim)),
            |name, claim| line(name).holders.iter().any(|one| one.is(claim)),
        );
        self.report_violation(violation);
    }

    /// Finds the guards that are no longer held. Right after the process has run: the clock of this thread is its own.
    pub(crate) fn poll_calls(&mut self, h: usize) {
        let Some(process) = &mut self.hosts[h].process else { return };
        let at = process.clock.true_time(process.local());
        for (number, loss) in process.poll_calls() {
            self.guard_ended(h, number, at, Some(loss));
        }
    }

    /// A guard that a running process holds is one in the record too.
    fn check_host(&mut self, h: usize) {
        let host = &self.hosts[h];
        // It has not run since the pause began, also if a second pause ended within this tick.
        if host.paused_until > 0 {
            return;
        }
        let owner = (h, host.incarnation);
        if !self.scenario.requires_exclusion()
            && self.scenario.broken != BrokenAssumption::ManualEdits
        {
            return;
        }
        let Some(process) = &self.hosts[h].process else { return };
        let held = process.calls.values().filter(|call| call.held.is_some());
        let wrong =
            held.map(|call| (call.name, call.mode, call.slot())).find(|&(name, mode, slot)| {
                let from = self.now.saturating_sub(self.hand_made_window());
                !self.is_stored(owner, name, mode, slot)
                    && !self.session_checks.hand_made.explains(name, Some(owner), from, self.now)
            });
        let what =
            wrong.map(|wrong| format!("host {h} holds {wrong:?}, which the record does not say"));
        self.report_violation(what.map(|what| Violation::new("C1", what)));
    }

    fn is_stored(&self, owner: Incarnation, name: &str, mode: Mode, slot: Option<u16>) -> bool {
        let sessions = &self.session_checks.sessions;
        self.store.lease(name).is_some_and(|lease| {
            Line::of(lease).holders.iter().any(|claim| {
                claim.mode == mode
                    && claim.slot == slot
                    && sessions.owner(&claim.session) == Some(owner)
            })
        })
    }

    /// For how long a guard may be believed after a change of its record by hand: until the next list, if the watch is
    /// silent and lists fail meanwhile, as long as the session lives.
    fn hand_made_window(&self) -> u64 {
        self.on_the_slowest_clock(UNSEEN + 60 * SEC + 2 * self.longest_ttl())
    }

    fn check_orphans(&mut self) {
        let grace = self.on_the_slowest_clock(UNSEEN + self.longest_ttl() * 4 / 3);
        for name in self.lease_names().into_iter().filter(|name| !is_session(name)) {
            let line = Line::of(self.store.lease(&name).expect("listed"));
            for h in 0..self.hosts.len() {
                let owner = (h, self.hosts[h].incarnation);
                let Some(process) = &self.hosts[h].process else { continue };
                let own = self.session_checks.sessions.of(owner);
                let is_own = |claim: &&Claim| {
                    own.contains(&claim.session) && self.is_renewed(&claim.session)
                };
                let claims = line.claims().filter(is_own).count();
                let calls = process.calls.values().filter(|call| *call.name == *name).count();
                let from = self.now.saturating_sub(grace);
                let failed = self.causes.had_fault(h, &name, from)
                    || own.iter().any(|session| self.causes.had_fault(h, session, from));
                let failed_until = if failed { self.now } else { 0 };
                let violation = self.session_checks.orphans.check(
                    self.now,
                    (owner, &name),
                    (claims, calls),
                    failed_until,
                    grace,
                );
                self.report_violation(violation);
            }
        }
    }

    /// Whether the record of a session is renewed. Claims of another one are passed over when a process wants the lock.
    fn is_renewed(&self, session: &str) -> bool {
        let ttl = ttl_of(session).unwrap_or(0) * SEC;
        let renewed = self.store.stored_at(session).is_some_and(|at| at + ttl > self.now);
        renewed && !self.session_checks.sessions.ended.contains(session)
    }

    /// How long a call may wait when the faults have stopped: until crashed sessions are over and a foreign tenure too,
    /// and then one turn of each other call.
    pub(crate) fn longest_session_wait(&self) -> u64 {
        let tasks = (self.hosts.len() * self.scenario.workers * 2) as u64;
        let hand_over = if self.had_silent_watch { self.longest_ttl() / 2 } else { SEC };
        let first = 3 * self.longest_ttl() + 2 * UNSEEN + 20 * SEC;
        self.on_the_slowest_clock(first + tasks * (2 * SEC + hand_over))
    }

    fn check_waits(&mut self) {
        let (Some(from), None) = (self.faults_stopped_at, self.programs_stopped_at) else { return };
        let bound = self.longest_session_wait();
        let mut longest = self.report.longest_wait;
        let mut found = None;
        for (h, host) in self.hosts.iter().enumerate() {
            let Some(process) = &host.process else { continue };
            let waiting = process.calls.values().filter(|call| call.held.is_none());
            // A keeper that waits for another incarnation's keeper is no waiter of the queue of a worker.
            for call in waiting {
                let since = call.since.max(from).max(host.available_since);
                let waited = self.now.saturating_sub(since);
                longest = longest.max(waited / call.names);
                let owner = (h, host.incarnation);
                found = found.or_else(|| check_wait(call.name, owner, waited, bound * call.names));
            }
        }
        self.report.longest_wait = longest;
        self.report_violation(found);
    }

    /// A process crashed: the next claim in the queue of each of its locks must be granted in time.
    pub(crate) fn expect_hand_overs(&mut self) {
        let running = |world: &Self, session: &str| {
            let owner = world.session_checks.sessions.owner(session);
            owner.is_some_and(|(h, incarnation)| {
                world.hosts[h].process.is_some() && world.hosts[h].incarnation == incarnation
            })
        };
        for name in self.lease_names() {
            let line = Line::of(self.store.lease(&name).expect("listed"));
            let Some(head) = line.queue.first().filter(|head| running(self, &head.session)) else {
                continue;
            };
            let holder = line
                .holders
                .first()
                .filter(|_| line.holders.iter().all(|one| !running(self, &one.session)));
            let Some(ttl) = holder.and_then(|holder| ttl_of(&holder.session)) else { continue };
            let (ttl, third) = (ttl * SEC, ttl * SEC / 3);
            let queued =
                self.session_checks.stored_at.get(&head.nonce).copied().unwrap_or(self.now);
            if queued + self.on_the_slowest_clock(third * 12 / 10) < self.now {
                // Reads come every third of the ttl, give or take a tenth.
                let deadline = self.now + self.on_the_slowest_clock(ttl + third * 11 / 10) + SEC;
                self.session_checks.handovers.crashed(&name, head, deadline);
            }
        }
    }

    /// The process of a host ends without notice: its guards were held until now at most, and its claims wait for
    /// nothing any more.
    pub(crate) fn end_calls(&mut self, h: usize) {
        let owner = (h, self.hosts[h].incarnation);
        let own = self.session_checks.sessions.of(owner);
        self.session_checks.handovers.forget(|session| own.iter().any(|own| *own == *session));
        let Some(process) = &mut self.hosts[h].process else { return };
        for call in process.calls.values_mut() {
            let belief = call.end(owner, self.now);
            self.session_checks.beliefs.entry(call.name).or_default().extend(belief);
        }
    }

    /// C1 for the whole run.
    pub(crate) fn finish_sessions(&mut self) {
        if self.scenario.sessions.is_none() {
            return;
        }
        let foreign = self.intervals.remove(LOCKS[0]).unwrap_or_default();
        let foreign = foreign.into_iter().map(|held| Belief {
            owner: None,
            mode: Mode::Exclusive,
            slot: None,
            token: held.token,
            since: held.since,
            until: held.until,
        });
        let mut beliefs = std::mem::take(&mut self.session_checks.beliefs);
        beliefs.entry(LOCKS[0]).or_default().extend(foreign);
        self.report.handovers = self.session_checks.handovers.seen;
        let window = self.hand_made_window();
        for (name, mut beliefs) in beliefs {
            let hand = &self.session_checks.hand_made;
            let excused = |one: &Belief, two: &Belief| {
                let end = one.until.min(two.until);
                let from = one.since.saturating_sub(window).max(end.saturating_sub(window));
                // Of the two, either may be the one that does not know of the change yet.
                hand.explains(name, one.owner, from, end)
                    || hand.explains(name, two.owner, from, end)
            };
            let mut overlap = exclusion::check(name, &mut beliefs, |_, _| false);
            self.report.expected_overlaps += u64::from(overlap.is_some());
            if self.scenario.broken != BrokenAssumption::ClockRates {
                overlap = exclusion::check(name, &mut beliefs, excused);
                self.report_violation(overlap);
            }
        }
    }
}
