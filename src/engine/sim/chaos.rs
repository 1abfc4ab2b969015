//! What happens to hosts and to the record, until it stops.

use std::{sync::Arc, time::Duration};

use super::{
    Event, Sim,
    faults::Fault,
    host::{App, Watch},
    network::{MS, SEC},
    scene::Kind,
    store::Author,
};
use crate::engine::record::Record;

impl Sim {
    pub(super) fn chaos(&mut self) {
        if self.calm {
            return;
        }
        let hosts = self.hosts.len() as u64;
        let h = usize::try_from(self.rng.below(hosts)).expect("an index");
        match self.rng.below(100) {
            0..20 => self.pause(h),
            20..30 => self.crash(h),
            30..50 => self.cut(h),
            50..60 => self.reset_watch(h),
            60..65 => self.jump(h),
            65..75 => self.edit_beside(),
            75..80 => self.prefer(h),
            80..85 => self.outage(),
            _ if self.scene.is(Kind::ByHand) => self.break_by_hand(),
            _ => self.edit_beside(),
        }
        let pause = self.rng.between(MS, 2 * self.scene.chaos);
        self.after(pause, Event::Chaos);
    }

    /// How long a fault lasts: at the end of the scene all of them are over.
    fn lasts(&mut self, most: u64) -> u64 {
        (self.now + self.rng.between(MS, most)).min(self.scene.length)
    }

    fn pause(&mut self, h: usize) {
        let ttl = nanos(self.hosts[h].timing.ttl());
        let long = self.rng.chance(400);
        self.faults.hit(if long { Fault::LongPause } else { Fault::ShortPause });
        let least = if long { ttl * 12 / 10 } else { 0 };
        let until = self.lasts(ttl) + least;
        self.hosts[h].paused_until = until.min(self.scene.length);
    }

    fn crash(&mut self, h: usize) {
        if self.hosts[h].alive {
            self.faults.hit(Fault::Crash);
            self.hosts[h].crash();
            let back = self.lasts(20 * SEC);
            self.at(back, Event::Restart { host: h });
        }
    }

    pub(super) fn restart(&mut self, h: usize) {
        let seed = self.rng.draw();
        self.hosts[h].restart(seed);
        self.next_turn(h, 10 * MS);
    }

    fn cut(&mut self, h: usize) {
        self.faults.hit(Fault::Partition);
        let ttl = nanos(self.hosts[h].timing.ttl());
        self.hosts[h].cut_until = self.lasts(ttl * 3);
    }

    fn reset_watch(&mut self, h: usize) {
        if self.hosts[h].alive && self.hosts[h].watch != Watch::Off {
            self.faults.hit(Fault::WatchReset);
            self.begin_watch(h, false);
        }
    }

    fn jump(&mut self, h: usize) {
        self.faults.hit(Fault::WallJump);
        let day = 86_400 * SEC;
        let skew = i64::try_from(self.rng.below(2 * day)).expect("small");
        self.hosts[h].skew = skew - i64::try_from(day).expect("small");
    }

    fn outage(&mut self) {
        let kind = self.rng.pick(&[Fault::Outage, Fault::ReadOnly, Fault::Lag]);
        self.faults.hit(kind);
        let until = self.lasts(12 * SEC);
        match kind {
            Fault::Outage => self.outage.all_until = until,
            Fault::ReadOnly => self.outage.writes_until = until,
            _ => {
                self.outage.lag_until = until;
                self.outage.lag = self.store.log.len();
            }
        }
    }

    fn edit_beside(&mut self) {
        let Some(record) = self.record() else { return };
        self.faults.hit(Fault::Edit);
        self.edit(Author::Beside, Some(record));
    }

    fn prefer(&mut self, h: usize) {
        let Some(record) = self.record() else { return };
        self.faults.hit(Fault::Preferred);
        let whom = [None, Some(Arc::clone(&self.hosts[h].me)), Some("nobody".into())];
        let preferred = whom[usize::try_from(self.rng.below(3)).expect("small")].clone();
        self.edit(Author::Beside, Some(Record { preferred, ..record }));
    }

    /// What no protocol withstands: that no two hold at once is not asked for until it has passed.
    fn break_by_hand(&mut self) {
        let Some(record) = self.record() else { return };
        let kinds =
            [Fault::Deleted, Fault::Deleted, Fault::Seized, Fault::FreedByHand, Fault::TtlByHand];
        let kind = self.rng.pick(&kinds);
        self.faults.hit(kind);
        let next = match kind {
            Fault::Seized => {
                Some(Record { holder: Some("operator".into()), nonce: None, token: None, ..record })
            }
            Fault::FreedByHand => Some(Record { holder: None, ..record }),
            Fault::TtlByHand => {
                let ttls = [None, Some(Duration::from_secs(1)), Some(Duration::from_secs(20))];
                Some(Record { ttl: self.rng.pick(&ttls), ..record })
            }
            _ => None,
        };
        self.broken = Some(self.now);
        self.edit(Author::Operator, next);
    }

    fn record(&self) -> Option<Record> {
        self.store.present().map(|found| found.record.clone())
    }

    fn edit(&mut self, author: Author, record: Option<Record>) {
        self.store.commit(self.now, i64::try_from(self.now).expect("a short run"), author, record);
        self.note(self.store.log.len() as u64);
        self.spread_news();
    }

    /// No more faults. Perhaps the holder has just died, and everybody else wants what it had.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        let holder = self.hosts.iter().position(|host| host.belief.is_some());
        if let Some(h) = holder.filter(|_| self.rng.chance(500)) {
            self.hosts[h].crash();
            self.hosts[h].turn += 1;
        }
        for h in 0..self.hosts.len() {
            let host = &self.hosts[h];
            let (alive, idle, watches) =
                (host.alive, host.app == App::Idle, host.watch != Watch::Off);
            if alive && idle {
                self.next_turn(h, 10 * MS);
            }
            if alive && watches {
                self.begin_watch(h, false);
            }
        }
        let bound = self.liveness_bound();
        self.after(bound, Event::Verdict);
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a short time")
}
