//! The embedded backend.
use std::time::Duration;

use leasehold::{Error, LeaderOptions, LockOptions, Memory, Options, Sync as _};

#[tokio::test(start_paused = true)]
async fn first_thread() {
    let a = Memory::default();
    let b = a.another(Options::default()).unwrap();
    let held = a.lock("orders", LockOptions::default()).await.unwrap();
    println!("{held:?}");
    let busy = b.lock("orders", LockOptions::default().try_once()).await;
    assert!(matches!(busy, Err(Error::Timeout { .. })), "{busy:?}");
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(held.is_held());
    let b2 = tokio::spawn(async move {
        let g = b.lock("orders", LockOptions::default()).await.unwrap();
        println!("{g:?}");
        (g, b)
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let t = held.token();
    held.release().await.unwrap();
    let (g, b) = b2.await.unwrap();
    assert!(g.token() > t);
    drop(g);
    let l = b.leader("e", LeaderOptions::default()).await.unwrap();
    println!("{l:?}");
    let l2 = a.leader("e", LeaderOptions::default()).await.unwrap();
    println!("{l2:?} {:?}", a.list_members(Default::default()).await.unwrap());
    l.resign().await.unwrap();
    let g = l2.elected().await.unwrap();
    println!("{g:?} {:?}", a.list_members(Default::default()).await.unwrap());
}
