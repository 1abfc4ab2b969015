//! The annotation with the time before which no other tenure may begin.
//!
//! It is independent of the mark, because it must survive every edit of the Lease, and the tenures of electors that do
//! not know it. A value that cannot be read counts as absent: another tenure may then begin at once, which is what
//! happens without the annotation.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::{record::NotBefore, timing::MAX_AT_LEAST};

/// The annotation, as JSON: see [`Text`].
pub(in crate::backends::kubernetes) const NOT_BEFORE: &str = "leasehold.dev/not-before";

/// A [`NotBefore`] as a person reads it.
#[derive(Debug, Serialize, Deserialize)]
struct Text {
    /// For example `2026-11-29T02:10:00.25Z`.
    time: String,
    /// For example `10m`. A longer one than a caller may ask for is not believed.
    length: String,
    holder: String,
}

pub(super) fn read(annotations: &Value) -> Option<Arc<NotBefore>> {
    let text: Text = serde_json::from_str(annotations[NOT_BEFORE].as_str()?).ok()?;
    let length = Duration::try_from(text.length.parse::<SignedDuration>().ok()?).ok()?;
    let time = SystemTime::from(text.time.parse::<Timestamp>().ok()?);
    let possible = !length.is_zero() && length <= MAX_AT_LEAST && time >= SystemTime::UNIX_EPOCH;
    possible.then(|| Arc::new(NotBefore { time, length, holder: text.holder }))
}

/// Sets the annotation, or removes that of an earlier tenure.
pub(in crate::backends::kubernetes) fn set(
    annotations: &mut Map<String, Value>,
    not_before: Option<&NotBefore>,
) {
    match not_before.and_then(written) {
        Some(text) => annotations.insert(NOT_BEFORE.into(), text.into()),
        None => annotations.remove(NOT_BEFORE),
    };
}

/// The text of the annotation.
pub(in crate::backends::kubernetes) fn written(not_before: &NotBefore) -> Option<String> {
    let NotBefore { time, length, holder } = not_before;
    let time = Timestamp::try_from(*time).ok()?.to_string();
    let length = format!("{:#}", SignedDuration::try_from(*length).ok()?);
    serde_json::to_string(&Text { time, length, holder: holder.clone() }).ok()
}
