//! How the program ends, and the one line that it says when something is wrong.

use std::{error::Error as StdError, fmt::Write as _, io, time::Duration};

use leasehold::Error;

/// The exit code, or what went wrong.
pub(crate) type Outcome<T = u8> = Result<T, Failure>;

/// Exit codes, where they are not those of CMD.
pub(crate) mod code {
    /// All is well.
    pub(crate) const SUCCESS: u8 = 0;
    /// What was asked for is not there.
    pub(crate) const MISSING: u8 = 1;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 64;
    /// The API server cannot be used.
    pub(crate) const UNAVAILABLE: u8 = 69;
    /// This program's own fault, or the system's.
    pub(crate) const INTERNAL: u8 = 70;
    /// Somebody else holds the lock.
    pub(crate) const BUSY: u8 = 75;
    /// The lock was lost while CMD ran.
    pub(crate) const LOST: u8 = 79;
    /// CMD cannot be executed.
    pub(crate) const NOT_EXECUTABLE: u8 = 126;
    /// CMD was not found.
    pub(crate) const NOT_FOUND: u8 = 127;
    /// Ended by a signal: this and its number.
    pub(crate) const SIGNAL: u8 = 128;
}

/// Why the program ends with another code than CMD's.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    line: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, line: impl Into<String>) -> Self {
        let line = line.into().split_whitespace().collect::<Vec<_>>().join(" ");
        Self { code, line: Some(line) }
    }

    pub(crate) fn internal(what: &str, error: &io::Error) -> Self {
        Self::new(code::INTERNAL, format!("{what}: {error}"))
    }

    /// Ended by a signal: whoever sent it knows.
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

/// The exit code for an end by signal `number`.
pub(crate) fn by_signal(number: i32) -> u8 {
    u8::try_from(number).map_or(u8::MAX, |number| code::SIGNAL.saturating_add(number))
}

/// What an error was about, for its line to name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// For example ``lock `orders` ``.
    pub(crate) object: &'a str,
    /// The namespace.
    pub(crate) namespace: &'a str,
    /// The API server's address.
    pub(crate) server: &'a str,
    /// The exit code if somebody else holds it.
    pub(crate) busy: u8,
}

impl About<'_> {
    /// The object, the cause and the next step, on one line.
    pub(crate) fn failure(&self, error: &Error) -> Failure {
        let Self { object, namespace, server, busy } = *self;
        let mut line = match error {
            Error::Timeout { holder, waited, .. } => {
                let waited =
                    Duration::from_millis(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
                format!(
                    "{object} in namespace `{namespace}` is held by `{holder}`, waited {waited:?}"
                )
            }
            // These name the namespace themselves.
            Error::Refused { .. } | Error::Namespace { .. } => format!("{object}: {error}"),
            _ => format!("{object} in namespace `{namespace}`: {error}"),
        };
        let mut last = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !last.contains(&said) {
                let _ = write!(line, ": {said}");
            }
            last = said;
            cause = error.source();
        }
        let (code, next) = match error {
            Error::Timeout { .. } => (busy, "Try later, or wait longer with --wait".into()),
            Error::Invalid { .. } => (code::USAGE, String::new()),
            Error::Lost { .. } => (code::LOST, "Run it again".into()),
            Error::Unavailable { .. } => (
                code::UNAVAILABLE,
                format!(
                    "Is {server} the right API server (--context, --kubeconfig), and does `kubectl get --raw /readyz` answer?"
                ),
            ),
            _ => (code::UNAVAILABLE, String::new()),
        };
        if !next.is_empty() {
            let _ = write!(line, ". {next}");
        }
        Failure::new(code, line)
    }
}
