//! The store of the values, and the client of a worker. One line is a request, and one line is its reply:
//!
//! | request | reply |
//! |---|---|
//! | `read NAME TOKEN` | `COUNT LAST`: how many updates the value has, and the number of the last one |
//! | `write NAME TOKEN BASE COUNT UNTIL` | `COUNT LAST`; the value was made from the update `BASE` |
//! | `skip NAME` | `0 0`; `check()` has refused the update |
//!
//! The store remembers the highest token of each value, and answers `refused` to a lower one. The token 0 is compared
//! with nothing, because an unguarded value has no other.
//!
//! `UNTIL` is the deadline of the tenure when `check()` succeeded. A process that is stopped between `check()` and the
//! write writes after that deadline. No lock can prevent that: it is counted as late. Two updates from one base that
//! were both written in time are a failure of the lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, BufRead as _, Write as _},
    os::unix::net::UnixStream as Blocking,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use leasehold_test_support::clock::now;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::worker::SLOTS;

/// How an update is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guarded {
    Not,
    Check,
    Token,
}

impl Guarded {
    pub(super) const ALL: [Self; 3] = [Self::Not, Self::Check, Self::Token];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Not => "unguarded",
            Self::Check => "check()",
            Self::Token => "token",
        }
    }

    /// The name of the value of this lock and slot.
    pub(super) fn value(self, lock: &str, slot: u16) -> String {
        let word = match self {
            Self::Not => "unguarded",
            Self::Check => "check",
            Self::Token => "token",
        };
        format!("{lock}{word}-{slot}")
    }
}

#[derive(Debug, Default)]
struct Value {
    /// The number of its last update.
    last: u64,
    highest_token: u64,
    /// The bases of the updates that were written in time.
    bases: BTreeSet<u64>,
    total: Total,
}

/// What became of the updates of one value, or of several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    /// How many updates it has.
    count: u64,
    pub(super) writes: u64,
    refused: u64,
    /// Written after the deadline, and by how many nanoseconds at most.
    late: u64,
    latest: u64,
    /// Written in time, from a base of another update that was written in time.
    forked: u64,
}

impl Total {
    const fn lost(&self) -> u64 {
        self.writes - self.count
    }

    /// The lock or the store has failed.
    pub(super) const fn is_wrong(&self, by: Guarded) -> bool {
        match by {
            Guarded::Not => false,
            Guarded::Check => self.forked > 0 || self.late == 0 && self.lost() > 0,
            Guarded::Token => self.lost() > 0,
        }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let percent = self.lost() as f64 / self.writes as f64 * 100.0;
        write!(f, "{} of {} lost ({percent:.1} %)", self.lost(), self.writes)?;
        if self.refused > 0 {
            write!(f, ", {} refused", self.refused)?;
        }
        if self.late > 0 {
            write!(f, ", {} late by at most {} µs", self.late, self.latest / 1000)?;
        }
        if self.forked > 0 {
            write!(f, ", {} twice in time", self.forked)?;
        }
        Ok(())
    }
}

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct Store {
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<String, Value>,
    /// The processes that have read their values and have not written them yet.
    working: BTreeSet<i32>,
}

impl Store {
    pub(super) fn serve(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (state, mut serving) = (Arc::<Mutex<State>>::default(), JoinSet::new());
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { state, _serving: serving }
    }

    /// Whether this process has read its values and has not written them yet.
    pub(super) fn is_at_work(&self, pid: Option<u32>) -> bool {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        pid.is_some_and(|pid| locked(&self.state).working.contains(&pid))
    }

    /// The sum over all slots of a lock.
    pub(super) fn total(&self, lock: &str, by: Guarded) -> Total {
        let state = locked(&self.state);
        (0..SLOTS).filter_map(|slot| state.values.get(&by.value(lock, slot))).fold(
            Total::default(),
            |sum, Value { total, .. }| Total {
                count: sum.count + total.count,
                writes: sum.writes + total.writes,
                refused: sum.refused + total.refused,
                late: sum.late + total.late,
                latest: sum.latest.max(total.latest),
                forked: sum.forked + total.forked,
            },
        )
    }
}

async fn serve(stream: UnixStream, state: Arc<Mutex<State>>) {
    let pid = stream.peer_cred().unwrap().pid().unwrap_or_default();
    let (requests, mut replies) = stream.into_split();
    let mut lines = BufReader::new(requests).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let now = now();
        let reply = locked(&state).answer(pid, &line, now);
        if replies.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn answer(&mut self, pid: i32, line: &str, now: u64) -> String {
        let (verb, name, numbers) = parse(line);
        match verb {
            "read" => self.working.insert(pid),
            _ => self.working.remove(&pid),
        };
        self.values.entry(name.into()).or_default().answer(verb, &numbers, now)
    }
}

/// The verb, the name of the value, and the numbers of a request.
fn parse(line: &str) -> (&str, &str, Vec<u64>) {
    let mut words = line.split(' ');
    let (verb, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    (verb, name, words.map(|word| word.parse().unwrap()).collect())
}

impl Value {
    fn answer(&mut self, verb: &str, numbers: &[u64], now: u64) -> String {
        let total = &mut self.total;
        match (verb, numbers) {
            ("skip", _) => {
                total.refused += 1;
                return "0 0\n".into();
            }
            (_, [token, ..]) if *token < self.highest_token => {
                total.refused += 1;
                return "refused\n".into();
            }
            ("read", [token]) => self.highest_token = *token,
            ("write", [token, base, count, until]) => {
                self.highest_token = *token;
                total.writes += 1;
                (total.count, self.last) = (*count, total.writes);
                if *until > 0 && now > *until {
                    total.late += 1;
                    total.latest = total.latest.max(now - until);
                } else if *until > 0 {
                    total.forked += u64::from(!self.bases.insert(*base));
                }
            }
            _ => panic!("no request: {verb} {numbers:?}"),
        }
        format!("{} {}\n", self.total.count, self.last)
    }
}

/// The connection of a worker.
#[derive(Debug)]
pub(super) struct Connection {
    requests: Blocking,
    replies: io::BufReader<Blocking>,
}

impl Connection {
    pub(super) fn new(socket: &Path) -> io::Result<Self> {
        let requests = Blocking::connect(socket)?;
        let replies = io::BufReader::new(requests.try_clone()?);
        Ok(Self { requests, replies })
    }

    /// The number of updates and the last one, unless the token is too low.
    pub(super) fn ask(&mut self, request: &str) -> io::Result<Option<[u64; 2]>> {
        self.requests.write_all(format!("{request}\n").as_bytes())?;
        let mut reply = String::new();
        self.replies.read_line(&mut reply)?;
        let mut numbers = reply.split_whitespace().filter_map(|word| word.parse().ok());
        Ok(numbers.next().zip(numbers.next()).map(<[u64; 2]>::from))
    }
}
