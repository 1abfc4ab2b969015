//! The processes etcd and kube-apiserver.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::{Client, Config};
use rustix::process::Signal;

use super::access::Access;
use super::files::{Directory, tail, write};
use super::process::Process;
use super::programs::Programs;
use super::secrets::{ADMIN, ClientAuthority, PINNED, Secrets};
use super::usage::ServerUse;

/// How many pairs of ports to try, because another process may take a port first.
const ATTEMPTS: usize = 5;
/// A start takes 3 s on two idle cores.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Logs only requests for Leases, each once, when it arrives.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: Metadata
    omitStages: [ResponseStarted, ResponseComplete, Panic]
    resources: [{ group: coordination.k8s.io, resources: [leases] }]
  - level: None
";

/// The two running servers.
#[derive(Debug)]
pub(super) struct Servers {
    apiserver: Mutex<Option<Process>>,
    etcd: Mutex<Process>,
    command: Vec<String>,
    ca: PathBuf,
    pinned: PathBuf,
    clients: Arc<ClientAuthority>,
    directory: Arc<Directory>,
}

/// Why a server is not ready, with the last lines of both logs.
#[derive(Debug)]
enum Failure {
    PortTaken,
    Ended(String),
    Late(String),
}

impl Servers {
    pub(super) async fn start(
        programs: Programs,
        flags: &[&str],
        directory: &Arc<Directory>,
    ) -> (Self, Access) {
        let secrets = Secrets::new(directory);
        write(&directory.path().join("audit-policy.yaml"), AUDIT_POLICY);
        for _ in 0..ATTEMPTS {
            let (client_port, port) = (free_port(), free_port());
            let access = Access::own(&secrets, port).await;
            let mut command =
                apiserver_command(&programs, &secrets, [client_port, port], directory);
            command.extend(flags.iter().map(|&flag| flag.to_owned()));
            let servers = Self::spawn(&programs, &secrets, client_port, command, directory);
            match servers.ready(access.config(ADMIN)).await {
                Ok(()) => return (servers, access),
                Err(Failure::PortTaken) => {}
                Err(failure) => failure.report(),
            }
        }
        panic!("no two free ports in {ATTEMPTS} attempts");
    }

    fn spawn(
        programs: &Programs,
        secrets: &Secrets,
        client_port: u16,
        command: Vec<String>,
        directory: &Arc<Directory>,
    ) -> Self {
        let log = |name| directory.path().join(name);
        for name in ["etcd.log", "kube-apiserver.log"] {
            let _ = std::fs::remove_file(log(name)); // from an earlier attempt
        }
        let etcd = etcd_command(programs, client_port, directory);
        let etcd = Process::spawn(&etcd, &log("etcd.log"), directory);
        let apiserver = Process::spawn(&command, &log("kube-apiserver.log"), directory);
        Self {
            apiserver: Mutex::new(Some(apiserver)),
            etcd: Mutex::new(etcd),
            command,
            ca: secrets.ca.clone(),
            pinned: secrets.pinned[0].clone(),
            clients: Arc::clone(&secrets.clients),
            directory: Arc::clone(directory),
        }
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.ca.clone()
    }

    pub(super) fn pinned(&self) -> PathBuf {
        self.pinned.clone()
    }

    pub(super) fn clients(&self) -> &ClientAuthority {
        &self.clients
    }

    /// The URL of etcd.
    pub(super) fn etcd(&self) -> String {
        let url = self.command.iter().find_map(|word| word.strip_prefix("--etcd-servers="));
        url.expect("in the command").to_owned()
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.directory.path().join("audit.log")
    }

    pub(super) fn kill_apiserver(&self) {
        *lock(&self.apiserver) = None;
    }

    pub(super) async fn restart_apiserver(&self, admin: Config) {
        self.kill_apiserver();
        let log = self.directory.path().join("kube-apiserver.log");
        *lock(&self.apiserver) = Some(Process::spawn(&self.command, &log, &self.directory));
        self.ready(admin).await.unwrap_or_else(|failure| failure.report());
    }

    pub(super) fn signal_apiserver(&self, signal: Signal) {
        lock(&self.apiserver)
            .as_mut()
            .expect("kube-apiserver was restarted after it was killed")
            .signal(signal);
    }

    pub(super) fn signal_etcd(&self, signal: Signal) {
        lock(&self.etcd).signal(signal);
    }

