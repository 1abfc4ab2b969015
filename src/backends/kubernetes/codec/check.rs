//! The properties of every object that a server can send, for the property tests and for the fuzz target.

use super::*;
use crate::{
    api::name::{Name, Namespace},
    backends::kubernetes::names::LeaseNames,
    store::names::Names as _,
};

/// The fields of the spec that this crate reads. It writes all of them except the last.
pub(super) const SPEC: [&str; 6] = [
    "holderIdentity",
    "leaseDurationSeconds",
    "leaseTransitions",
    "renewTime",
    "acquireTime",
    "preferredHolder",
];

/// Decodes `whole`, encodes a claim over it, and decodes that. Returns false if `whole` cannot be decoded.
///
/// # Panics
///
/// If a field of another program has changed, if the decoded record differs from the encoded one, or if `whole` is
/// rejected for another reason than its version.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzz target only"))]
pub fn check_lease(whole: &Value) -> bool {
    let base = match decode(whole) {
        Ok(base) => base,
        Err(Error::InvalidRecord { .. }) => return false,
        Err(error) => panic!("rejected for another reason than its version: {error}"),
    };
    assert_ne!(
        base.record.ttl,
        Some(Duration::ZERO),
        "a time to live of zero must be decoded as absent"
    );
    assert_ne!(
        base.record.holder.as_deref(),
        Some(""),
        "an empty holder must be decoded as absent"
    );
    let _ = (acquired_ago(&base), base.token(), decode_entry(whole));
    let preferred = base.record.preferred.clone();
    let write = claim(Some(base));
    let written = encode(&key(Kind::Election, "orders"), &write, &Extras::default());
    assert_eq!(foreign_fields(written.clone()), foreign_fields(whole.clone()));
    let read = decode(&written).expect("it has the version of its base");
    assert_eq!(read.record, Record { preferred, ..write.record });
    true
}

pub(in crate::backends::kubernetes) fn key(kind: Kind, name: &str) -> RecordKey {
    let name = Name::parse("name", name).expect("a name");
    let lease = LeaseNames::default().of(&name);
    RecordKey { namespace: Namespace::stored("shop"), record: lease, kind, name }
}

pub(in crate::backends::kubernetes) fn claim(base: Option<Versioned>) -> Write {
    let record = Record {
        holder: Some("me".into()),
        nonce: Some(Nonce(7)),
        ttl: Some(Duration::from_secs(15)),
        transitions: 3,
        ..Record::default()
    };
    Write { base: base.map(Arc::new), kind: WriteKind::Claim, record }
}

/// The part of `lease` that this crate must not change. A value that must be an object becomes one.
fn foreign_fields(mut lease: Value) -> Value {
    map(&mut lease, "spec").retain(|name, _| !SPEC[..5].contains(&name.as_str()));
    let metadata = map(&mut lease, "metadata");
    metadata.retain(|name, _| name != "resourceVersion" && name != "uid");
    field(metadata, "labels").retain(|name, _| name != KIND && name != ELECTION);
    field(metadata, "annotations").retain(|name, _| name != MARK && name != not_before::NOT_BEFORE);
    lease
}
