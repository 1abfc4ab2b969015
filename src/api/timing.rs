//! The durations that a tenure lives by, and the order that they must keep.

use std::time::Duration;

use super::error::{Error, Result};

/// The shortest time to live: records count whole seconds.
const MIN_TTL: Duration = Duration::from_secs(1);
/// The longest: a crashed holder blocks its lock for this long, so more than a day is surely a mistake.
const MAX_TTL: Duration = Duration::from_secs(86_400);
/// The shortest renewal interval, because every waiter retries failed requests about as often.
const MIN_RENEW: Duration = Duration::from_millis(100);
/// The smallest margin for clocks that run at different rates: one tenth of the time to live.
const CLOCK_SHARE: u32 = 10;
/// The longest default for one request.
const MAX_ATTEMPT: Duration = Duration::from_secs(5);
/// The longest pause before a failed request is tried again, and between reads where there is no watch: the default
/// renewal interval. A caller may wait for the answer, however long the time to live is.
const MAX_RETRY: Duration = Duration::from_secs(5);
/// The longest pause after a refusal, which only a person can change.
const MAX_REFUSED: Duration = Duration::from_secs(30);
/// How many attempts must fit between the moment when a renewal is due and the end of the hold.
const ATTEMPTS: u32 = 3;
/// The longest time between the starts of two tenures that a caller may ask for, and that a record may state: a job
/// that runs once a year has room in it.
pub(crate) const MAX_AT_LEAST: Duration = Duration::from_secs(366 * 86_400);

/// When a holder renews, how long it trusts one renewal, and how long other processes must wait.
///
/// | | default | why |
/// |---|---|---|
/// | `ttl` | 15 s | survives a rolling restart of API servers; client-go's default, so operators know it |
/// | `renew_interval` | ttl / 3 | a renewal may fail twice before the tenure is lost |
/// | `hold` | ttl × 13/15 | the rest, 2 s of 15, is the margin for clocks that run at different rates: up to 15 % |
/// | `attempt_timeout` | ttl / 10, at most 5 s | three attempts and their pauses fit between a due renewal and the end of the hold |
///
/// A duration that is not set follows from the time to live, whenever that is set. [`durations`](Self::durations)
/// returns the result.
///
/// ```
/// use std::time::Duration;
/// use leasehold::Timing;
///
/// let timing = Timing::default().renew_interval(Duration::from_secs(2)).ttl(Duration::from_secs(30));
/// let durations = timing.durations();
/// assert_eq!(durations.renew_interval(), Duration::from_secs(2));
/// assert_eq!(durations.hold(), Duration::from_secs(26));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timing {
    /// How long other processes must see no renewal before they may take over.
    pub ttl: Duration,
    /// The longest time between renewals; `None` is a third of the time to live.
    pub renew_interval: Option<Duration>,
    /// How long the holder trusts one renewal; `None` is 13/15 of the time to live.
    pub hold: Option<Duration>,
    /// How long to wait for the answer to one request; `None` is a tenth of the time to live, at most 5 s.
    pub attempt_timeout: Option<Duration>,
}

impl Default for Timing {
    fn default() -> Self {
        Self::new(Duration::from_secs(15))
    }
}

impl Timing {
    /// The defaults for a time to live of `ttl`.
    #[must_use]
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl, renew_interval: None, hold: None, attempt_timeout: None }
    }

    /// The time to live: how long other processes must see no renewal before they may take over. Rounded up to whole
    /// seconds. A time to live of zero, or of more than a day, is refused where the timing is used.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How often the holder renews. At least 100 ms, and less than the hold. Each renewal is sent at 0.8 to 1.0 of it, so
    /// that locks that were acquired together are not renewed together.
    #[must_use]
    pub const fn renew_interval(mut self, renew_interval: Duration) -> Self {
        self.renew_interval = Some(renew_interval);
        self
    }

    /// How long the holder trusts one renewal, counted from before it was sent. At most nine tenths of the time to
    /// live.
    #[must_use]
    pub const fn hold(mut self, hold: Duration) -> Self {
        self.hold = Some(hold);
        self
    }

    /// How long to wait for the answer to one request before another one is tried. Three of them must fit between a due
    /// renewal and the end of the hold. The first request goes on, and its late answer still counts.
    #[must_use]
    pub const fn attempt_timeout(mut self, attempt_timeout: Duration) -> Self {
        self.attempt_timeout = Some(attempt_timeout);
        self
    }

    /// All durations, set or derived.
    #[must_use]
    pub fn durations(&self) -> Durations {
        let whole = self.ttl.as_secs().saturating_add(u64::from(self.ttl.subsec_nanos() > 0));
        let ttl = Duration::from_secs(whole);
        let base = ttl.min(MAX_TTL);
        Durations {
            ttl,
            renew_interval: self.renew_interval.unwrap_or(base / 3),
            hold: self.hold.unwrap_or(base / 15 * 13),
            attempt_timeout: self.attempt_timeout.unwrap_or((base / 10).min(MAX_ATTEMPT)),
            at_least: None,
        }
    }

    /// Checks every order that safety and availability rest on, and returns the durations.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] names the duration, the bound and by how much it is missed.
    pub fn check(&self) -> Result<Durations> {
        let durations = self.durations();
        durations.check()?;
        Ok(durations)
    }
}

