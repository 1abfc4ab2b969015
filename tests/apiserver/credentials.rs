//! Credentials that change while a lock is held: those of a plugin, of a token file, and of the files of a client
//! certificate. The file of the server's authorities changes too.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount};
use kube::{
    Api, Config,
    api::{DeleteParams, PostParams},
    config::{AuthInfo, ExecConfig},
};
use leasehold::{ClusterOptions, Guard, Kubernetes, LockOptions, Sync as _};
use leasehold_test_support::{ADMIN, Rule};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{Duration, POLL, Place};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A plugin, as a script in a directory of its own.
pub(super) struct Plugin(TempDir);

impl Plugin {
    /// Runs `lines`, and then prints the answer. `@END@` in the answer is `life` seconds later.
    pub(super) fn new(lines: &str, life: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\ncd '{}' || exit\necho call >> calls\nmkdir running || echo overlap >> overlaps\n{lines}\n\
             sed \"s/@END@/$(date -u -d '+{life} seconds' +%Y-%m-%dT%H:%M:%SZ)/\" answer\nrmdir running\n",
            directory.path().display(),
        );
        let plugin = Self(directory);
        fs::write(plugin.path("plugin"), script).unwrap();
        fs::set_permissions(plugin.path("plugin"), fs::Permissions::from_mode(0o700)).unwrap();
        plugin
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Sets the `status` that it prints from now on.
    pub(super) fn answer(&self, status: &Value) {
        let answer = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status,
        });
        replace(&self.path("answer"), &answer.to_string());
    }

    pub(super) fn set(&self, config: &mut Config) {
        let exec: ExecConfig = serde_json::from_value(json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": self.path("plugin"),
            "interactiveMode": "Never",
        }))
        .unwrap();
        config.auth_info = AuthInfo { exec: Some(exec), ..AuthInfo::default() };
    }

    pub(super) fn calls(&self) -> usize {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().count()
    }

    pub(super) fn overlapped(&self) -> bool {
        self.path("overlaps").exists()
    }
}

/// A reader sees the old text or the new one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// A service account that may use Leases, and its token.
async fn account(place: &Place, name: &str) -> String {
    let accounts: Api<ServiceAccount> =
        Api::namespaced(place.plane.client(ADMIN), &place.namespace);
    let account = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let user = format!("system:serviceaccount:{}:{name}", place.namespace);
    let verbs = ["get", "create", "update", "list", "watch", "delete"];
    place.plane.allow(&user, &place.namespace, &[Rule::leases(&verbs)]).await;
    let request: TokenRequest =
        serde_json::from_value(json!({ "spec": { "audiences": [] } })).unwrap();
    let issued =
        accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    issued.status.unwrap().token
}

/// Deletes a service account. The server refuses its token at most 10 s later.
async fn delete(place: &Place, name: &str) {
    let accounts: Api<ServiceAccount> =
        Api::namespaced(place.plane.client(ADMIN), &place.namespace);
    accounts.delete(name, &DeleteParams::default()).await.unwrap();
}

async fn acquire(sync: &Kubernetes) -> Guard {
    sync.lock("orders", LockOptions::default().wait(secs(60))).await.unwrap()
}

async fn hold_on(held: &Guard, time: Duration) {
    let lost = timeout(time, held.lost()).await;
    assert!(lost.is_err(), "lost: {lost:?}");
}

#[tokio::test]
async fn a_token_without_an_end_is_used_until_the_server_refuses_it() {
    let place = Place::new().await;
    let (plugin, mut config) = (Plugin::new("", 0), place.plane.config(ADMIN));
    plugin.answer(&json!({ "token": account(&place, "first").await }));
    plugin.set(&mut config);
    let sync = Kubernetes::from_config(config, place.options()).unwrap();
    sync.authenticate().await.unwrap();
    let held = acquire(&sync).await;
    assert_eq!(plugin.calls(), 1);

    plugin.answer(&json!({ "token": account(&place, "second").await }));
    delete(&place, "first").await;
    hold_on(&held, secs(26)).await;

    assert_eq!(plugin.calls(), 2);
    held.release().await.unwrap();
}

