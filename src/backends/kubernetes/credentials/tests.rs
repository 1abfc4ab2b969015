//! Against a server in this process, with paused time. A plugin that ends would need real time, so most tests use a
//! token file.

use std::{fs, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header::AUTHORIZATION;
use kube::config::{AuthInfo, ExecConfig};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;
use tower::{ServiceExt as _, service_fn};

use super::*;
use crate::api::error::Error;

/// A server that accepts the token `good`, and clients with a certificate that contains `good`.
#[expect(clippy::unnecessary_wraps, reason = "a transport may fail")]
fn server(config: Config) -> Result<Client, Error> {
    let certificate = config.auth_info.client_certificate_data.unwrap_or_default();
    let certified = certificate == STANDARD.encode("good certificate");
    let answer = move |request: Request<Body>| async move {
        let token = request.headers().get(AUTHORIZATION);
        let good = certified || token.is_some_and(|token| token == "Bearer good");
        let status = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Ok::<_, BoxError>(response)
    };
    Ok(Client::new(service_fn(answer), config.default_namespace))
}

fn credentials(auth_info: AuthInfo) -> Credentials {
    let mut config = Config::new("https://cluster".parse().unwrap());
    config.auth_info = auth_info;
    let source = Source::take(&mut config).unwrap().expect("a source");
    Credentials::client(source, config, server).unwrap().1
}

/// A token file, and credentials of it.
fn of_file(token: &str) -> (TempDir, Credentials) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, token).unwrap();
    let token_file = Some(file.display().to_string());
    (directory, credentials(AuthInfo { token_file, ..AuthInfo::default() }))
}

fn of_plugin(command: &str, args: &[&str]) -> Credentials {
    let exec: ExecConfig = serde_json::from_value(json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": command, "args": args,
    }))
    .unwrap();
    credentials(AuthInfo { exec: Some(exec), ..AuthInfo::default() })
}

async fn send(credentials: &Credentials) -> Result<StatusCode, String> {
    let request = Request::post("/leases").body(Body::from(b"{}".to_vec())).unwrap();
    let response = credentials.clone().oneshot(request).await.map_err(|error| error.to_string())?;
    Ok(response.status())
}

/// Sends a request that must not wait for a plugin that hangs.
async fn in_time(credentials: &Credentials) -> Result<StatusCode, String> {
    let sent = tokio::time::timeout(Duration::from_secs(20), send(credentials)).await;
    sent.unwrap_or_else(|_| Err("the request waits for the plugin".into()))
}

/// A plugin that delivers the token `good` and this end of it. Its calls after the first one hang.
fn of_script(end: &str) -> (TempDir, Credentials) {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "cd '{}'; echo call >> calls; test \"$(wc -l < calls)\" -eq 1 || exec sleep 1000; \
         echo '{{\"status\":{{\"token\":\"good\"{end}}}}}'",
        directory.path().display()
    );
    (directory, of_plugin("sh", &["-c", &script]))
}

fn calls(directory: &TempDir) -> usize {
    fs::read_to_string(directory.path().join("calls")).unwrap_or_default().lines().count()
}

/// With a token that is not from a file, the files of a certificate are read too.
#[tokio::test(start_paused = true)]
async fn the_files_of_a_certificate_are_read_again_with_any_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name).display().to_string();
    let set = |text: &str| {
        fs::write(path("tls.crt"), text).unwrap();
        fs::write(path("tls.key"), "key").unwrap();
    };
    for token in [None, Some("other".to_owned().into())] {
        set("bad certificate");
        let credentials = credentials(AuthInfo {
            token,
            client_certificate: Some(path("tls.crt")),
            client_key: Some(path("tls.key")),
            ..AuthInfo::default()
        });
        credentials.ready().await.unwrap();

        set("good certificate");
        assert_eq!(send(&credentials).await, Ok(StatusCode::OK), "after a refusal");

        fs::remove_file(path("tls.key")).unwrap();
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(send(&credentials).await, Ok(StatusCode::OK), "while it cannot be read");
    }
}

fn write(directory: &Path, token: &str) {
    fs::write(directory.join("token"), token).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_sent_again_with_the_next_credential() {
    let (directory, credentials) = of_file("old\n");
    credentials.ready().await.unwrap();

    write(directory.path(), "good\n");

    assert_eq!(send(&credentials).await, Ok(StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_always_refused_is_asked_less_and_less_often() {
    let (directory, credentials) = of_file("old");
    let begun = Instant::now();

    for _ in 0..5 {
        assert_eq!(send(&credentials).await, Ok(StatusCode::UNAUTHORIZED), "the server's answer");
    }

    let waited = begun.elapsed().as_secs();
    assert!((15..=62).contains(&waited), "{waited} s of pauses");
    write(directory.path(), "good");
    assert_eq!(send(&credentials).await, Ok(StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn a_credential_serves_while_the_next_one_cannot_be_fetched() {
    let (directory, credentials) = of_file("good");
    assert_eq!(send(&credentials).await, Ok(StatusCode::OK));

    fs::remove_file(directory.path().join("token")).unwrap();

    assert_eq!(send(&credentials).await, Ok(StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_the_error_of_the_requests_that_wait() {
    let (directory, credentials) = of_file("good");
    fs::remove_file(directory.path().join("token")).unwrap();

    let error = send(&credentials).await.unwrap_err();
    assert!(error.contains("the token file"), "{error}");

    write(directory.path(), "good");
    assert_eq!(send(&credentials).await, Ok(StatusCode::OK));
}

#[cfg(unix)]
#[tokio::test]
async fn a_plugin_runs_once_for_all_requests() {
    let (directory, credentials) = of_script("");

    let together = futures::future::join_all((0..20).map(|_| in_time(&credentials))).await;

    assert!(together.iter().all(|sent| *sent == Ok(StatusCode::OK)), "{together:?}");
    for _ in 0..20 {
        assert_eq!(in_time(&credentials).await, Ok(StatusCode::OK));
    }
    assert_eq!(calls(&directory), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_credential_that_has_ended_serves_while_the_plugin_runs_again() {
    let (directory, credentials) = of_script(",\"expirationTimestamp\":\"2000-01-01T00:00:00Z\"");

    while calls(&directory) < 2 {
        assert_eq!(in_time(&credentials).await, Ok(StatusCode::OK));
        tokio::task::yield_now().await;
    }

    assert_eq!(in_time(&credentials).await, Ok(StatusCode::OK));
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_plugin_that_hangs_is_ended() {
    let credentials = of_plugin("sleep", &["1000"]);
    let begun = Instant::now();

    let failure = credentials.ready().await.unwrap_err().to_string();

    assert!(failure.contains("`sleep` has not answered for 200s"), "{failure}");
    assert_eq!(begun.elapsed().as_secs(), 200);
}

#[test]
fn other_credentials_stay_with_kube_and_precede() {
    let exec = json!({ "apiVersion": "client.authentication.k8s.io/v1", "command": "plugin" });
    for other in [json!({ "token": "x" }), json!({ "username": "x", "password": "x" })] {
        let mut fields = json!({ "exec": exec, "tokenFile": "/token" });
        fields.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        let mut config = Config::new("https://cluster".parse().unwrap());
        config.auth_info = serde_json::from_value(fields).unwrap();

        assert!(Source::take(&mut config).unwrap().is_none());
    }
}
