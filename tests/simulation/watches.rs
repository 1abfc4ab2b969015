//! The server's side of watches, and their faults.

use serde_json::json;

use leasehold_test_support::Violation;

use crate::{
    api::{self, Answer, Request},
    faults::Fault,
    scenario::{MS, SEC},
    sessions::SessionKind,
    store::Store,
    wire::{self, Stream},
    world::{InFlight, World},
};

/// How often a watch without events sends a bookmark.
const BOOKMARK_INTERVAL: u64 = 30 * SEC;

/// An open watch.
pub(crate) struct OpenWatch {
    pub(crate) host: usize,
    pub(crate) incarnation: u64,
    request: Request,
    sent_at: u64,
    last_version: u64,
    /// How far its server lags behind.
    lag: u64,
    body: Stream,
    ends_at: u64,
    next_bookmark: u64,
    /// The fault that this watch will meet, and when.
    fault: Option<(Fault, u64)>,
}

impl World {
    pub(crate) fn check_watch_start(&mut self, in_flight: &InFlight) -> Option<Violation> {
        let watch_id = ((in_flight.host, in_flight.incarnation), in_flight.request.selection());
        match in_flight.request.verb {
            "list" => {
                self.expired_watches.listed(watch_id, self.now);
                None
            }
            // A cancelled watch is ignored: the client may have listed in the meantime.
            "watch" if !in_flight.reply.is_closed() => self.expired_watches.check(&watch_id),
            _ => None,
        }
    }

    pub(crate) fn open_watch(&mut self, in_flight: InFlight, reply_delay: u64) {
        let number =
            |key: &str| in_flight.request.query.get(key).and_then(|n| n.parse::<u64>().ok());
        let after = number("resourceVersion").unwrap_or(self.store.version);
        let length = number("timeoutSeconds").unwrap_or(290) * SEC;
        let fault = self.watch_fault();
        // A real server sends 410 in an event. A proxy or load balancer may answer with the status instead.
        if matches!(fault, Some((Fault::WatchGoneAtStart, _))) {
            self.report.faults.count(Fault::WatchGoneAtStart);
            if !in_flight.reply.is_closed() {
                let watch_id =
                    ((in_flight.host, in_flight.incarnation), in_flight.request.selection());
                self.expired_watches.expired(watch_id, in_flight.sent_at);
            }
            let expired = wire::complete(Answer::failure(410, "Expired", ""));
            return self.send_reply(in_flight, expired, reply_delay, None);
        }
        let lag = self.watch_lag();
        let (reply, body) = wire::streaming();
        self.watches.push(OpenWatch {
            host: in_flight.host,
            incarnation: in_flight.incarnation,
            request: in_flight.request.clone(),
            sent_at: in_flight.sent_at,
            last_version: after,
            lag,
            body,
            ends_at: self.now + length,
            next_bookmark: self.now + BOOKMARK_INTERVAL,
            fault,
        });
        self.send_reply(in_flight, reply, reply_delay, None);
    }

    /// How far the server of a new watch lags behind.
    fn watch_lag(&mut self) -> u64 {
        if self.scenario.sessions != Some(SessionKind::Lagging) || self.rng.chance(500) {
            return 0;
        }
        self.report.faults.count(Fault::WatchLags);
        self.rng.between(100 * MS, 3 * SEC)
    }

    fn watch_fault(&mut self) -> Option<(Fault, u64)> {
        if self.faults_stopped_at.is_some() || !self.rng.chance(self.scenario.watch_fault_rate) {
            return None;
        }
        let fault = self.rng.pick(&[
            Fault::WatchSilent,
            Fault::WatchSilent,
            Fault::WatchCut,
            Fault::WatchReset,
            Fault::WatchPartialLine,
            Fault::WatchGoneAtStart,
            Fault::WatchGoneEvent,
            Fault::WatchDuplicate,
        ]);
        let at = if self.rng.chance(300) { 0 } else { self.rng.below(30 * SEC) };
        Some((fault, self.now + at))
    }

