//! The pod that this process runs in.

use std::env;

/// The name of the pod, and what the downward API says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
}

impl OwnPod {
    /// The pod `name`, or `POD_NAME`; `None` if both are missing. Its namespace is `POD_NAMESPACE`, or `namespace`.
    pub(crate) fn of_this_process(name: Option<&str>, namespace: &str) -> Option<Self> {
        let value_of = |variable| env::var(variable).ok().filter(|value| !value.is_empty());
        Some(Self {
            name: name.map(str::to_owned).or_else(|| value_of("POD_NAME"))?,
            namespace: value_of("POD_NAMESPACE").unwrap_or_else(|| namespace.to_owned()),
            uid: value_of("POD_UID"),
        })
    }
}
