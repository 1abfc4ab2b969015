//! A cluster of etcd alone, without kube-apiserver.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::files::{Directory, tail};
use super::process::Process;
use super::programs::Origin;
use super::secrets::Secrets;
use super::servers::{free_port, lock};

/// How many sets of ports to try, because another process may take a port first.
const ATTEMPTS: usize = 5;
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A cluster of etcd. Dropping it stops the nodes.
///
/// Methods panic with a message when they fail.
#[derive(Debug)]
pub struct EtcdCluster {
    nodes: Vec<Node>,
    secrets: Secrets,
    /// Authentication is on: requests of this type are those of `root`.
    secured: AtomicBool,
    // Last, so that it is dropped after the nodes, which write into it.
    directory: Arc<Directory>,
}

#[derive(Debug)]
struct Node {
    name: String,
    command: Vec<String>,
    client_port: u16,
    health_port: u16,
    process: Mutex<Option<Process>>,
}

impl EtcdCluster {
    /// Starts `nodes` nodes and waits until they are ready. `None` if no program may be started, because
    /// `LEASEHOLD_TEST_KUBECONFIG` names a cluster; prints then that the test is skipped.
    pub async fn start(nodes: usize) -> Option<Self> {
        Self::start_with(nodes, &[], false).await
    }

    /// Starts nodes with additional arguments; with `tls`, they require a certificate from every client.
    pub async fn start_with(nodes: usize, flags: &[&str], tls: bool) -> Option<Self> {
        let Origin::Programs(programs) = Origin::from_env() else {
            let test = std::thread::current().name().unwrap_or("test").to_owned();
            eprintln!("{test}: skipped, because LEASEHOLD_TEST_KUBECONFIG names a cluster");
            return None;
        };
        let directory = Arc::new(Directory::new());
        let secrets = Secrets::new(&directory);
        let mut cluster = Self { nodes: Vec::new(), secrets, secured: false.into(), directory };
        for attempt in 0..ATTEMPTS {
            cluster.nodes = cluster.commands(&programs.etcd, attempt, nodes, flags, tls);
            for node in 0..nodes {
                cluster.spawn(node);
            }
            match cluster.ready().await {
                Ok(()) => return Some(cluster),
                Err(logs) if logs.contains("address already in use") => {}
                Err(logs) => panic!("no etcd within {READY_WITHIN:?}:\n{logs}"),
            }
        }
        panic!("no free ports in {ATTEMPTS} attempts");
    }

