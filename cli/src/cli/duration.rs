//! Durations as they are written on the command line.

use std::time::Duration;

use jiff::SignedDuration;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The units, by example.
const FORM: &str = "write it like 90s, 5m, 1h30m, 7d or 500ms";
const DAY: u64 = 86_400;
/// The least value of a duration that must not be zero.
const LEAST: Duration = Duration::from_millis(1);

/// Parses `90`, `90s`, `1h30m`, `1.5s`, `7d`, `1d12h` or `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text.strip_prefix('-').is_some_and(|rest| parse(rest).is_some()) {
        return Err("it must not be negative".into());
    }
    parse(text).ok_or_else(|| FORM.into())
}

/// Parses a [`duration`] of at least a millisecond.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    let parsed = duration(text)?;
    if parsed < LEAST { Err(format!("it must be at least {LEAST:?}")) } else { Ok(parsed) }
}

/// Seconds without a unit, or numbers with units from the largest to the smallest.
fn parse(text: &str) -> Option<Duration> {
    // jiff also parses long names of units, such as `1 hour`. Few forms are easier to describe, also in a schema.
    let is_short =
        |c: char| c.is_ascii_digit() || matches!(c, '.' | 'd' | 'h' | 'm' | 's' | 'u' | 'n');
    if !text.chars().all(is_short) {
        return None;
    }
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let below_days = |text: &str| Duration::try_from(text.parse::<SignedDuration>().ok()?).ok();
    let Some((days, rest)) = text.split_once('d') else { return below_days(text) };
    let days = Duration::from_secs(days.parse::<u64>().ok()?.checked_mul(DAY)?);
    if rest.is_empty() { Some(days) } else { days.checked_add(below_days(rest)?) }
}

/// A pattern of the texts that [`duration`] parses. jiff parses no number with more digits.
const WRITTEN: &str = r"([0-9]{1,18}|([0-9]{1,18}(\.[0-9]{1,9})?(d|h|m|s|ms|us|ns))+)";

/// The schema of the texts that [`duration`] parses.
pub(super) fn written_duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^{WRITTEN}$") })
}

pub(super) fn written_duration_or_none(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^{WRITTEN}?$") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_units_from_days_to_nanoseconds_or_is_in_seconds() {
        for (text, millis) in [
            ("0", 0),
            ("90", 90_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1500),
            ("1h0.5s", 3_600_500),
            ("500ms", 500),
            ("2000us", 2),
            ("3000000ns", 3),
            ("0d", 0),
            ("7d", 604_800_000),
            ("1d12h", 129_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let huge = format!("{}d", u64::MAX);
        for text in [
            "", "d", "1.5d", "1d5", "1h2d", "30m1h", ".5s", "soon", "1 hour", "PT1H", "+1s", "5 s",
            "--try", &huge,
        ] {
            assert_eq!(duration(text), Err(FORM.into()), "{text}");
        }
    }

    #[test]
    fn a_negative_duration_and_one_that_is_too_short_are_named_as_such() {
        for text in ["-5", "-5s", "-1d"] {
            assert_eq!(duration(text), Err("it must not be negative".into()), "{text}");
        }
        for text in ["0", "0s", "0ns", "999us"] {
            assert_eq!(positive_duration(text), Err("it must be at least 1ms".into()), "{text}");
        }
        assert_eq!(positive_duration("1ms"), Ok(LEAST));
    }
}
