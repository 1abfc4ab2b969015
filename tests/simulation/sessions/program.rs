//! The tasks of a process with sessions: they open and end sessions, lock names in all modes, cancel, and release in
//! each way that the API offers.

use std::time::Duration;

use futures::future::join_all;
use leasehold::{Error, Guard, LockMode, LockOptions, Session, SessionOptions, Sync as _, Tenure};

use leasehold_test_support::Rng;

use super::{
    GPU, JOBS, ORDERS, PAIR, SLOTS, SessionKind,
    calls::{Calls, TrackedCall},
};
use crate::{
    channel::Message,
    checks::sessions::line::Mode,
    circumstance::MANY_NAMES,
    faults::Fault,
    program::{Program, error_code},
};

/// Opens one session after the other, and uses each with several tasks.
pub(crate) async fn run(program: Program, mut rng: Rng, calls: Calls, keeps_many: bool) {
    let channel = program.channel.clone();
    loop {
        let options = SessionOptions::default().ttl(program.ttl);
        let opened = tokio::select! {
            biased;
            () = channel.stopped() => return,
            opened = program.sync.session(options) => opened,
        };
        let session = match opened {
            Ok(session) => session,
            Err(error) => {
                channel.send(Message::Trace(error_code(&error)));
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let workers = (0..program.scenario.workers)
            .map(|_| worker(program.clone(), session.clone(), calls.clone(), Rng::new(rng.draw())));
        let workers: Vec<_> = workers.collect();
        let many: &[&str] = if keeps_many { &MANY_NAMES } else { &[] };
        let keepers =
            many.iter().map(|name| keeper(program.clone(), session.clone(), calls.clone(), name));
        let life = Program::random_duration(&mut rng, Duration::from_secs(300));
        let ended = async {
            channel.pause(life).await;
            if channel.faults_stopped() {
                std::future::pending::<()>().await;
            }
            // The tasks go on, so that their guards and waits end with the session.
            channel.send(Message::Fault(Fault::SessionClosed));
            channel.send(Message::SessionsEnded);
            let ended = session.end().await;
            channel.send(Message::Trace(ended.as_ref().map_or_else(error_code, |()| 8)));
        };
        tokio::select! {
            biased;
            () = channel.stopped() => {}
            _ = futures::future::join3(join_all(workers), join_all(keepers), ended) => continue,
        }
        if rng.chance(500) {
            let ended = session.end().await;
            channel.send(Message::Trace(ended.as_ref().map_or_else(error_code, |()| 8)));
        }
        return;
    }
}

/// Keeps one lock for as long as its session lives.
async fn keeper(program: Program, session: Session, calls: Calls, name: &'static str) {
    loop {
        let mut call = TrackedCall::new(&program.channel, &calls, (name, Mode::Exclusive), 1);
        match session.lock(name, LockOptions::default()).await {
            Ok(guard) => _ = call.granted(guard).lost().await,
            Err(Error::Closed { .. }) => return,
            Err(error) => program.channel.send(Message::Trace(error_code(&error))),
        }
        drop(call);
    }
}

/// Takes locks again and again, until the session is closed.
async fn worker(program: Program, session: Session, calls: Calls, mut rng: Rng) {
    let channel = program.channel.clone();
    loop {
        channel.pause(Program::random_duration(&mut rng, program.scenario.think_time)).await;
        if rng.chance(50) && !channel.faults_stopped() {
            let line = session.queue(ORDERS).await;
            channel.send(Message::Trace(line.map_or(20, |line| 100 + line.waiters.len() as u64)));
        }
        let names: &[&'static str] = match rng.below(10) {
            _ if program.scenario.sessions == Some(SessionKind::ForeignElector)
                && rng.chance(600) =>
            {
                &[ORDERS]
            }
            0..3 => &[ORDERS],
            3..6 => &[JOBS],
            6..8 => &[GPU],
            8 => &PAIR,
            _ => &[PAIR[1], PAIR[0]],
        };
        if use_locks(&program, &session, &calls, &mut rng, names).await {
            return;
        }
    }
}

/// Locks these names, works and releases. True if the session is closed.
async fn use_locks(
    program: &Program,
    session: &Session,
    calls: &Calls,
    rng: &mut Rng,
    names: &[&'static str],
) -> bool {
    let channel = &program.channel;
    let calm = channel.faults_stopped();
    let mode = match names[0] {
        ORDERS if rng.chance(500) => LockMode::Shared,
        GPU if rng.chance(30) && !calm => LockMode::Slots(SLOTS + 1),
        GPU => LockMode::Slots(SLOTS),
        _ => LockMode::Exclusive,
    };
    let (options, kind) = match mode {
        LockMode::Shared => (LockOptions::default().shared(), Mode::Shared),
        LockMode::Slots(slots) => (LockOptions::default().slots(slots), Mode::Slots(slots)),
        _ => (LockOptions::default(), Mode::Exclusive),
    };
    let options = match rng.below(10) {
        _ if calm => options,
        0..6 => options,
        6..8 => options.wait(Program::random_duration(rng, Duration::from_secs(12))),
        _ => options.try_once(),
    };
    let count = names.len() as u64;
    let tracked = names.iter().map(|name| TrackedCall::new(channel, calls, (name, kind), count));
    let mut tracked: Vec<_> = tracked.collect();
    let acquire = async {
        match names {
            [name] => session.lock(name, options).await.map(|guard| vec![guard]),
            _ => session.lock_all(names, options).await,
        }
    };
    let guards: Vec<Guard> = match program.maybe_cancelled(rng, acquire).await {
        Some(Ok(guards)) => guards,
        Some(Err(error)) => {
            channel.send(Message::Trace(error_code(&error)));
            if matches!(error, Error::OtherMode { .. }) {
                channel.send(Message::Fault(Fault::OtherMode));
            }
            return matches!(error, Error::Closed { .. });
        }
        None => return false,
    };
    let granted = tracked.iter_mut().zip(guards).map(|(call, guard)| call.granted(guard));
    let tenures: Vec<Tenure> = granted.collect();
    let yields = rng.chance(300);
    let mut work_rng = Rng::new(rng.draw());
    let work = work(program, &mut work_rng, names[0], kind, &tenures[0]);
    let worked = program.maybe_cancelled(rng, work);
    tokio::select! {
        biased;
        _ = tenures[0].lost() => {}
        () = tenures[0].requested(), if yields => {}
        _ = worked => {}
    }
    for (call, (name, tenure)) in tracked.into_iter().zip(names.iter().zip(tenures)) {
        release(program, session, rng, call, name, &tenure).await;
    }
    false
}

async fn release(
    program: &Program,
    session: &Session,
    rng: &mut Rng,
    call: TrackedCall,
    name: &'static str,
    tenure: &Tenure,
) {
    let channel = &program.channel;
    match rng.below(20) {
        0..10 => {
            let Some(guard) = call.end() else { return };
            let released = guard.release();
            channel.check_released(name, tenure);
            let done = program.maybe_cancelled(rng, released).await;
            channel.send(Message::Trace(
                done.map_or(7, |done| done.as_ref().map_or_else(error_code, |()| 8)),
            ));
        }
        10..19 => {
            drop(call);
            channel.check_released(name, tenure);
        }
        _ => {
            if let Some(guard) = call.end() {
                let _ = guard.keep();
            }
            let done = program.maybe_cancelled(rng, session.unlock(name)).await;
            if done.is_none() {
                // The guard was kept, so only another `unlock` releases the lock.
                let _ = session.unlock(name).await;
            }
            channel.check_released(name, tenure);
        }
    }
}

/// Reads the guarded resource and later writes it. Slots have a resource each; shared holders only read.
///
/// Deliberately does not ask whether the lock is still held: the token alone must protect the resource.
async fn work(program: &Program, rng: &mut Rng, name: &'static str, mode: Mode, tenure: &Tenure) {
    let resource = match (mode, tenure.slot()) {
        (Mode::Slots(_), Some(slot)) => ["gpu/0", "gpu/1", "gpu/2"][usize::from(slot)],
        _ => name,
    };
    let token = tenure.token().get();
    let pause = if program.channel.faults_stopped() {
        Duration::from_millis(rng.between(1, 500))
    } else {
        Program::random_duration(rng, program.scenario.work_time)
    };
    if mode == Mode::Shared {
        return program.channel.pause(pause).await;
    }
    let Some(value) = program.channel.access(resource, token, None).await else { return };
    program.channel.pause(pause).await;
    program.channel.access(resource, token, Some(value + 1)).await;
}
