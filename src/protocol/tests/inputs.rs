//! Rules 12 and 14 for inputs that make no sense: nothing panics, nothing spins, nothing is asked too often.

use proptest::prelude::*;

use super::*;

/// How many requests there may be at once, beyond the lasting rate.
const BURST: f64 = 60.0;
/// How many each renewal interval, beside what the inputs themselves call for.
const LASTING: f64 = 6.0;
/// The shortest pause after a failure, in seconds. Reads and writes each double theirs from there.
const PAUSE: f64 = 0.05;

/// How many requests `passed` seconds allow, where the pauses began anew `since` seconds ago.
fn allowed(since: f64, passed: f64) -> f64 {
    LASTING * passed / 5.0 + 2.0 * ((PAUSE + since + passed) / (PAUSE + since)).log2()
}

/// One thing that happens, and how long after the last.
#[derive(Clone, Debug)]
struct Happening {
    after: Duration,
    news: u8,
    version: u64,
    holder: u8,
    ttl: u8,
}

fn happening() -> impl Strategy<Value = Happening> {
    let after = prop_oneof![Just(0_u64), 0..20_u64, 0..3000_u64, Just(40_000)];
    (after, 0..14_u8, 0..4_u64, 0..5_u8, 0..4_u8).prop_map(|(after, news, version, holder, ttl)| {
        Happening { after: ms(after), news, version, holder, ttl }
    })
}

/// What is under way, as the driver would know it.
#[derive(Debug, Default)]
struct Flight {
    reads: bool,
    write: Option<Write>,
}

impl Happening {
    /// The state that this tells of; now and then it is what the last write asked for.
    fn state(&self, highest: u64, last: Option<&Write>) -> Arc<Versioned> {
        let version = (highest + self.version).saturating_sub(1).max(1);
        let holder =
            ["b", "a", "operator"].get(usize::from(self.holder)).map(|name| (*name).into());
        let ttl = [None, Some(secs(0)), Some(secs(15)), Some(secs(86_400))][usize::from(self.ttl)];
        let record = Record { holder, ttl, ..held_record(version) };
        match last {
            Some(write) if self.holder == 4 => found("u", version, write.record.clone()),
            _ => found(if self.ttl == 3 { "v" } else { "u" }, version, record),
        }
    }

    fn input(&self, highest: u64, flight: &Flight, last: Option<&Write>) -> Input {
        let state = self.state(highest, last);
        let asked = Failure { refused: self.holder == 0, retry_after: Some(secs(self.version)) };
        let answers = flight.reads || flight.write.is_some();
        match (self.news, flight.reads) {
            (0..4, true) => read(&state),
            (4, true) => absent(),
            (5, true) => Input::Read(Err(asked)),
            (0 | 1, false) if answers => conflict(),
            (2 | 3, false) if answers => stored(&state),
            (4, false) if answers => unknown(),
            (5, false) if answers => Input::Wrote(Outcome::Failed(asked)),
            (6, _) => changed(&state),
            (7, _) => Input::Deleted(state.version.number),
            (8, _) => Input::Missed,
            (9, _) => Input::Blind,
            (10, _) => Input::Look,
            _ => Input::Wake,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_requests_stay_under_a_bound(story in prop::collection::vec(happening(), 1..120)) {
        let mut a = machine();
        let (mut now, mut flight, mut last) = (at(0), Flight::default(), None);
        let (mut level, mut called): (f64, Moment) = (0.0, now);
        let mut wake = None;
        let _ = take(&mut a, now, Input::Claim(Durations::default()), &mut flight, &mut last);

        for happening in story.iter().cycle().take(600) {
            let due = wake.filter(|wake| *wake < now + happening.after);
            let then: Moment = due.unwrap_or(now + happening.after);
            let passed = allowed((now - called).as_secs_f64(), (then - now).as_secs_f64());
            // What news called for may be asked a little later.
            level = (level - passed).max(level.clamp(-6.0, 0.0));
            now = then;
            let input = match due {
                Some(_) => Input::Wake,
                None => happening.input(a.status.highest, &flight, last.as_ref()),
            };
            // A newer state may call for a claim and a read, and so may a record that is no more. Pauses begin anew.
            let newer = match &input {
                Input::Changed(found) | Input::Read(Ok(Some(found))) => {
                    found.version.number.get() > a.status.highest
                }
                Input::Deleted(version) => version.get() > a.status.highest,
                Input::Read(Ok(None)) => a.seen().is_some(),
                _ => false,
            };
            let lost = !a.status.wanted;
            let input = if lost { Input::Claim(Durations::default()) } else { input };
            let asked = matches!(input, Input::Look);
            // What a new watch does not find may be gone since the read that is under way, or have come.
            level -= f64::from(u8::from(matches!(input, Input::Missed) && flight.reads));
            if newer || lost || asked {
                level -= 2.0;
                called = now;
            }
            let sent = take(&mut a, now, input, &mut flight, &mut last);
            wake = sent.1;
            level += f64::from(u8::from(sent.0));

            prop_assert!(level <= BURST, "too many requests");
            prop_assert!(wake.is_none_or(|wake| wake > now), "sleeps until what has passed");
        }
    }
}

/// Takes in `input`: whether a request was sent, and when to wake.
fn take(
    a: &mut Machine,
    now: Moment,
    input: Input,
    flight: &mut Flight,
    last: &mut Option<Write>,
) -> (bool, Option<Moment>) {
    if matches!(input, Input::Read(_) | Input::Wrote(_)) {
        *flight = Flight::default();
    }
    let busy = flight.reads || flight.write.is_some();
    match a.step(now, input) {
        Step::Read => flight.reads = true,
        Step::Write(write) => {
            *last = Some(write.clone());
            flight.write = Some(write);
        }
        Step::Sleep(until) => return (false, Some(until).filter(|until| *until != Moment::NEVER)),
        Step::Done => return (false, None),
    }
    assert!(!busy, "two requests at once");
    (true, None)
}
