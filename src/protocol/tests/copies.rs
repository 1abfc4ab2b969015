//! Rule 2: two copies of one process, for example of a snapshot of its virtual machine.
//!
//! A copy has the whole state of the original. Only the numbers that it draws after the copy are different.

use super::*;
use crate::api::error::Loss;

/// A holder whose claim was stored at 0 ms as version 10, a copy of it, and the record.
fn copied() -> (Machine, Machine, Arc<Versioned>) {
    let (a, now) = holder();
    let copy = copy_of(&a);
    (a, copy, now)
}

fn copy_of(original: &Machine) -> Machine {
    Machine { random: nonce(0xc, original.random).0, ..original.clone() }
}

/// The original renews at 5000 ms. Returns the record after it.
fn renewed(a: &mut Machine, version: u64) -> Arc<Versioned> {
    let renewal = write_for(a.step(at(5000), Input::Wake), WriteKind::Renew);
    let now = after(&renewal, version);
    a.step(at(5001), stored(&now));
    now
}

#[test]
fn a_copy_loses_its_tenure_when_the_original_has_renewed() {
    let (mut a, mut copy, now) = copied();
    let first = renewed(&mut a, 11);

    let late = write_for(copy.step(at(5002), Input::Wake), WriteKind::Renew);
    assert_eq!(late.base, Some(now), "the copy has not seen the renewal");
    assert_eq!(copy.step(at(5003), conflict()), Step::Read);
    let step = copy.step(at(5004), read(&first));

    assert_eq!((token(&copy, 5004), copy.status.loss), (None, Some(Loss::Altered)));
    assert_eq!(step, Step::Done, "there is nothing to free");
    assert_eq!((token(&a, 17_999), a.deadline()), (Some(10), Some(at(18_000))));
}

#[test]
fn the_original_loses_its_tenure_when_a_copy_has_renewed() {
    let (mut a, mut copy, _) = copied();
    let first = renewed(&mut copy, 11);

    write_for(a.step(at(5002), Input::Wake), WriteKind::Renew);
    a.step(at(5003), conflict());
    a.step(at(5004), read(&first));

    assert_eq!((token(&a, 5004), a.status.loss), (None, Some(Loss::Altered)));
    assert_eq!(token(&copy, 17_999), Some(10));
}

#[test]
fn of_two_copies_that_renew_for_an_hour_one_is_held() {
    let (a, copy, mut now) = copied();
    let mut both = [a, copy];
    let mut steps = [Step::Sleep(at(5000)), Step::Sleep(at(5000))];

    for millis in 5000..3_600_000 {
        for (machine, step) in both.iter_mut().zip(&mut steps) {
            while !matches!(step, Step::Sleep(until) if *until > at(millis)) && *step != Step::Done
            {
                *step = match &*step {
                    Step::Read => machine.step(at(millis), read(&now)),
                    Step::Write(write) if write.base.as_ref() == Some(&now) => {
                        now = after(write, now.version.number.get() + 1);
                        machine.step(at(millis), stored(&now))
                    }
                    Step::Write(_) => machine.step(at(millis), conflict()),
                    Step::Queue { .. } | Step::Sleep(_) | Step::Done => {
                        machine.step(at(millis), Input::Wake)
                    }
                };
            }
        }
        let holders = both.iter().filter(|machine| token(machine, millis).is_some()).count();
        assert_eq!(holders, 1, "at {millis} ms");
    }

    assert_eq!(steps[1], Step::Done, "the copy has settled");
    assert_eq!(now.record.holder.as_deref(), Some("a"));
}

#[test]
fn the_release_of_a_copy_does_not_free_the_record_that_the_original_renewed() {
    let (mut a, mut copy, now) = copied();
    let first = renewed(&mut a, 11);

    let freeing = write_for(copy.step(at(5002), Input::Release), WriteKind::Free);
    assert_eq!(freeing.base, Some(now), "it conflicts, because the record has moved on");
    assert_eq!(copy.step(at(5003), conflict()), Step::Read);
    let step = copy.step(at(5004), read(&first));

    assert_eq!((step, copy.status.release), (Step::Done, Release::Done));
    assert_eq!(token(&a, 5004), Some(10));
}

#[test]
fn the_release_of_a_copy_that_saw_the_renewal_writes_nothing() {
    let (mut a, mut copy, _) = copied();
    let first = renewed(&mut a, 11);

    copy.step(at(5002), changed(&first));
    let step = copy.step(at(5003), Input::Release);

    assert_eq!((step, copy.status.loss), (Step::Done, Some(Loss::Altered)));
}

#[test]
fn a_copy_that_has_lost_waits_for_the_whole_ttl() {
    let (mut a, mut copy, _) = copied();
    let first = renewed(&mut a, 11);
    copy.step(at(6000), changed(&first));

    let step = copy.step(at(6000), Input::Claim(Durations::default()));

    assert!(assert_sleeps(&step) >= at(21_000), "the original holds the record");
    assert!(copy.status.barred);
}

#[test]
fn a_copy_that_hands_its_tenure_on_does_not_take_the_record_of_the_original() {
    let (mut a, mut copy, now) = copied();
    let first = renewed(&mut a, 11);

    let claim = write_for(copy.step(at(5002), Input::Pass(Durations::default())), WriteKind::Claim);
    assert_eq!(claim.base, Some(now));
    assert_eq!(copy.step(at(5003), conflict()), Step::Read);
    let step = copy.step(at(5004), read(&first));

    assert!(assert_sleeps(&step) >= at(20_000), "the original holds the record");
    assert_eq!(token(&copy, 5004), None);
}

#[test]
fn of_two_copies_that_claim_only_the_writer_of_the_stored_claim_holds() {
    let mut a = contender();
    let mut copy = copy_of(&a);
    let claim = written(a.step(at(0), absent()));
    let other = written(copy.step(at(0), absent()));
    assert_ne!(claim.record.nonce, other.record.nonce);
    let now = after(&claim, 10);
    a.step(at(10), stored(&now));

    assert_eq!(copy.step(at(11), conflict()), Step::Read);
    copy.step(at(12), read(&now));

    assert_eq!((token(&a, 12), token(&copy, 12)), (Some(10), None));
}

#[test]
fn a_copy_of_an_idle_machine_claims_only_the_state_that_it_knows() {
    let (mut a, now) = holder();
    let freeing = write_for(a.step(at(1000), Input::Release), WriteKind::Free);
    let freed = after(&freeing, 11);
    assert_eq!(a.step(at(1010), stored(&freed)), Step::Done);
    let mut copy = copy_of(&a);

    let claim = write_for(a.step(at(2000), Input::Claim(Durations::default())), WriteKind::Claim);
    let held_again = after(&claim, 12);
    a.step(at(2001), stored(&held_again));
    let late = write_for(copy.step(at(2002), Input::Claim(Durations::default())), WriteKind::Claim);
    assert_eq!(late.base, Some(freed));
    assert_eq!(copy.step(at(2003), conflict()), Step::Read);
    let step = copy.step(at(2004), read(&held_again));

    assert!(assert_sleeps(&step) >= at(17_000), "the original holds the record");
    assert_eq!((token(&a, 2004), token(&copy, 2004)), (Some(12), None));
    assert_ne!(now.version, held_again.version);
}
