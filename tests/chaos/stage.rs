//! The processes and their environment. Each process is started, its events are read, and it is replaced when it dies.

use std::{
    collections::BTreeSet,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use leasehold_test_support::{ADMIN, ControlPlane, Proxy, Rng};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::{Child, Command},
    sync::watch,
    time::sleep,
};

use crate::{
    event::{Event, Lock, now},
    ledger::Ledger,
    member::{Broken, Orders},
};

/// The environment variable with the settings of a member.
pub(crate) const ORDERS: &str = "LEASEHOLD_CHAOS_ORDERS";

/// The place of a member, which has one process at a time.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) proxy: Proxy,
    pub(crate) pid: Mutex<Option<Pid>>,
    /// Locked by a fault of the link.
    pub(crate) link: Arc<tokio::sync::Mutex<()>>,
    /// Locked by a fault of the process.
    pub(crate) process: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) namespace: String,
    pub(crate) directory: TempDir,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) broken: Broken,
    pub(crate) places: Vec<Place>,
    pub(crate) server: Arc<tokio::sync::Mutex<()>>,
    /// True after the last fault: every member then ends after one more tenure of each of its locks.
    pub(crate) calm: watch::Sender<bool>,
    ledger: Mutex<Ledger>,
}

impl Stage {
    pub(crate) async fn new(plane: Arc<ControlPlane>, broken: Broken, log: std::fs::File) -> Self {
        const MEMBERS: usize = 6;
        let config = plane.config(ADMIN);
        let server = config.cluster_url.authority().expect("a host").to_string();
        let server = server.parse().expect("an address");
        let mut places = Vec::new();
        for _ in 0..MEMBERS {
            let proxy = Proxy::start(server).await;
            let (pid, link, process) = Default::default();
            places.push(Place { proxy, pid, link, process });
        }
        Self {
            namespace: plane.namespace().await,
            kubeconfig: plane.kubeconfig(ADMIN),
            plane,
            directory: tempfile::tempdir().expect("a directory"),
            broken,
            places,
            server: Arc::default(),
            calm: watch::Sender::new(false),
            ledger: Mutex::new(Ledger::new(log)),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn resource(&self) -> PathBuf {
        self.directory.path().join("resource")
    }

    /// Runs one process after the other in a place, until one ends with success.
    pub(crate) async fn keep(self: Arc<Self>, number: usize, mut rng: Rng) {
        let mut down = None;
        loop {
            let life = self.ledger().start(number);
            if let Some(span) = down.take() {
                self.ledger().healed(span, now());
            }
            let (ours, theirs) = StdUnixStream::pair().expect("a socket");
            let child = self.start(number, life, theirs, &mut rng);
            let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
            *self.pid(number) = pid;
            let status = self.attend(number, life, child, ours).await;
            let why = self.ledger().gone(life, now());
            if status.success() {
                return;
            }
            if std::os::unix::process::ExitStatusExt::signal(&status).is_none() {
                self.ledger().broken.push(format!("life {life} ended by itself: {status}"));
            }
            down = Some(self.ledger().fault(why, now(), &format!("in place {number}")));
            let most = if *self.calm.borrow() { 1 } else { 2000 };
            sleep(Duration::from_millis(rng.below(most))).await;
        }
    }

    fn pid(&self, number: usize) -> MutexGuard<'_, Option<Pid>> {
        self.places[number].pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal to the process in this place, if there is one.
    pub(crate) fn signal(&self, number: usize, signal: Signal) {
        if let Some(pid) = *self.pid(number) {
            kill_process(pid, signal).expect("the process was not reaped yet");
        }
    }

    fn start(&self, number: usize, life: u64, wire: StdUnixStream, rng: &mut Rng) -> Child {
        let orders = Orders {
            life,
            session: has_session(number),
            identity: format!("member-{number}-life-{life}"),
            namespace: self.namespace.clone(),
            server: self.places[number].proxy.url(),
            directory: self.directory.path().to_owned(),
            resource: self.resource(),
            broken: self.broken,
            seed: rng.draw(),
        };
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "member", "--nocapture"])
            .env(ORDERS, serde_json::to_string(&orders).expect("JSON"))
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(OwnedFd::from(wire))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("this program starts")
    }

    /// Records the events of a process until it has ended.
    async fn attend(
        &self,
        number: usize,
        life: u64,
        mut child: Child,
        wire: StdUnixStream,
    ) -> ExitStatus {
        wire.set_nonblocking(true).expect("a socket");
        let (events, mut commands) = UnixStream::from_std(wire).expect("a socket").into_split();
        let mut lines = BufReader::new(events).lines();
        let locks = if has_session(number) { Lock::ALL.len() } else { 1 };
        let mut had = BTreeSet::new();
        // A killed process may leave half a line, which is no event.
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
            let begins = match event {
                Event::Began { lock, .. } if *self.calm.borrow() => had.insert(lock),
                _ => false,
            };
            self.ledger().record(life, event);
            if begins && had.len() == locks {
                let _ = commands.write_all(b"!").await; // it may have gone
            }
        }
        let status = child.wait().await.expect("our child");
        *self.pid(number) = None;
        status
    }
}

/// Every other member opens a session.
const fn has_session(number: usize) -> bool {
    number % 2 == 1
}
