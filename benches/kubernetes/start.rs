//! The time from the start of a process to its first lock, compared with processes of other programs: all in turns, each
//! lock with a new name.

use std::{process::Command, time::Duration};

use super::{ADMIN, Bench, child::Child, millis, peers, process::player, quantile, timed};

const TURNS: usize = 30;
/// Until the files of all programs are in memory.
const WARM_UP: usize = 3;

/// What a process locks with.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Handle,
    Session,
    ClientGo,
    EtcdMutex,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Handle, Self::Session, Self::ClientGo, Self::EtcdMutex];

    const fn name(self) -> &'static str {
        match self {
            Self::Handle => "a handle without a session, two requests",
            Self::Session => "a session, two requests and a watch",
            Self::ClientGo => "client-go elector",
            Self::EtcdMutex => "etcd `concurrency.Mutex`, on the etcd below the API server",
        }
    }

    /// A process that locks a name, prints a line and waits for its end.
    fn command(self, bench: &Bench, namespace: &str, turn: usize) -> Command {
        let name = format!("{self:?}-{turn}").to_lowercase();
        let peer = |words: &[&str]| {
            let mut command = Command::new(peers::program());
            command.args(words).args(["--name", &name]);
            command
        };
        match self {
            Self::Handle => player("one", bench, namespace, &format!("lock {name}")),
            Self::Session => player("one", bench, namespace, &format!("session-lock {name}")),
            Self::ClientGo => {
                let kubeconfig = bench.plane.kubeconfig(ADMIN).display().to_string();
                peer(&["client-go-start", "--kubeconfig", &kubeconfig, "--namespace", namespace])
            }
            Self::EtcdMutex => peer(&["etcd-start", "--endpoint", &bench.plane.etcd()]),
        }
    }
}

/// A process is started, locks and reports that. It is then killed.
pub(crate) async fn first_lock(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let mut times: [Vec<Duration>; Kind::ALL.len()] = Default::default();
    for turn in 0..TURNS + WARM_UP {
        for (kind, times) in Kind::ALL.into_iter().zip(&mut times) {
            let mut command = kind.command(bench, &namespace, turn);
            let (time, _child) = timed(async { Child::start(&mut command) }).await;
            if turn >= WARM_UP {
                times.push(time);
            }
        }
    }
    for (kind, mut times) in Kind::ALL.into_iter().zip(times) {
        let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
        bench.row(
            &format!("process start to first lock, new name: {}", kind.name()),
            format!("p50 {}, p99 {}", millis(p50), millis(p99)),
            "",
        );
    }
}
