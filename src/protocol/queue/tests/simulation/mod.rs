//! One lock, its server and the processes that want it, simulated: time, latencies, faults and checks.
//!
//! Latencies are those of a server on the same machine: a PUT takes 1.3 ms, and its event arrives with its answer.

mod server;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    num::NonZeroU64,
    sync::Arc,
    time::Duration,
};

use leasehold_test_support::Rng;

use super::super::{
    claim::Mode,
    machine::{Event, Failure, LockMachine, Outcome, Step},
    record::{Join, LockRecord, LockWrite, StoredLock},
};
use crate::{
    protocol::{record::Nonce, session::SessionId},
    util::clock::Moment,
};

const TTL: Duration = Duration::from_secs(15);

#[derive(Debug)]
enum Happens {
    Wake,
    Ask,
    Arrives(Request),
    /// The sender has given up before.
    ArrivesLate(Request),
    Commits(Request),
    Replies(Reply),
    Seen(Arc<StoredLock>),
    Unlabelled(NonZeroU64),
    Works,
    /// The caller drops its future.
    Cancels(u64),
    Resyncs,
    Deletes,
}

#[derive(Debug)]
enum Request {
    Read,
    Write(LockWrite),
    Join(Join),
}

#[derive(Debug)]
enum Reply {
    Read(Option<Arc<StoredLock>>),
    Write(Outcome),
    /// No answer, to a read or to a write.
    Failed(bool),
}

struct Process {
    machine: LockMachine,
    nonce: u64,
    asked: Moment,
}

pub(super) struct Simulation {
    now: Moment,
    random: Rng,
    /// How much slower than usual the server is.
    slow: f64,
    pause: Duration,
    agenda: BinaryHeap<Reverse<(Moment, u64, usize)>>,
    what: HashMap<u64, Happens>,
    count: u64,
    stored: Option<Arc<StoredLock>>,
    /// The version of the last change.
    version: u64,
    processes: Vec<Process>,
    pub(super) requests: u64,
    pub(super) served: Vec<u64>,
    pub(super) longest: Duration,
    /// How many of 1,000 requests, events and waits meet a fault.
    faults: u64,
    /// The highest token so far.
    token: u64,
    /// No process asks again.
    closing: bool,
    /// The server can change parts of a record.
    patches: bool,
    /// The Lease was deleted, so that a holder may learn late of its successor.
    deletes: bool,
}

fn id(number: usize) -> SessionId {
    SessionId::new(TTL, [number as u64, 7])
}

fn holds(stored: &StoredLock, process: usize) -> bool {
    stored.record.line.held_by().contains(&id(process))
}

impl Simulation {
    pub(super) fn new(processes: usize, slow: f64, pause: Duration, seed: u64) -> Self {
        let now = Moment::from_nanos(1_000_000_000);
        let process =
            |number| Process { machine: LockMachine::new(id(number)), nonce: 0, asked: now };
        let mut this = Self {
            now,
            random: Rng::new(seed),
            slow,
            pause,
            agenda: BinaryHeap::new(),
            what: HashMap::new(),
            count: 0,
            stored: None,
            version: 0,
            processes: (0..processes).map(process).collect(),
            requests: 0,
            served: vec![0; processes],
            longest: Duration::ZERO,
            faults: 0,
            token: 0,
            closing: false,
            patches: true,
            deletes: false,
        };
        for number in 0..processes {
            this.after(Duration::from_micros(100 * number as u64), number, Happens::Ask);
            this.after(Duration::from_secs(30), number, Happens::Resyncs);
        }
        this
    }

    fn after(&mut self, delay: Duration, process: usize, what: Happens) {
        self.count += 1;
        self.agenda.push(Reverse((self.now + delay, self.count, process)));
        self.what.insert(self.count, what);
    }

