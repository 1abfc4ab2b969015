//! The kinds of fault, and their random order.

use leasehold_test_support::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A link of a member is slow.
    Slow,
    /// The link of a member delays each request and each answer by up to 3 s. Requests that take longer than an attempt
    /// complete late.
    SlowProxy,
    /// Requests of a member are lost or late.
    NoRequests,
    /// Requests arrive, but their answers are lost or late.
    NoReplies,
    /// Requests and answers are lost or late.
    BlackHole,
    /// The connections of a member are reset.
    Reset,
    /// The connections of a member end after some bytes.
    Cut,
    /// SIGSTOP for less than the hold.
    StoppedBriefly,
    /// SIGSTOP for about the TTL.
    StoppedAboutTtl,
    /// SIGSTOP for longer than the TTL.
    StoppedLong,
    /// SIGKILL, and a new process.
    Killed,
    /// The API server is killed and started again.
    ServerKilled,
    /// SIGSTOP to the API server.
    ServerStopped,
    /// SIGSTOP to etcd.
    EtcdStopped,
    /// The Lease of a lock is deleted by hand.
    Deleted,
    /// The Lease of a session is deleted by hand.
    SessionDeleted,
    /// A member kills itself in the middle of its work. Not drawn from the deck.
    Crashed,
}

impl Fault {
    /// How often each fault is in the deck.
    const DECK: [(Self, usize); 16] = [
        (Self::Slow, 2),
        (Self::SlowProxy, 3),
        (Self::NoRequests, 2),
        (Self::NoReplies, 3),
        (Self::BlackHole, 3),
        (Self::Reset, 2),
        (Self::Cut, 2),
        (Self::StoppedBriefly, 2),
        (Self::StoppedAboutTtl, 4),
        (Self::StoppedLong, 4),
        (Self::Killed, 2),
        (Self::ServerKilled, 1),
        (Self::ServerStopped, 1),
        (Self::EtcdStopped, 1),
        (Self::Deleted, 1),
        (Self::SessionDeleted, 2),
    ];
}

/// All faults in random order. An empty deck is shuffled again.
#[derive(Debug, Default)]
pub(crate) struct Deck(Vec<Fault>);

impl Deck {
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> Fault {
        if self.0.is_empty() {
            let all = Fault::DECK.iter().flat_map(|&(fault, times)| vec![fault; times]);
            self.0 = all.collect();
            for end in (1..self.0.len()).rev() {
                self.0.swap(end, rng.index(end + 1));
            }
        }
        self.0.pop().expect("just filled")
    }
}

/// The time of a fault, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) fault: Fault,
    pub(crate) from: u64,
    /// None while the fault lasts.
    pub(crate) to: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_deck_holds_every_fault() {
        let (mut deck, mut rng) = (Deck::default(), Rng::new(7));
        let length = Fault::DECK.iter().map(|(_, times)| times).sum();
        let drawn: BTreeSet<_> = (0..length).map(|_| deck.draw(&mut rng)).collect();
        assert_eq!(drawn.len(), Fault::DECK.len());
    }
}
