//! How the program ends: the exit code, and one line on stderr if it failed.

use std::{fmt::Write as _, io, time::Duration};

use leasehold::Error;

use crate::{backend::Backend, clock::in_seconds};

/// The exit code or other result, or the failure.
pub(crate) type Outcome<T = u8> = Result<T, Failure>;

/// The exit codes of the program itself.
pub(crate) mod code {
    /// Success.
    pub(crate) const SUCCESS: u8 = 0;
    /// The named object does not exist.
    pub(crate) const MISSING: u8 = 1;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 64;
    /// The API server or etcd cannot be used.
    pub(crate) const UNAVAILABLE: u8 = 69;
    /// An internal error, or an error of the operating system.
    pub(crate) const INTERNAL: u8 = 70;
    /// Another process holds the lock, or the lock may not be acquired yet.
    pub(crate) const BUSY: u8 = 75;
    /// The lock was lost while CMD ran.
    pub(crate) const LOST: u8 = 79;
    /// CMD is not executable.
    pub(crate) const NOT_EXECUTABLE: u8 = 126;
    /// CMD was not found.
    pub(crate) const NOT_FOUND: u8 = 127;
    /// Added to the number of the signal that ended CMD or the program.
    pub(crate) const SIGNAL: u8 = 128;
}

/// Why the program ends with an exit code of its own.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    line: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, line: impl Into<String>) -> Self {
        Self { code, line: Some(one_line(&line.into())) }
    }

    pub(crate) fn internal(what: &str, error: &io::Error) -> Self {
        Self::new(code::INTERNAL, format!("{what}: {error}"))
    }

    /// Ended by a signal. Nothing is printed, because the sender knows.
    pub(crate) fn signal(number: i32) -> Self {
        Self { code: by_signal(number), line: None }
    }

    pub(crate) const fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }
}

/// The longest name of a lock, an election or a session, in bytes.
const MAX_NAME: usize = 253;
/// The number of characters that an error shows of a longer name.
const SHOWN: usize = 60;

/// How messages call the object `name`, for example ``lock `orders` ``.
///
/// # Errors
///
/// No object has such a name: it is empty or too long.
pub(crate) fn object(what: &str, name: &str) -> Outcome<String> {
    if name.is_empty() {
        let line = format!(
            "{what} ``: the name cannot be used: it must have at least one character. Check the variable that it comes \
                from"
        );
        return Err(Failure::new(code::USAGE, line));
    }
    if name.len() <= MAX_NAME {
        return Ok(format!("{what} `{name}`"));
    }
    let (start, bytes): (String, _) = (name.chars().take(SHOWN).collect(), name.len());
    let line = format!(
        "{what} `{start}…`: the name cannot be used: it has {bytes} bytes, at most {MAX_NAME} fit"
    );
    Err(Failure::new(code::USAGE, line))
}

/// The exit code for an end by the signal `number`.
pub(crate) fn by_signal(number: i32) -> u8 {
    u8::try_from(number).map_or(u8::MAX, |number| code::SIGNAL.saturating_add(number))
}

/// A duration in seconds, rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// What an API server says that works, but whose admission webhook does not answer.
const FAILED_WEBHOOK: &str = "failed calling webhook";

/// The object that an error message is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// For example ``lock `orders` ``.
    pub(crate) object: &'a str,
    /// The namespace.
    pub(crate) namespace: &'a str,
    /// The API server's address, or those of the nodes of etcd.
    pub(crate) server: &'a str,
    pub(crate) backend: Backend,
    /// The exit code if another process holds the lock, or if it may not be acquired yet.
    pub(crate) busy_code: u8,
}

impl Subject<'_> {
    /// One line with the object, the cause and the next step.
    pub(crate) fn failure(&self, error: &Error) -> Failure {
        let Self { object, namespace, server, backend, busy_code } = *self;
        let mut line = match error {
            Error::Held { holder, .. } => {
                format!("{object} in namespace `{namespace}` is held by `{holder}`")
            }
            Error::Timeout { holder, waited, .. } => {
                let waited =
                    Duration::from_millis(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
                format!(
                    "{object} in namespace `{namespace}` is held by `{holder}`, waited {waited:?}"
                )
            }
            Error::TooEarly { holder, not_before, remaining, .. } => {
                let (time, secs) = (in_seconds(*not_before), whole_seconds(*remaining));
                format!(
                    "{object} in namespace `{namespace}` is free, but may not be acquired before {time}, in {secs}s: \
                        `{holder}` ran it with --at-least"
                )
            }
            // The text of these errors names the namespace, or is not about it.
            Error::PermissionDenied { .. }
            | Error::QuotaExceeded { .. }
            | Error::Namespace { .. }
            | Error::Invalid { .. } => {
                format!("{object}: {}", error.with_causes())
            }
            _ => format!("{object} in namespace `{namespace}`: {}", error.with_causes()),
        };
        let (code, next) = match error {
            Error::Held { .. } => {
                (busy_code, "Try again later, or pass --wait instead of --try".into())
            }
            Error::Timeout { .. } => (busy_code, "Try again later, or pass a longer --wait".into()),
            Error::TooEarly { .. } => (
                busy_code,
                "Try again then, or pass a longer --wait. `leasehold release --force` removes the time".into(),
            ),
            Error::Invalid { .. } | Error::OtherMode { .. } => (code::USAGE, String::new()),
            Error::Namespace { namespace: other, .. } => {
                let option = if other == namespace { "--namespace (-n)" } else { "--session-namespace" };
                (code::UNAVAILABLE, format!("{option} selects it"))
            }
            Error::Config { .. } if backend == Backend::Etcd => (
                code::UNAVAILABLE,
                "Correct the files of --etcd-ca, --etcd-cert and --etcd-key".into(),
            ),
            Error::Lost { .. } => (code::LOST, "Run it again".into()),
            Error::Unavailable { .. } => (code::UNAVAILABLE, backend.check(server)),
            _ => (code::UNAVAILABLE, String::new()),
        };
        if !next.is_empty() {
            line.truncate(line.trim_end_matches('.').len());
            let _ = write!(line, ". {next}");
        }
        Failure::new(code, line)
    }

    /// One line for a wait for the server, with the cause.
    pub(crate) fn waiting(&self, error: &Error) -> String {
        let Self { object, namespace, server, backend, .. } = *self;
        let error = error.with_causes().to_string();
        let line = match backend {
            Backend::Kubernetes if error.contains(FAILED_WEBHOOK) => format!(
                "{object} in namespace `{namespace}` waits for a webhook of the API server {server}: {error}"
            ),
            Backend::Kubernetes => format!(
                "{object} in namespace `{namespace}` waits for the API server {server}: {error}"
            ),
            Backend::Etcd => {
                format!("{object} in namespace `{namespace}` waits for etcd at {server}: {error}")
            }
        };
        one_line(&line)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