#[tokio::test]
async fn a_token_file_is_read_again() {
    let place = Place::new().await;
    let (directory, mut config) = (tempfile::tempdir().unwrap(), place.plane.config(ADMIN));
    let file = directory.path().join("token");
    replace(&file, &format!("{}\n", account(&place, "first").await));
    let token_file = Some(file.display().to_string());
    config.auth_info = AuthInfo { token_file, ..AuthInfo::default() };
    let sync = Kubernetes::from_config(config, place.options()).unwrap();
    let held = acquire(&sync).await;

    replace(&file, &format!("{}\n", account(&place, "second").await));
    delete(&place, "first").await;

    hold_on(&held, secs(26)).await;
    held.release().await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_that_ends_is_replaced_on_new_connections() {
    let place = Place::new().await;
    if !place.plane.own() {
        return;
    }
    let (plugin, mut config) = (Plugin::new("", 0), place.plane.config(ADMIN));
    let certificate = |valid| {
        let (certificate, key) = place.plane.admin_certificate(secs(valid));
        json!({ "clientCertificateData": certificate, "clientKeyData": key })
    };
    plugin.answer(&certificate(8));
    plugin.set(&mut config);
    let sync = Kubernetes::from_config(config, place.options()).unwrap();
    let held = acquire(&sync).await;

    plugin.answer(&certificate(600));
    hold_on(&held, secs(24)).await;

    assert_eq!(plugin.calls(), 2);
    held.release().await.unwrap();
}

fn once() -> LockOptions {
    LockOptions::default().wait(Duration::ZERO)
}

/// The files of a kubeconfig, in its folder and named as `kubectl` permits: by paths relative to it.
struct Files(TempDir);

impl Files {
    fn new(place: &Place) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let text = fs::read_to_string(place.plane.kubeconfig(ADMIN)).unwrap();
        let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
        let cluster = &mut kubeconfig["clusters"][0]["cluster"];
        cluster["certificate-authority-data"].take();
        cluster["certificate-authority"] = "ca.crt".into();
        let user = &mut kubeconfig["users"][0]["user"];
        *user = json!({ "client-certificate": "tls.crt", "client-key": "tls.key" });
        files.set_certificate(place, 600);
        files.set("ca.crt", &fs::read_to_string(place.plane.ca()).unwrap());
        files.set("kubeconfig", &kubeconfig.to_string());
        files
    }

    fn set(&self, name: &str, text: &str) {
        replace(&self.0.path().join(name), text);
    }

    fn set_certificate(&self, place: &Place, valid: u64) {
        let (certificate, key) = place.plane.admin_certificate(secs(valid));
        self.set("tls.crt", &certificate);
        self.set("tls.key", &key);
    }

    async fn handle(&self, place: &Place) -> Kubernetes {
        let cluster = ClusterOptions::default().kubeconfig(self.0.path().join("kubeconfig"));
        let config = cluster.load().await.unwrap();
        Kubernetes::from_config(config, place.options()).unwrap()
    }
}

#[tokio::test]
async fn a_certificate_file_is_read_again_before_the_certificate_ends() {
    let place = Place::new().await;
    if !place.plane.own() {
        return;
    }
    let files = Files::new(&place);
    files.set_certificate(&place, 14);
    let sync = files.handle(&place).await;
    let held = acquire(&sync).await;

    // A pair that does not belong together is what a reader may find while both files are replaced.
    let (certificate, _) = place.plane.admin_certificate(secs(600));
    files.set("tls.crt", &certificate);
    hold_on(&held, secs(11)).await;
    files.set_certificate(&place, 600);
    hold_on(&held, secs(24)).await;

    held.release().await.unwrap();
}

#[tokio::test]
async fn a_certificate_file_is_read_again_when_the_certificate_has_ended() {
    let place = Place::new().await;
    if !place.plane.own() {
        return;
    }
    let files = Files::new(&place);
    files.set_certificate(&place, 10);
    let sync = files.handle(&place).await;
    let held = acquire(&sync).await;

    hold_on(&held, secs(11)).await;
    files.set_certificate(&place, 600);
    hold_on(&held, secs(24)).await;

    held.release().await.unwrap();
}

#[tokio::test]
async fn a_file_of_authorities_is_read_again_at_the_next_connection() {
    let place = Place::new().await;
    if !place.plane.own() {
        return;
    }
    let files = Files::new(&place);
    let authorities = fs::read_to_string(place.plane.ca()).unwrap();
    files.set("ca.crt", &fs::read_to_string(place.plane.pinned()).unwrap());
    let sync = files.handle(&place).await;
    let refused = sync.lock("orders", once()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");

    // What cannot be used is ignored.
    files.set("ca.crt", "");
    let refused = sync.lock("orders", once()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");
    files.set("ca.crt", &authorities);

    let acquired = timeout(secs(5), acquire(&sync)).await.unwrap();
    acquired.release().await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_hangs_does_not_delay_a_renewal() {
    let place = Place::new().await;
    let mut config = place.plane.config(ADMIN);
    let token = config.auth_info.token.take().expect("a token of the test");
    let plugin = Plugin::new("if [ -e hang ]; then sleep 1000; fi", 6);
    plugin.answer(&json!({ "token": token.expose_secret(), "expirationTimestamp": "@END@" }));
    plugin.set(&mut config);
    let sync = Kubernetes::from_config(config, place.options()).unwrap();
    let held = acquire(&sync).await;

    fs::write(plugin.path("hang"), "").unwrap();
    while plugin.calls() < 2 {
        sleep(POLL).await;
    }
    hold_on(&held, secs(16)).await;

    assert_eq!(plugin.calls(), 2, "one call at a time");
    held.release().await.unwrap();
}
