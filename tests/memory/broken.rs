//! The suite itself: implementations that break one guarantee each, and the check that must notice.

use std::{fmt, panic::AssertUnwindSafe};

use futures::{FutureExt as _, future::BoxFuture};
use leasehold::{
    ElectWatcher, Error, Fault, Guard, Leader, LeaderOptions, ListMembersOptions, LockOptions,
    Member, Memory, Options, Result, WatchElectOptions,
    conformance::{CHECKS, Pair},
};

use crate::pair;

/// What an implementation gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sin {
    None,
    EveryLockIsFree,
    WaitIsIgnored,
    TimeToLiveOfLocksIsIgnored,
    TimeToLiveOfLeadsIsIgnored,
    NamesAreTrimmed,
    NamesAreLowercased,
    UnlockIsNeverAnError,
    UnlockDoesNothing,
    IdIsIgnored,
    MembersOfAllElections,
    MembersOfOwnNamespace,
    WatchOfAllElections,
    NobodyIsListed,
    CloseDoesNotWait,
}

#[derive(Debug)]
struct Broken(Memory, Sin);

impl Broken {
    fn name(&self, name: &str) -> String {
        match self.1 {
            Sin::NamesAreTrimmed => name.trim().into(),
            Sin::NamesAreLowercased => name.to_lowercase(),
            _ => name.into(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl leasehold::Sync for Broken {
    fn init(&self) -> BoxFuture<'_, Result<()>> {
        self.0.init()
    }

    fn options(&self) -> &Options {
        self.0.options()
    }

    fn leader<'a>(
        &'a self,
        name: &'a str,
        mut options: LeaderOptions,
    ) -> BoxFuture<'a, Result<Leader>> {
        match self.1 {
            Sin::TimeToLiveOfLeadsIsIgnored => {
                options = options.timing(LockOptions::default().timing);
            }
            Sin::IdIsIgnored => options.id = None,
            _ => {}
        }
        async move { self.0.leader(&self.name(name), options).await }.boxed()
    }

    fn list_members(&self, mut options: ListMembersOptions) -> BoxFuture<'_, Result<Vec<Member>>> {
        match self.1 {
            Sin::MembersOfAllElections => options.election = None,
            Sin::MembersOfOwnNamespace => options.namespace = None,
            Sin::NobodyIsListed => return async { Ok(Vec::new()) }.boxed(),
            _ => {}
        }
        self.0.list_members(options)
    }

    fn watch_elect(&self, mut options: WatchElectOptions) -> BoxFuture<'_, Result<ElectWatcher>> {
        if self.1 == Sin::WatchOfAllElections {
            options.id = None;
        }
        self.0.watch_elect(options)
    }

    fn lock<'a>(&'a self, id: &'a str, mut options: LockOptions) -> BoxFuture<'a, Result<Guard>> {
        let mut id = self.name(id);
        match self.1 {
            Sin::EveryLockIsFree => id = format!("{id}{}", self.0.requests()),
            Sin::WaitIsIgnored => options.wait = None,
            Sin::TimeToLiveOfLocksIsIgnored => options.timing = LockOptions::default().timing,
            _ => {}
        }
        async move { self.0.lock(&id, options).await }.boxed()
    }

    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        if self.1 == Sin::UnlockDoesNothing {
            return async { Ok(()) }.boxed();
        }
        async move {
            match (self.1, self.0.unlock(&self.name(id)).await) {
                (Sin::UnlockIsNeverAnError, Err(Error::NotHeld { .. })) => Ok(()),
                (_, result) => result,
            }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        if self.1 == Sin::CloseDoesNotWait {
            return async { Ok(()) }.boxed();
        }
        self.0.close()
    }

    fn backend(&self) -> &'static str {
        self.0.backend()
    }
}

/// The checks that fail on an implementation with `sin`.
async fn noticed_by(sin: Sin) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for check in CHECKS {
        let (a, b) = pair();
        let (a, b) = (Broken(a, sin), Broken(b, sin));
        let cut = |off: bool| a.0.disturb(off.then_some(Fault::LoseRequest));
        let run = check.run(Pair::new(&a, &b).other("other").cut(&cut));
        if AssertUnwindSafe(run).catch_unwind().await.is_err() {
            failed.push(check.name());
        }
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn each_broken_guarantee_is_noticed() {
    assert_eq!(noticed_by(Sin::None).await, [""; 0]);
    for (sin, check) in [
        (Sin::EveryLockIsFree, "a_held_lock_is_nobody_elses"),
        (Sin::WaitIsIgnored, "a_wait_ends_with_the_name_of_the_holder"),
        (Sin::TimeToLiveOfLocksIsIgnored, "the_time_to_live_of_a_lock_is_heeded"),
        (Sin::TimeToLiveOfLeadsIsIgnored, "the_time_to_live_of_a_lead_is_heeded"),
        (Sin::NamesAreTrimmed, "names_that_cannot_be_used_are_refused"),
        (Sin::NamesAreLowercased, "any_other_name_can_be_locked_and_is_its_own"),
        (Sin::UnlockIsNeverAnError, "nobody_unlocks_what_they_do_not_hold"),
        (Sin::UnlockDoesNothing, "a_kept_lock_is_held_until_unlocked"),
        (Sin::IdIsIgnored, "a_candidate_has_the_id_it_chose"),
        (Sin::MembersOfAllElections, "members_are_listed_by_election"),
        (Sin::MembersOfOwnNamespace, "members_are_listed_by_namespace"),
        (Sin::WatchOfAllElections, "a_watch_of_one_election_heeds_no_other"),
        (Sin::NobodyIsListed, "members_are_listed_with_their_roles"),
        (Sin::CloseDoesNotWait, "closing_waits_until_what_was_dropped_is_undone"),
    ] {
        let noticed = noticed_by(sin).await;
        assert!(noticed.contains(&check), "{sin:?} is noticed by {noticed:?}, not by {check}");
    }
}
