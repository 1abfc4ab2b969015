//! Faults of hosts, of the server and of records. They are injected until the fault phase ends.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    faults::Fault,
    scenario::{BrokenAssumption, MS, SEC},
    sessions::SessionKind,
    watches::OpenWatch,
    world::{Event, World},
};

/// What a person edits in a Lease.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EditKind {
    /// A field that the protocol does not use.
    Unrelated,
    /// A field that the protocol depends on. No protocol tolerates such an edit.
    Breaking,
}

impl World {
    pub(crate) fn inject_fault(&mut self) {
        if self.faults_stopped_at.is_some() {
            return;
        }
        match self.scenario.sessions {
            Some(kind) => self.inject_session_fault(kind),
            None => self.inject_host_fault(),
        }
        let next = self.now + self.rng.between(MS, 2 * self.scenario.fault_interval);
        self.schedule(next, Event::InjectFault);
    }

    fn inject_host_fault(&mut self) {
        let h = self.rng.index(self.hosts.len());
        match self.rng.below(100) {
            0..20 => self.pause(h),
            20..30 => self.crash(h),
            30..50 => self.partition(h),
            50..58 => self.outage(),
            58..66 => self.restart_server(),
            66..74 => self.compact(),
            74..78 => self.set_preferred_holder(h),
            78..84 => self.jump_wall_clock(h),
            _ if self.scenario.broken == BrokenAssumption::ManualEdits => self.break_lease(),
            _ => self.edit_unrelated(),
        }
    }

    /// When a fault ends that lasts for at most `max`: never later than the fault phase.
    fn end_of_fault(&mut self, max: u64) -> u64 {
        (self.now + self.rng.between(MS, max)).min(self.scenario.fault_phase)
    }

    /// The longest ttl in this scenario.
    pub(crate) fn longest_ttl(&self) -> u64 {
        self.scenario.ttls.iter().max().copied().unwrap_or(15) * SEC
    }

    pub(crate) fn pause(&mut self, h: usize) {
        let is_long = self.rng.chance(400);
        self.report.faults.count(if is_long { Fault::PausedLong } else { Fault::Paused });
        let min = if is_long { self.longest_ttl() } else { 0 };
        let max = self.longest_ttl();
        let until = (self.end_of_fault(max) + min).min(self.scenario.fault_phase);
        self.hosts[h].paused_until = until;
        self.causes.host_failed(h, until);
    }

    pub(crate) fn crash(&mut self, h: usize) {
        if self.hosts[h].process.is_some() {
            self.report.faults.count(Fault::Crashed);
            self.end_process(h);
            if self.scenario.sessions == Some(SessionKind::Crashes) {
                self.expect_hand_overs();
            }
            let back = self.end_of_fault(20 * SEC);
            self.schedule(back, Event::StartProcess { host: h });
        }
    }

    pub(crate) fn partition(&mut self, h: usize) {
        self.report.faults.count(Fault::Partitioned);
        let max = 3 * self.longest_ttl();
        let slow_for = if self.rng.chance(500) { self.rng.below(8 * SEC) } else { 0 };
        self.hosts[h].cut_from = self.now + slow_for;
        self.hosts[h].cut_until = self.end_of_fault(max);
        self.causes.host_failed(h, self.hosts[h].cut_until);
    }

    /// Cuts a host off right after the reply to a renewal, for longer than the renewed tenure lasts.
    pub(crate) fn sever(&mut self, h: usize, from: u64) {
        self.hosts[h].cut_from = from;
        self.hosts[h].cut_until = (from + 2 * self.longest_ttl()).min(self.scenario.fault_phase);
        self.causes.host_failed(h, self.hosts[h].cut_until);
    }

    pub(crate) fn jump_wall_clock(&mut self, h: usize) {
        self.report.faults.count(Fault::WallJump);
        let day = 86_400;
        let skew = i64::try_from(self.rng.below(2 * day)).expect("at most two days");
        self.hosts[h].skew = skew - 86_400;
    }

    pub(crate) fn outage(&mut self) {
        self.report.faults.count(Fault::Outage);
        self.server_down_until = self.end_of_fault(20 * SEC);
        self.server_failed();
    }

    /// Ends every connection. Unanswered requests never get a reply.
    pub(crate) fn restart_server(&mut self) {
        self.report.faults.count(Fault::ServerRestart);
        self.watches.clear();
        self.unanswered.clear();
        self.server_down_until = self.end_of_fault(3 * SEC);
        self.server_failed();
    }