/// The durations of a [`Timing`], each set by the caller or derived from the time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Durations {
    ttl: Duration,
    renew_interval: Duration,
    hold: Duration,
    attempt_timeout: Duration,
    /// For how long after the start of the tenure no other one may begin. Only a lock has it.
    at_least: Option<Duration>,
}

impl Durations {
    /// The time to live, in whole seconds.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The longest time between renewals, each of which is sent at 0.8 to 1.0 of it.
    #[must_use]
    pub const fn renew_interval(&self) -> Duration {
        self.renew_interval
    }

    /// How long the holder trusts one confirmed renewal, counted from before it was sent.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        self.hold
    }

    /// How long to wait for the answer to one request before another one is tried.
    #[must_use]
    pub const fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }

    /// What the hold leaves of the time to live, for clocks that run at different rates. Zero where it leaves nothing,
    /// which [`Timing::check`] refuses.
    #[must_use]
    pub const fn margin(&self) -> Duration {
        self.ttl.saturating_sub(self.hold)
    }

    /// The same durations for a tenure after whose start no other one may begin for `at_least`.
    pub(crate) fn with_at_least(self, at_least: Option<Duration>) -> Result<Self> {
        match at_least {
            Some(length) if length.is_zero() || length > MAX_AT_LEAST => {
                let bound =
                    format!("it must be above zero, and at most {MAX_AT_LEAST:?} (366 days)");
                Err(Error::invalid("time between two starts", &format!("{length:?}"), bound))
            }
            at_least => Ok(Self { at_least, ..self }),
        }
    }

    /// For how long after the start of the tenure no other one may begin.
    pub(crate) const fn at_least(&self) -> Option<Duration> {
        self.at_least
    }

    /// The measure of pauses between requests: the renewal interval, but at most 5 s.
    pub(crate) fn retry(&self) -> Duration {
        self.renew_interval.min(MAX_RETRY)
    }

    /// The same after a refusal: at most 30 s.
    pub(crate) fn refused(&self) -> Duration {
        self.renew_interval.min(MAX_REFUSED)
    }

    fn check(&self) -> Result<()> {
        let refuse = |what, value: Duration, bound: String| {
            Err(Error::invalid(what, &format!("{value:?}"), bound))
        };
        if self.ttl < MIN_TTL || self.ttl > MAX_TTL {
            let bound = format!("it must be {MIN_TTL:?} to {MAX_TTL:?} (one day)");
            return refuse("time to live", self.ttl, bound);
        }
        let longest = self.ttl / CLOCK_SHARE * (CLOCK_SHARE - 1);
        if self.hold > longest {
            let bound = format!(
                "with a time to live of {:?} it must be at most {longest:?}, {:?} less: the rest is the margin for clocks that run at different rates",
                self.ttl,
                self.hold.saturating_sub(longest)
            );
            return refuse("hold", self.hold, bound);
        }
        if self.renew_interval < MIN_RENEW || self.renew_interval >= self.hold {
            let bound = format!(
                "it must be at least {MIN_RENEW:?} and less than the hold, {:?}",
                self.hold
            );
            return refuse("renewal interval", self.renew_interval, bound);
        }
        let budget = self.hold.saturating_sub(self.renew_interval);
        let needed = self.attempt_timeout.saturating_mul(ATTEMPTS);
        if self.attempt_timeout.is_zero() || needed > budget {
            let bound = format!(
                "it must be above zero, and {ATTEMPTS} attempts ({needed:?}) must fit into the {budget:?} between a due renewal and the end of the hold: {:?} too much",
                needed.saturating_sub(budget)
            );
            return refuse("attempt timeout", self.attempt_timeout, bound);
        }
        Ok(())
    }
}

impl Default for Durations {
    fn default() -> Self {
        Timing::default().durations()
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
        let timing = Timing::default().durations();
        let three = (timing.ttl(), timing.renew_interval(), timing.hold());
        assert_eq!(three, (secs(15), secs(5), secs(13)));
        assert_eq!(
            (timing.attempt_timeout(), timing.margin()),
            (Duration::from_millis(1500), secs(2))
        );
        assert_eq!(Timing::default().hold(secs(20)).durations().margin(), Duration::ZERO);
    }

