//! Many machines that wait for one record: how many claims of a free record conflict, and how long it stays free.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::*;

/// One machine, and its claim in the present race.
struct Racer {
    name: String,
    machine: Machine,
    sends: Moment,
    write: Option<Write>,
    arrives: Moment,
    /// The least latency.
    distance: Duration,
}

/// What one race cost.
#[derive(Clone, Copy, Debug)]
struct Race {
    conflicts: usize,
    /// How long the record was free.
    free: Duration,
    winner: usize,
}

struct Races {
    racers: Vec<Racer>,
    version: u64,
    now: Moment,
    draws: u64,
    /// How long each tenure lasts.
    work: Duration,
}

impl Races {
    /// So many machines that wait for the same holder, and are as far from the server.
    fn new(count: usize, distance: Duration) -> Self {
        Self::at(&vec![distance; count])
    }

    /// A machine at each of these distances from the server.
    fn at(distances: &[Duration]) -> Self {
        let racer = |(seed, &distance): (u64, &Duration)| {
            let name = format!("racer-{seed}");
            let mut machine = Machine::new(name.clone().into(), seed, Durations::default());
            machine.step(at(0), Input::Claim(Durations::default()));
            machine.step(at(0), read(&held(10)));
            Racer { name, machine, sends: at(0), write: None, arrives: at(0), distance }
        };
        Self {
            racers: (1..).zip(distances).map(racer).collect(),
            version: 10,
            now: at(0),
            draws: 0,
            work: ms(500),
        }
    }

    /// A latency of up to two milliseconds more than the distance of this machine.
    fn latency(&mut self, n: usize) -> Duration {
        let mut hasher = DefaultHasher::new();
        self.draws += 1;
        self.draws.hash(&mut hasher);
        self.racers[n].distance + Duration::from_micros(hasher.finish() % 2000)
    }

    /// The holder frees the record, and the machines race for it.
    fn race(&mut self) -> Race {
        self.now = self.now + self.work * 2;
        let freed = self.now;
        self.version += 2;
        let free = free(self.version - 1);
        for n in 0..self.racers.len() {
            let seen = freed + self.latency(n);
            let way = self.latency(n);
            let racer = &mut self.racers[n];
            let step = racer.machine.step(seen, changed(&free));
            (racer.sends, racer.write) = match step {
                Step::Sleep(until) => (until, None),
                step => (seen, Some(written(step))),
            };
            racer.arrives = racer.sends + way;
        }
        let winner = (0..self.racers.len()).min_by_key(|&n| self.racers[n].arrives).unwrap();
        let won = self.racers[winner].arrives;
        let taken = held_by(&self.racers[winner].name, self.version);
        let mut conflicts = 0;
        for n in 0..self.racers.len() {
            let (seen, way) = (won + self.latency(n), self.racers[n].distance);
            let answered = won + way * 2 + ms(4);
            let racer = &mut self.racers[n];
            if racer.write.is_none() && (n == winner || racer.sends < seen) {
                racer.write = Some(written(racer.machine.step(racer.sends, Input::Wake)));
            }
            if n == winner {
                let write = racer.write.take().unwrap();
                racer.machine.step(answered, stored(&after(&write, self.version)));
                continue;
            }
            racer.machine.step(seen, changed(&taken));
            if racer.write.take().is_some() {
                conflicts += 1;
                racer.machine.step(answered, conflict());
            }
        }
        Race { conflicts, free: won - freed, winner }
    }

    /// The winner of the last race frees the record and waits again.
    fn rejoin(&mut self, winner: usize) {
        let other = self.racers[(winner + 1) % self.racers.len()].name.clone();
        let machine = &mut self.racers[winner].machine;
        let now = self.now + self.work;
        let write = written(machine.step(now, Input::Release));
        self.version += 1;
        machine.step(now, stored(&after(&write, self.version)));
        self.version += 1;
        machine.step(now, changed(&held_by(&other, self.version)));
        machine.step(now, Input::Claim(Durations::default()));
    }
}

fn median(races: &[Race]) -> Duration {
    let mut free: Vec<_> = races.iter().map(|race| race.free).collect();
    free.sort();
    free[free.len() / 2]
}

#[test]
fn two_hundred_machines_conflict_at_their_first_race_and_are_spread_from_the_second_on() {
    let mut races = Races::new(200, ms(1));
    let all: Vec<_> = (0..200)
        .map(|_| {
            let race = races.race();
            races.racers.remove(race.winner);
            race
        })
        .collect();

    let conflicts: Vec<_> = all.iter().map(|race| race.conflicts).collect();
    let (total, free) =
        (conflicts.iter().sum::<usize>(), all.iter().map(|race| race.free).sum::<Duration>());
    eprintln!("conflicts {:?}, {total} in 200 races, free for {free:?}", &conflicts[..8]);
    assert!(conflicts[1] <= 60, "{conflicts:?}");
    assert!(total <= 2500, "{total}: {conflicts:?}");
    assert!(free < secs(3), "{free:?}");
}

#[test]
fn machines_that_race_again_and_again_take_turns_and_seldom_conflict() {
    for (count, most) in [(2, 25), (10, 150)] {
        let mut races = Races::new(count, ms(1));
        let mut wins = vec![0_usize; races.racers.len()];
        let all: Vec<_> = (0..1000)
            .map(|_| {
                let race = races.race();
                races.rejoin(race.winner);
                wins[race.winner] += 1;
                race
            })
            .collect();

        let conflicts = all.iter().map(|race| race.conflicts).sum::<usize>();
        eprintln!("{count}: {conflicts} conflicts in 1,000 races, {:?}, {wins:?}", median(&all));
        assert!(conflicts * 100 / 1000 <= most, "{count}: {conflicts} conflicts");
        assert!(median(&all) <= ms(7), "{count}: {:?}", median(&all));
        let fair = 1000 / count;
        assert!(wins.iter().all(|&wins| wins >= fair / 3 && wins <= fair * 2), "{wins:?}");
    }
}

#[test]
fn among_several_machines_that_race_again_and_again_none_waits_for_many_turns() {
    for distance in [1, 20, 80] {
        let mut races = Races::new(3, ms(distance));
        let mut last = [0; 3];
        let mut longest = 0;
        for turn in 1..=1000 {
            let race = races.race();
            races.rejoin(race.winner);
            longest = longest.max(turn - last[race.winner]);
            last[race.winner] = turn;
        }

        eprintln!("at {distance} ms: longest wait {longest} turns");
        assert!(longest <= 20, "at {distance} ms: {longest} turns");
    }
}

#[test]
fn a_machine_that_is_farther_than_several_that_take_turns_gets_its_turns_too() {
    for (near, far, work) in [(5, 100, 1500), (5, 100, 300), (20, 60, 1500), (1, 10, 50)] {
        let mut races = Races::at(&[ms(near), ms(near), ms(far)]);
        races.work = ms(work);
        let mut last = [0; 3];
        let mut longest = 0;
        let (mut free, mut wins) = (Duration::ZERO, 0);
        for turn in 1..=1000 {
            let race = races.race();
            races.rejoin(race.winner);
            longest = longest.max(turn - last[race.winner]);
            last[race.winner] = turn;
            free += race.free;
            wins += u32::from(race.winner == 2);
        }
        longest = last.into_iter().fold(longest, |longest, last| longest.max(1000 - last));

        eprintln!(
            "at {near} and {far} ms: longest wait {longest} turns, {wins} wins, free for {free:?}"
        );
        let longest = races.work * 2 * longest;
        assert!(longest <= secs(300), "at {near} and {far} ms: {longest:?}");
    }
}
