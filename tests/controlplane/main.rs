//! `make controlplane`: a control plane to try things on, until Ctrl-C.

#![expect(clippy::print_stdout, reason = "prints what to paste into a shell")]

use std::io;

use leasehold_test_support::{ADMIN, ControlPlane, USERS};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let run = async {
        eprintln!("starting etcd and kube-apiserver ...");
        let control_plane = ControlPlane::start().await;
        eprintln!("ready at {}", control_plane.url());
        describe(&control_plane);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = run => {}
    }
    eprintln!("stopped, nothing is left of it");
    Ok(())
}

fn describe(control_plane: &ControlPlane) {
    if !control_plane.own() {
        return;
    }
    println!("export KUBECONFIG={}", control_plane.kubeconfig(ADMIN).display());
    println!("kubectl get leases --all-namespaces   # to try it; {ADMIN} may do everything");
    for user in USERS {
        println!("# {}: {user}, who may do nothing yet", control_plane.kubeconfig(user).display());
    }
    println!("# Ctrl-C stops it and removes everything");
}
