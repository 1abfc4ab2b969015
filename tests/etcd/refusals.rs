//! What etcd refuses: users, keys, space, certificates.

use futures::future::join_all;
use leasehold::{Error, Etcd, EtcdOptions, LockOptions, Loss, Options, SessionOptions, Sync as _};
use leasehold_test_support::EtcdCluster;

use super::{handle, options, secs, until};

fn once() -> LockOptions {
    LockOptions::default().try_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_use_the_keys_with_its_prefix_alone() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    cluster.require_users("shop", "secret", "/shop/").await;
    let connect = async |user: Option<(&str, &str)>, prefix: &str| {
        let etcd = EtcdOptions::default();
        let etcd = user.map_or(etcd.clone(), |(user, password)| etcd.user(user, password));
        Etcd::connect_with(etcd, options(&cluster, prefix)).await.unwrap()
    };

    let sync = connect(Some(("shop", "secret")), "/shop").await;
    sync.init().await.unwrap();
    let guard = sync.lock("x", once()).await.unwrap();
    let session = sync.session(SessionOptions::default()).await.unwrap();
    session.lock("y", once()).await.unwrap().release().await.unwrap();
    session.end().await.unwrap();

    for (user, prefix, words) in [
        (Some(("shop", "secret")), "/other", "key /other/default/"),
        (Some(("shop", "wrong")), "/shop", "Check the user and the password"),
        (Some(("nobody", "x")), "/shop", "Check the user and the password"),
        (None, "/shop", "Check the user and the password"),
    ] {
        let sync = connect(user, prefix).await;
        for refused in [sync.init().await, sync.lock("z", once()).await.map(drop)] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }

    // The node forgets all tokens.
    cluster.kill(0);
    cluster.restart(0).await;
    guard.check().unwrap();
    guard.release().await.unwrap();
    sync.lock("x", once()).await.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_authenticated_also_if_etcd_asks_for_one_later() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    let user = EtcdOptions::default().user("shop", "secret");
    let sync = Etcd::connect_with(user, options(&cluster, "/shop")).await.unwrap();
    let guard = sync.lock("x", LockOptions::default().ttl(secs(6))).await.unwrap();
    let session = sync.session(SessionOptions::default().ttl(secs(6))).await.unwrap();
    let held = session.lock("y", once()).await.unwrap();

    cluster.require_users("shop", "secret", "/shop/").await;

    tokio::time::sleep(secs(7)).await;
    guard.check().unwrap();
    held.check().unwrap();
    sync.init().await.unwrap();
    held.release().await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_to_many_watches_is_replaced_once() {
    const SESSIONS: u64 = 12;
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    cluster.require_users("shop", "secret", "/shop/").await;
    let user = EtcdOptions::default().user("shop", "secret");
    let sync = Etcd::connect_with(user, options(&cluster, "/shop")).await.unwrap();
    let open = (0..SESSIONS).map(|_| sync.session(SessionOptions::default()));
    let sessions: Vec<_> = join_all(open).await.into_iter().map(Result::unwrap).collect();
    let before = cluster.authentications().await;

    // etcd forgets the tokens of the user.
    cluster.set_password("shop", "secret").await;
    let mut held = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        held.push(session.lock(&format!("lock-{number}"), once()).await.unwrap());
        tokio::time::sleep(secs(1) / 10).await;
    }
    // A lock that is held for a second is watched, on a stream that has the earlier token.
    tokio::time::sleep(secs(3)).await;

    let more = cluster.authentications().await - before;
    // One of them is that of the test.
    assert!(more <= 4, "{more} authentications");
    assert!(held.iter().all(|guard| guard.is_held()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_space_ends_a_tenure_in_time_and_the_error_says_so() {
    let quota = ["--quota-backend-bytes=1000000"];
    let Some(cluster) = EtcdCluster::start_with(1, &quota, false).await else { return };
    let sync = handle(&cluster, "").await;
    let guard = sync.lock("x", LockOptions::default().ttl(secs(4))).await.unwrap();

    while cluster.try_put("/filler", &"x".repeat(100_000)).await {}

    let refused = sync.init().await.unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("database space exceeded"), "{refused:?}");
    assert!(cause.contains("disarm the alarm"), "{cause}");
    assert_eq!(guard.lost().await, Loss::Expired);
    // What is stored can still be read.
    let members = sync.list_members(leasehold::ListMembersOptions::default()).await;
    assert!(members.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_requires_certificates_gets_one() {
    let Some(cluster) = EtcdCluster::start_with(1, &[], true).await else { return };
    let (authority, certificate, key) = cluster.certificates();
    let etcd = EtcdOptions::default().authority(authority.clone());

    let with = etcd.clone().certificate(certificate, key);
    let sync = Etcd::connect_with(with, options(&cluster, "")).await.unwrap();
    until("etcd to accept requests", async || sync.init().await.is_ok()).await;
    sync.lock("x", once()).await.unwrap().release().await.unwrap();

    for without in [etcd, EtcdOptions::default().tls()] {
        let sync = Etcd::connect_with(without, options(&cluster, "")).await.unwrap();
        let refused = sync.init().await.unwrap_err();
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn options_that_cannot_be_used_are_refused_at_once() {
    for (node, bound) in [
        ("ftp://x:1", "http://HOST:PORT or https://HOST:PORT"),
        ("a b", "http://HOST:PORT or https://HOST:PORT"),
        ("http://x:1", "must not begin with http://"),
        ("https://x:1/vine/sync", "http://HOST:PORT or https://HOST:PORT"),
        ("https://x:1?a", "http://HOST:PORT or https://HOST:PORT"),
        ("https://ann:secret@x:1", "`EtcdOptions::user`"),
        ("ann:secret@x:1", "`EtcdOptions::user`"),
    ] {
        let etcd = EtcdOptions::default().tls();
        let refused = Etcd::connect_with(etcd, Options::default().nodes([node])).await.unwrap_err();
        assert!(refused.to_string().contains(bound), "{refused}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    let etcd = EtcdOptions::default().authority("no certificate");
    let refused = Etcd::connect_with(etcd, Options::default()).await;
    assert!(matches!(refused, Err(Error::Config { .. })), "{refused:?}");
}
