//! The work under a lock, read before a pause and written after it.
//!
//! | lock | work |
//! |---|---|
//! | `orders` | one update of each of three files, with another guard for each |
//! | `gpu` | an update of the file of the slot, which the resource keeps |
//! | `index` | exclusive: an update of one file, which the resource keeps; shared: read that file twice |

use std::{fs, path::PathBuf};

use leasehold::Guard;

use crate::{
    event::{Event, Fence, Lock, Mode, now},
    member::{Broken, Member},
    resource::Reply,
    updates,
};

/// What was read, to be changed and written.
#[derive(Debug)]
pub(crate) enum Work {
    Orders {
        token: u64,
        absent: Vec<u64>,
        check: Vec<u64>,
        fenced: Fenced,
    },
    Fenced(Fenced),
    /// The contents that a shared holder has read, unless the resource refused the token.
    Shared(u64, Option<Vec<u64>>),
}

/// A file that the resource keeps.
#[derive(Debug)]
pub(crate) struct Fenced {
    fence: Fence,
    file: &'static str,
    token: u64,
    /// None if the resource refused the token.
    updates: Option<Vec<u64>>,
}

const INDEX: &str = Fence::Index.files()[0];

impl Work {
    pub(crate) fn read(member: &mut Member, mode: Mode, token: u64) -> Self {
        match (member.lock, mode) {
            (Lock::Orders, _) => {
                let read = |fence| updates::read(&member.path(fence)).expect("the file");
                let (absent, check) = (read(Fence::Absent), read(Fence::Check));
                let fenced = Fenced::read(member, Fence::Token, 0, token);
                Self::Orders { token, absent, check, fenced }
            }
            (_, Mode::Shared) => {
                let reply = member.resource.read_shared(INDEX, token).expect("the resource");
                Self::Shared(token, accepted(member, Fence::Index, reply))
            }
            (_, Mode::Slot(slot)) => Self::Fenced(Fenced::read(member, Fence::Slot, slot, token)),
            (_, Mode::Exclusive) => Self::Fenced(Fenced::read(member, Fence::Index, 0, token)),
        }
    }

    pub(crate) fn write(self, member: &mut Member, guard: &Guard) {
        match self {
            Self::Orders { token, absent, check, fenced } => {
                write_absent(member, token, absent);
                fenced.write(member);
                write_checked(member, guard, check);
            }
            Self::Fenced(fenced) => fenced.write(member),
            Self::Shared(token, first) => {
                let reply = member.resource.read_shared(INDEX, token).expect("the resource");
                let second = accepted(member, Fence::Index, reply);
                if let (Some(first), Some(second)) = (first, second) {
                    member.report(&Event::ReadTwice { same: first == second });
                }
            }
        }
    }
}

/// The contents, unless the resource refused the token.
fn accepted(member: &mut Member, fence: Fence, reply: Reply) -> Option<Vec<u64>> {
    match reply {
        Reply::Holds(updates) => Some(updates),
        Reply::Refused => {
            member.report(&Event::Refused { fence });
            None
        }
    }
}

impl Fenced {
    fn read(member: &mut Member, fence: Fence, file: u16, token: u64) -> Self {
        let file = fence.files()[usize::from(file)];
        let reply = member.resource.access(file, token, None).expect("the resource");
        Self { fence, file, token, updates: accepted(member, fence, reply) }
    }

    /// The resource decides alone: the member does not check whether it still holds.
    fn write(self, member: &mut Member) {
        let Self { fence, file, token, updates } = self;
        let Some(mut updates) = updates else { return };
        let id = member.tries(fence, token, &mut updates);
        let reply = member.resource.access(file, token, Some(updates)).expect("the resource");
        if accepted(member, fence, reply).is_some() {
            member.report(&Event::Acknowledged { fence, id, at: now(), until: 0 });
        }
    }
}

fn write_absent(member: &mut Member, token: u64, mut updates: Vec<u64>) {
    let fence = Fence::Absent;
    let id = member.tries(fence, token, &mut updates);
    let (path, temporary) = (member.path(fence), member.temporary(fence));
    updates::write(&path, &temporary, &updates).expect("the file");
    member.report(&Event::Acknowledged { fence, id, at: now(), until: 0 });
}

/// The new file is ready before the check, so that only the rename comes after it.
fn write_checked(member: &mut Member, guard: &Guard, mut updates: Vec<u64>) {
    let fence = Fence::Check;
    let id = member.tries(fence, guard.token().get(), &mut updates);
    let (path, temporary) = (member.path(fence), member.temporary(fence));
    updates::prepare(&temporary, &updates).expect("the file");
    let until = member.believes(guard);
    let checked = member.orders.broken == Broken::Deadline || guard.check().is_ok();
    let Some(until) = until.filter(|_| checked) else {
        return member.report(&Event::Refused { fence });
    };
    fs::rename(&temporary, &path).expect("the file");
    member.report(&Event::Acknowledged { fence, id, at: now(), until });
}

impl Member {
    fn path(&self, fence: Fence) -> PathBuf {
        self.orders.directory.join(fence.files()[0])
    }

    /// A file that only this process writes.
    fn temporary(&self, fence: Fence) -> PathBuf {
        self.orders.directory.join(format!("{}.{}", fence.files()[0], self.orders.life))
    }

    /// Adds an update to the contents, and reports that it is about to be written.
    fn tries(&mut self, fence: Fence, token: u64, updates: &mut Vec<u64>) -> u64 {
        let id = self.number();
        let base = updates.last().copied().unwrap_or_default();
        updates.push(id);
        self.report(&Event::Tries { fence, id, base, token });
        id
    }

    /// A number for a new update, unique in the run.
    fn number(&mut self) -> u64 {
        const MOST: u64 = 1_000_000;
        self.made += 1;
        (self.orders.life * 10 + self.lock as u64) * MOST + self.made
    }
}
