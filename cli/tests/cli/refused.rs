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
