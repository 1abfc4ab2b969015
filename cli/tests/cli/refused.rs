//! Values that are refused before a request: the line names the option, the value, and what to write instead.

use crate::program::{Ended, Program};

/// Without a server.
async fn run(args: &[&str]) -> Ended {
    let program = Program::new(args.iter().copied());
    program.env("KUBECONFIG", "/nowhere").env("HOME", "/nowhere").end().await
}

#[tokio::test]
async fn a_wrong_label_selector_is_a_usage_error_with_an_example() {
    for command in ["members", "status", "watch", "prune"] {
        for value in ["a=b=c", "a in b", "a,", "-a", "a=-b", ""] {
            let ended = run(&[command, &format!("--selector={value}")]).await;

            assert_eq!(ended.code, Some(64), "{command} {value}: {ended:?}");
            assert!(ended.stderr.contains("--selector"), "{ended:?}");
            assert!(ended.stderr.contains(value), "{ended:?}");
            assert!(value.is_empty() || ended.stderr.contains("team=shop"), "{ended:?}");
        }
    }
    let accepted = run(&["status", "-l", "team in (shop, bank),!old"]).await;
    assert_eq!(accepted.code, Some(69), "the next check failed: {accepted:?}");
}

#[tokio::test]
async fn a_wrong_number_names_its_option_and_the_smallest_value() {
    for (args, texts) in [
        (&["lock", "--ttl", "0ns"][..], ["--ttl", "1s to 86400s"]),
        (&["lock", "--attempt", "0s"], ["--attempt", "at least 1ms"]),
        (&["lock", "--at-least", "0"], ["--at-least", "at least 1ms"]),
        (&["lock", "--ttl", "2 days"], ["--ttl", "90s, 5m, 1h30m, 7d"]),
        (&["lock", "--ttl", "-5s"], ["--ttl", "must not be negative"]),
        (&["lock", "--wait", "-5s"], ["--wait", "must not be negative"]),
        (&["lock", "--wait", "--try"], ["--wait", "write it like"]),
        (&["lock", "--grace", "-1s"], ["--grace", "must not be negative"]),
        (&["elect", "--wait-for-server", "-1m"], ["--wait-for-server", "must not be negative"]),
        (&["lock", "--slots", "-1"], ["--slots", "1..=256"]),
        (&["lock", "--busy-code", "-1"], ["--busy-code", "0..=255"]),
    ] {
        let ended = run(&[args, &["orders", "true"]].concat()).await;

        assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
        for text in texts {
            assert!(ended.stderr.contains(text), "{args:?}: {text}: {ended:?}");
        }
        assert!(!ended.stderr.contains("tip:"), "{args:?}: {ended:?}");
    }
    let pruned = run(&["prune", "--older-than", "-5d"]).await;
    assert!(pruned.stderr.contains("must not be negative"), "{pruned:?}");
}

#[tokio::test]
async fn every_duration_may_be_written_in_days() {
    for args in [
        &["lock", "--ttl", "1d", "orders", "true"][..],
        &["lock", "--wait", "1d12h", "orders", "true"],
        &["lock", "--at-least", "1.5s", "orders", "true"],
        &["elect", "--wait-for-server", "1d", "orders", "true"],
        &["prune", "--older-than", "30d"],
    ] {
        let ended = run(args).await;
        assert_eq!(ended.code, Some(69), "accepted, and the next check failed: {ended:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_is_cut_short_and_its_limit_is_named() {
    let name = "n".repeat(5000);
    for args in [
        &["lock", &name, "true"][..],
        &["elect", &name, "true"],
        &["status", &name],
        &["members", &name],
        &["watch", &name],
        &["release", "--force", &name],
        &["release", "--session", &name],
    ] {
        let ended = run(args).await;

        assert_eq!(ended.code, Some(64), "{ended:?}");
        let line = ended.stderr_line();
        assert!(line.contains("it has 5000 bytes, at most 253 fit"), "{line}");
        assert!(line.contains(&name[..60]) && !line.contains(&name[..61]), "{line}");
    }
}

#[tokio::test]
async fn an_empty_name_is_a_usage_error_of_each_command() {
    for args in [
        &["lock", "", "true"][..],
        &["elect", "", "true"],
        &["status", ""],
        &["members", ""],
        &["watch", ""],
        &["release", "--force", ""],
        &["release", "--session", ""],
    ] {
        let ended = run(args).await;

        assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
        assert!(ended.stderr_line().contains("it must have at least one character"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_read_is_quoted_with_the_next_step() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = empty.path().to_str().unwrap();
    for (path, texts) in [
        (
            "/nowhere/a b",
            ["`/nowhere/a b` (selected by an option) cannot be read", "Check the path"],
        ),
        (empty, [&*format!("`{empty}`"), "kubectl config view"]),
    ] {
        let ended = run(&["lock", "--kubeconfig", path, "orders", "true"]).await;

        assert_eq!(ended.code, Some(69), "{ended:?}");
        for text in texts {
            assert!(ended.stderr_line().contains(text), "{text}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn a_file_for_etcd_that_cannot_be_used_is_named_with_the_next_step() {
    let directory = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (text, half) = (written("text", "hello"), written("half", "-----BEGIN CERTIFICATE-----"));
    for (path, expected) in [
        ("/nowhere", "--etcd-ca: `/nowhere` cannot be read"),
        ("/nowhere", "Check the path and its permissions"),
        (&text, &*format!("--etcd-ca: `{text}` has no line with `BEGIN CERTIFICATE`")),
        (&half, "Correct the files of --etcd-ca, --etcd-cert and --etcd-key"),
    ] {
        let ended = run(&["status", "--etcd", "https://127.0.0.1:1", "--etcd-ca", path]).await;

        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(ended.stderr_line().contains(expected), "{expected}: {ended:?}");
    }
}