    pub(super) fn apiserver_use(&self) -> ServerUse {
        let apiserver = lock(&self.apiserver);
        ServerUse::of(apiserver.as_ref().expect("kube-apiserver was not killed").pid())
    }

    pub(super) fn etcd_use(&self) -> ServerUse {
        ServerUse::of(lock(&self.etcd).pid())
    }

    /// Waits until kube-apiserver reports that it is ready. Its certificate distinguishes it from another server that
    /// may have taken the port.
    async fn ready(&self, admin: Config) -> Result<(), Failure> {
        let client = Client::try_from(admin).expect("the configuration makes a client");
        let begun = Instant::now();
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
            let answer = tokio::time::timeout(READY_WITHIN / 20, client.request_text(request));
            let answer = answer.await;
            self.check()?;
            if matches!(answer, Ok(Ok(text)) if text == "ok") {
                return Ok(());
            }
            if begun.elapsed() > READY_WITHIN {
                return Err(Failure::Late(self.logs()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Fails if one of the servers has ended.
    fn check(&self) -> Result<(), Failure> {
        let apiserver = lock(&self.apiserver).as_mut().is_none_or(Process::has_ended);
        if !apiserver && !lock(&self.etcd).has_ended() {
            return Ok(());
        }
        let logs = self.logs();
        let taken = logs.contains("address already in use");
        Err(if taken { Failure::PortTaken } else { Failure::Ended(logs) })
    }

    fn logs(&self) -> String {
        let logs = ["etcd.log", "kube-apiserver.log"];
        logs.map(|name| tail(&self.directory.path().join(name))).concat()
    }
}

impl Failure {
    fn report(self) -> ! {
        match self {
            Self::PortTaken => panic!("the port of the control plane was taken"),
            Self::Ended(logs) => panic!("the control plane ended:\n{logs}"),
            Self::Late(logs) => panic!("no control plane within {READY_WITHIN:?}:\n{logs}"),
        }
    }
}

fn etcd_command(programs: &Programs, client_port: u16, directory: &Directory) -> Vec<String> {
    let url = format!("http://127.0.0.1:{client_port}");
    let data = directory.path().join(format!("etcd-{client_port}"));
    let mut command = programs.etcd.clone();
    command.extend([
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        "--listen-peer-urls=http://127.0.0.1:0".into(),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]);
    command
}

fn apiserver_command(
    programs: &Programs,
    secrets: &Secrets,
    [client_port, port]: [u16; 2],
    directory: &Directory,
) -> Vec<String> {
    let file = |flag, path: &std::path::Path| format!("--{flag}={}", path.display());
    let here = |flag, name| file(flag, &directory.path().join(name));
    let mut command = programs.apiserver.clone();
    command.extend([
        format!("--etcd-servers=http://127.0.0.1:{client_port}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        here("cert-dir", "certificates"),
        file("tls-cert-file", &secrets.certificate),
        file("tls-private-key-file", &secrets.key),
        format!(
            "--tls-sni-cert-key={},{}:{PINNED}",
            secrets.pinned[0].display(),
            secrets.pinned[1].display()
        ),
        file("token-auth-file", &secrets.token_file),
        file("client-ca-file", &secrets.client_ca),
        "--anonymous-auth=false".into(),
        "--authorization-mode=RBAC".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        file("service-account-key-file", &secrets.accounts),
        file("service-account-signing-key-file", &secrets.accounts_key),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        // Off: kube-apiserver would renew its own Lease, which the counts would include. From 1.28 on, the second
        // feature needs the first.
        "--feature-gates=APIServerIdentity=false,UnknownVersionInteroperabilityProxy=false".into(),
        here("audit-policy-file", "audit-policy.yaml"),
        here("audit-log-path", "audit.log"),
        // Written before the request is handled, and never rotated, so that counts are exact at any time.
        "--audit-log-mode=blocking-strict".into(),
        "--audit-log-maxsize=0".into(),
    ]);
    command
}

/// A free port. It is below the range for outgoing connections, because one of those could take the port while
/// kube-apiserver restarts.
pub(super) fn free_port() -> u16 {
    const RANGE: std::ops::Range<u128> = 20_000..30_000;
    loop {
        let number = uuid::Uuid::new_v4().as_u128() % (RANGE.end - RANGE.start) + RANGE.start;
        let port = u16::try_from(number).expect("within the range");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
