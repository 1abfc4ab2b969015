//! Properties of the functions on a line.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    super::{
        claim::{Claim, Holder, Mode},
        line::{Line, MAX_QUEUE},
        record::{LockRecord, Turn},
    },
    claim, session, slots,
};
use crate::protocol::record::Nonce;

#[derive(Clone, Debug)]
enum Act {
    Enqueue(char, Mode),
    /// A release or a cancel of the claim at this place among all.
    Leave(usize),
    Over(char),
}

fn an_act(mode: impl Strategy<Value = Mode> + Clone) -> impl Strategy<Value = Act> {
    let letter = prop::char::range('a', 'f');
    prop_oneof![
        4 => (letter.clone(), mode).prop_map(|(letter, mode)| Act::Enqueue(letter, mode)),
        3 => (0..8_usize).prop_map(Act::Leave),
        1 => letter.prop_map(Act::Over),
    ]
}

/// Acts on one lock: all exclusive or shared, or all with the same number of slots.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let both = prop_oneof![Just(Mode::Exclusive), Just(Mode::Shared)];
    let numbered = (1..4_u16)
        .prop_flat_map(|number| prop::collection::vec(an_act(Just(slots(number))), 0..40));
    prop_oneof![prop::collection::vec(an_act(both), 0..40), numbered]
}

fn all(line: &Line) -> Vec<Claim> {
    line.holders.iter().map(|holder| holder.claim.clone()).chain(line.queue.clone()).collect()
}

fn act(line: &mut Line, nonce: u64, act: &Act) {
    match act {
        Act::Enqueue(letter, mode) => drop(line.enqueue(claim(*letter, nonce, *mode))),
        Act::Leave(index) => {
            if let Some(claim) = all(line).get(*index) {
                line.retain(&claim.session, |nonce| nonce != claim.nonce);
            }
        }
        Act::Over(letter) => line.pass_over(&BTreeSet::from([session(*letter)])),
    }
    line.promote();
}

/// The claims hold together without breaking the capacity of the lock.
fn fits(holders: &[Holder]) -> bool {
    let slots_differ = holders.iter().map(|holder| holder.slot).collect::<BTreeSet<_>>().len();
    match holders.first().map(|holder| holder.claim.mode) {
        None => true,
        Some(Mode::Exclusive) => holders.len() == 1,
        Some(Mode::Shared) => holders.iter().all(|one| one.claim.mode == Mode::Shared),
        Some(mode @ Mode::Slots(number)) => {
            holders.iter().all(|one| one.claim.mode == mode && one.slot < number.get())
                && slots_differ == holders.len()
        }
    }
}

