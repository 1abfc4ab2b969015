//! The program as a plugin: `kubectl leasehold` starts `kubectl-leasehold` with the same arguments.

use std::os::unix::fs::symlink;

use leasehold::Sync as _;

use crate::{Fixture, brief, program::Program};

#[tokio::test]
async fn as_a_kubectl_plugin_it_works_and_its_help_shows_kubectl_commands() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubectl-leasehold");
    symlink(env!("CARGO_BIN_EXE_leasehold"), &path).unwrap();
    let plugin = |args: &[&'static str]| {
        let kubeconfig = fixture.kubeconfig.to_str().unwrap();
        Program::at(&path, args.iter().copied()).env("KUBECONFIG", kubeconfig)
    };
    let guard = fixture.handle().lock("orders", brief()).await.unwrap();

    let status = plugin(&["status"]).arg("-n").arg(&fixture.namespace).end().await;
    let locked = plugin(&["lock"]).arg("-n").arg(&fixture.namespace);
    let locked = locked.arg("jobs").arg("sh").arg("-c").arg("exit 5").end().await;

    assert!(status.text().contains("orders") && status.code == Some(0), "{status:?}");
    assert_eq!((locked.code, &*locked.stderr), (Some(5), ""));
    for (args, usage) in [
        (&["--help"][..], "Usage: kubectl leasehold <COMMAND>"),
        (&["status", "--help"], "Usage: kubectl leasehold status [OPTIONS] [NAME]"),
        (&["lock", "--help"], "Usage: kubectl leasehold lock [OPTIONS] NAME [--] [CMD [ARG]...]"),
        (&["elect", "--help"], "Usage: kubectl leasehold elect [OPTIONS] NAME [--] [CMD [ARG]...]"),
    ] {
        let help = plugin(args).end().await;
        assert!(help.text().contains(usage), "{help:?}");
        assert!(!help.text().contains("\n  leasehold "), "{help:?}");
    }
    let wrong = plugin(&["lock"]).end().await;
    assert!(wrong.stderr.contains("kubectl leasehold lock") && wrong.code == Some(64), "{wrong:?}");
    guard.release().await.unwrap();
}