    /// The address of a node, without a scheme.
    pub fn address(&self, node: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.nodes[node].client_port).into()
    }

    /// The addresses of all nodes.
    pub fn addresses(&self) -> Vec<String> {
        (0..self.nodes.len()).map(|node| self.address(node).to_string()).collect()
    }

    /// The authority of the nodes' certificates, and a client certificate with its key, in PEM.
    pub fn certificates(&self) -> (String, String, String) {
        let (certificate, key) = self.client_certificate(Duration::from_secs(3600));
        (self.secrets.ca_pem.clone(), certificate, key)
    }

    /// A client certificate that ends after `valid`, and its key, in PEM.
    pub fn client_certificate(&self, valid: Duration) -> (String, String) {
        self.secrets.clients.admin(valid).expect("a certificate")
    }

    /// Kills a node with SIGKILL and waits until it has ended.
    pub fn kill(&self, node: usize) {
        *lock(&self.nodes[node].process) = None;
    }

    /// Starts a node again that was killed, and waits until all nodes are ready.
    pub async fn restart(&self, node: usize) {
        self.spawn(node);
        self.ready().await.unwrap_or_else(|logs| panic!("etcd is not ready again:\n{logs}"));
    }

    /// Pauses a node with SIGSTOP and waits until it has stopped. Its connections stay open.
    pub fn pause(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// Resumes a node with SIGCONT.
    pub fn resume(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    /// The number of the node that leads the others.
    pub async fn leader(&self) -> usize {
        let status = self.post(0, "/v3/maintenance/status", json!({})).await;
        for node in 0..self.nodes.len() {
            if self.id(node).await == status["leader"] {
                return node;
            }
        }
        panic!("no node leads: {status}");
    }

    /// Makes another node the leader of the cluster.
    pub async fn move_leader(&self) {
        let leader = self.leader().await;
        let target = self.id((leader + 1) % self.nodes.len()).await;
        let request = json!({ "targetID": target });
        self.post(leader, "/v3/maintenance/transfer-leadership", request).await;
    }

    /// Discards all old states, so that no watch can continue from one of them.
    pub async fn compact(&self) {
        let found = self.post(0, "/v3/kv/range", json!({ "key": base64("x") })).await;
        let revision = &found["header"]["revision"];
        let request = json!({ "revision": revision, "physical": true });
        self.post(0, "/v3/kv/compaction", request).await;
    }

    /// Writes a key past all conditions, as an operator can.
    pub async fn put(&self, key: &str, value: &str) {
        assert!(self.try_put(key, value).await, "etcd refuses to write {key}");
    }

    /// The same. Returns false if etcd refuses.
    pub async fn try_put(&self, key: &str, value: &str) -> bool {
        let request = json!({ "key": base64(key), "value": base64(value) });
        self.try_post(0, "/v3/kv/put", request).await.is_ok()
    }

    /// Deletes a key, as an operator can.
    pub async fn delete(&self, key: &str) {
        self.post(0, "/v3/kv/deleterange", json!({ "key": base64(key) })).await;
    }

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Option<String> {
        let found = self.post(0, "/v3/kv/range", json!({ "key": base64(key) })).await;
        let value = found["kvs"][0]["value"].as_str()?;
        let value = STANDARD.decode(value).expect("base64");
        Some(String::from_utf8(value).expect("UTF-8"))
    }

    /// How many messages all nodes have received from clients: requests, watches and their ends. Requests of this type
    /// itself do not count.
    pub async fn requests(&self) -> u64 {
        let is_received = |line: &str| {
            line.starts_with("grpc_server_msg_received_total") && !line.contains("Maintenance")
        };
        self.sum_of_metrics(is_received).await
    }

    /// How often users were authenticated. Requests of this type do not count.
    pub async fn authentications(&self) -> u64 {
        let is_counted = |line: &str| {
            line.starts_with("grpc_server_handled_total") && line.contains("\"Authenticate\"")
        };
        self.sum_of_metrics(is_counted).await
    }

    /// How many messages all nodes have sent to watches.
    pub async fn watch_messages(&self) -> u64 {
        let is_sent =
            |line: &str| line.starts_with("grpc_server_msg_sent_total") && line.contains("Watch");
        self.sum_of_metrics(is_sent).await
    }

    /// How many watches all nodes have.
    pub async fn watches(&self) -> u64 {
        self.sum_of_metrics(|line| line.starts_with("etcd_debugging_mvcc_watcher_total ")).await
    }

    async fn sum_of_metrics(&self, is_counted: impl Fn(&str) -> bool) -> u64 {
        let mut sum = 0;
        for node in &self.nodes {
            let url = format!("http://127.0.0.1:{}/metrics", node.health_port);
            let answer = client().get(url.parse().expect("a URL")).await.expect("an answer");
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            let lines = String::from_utf8_lossy(&body).into_owned();
            let counted = lines.lines().filter(|line| is_counted(line));
            let numbers = counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
            sum += numbers.sum::<u64>();
        }
        sum
    }

    /// The keys that begin with `prefix`.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let end = format!("{prefix}\u{7f}");
        let request =
            json!({ "key": base64(prefix), "range_end": base64(&end), "keys_only": true });
        let found = self.post(0, "/v3/kv/range", request).await;
        let keys = found["kvs"].as_array().cloned().unwrap_or_default();
        let key = |kv: &Value| STANDARD.decode(kv["key"].as_str().expect("a key")).expect("base64");
        keys.iter().map(|kv| String::from_utf8(key(kv)).expect("UTF-8")).collect()
    }

    /// Turns authentication on, with `root` and one more user who may read and write the keys with `prefix`.
    pub async fn require_users(&self, user: &str, password: &str, prefix: &str) {
        let end = format!("{prefix}\u{7f}");
        let permission =
            json!({ "permType": "READWRITE", "key": base64(prefix), "range_end": base64(&end) });
        for (path, request) in [
            ("user/add", json!({ "name": "root", "password": "root" })),
            ("role/add", json!({ "name": "root" })),
            ("user/grant", json!({ "user": "root", "role": "root" })),
            ("user/add", json!({ "name": user, "password": password })),
            ("role/add", json!({ "name": "users" })),
            ("role/grant", json!({ "name": "users", "perm": permission })),
            ("user/grant", json!({ "user": user, "role": "users" })),
            ("enable", json!({})),
        ] {
            self.admin(&format!("auth/{path}"), request).await;
        }
        self.secured.store(true, Ordering::Relaxed);
    }

    /// Changes the password of a user. What etcd gave for the old one is refused from now on.
    pub async fn set_password(&self, user: &str, password: &str) {
        let request = json!({ "name": user, "password": password });
        self.admin("auth/user/changepw", request).await;
    }

    /// Sends a request of an operator, with the path after `/v3/`.
    pub async fn admin(&self, path: &str, request: Value) -> Value {
        self.post(0, &format!("/v3/{path}"), request).await
    }

    async fn id(&self, node: usize) -> Value {
        self.post(node, "/v3/maintenance/status", json!({})).await["header"]["member_id"].clone()
    }

    async fn post(&self, node: usize, path: &str, request: Value) -> Value {
        let answer = self.try_post(node, path, request).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn try_post(&self, node: usize, path: &str, request: Value) -> Result<Value, Value> {
        let url = |path: &str| format!("http://{}{path}", self.address(node));
        let mut builder = http::Request::post(url(path));
        if self.secured.load(Ordering::Relaxed) {
            let root = json!({ "name": "root", "password": "root" });
            let answer = post_json(&url("/v3/auth/authenticate"), &root).await?;
            builder = builder.header(AUTHORIZATION, answer["token"].as_str().expect("a token"));
        }
        send(builder, &request).await
    }

    fn commands(
        &self,
        program: &[String],
        attempt: usize,
        count: usize,
        flags: &[&str],
        tls: bool,
    ) -> Vec<Node> {
        let peers: Vec<_> = (0..count).map(|_| free_port()).collect();
        let all = peers.iter().enumerate();
        let all = all.map(|(node, port)| format!("n{node}=http://127.0.0.1:{port}"));
        let all = all.collect::<Vec<_>>().join(",");
        let nodes = peers.iter().enumerate().map(|(number, peer_port)| {
            let (client_port, health_port) = (free_port(), free_port());
            let url = format!("{}://127.0.0.1:{client_port}", if tls { "https" } else { "http" });
            let data = self.directory.path().join(format!("n{number}-{attempt}"));
            let mut command = program.to_vec();
            command.extend([
                format!("--name=n{number}"),
                format!("--data-dir={}", data.display()),
                format!("--listen-client-urls={url}"),
                format!("--advertise-client-urls={url}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
                format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}"),
                format!("--initial-cluster={all}"),
                format!("--listen-metrics-urls=http://127.0.0.1:{health_port}"),
                "--unsafe-no-fsync".into(),
                "--log-level=warn".into(),
            ]);
            if tls {
                let Secrets { certificate, key, client_ca, .. } = &self.secrets;
                command.extend([
                    format!("--cert-file={}", certificate.display()),
                    format!("--key-file={}", key.display()),
                    format!("--trusted-ca-file={}", client_ca.display()),
                    "--client-cert-auth".into(),
                ]);
            }
            command.extend(flags.iter().map(|&flag| flag.to_owned()));
            let name = format!("n{number}");
            Node { name, command, client_port, health_port, process: Mutex::new(None) }
        });
        nodes.collect()
    }

    fn spawn(&self, node: usize) {
        let Node { name, command, process, .. } = &self.nodes[node];
        let log = self.directory.path().join(format!("{name}.log"));
        *lock(process) = Some(Process::spawn(command, &log, &self.directory));
    }

    fn signal(&self, node: usize, signal: Signal) {
        lock(&self.nodes[node].process).as_mut().expect("it runs").signal(signal);
    }

    /// Waits until every node that runs is healthy. Fails with the logs.
    async fn ready(&self) -> Result<(), String> {
        let begun = Instant::now();
        for node in &self.nodes {
            while !node.is_healthy().await {
                let ended = lock(&node.process).as_mut().is_some_and(Process::has_ended);
                if ended || begun.elapsed() > READY_WITHIN {
                    let logs = self.nodes.iter().map(|node| format!("{}.log", node.name));
                    return Err(logs.map(|log| tail(&self.directory.path().join(log))).collect());
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }
}

impl Node {
    async fn is_healthy(&self) -> bool {
        if lock(&self.process).is_none() {
            return true;
        }
        let url = format!("http://127.0.0.1:{}/health", self.health_port);
        let url = url.parse().expect("a URL");
        let answer = tokio::time::timeout(READY_WITHIN / 20, client().get(url)).await;
        matches!(answer, Ok(Ok(answer)) if answer.status().is_success())
    }
}

/// Sends a request in JSON. A refusal is an error.
pub(super) async fn post_json(url: &str, request: &Value) -> Result<Value, Value> {
    send(http::Request::post(url), request).await
}

async fn send(request: http::request::Builder, body: &Value) -> Result<Value, Value> {
    let request = request.body(Full::new(Bytes::from(body.to_string())));
    let answer = client().request(request.expect("a request")).await.expect("an answer");
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status.is_success() { Ok(body) } else { Err(body) }
}

/// The text at an address.
pub(super) async fn get_text(url: &str) -> String {
    let answer = client().get(url.parse().expect("a URL")).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.into()).expect("UTF-8")
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn base64(text: &str) -> String {
    STANDARD.encode(text)
}
