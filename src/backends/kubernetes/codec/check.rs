//! What must hold of any object that a server answers with: for the property tests and for the fuzz target.

use super::*;
use crate::api::name::{Name, Namespace};

/// The fields of the spec that this crate reads; all but the last it also writes.
pub(super) const SPEC: [&str; 6] = [
    "holderIdentity",
    "leaseDurationSeconds",
    "leaseTransitions",
    "renewTime",
    "acquireTime",
    "preferredHolder",
];

/// Reads `whole`, writes a claim over it, and reads that; false if it cannot be read.
///
/// # Panics
///
/// If what is others' is not as it was, if what was written is not what is read, or if `whole` is refused
/// for anything but its version.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzz target alone"))]
pub fn check_lease(whole: &Value) -> bool {
    let base = match decode(whole.clone()) {
        Ok(base) => base,
        Err(Error::InvalidRecord { .. }) => return false,
        Err(error) => panic!("refused for more than its version: {error}"),
    };
    assert_ne!(base.record.ttl, Some(Duration::ZERO), "a record that does not live");
    assert_ne!(base.record.holder.as_deref(), Some(""), "nobody holds it");
    let _ = (acquired_ago(&base), base.token(), entry(base.clone()));
    let preferred = base.record.preferred.clone();
    let write = claim(Some(base));
    let written = encode(&key(Kind::Election, "orders"), &write, None);
    assert_eq!(foreign_fields(written.clone()), foreign_fields(whole.clone()));
    let read = decode(written).expect("it has the version of what it was written over");
    assert_eq!(read.record, Record { preferred, ..write.record });
    true
}

pub(super) fn key(kind: Kind, name: &str) -> RecordKey {
    let name = Name::parse("name", name).expect("a name");
    let lease = LeaseName::of("", &name);
    RecordKey { namespace: Namespace::parse("shop").expect("a namespace"), lease, kind, name }
}

pub(super) fn claim(base: Option<Versioned>) -> Write {
    let record = Record {
        holder: Some("me".into()),
        nonce: Some(Nonce { machine: 7, write: 1 }),
        ttl: Some(Duration::from_secs(15)),
        transitions: 3,
        ..Record::default()
    };
    Write { base: base.map(Arc::new), kind: WriteKind::Claim, record }
}

/// What of `lease` is not this crate's to write. Where it has to write, what is no object becomes one.
fn foreign_fields(mut lease: Value) -> Value {
    map(&mut lease, "spec").retain(|name, _| !SPEC[..5].contains(&name.as_str()));
    let metadata = map(&mut lease, "metadata");
    metadata.retain(|name, _| name != "resourceVersion" && name != "uid");
    field(metadata, "labels").retain(|name, _| name != KIND && name != ELECTION);
    field(metadata, "annotations").retain(|name, _| name != MARK);
    lease
}
