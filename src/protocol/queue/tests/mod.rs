//! The rules of a lock with a queue, each as a test named after it.

mod at_least;
mod candidates;
mod contended;
mod interests;
mod joins;
mod leaving;
mod line;
mod machine;
mod over;
mod random;
mod reserved;
mod simulation;
mod stated;
mod tries;

use std::num::NonZeroU16;

use super::claim::{Claim, Mode};
use crate::protocol::{record::Nonce, session::SessionId};

/// The session with this letter.
fn session(letter: char) -> SessionId {
    let random: String = std::iter::repeat_n(letter, 20).collect();
    SessionId::parse(&format!("s15-{random}")).unwrap()
}

fn claim(letter: char, nonce: u64, mode: Mode) -> Claim {
    Claim { session: session(letter), nonce: Nonce(nonce), mode }
}

fn slots(number: u16) -> Mode {
    Mode::Slots(NonZeroU16::new(number).unwrap())
}
