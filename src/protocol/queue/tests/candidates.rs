//! What a line says of candidates in an election.

use std::num::NonZeroU64;

use proptest::prelude::*;

use super::{
    super::{
        candidate::Candidate,
        claim::{Claim, Mode},
        line::{Line, MAX_QUEUE},
    },
    session,
};
use crate::protocol::record::Nonce;

fn candidate(id: &str, payload: Option<&str>) -> Candidate {
    Candidate { id: id.into(), payload: payload.map(Into::into) }
}

fn enqueue(line: &mut Line, nonce: u64, candidate: &Candidate) {
    let (session, nonce) = (session('a'), Nonce(nonce));
    line.enqueue(Claim { session: session.clone(), nonce, mode: Mode::Exclusive });
    line.describe(&session, nonce, candidate);
}

proptest! {
    #[test]
    fn a_line_with_candidates_is_parsed_from_its_own_text(
        id in "\\PC{1,40}", payload in prop::option::of("\\PC{1,80}"), token in any::<Option<NonZeroU64>>(),
    ) {
        let mut line = Line::default();
        enqueue(&mut line, 1, &candidate(&id, payload.as_deref()));
        enqueue(&mut line, 2, &candidate("other", None));
        line.promote();
        if let Some(token) = token {
            line.state_token(&session('a'), Nonce(1), token);
        }

        prop_assert_eq!(Line::parse(&line.to_text()), Some(line));
    }
}

#[test]
fn the_description_of_a_candidate_ends_with_its_claim() {
    let mut line = Line::default();
    enqueue(&mut line, 1, &candidate("one", Some("text")));
    enqueue(&mut line, 2, &candidate("two", None));
    line.promote();

    line.retain(&session('a'), |nonce| nonce != Nonce(1));
    line.promote();
    line.forget_absent();

    assert_eq!(line.candidate(Nonce(1)), None);
    assert_eq!(line.candidate(Nonce(2)), Some(&candidate("two", None)));
    line.describe(&session('a'), Nonce(1), &candidate("one", None));
    assert_eq!(
        line.candidate(Nonce(1)),
        None,
        "a claim that is not in the line has no description"
    );
}

#[test]
fn a_full_queue_of_the_longest_payloads_fits_into_the_annotations_of_a_lease() {
    let (id, payload) = ("\"".repeat(253), "\\".repeat(512));
    let longest = candidate(&id, Some(&payload));
    let mut line = Line::default();
    for number in 0..=MAX_QUEUE as u64 {
        enqueue(&mut line, u64::MAX - number, &longest);
        line.promote();
    }
    let first = line.holders[0].claim.nonce;
    line.describe(&session('a'), first, &longest);
    line.state_token(&session('a'), first, NonZeroU64::MAX);

    assert_eq!((line.holders.len(), line.queue.len()), (1, MAX_QUEUE));
    let size = line.to_text().len();
    assert!(size < 232 * 1024, "{size} bytes of 256 KiB");
}