    fn server_failed(&mut self) {
        for h in 0..self.hosts.len() {
            self.causes.host_failed(h, self.server_down_until);
        }
    }

    pub(crate) fn compact(&mut self) {
        self.report.faults.count(Fault::Compacted);
        let kept = self.rng.index(5);
        self.store.compact(kept);
    }

    fn set_preferred_holder(&mut self, h: usize) {
        self.report.faults.count(Fault::Preferred);
        let own = self.hosts[h].process.as_ref().map(|process| process.identity.clone());
        let preferred = if self.rng.chance(500) { own } else { Some("absent".into()) };
        self.edit_random(EditKind::Unrelated, |lease| {
            lease["spec"]["preferredHolder"] = json!(preferred);
        });
    }

    pub(crate) fn edit_unrelated(&mut self) {
        self.report.faults.count(Fault::EditBeside);
        let at = self.now;
        self.edit_random(EditKind::Unrelated, |lease| {
            lease["metadata"]["annotations"]["example.com/note"] = at.to_string().into();
        });
    }

    fn break_lease(&mut self) {
        match self.rng.below(4) {
            0 | 1 => {
                let names = self.lease_names();
                if names.is_empty() {
                    return;
                }
                self.report.faults.count(Fault::Deleted);
                let name = &names[self.rng.index(names.len())];
                self.store.commit(self.now, name, None);
                self.causes.written(name, None, self.now);
                self.recreation.deleted(name, self.now);
            }
            2 => {
                self.report.faults.count(Fault::Seized);
                self.edit_random(EditKind::Breaking, |lease| {
                    lease["spec"]["holderIdentity"] = "operator".into();
                });
            }
            _ if (self.now / MS).is_multiple_of(2) => {
                self.report.faults.count(Fault::TtlEdited);
                let short = (self.now / MS).is_multiple_of(4);
                let ttl = if short { 1 } else { self.longest_ttl() / SEC };
                self.edit_random(EditKind::Breaking, |lease| {
                    lease["spec"]["leaseDurationSeconds"] = ttl.into();
                });
            }
            _ => {
                self.report.faults.count(Fault::FreedByHand);
                self.edit_random(EditKind::Breaking, |lease| {
                    lease["spec"]["holderIdentity"] = "".into();
                });
            }
        }
    }

    fn edit_random(&mut self, kind: EditKind, edit: impl FnOnce(&mut Value)) {
        let names = self.lease_names();
        if !names.is_empty() {
            let name = Arc::clone(&names[self.rng.index(names.len())]);
            self.edit(&name, kind, edit);
        }
    }

    pub(crate) fn edit(&mut self, name: &str, kind: EditKind, edit: impl FnOnce(&mut Value)) {
        let mut lease = (**self.store.lease(name).expect("listed")).clone();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].as_str()?.parse().ok();
        let before = version(&lease);
        edit(&mut lease);
        self.trace(self.store.version);
        let commit = self.store.commit(self.now, name, Some(lease)).clone();
        if self.scenario.sessions.is_some() {
            self.session_stored(&commit);
        }
        self.record_stored(&commit);
        self.causes.written(name, None, self.now);
        if let Some(before) = before.filter(|_| kind == EditKind::Unrelated) {
            self.tokens.edited(before, commit.version);
        }
    }

    /// Ends the fault phase: no fault is injected after this.
    pub(crate) fn stop_faults(&mut self) {
        self.faults_stopped_at = Some(self.now);
        self.had_silent_watch = self.watches.iter().any(OpenWatch::is_silent);
        self.faults_stopped.store(true, std::sync::atomic::Ordering::Relaxed);
        for host in &self.hosts {
            host.process.iter().for_each(|process| process.channel.announce_faults_stopped());
        }
        for name in self.lease_names() {
            let lease = self.store.lease(&name).expect("listed");
            if lease["spec"]["preferredHolder"].is_string() {
                self.edit(&name, EditKind::Unrelated, |lease| {
                    lease["spec"]["preferredHolder"] = Value::Null;
                });
            }
        }
        for h in 0..self.hosts.len() {
            if self.hosts[h].process.is_none() {
                self.start_process(h);
            }
        }
        // In half of the runs one process crashes now. It might be a holder.
        if self.rng.chance(500) {
            let h = self.rng.index(self.hosts.len());
            self.end_process(h);
            self.start_process(h);
        }
    }
}
