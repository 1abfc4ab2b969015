//! Who refused a request: the authorizer, a quota, a policy, or something in front of the API server.
//!
//! All of them answer 403 with the reason `Forbidden`, and no other field tells them apart, except for a namespace that
//! is being deleted. So the text decides. Its forms are those of Kubernetes 1.37:
//!
//! | who | text |
//! |---|---|
//! | authorizer, also one that is a webhook | `… is forbidden: User "…" cannot VERB resource "…" in API group "…" …` |
//! | `ResourceQuota` | `… is forbidden: exceeded quota: NAME, requested: …, used: …, limited: …` |
//! | policy | `… is forbidden: ValidatingAdmissionPolicy '…' with binding '…' denied request: …` |
//! | admission webhook | `admission webhook "…" denied the request: …` |
//! | an admission plugin of a server that starts | `… is forbidden: not yet ready to handle request` |
//!
//! A policy and a webhook choose the code themselves. A webhook may choose any from 400 on.

use http::StatusCode;
use kube::core::Status;

/// How the text of an admission webhook begins.
const WEBHOOK: &str = "admission webhook ";
/// How the text of an authorizer begins if the request had no credentials.
const ANONYMOUS: &str = "User \"system:anonymous\" ";

/// Who refused a request, as far as the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The user lacks a right.
    Authorizer,
    /// The request had no credentials, so no Role can help.
    Anonymous,
    /// The namespace has as many objects as a quota permits.
    Quota,
    /// A policy or a webhook does not accept the object.
    Policy,
    /// The namespace is being deleted.
    Terminating,
    /// The server has just started.
    NotReady,
    /// The API server, for another reason: another admission plugin.
    Other,
    /// A proxy or a firewall, because the answer is no `Status` object.
    Stranger,
}

impl Refusal {
    /// `None` if the answer is no refusal: the code then says what it is.
    pub(super) fn of(code: StatusCode, status: Option<&Status>) -> Option<Self> {
        let forbidden = code == StatusCode::FORBIDDEN;
        let Some(status) = status else { return forbidden.then_some(Self::Stranger) };
        let terminating = || {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
        };
        // A webhook that answers 429 or 5xx does not refuse for good.
        let lasting = code.is_client_error() && code != StatusCode::TOO_MANY_REQUESTS;
        match cause(&status.message) {
            cause if is_policy(cause) => lasting.then_some(Self::Policy),
            _ if !forbidden => None,
            _ if terminating() => Some(Self::Terminating),
            cause if is_authorizer(cause) && cause.starts_with(ANONYMOUS) => Some(Self::Anonymous),
            cause if is_authorizer(cause) => Some(Self::Authorizer),
            cause if is_quota(cause) => Some(Self::Quota),
            cause if cause.starts_with("not yet ready") => Some(Self::NotReady),
            _ => Some(Self::Other),
        }
    }
}

/// The text after the object: `leases.coordination.k8s.io "orders" is forbidden: CAUSE`. A webhook names no object, and
/// its own text may contain anything.
fn cause(message: &str) -> &str {
    match message.split_once("forbidden: ") {
        Some((_, cause)) if !message.starts_with(WEBHOOK) => cause,
        _ => message,
    }
}

fn is_policy(cause: &str) -> bool {
    cause.starts_with(WEBHOOK) && cause.contains(" denied the request")
        || cause.starts_with("ValidatingAdmissionPolicy ") && cause.contains(" denied request")
}

fn is_authorizer(cause: &str) -> bool {
    cause.starts_with("User ") && cause.contains(" cannot ")
}

/// The second form is that of a new quota whose usage is not counted yet.
fn is_quota(cause: &str) -> bool {
    cause.starts_with("exceeded quota: ") || cause.starts_with("status unknown for quota: ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(code: u16, message: &str) -> Option<Refusal> {
        let status = json!({ "status": "Failure", "code": code, "message": message });
        let status: Status = serde_json::from_value(status).unwrap();
        Refusal::of(StatusCode::from_u16(code).unwrap(), Some(&status))
    }

    #[test]
    fn the_text_says_who_refused() {
        let lease = "leases.coordination.k8s.io \"x\" is forbidden: ";
        let user = "User \"u\" cannot get resource \"leases\" in API group \"coordination.k8s.io\"";
        let anonymous = "User \"system:anonymous\" cannot get resource \"leases\"";
        let policy = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        for (text, expected) in [
            (user, Refusal::Authorizer),
            (anonymous, Refusal::Anonymous),
            ("exceeded quota: q, requested: a=1, used: a=1, limited: a=1", Refusal::Quota),
            ("status unknown for quota: q, resources: a", Refusal::Quota),
            (policy, Refusal::Policy),
            ("not yet ready to handle request", Refusal::NotReady),
            (
                "can only access node lease with the same name as the requesting node",
                Refusal::Other,
            ),
            ("insufficient quota to consume: a", Refusal::Other),
        ] {
            assert_eq!(refusal(403, &format!("{lease}{text}")), Some(expected), "{text}");
        }
        // `kubectl auth can-i` style: a request for no object.
        assert_eq!(refusal(403, &format!("forbidden: {user}")), Some(Refusal::Authorizer));
    }

    #[test]
    fn a_policy_may_choose_its_code_but_not_one_of_a_server_in_trouble() {
        let webhook =
            "admission webhook \"w.example\" denied the request: forbidden: User \"u\" cannot";
        let policy = "leases.coordination.k8s.io \"x\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no";
        for text in [webhook, policy] {
            for code in [400, 401, 403, 404, 409, 413, 422] {
                assert_eq!(refusal(code, text), Some(Refusal::Policy), "{code}: {text}");
            }
            for code in [429, 500, 503] {
                assert_eq!(refusal(code, text), None, "{code}: {text}");
            }
        }
    }

    #[test]
    fn other_codes_are_no_refusal() {
        for code in [401, 404, 409, 410, 422, 500] {
            assert_eq!(refusal(code, "exceeded quota: q"), None, "{code}");
            assert_eq!(Refusal::of(StatusCode::from_u16(code).unwrap(), None), None, "{code}");
        }
        assert_eq!(Refusal::of(StatusCode::FORBIDDEN, None), Some(Refusal::Stranger));
    }
}
