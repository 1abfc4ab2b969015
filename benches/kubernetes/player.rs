//! A small program that the benchmark starts: `player THREADS NAMESPACE PART`.
//!
//! THREADS is `one` or `several`, the threads of its runtime. PART is one argument: `lead ELECTION`, `follow ELECTION`,
//! `lock NAME`, `hold COUNT` or `wait COUNT` (both acquire that many locks, of the same names), `session-lock NAME`,
//! `session-hold COUNT` or `session-wait COUNT` (the same through one session), or `pairs COUNT` (locks and releases
//! that many names in a row). The program has no other dependencies, because the benchmark measures its memory. It
//! prints one word when it is where it should be.

#![expect(clippy::print_stdout, reason = "prints one word when it is ready")]

use std::error::Error;

use futures::future::try_join_all;
use leasehold::{
    DynSync, Guard, Kubernetes, LeaderOptions, LockOptions, Loss, Options, SessionOptions,
    Sync as _,
};
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [threads, namespace, part] = &arguments[..] else {
        return Err("usage: player THREADS NAMESPACE PART".into());
    };
    let mut builder = match &**threads {
        "one" => Builder::new_current_thread(),
        "several" => Builder::new_multi_thread(),
        _ => return Err(format!("no such number of threads: {threads}").into()),
    };
    builder.enable_all().build()?.block_on(play(namespace, part))
}

async fn play(namespace: &str, part: &str) -> Result<(), Box<dyn Error>> {
    let sync = Kubernetes::connect(Options::default().namespace(namespace)).await?;
    match part.split_once(' ') {
        Some(("lead", election)) => {
            let leader = sync.leader(election, LeaderOptions::default()).await?;
            let _guard = leader.elected().await?;
            print_and_wait("leading").await
        }
        Some(("follow", election)) => {
            let _leader = sync.leader(election, LeaderOptions::default()).await?;
            print_and_wait("following").await
        }
        Some(("lock", name)) => lock(&sync, name).await,
        Some(("session-lock", name)) => {
            let session = sync.session(SessionOptions::default()).await?;
            lock(&session, name).await
        }
        Some(("hold" | "wait", count)) => hold(&sync, count.parse()?).await,
        Some(("session-hold" | "session-wait", count)) => {
            let session = sync.session(SessionOptions::default()).await?;
            hold(&session, count.parse()?).await
        }
        Some(("pairs", count)) => {
            for number in 0..count.parse::<u32>()? {
                let name = format!("pair-{number}");
                sync.lock(&name, LockOptions::default()).await?.release().await?;
            }
            print_and_wait("done").await
        }
        _ => Err(format!("no such part: {part}").into()),
    }
}

/// Acquires one lock.
async fn lock(sync: &DynSync, name: &str) -> Result<(), Box<dyn Error>> {
    let _guard = sync.lock(name, LockOptions::default()).await?;
    print_and_wait("locked").await
}

/// Acquires `count` locks, reports each one that is lost, and releases all of them when its input ends.
async fn hold(sync: &DynSync, count: u32) -> Result<(), Box<dyn Error>> {
    let names: Vec<_> = (0..count).map(|number| format!("lock-{number}")).collect();
    let guards =
        try_join_all(names.iter().map(|name| sync.lock(name, LockOptions::default()))).await?;
    println!("holding");
    for guard in &guards {
        let tenure = guard.tenure();
        tokio::spawn(async move {
            let why = tenure.lost().await;
            if why != Loss::Released {
                println!("lost {} {why:?}", tenure.name());
            }
        });
    }
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    end.await?;
    try_join_all(guards.into_iter().map(Guard::release)).await?;
    println!("released");
    Ok(())
}

/// Prints `word`, and then waits until the process is killed.
async fn print_and_wait(word: &str) -> Result<(), Box<dyn Error>> {
    println!("{word}");
    std::future::pending().await
}
