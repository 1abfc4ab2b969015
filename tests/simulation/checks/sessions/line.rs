//! The record of a lock as a check reads it. It does not use the library's own reader, so that a mistake there is seen.

use serde_json::Value;

/// The prefix of the labels that name the sessions which hold a lock.
pub(crate) const HELD: &str = "held.leasehold.dev/";

/// How a claim shares the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Exclusive,
    Shared,
    Slots(u16),
}

impl Mode {
    /// Whether two holders with these modes exclude each other.
    pub(crate) fn conflicts(self, slot: Option<u16>, other: (Self, Option<u16>)) -> bool {
        match (self, other.0) {
            (Self::Shared, Self::Shared) => false,
            (Self::Slots(one), Self::Slots(two)) => one != two || slot == other.1,
            _ => true,
        }
    }
}

/// One claim of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) session: String,
    pub(crate) nonce: String,
    pub(crate) mode: Mode,
    /// The slot of a holder, if the lock has slots.
    pub(crate) slot: Option<u16>,
}

impl Claim {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (session, nonce) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let (mut mode, mut slot) = (Mode::Exclusive, None);
        for part in parts {
            match part.split_once('=') {
                None if part == "shared" => mode = Mode::Shared,
                Some(("slots", n)) => mode = Mode::Slots(n.parse().ok()?),
                Some(("slot", n)) => slot = Some(n.parse().ok()?),
                _ => return None,
            }
        }
        Some(Self { session, nonce, mode, slot })
    }

    /// Whether this is the same call of `lock`.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.session == other.session && self.nonce == other.nonce
    }
}

/// Holders and queue of a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) holders: Vec<Claim>,
    pub(crate) queue: Vec<Claim>,
    /// The claims that came since the last write of the queue. They have no order.
    pub(crate) joined: Vec<Claim>,
    /// A holder that is no session. The holders of the line are void then.
    pub(crate) foreign: Option<String>,
}

impl Line {
    /// Reads a Lease. `spec.holderIdentity` decides whether the holders of the line count.
    pub(crate) fn of(lease: &Value) -> Self {
        let text = lease["metadata"]["annotations"]["leasehold.dev/queue"].as_str();
        let line: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let claims = |list: &str| -> Vec<Claim> {
            let all = line[list].as_array().into_iter().flatten();
            all.filter_map(|claim| Claim::parse(claim.as_str()?)).collect()
        };
        let (holders, queue) = (claims("holders"), claims("queue"));
        let annotations = lease["metadata"]["annotations"].as_object().into_iter().flatten();
        let joined = annotations.filter(|(key, _)| key.starts_with("queue.leasehold.dev/"));
        let joined =
            joined.filter_map(|(_, claim)| Claim::parse(claim.as_str()?.split(' ').next()?));
        let is_new = |claim: &Claim| !holders.iter().chain(&queue).any(|one| one.is(claim));
        let joined = joined.filter(is_new).collect();
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let named = holders.first().map_or("", |first| &first.session);
        if named == holder {
            return Self { holders, queue, joined, foreign: None };
        }
        let foreign = (!holder.is_empty()).then(|| holder.to_owned());
        Self { holders: Vec::new(), queue, joined, foreign }
    }

    /// All claims.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.holders.iter().chain(self.waiting())
    }

    /// The claims that wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Claim> {
        self.queue.iter().chain(&self.joined)
    }

    /// Whether this claim could be a holder next to the present ones.
    pub(crate) fn fits(&self, claim: &Claim) -> bool {
        match claim.mode {
            Mode::Exclusive => self.holders.is_empty(),
            Mode::Shared => self.holders.iter().all(|holder| holder.mode == Mode::Shared),
            Mode::Slots(slots) => {
                self.holders.iter().all(|holder| holder.mode == claim.mode)
                    && self.holders.len() < usize::from(slots)
            }
        }
    }
}

/// Whether this is the name of a session.
pub(crate) fn is_session(name: &str) -> bool {
    ttl_of(name).is_some()
}

/// The time to live in the name of a session, in seconds.
pub(crate) fn ttl_of(name: &str) -> Option<u64> {
    let (ttl, random) = name.strip_prefix('s')?.split_once('-')?;
    (random.len() == 20).then(|| ttl.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_holder_that_the_line_does_not_name_is_foreign() {
        let lease = |holder: &str| {
            json!({ "metadata": { "annotations": { "leasehold.dev/queue":
                r#"{"v":1,"holders":["s3-aaaaaaaaaaaaaaaaaaaa/01/slots=2/slot=1"],"queue":["b/02/shared"]}"# } },
                "spec": { "holderIdentity": holder } })
        };
        let line = Line::of(&lease("s3-aaaaaaaaaaaaaaaaaaaa"));
        assert_eq!((line.holders[0].mode, line.holders[0].slot), (Mode::Slots(2), Some(1)));
        assert_eq!((line.queue[0].mode, line.foreign), (Mode::Shared, None));
        let line = Line::of(&lease("client-go"));
        assert_eq!((line.holders.len(), line.foreign), (0, Some("client-go".to_owned())));
        assert_eq!(Line::of(&lease("")).foreign, None);
        assert_eq!((ttl_of("s15-aaaaaaaaaaaaaaaaaaaa"), ttl_of("orders")), (Some(15), None));
    }
}