proptest! {
    #[test]
    fn capacity_order_and_progress_hold_after_each_act(acts in acts()) {
        let mut line = Line::default();
        let mut order: Vec<Nonce> = Vec::new();
        for (nonce, one) in (1..).zip(&acts) {
            let before = line.clone();
            act(&mut line, nonce, one);
            prop_assert!(fits(&line.holders), "{line:?}");
            order.extend(all(&line).iter().map(|claim| claim.nonce).filter(|n| n.0 == nonce));
            // First come, first served: the claims are in the order in which they were added.
            let mut places = all(&line).into_iter().filter_map(|claim| {
                order.iter().position(|nonce| *nonce == claim.nonce)
            });
            let queue_order: Vec<_> = line.queue.iter().map(|claim| claim.nonce.0).collect();
            prop_assert!(queue_order.is_sorted(), "{line:?}");
            prop_assert!(places.all(|place| place < order.len()));
            // No claim got the lock past one that came before it and still waits.
            let first_waiting = line.queue.first().map_or(u64::MAX, |claim| claim.nonce.0);
            let overtakes = |holder: &&Holder| holder.claim.nonce.0 > first_waiting;
            prop_assert!(!line.holders.iter().any(|holder| overtakes(&holder)), "{line:?}");
            // A holder stays in its slot until it leaves.
            for holder in &before.holders {
                let after = line.held(&holder.claim.session, holder.claim.nonce);
                prop_assert!(after.is_none_or(|after| after == holder), "{before:?} {line:?}");
            }
            // No head that fits is left waiting.
            let mut again = line.clone();
            again.promote();
            prop_assert_eq!(&again, &line);
            prop_assert_eq!(Line::parse(&line.to_text()), Some(line.clone()));
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        let _ = (Line::parse(&text), text.parse::<Claim>(), text.parse::<Holder>());
    }
}

#[test]
fn a_shared_claim_does_not_overtake_an_exclusive_one() {
    let mut line = Line::default();
    for (nonce, mode) in [(1, Mode::Shared), (2, Mode::Exclusive), (3, Mode::Shared)] {
        line.enqueue(claim('a', nonce, mode));
        line.promote();
    }
    assert_eq!((line.holders.len(), line.queue.len()), (1, 2));

    // The exclusive one gives up: the shared one behind it follows at once.
    line.retain(&session('a'), |nonce| nonce.0 != 2);
    line.promote();
    assert_eq!((line.holders.len(), line.queue.len()), (2, 0));
}

#[test]
fn a_slot_is_reused_while_the_others_stay() {
    let mut line = Line::default();
    for nonce in 1..=4 {
        line.enqueue(claim('a', nonce, slots(3)));
    }
    line.promote();
    line.retain(&session('a'), |nonce| nonce.0 != 2);
    line.promote();
    let held: Vec<_> = line.holders.iter().map(|one| (one.claim.nonce.0, one.slot)).collect();
    assert_eq!(held, [(1, 0), (3, 2), (4, 1)]);
}

#[test]
fn a_queue_has_a_bound_and_no_claim_twice() {
    let mut line = Line::default();
    for nonce in 0..MAX_QUEUE as u64 {
        assert!(line.enqueue(claim('a', nonce, Mode::Exclusive)));
    }
    assert!(!line.enqueue(claim('a', 1000, Mode::Exclusive)));
    line.promote();
    assert!(!line.enqueue(claim('a', 0, Mode::Exclusive)), "it holds");
    assert!(!line.enqueue(claim('a', 1, Mode::Exclusive)), "it waits");
    assert!(line.enqueue(claim('a', 1000, Mode::Exclusive)));
}

#[test]
fn the_text_is_part_of_the_format() {
    let mut line = Line::default();
    line.enqueue(claim('a', 1, slots(2)));
    line.enqueue(claim('b', 2, slots(2)));
    line.enqueue(claim('c', 3, slots(2)));
    line.promote();
    let text = concat!(
        r#"{"v":1,"#,
        r#""holders":["s15-aaaaaaaaaaaaaaaaaaaa/0000000000000001/slots=2/slot=0","#,
        r#""s15-bbbbbbbbbbbbbbbbbbbb/0000000000000002/slots=2/slot=1"],"#,
        r#""queue":["s15-cccccccccccccccccccc/0000000000000003/slots=2"]}"#
    );
    assert_eq!(line.to_text(), text);
    assert_eq!(Line::parse(r#"{"v":2,"holders":[],"queue":[]}"#), None, "a later version");
}

#[test]
fn the_holder_in_the_spec_decides_whose_tenure_it_is() {
    let mut line = Line::default();
    line.enqueue(claim('a', 1, Mode::Exclusive));
    line.enqueue(claim('b', 2, Mode::Exclusive));
    line.promote();
    let text = line.to_text();
    let judge = |holder: Option<&str>, line: Option<&str>| {
        LockRecord::judge(holder, line, Vec::new(), None, Duration::from_secs(15), || {
            Arc::from("spec")
        })
    };
    let own = session('a');

    let agreed = judge(Some(own.as_str()), Some(&text));
    assert_eq!((agreed.line.holders.len(), agreed.foreign), (1, None));

    let stolen = judge(Some("other"), Some(&text));
    assert_eq!((stolen.line.holders.len(), stolen.line.queue.len()), (0, 1), "the queue remains");
    assert_eq!(&*stolen.foreign.unwrap().holder, "other");

    let freed = judge(None, Some(&text));
    assert_eq!((freed.line.holders.len(), freed.foreign), (0, None));

    assert!(judge(Some("other"), None).foreign.is_some());
    assert!(judge(Some(own.as_str()), Some("{")).foreign.is_some(), "it may be anything");
    assert!(judge(None, Some("{")).foreign.is_none(), "no version of the text has a holder");
    let turn = |text| {
        let (turn, ttl) = (Some(Turn::default()), Duration::from_secs(15));
        LockRecord::judge(None, Some(text), Vec::new(), turn, ttl, || Arc::from("")).turn
    };
    assert!(turn(&text).is_some() && turn("{").is_none(), "a text that cannot be read is replaced");
    assert_eq!(judge(None, None), LockRecord::default());
}
