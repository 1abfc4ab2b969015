//! Durations as they are written on the command line.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};

/// Parses `90`, `90s`, `1h30m` or `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(secs) = text.parse::<u64>() {
        return Ok(Duration::from_secs(secs));
    }
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "write it like 90s, 5m, 1h30m or 500ms".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "it must not be negative".into())
}

/// Parses a [`duration`] above zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    let parsed = duration(text)?;
    if parsed.is_zero() { Err("it must be above zero".into()) } else { Ok(parsed) }
}

/// Parses a duration that may be written in days.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 86_400;
    match text.strip_suffix('d').map(str::parse::<u64>) {
        Some(Ok(days)) => days
            .checked_mul(DAY)
            .map(Duration::from_secs)
            .ok_or_else(|| "that is more than time can be counted".into()),
        _ => duration(text).map_err(|_| "write it like 7d, 12h, 1h30m or 90s".into()),
    }
}

/// The schema of the texts that [`duration`] parses.
pub(super) fn written_duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^([0-9]+|([0-9]+(ms|s|m|h))+)$" })
}

pub(super) fn written_duration_or_none(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^([0-9]+|([0-9]+(ms|s|m|h))+)?$" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_written_in_days_or_as_every_other_duration() {
        for (text, secs) in [("7d", 604_800), ("0d", 0), ("0", 0), ("90", 90), ("1h30m", 5400)] {
            assert_eq!(age(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in ["", "d", "-1d", "1.5d", "soon", &format!("{}d", u64::MAX)] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
