//! The open connections, and which of them ends when there are too many.
//!
//! Every connection costs memory and a file descriptor, and the candidate needs both. So their number is bounded, and a
//! new connection is accepted at the expense of an old one: a probe gets its answer however many clients connect.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::task::AbortHandle;

/// The largest number of connections, if the process may open enough files.
const MOST: usize = 64;
/// File descriptors that connections must not use: for the API server, the command, its guardian and credentials.
const RESERVED: u64 = 48;
/// A limit that is left even if the process may open very few files: a probe needs one.
const FEWEST: usize = 2;
/// Time limit for the head of a request: from the connection, or from the first byte of a later request.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may wait for its next request.
const IDLE: Duration = Duration::from_secs(60);

/// What a connection is doing. The first variants end first when there are too many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It waits for another request.
    Idle,
    /// The head of a request is not complete.
    Head,
    /// Its answer is a stream of events.
    Streaming,
    /// A request is not answered yet.
    Answering,
}

impl Phase {
    /// The time limit of the phase.
    const fn limit(self) -> Option<Duration> {
        match self {
            Self::Idle => Some(IDLE),
            Self::Head => Some(HEAD),
            Self::Streaming | Self::Answering => None,
        }
    }
}

/// All open connections. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    most: usize,
    /// Grows with each phase of each connection: the oldest phase has the smallest number.
    steps: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    phase: Phase,
    /// When the phase began, in steps.
    step: u64,
    task: Option<AbortHandle>,
}

impl Connections {
    /// `open_files` is the largest number of files that the process may open.
    pub(super) fn new(open_files: u64) -> Self {
        let spare = usize::try_from(open_files.saturating_sub(RESERVED)).unwrap_or(MOST);
        let most = spare.clamp(FEWEST, MOST);
        Self(Arc::new(Mutex::new(Table { most, steps: 0, open: BTreeMap::new() })))
    }

    /// Makes room for a new connection, and adds it.
    pub(super) fn admit(&self) -> Connection {
        let mut table = self.table();
        while table.open.len() >= table.most {
            table.end_one(|_| true);
        }
        let number = table.step();
        table.open.insert(number, Open { phase: Phase::Head, step: number, task: None });
        Connection { connections: self.clone(), number }
    }

    /// The task that serves this connection ends if another connection needs its place.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        match self.table().open.get_mut(&number) {
            Some(open) => open.task = Some(task),
            None => task.abort(),
        }
    }

    /// Ends one connection, because the process has run out of file descriptors.
    pub(super) fn end_one(&self) {
        self.table().end_one(|_| true);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    const fn step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    /// Ends the connection that is the least loss, of those whose phase satisfies `matches`.
    fn end_one(&mut self, matches: impl Fn(Phase) -> bool) {
        let candidates = self.open.iter().filter(|(_, open)| matches(open.phase));
        let victim = candidates.min_by_key(|(_, open)| (open.phase, open.step));
        let Some(number) = victim.map(|(number, _)| *number) else { return };
        if let Some(task) = self.open.remove(&number).and_then(|open| open.task) {
            task.abort();
        }
    }

    /// At most half of the connections are streams, so that other requests have room.
    fn limit_streams(&mut self) {
        let streams = self.open.values().filter(|open| open.phase == Phase::Streaming).count();
        if streams > self.most / 2 {
            self.end_one(|phase| phase == Phase::Streaming);
        }
    }
}

/// One open connection. It is closed when this value is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Connections,
    number: u64,
}

impl Connection {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// A part of a request has arrived.
    pub(super) fn received(&self) {
        self.turn(Phase::Head, |before| before == Phase::Idle);
    }

    /// The head of a request is complete.
    pub(super) fn requested(&self) {
        self.turn(Phase::Answering, |_| true);
    }

    /// The answer is a stream of events.
    pub(super) fn streams(&self) {
        self.turn(Phase::Streaming, |_| true);
        self.connections.table().limit_streams();
    }

    /// The request is answered.
    pub(super) fn answered(&self) {
        self.turn(Phase::Idle, |_| true);
    }

    /// The number of the present phase, and its time limit.
    pub(super) fn limit(&self) -> (u64, Option<Duration>) {
        let table = self.connections.table();
        table.open.get(&self.number).map_or((0, None), |open| (open.step, open.phase.limit()))
    }

    fn turn(&self, phase: Phase, when: impl FnOnce(Phase) -> bool) {
        let mut table = self.connections.table();
        let step = table.step();
        if let Some(open) = table.open.get_mut(&self.number).filter(|open| when(open.phase)) {
            (open.phase, open.step) = (phase, step);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(connections: &Connections) -> Vec<u64> {
        connections.table().open.keys().copied().collect()
    }

    #[test]
    fn a_connection_that_waits_ends_first_then_a_stream_then_a_request() {
        let connections = Connections::new(RESERVED + 4);
        let all: Vec<_> = (0..4).map(|_| connections.admit()).collect();
        all[0].requested();
        all[1].streams();
        all[3].answered();
        let mut later = Vec::new();
        let mut ended = Vec::new();

        for _ in 0..4 {
            let before = open(&connections);
            let new = connections.admit();
            new.requested();
            later.push(new);
            let now = open(&connections);
            ended.extend(before.into_iter().filter(|number| !now.contains(number)));
        }

        let place = |number| all.iter().position(|connection| connection.number() == number);
        let ended: Vec<_> = ended.into_iter().filter_map(place).collect();
        assert_eq!(ended, [3, 2, 1, 0]);
    }

    #[test]
    fn half_of_the_connections_may_be_streams_and_the_oldest_stream_ends_first() {
        let connections = Connections::new(RESERVED + 4);
        let all: Vec<_> = (0..3).map(|_| connections.admit()).collect();

        all[1].streams();
        all[0].streams();
        all[2].streams();

        assert_eq!(open(&connections), [all[0].number(), all[2].number()]);
    }

    #[test]
    fn there_are_at_most_as_many_connections_as_files_allow() {
        for (files, most) in [(0, FEWEST), (RESERVED + 9, 9), (1024, MOST), (u64::MAX, MOST)] {
            assert_eq!(Connections::new(files).table().most, most, "{files} files");
        }
    }
}
