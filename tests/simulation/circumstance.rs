//! What makes requests slow in a run, although the network and the server work.
//!
//! A request that takes longer than one attempt is answered late, but within what a hold leaves. So none of these
//! circumstances is a cause for the loss of a tenure (C5).

use std::{ops::Range, sync::LazyLock};

use crate::{
    api::Request,
    delivery::Delivery,
    faults::Fault,
    scenario::{MS, SEC},
    world::World,
};

/// The seeds of each round that have a circumstance: a quarter of all.
const SEEDS: Range<u64> = 48..96;
const ROUND: u64 = 192;

/// How many locks one host holds at once with [`Circumstance::ManyNames`].
const MANY: usize = 48;

/// The names of those locks.
pub(crate) static MANY_NAMES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| (0..MANY).map(|n| &*format!("many-{n}").leak()).collect());

/// What makes requests slow in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Circumstance {
    None,
    /// A new connection takes 2 s on some hosts, and 1 to 3 s on others. Connections are lost again and again.
    SlowConnections,
    /// A credential ends after some minutes, and the next one takes 2 to 3 s.
    Credentials,
    /// The first address of the server is dead, which takes half an attempt, and a handshake takes 0.5 to 1 s.
    DeadAddress,
    /// The server stores a write after 3 s, if the client still waits.
    Webhook,
    /// The same after 10 s, with a ttl of 120 s.
    LongWebhook,
    /// Every answer takes 1.6 s.
    SlowAnswers,
    /// One host holds dozens of locks at once, and answers take up to 0.8 s.
    ManyNames,
    /// The tasks of two hosts always want a lock, and one host is much farther from the server.
    FarNeighbour,
    /// The tasks of three hosts always want a lock, and one of them is a little or much farther from the server than the
    /// others, which need no pause for each other.
    BusyNeighbours,
}

impl Circumstance {
    const ALL: [Self; 8] = [
        Self::SlowConnections,
        Self::Credentials,
        Self::DeadAddress,
        Self::Webhook,
        Self::LongWebhook,
        Self::SlowAnswers,
        Self::ManyNames,
        Self::BusyNeighbours,
    ];

    pub(crate) fn of(seed: u64) -> Self {
        let at = seed % ROUND;
        if !SEEDS.contains(&at) {
            return Self::None;
        }
        let at = usize::try_from(at).expect("a small number");
        match Self::ALL[at % Self::ALL.len()] {
            Self::BusyNeighbours if at / Self::ALL.len() % 2 == 0 => Self::FarNeighbour,
            circumstance => circumstance,
        }
    }

    pub(crate) const fn ttls(self) -> &'static [u64] {
        match self {
            Self::LongWebhook => &[120],
            Self::FarNeighbour | Self::BusyNeighbours => &[3],
            _ => &[15],
        }
    }

    /// How much longer a request takes than without the circumstance.
    pub(crate) const fn slowest(self) -> u64 {
        match self {
            Self::None => 0,
            Self::SlowConnections | Self::Credentials | Self::Webhook => 3 * SEC,
            Self::DeadAddress | Self::SlowAnswers => 2 * SEC,
            Self::LongWebhook => 10 * SEC,
            Self::ManyNames | Self::FarNeighbour | Self::BusyNeighbours => SEC,
        }
    }

    /// How much later a process is at rest, when its users have left. A watch of a whole namespace, which serves the waits
    /// for many names, lingers for up to 60 s.
    pub(crate) const fn lingers(self) -> u64 {
        match self {
            Self::ManyNames => 60 * SEC,
            _ => 0,
        }
    }

    /// How long the server keeps a write before it is stored.
    const fn admission(self) -> Option<(u64, Fault)> {
        match self {
            Self::Webhook => Some((3 * SEC, Fault::Webhook)),
            Self::LongWebhook => Some((10 * SEC, Fault::LongWebhook)),
            _ => None,
        }
    }

    /// How far the hosts are from the server, as the time of one way.
    pub(crate) fn distances(self, seed: u64) -> &'static [u64] {
        const THREE: [&[u64]; 3] = [
            &[80 * MS, 100 * MS, 110 * MS],
            &[5 * MS, 5 * MS, 100 * MS],
            &[20 * MS, 20 * MS, 60 * MS],
        ];
        match self {
            Self::FarNeighbour => &[0, 150 * MS],
            Self::BusyNeighbours => THREE[usize::try_from(seed / ROUND % 3).expect("at most 2")],
            _ => &[],
        }
    }

    /// Whether tasks take turns, also when the faults have stopped.
    pub(crate) const fn is_busy(self) -> bool {
        matches!(self, Self::FarNeighbour | Self::BusyNeighbours)
    }

    /// The longest time for which a process waits for its turn, while another process has its turns.
    ///
    /// A turn ends after a ttl of 3 s and one piece of work, and after every 16th turn the pause is long enough for any
    /// neighbour. Twice that, and a few more turns.
    pub(crate) const fn longest_wait(self) -> Option<u64> {
        match self {
            Self::FarNeighbour => Some(40 * 4 * SEC),
            // No pause belongs to the one of three that is overtaken, only races that the other two leave open.
            Self::BusyNeighbours => Some(80 * 4 * SEC),
            _ => None,
        }
    }
}

impl World {
    /// The circumstance at this time. Only neighbours stay busy when the faults have stopped.
    pub(crate) fn circumstance(&self) -> Circumstance {
        match self.scenario.circumstance {
            circumstance if circumstance.is_busy() => circumstance,
            circumstance if self.faults_stopped_at.is_none() => circumstance,
            _ => Circumstance::None,
        }
    }

    /// How far a host is from the server, as the time of one way.
    pub(crate) fn distance(&self, h: usize) -> u64 {
        self.scenario.distances.get(h).copied().unwrap_or(0)
    }

    /// Adds what the circumstance costs on the way.
    pub(crate) fn slow_down(&mut self, h: usize, delivery: &mut Delivery) {
        let distance = self.distance(h);
        delivery.request_delay += distance;
        delivery.reply_delay += distance;
        match self.circumstance() {
            Circumstance::SlowAnswers => {
                self.report.faults.count(Fault::SlowAnswer);
                delivery.reply_delay += 1600 * MS;
            }
            Circumstance::ManyNames => delivery.reply_delay += self.rng.between(MS, 800 * MS),
            _ => {}
        }
    }

    /// How long an admission webhook keeps this request; `None` for a read.
    pub(crate) fn admission(&mut self, request: &Request) -> Option<u64> {
        let (time, fault) = self.circumstance().admission()?;
        let writes = matches!(request.verb, "create" | "update" | "delete");
        writes.then(|| {
            self.report.faults.count(fault);
            time
        })
    }
}
