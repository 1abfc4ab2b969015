//! The four durations that a tenure lives by, and the order they must keep.

use std::time::Duration;

use crate::api::error::{Error, Result};

/// The shortest time to live: a Lease counts whole seconds.
const MIN_TTL: Duration = Duration::from_secs(1);
/// The longest: a crashed holder blocks its lock for this long, so more than a day is surely a slip.
const MAX_TTL: Duration = Duration::from_secs(86_400);
/// The shortest renewal interval: what fails is tried again about as often, by everybody who waits.
const MIN_RENEW: Duration = Duration::from_millis(100);
/// How far two clocks may run apart, as a share of the time to live, at the very least: one tenth.
const CLOCK_SHARE: u32 = 10;
/// The longest pause before what failed is tried again, and between reads where there is no watch: the default renewal
/// interval. Somebody may wait for the answer, however long the time to live.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// The longest pause after a refusal, which a person has to mend.
const LONGEST_REFUSED: Duration = Duration::from_secs(30);
/// How many attempts must fit between the moment a renewal is due and the end of the hold.
const ATTEMPTS: u32 = 3;

/// When a holder renews, how long it trusts one renewal, and how long others must wait.
///
/// | | default | why |
/// |---|---|---|
/// | time to live | 15 s | survives a rolling restart of API servers; client-go's default, so operators know it |
/// | renew every | ttl / 3 | two renewals may fail before anything is in doubt |
/// | hold | ttl × 13/15 | the rest, 2 s of 15, is for clocks that run apart: up to 15 % |
/// | attempt timeout | ttl / 10, at most 5 s | three attempts and their pauses fit between a due renewal and the end of the hold |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    ttl: Duration,
    renew: Duration,
    hold: Duration,
    attempt: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self::new(Duration::from_secs(15))
    }
}

