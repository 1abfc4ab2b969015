//! The server's side of watches, and what goes wrong with them.

use serde_json::json;

use crate::{
    api::{self, Answer, Request},
    checks::Violation,
    faults::Fault,
    scenario::SEC,
    store::Store,
    wire::{self, Stream},
    world::{Parcel, World},
};

/// How often a watch shows that it is alive.
const BOOKMARK: u64 = 30 * SEC;

/// An open watch.
pub(crate) struct Watching {
    pub(crate) host: usize,
    pub(crate) life: u64,
    request: Request,
    sent: u64,
    after: u64,
    body: Stream,
    ends: u64,
    bookmark: u64,
    /// What happens to it, and when.
    fault: Option<(Fault, u64)>,
}

impl World {
    pub(crate) fn is_outdated(&mut self, parcel: &Parcel) -> Option<Violation> {
        let place = ((parcel.host, parcel.life), parcel.request.selection());
        match parcel.request.verb {
            "list" => {
                self.outdated.listed(place, self.now);
                None
            }
            // One that was given up meanwhile is no answer to what came later.
            "watch" if !parcel.reply.is_closed() => self.outdated.check(&place),
            _ => None,
        }
    }

    pub(crate) fn begin_watch(&mut self, parcel: Parcel, late: u64) {
        let number = |key: &str| parcel.request.query.get(key).and_then(|n| n.parse::<u64>().ok());
        let after = number("resourceVersion").unwrap_or(self.store.version);
        let length = number("timeoutSeconds").unwrap_or(290) * SEC;
        let fault = self.watch_fault();
        // A real server says it in an event; what stands before one may have a status of its own.
        if matches!(fault, Some((Fault::WatchGoneAtStart, _))) {
            self.report.faults.hit(Fault::WatchGoneAtStart);
            if !parcel.reply.is_closed() {
                let place = ((parcel.host, parcel.life), parcel.request.selection());
                self.outdated.gone(place, parcel.sent);
            }
            let gone = wire::whole(Answer::failure(410, "Expired", ""));
            return self.back(parcel, gone, late, None);
        }
        let (replied, body) = wire::begun();
        self.watches.push(Watching {
            host: parcel.host,
            life: parcel.life,
            request: parcel.request.clone(),
            sent: parcel.sent,
            after,
            body,
            ends: self.now + length,
            bookmark: self.now + BOOKMARK,
            fault,
        });
        self.back(parcel, replied, late, None);
    }

    fn watch_fault(&mut self) -> Option<(Fault, u64)> {
        if self.calm.is_some() || !self.rng.chance(self.scene.watches) {
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

    /// Tells each watch what has become visible.
    pub(crate) fn feed_watches(&mut self) {
        let mut watches = std::mem::take(&mut self.watches);
        watches.retain_mut(|watching| {
            let host = &self.hosts[watching.host];
            if host.life != watching.life {
                return false;
            }
            let cut = self.calm.is_none() && host.is_cut(self.now);
            cut || self.feed(watching)
        });
        self.watches = watches;
    }

    /// False if it has ended.
    fn feed(&mut self, watching: &mut Watching) -> bool {
        let fault = watching.fault.filter(|&(_, at)| at <= self.now).map(|(fault, _)| fault);
        if let Some(fault) = fault.filter(|&fault| fault != Fault::WatchDuplicate) {
            return self.fail_watch(watching, fault);
        }
        if self.now >= watching.ends {
            return false;
        }
        if self.store.version > watching.after {
            if self.store.after(watching.after).is_none() {
                self.report.faults.hit(Fault::WatchGoneEvent);
                self.end_gone(watching);
                return false;
            }
            let times = if fault.is_some() { 2 } else { 1 };
            if fault.is_some() {
                self.report.faults.hit(Fault::WatchDuplicate);
            }
            return watching.tell(&self.store, times);
        }
        if self.now >= watching.bookmark {
            watching.bookmark = self.now + BOOKMARK;
            let kind = json!({
                "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                "metadata": { "resourceVersion": watching.after.to_string(), "creationTimestamp": null },
            });
            return wire::push(&mut watching.body, line("BOOKMARK", kind.to_string().as_bytes()));
        }
        true
    }

    fn end_gone(&mut self, watching: &mut Watching) {
        if wire::push(&mut watching.body, gone()) {
            let place = ((watching.host, watching.life), watching.request.selection());
            self.outdated.gone(place, watching.sent);
        }
    }

    fn fail_watch(&mut self, watching: &mut Watching, fault: Fault) -> bool {
        if fault == Fault::WatchSilent {
            let first = watching.bookmark != u64::MAX;
            if first {
                self.report.faults.hit(fault);
                watching.bookmark = u64::MAX;
            }
            // Half open: neither side hears of the other, for longer than was asked for.
            return self.now < watching.ends + 60 * SEC;
        }
        self.report.faults.hit(fault);
        let reset = match fault {
            Fault::WatchGoneEvent => {
                self.end_gone(watching);
                false
            }
            Fault::WatchPartialLine => {
                wire::push(&mut watching.body, b"{\"type\":\"MODIFIED\",\"obj".to_vec());
                self.rng.chance(500)
            }
            Fault::WatchReset => true,
            _ => false,
        };
        if reset {
            let (_, body) = wire::begun();
            std::mem::replace(&mut watching.body, body).abort(wire::reset());
        }
        false
    }
}

impl Watching {
    /// Whether it tells nothing, or will not, without coming to an end.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.fault, Some((Fault::WatchSilent, _)))
    }

    fn tell(&mut self, store: &Store, times: usize) -> bool {
        for commit in store.after(self.after).into_iter().flatten() {
            self.after = commit.version;
            let Some(event) = api::event(&self.request, commit) else { continue };
            for _ in 0..times {
                if !wire::push(&mut self.body, event.clone()) {
                    return false;
                }
            }
        }
        true
    }
}

/// An event, of an object in JSON.
pub(crate) fn line(kind: &str, object: &[u8]) -> Vec<u8> {
    [br#"{"type":""#, kind.as_bytes(), br#"","object":"#, object, b"}\n"].concat()
}

/// The last event of a watch from a version that the server has forgotten.
pub(crate) fn gone() -> Vec<u8> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version",
    });
    line("ERROR", status.to_string().as_bytes())
}
