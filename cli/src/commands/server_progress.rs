//! The line that says what a command waits for while there is no API server.

use leasehold::Error;

use crate::{
    exit::Subject,
    log,
    output::warn_once::{TOLERANCE, WarnOnce},
};

/// Reports the wait for a server once, and once more when it is over.
pub(super) struct ServerProgress<'a> {
    subject: Subject<'a>,
    warnings: WarnOnce,
}

impl<'a> ServerProgress<'a> {
    pub(super) fn new(subject: Subject<'a>, quiet: bool) -> Self {
        log::reports_server(true);
        let warnings = WarnOnce::since_now(subject.object, TOLERANCE, quiet);
        Self { subject, warnings }
    }

    /// Takes note of the result of a probe. A server that comes in time is not worth a line.
    pub(super) fn update(&mut self, error: Option<&Error>) {
        log::reports_server(error.is_some());
        self.warnings.update(error.map(|error| self.subject.waiting(error)));
    }
}

impl Drop for ServerProgress<'_> {
    fn drop(&mut self) {
        log::reports_server(false);
    }
}
