//! The meaning of a failed request: the only place where a status of etcd becomes an error.
//!
//! | answer | write stored? | error |
//! |---|---|---|
//! | wrong user, password or token; no permission | no | [`Error::PermissionDenied`] |
//! | a request that etcd does not understand or that is too large | no | [`Error::Rejected`] |
//! | no space | **unknown**: the write that fills the store is stored and refused | [`Error::Unavailable`] |
//! | everything else: no answer, no leader, too many requests | unknown | [`Error::Unavailable`] |

use std::{error::Error as StdError, iter::successors};

use tonic::{Code, Status};

use super::{BACKEND, keys::Keys};
use crate::api::error::Error;

/// etcd's own words, as the cause of an [`Error::Unavailable`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Answer(String);

impl Keys {
    /// The error of a request about these keys, for a caller.
    pub(super) fn error(&self, verb: &'static str, status: &Status) -> Error {
        let message = status.message();
        let denied = |next: &str| Error::PermissionDenied {
            verb,
            resource: format!("key {}", self.key),
            namespace: self.namespace.to_string(),
            reason: format!("{message}. {next}"),
        };
        let rejected =
            |reason| Error::Rejected { backend: BACKEND, name: self.key.clone(), reason };
        let unavailable = |answer| Error::unavailable(BACKEND, Answer(answer));
        match status.code() {
            Code::PermissionDenied => {
                denied("Grant the user a role with readwrite on the prefix of the keys")
            }
            _ if is_about_user(status) => {
                denied("Check the user and the password, and that etcd knows the user")
            }
            _ if is_too_large(status) => rejected(format!(
                "{message}. Let fewer processes wait for it, or raise --max-request-bytes of etcd"
            )),
            Code::InvalidArgument | Code::Unimplemented => {
                rejected(format!("{verb} {}: {message}", self.key))
            }
            _ if is_no_space(status) => unavailable(format!(
                "{message}. Compact and defragment etcd, or raise its quota, then disarm the alarm"
            )),
            // The message of a transport names no cause, and its chain of causes repeats itself.
            _ => unavailable(match causes(status).last() {
                Some(cause) => format!("no answer from etcd: {cause}"),
                None => format!("etcd answered: {message}"),
            }),
        }
    }
}

/// The causes of a request that got no answer.
pub(super) fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    successors(status.source(), |&cause| cause.source())
}

/// Whether `status` says nothing about whether the request was executed. Another node may answer.
pub(super) fn is_unknown(status: &Status) -> bool {
    let refused = matches!(
        status.code(),
        Code::PermissionDenied
            | Code::InvalidArgument
            | Code::Unauthenticated
            | Code::Unimplemented
    );
    !refused && !is_too_large(status)
}

/// Whether etcd refused the request because of its size: etcd itself, or beyond 2 MiB its server of gRPC.
fn is_too_large(status: &Status) -> bool {
    let words = ["request is too large", "received message larger than max"];
    words.iter().any(|words| status.message().contains(words))
}

/// Whether the token is not valid, any more or at this node, or is missing, because authentication was off before. With
/// a new one the request may succeed.
pub(super) fn is_about_token(status: &Status) -> bool {
    let words = ["revision of auth store is old", "user name is empty"];
    status.code() == Code::Unauthenticated
        || words.iter().any(|words| status.message().contains(words))
}

fn is_about_user(status: &Status) -> bool {
    is_about_token(status) || status.message().contains("authentication failed")
}

fn is_no_space(status: &Status) -> bool {
    status.message().contains("database space exceeded")
}

/// The status for the reason that etcd gives when it ends a watch.
pub(super) fn canceled(reason: &str) -> Status {
    let code = match reason {
        _ if reason.contains("permission denied") => Code::PermissionDenied,
        _ if reason.contains("auth token") || reason.contains("auth store") => {
            Code::Unauthenticated
        }
        _ if reason.contains("user name is empty") => Code::InvalidArgument,
        _ => Code::Unavailable,
    };
    Status::new(code, format!("etcd ended the watch: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::{super::keys::Prefix, *};
    use crate::api::name::{Namespace, RecordName};

    fn error(code: Code, message: &str) -> Error {
        let prefix = Prefix::parse("").unwrap();
        let keys = prefix.record(&Namespace::stored("shop"), &RecordName::stored("x"));
        keys.error("put", &Status::new(code, message))
    }

    #[test]
    fn a_store_without_space_leaves_the_outcome_of_a_write_unknown() {
        let full = error(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        assert!(matches!(full, Error::Unavailable { .. }), "{full:?}");
    }

    #[test]
    fn only_an_answer_that_refuses_is_a_refusal() {
        for (code, message) in [
            (Code::PermissionDenied, "etcdserver: permission denied"),
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
            ),
            (Code::InvalidArgument, "etcdserver: user name is empty"),
        ] {
            let error = error(code, message);
            assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
            assert!(error.to_string().contains("key /leasehold/shop/x"), "{error}");
        }
        for (code, message) in [
            (Code::InvalidArgument, "etcdserver: request is too large"),
            (Code::ResourceExhausted, "grpc: received message larger than max (3 vs. 2)"),
        ] {
            assert!(!is_unknown(&Status::new(code, message)));
            let large = error(code, message);
            assert!(matches!(large, Error::Rejected { .. }), "{large:?}");
        }
        for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::DeadlineExceeded] {
            let error = error(code, "etcdserver: request timed out");
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_watch_that_etcd_ends_for_a_reason_that_a_person_must_remove_is_refused() {
        for (reason, code) in [
            ("etcdserver: permission denied", Code::PermissionDenied),
            (
                "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
                Code::Unauthenticated,
            ),
            ("etcdserver: no leader", Code::Unavailable),
        ] {
            assert_eq!(canceled(reason).code(), code, "{reason}");
        }
    }
}