    /// Sends each watch the events since its last version.
    pub(crate) fn deliver_events(&mut self) {
        let mut watches = std::mem::take(&mut self.watches);
        watches.retain_mut(|watch| {
            let host = &self.hosts[watch.host];
            if host.incarnation != watch.incarnation {
                return false;
            }
            let cut = self.faults_stopped_at.is_none() && host.is_cut(self.now);
            cut || self.deliver_to(watch)
        });
        self.watches = watches;
    }

    /// Returns false if the watch has ended.
    fn deliver_to(&mut self, watch: &mut OpenWatch) -> bool {
        let fault = watch.fault.filter(|&(_, at)| at <= self.now).map(|(fault, _)| fault);
        if let Some(fault) = fault.filter(|&fault| fault != Fault::WatchDuplicate) {
            return self.fail_watch(watch, fault);
        }
        if self.now >= watch.ends_at {
            return false;
        }
        if self.store.version > watch.last_version {
            if self.store.after(watch.last_version).is_none() {
                self.report.faults.count(Fault::WatchGoneEvent);
                self.end_expired(watch);
                return false;
            }
            let times = if fault.is_some() { 2 } else { 1 };
            if fault.is_some() {
                self.report.faults.count(Fault::WatchDuplicate);
            }
            let lag = if self.faults_stopped_at.is_none() { watch.lag } else { 0 };
            let until = self.now - (self.distance(watch.host) + lag).min(self.now);
            return watch.send_events(&self.store, times, until);
        }
        if self.now >= watch.next_bookmark {
            watch.next_bookmark = self.now + BOOKMARK_INTERVAL;
            let kind = json!({
                "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                "metadata": { "resourceVersion": watch.last_version.to_string(), "creationTimestamp": null },
            });
            return wire::send_chunk(
                &mut watch.body,
                event_line("BOOKMARK", kind.to_string().as_bytes()),
            );
        }
        true
    }

    fn end_expired(&mut self, watch: &mut OpenWatch) {
        if wire::send_chunk(&mut watch.body, expired_line()) {
            let watch_id = ((watch.host, watch.incarnation), watch.request.selection());
            self.expired_watches.expired(watch_id, watch.sent_at);
        }
    }

    fn fail_watch(&mut self, watch: &mut OpenWatch, fault: Fault) -> bool {
        if fault == Fault::WatchSilent {
            let first = watch.next_bookmark != u64::MAX;
            if first {
                self.report.faults.count(fault);
                watch.next_bookmark = u64::MAX;
            }
            // A half-open connection: neither side notices, for longer than the watch was to last.
            return self.now < watch.ends_at + 60 * SEC;
        }
        self.report.faults.count(fault);
        let reset = match fault {
            Fault::WatchGoneEvent => {
                self.end_expired(watch);
                false
            }
            Fault::WatchPartialLine => {
                wire::send_chunk(&mut watch.body, b"{\"type\":\"MODIFIED\",\"obj".to_vec());
                self.rng.chance(500)
            }
            Fault::WatchReset => true,
            _ => false,
        };
        if reset {
            let (_, body) = wire::streaming();
            std::mem::replace(&mut watch.body, body).abort(wire::reset());
        }
        false
    }
}

impl OpenWatch {
    /// Whether the watch is silent, or will be, without ending.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.fault, Some((Fault::WatchSilent, _)))
    }

    /// Sends the events of writes that were stored by `until`.
    fn send_events(&mut self, store: &Store, times: usize, until: u64) -> bool {
        let commits = store.after(self.last_version).into_iter().flatten();
        for commit in commits.take_while(|commit| commit.at <= until) {
            self.last_version = commit.version;
            let Some(event) = api::watch_line(&self.request, commit) else { continue };
            for _ in 0..times {
                if !wire::send_chunk(&mut self.body, event.clone()) {
                    return false;
                }
            }
        }
        true
    }
}

/// An event as a line of a watch.
pub(crate) fn event_line(kind: &str, object: &[u8]) -> Vec<u8> {
    [br#"{"type":""#, kind.as_bytes(), br#"","object":"#, object, b"}\n"].concat()
}

/// The last event of a watch whose version was compacted.
pub(crate) fn expired_line() -> Vec<u8> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version",
    });
    event_line("ERROR", status.to_string().as_bytes())
}
