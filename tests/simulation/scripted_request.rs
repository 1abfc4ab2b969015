//! Random requests that two servers can be sent alike. A script says `the current version` instead of a number,
//! because the two servers count differently.

use serde_json::{Value, json};

use leasehold_test_support::Rng;

use crate::api::Request;

/// The names of the objects.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];
/// The selectors of lists and watches.
pub(crate) const SELECTIONS: [Option<(&str, &str)>; 4] = [
    None,
    Some(("fieldSelector", "metadata.name=a")),
    Some(("labelSelector", "colour=red")),
    Some(("labelSelector", "colour")),
];

/// Which version or uid a request names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Precondition {
    Current,
    /// One that was current earlier.
    Former,
    Absent,
}

/// The object that a request writes.
///
/// It never has a `preferredHolder`: without coordinated leader election, which is off by default, a real server
/// drops that field silently.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// The object as it is.
    Same,
    /// New labels and a new spec.
    New(Value, Value),
}

#[derive(Clone, Debug)]
pub(crate) enum ScriptedRequest {
    Get(&'static str),
    Create(&'static str, Content),
    Update { name: &'static str, version: Precondition, uid: Precondition, content: Content },
    Delete { name: &'static str, version: Precondition, uid: Precondition },
    List(Option<(&'static str, &'static str)>),
}

impl ScriptedRequest {
    pub(crate) fn random(rng: &mut Rng, number: u64) -> Self {
        let name = rng.pick(&NAMES);
        match rng.below(20) {
            0 => Self::Get(name),
            1..5 => Self::Create(name, Content::new(rng, number)),
            5..8 => Self::Delete {
                name,
                version: Precondition::random(rng),
                uid: Precondition::random(rng),
            },
            8 | 9 => Self::List(rng.pick(&SELECTIONS)),
            _ => Self::Update {
                name,
                version: Precondition::random(rng),
                uid: Precondition::random(rng),
                content: if rng.chance(200) { Content::Same } else { Content::new(rng, number) },
            },
        }
    }

    /// The request for a server that has shown these states of the object, oldest first.
    pub(crate) fn request(&self, shown: &[Value]) -> Request {
        let mut query = std::collections::BTreeMap::new();
        let (verb, name, body) = match self {
            Self::Get(name) => ("get", *name, Value::Null),
            Self::Create(name, content) => ("create", *name, content.object(name, &[])),
            Self::Update { name, version, uid, content } => {
                let mut object = content.object(name, shown);
                version.write_to(&mut object["metadata"], "resourceVersion", shown);
                uid.write_to(&mut object["metadata"], "uid", shown);
                ("update", *name, object)
            }
            Self::Delete { name, version, uid } => {
                let mut object =
                    json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {} });
                version.write_to(&mut object["preconditions"], "resourceVersion", shown);
                uid.write_to(&mut object["preconditions"], "uid", shown);
                ("delete", *name, object)
            }
            Self::List(selection) => {
                query.extend(selection.map(|(key, value)| (key.to_owned(), value.to_owned())));
                ("list", "", Value::Null)
            }
        };
        Request { verb, name: name.into(), query, body }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Get(name)
            | Self::Create(name, _)
            | Self::Update { name, .. }
            | Self::Delete { name, .. } => name,
            Self::List(_) => "",
        }
    }
}

impl Precondition {
    fn random(rng: &mut Rng) -> Self {
        rng.pick(&[Self::Current, Self::Current, Self::Current, Self::Former, Self::Absent])
    }

    fn write_to(self, part: &mut Value, field: &str, shown: &[Value]) {
        let values = || shown.iter().rev().map(|object| &object["metadata"][field]);
        let current = values().next().cloned().unwrap_or_default();
        let value = match self {
            Self::Current => Some(current),
            Self::Former => values().find(|value| **value != current).cloned(),
            Self::Absent => None,
        };
        let part = part.as_object_mut().expect("an object");
        match value.filter(|value| !value.is_null()) {
            Some(value) => part.insert(field.into(), value),
            None => part.remove(field),
        };
    }
}

impl Content {
    fn new(rng: &mut Rng, number: u64) -> Self {
        let labels = rng.pick(&[Some("red"), Some("blue"), None]);
        let labels = labels.map_or(json!({}), |colour| json!({ "colour": colour }));
        let mut spec = json!({
            "holderIdentity": format!("holder-{number}"), "leaseDurationSeconds": 15, "leaseTransitions": number,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        });
        match rng.below(14) {
            0 => spec["leaseDurationSeconds"] = 0.into(),
            1 => spec["leaseTransitions"] = (-1).into(),
            2 => drop(spec.as_object_mut().expect("an object").remove("holderIdentity")),
            3 => spec["holderIdentity"] = "".into(),
            4 => spec = json!({}),
            5 => drop(spec.as_object_mut().expect("an object").remove("leaseDurationSeconds")),
            _ => {}
        }
        Self::New(labels, spec)
    }

    fn object(&self, name: &str, shown: &[Value]) -> Value {
        let mut object = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name }, "spec": {},
        });
        match (self, shown.last()) {
            (Self::Same, Some(last)) => object = last.clone(),
            (Self::Same, None) => {}
            (Self::New(labels, spec), last) => {
                // Change the object that was read, as a client does.
                object = last.cloned().unwrap_or(object);
                object["metadata"]["labels"] = labels.clone();
                object["spec"] = spec.clone();
            }
        }
        object
    }
}