impl Timing {
    /// The defaults for a time to live of `ttl`, which is rounded up to whole seconds.
    ///
    /// A time to live that is zero or longer than a day is refused where the timing is used.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
        let ttl = Duration::from_secs(whole);
        let shown = ttl.min(MAX_TTL);
        Self {
            ttl,
            renew: shown / 3,
            hold: shown / 15 * 13,
            attempt: (shown / 10).min(Duration::from_secs(5)),
        }
    }

    /// How often the holder renews.
    #[must_use]
    pub const fn renew_every(mut self, renew: Duration) -> Self {
        self.renew = renew;
        self
    }

    /// How long the holder trusts one renewal, counted from before it was sent. At most nine tenths of the time to live.
    #[must_use]
    pub const fn hold_for(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// How long one request may take. Three of them must fit between a due renewal and the end of the hold.
    #[must_use]
    pub const fn attempt_timeout(mut self, attempt: Duration) -> Self {
        self.attempt = attempt;
        self
    }

    /// The time to live: how long others must see no renewal before they may take over. Whole seconds.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How often the holder renews.
    #[must_use]
    pub const fn renew(&self) -> Duration {
        self.renew
    }

    /// How long the holder trusts one confirmed renewal, counted from before it was sent.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        self.hold
    }

    /// What pauses between requests are measured by: the renewal interval, unless that is long.
    pub(crate) fn retry(&self) -> Duration {
        self.renew.min(LONGEST_RETRY)
    }

    /// The same where the backend refuses.
    pub(crate) fn refused(&self) -> Duration {
        self.renew.min(LONGEST_REFUSED)
    }

    /// How long one request may take.
    #[must_use]
    pub const fn attempt(&self) -> Duration {
        self.attempt
    }

    /// What the hold leaves of the time to live: for clocks that run apart. Zero where it leaves nothing, which is refused.
    #[must_use]
    pub const fn margin(&self) -> Duration {
        self.ttl.saturating_sub(self.hold)
    }

    /// The one check: every order that safety and availability rest on.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] names the duration, the bound and by how much it is missed.
    pub fn check(&self) -> Result<()> {
        let refuse = |what, value: Duration, bound: String| {
            Err(Error::invalid(what, &format!("{value:?}"), bound))
        };
        if self.ttl < MIN_TTL || self.ttl > MAX_TTL {
            return refuse(
                "time to live",
                self.ttl,
                format!("it must be {MIN_TTL:?} to {MAX_TTL:?} (one day)"),
            );
        }
        let longest = self.ttl / CLOCK_SHARE * (CLOCK_SHARE - 1);
        if self.hold > longest {
            let bound = format!(
                "with a time to live of {:?} it must be at most {longest:?}, {:?} less: the rest is the margin for clocks that run apart",
                self.ttl,
                self.hold.saturating_sub(longest)
            );
            return refuse("hold", self.hold, bound);
        }
        if self.renew < MIN_RENEW || self.renew >= self.hold {
            return refuse(
                "renewal interval",
                self.renew,
                format!(
                    "it must be at least {MIN_RENEW:?} and less than the hold, {:?}",
                    self.hold
                ),
            );
        }
        let budget = self.hold.saturating_sub(self.renew);
        let needed = self.attempt.saturating_mul(ATTEMPTS);
        if self.attempt.is_zero() || needed > budget {
            let bound = format!(
                "it must be above zero, and {ATTEMPTS} attempts ({needed:?}) must fit into the {budget:?} between a due renewal and the end of the hold: {:?} too much",
                needed.saturating_sub(budget)
            );
            return refuse("attempt timeout", self.attempt, bound);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_defaults_are_those_of_the_table() {
        let timing = Timing::default();
        assert_eq!((timing.ttl(), timing.renew(), timing.hold()), (secs(15), secs(5), secs(13)));
        assert_eq!((timing.attempt(), timing.margin()), (Duration::from_millis(1500), secs(2)));
        assert_eq!(timing.hold_for(secs(20)).margin(), Duration::ZERO);
    }

    #[test]
    fn a_ttl_below_a_second_is_rounded_up() {
        assert_eq!(Timing::new(Duration::from_millis(300)).ttl(), secs(1));
        assert_eq!(Timing::new(Duration::from_millis(2001)).ttl(), secs(3));
    }

    #[test]
    fn numbers_out_of_order_are_refused_and_told_by_how_much() {
        for (timing, told) in [
            (
                Timing::new(Duration::ZERO),
                "time to live \"0ns\" cannot be used: it must be 1s to 86400s",
            ),
            (Timing::new(secs(315_360_000)), "time to live \"315360000s\""),
            (Timing::default().hold_for(secs(14)), "at most 13.5s, 500ms less"),
            (Timing::default().renew_every(Duration::ZERO), "at least 100ms"),
            (Timing::default().renew_every(Duration::from_nanos(1)), "at least 100ms"),
            (Timing::default().renew_every(secs(13)), "less than the hold, 13s"),
            (Timing::default().attempt_timeout(secs(3)), "1s too much"),
            (Timing::default().attempt_timeout(Duration::ZERO), "above zero"),
        ] {
            let error = timing.check().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    /// Any duration at all, more often near the bounds than not.
    fn any_duration() -> impl Strategy<Value = Duration> {
        let whole = (any::<u64>(), 0..1_000_000_000_u32);
        prop_oneof![
            (0..100_000_u64).prop_map(Duration::from_millis),
            (0..90_000_u64).prop_map(Duration::from_secs),
            whole.prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
        ]
    }

    proptest! {
        #[test]
        fn every_ttl_in_bounds_has_usable_defaults(millis in 1_u64..86_400_000) {
            Timing::new(Duration::from_millis(millis)).check().unwrap();
        }

        /// In numbers too wide to overflow; the shares as what must be accepted, in thousandths.
        #[test]
        fn what_is_accepted_keeps_the_order_and_what_keeps_it_is_accepted(
            ttl in any_duration(), hold in 1..1000_u32, renew in 0..1000_u32, attempt in 0..400_u32,
        ) {
            let share = |of: Duration, thousandths: u32| of / 1000 * thousandths;
            let timing = Timing::new(ttl);
            let hold = share(timing.ttl(), hold);
            let timing = timing
                .hold_for(hold)
                .renew_every(share(hold, renew))
                .attempt_timeout(share(hold, attempt));
            let [ttl, hold, renew, attempt] =
                [timing.ttl(), timing.hold(), timing.renew(), timing.attempt()].map(|d| d.as_nanos());
            let ordered = (MIN_TTL.as_nanos()..=MAX_TTL.as_nanos()).contains(&ttl)
                && hold * 10 <= ttl * 9
                && MIN_RENEW.as_nanos() <= renew && renew < hold
                && 0 < attempt && renew + attempt * 3 <= hold;

            prop_assert_eq!(timing.check().is_ok(), ordered, "{:?}", timing);
        }

        #[test]
        fn every_refusal_says_what_it_is_how_long_it_is_and_what_is_missed(
            ttl in any_duration(), hold in any_duration(), renew in any_duration(), attempt in any_duration(),
        ) {
            let timing = Timing::new(ttl).hold_for(hold).renew_every(renew).attempt_timeout(attempt);
            let Err(Error::Invalid { what, value, bound }) = timing.check() else { return Ok(()) };
            let (named, bounds) = match what {
                "time to live" => (timing.ttl(), vec![MIN_TTL, MAX_TTL]),
                "hold" => {
                    let longest = timing.ttl() / 10 * 9;
                    (hold, vec![timing.ttl(), longest, hold.saturating_sub(longest)])
                }
                "renewal interval" => (renew, vec![MIN_RENEW, hold]),
                "attempt timeout" => {
                    let (needed, budget) = (attempt.saturating_mul(3), hold.saturating_sub(renew));
                    (attempt, vec![needed, budget, needed.saturating_sub(budget)])
                }
                _ => panic!("{what}"),
            };
            prop_assert_eq!(value, format!("{named:?}"));
            for number in bounds {
                prop_assert!(bound.contains(&format!("{number:?}")), "{} in {}", number.as_nanos(), bound);
            }
        }
    }
}
