//! Tests of the conformance suite: each implementation here breaks one guarantee, and the matching check must fail.

use std::{fmt, panic::AssertUnwindSafe};

use futures::{FutureExt as _, future::BoxFuture};
use leasehold::{
    ElectWatcher, Error, Fault, Guard, Leader, LeaderOptions, ListMembersOptions, LockOptions,
    Member, Memory, Options, Result, WatchElectOptions,
    conformance::{CHECKS, Pair},
};

use crate::pair;

/// The guarantee that an implementation breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
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
    NoMemberIsListed,
    CloseDoesNotWait,
}

#[derive(Debug)]
struct Broken(Memory, Defect);

impl Broken {
    fn name(&self, name: &str) -> String {
        match self.1 {
            Defect::NamesAreTrimmed => name.trim().into(),
            Defect::NamesAreLowercased => name.to_lowercase(),
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
            Defect::TimeToLiveOfLeadsIsIgnored => {
                options = options.timing(LockOptions::default().timing);
            }
            Defect::IdIsIgnored => options.candidate_id = None,
            _ => {}
        }
        async move { self.0.leader(&self.name(name), options).await }.boxed()
    }

    fn list_members(&self, mut options: ListMembersOptions) -> BoxFuture<'_, Result<Vec<Member>>> {
        match self.1 {
            Defect::MembersOfAllElections => options.election = None,
            Defect::MembersOfOwnNamespace => options.namespace = None,
            Defect::NoMemberIsListed => return async { Ok(Vec::new()) }.boxed(),
            _ => {}
        }
        self.0.list_members(options)
    }

    fn watch_elect(&self, mut options: WatchElectOptions) -> BoxFuture<'_, Result<ElectWatcher>> {
        if self.1 == Defect::WatchOfAllElections {
            options.election = None;
        }
        self.0.watch_elect(options)
    }

    fn lock<'a>(&'a self, id: &'a str, mut options: LockOptions) -> BoxFuture<'a, Result<Guard>> {
        let mut id = self.name(id);
        match self.1 {
            Defect::EveryLockIsFree => id = format!("{id}{}", self.0.request_count()),
            Defect::WaitIsIgnored => options.wait = None,
            Defect::TimeToLiveOfLocksIsIgnored => options.timing = LockOptions::default().timing,
            _ => {}
        }
        async move { self.0.lock(&id, options).await }.boxed()
    }

    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        if self.1 == Defect::UnlockDoesNothing {
            return async { Ok(()) }.boxed();
        }
        async move {
            match (self.1, self.0.unlock(&self.name(id)).await) {
                (Defect::UnlockIsNeverAnError, Err(Error::NotHeld { .. })) => Ok(()),
                (_, result) => result,
            }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        if self.1 == Defect::CloseDoesNotWait {
            return async { Ok(()) }.boxed();
        }
        self.0.close()
    }

    fn backend(&self) -> &'static str {
        self.0.backend()
    }
}

/// The checks that fail on an implementation with `defect`.
async fn failed_checks(defect: Defect) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for check in CHECKS {
        let (a, b) = pair();
        let (a, b) = (Broken(a, defect), Broken(b, defect));
        let cut = |off: bool| a.0.disturb(off.then_some(Fault::LoseRequest));
        let run = check.run(Pair::new(&a, &b).other("other").cut(&cut));
        if AssertUnwindSafe(run).catch_unwind().await.is_err() {
            failed.push(check.name());
        }
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn the_conformance_suite_detects_each_broken_guarantee() {
    assert_eq!(failed_checks(Defect::None).await, [""; 0]);
    for (defect, check) in [
        (Defect::EveryLockIsFree, "a_held_lock_excludes_other_handles"),
        (Defect::WaitIsIgnored, "a_timeout_names_the_holder"),
        (Defect::TimeToLiveOfLocksIsIgnored, "a_lock_uses_its_time_to_live"),
        (Defect::TimeToLiveOfLeadsIsIgnored, "an_election_uses_its_time_to_live"),
        (Defect::NamesAreTrimmed, "invalid_names_are_rejected"),
        (Defect::NamesAreLowercased, "every_valid_name_is_a_lock_of_its_own"),
        (Defect::UnlockIsNeverAnError, "only_the_holder_can_unlock"),
        (Defect::UnlockDoesNothing, "a_kept_lock_is_held_until_unlock"),
        (Defect::IdIsIgnored, "a_candidate_uses_its_chosen_id"),
        (Defect::MembersOfAllElections, "members_are_listed_by_election"),
        (Defect::MembersOfOwnNamespace, "members_are_listed_by_namespace"),
        (Defect::WatchOfAllElections, "a_watch_reports_only_its_election"),
        (Defect::NoMemberIsListed, "members_are_listed_with_their_roles"),
        (Defect::CloseDoesNotWait, "close_waits_until_dropped_locks_are_released"),
    ] {
        let failed = failed_checks(defect).await;
        assert!(failed.contains(&check), "{defect:?} fails {failed:?}, but not {check}");
    }
}
