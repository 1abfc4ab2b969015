//! The Kubernetes backend on a real kube-apiserver and etcd.

mod support;

use std::time::Duration;

use leasehold::{Error, Kubernetes, LeaderOptions, LockOptions, Options, Sync as _};
use support::{ADMIN, ControlPlane};

#[tokio::test]
async fn first_thread() {
    let _ = tracing_subscriber::fmt().with_env_filter("leasehold=debug").try_init();
    let plane = ControlPlane::shared().await;
    let ns = plane.namespace().await;
    let a =
        Kubernetes::from_config(plane.config(ADMIN), Options::default().namespace(&ns)).unwrap();
    let b =
        Kubernetes::from_config(plane.config(ADMIN), Options::default().namespace(&ns)).unwrap();
    a.init().await.unwrap();
    let held = a.lock("orders", LockOptions::default()).await.unwrap();
    println!("{held:?}");
    let busy = b.lock("orders", LockOptions::default().try_once()).await;
    assert!(matches!(busy, Err(Error::Timeout { .. })), "{busy:?}");
    println!("{:?}", plane.audit_of(|r| r.namespace == ns));
    let waiting = tokio::spawn(async move {
        let guard = b.lock("orders", LockOptions::default()).await.unwrap();
        (guard, b)
    });
    tokio::time::sleep(Duration::from_secs(7)).await;
    let token = held.token();
    let t = std::time::Instant::now();
    held.release().await.unwrap();
    println!("released {:?}", t.elapsed());
    let (guard, b) = waiting.await.unwrap();
    println!("handed over {:?}", t.elapsed());
    assert!(guard.token() > token);
    guard.release().await.unwrap();
    println!("{:?}", plane.audit_of(|r| r.namespace == ns));
    let la = a.leader("e", LeaderOptions::default()).await.unwrap();
    let lb = b.leader("e", LeaderOptions::default()).await.unwrap();
    println!("{la:?} {lb:?} {:?}", a.list_members(Default::default()).await.unwrap());
    la.resign().await.unwrap();
    let g = lb.elected().await.unwrap();
    println!("{g:?} {:?}", a.list_members(Default::default()).await.unwrap());
    println!("{:?}", plane.audit_of(|r| r.namespace == ns));
}
