//! The work under the lock: one update of each file, read before a pause and written after it.

use std::{fs, path::PathBuf};

use leasehold::Guard;

use crate::{
    event::{Event, Fence, now},
    member::{Broken, Member},
    resource::Reply,
    updates,
};

/// The contents of the files: read, then changed and written.
#[derive(Debug)]
pub(crate) struct Work {
    token: u64,
    absent: Vec<u64>,
    check: Vec<u64>,
    /// None if the resource refused the token.
    fenced: Option<Vec<u64>>,
}

impl Work {
    pub(crate) fn read(member: &mut Member, token: u64) -> Self {
        let read = |fence| updates::read(&member.path(fence)).expect("the file");
        let (absent, check) = (read(Fence::Absent), read(Fence::Check));
        let fenced = match member.resource.access(token, None).expect("the resource") {
            Reply::Holds(updates) => Some(updates),
            Reply::Refused => {
                member.report(&Event::Refused { fence: Fence::Token });
                None
            }
        };
        Self { token, absent, check, fenced }
    }

    pub(crate) fn write(mut self, member: &mut Member, guard: &Guard) {
        self.write_absent(member);
        self.write_fenced(member);
        self.write_checked(member, guard);
    }

    fn write_absent(&mut self, member: &mut Member) {
        let fence = Fence::Absent;
        let id = self.tries(member, fence);
        let (path, temporary) = (member.path(fence), member.temporary(fence));
        updates::write(&path, &temporary, &self.absent).expect("the file");
        member.report(&Event::Acknowledged { fence, id, at: now(), until: 0 });
    }

    /// The resource decides alone: the member does not check whether it still holds.
    fn write_fenced(&mut self, member: &mut Member) {
        let fence = Fence::Token;
        if self.fenced.is_none() {
            return;
        }
        let id = self.tries(member, fence);
        let updates = self.fenced.take();
        let event = match member.resource.access(self.token, updates).expect("the resource") {
            Reply::Holds(_) => Event::Acknowledged { fence, id, at: now(), until: 0 },
            Reply::Refused => Event::Refused { fence },
        };
        member.report(&event);
    }

    /// The new file is ready before the check, so that only the rename comes after it.
    fn write_checked(&mut self, member: &mut Member, guard: &Guard) {
        let fence = Fence::Check;
        let id = self.tries(member, fence);
        let (path, temporary) = (member.path(fence), member.temporary(fence));
        updates::prepare(&temporary, &self.check).expect("the file");
        let until = member.believes(guard);
        let checked = member.orders.broken == Broken::Deadline || guard.check().is_ok();
        let Some(until) = until.filter(|_| checked) else {
            return member.report(&Event::Refused { fence });
        };
        fs::rename(&temporary, &path).expect("the file");
        member.report(&Event::Acknowledged { fence, id, at: now(), until });
    }

    /// Adds an update to the contents, and reports that it is about to be written.
    fn tries(&mut self, member: &mut Member, fence: Fence) -> u64 {
        let id = member.number();
        let updates = match fence {
            Fence::Absent => &mut self.absent,
            Fence::Check => &mut self.check,
            Fence::Token => self.fenced.get_or_insert_default(),
        };
        let base = updates.last().copied().unwrap_or_default();
        updates.push(id);
        member.report(&Event::Tries { fence, id, base, token: self.token });
        id
    }
}

impl Member {
    fn path(&self, fence: Fence) -> PathBuf {
        self.orders.directory.join(fence.file())
    }

    /// A file that only this process writes.
    fn temporary(&self, fence: Fence) -> PathBuf {
        self.orders.directory.join(format!("{}.{}", fence.file(), self.orders.life))
    }

    /// A number for a new update, unique in the run.
    fn number(&mut self) -> u64 {
        self.made += 1;
        self.orders.life * 1_000_000 + self.made
    }
}
