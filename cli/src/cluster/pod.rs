//! The pod that this process runs in.

use std::env;

/// Its name and what else it was told of itself, by the downward API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
}

impl OwnPod {
    /// As `name` or `POD_NAME` says; nothing where neither does. In `POD_NAMESPACE`, else in `namespace`.
    pub(crate) fn of_this_process(name: Option<&str>, namespace: &str) -> Option<Self> {
        let said = |variable| env::var(variable).ok().filter(|value| !value.is_empty());
        Some(Self {
            name: name.map(str::to_owned).or_else(|| said("POD_NAME"))?,
            namespace: said("POD_NAMESPACE").unwrap_or_else(|| namespace.to_owned()),
            uid: said("POD_UID"),
        })
    }
}