    /// A random number from 0 to 1.
    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.random.below(1_000_000)).unwrap()) / 1e6
    }

    /// About so many microseconds at the server's usual speed.
    fn about(&mut self, micros: f64) -> Duration {
        let share = 0.7 + 0.6 * self.share();
        Duration::from_secs_f64(micros * share * self.slow / 1e6)
    }

    /// With faults in so many of 1,000 requests, events and waits.
    pub(super) fn with_faults(mut self, faults: u64, deletes: bool) -> Self {
        (self.faults, self.deletes) = (faults, deletes);
        if deletes {
            self.after(Duration::from_secs(3), 0, Happens::Deletes);
        }
        self
    }

    /// On a server that only replaces whole records.
    pub(super) const fn without_patches(mut self) -> Self {
        self.patches = false;
        self
    }

    pub(super) fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some(Reverse((at, number, process))) = self.agenda.pop() {
            if at > end {
                self.agenda.push(Reverse((at, number, process)));
                return;
            }
            self.now = at;
            let what = self.what.remove(&number).unwrap();
            self.happens(process, what);
            self.check();
        }
    }

    /// Ends the faults and the work, and waits until all is quiet. Returns what is left in the record.
    pub(super) fn settle(&mut self) -> Option<LockRecord> {
        (self.faults, self.closing) = (0, true);
        self.run(Duration::from_secs(120));
        for number in 0..self.processes.len() {
            self.resync(number);
        }
        self.run(Duration::from_secs(120));
        assert!(self.processes.iter().all(|one| !one.machine.is_held()), "a tenure goes on");
        self.stored.as_ref().map(|stored| stored.record.clone())
    }

    /// The list of what a session holds, which its task gets now and then.
    fn resync(&mut self, process: usize) {
        let stored = self.stored.clone().filter(|stored| holds(stored, process));
        if let Some(stored) = stored {
            self.after(Duration::ZERO, process, Happens::Seen(stored));
        }
    }

    fn fault(&mut self) -> bool {
        self.random.chance(self.faults)
    }

    /// A process that believes to hold the lock is the holder that is stored.
    fn check(&self) {
        if self.deletes {
            return;
        }
        let stored = self.stored.as_ref();
        for (number, process) in self.processes.iter().enumerate() {
            if process.machine.is_held() {
                let line = stored.map(|stored| &stored.record.line);
                let held = line.and_then(|line| line.held(&id(number), Nonce(process.nonce)));
                assert!(held.is_some(), "process {number} believes, but {line:?} is stored");
            }
        }
    }

    fn happens(&mut self, process: usize, what: Happens) {
        let (now, random) = (self.now, self.random.draw());
        let Process { machine, nonce, .. } = &mut self.processes[process];
        match what {
            Happens::Ask if self.closing => {}
            Happens::Ask => {
                let one = &mut self.processes[process];
                (one.nonce, one.asked) = (one.nonce + 1, now);
                one.machine.claim(now, Nonce(one.nonce), Mode::Exclusive, false);
                let asked = one.nonce;
                if self.fault() {
                    let patience = Duration::from_micros(self.random.below(20_000));
                    self.after(patience, process, Happens::Cancels(asked));
                }
            }
            Happens::Works => machine.give_up(Nonce(*nonce)),
            Happens::Seen(state) => machine.seen(now, state),
            Happens::Unlabelled(version) => machine.unlabelled(version),
            Happens::Replies(Reply::Read(found)) => machine.read(now, random, Ok(found)),
            Happens::Replies(Reply::Write(outcome)) => machine.wrote(now, random, outcome),
            Happens::Replies(Reply::Failed(true)) => {
                machine.read(now, random, Err(Failure::default()));
            }
            Happens::Replies(Reply::Failed(false)) => {
                machine.wrote(now, random, Outcome::Failed(Failure::default()));
            }
            Happens::ArrivesLate(Request::Read) => return,
            Happens::ArrivesLate(request) => return self.commits(None, request),
            Happens::Cancels(asked) if asked == *nonce && !machine.is_held() => {
                machine.give_up(Nonce(asked));
            }
            Happens::Wake | Happens::Cancels(_) => {}
            Happens::Resyncs => {
                self.resync(process);
                self.after(Duration::from_secs(30), process, Happens::Resyncs);
            }
            Happens::Deletes => return self.deletes(),
            Happens::Arrives(request) => return self.arrives(process, request),
            Happens::Commits(request) => return self.commits(Some(process), request),
        }
        self.drive(process);
    }

    fn drive(&mut self, process: usize) {
        loop {
            let (now, random) = (self.now, self.random.draw());
            let machine = &mut self.processes[process].machine;
            let step = machine.next(now, random);
            for event in machine.take_events() {
                self.event(process, &event);
            }
            let request = match step {
                Step::Read => Request::Read,
                Step::Write(write) => Request::Write(write),
                Step::Join(join) => Request::Join(join),
                Step::Sleep(Moment::NEVER) | Step::Idle => return,
                Step::Sleep(until) => return self.after(until - now, process, Happens::Wake),
            };
            self.requests += 1;
            self.send(process, request);
        }
    }

    /// Sends a request. One that meets a fault is lost, or its answer is, or it arrives long after its sender gave up.
    fn send(&mut self, process: usize, request: Request) {
        let mut delay = self.about(300.0);
        if self.fault() {
            let failed = match request {
                Request::Read => Happens::Replies(Reply::Failed(true)),
                Request::Write(_) | Request::Join(_) => Happens::Replies(Reply::Failed(false)),
            };
            self.after(TTL / 3, process, failed);
            if self.random.chance(500) {
                return;
            }
            delay *= 1 + u32::try_from(self.random.below(60_000)).unwrap();
            return self.after(delay, process, Happens::ArrivesLate(request));
        }
        self.after(delay, process, Happens::Arrives(request));
    }

    fn event(&mut self, process: usize, event: &Event) {
        match event {
            Event::Granted { token, .. } => {
                assert!(token.get() > self.token, "the token of each tenure is larger");
                self.token = token.get();
                self.longest = self.longest.max(self.now - self.processes[process].asked);
                self.served[process] += 1;
                // A timer of 1 ms fires after 1 to 2 ms.
                let work = Duration::from_micros(1000 + self.random.below(1000));
                self.after(work, process, Happens::Works);
            }
            Event::Left { .. } => {
                let pause = self.pause.mul_f64(self.share());
                self.after(pause, process, Happens::Ask);
            }
            Event::Lost { .. } if self.deletes => {
                let pause = self.pause.mul_f64(self.share());
                self.after(pause, process, Happens::Ask);
            }
            other => panic!("{other:?}"),
        }
    }
}