    #[test]
    fn a_new_ttl_leaves_the_other_durations_as_they_were_set() {
        let set = Timing::default().hold(secs(20)).renew_interval(secs(4)).attempt_timeout(secs(1));

        let durations = set.ttl(secs(60)).durations();

        assert_eq!(durations.ttl(), secs(60));
        assert_eq!((durations.hold(), durations.renew_interval()), (secs(20), secs(4)));
        assert_eq!(durations.attempt_timeout(), secs(1));
    }

    #[test]
    fn a_ttl_below_a_second_is_rounded_up() {
        assert_eq!(Timing::new(Duration::from_millis(300)).durations().ttl(), secs(1));
        assert_eq!(Timing::new(Duration::from_millis(2001)).durations().ttl(), secs(3));
    }

    #[test]
    fn a_wrong_order_is_refused_with_the_amount() {
        for (timing, expected) in [
            (
                Timing::new(Duration::ZERO),
                "time to live \"0ns\" cannot be used: it must be 1s to 86400s",
            ),
            (Timing::new(secs(315_360_000)), "time to live \"315360000s\""),
            (Timing::default().hold(secs(14)), "at most 13.5s, 500ms less"),
            (Timing::default().renew_interval(Duration::ZERO), "at least 100ms"),
            (Timing::default().renew_interval(Duration::from_nanos(1)), "at least 100ms"),
            (Timing::default().renew_interval(secs(13)), "less than the hold, 13s"),
            (Timing::default().attempt_timeout(secs(3)), "1s too much"),
            (Timing::default().attempt_timeout(Duration::ZERO), "above zero"),
        ] {
            let error = timing.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_time_between_two_starts_is_above_zero_and_at_most_a_year() {
        let with = |at_least| Durations::default().with_at_least(at_least);
        for length in [Duration::from_nanos(1), secs(600), MAX_AT_LEAST] {
            assert_eq!(with(Some(length)).unwrap().at_least(), Some(length));
        }
        assert_eq!(with(None).unwrap(), Durations::default());
        for length in [Duration::ZERO, MAX_AT_LEAST + Duration::from_nanos(1), Duration::MAX] {
            let error = with(Some(length)).unwrap_err().to_string();
            assert!(error.contains(&format!("{length:?}")), "{error}");
            assert!(error.contains("above zero, and at most 31622400s (366 days)"), "{error}");
        }
    }

    /// Any duration, most of them near the bounds.
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

        /// Computed in wide integers, so that nothing overflows. The shares are in thousandths.
        #[test]
        fn a_timing_is_accepted_exactly_if_it_keeps_the_order(
            ttl in any_duration(), hold in 1..1000_u32, renew in 0..1000_u32, attempt in 0..400_u32,
        ) {
            let share = |of: Duration, thousandths: u32| of / 1000 * thousandths;
            let timing = Timing::new(ttl);
            let hold = share(timing.durations().ttl(), hold);
            let timing = timing
                .hold(hold)
                .renew_interval(share(hold, renew))
                .attempt_timeout(share(hold, attempt));
            let durations = timing.durations();
            let [ttl, hold, renew, attempt] =
                [durations.ttl(), durations.hold(), durations.renew_interval(), durations.attempt_timeout()]
                    .map(|d| d.as_nanos());
            let ordered = (MIN_TTL.as_nanos()..=MAX_TTL.as_nanos()).contains(&ttl)
                && hold * 10 <= ttl * 9
                && MIN_RENEW.as_nanos() <= renew && renew < hold
                && 0 < attempt && renew + attempt * 3 <= hold;

            prop_assert_eq!(timing.check().is_ok(), ordered, "{:?}", timing);
        }

        #[test]
        fn every_refusal_names_the_duration_its_value_and_the_bound(
            ttl in any_duration(), hold in any_duration(), renew in any_duration(), attempt in any_duration(),
        ) {
            let timing = Timing::new(ttl).hold(hold).renew_interval(renew).attempt_timeout(attempt);
            let Err(Error::Invalid { what, value, bound }) = timing.check() else { return Ok(()) };
            let (named, bounds) = match what {
                "time to live" => (timing.durations().ttl(), vec![MIN_TTL, MAX_TTL]),
                "hold" => {
                    let ttl = timing.durations().ttl();
                    let longest = ttl / 10 * 9;
                    (hold, vec![ttl, longest, hold.saturating_sub(longest)])
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
