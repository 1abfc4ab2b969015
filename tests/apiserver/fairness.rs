//! API Priority and Fairness: renewals while other requests of the same service account keep its priority level busy.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::stream;
use http_body_util::{StreamBody, combinators::BoxBody};
use hyper_util::{client::legacy::Client as HyperClient, rt::TokioExecutor};
use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{ConfigMap, ServiceAccount},
    flowcontrol::v1::FlowSchema,
};
use kube::{Api, Client, Config, api::PostParams, client::ConfigExt as _, config::AuthInfo};
use leasehold::{Guard, Kubernetes, LockOptions, Loss, Options, Sync as _};
use leasehold_test_support::{ADMIN, ControlPlane, Rule};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// The name of the service account in the documented manifest.
const ACCOUNT: &str = "leasehold";
/// Seats of the whole server. The level `workload-low` has less than half of them, `leader-election` has one.
const SEATS: [&str; 2] = ["--max-requests-inflight=10", "--max-mutating-requests-inflight=10"];
/// Twice the seats of the whole server.
const FLOOD: usize = 40;
const RENEWALS: usize = 4;
/// A renewal is due every 1.7 s, and the hold is 4.3 s.
const TTL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn renewals_pass_a_flood_of_the_same_account_with_the_documented_flow_schema() {
    let plane = ControlPlane::start_with(&SEATS).await;
    if !plane.own() {
        return;
    }
    let namespace = plane.namespace().await;
    let (account, token) = service_account(&plane, &namespace).await;
    let options = Options::default().namespace(&namespace);
    let sync = Kubernetes::from_config(account.clone(), options).unwrap();
    let lock = LockOptions::default().ttl(TTL).wait(6 * TTL);
    let guard = sync.lock("orders", lock).await.unwrap();
    renewed(&guard).await;

    let _flood = flood(&account, &token, &namespace);
    until_throttled(&account, &namespace).await;
    let without = timeout(2 * TTL, guard.lost()).await.expect("no renewal passes the flood");
    let admin = plane.client(ADMIN);
    Api::all(admin).create(&PostParams::default(), &flow_schema(&namespace)).await.unwrap();
    let guard = sync.lock("orders", lock).await.expect("claims pass the flood");
    for _ in 0..RENEWALS {
        renewed(&guard).await;
    }

    assert_eq!(without, Loss::Expired);
    assert!(is_throttled(&account, &namespace).await, "the flood is still there");
    assert!(guard.is_held());
    guard.release().await.expect("releases pass the flood");
}

/// The manifest of `docs/library.md`, for `namespace`.
fn flow_schema(namespace: &str) -> FlowSchema {
    let documented = include_str!("../../docs/library.md");
    let block = documented.split("```").find(|block| block.contains("kind: FlowSchema")).unwrap();
    let manifest = block.trim_start_matches("yaml").replace("shop", namespace);
    serde_saphyr::from_str(&manifest).unwrap()
}

/// The configuration and the token of a new service account with permissions on Leases and `ConfigMaps`.
async fn service_account(plane: &ControlPlane, namespace: &str) -> (Config, String) {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(ADMIN), namespace);
    let account = json!({ "metadata": { "name": ACCOUNT } });
    let account = serde_json::from_value(account).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let request = TokenRequest::default();
    let issued =
        accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await.unwrap();
    let user = format!("system:serviceaccount:{namespace}:{ACCOUNT}");
    let rules = [
        Rule::leases(&["get", "list", "watch", "create", "update"]),
        Rule::new("", "configmaps", &["get", "create"]),
    ];
    plane.allow(&user, namespace, &rules).await;
    let token = issued.status.expect("a token").token;
    let mut config = plane.config(ADMIN);
    config.auth_info = AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() };
    (config, token)
}

/// Another client of the same account, that keeps all seats of its level busy. It ends when it is dropped.
///
/// A request whose body never arrives holds a seat until the server gives it up, and costs no processor time.
fn flood(account: &Config, token: &str, namespace: &str) -> JoinSet<()> {
    let https = account.rustls_https_connector().unwrap();
    let client = HyperClient::builder(TokioExecutor::new()).build(https);
    let uri = format!("{}api/v1/namespaces/{namespace}/configmaps", account.cluster_url);
    let request = http::Request::post(uri)
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "application/json");
    let request = request.body(()).unwrap();
    let mut flood = JoinSet::new();
    for _ in 0..FLOOD {
        let (client, request) = (client.clone(), request.clone());
        flood.spawn(async move {
            loop {
                let endless = StreamBody::new(stream::pending::<Result<_, Infallible>>());
                let body = BoxBody::<Bytes, Infallible>::new(endless);
                let _ = client.request(request.clone().map(|()| body)).await;
            }
        });
    }
    flood
}

async fn until_throttled(account: &Config, namespace: &str) {
    for _ in 0..60 {
        if is_throttled(account, namespace).await {
            return;
        }
    }
    panic!("the flood leaves seats free");
}

/// Whether a request that is not about Leases gets no answer within a second, or 429.
async fn is_throttled(account: &Config, namespace: &str) -> bool {
    let client = Client::try_from(account.clone()).unwrap();
    let objects: Api<ConfigMap> = Api::namespaced(client, namespace);
    match timeout(Duration::from_secs(1), objects.get("none")).await {
        Err(_) => true,
        Ok(Err(kube::Error::Api(status))) if status.code == 429 => true,
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() => false,
        Ok(other) => panic!("{other:?}"),
    }
}

/// Waits until a renewal has been confirmed.
async fn renewed(guard: &Guard) {
    let mut last = guard.remaining();
    loop {
        assert!(guard.is_held(), "lost while a renewal was awaited");
        sleep(super::POLL).await;
        let now = guard.remaining();
        if now > last {
            return;
        }
        last = now;
    }
}
