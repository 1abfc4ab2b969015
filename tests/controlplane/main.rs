//! `make controlplane`: a control plane for experiments, until Ctrl-C.

#![expect(clippy::print_stdout, reason = "prints commands for a shell")]

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
    eprintln!("stopped and removed");
    Ok(())
}

fn describe(control_plane: &ControlPlane) {
    if !control_plane.own() {
        return;
    }
    println!("export KUBECONFIG={}", control_plane.kubeconfig(ADMIN).display());
    println!("kubectl get leases --all-namespaces   # {ADMIN} has all permissions");
    for user in USERS {
        println!("# {}: {user}, without any permission", control_plane.kubeconfig(user).display());
    }
    println!("# Ctrl-C stops it and removes everything");
}
