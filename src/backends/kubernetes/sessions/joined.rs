//! The annotations with the claims that joined since the last write of the queue: `queue.leasehold.dev/NONCE`, with the
//! claim and the time at which it joined, by the clock of its process.
//!
//! A process that sees two claims come in two events knows their order. Only claims that it sees at once, in one answer
//! or in one event, are ordered by these times, because the API server keeps no order of annotations.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::protocol::queue::claim::Claim;

const PREFIX: &str = "queue.leasehold.dev/";

/// The key of the annotation of a claim.
pub(super) fn key(claim: &Claim) -> String {
    format!("{PREFIX}{}", claim.nonce)
}

/// Its value, for the claim with this index among those that join with one request at this time.
pub(super) fn value(claim: &Claim, at: Timestamp, index: usize) -> String {
    let after = SignedDuration::from_micros(i64::try_from(index).unwrap_or_default());
    let at = at.checked_add(after).unwrap_or(at);
    format!("{claim} {at:.6}")
}

/// The claims that joined, in the order of their times; those without a time that can be read come first. What is no
/// claim is left alone.
pub(super) fn claims(object: &Value) -> Vec<Claim> {
    let annotations = object["metadata"]["annotations"].as_object();
    let joined = annotations.into_iter().flatten().filter(|(key, _)| key.starts_with(PREFIX));
    let claims = joined.filter_map(|(found, text)| {
        let text = text.as_str()?;
        let (claim, at) = text.split_once(' ').unwrap_or((text, ""));
        let claim: Claim = claim.parse().ok()?;
        (*found == key(&claim)).then_some((at.parse::<Timestamp>().ok(), claim))
    });
    let mut claims: Vec<_> = claims.collect();
    claims.sort_by_key(|(at, _)| *at);
    claims.into_iter().map(|(_, claim)| claim).collect()
}
