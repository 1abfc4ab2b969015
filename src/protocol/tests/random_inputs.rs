//! Rules 12 and 14 for random inputs: no panic, no sleep into the past, no second request in flight, and a bounded
//! rate.

use proptest::prelude::*;

use super::*;

/// How many requests may be sent in a burst, on top of the lasting rate.
const BURST: f64 = 60.0;
/// How many requests per renewal interval are allowed, on top of those that the inputs cause.
const LASTING: f64 = 6.0;
/// The shortest pause after a failure, in seconds. Reads and writes double their pauses from there, each on its own.
const PAUSE: f64 = 0.05;

/// How many requests are allowed in `passed` seconds, if the pauses started again `since` seconds ago.
fn allowed(since: f64, passed: f64) -> f64 {
    LASTING * passed / 5.0 + 2.0 * ((PAUSE + since + passed) / (PAUSE + since)).log2()
}

/// One random event, and how long after the last one it occurs.
#[derive(Clone, Debug)]
struct Event {
    after: Duration,
    choice: u8,
    version: u64,
    holder: u8,
    ttl: u8,
}

fn event() -> impl Strategy<Value = Event> {
    let after = prop_oneof![Just(0_u64), 0..20_u64, 0..3000_u64, Just(40_000)];
    (after, 0..14_u8, 0..4_u64, 0..5_u8, 0..4_u8).prop_map(
        |(after, choice, version, holder, ttl)| Event {
            after: ms(after),
            choice,
            version,
            holder,
            ttl,
        },
    )
}

/// The request in flight, as a driver knows it.
#[derive(Debug, Default)]
struct InFlight {
    reads: bool,
    write: Option<Write>,
}

impl Event {
    /// The state that the event shows. Sometimes it is what the last write wrote.
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

    fn input(&self, highest: u64, flight: &InFlight, last: Option<&Write>) -> Input {
        let state = self.state(highest, last);
        let failure = Failure { refused: self.holder == 0, retry_after: Some(secs(self.version)) };
        let answers = flight.reads || flight.write.is_some();
        match (self.choice, flight.reads) {
            (0..4, true) => read(&state),
            (4, true) => absent(),
            (5, true) => Input::Read(Err(failure)),
            (0 | 1, false) if answers => conflict(),
            (2 | 3, false) if answers => stored(&state),
            (4, false) if answers => unknown(),
            (5, false) if answers => Input::Wrote(Outcome::Failed(failure)),
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
    fn random_inputs_never_exceed_the_request_bound(story in prop::collection::vec(event(), 1..120)) {
        let mut a = machine();
        let (mut now, mut flight, mut last) = (at(0), InFlight::default(), None);
        let (mut level, mut called): (f64, Moment) = (0.0, now);
        let mut wake = None;
        let _ = take(&mut a, now, Input::Claim(Durations::default()), &mut flight, &mut last);

        for event in story.iter().cycle().take(600) {
            let due = wake.filter(|wake| *wake < now + event.after);
            let then: Moment = due.unwrap_or(now + event.after);
            let passed = allowed((now - called).as_secs_f64(), (then - now).as_secs_f64());
            // A request that an input allows may be sent later than the input.
            level = (level - passed).max(level.clamp(-6.0, 0.0));
            now = then;
            let input = match due {
                Some(_) => Input::Wake,
                None => event.input(a.status.highest, &flight, last.as_ref()),
            };
            // A newer state, or a record that disappeared, may cause a claim and a read, and starts the pauses again.
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
            let new_caller = matches!(input, Input::Look | Input::Try);
            // A record that a new watch misses may have changed after the read in flight was sent, so it is read again.
            level -= f64::from(u8::from(matches!(input, Input::Missed) && flight.reads));
            if newer || lost || new_caller {
                level -= 2.0;
                called = now;
            }
            let sent = take(&mut a, now, input, &mut flight, &mut last);
            wake = sent.1;
            level += f64::from(u8::from(sent.0));

            prop_assert!(level <= BURST, "too many requests");
            prop_assert!(wake.is_none_or(|wake| wake > now), "a sleep must end in the future");
        }
    }
}

/// Steps with `input`. Returns whether a request was sent, and when to wake.
fn take(
    a: &mut Machine,
    now: Moment,
    input: Input,
    flight: &mut InFlight,
    last: &mut Option<Write>,
) -> (bool, Option<Moment>) {
    if matches!(input, Input::Read(_) | Input::Wrote(_)) {
        *flight = InFlight::default();
    }
    let busy = flight.reads || flight.write.is_some();
    match a.step(now, input) {
        Step::Read => flight.reads = true,
        Step::Write(write) => {
            *last = Some(write.clone());
            flight.write = Some(write);
        }
        Step::Sleep(until) => return (false, Some(until).filter(|until| *until != Moment::NEVER)),
        Step::Queue { .. } | Step::Done => return (false, None),
    }
    assert!(!busy, "two requests in flight");
    (true, None)
}
