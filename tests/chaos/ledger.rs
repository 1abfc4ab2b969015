//! The record of a run: events of the members and faults, in order.

use std::{collections::BTreeMap, fs::File, io::Write as _};

use crate::{
    event::{Event, Fence, Lock, Mode},
    fault::{Fault, Span},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenure {
    /// The number of the member.
    pub(crate) member: usize,
    pub(crate) lock: Lock,
    pub(crate) mode: Mode,
    pub(crate) token: u64,
    pub(crate) since: u64,
    /// The last reported deadline.
    pub(crate) until: u64,
    pub(crate) over: Option<u64>,
    /// When the process ended.
    pub(crate) gone: Option<u64>,
}

impl Tenure {
    /// Until when the member could believe that it held.
    pub(crate) fn end(&self) -> u64 {
        let end = self.until.min(self.over.unwrap_or(u64::MAX));
        end.min(self.gone.unwrap_or(u64::MAX)).max(self.since)
    }
}

/// One update of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) token: u64,
    /// The last update in the state from which this one was made.
    pub(crate) base: u64,
    /// When it was written, and the deadline right before.
    pub(crate) written: Option<(u64, u64)>,
}

/// A deletion of the Lease of a lock by hand. A tenure of that time has no guarantee any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deletion {
    pub(crate) lock: Lock,
    /// When the request was sent.
    pub(crate) from: u64,
    /// The latest time at which it was carried out.
    pub(crate) to: u64,
    /// An upper bound of the version of the deletion. Higher tokens belong to later tenures.
    pub(crate) version: u64,
}

impl Deletion {
    fn concerns(&self, tenure: &Tenure) -> bool {
        let same = tenure.lock == self.lock && tenure.token <= self.version;
        same && self.from <= tenure.end() && tenure.since <= self.to
    }
}

/// One process of a member.
#[derive(Debug, Default)]
struct Life {
    member: usize,
    crashes: bool,
    /// The last tenure of each lock.
    tenures: BTreeMap<Lock, usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lives: Vec<Life>,
    pub(crate) tenures: Vec<Tenure>,
    /// Tokens of tenures that were over before `lock` returned.
    pub(crate) late: Vec<(Lock, Mode, u64)>,
    pub(crate) updates: [BTreeMap<u64, Update>; 5],
    pub(crate) refused: [u64; 5],
    /// How often a shared holder read a file twice, and how often the file had changed in between.
    pub(crate) read_twice: u64,
    pub(crate) changed: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) spans: Vec<Span>,
    pub(crate) deletions: Vec<Deletion>,
    /// Processes that ended by themselves.
    pub(crate) broken: Vec<String>,
    /// Every event and fault, to read after a violation.
    log: Option<File>,
}

impl Ledger {
    pub(crate) fn new(log: File) -> Self {
        Self { log: Some(log), ..Self::default() }
    }

    fn write(&mut self, line: &str) {
        if let Some(log) = &mut self.log {
            writeln!(log, "{} {line}", crate::event::now() / 1000).expect("the log");
        }
    }

    /// Records that a process of this member starts; its number.
    pub(crate) fn start(&mut self, member: usize) -> u64 {
        self.lives.push(Life { member, ..Life::default() });
        let life = self.lives.len() as u64;
        self.write(&format!("life {life} of member {member} starts"));
        life
    }

    fn life(&mut self, life: u64) -> &mut Life {
        &mut self.lives[usize::try_from(life).expect("small") - 1]
    }

    fn tenure(&mut self, life: u64, lock: Lock, token: u64) -> &mut Tenure {
        let at = *self.life(life).tenures.get(&lock).expect("`Began` comes first");
        let tenure = &mut self.tenures[at];
        assert_eq!(tenure.token, token, "a member has one tenure of a lock at a time");
        tenure
    }

    pub(crate) fn record(&mut self, life: u64, event: Event) {
        self.write(&format!("{life} {event:?}"));
        match event {
            Event::Began { lock, mode, token, since, until } => {
                let at = self.tenures.len();
                let life = self.life(life);
                life.tenures.insert(lock, at);
                let (member, over, gone) = (life.member, None, None);
                let tenure = Tenure { member, lock, mode, token, since, until, over, gone };
                self.tenures.push(tenure);
            }
            Event::BeganLate { lock, mode, token } => self.late.push((lock, mode, token)),
            Event::Until { lock, token, until } => {
                let tenure = self.tenure(life, lock, token);
                tenure.until = tenure.until.max(until);
            }
            Event::Over { lock, token, at } => self.tenure(life, lock, token).over = Some(at),
            Event::Tries { fence, id, base, token } => {
                let update = Update { token, base, written: None };
                self.updates[fence.index()].insert(id, update);
            }
            Event::Acknowledged { fence, id, at, until } => {
                let update = self.updates[fence.index()].get_mut(&id).expect("`Tries` comes first");
                update.written = Some((at, until));
            }
            Event::Refused { fence } => self.refused[fence.index()] += 1,
            Event::ReadTwice { same } => {
                self.read_twice += 1;
                self.changed += u64::from(!same);
            }
            Event::Failed { what } => *self.failures.entry(what).or_default() += 1,
            Event::Crashes => self.life(life).crashes = true,
        }
    }

    /// Records that the process has ended. Returns the fault that killed it.
    pub(crate) fn gone(&mut self, life: u64, at: u64) -> Fault {
        self.write(&format!("life {life} is gone"));
        for last in std::mem::take(&mut self.life(life).tenures).into_values() {
            self.tenures[last].gone = Some(at);
        }
        if self.life(life).crashes { Fault::Crashed } else { Fault::Killed }
    }

    /// Records the start of a fault; its number is for [`healed`](Self::healed).
    pub(crate) fn fault(&mut self, fault: Fault, from: u64, details: &str) -> usize {
        self.write(&format!("{fault:?} {details}"));
        self.spans.push(Span { fault, from, to: None });
        self.spans.len() - 1
    }

    pub(crate) fn healed(&mut self, span: usize, at: u64) {
        self.write(&format!("{:?} is over", self.spans[span].fault));
        self.spans[span].to = Some(at);
    }

    /// The member whose tenure of this lock began last, if that tenure is not over.
    pub(crate) fn holder(&self, lock: Lock, now: u64) -> Option<usize> {
        let tenure = self.tenures.iter().rfind(|tenure| tenure.lock == lock)?;
        let held = tenure.over.is_none() && tenure.gone.is_none() && now < tenure.until;
        held.then_some(tenure.member)
    }

    pub(crate) fn deleted(&mut self, deletion: Deletion) {
        self.write(&format!("{deletion:?}"));
        self.deletions.push(deletion);
    }

    /// When the Lease was deleted during this tenure.
    pub(crate) fn deleted_under(&self, tenure: &Tenure) -> Option<u64> {
        let mut all = self.deletions.iter().filter(|deletion| deletion.concerns(tenure));
        all.next().map(|deletion| deletion.from)
    }

    pub(crate) fn acknowledged(&self, fence: Fence) -> impl Iterator<Item = u64> {
        let updates = self.updates[fence.index()].iter();
        updates.filter(|(_, update)| update.written.is_some()).map(|(&id, _)| id)
    }
}
