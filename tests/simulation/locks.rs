//! Users of locks: they wait, try, give up, work, and give back in every way there is.

use std::{sync::Arc, time::Duration};

use leasehold::{Error, Guard, Kubernetes, LockOptions, Sync as _, Tenure};
use leasehold_test_support::Rng;
use tokio::time::timeout;

use crate::{
    faults::Fault,
    post::{Holding, Letter, Post, Want},
    scene::{LOCKS, Scene},
};

/// What every task of a process has at hand.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) post: Post,
    pub(crate) sync: Arc<Kubernetes>,
    pub(crate) scene: Arc<Scene>,
    pub(crate) ttl: Duration,
}

impl Program {
    pub(crate) async fn until_stopped(self, work: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = self.post.stopped() => {}
            () = work => {}
        }
    }

    pub(crate) fn up_to(rng: &mut Rng, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).expect("a short time");
        Duration::from_millis(rng.between(1, most.max(2)))
    }

    /// A future that may be dropped at any of its awaits.
    pub(crate) async fn impatiently<T>(
        &self,
        rng: &mut Rng,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        if self.post.is_calm() || !rng.chance(self.scene.cancels) {
            return Some(future.await);
        }
        let most = if rng.chance(500) { self.ttl } else { Duration::from_millis(400) };
        let patience = Self::up_to(rng, most);
        let done = timeout(patience, future).await.ok();
        if done.is_none() {
            self.post.send(Letter::Met(Fault::Cancelled));
        }
        done
    }

    /// Reads and writes the guarded resource; whether the lock is still held is not asked, the token must do.
    pub(crate) async fn work(&self, rng: &mut Rng, name: &'static str, tenure: &Tenure) {
        let token = tenure.token().get();
        let Some(value) = self.post.access(name, token, None).await else { return };
        self.post.pause(Self::up_to(rng, self.scene.work)).await;
        self.post.access(name, token, Some(value + 1)).await;
        while self.post.is_calm() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}

/// One task that wants locks.
pub(crate) async fn worker(program: Program, mut rng: Rng) {
    let post = program.post.clone();
    loop {
        post.pause(Program::up_to(&mut rng, program.scene.think)).await;
        let name = rng.pick(LOCKS);
        let want = Want::new(&post, name);
        let options = LockOptions::default().ttl(program.ttl);
        let options = match rng.below(10) {
            _ if post.is_calm() => options,
            0..6 => options,
            6..8 => options.wait(Program::up_to(&mut rng, Duration::from_secs(12))),
            _ => options.try_once(),
        };
        let asked = program.impatiently(&mut rng, program.sync.lock(name, options)).await;
        match asked {
            Some(Ok(guard)) => hold(&program, &mut rng, name, guard).await,
            Some(Err(error)) => post.send(Letter::Saw(kind(&error))),
            None => {}
        }
        drop(want);
    }
}

async fn hold(program: &Program, rng: &mut Rng, name: &'static str, guard: Guard) {
    let post = &program.post;
    let holding = Holding::new(post, name, guard);
    let tenure = holding.tenure.clone();
    let mut working = Rng::new(rng.draw());
    let worked = program.impatiently(rng, program.work(&mut working, name, &tenure));
    tokio::select! {
        biased;
        _ = tenure.lost() => {}
        _ = worked => {}
    }
    match rng.below(10) {
        0..5 => {
            let Some(guard) = holding.end() else { return };
            let released = guard.release();
            post.given_back(name, &tenure);
            let done = program.impatiently(rng, released).await;
            post.send(Letter::Saw(done.map_or(7, |done| done.as_ref().map_or_else(kind, |()| 8))));
        }
        5..8 => {
            drop(holding);
            post.given_back(name, &tenure);
        }
        _ => {
            if let Some(guard) = holding.end() {
                let _ = guard.keep();
            }
            post.send(Letter::Unlocks { name });
            let done = program.impatiently(rng, program.sync.unlock(name)).await;
            if done.is_none() {
                // It is kept: somebody has to give it back.
                post.send(Letter::Unlocks { name });
                let _ = program.sync.unlock(name).await;
            }
            post.given_back(name, &tenure);
        }
    }
}

/// Which error, for the trace.
pub(crate) fn kind(error: &Error) -> u64 {
    match error {
        Error::Held { .. } | Error::Timeout { .. } => 1,
        Error::Lost { .. } => 2,
        Error::NotHeld { .. } => 3,
        Error::PermissionDenied { .. } => 4,
        Error::Unavailable { .. } => 5,
        Error::Closed { .. } => 6,
        Error::Rejected { .. } => 9,
        Error::InvalidRecord { .. } => 10,
        _ => 11,
    }
}
