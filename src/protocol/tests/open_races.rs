//! Which races a contender leaves open to one that is farther away, and for how long.

use super::*;

/// A machine that had the record, saw another process take it, and wants it again.
fn in_turn(version: u64) -> Machine {
    let mut machine = Machine::new("a".into(), 1, Durations::default());
    machine.step(at(0), Input::Claim(Durations::default()));
    let claim = written(machine.step(at(0), read(&free(10))));
    machine.step(at(1), stored(&after(&claim, 11)));
    let release = written(machine.step(at(500), Input::Release));
    machine.step(at(501), stored(&after(&release, 12)));
    machine.step(at(502), changed(&held_by("b", version)));
    machine.step(at(503), Input::Claim(Durations::default()));
    machine
}

#[test]
fn a_single_try_leaves_no_race_open() {
    let mut open = 0;
    for version in (20..400).step_by(2) {
        let mut machine = in_turn(version);
        let step = machine.step(at(1501), changed(&free(version + 1)));
        if matches!(step, Step::Sleep(_)) {
            open += 1;
            written(machine.step(at(1501), Input::Try));
        } else {
            written(step);
        }
    }

    assert!((20..80).contains(&open), "{open} of 190 races are open");
}

#[test]
fn a_record_that_a_read_finds_free_is_claimed_at_once() {
    for version in (20..400).step_by(2) {
        let mut machine = in_turn(version);
        machine.step(at(1501), Input::Look);

        written(machine.step(at(1502), read(&free(version + 1))));
    }
}

/// When the machine claims the record, and its claim.
fn claims(machine: &mut Machine, now: Moment, step: Step) -> (Moment, Write) {
    match step {
        Step::Sleep(until) => (until, written(machine.step(until, Input::Wake))),
        step => (now, written(step)),
    }
}

/// A contender and its rival. The contender holds the record for this long each time.
struct Pair {
    machine: Machine,
    work: Duration,
    version: u64,
    now: Moment,
}

impl Pair {
    fn new(work: Duration) -> Self {
        let mut machine = Machine::new("a".into(), 1, Durations::default());
        machine.step(at(0), Input::Claim(Durations::default()));
        machine.step(at(0), read(&held_by("b", 10)));
        let mut pair = Self { machine, work, version: 11, now: at(1) };
        let step = pair.machine.step(at(1), changed(&free(11)));
        pair.hold(step);
        pair
    }

    /// The rival takes the record and frees it, then the contender does. Returns how long it stayed free in between.
    fn turn(&mut self) -> Duration {
        self.version += 2;
        self.machine.step(self.now, changed(&held_by("b", self.version)));
        self.machine.step(self.now, Input::Claim(Durations::default()));
        self.now = self.now + self.work;
        self.version += 1;
        let step = self.machine.step(self.now, changed(&free(self.version)));
        self.hold(step)
    }

    /// The contender takes the record again, without a rival that wants it. Returns how long it stayed free before.
    fn turn_alone(&mut self) -> Duration {
        let step = self.machine.step(self.now, Input::Claim(Durations::default()));
        self.hold(step)
    }

    /// The rival takes the record and frees it while the contender does not look, so that its claim conflicts.
    fn turn_unseen(&mut self) -> Duration {
        let step = self.machine.step(self.now, Input::Claim(Durations::default()));
        (self.now, _) = claims(&mut self.machine, self.now, step);
        self.machine.step(self.now, conflict());
        self.version += 2;
        let seen = self.machine.seen().expect("the record is known").record.transitions;
        let record = Record { transitions: seen + 1, ..free(self.version).record.clone() };
        let step = self.machine.step(self.now, read(&found("u", self.version, record)));
        self.hold(step)
    }

    fn hold(&mut self, step: Step) -> Duration {
        let freed = self.now;
        let (claimed, claim) = claims(&mut self.machine, freed, step);
        self.version += 1;
        self.machine.step(claimed, stored(&after(&claim, self.version)));
        self.now = claimed + self.work;
        let release = written(self.machine.step(self.now, Input::Release));
        self.version += 1;
        self.machine.step(self.now, stored(&after(&release, self.version)));
        claimed - freed
    }
}

#[test]
fn a_record_that_is_always_in_use_is_left_open_in_some_races() {
    let mut pair = Pair::new(secs(1));

    let delays: Vec<_> = (0..200).map(|_| pair.turn()).collect();

    let open = delays.iter().filter(|delay| **delay > ms(100)).count();
    assert!((20..80).contains(&open), "{open} of 200 races are open");
    assert!(delays.iter().all(|delay| *delay <= ms(430)), "{delays:?}");
}

#[test]
fn a_record_that_stood_free_for_long_is_not_left_open_for_that_reason() {
    let mut pair = Pair::new(ms(5));
    let mut all = Duration::ZERO;
    for _ in 0..50 {
        pair.now = pair.now + secs(60);
        all += (0..10).map(|_| pair.turn()).sum::<Duration>();
    }

    // As much as without the times in which the record stood free.
    assert!(all < ms(500), "{all:?} in 500 turns");
}

#[test]
fn a_contender_without_a_rival_leaves_nothing_open_after_eight_turns() {
    let mut pair = Pair::new(secs(1));
    (0..20).for_each(|_| _ = pair.turn());

    let delays: Vec<_> = (0..200).map(|_| pair.turn_alone()).collect();

    assert_eq!(delays.iter().skip(8).max(), Some(&Duration::ZERO), "{delays:?}");
}

#[test]
fn a_contender_learns_of_tenures_that_it_has_not_seen() {
    let mut pair = Pair::new(secs(1));
    (0..20).for_each(|_| _ = pair.turn_alone());

    let open = (0..100).filter(|_| {
        pair.turn_unseen();
        pair.machine.status(pair.now).left_open > Duration::ZERO
    });

    let open = open.count();
    assert!((5..60).contains(&open), "{open} of 100 releases are left open");
}

#[test]
fn a_contender_whose_caller_cannot_wait_leaves_nothing_open() {
    let mut pair = Pair::new(secs(1));
    pair.machine.inner.set_hurried(true);

    let longest = (0..200).map(|_| pair.turn()).max();

    assert!(longest < Some(ms(30)), "{longest:?}");
}

#[test]
fn a_record_that_prefers_this_contender_is_claimed_at_once() {
    for version in (20..400).step_by(2) {
        let mut machine = in_turn(version);
        let mut record = free(version + 1).record.clone();
        record.preferred = Some("a".into());

        written(machine.step(at(1501), changed(&found("u", version + 1, record))));
    }
}
