//! Credential plugins of the kubeconfig.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use crate::Fixture;

/// A kubeconfig in `directory` with a plugin that runs `lines` and prints the token of the admin.
pub(crate) fn kubeconfig(at: &Fixture, directory: &Path, lines: &str) -> std::path::PathBuf {
    let text = fs::read_to_string(&at.kubeconfig).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    let user = &mut kubeconfig["users"][0]["user"];
    let token = user["token"].take();
    let answer = json!({
        "apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential",
        "status": { "token": token },
    });
    let plugin = directory.join("plugin");
    fs::write(&plugin, format!("#!/bin/sh\n{lines}\necho '{answer}'\n")).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o700)).unwrap();
    // With v1beta1 and no `interactiveMode`, a plugin may have the terminal.
    *user = json!({
        "exec": { "apiVersion": "client.authentication.k8s.io/v1beta1", "command": plugin },
    });
    let path = directory.join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).unwrap();
    path
}

#[tokio::test]
async fn standard_input_is_the_commands_and_not_the_plugins() {
    let (at, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    let kubeconfig = kubeconfig(&at, directory.path(), "cat > /dev/null");

    let counted = at.leasehold_of(&kubeconfig, ["lock", "orders", "wc", "-l"]).fed(b"a\nb\n").await;

    assert_eq!(counted.code, Some(0), "{}", counted.stderr);
    assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "2");
}

#[tokio::test]
async fn a_slow_plugin_runs_once_and_before_a_try_is_counted() {
    let (at, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    let calls = directory.path().join("calls");
    let lines = format!("echo call >> '{}'; sleep 4", calls.display());
    let kubeconfig = kubeconfig(&at, directory.path(), &lines);

    let ended = at.leasehold_of(&kubeconfig, ["lock", "--try", "orders", "true"]).end().await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(calls).unwrap().lines().count(), 1);
    assert!(ended.stderr.contains("waiting for the credential plugin"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_plugin_that_fails_is_named_with_what_it_said() {
    let (at, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    let kubeconfig = kubeconfig(&at, directory.path(), "echo 'log in first' >&2; exit 1");

    let ended = at.leasehold_of(&kubeconfig, ["lock", "orders", "true"]).end().await;

    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.contains("/plugin` has failed"), "{}", ended.stderr);
    assert!(ended.stderr.contains("log in first"), "{}", ended.stderr);
}
