#![cfg(unix)]

use std::{os::unix::fs::PermissionsExt as _, path::Path};

#[cfg(target_os = "linux")]
use leasehold_test_support::processes::Process;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

const V1: &str = VERSIONS[0];

/// A plugin that runs `lines` in a shell. `field` changes its entry in the kubeconfig.
fn plugin(directory: &Path, lines: &str, fields: &Value) -> Result<Plugin> {
    let path = directory.join("plugin");
    std::fs::write(&path, format!("#!/bin/sh\n{lines}")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut exec = json!({ "apiVersion": V1, "command": path, "interactiveMode": "Never" });
    exec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Plugin::new(serde_json::from_value(exec).unwrap())
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn fetched(lines: &str) -> Result<Fetched, String> {
    let directory = directory();
    let plugin = plugin(directory.path(), lines, &json!({})).unwrap();
    plugin.fetch().await.map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn a_plugin_gets_its_variables_and_an_empty_standard_input() {
    for version in VERSIONS {
        let directory = directory();
        let lines = "input=$(cat | wc -c | tr -d ' ')\n\
             info=$(echo \"$KUBERNETES_EXEC_INFO\" | tr -d ' ')\n\
             printf \"status:\\n  token: '%s %s %s %s'\\n\" \"$input\" \"$1\" \"$REGION\" \"$info\"";
        let fields = json!({
            "apiVersion": version, "args": ["login"], "env": [{ "name": "REGION", "value": "eu" }],
            "provideClusterInfo": true,
        });
        let mut plugin = plugin(directory.path(), lines, &fields).unwrap();
        let server = Some("https://cluster".into());
        plugin.exec.cluster = Some(kube::config::ExecAuthCluster { server, ..Default::default() });

        let token = plugin.fetch().await.unwrap().token.unwrap();

        let text = token.to_str().unwrap().strip_prefix("Bearer 0 login eu ").unwrap();
        let info: Value = serde_json::from_str(text).unwrap();
        let expected = json!({
            "apiVersion": version, "kind": "ExecCredential",
            "spec": { "interactive": false, "cluster": { "server": "https://cluster" } },
        });
        assert_eq!(info, expected);
    }
}

#[test]
fn the_terminal_is_for_plugins_that_may_have_it() {
    let directory = directory();
    let mode =
        |mode: &str| plugin(directory.path(), "", &json!({ "interactiveMode": mode })).unwrap();

    assert_eq!(mode("Never").interactive(true), Ok(false));
    assert_eq!(mode("IfAvailable").interactive(true), Ok(true));
    assert_eq!(mode("IfAvailable").interactive(false), Ok(false));
    assert_eq!(mode("Always").interactive(true), Ok(true));
    assert!(mode("Always").interactive(false).unwrap_err().contains("terminal"));
}

#[tokio::test]
async fn a_failure_names_the_plugin_and_its_cause_but_no_secret() {
    for (lines, cause) in [
        (
            "printf 'log in\\033[2J first' >&2; echo secret; exit 3",
            "exit status: 3: log in[2J first",
        ),
        ("echo secret", "has printed no ExecCredential"),
        ("echo '{\"status\":\"secret\"}'", "has printed no ExecCredential"),
        ("echo '{}'", "without a status"),
        ("echo '{\"status\":{}}'", "neither a token nor a client certificate"),
        ("echo '{\"status\":{\"clientKeyData\":\"secret\"}}'", "without a key, or the reverse"),
        ("echo '{\"status\":{\"token\":\"se\\u0001cret\"}}'", "no header can contain"),
        (
            "echo '{\"status\":{\"token\":\"secret\",\"expirationTimestamp\":\"soon\"}}'",
            "malformed expirationTimestamp",
        ),
    ] {
        let failure = fetched(lines).await.err().expect("no credential");
        assert!(failure.contains("/plugin` ") && failure.contains(cause), "{failure}");
        assert!(!failure.contains("secret") && !failure.contains('\u{1b}'), "{failure}");
    }

    let hinted = json!({ "command": "/no/such/plugin", "installHint": "Install it\n" });
    let directory = directory();
    let missing = plugin(directory.path(), "", &hinted).unwrap().fetch().await.err().unwrap();
    assert!(missing.to_string().contains("cannot be started"), "{missing}");
    assert!(missing.to_string().ends_with("Install it"), "{missing}");

    let old = json!({ "apiVersion": "client.authentication.k8s.io/v1alpha1" });
    let error = plugin(directory.path(), "", &old).unwrap_err().to_string();
    assert!(error.contains("v1alpha1") && error.contains(VERSIONS[1]), "{error}");
}

#[tokio::test]
async fn debug_output_contains_no_secret() {
    let fields = json!({ "args": ["secret"], "env": [{ "name": "PASSWORD", "value": "secret" }] });
    let directory = directory();
    let plugin = plugin(directory.path(), "echo '{\"status\":{\"token\":\"secret\"}}'", &fields);
    let plugin = plugin.unwrap();

    let token = plugin.fetch().await.unwrap().token.unwrap();

    let text = format!("{plugin:?} {token:?}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_credential_is_fetched_again_a_fifth_of_its_life_before_its_end() {
    let next = |secs| next_in(Duration::from_secs(secs)).as_secs();

    assert_eq!(next(86_400), 86_100, "at most five minutes");
    assert_eq!(next(900), 720);
    assert_eq!(next(200), 140, "at least a minute");
    assert_eq!(next(60), 30, "but never in the first half");
    assert_eq!(next(0), 1, "an ended credential is no reason to run without a pause");
}

/// Whether a process runs. A process that has ended and was not reaped does not.
#[cfg(target_os = "linux")]
fn runs(pid: &str) -> bool {
    Process::find(pid.trim()).is_some_and(|process| process.runs())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_plugin_that_is_given_up_ends_with_its_children() {
    let directory = directory();
    let file = directory.path().join("pid");
    let lines =
        format!("sleep 1000 & echo $! > '{0}.new'; mv '{0}.new' '{0}'; wait", file.display());
    let plugin = process::run(Run {
        command: "sh",
        args: vec!["-c".into(), lines],
        env: Vec::new(),
        without: Vec::new(),
        interactive: false,
        leads: true,
    });

    let pid = tokio::select! {
        _ = plugin => panic!("the plugin hangs"),
        pid = async {
            loop {
                if let Ok(pid) = std::fs::read_to_string(&file) {
                    break pid;
                }
                tokio::task::yield_now().await;
            }
        } => pid,
    };

    while runs(&pid) {
        tokio::task::yield_now().await;
    }
}
