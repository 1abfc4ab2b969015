//! What happens to hosts, to the server and to the records, until it stops.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    faults::Fault,
    scenario::{Broken, MS, SEC},
    watches::Watching,
    world::{Event, World},
};

/// How somebody edits a Lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hand {
    /// What is no business of the protocol's.
    Beside,
    /// What no protocol withstands.
    Breaking,
}

impl World {
    pub(crate) fn chaos(&mut self) {
        if self.calm.is_some() {
            return;
        }
        let h = self.rng.index(self.hosts.len());
        match self.rng.below(100) {
            0..20 => self.pause(h),
            20..30 => self.crash(h),
            30..50 => self.cut(h),
            50..58 => self.outage(),
            58..66 => self.restart_server(),
            66..74 => self.compact(),
            74..78 => self.prefer(h),
            78..84 => self.jump(h),
            _ if self.scene.broken == Broken::ByHand => self.break_by_hand(),
            _ => self.edit_beside(),
        }
        let next = self.now + self.rng.between(MS, 2 * self.scene.chaos);
        self.at(next, Event::Chaos);
    }

    /// How long a fault lasts: at the end of the scene all of them are over.
    fn lasts(&mut self, most: u64) -> u64 {
        (self.now + self.rng.between(MS, most)).min(self.scene.length)
    }

    /// The longest time to live.
    pub(crate) fn longest(&self) -> u64 {
        self.scene.ttls.iter().max().copied().unwrap_or(15) * SEC
    }

    fn pause(&mut self, h: usize) {
        let long = self.rng.chance(400);
        self.report.faults.hit(if long { Fault::PausedLong } else { Fault::Paused });
        let least = if long { self.longest() } else { 0 };
        let most = self.longest();
        let until = (self.lasts(most) + least).min(self.scene.length);
        self.hosts[h].paused_until = until;
        self.causes.host_failed(h, until);
    }

    pub(crate) fn crash(&mut self, h: usize) {
        if self.hosts[h].process.is_some() {
            self.report.faults.hit(Fault::Crashed);
            self.end_process(h);
            let back = self.lasts(20 * SEC);
            self.at(back, Event::Start { host: h });
        }
    }

    fn cut(&mut self, h: usize) {
        self.report.faults.hit(Fault::Partitioned);
        let most = 3 * self.longest();
        let fades = if self.rng.chance(500) { self.rng.below(8 * SEC) } else { 0 };
        self.hosts[h].cut_from = self.now + fades;
        self.hosts[h].cut_until = self.lasts(most);
        self.causes.host_failed(h, self.hosts[h].cut_until);
    }

    /// Just after this answer to a renewal, and for longer than that is worth, no more come.
    pub(crate) fn sever(&mut self, h: usize, from: u64) {
        self.hosts[h].cut_from = from;
        self.hosts[h].cut_until = (from + 2 * self.longest()).min(self.scene.length);
        self.causes.host_failed(h, self.hosts[h].cut_until);
    }

    fn jump(&mut self, h: usize) {
        self.report.faults.hit(Fault::WallJump);
        let day = 86_400;
        let skew = i64::try_from(self.rng.below(2 * day)).expect("a day");
        self.hosts[h].skew = skew - 86_400;
    }

    fn outage(&mut self) {
        self.report.faults.hit(Fault::Outage);
        self.down_until = self.lasts(20 * SEC);
        self.all_failed();
    }

    /// Every connection ends, and what had not been carried out never is.
    fn restart_server(&mut self) {
        self.report.faults.hit(Fault::ServerRestart);
        self.watches.clear();
        self.hung.clear();
        self.down_until = self.lasts(3 * SEC);
        self.all_failed();
    }

    fn all_failed(&mut self) {
        for h in 0..self.hosts.len() {
            self.causes.host_failed(h, self.down_until);
        }
    }

    fn compact(&mut self) {
        self.report.faults.hit(Fault::Compacted);
        let kept = self.rng.index(5);
        self.store.compact(kept);
    }

    fn prefer(&mut self, h: usize) {
        self.report.faults.hit(Fault::Preferred);
        let me = self.hosts[h].process.as_ref().map(|process| process.identity.clone());
        let whom = if self.rng.chance(500) { me } else { Some("nobody".into()) };
        self.edit_any(Hand::Beside, |lease| lease["spec"]["preferredHolder"] = json!(whom));
    }

    fn edit_beside(&mut self) {
        self.report.faults.hit(Fault::EditBeside);
        let at = self.now;
        self.edit_any(Hand::Beside, |lease| {
            lease["metadata"]["annotations"]["example.com/note"] = at.to_string().into();
        });
    }

    fn break_by_hand(&mut self) {
        match self.rng.below(4) {
            0 | 1 => {
                let names = self.names();
                if names.is_empty() {
                    return;
                }
                self.report.faults.hit(Fault::Deleted);
                let name = &names[self.rng.index(names.len())];
                self.store.commit(self.now, name, None);
                self.causes.written(name, None, self.now);
                self.recreation.deleted(name, self.now);
            }
            2 => {
                self.report.faults.hit(Fault::Seized);
                self.edit_any(Hand::Breaking, |lease| {
                    lease["spec"]["holderIdentity"] = "operator".into();
                });
            }
            _ if (self.now / MS).is_multiple_of(2) => {
                self.report.faults.hit(Fault::TtlEdited);
                let short = (self.now / MS).is_multiple_of(4);
                let ttl = if short { 1 } else { self.longest() / SEC };
                self.edit_any(Hand::Breaking, |lease| {
                    lease["spec"]["leaseDurationSeconds"] = ttl.into();
                });
            }
            _ => {
                self.report.faults.hit(Fault::FreedByHand);
                self.edit_any(Hand::Breaking, |lease| {
                    lease["spec"]["holderIdentity"] = "".into();
                });
            }
        }
    }

    fn edit_any(&mut self, hand: Hand, edit: impl FnOnce(&mut Value)) {
        let names = self.names();
        if !names.is_empty() {
            let name = Arc::clone(&names[self.rng.index(names.len())]);
            self.edit(&name, hand, edit);
        }
    }

    fn edit(&mut self, name: &str, hand: Hand, edit: impl FnOnce(&mut Value)) {
        let mut lease = (**self.store.lease(name).expect("listed")).clone();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].as_str()?.parse().ok();
        let before = version(&lease);
        edit(&mut lease);
        self.note(self.store.version);
        let commit = self.store.commit(self.now, name, Some(lease)).clone();
        self.stored_anew(&commit);
        self.causes.written(name, None, self.now);
        if let Some(before) = before.filter(|_| hand == Hand::Beside) {
            self.tokens.edited(before, commit.version);
        }
    }

    /// Nothing goes wrong from here on.
    pub(crate) fn calm_down(&mut self) {
        self.calm = Some(self.now);
        self.unheard = self.watches.iter().any(Watching::is_silent);
        self.calmed.store(true, std::sync::atomic::Ordering::Relaxed);
        for host in &self.hosts {
            host.process.iter().for_each(|process| process.post.calm_down());
        }
        for name in self.names() {
            let lease = self.store.lease(&name).expect("listed");
            if lease["spec"]["preferredHolder"].is_string() {
                self.edit(&name, Hand::Beside, |lease| {
                    lease["spec"]["preferredHolder"] = Value::Null;
                });
            }
        }
        for h in 0..self.hosts.len() {
            if self.hosts[h].process.is_none() {
                self.start_process(h);
            }
        }
        // Perhaps one of those who hold has just died.
        if self.rng.chance(500) {
            let h = self.rng.index(self.hosts.len());
            self.end_process(h);
            self.start_process(h);
        }
    }
}
