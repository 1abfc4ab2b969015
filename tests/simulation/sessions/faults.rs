//! Faults of sessions and of their locks: deletions and edits by hand.

use std::sync::Arc;

use crate::{
    checks::sessions::line::{HELD, is_session},
    faults::Fault,
    injection::EditKind,
    sessions::SessionKind,
    world::World,
};

impl World {
    /// Injects one fault into a run with sessions.
    pub(crate) fn inject_session_fault(&mut self, kind: SessionKind) {
        let h = self.rng.index(self.hosts.len());
        if kind == SessionKind::Crashes {
            self.crash(h);
            return;
        }
        match self.rng.below(100) {
            0..20 => self.pause(h),
            20..30 => self.crash(h),
            30..46 => self.partition(h),
            46..52 => self.outage(),
            52..58 => self.restart_server(),
            58..64 => self.compact(),
            64..70 => self.jump_wall_clock(h),
            70..78 => self.delete_session(),
            78..84 => self.remove_label(),
            84..88 => self.edit_unrelated(),
            _ if kind == SessionKind::HandEdits => self.break_session_lease(),
            _ => self.edit_unrelated(),
        }
    }

    fn random_lease(&mut self, wanted: impl Fn(&str) -> bool) -> Option<Arc<str>> {
        let mut names = self.lease_names();
        names.retain(|name| wanted(name));
        (!names.is_empty()).then(|| Arc::clone(&names[self.rng.index(names.len())]))
    }

    /// A session is deleted by hand. That is safe at any time.
    fn delete_session(&mut self) {
        let Some(name) = self.random_lease(is_session) else { return };
        self.report.faults.count(Fault::SessionDeleted);
        self.delete(&name);
    }

    fn delete(&mut self, name: &str) {
        self.trace(self.store.version);
        self.store.commit(self.now, name, None);
        self.causes.written(name, None, self.now);
        self.session_checks.hand_made.lock(name, self.now);
    }

    /// `kubectl label LOCK held..-`: its holder ends its guard, and no other process is concerned.
    fn remove_label(&mut self) {
        let Some(name) = self.random_lease(|name| !is_session(name)) else { return };
        self.report.faults.count(Fault::LabelRemoved);
        self.edit(&name, EditKind::Unrelated, |lease| {
            if let Some(labels) = lease["metadata"]["labels"].as_object_mut() {
                labels.retain(|label, _| !label.starts_with(HELD));
                labels.insert("example.com/team".into(), "shop".into());
            }
        });
        self.session_checks.hand_made.lock(&name, self.now);
    }

    /// What `docs/sessions.md` says to be unsafe.
    fn break_session_lease(&mut self) {
        let lock = self.random_lease(|name| !is_session(name));
        let session = self.random_lease(is_session);
        match (self.rng.below(4), lock, session) {
            (0, Some(lock), _) => {
                self.report.faults.count(Fault::Deleted);
                self.delete(&lock);
            }
            (1, Some(lock), _) => {
                self.report.faults.count(Fault::FreedByHand);
                self.edit(&lock, EditKind::Breaking, |lease| {
                    lease["spec"]["holderIdentity"] = "".into();
                });
                self.session_checks.hand_made.lock(&lock, self.now);
            }
            (2, Some(lock), _) => {
                self.report.faults.count(Fault::Seized);
                self.edit(&lock, EditKind::Breaking, |lease| {
                    lease["spec"]["holderIdentity"] = "operator".into();
                    lease["spec"]["leaseDurationSeconds"] = 5.into();
                });
                self.session_checks.hand_made.lock(&lock, self.now);
            }
            (3, _, Some(session)) => {
                self.report.faults.count(Fault::SessionEnded);
                self.edit(&session, EditKind::Breaking, |lease| {
                    lease["spec"]["holderIdentity"] = "".into();
                });
                self.session_checks.hand_made.lock(&session, self.now);
                if let Some(owner) = self.session_checks.sessions.owner(&session) {
                    self.session_checks.hand_made.session(owner, self.now);
                }
            }
            _ => {}
        }
    }
}
