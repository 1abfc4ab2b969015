//! What the members told and what was done to them, as it comes.

use std::{collections::BTreeMap, fs::File, io::Write as _};

use crate::{
    event::{Event, Fence},
    fault::{Fault, Span},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub(crate) token: u64,
    pub(crate) since: u64,
    /// The deadline as last heard of.
    pub(crate) until: u64,
    pub(crate) over: Option<u64>,
    /// When its process ended.
    pub(crate) gone: Option<u64>,
}

impl Tenure {
    /// Until when somebody could believe in it.
    pub(crate) fn end(&self) -> u64 {
        let end = self.until.min(self.over.unwrap_or(u64::MAX));
        end.min(self.gone.unwrap_or(u64::MAX)).max(self.since)
    }
}

/// One update of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) token: u64,
    /// The last update in the state that it was made from.
    pub(crate) base: u64,
    /// When it was written, and the deadline just before.
    pub(crate) written: Option<(u64, u64)>,
}

/// The Lease was deleted by hand: nobody promises anything to the tenure of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deletion {
    /// When it was asked for.
    pub(crate) from: u64,
    /// When it was done at the latest.
    pub(crate) to: u64,
    /// Not below its version: higher tokens are of later tenures.
    pub(crate) version: u64,
}

impl Deletion {
    fn concerns(&self, tenure: &Tenure) -> bool {
        tenure.token <= self.version && self.from <= tenure.end() && tenure.since <= self.to
    }
}

/// One process.
#[derive(Debug, Default)]
struct Life {
    member: usize,
    crashes: bool,
    tenures: Vec<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lives: Vec<Life>,
    pub(crate) tenures: Vec<Tenure>,
    /// Tokens of tenures that were over before anybody could believe in them.
    pub(crate) late: Vec<u64>,
    pub(crate) updates: [BTreeMap<u64, Update>; 3],
    pub(crate) refused: [u64; 3],
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) spans: Vec<Span>,
    pub(crate) deletions: Vec<Deletion>,
    /// Processes that ended as they should not.
    pub(crate) broken: Vec<String>,
    /// Everything, to read after something was wrong.
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

    /// A process of this member is started.
    pub(crate) fn start(&mut self, member: usize) -> u64 {
        self.lives.push(Life { member, ..Life::default() });
        let life = self.lives.len() as u64;
        self.write(&format!("life {life} of member {member} starts"));
        life
    }

    fn life(&mut self, life: u64) -> &mut Life {
        &mut self.lives[usize::try_from(life).expect("small") - 1]
    }

    fn tenure(&mut self, life: u64, token: u64) -> &mut Tenure {
        let at = *self.life(life).tenures.last().expect("it began");
        let tenure = &mut self.tenures[at];
        assert_eq!(tenure.token, token, "members have one tenure after the other");
        tenure
    }

    pub(crate) fn hear(&mut self, life: u64, event: Event) {
        self.write(&format!("{life} {event:?}"));
        match event {
            Event::Began { token, since, until } => {
                let at = self.tenures.len();
                self.life(life).tenures.push(at);
                let tenure = Tenure { token, since, until, over: None, gone: None };
                self.tenures.push(tenure);
            }
            Event::BeganLate { token } => self.late.push(token),
            Event::Until { token, until } => {
                let tenure = self.tenure(life, token);
                tenure.until = tenure.until.max(until);
            }
            Event::Over { token, at } => self.tenure(life, token).over = Some(at),
            Event::Tries { fence, id, base, token } => {
                let update = Update { token, base, written: None };
                self.updates[fence.index()].insert(id, update);
            }
            Event::Acknowledged { fence, id, at, until } => {
                let update = self.updates[fence.index()].get_mut(&id).expect("told before");
                update.written = Some((at, until));
            }
            Event::Refused { fence } => self.refused[fence.index()] += 1,
            Event::Failed { what } => *self.failures.entry(what).or_default() += 1,
            Event::Crashes => self.life(life).crashes = true,
        }
    }

    /// The process has ended. Why it did, if it was killed.
    pub(crate) fn gone(&mut self, life: u64, at: u64) -> Fault {
        self.write(&format!("life {life} is gone"));
        if let Some(&last) = self.life(life).tenures.last() {
            self.tenures[last].gone = Some(at);
        }
        if self.life(life).crashes { Fault::Crashed } else { Fault::Killed }
    }

    /// Something goes wrong from now on; the number is for its end.
    pub(crate) fn fault(&mut self, fault: Fault, from: u64, told: &str) -> usize {
        self.write(&format!("{fault:?} {told}"));
        self.spans.push(Span { fault, from, to: None });
        self.spans.len() - 1
    }

    pub(crate) fn healed(&mut self, span: usize, at: u64) {
        self.write(&format!("{:?} is over", self.spans[span].fault));
        self.spans[span].to = Some(at);
    }

    /// The member whose tenure began last, if that is not over.
    pub(crate) fn holder(&self, now: u64) -> Option<usize> {
        let last = self.tenures.len().checked_sub(1)?;
        let tenure = &self.tenures[last];
        let held = tenure.over.is_none() && tenure.gone.is_none() && now < tenure.until;
        let life = self.lives.iter().rev().find(|life| life.tenures.last() == Some(&last));
        life.filter(|_| held).map(|life| life.member)
    }

    pub(crate) fn deleted(&mut self, deletion: Deletion) {
        self.write(&format!("{deletion:?}"));
        self.deletions.push(deletion);
    }

    /// When the Lease was deleted under this tenure.
    pub(crate) fn deleted_under(&self, tenure: &Tenure) -> Option<u64> {
        let mut all = self.deletions.iter().filter(|deletion| deletion.concerns(tenure));
        all.next().map(|deletion| deletion.from)
    }

    pub(crate) fn acknowledged(&self, fence: Fence) -> impl Iterator<Item = u64> {
        let updates = self.updates[fence.index()].iter();
        updates.filter(|(_, update)| update.written.is_some()).map(|(&id, _)| id)
    }
}
