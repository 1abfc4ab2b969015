//! The simulated backend: compare-and-swap on version and uid, a global counter of versions, and its whole history.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use serde_json::Value;

use crate::engine::record::{Change, Record, Version, Versioned, Write};

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// The machine of this seed, by a write that it sent at this true time.
    Machine { seed: u64, change: Change, sent: u64 },
    /// An elector of another make.
    Foreign,
    /// Somebody with `kubectl` who breaks into a tenure.
    Operator,
    /// Somebody who edits what no tenure is about.
    Beside,
}

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) number: u64,
    /// True time.
    pub(super) at: u64,
    pub(super) author: Author,
    pub(super) state: Option<Arc<Versioned>>,
    /// What the writer's wall clock said at the last renewal.
    wall: i64,
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) log: Vec<Commit>,
    whole: Arc<Value>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { log: Vec::new(), whole: Arc::new(Value::Null) }
    }

    pub(super) fn present(&self) -> Option<&Arc<Versioned>> {
        self.log.last().and_then(|commit| commit.state.as_ref())
    }

    /// Carries out `write` if the record is what it is conditional on.
    pub(super) fn put(
        &mut self,
        at: u64,
        wall: i64,
        author: Author,
        write: &Write,
        delete: bool,
    ) -> bool {
        let present = self.present().map(|found| &found.version);
        if present != write.base.as_ref().map(|base| &base.version) {
            return false;
        }
        let mut record = write.record.clone();
        record.preferred = self.present().and_then(|found| found.record.preferred.clone());
        self.commit(at, wall, author, (!delete).then_some(record));
        true
    }

    /// The next state, unconditionally.
    pub(super) fn commit(&mut self, at: u64, wall: i64, author: Author, record: Option<Record>) {
        // Other objects are written as well.
        let last = self.log.last().map_or(1, |commit| commit.number);
        let number = last + 1 + last % 3;
        let uid = match self.present() {
            Some(found) => Arc::clone(&found.version.uid),
            None => format!("uid-{number}").into(),
        };
        let state = record.map(|record| {
            let number = NonZeroU64::new(number).expect("counts from one");
            let version = Version { number, uid };
            Arc::new(Versioned { version, record, age: None, whole: Arc::clone(&self.whole) })
        });
        let wall = if author == Author::Beside {
            self.log.last().map_or(0, |last| last.wall)
        } else {
            wall
        };
        self.log.push(Commit { number, at, author, state, wall });
    }

    /// A change as somebody sees it whose wall clock says `wall`.
    pub(super) fn shown(&self, index: usize, wall: i64) -> Option<Arc<Versioned>> {
        let commit = &self.log[index];
        let age = u64::try_from(wall.saturating_sub(commit.wall)).ok().map(Duration::from_nanos);
        commit.state.as_ref().map(|found| Arc::new(Versioned { age, ..(**found).clone() }))
    }

    /// The changes after version `number`.
    pub(super) fn after(&self, number: u64) -> &[Commit] {
        let start = self.log.partition_point(|commit| commit.number <= number);
        &self.log[start..]
    }

    /// The change that made version `number`, as an index.
    pub(super) fn index(&self, number: u64) -> Option<usize> {
        self.log.binary_search_by_key(&number, |commit| commit.number).ok()
    }
}
