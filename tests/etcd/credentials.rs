//! Passwords and certificates in files, which are replaced while a lock is held.

use std::{fs, path::PathBuf};

use leasehold::{Etcd, EtcdOptions, LockOptions, Sync as _};
use leasehold_test_support::{EtcdCluster, Proxy};
use tempfile::TempDir;

use super::{options, secs};

/// Writes a file that a reader sees as a whole.
fn replace(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(path.with_extension("new"), text).unwrap();
    fs::rename(path.with_extension("new"), &path).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_file_may_change_during_a_hold() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    cluster.require_users("shop", "secret", "/shop/").await;
    let directory = tempfile::tempdir().unwrap();
    let user =
        EtcdOptions::default().user_with_file("shop", replace(&directory, "password", "secret\n"));
    let sync = Etcd::connect_with(user, options(&cluster, "/shop")).await.unwrap();
    let guard = sync.lock("x", LockOptions::default().ttl(secs(4))).await.unwrap();

    replace(&directory, "password", "other\n");
    cluster.set_password("shop", "other").await;

    let lost = tokio::time::timeout(secs(8), guard.lost()).await;
    assert!(lost.is_err(), "{lost:?}");
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_in_a_file_may_be_replaced_during_a_hold() {
    let Some(cluster) = EtcdCluster::start_with(1, &[], true).await else { return };
    let directory = tempfile::tempdir().unwrap();
    let set = |valid: u64| {
        let (certificate, key) = cluster.client_certificate(secs(valid));
        [replace(&directory, "tls.crt", &certificate), replace(&directory, "tls.key", &key)]
    };
    let [certificate, key] = set(12);
    let authority = replace(&directory, "ca.crt", &cluster.certificates().0);
    let proxy = Proxy::start(cluster.address(0)).await;
    let nodes = [format!("127.0.0.1:{}", proxy.port())];
    let etcd = EtcdOptions::default().authority_file(authority).certificate_files(certificate, key);
    let sync = Etcd::connect_with(etcd, options(&cluster, "").nodes(nodes)).await.unwrap();
    let guard = sync.lock("x", LockOptions::default().ttl(secs(5))).await.unwrap();

    // The connection outlives its certificate. The next connection needs the new one.
    set(600);
    tokio::time::sleep(secs(13)).await;
    guard.check().unwrap();
    proxy.reset();

    let lost = tokio::time::timeout(secs(8), guard.lost()).await;
    assert!(lost.is_err(), "{lost:?}");
    guard.release().await.unwrap();
}

/// The authority of the nodes is replaced, and the runtime on which connections are made again is another one.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_again_when_no_node_can_be_reached() {
    let Some(cluster) = EtcdCluster::start_with(1, &[], true).await else { return };
    let directory = tempfile::tempdir().unwrap();
    let (authority, certificate, key) = cluster.certificates();
    let wrong = replace(&directory, "ca.crt", &certificate);
    let etcd = EtcdOptions::default().authority_file(wrong).certificate(certificate, key);
    let sync = Etcd::connect_with(etcd, options(&cluster, "")).await.unwrap();
    let attempt = LockOptions::default().wait(secs(1));
    sync.lock("x", attempt).await.unwrap_err();

    replace(&directory, "ca.crt", "half of a");
    sync.lock("x", attempt).await.unwrap_err();
    replace(&directory, "ca.crt", &authority);

    let of_short_life = sync.clone();
    let lock = async move { of_short_life.lock("x", LockOptions::default().wait(secs(5))).await };
    let guard = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(lock).unwrap()
    });
    guard.join().unwrap().release().await.unwrap();
    sync.lock("y", LockOptions::default().wait(secs(5))).await.unwrap().release().await.unwrap();
}
