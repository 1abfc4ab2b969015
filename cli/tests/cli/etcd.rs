//! The program on etcd: `--etcd`.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use leasehold_test_support::EtcdCluster;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{client::SidecarClient, program::Program};

/// A cluster of one node that tests share, and a prefix of keys that no other test uses.
struct Keys {
    cluster: &'static EtcdCluster,
    nodes: String,
    prefix: String,
}

impl Keys {
    /// `None` if no program may be started.
    async fn new() -> Option<Self> {
        static TEST: AtomicUsize = AtomicUsize::new(0);
        static SHARED: OnceCell<Option<EtcdCluster>> = OnceCell::const_new();
        let cluster = SHARED.get_or_init(|| EtcdCluster::start(1)).await.as_ref()?;
        let prefix = format!("/test-{}", TEST.fetch_add(1, Ordering::Relaxed));
        Some(Self { cluster, nodes: cluster.addresses().join(","), prefix })
    }

    fn leasehold<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new(args)
            .env("KUBECONFIG", "/nowhere/kubeconfig")
            .env("LEASEHOLD_ETCD", &self.nodes)
            .env("LEASEHOLD_ETCD_PREFIX", &self.prefix)
    }

    /// The value of a key.
    async fn value(&self, path: &str) -> Option<Value> {
        let text = self.cluster.get(&format!("{}/{path}", self.prefix)).await?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// The lines of a command with `-o json`.
    async fn json<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
        let ended = self.leasehold(args).arg("-o").arg("json").end().await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The values of the field in each line.
fn field(lines: &[Value], name: &str) -> Vec<Value> {
    lines.iter().map(|line| line[name].clone()).collect()
}

#[tokio::test]
async fn a_command_runs_under_a_lock_in_etcd_without_any_kubeconfig() {
    let Some(keys) = Keys::new().await else { return };
    let script = "echo $LEASEHOLD_NAME in $LEASEHOLD_NAMESPACE; read wait";
    let node = keys.nodes.clone();
    let args = ["lock", "--etcd", &node, "--etcd-prefix", &keys.prefix, "--id", "first", "orders"];
    let mut first = Program::new(args.into_iter().chain(["sh", "-c", script]))
        .env("KUBECONFIG", "/nowhere/kubeconfig")
        .piped()
        .start();
    assert_eq!(first.line().await, "orders in default");
    let held = keys.value("default/orders").await.unwrap();

    let second = keys.leasehold(["lock", "--try", "orders", "true"]).end().await;
    first.write_line("go\n").await;
    let first = first.end().await;
    let third = keys.leasehold(["lock", "--try", "orders", "true"]).end().await;

    assert_eq!(held["holder"], "first", "{held}");
    assert_eq!(second.code, Some(75), "{second:?}");
    assert!(second.stderr_line().contains("is held by `first`"), "{second:?}");
    assert_eq!((first.code, &*first.stderr), (Some(0), ""), "{first:?}");
    assert_eq!((third.code, &*third.stderr), (Some(0), ""), "{third:?}");
    assert_eq!(keys.value("default/orders").await.unwrap()["holder"], Value::Null);
}

#[tokio::test]
async fn records_are_listed_watched_and_taken_from_a_holder() {
    let Some(keys) = Keys::new().await else { return };
    let hold = ["lock", "--id", "one", "-n", "shop", "orders"];
    let mut holder = keys.leasehold(hold).start();
    holder.line().await;
    let mut candidate = keys.leasehold(["elect", "--id", "two", "-n", "other", "billing"]).start();
    while !candidate.line().await.contains("leads") {}
    let mut watch = keys.leasehold(["watch", "-A", "-o", "json", "orders"]).start();
    let mut event = async || serde_json::from_str::<Value>(&watch.line().await).unwrap();
    assert_eq!(event().await["event"], "acquired");

    let everywhere = keys.json(["status", "-A"]).await;
    let shop = keys.json(["status", "-n", "shop"]).await;
    let members = keys.json(["members", "-n", "other"]).await;
    let released = keys.json(["release", "--force", "-n", "shop", "orders"]).await;
    let lost = event().await;
    let end = holder.end().await;

    let mut names = field(&everywhere, "name");
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["billing", "orders"]);
    assert_eq!(field(&shop, "holder"), ["one"]);
    assert!(shop[0]["token"].is_number() && shop[0]["held_seconds"].is_number(), "{shop:?}");
    assert_eq!(field(&members, "candidate_id"), ["two"]);
    assert_eq!(field(&members, "role"), ["leader"]);
    assert_eq!(field(&released, "state"), ["free"]);
    assert_eq!((&lost["event"], &lost["why"]), (&json!("lost"), &json!("released")), "{lost}");
    assert_eq!(end.code, Some(79), "{end:?}");
    let value = keys.value("shop/orders").await.unwrap();
    assert_eq!(value["holder"], Value::Null, "{value}");
    candidate.signal(Signal::TERM);
    assert_eq!(candidate.end().await.code, Some(0));
}

#[tokio::test]
async fn sessions_are_listed_with_their_locks_and_ended() {
    let Some(keys) = Keys::new().await else { return };
    let args = ["lock", "--queue", "--ttl", "3s", "-n", "shop", "--id"];
    let mut holder = keys.leasehold(args.into_iter().chain(["one", "orders"])).start();
    holder.line().await;
    let mut waiter = keys.leasehold(args.into_iter().chain(["two", "orders"])).start();
    let waits = |sessions: &[Value]| field(sessions, "waiting").contains(&json!(1));
    let mut sessions = keys.json(["sessions", "-A"]).await;
    while !waits(&sessions) {
        sessions = keys.json(["sessions", "-A"]).await;
    }
    let (of, session) = (field(&sessions, "identity"), field(&sessions, "session"));
    let status = keys.json(["status", "-n", "shop"]).await;
    let id = session[0].as_str().unwrap();

    let alive = keys.leasehold(["release", "-n", "shop", "--session", id]).end().await;
    let forced = ["release", "--force", "-n", "shop", "--session", id];
    let forced = keys.leasehold(forced).end().await;
    let lost = holder.end().await;
    let next = waiter.line().await;

    assert_eq!(of, ["one", "two"]);
    assert_eq!(field(&sessions, "held"), [1, 0]);
    assert_eq!((&status[0]["holders"], &status[0]["waiting"]), (&json!([id]), &json!(1)));
    assert_eq!(alive.code, Some(75), "{alive:?}");
    assert!(alive.stderr.contains("is renewed by `one`"), "{alive:?}");
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert_eq!(lost.code, Some(79), "{lost:?}");
    assert!(next.contains("holding `orders`"), "{next}");
    waiter.signal(Signal::TERM);
    assert_eq!(waiter.end().await.code, Some(0));
}

#[tokio::test]
async fn unused_records_are_deleted_and_held_ones_stay() {
    let Some(keys) = Keys::new().await else { return };
    for name in ["old", "older"] {
        assert_eq!(keys.leasehold(["lock", name, "true"]).end().await.code, Some(0));
    }
    let mut holder = keys.leasehold(["lock", "held"]).start();
    holder.line().await;

    let kept = keys.json(["prune"]).await;
    let would = keys.json(["prune", "--older-than", "0", "--dry-run"]).await;
    let deleted = keys.json(["prune", "-A", "--older-than", "0"]).await;

    assert!(kept.is_empty(), "used within seven days: {kept:?}");
    assert_eq!(field(&would, "outcome"), ["unused", "unused"]);
    assert_eq!(field(&deleted, "name"), ["old", "older"]);
    assert_eq!(field(&deleted, "outcome"), ["deleted", "deleted"]);
    assert_eq!(keys.value("default/old").await, None);
    assert!(keys.value("default/held").await.unwrap()["holder"].is_string());
    holder.signal(Signal::TERM);
    assert_eq!(holder.end().await.code, Some(0));
}

#[tokio::test]
async fn a_sidecar_serves_the_leader_and_its_page_follows_the_keys() {
    let Some(keys) = Keys::new().await else { return };
    let args = ["elect", "--serve", "127.0.0.1:0", "--page", "--id", "one", "--payload", "here"];
    let mut sidecar = keys.leasehold(args.into_iter().chain(["billing"])).start();
    let line = sidecar.stderr_line().await;
    let client = SidecarClient::of(line.rsplit_once(" on ").unwrap().1);

    client.until("/leading", 200).await;
    let status = client.get("/").await.json();

    assert_eq!(status["leader"]["candidate_id"], "one", "{status}");
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.end().await.code, Some(0));
    assert_eq!(keys.value("default/billing").await.unwrap()["holder"], Value::Null);
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_password_reaches_etcd_and_neither_the_command_nor_any_output() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    cluster.require_users("shop", "xyzzy-secret", "/shop/").await;
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "password", "xyzzy-secret\n");
    let nodes = cluster.addresses().join(",");
    let program = |args: &[&str]| {
        let args = ["lock", "--try", "--etcd", &nodes].into_iter().chain(args.iter().copied());
        Program::new(args).env("LEASEHOLD_ETCD_PREFIX", "/shop")
    };
    let by_variable = program(&["-vv", "--etcd-user", "shop", "x", "env"])
        .env("LEASEHOLD_ETCD_PASSWORD", "xyzzy-secret")
        .end()
        .await;
    let by_file = ["--etcd-user", "shop", "--etcd-password-file", &file, "x", "true"];
    let by_file = program(&by_file).end().await;
    // As from `<(..)` of a shell, which can be read only once.
    let by_pipe = ["--etcd-user", "shop", "--etcd-password-file", "/dev/stdin", "x", "true"];
    let by_pipe = program(&by_pipe).fed(b"xyzzy-secret\n").await;
    let wrong = program(&["--etcd-user", "shop", "x", "true"])
        .env("LEASEHOLD_ETCD_PASSWORD", "xyzzy-wrong")
        .end()
        .await;
    let none = program(&["--etcd-user", "shop", "x", "true"]).end().await;
    let other = program(&["--etcd-user", "shop", "--etcd-prefix", "/other", "x", "true"])
        .env("LEASEHOLD_ETCD_PASSWORD", "xyzzy-secret")
        .end()
        .await;

    assert_eq!(by_variable.code, Some(0), "{by_variable:?}");
    assert!(by_variable.text().contains("LEASEHOLD_NAME=x"), "{by_variable:?}");
    assert!(!by_variable.text().contains("LEASEHOLD_ETCD_PASSWORD"), "{by_variable:?}");
    assert_eq!((by_file.code, &*by_file.stderr), (Some(0), ""), "{by_file:?}");
    assert_eq!((by_pipe.code, &*by_pipe.stderr), (Some(0), ""), "{by_pipe:?}");
    assert_eq!(wrong.code, Some(69), "{wrong:?}");
    assert!(wrong.stderr_line().contains("Check the user and the password"), "{wrong:?}");
    assert_eq!(none.code, Some(64), "{none:?}");
    assert!(none.stderr_line().contains("LEASEHOLD_ETCD_PASSWORD"), "{none:?}");
    assert_eq!(other.code, Some(69), "{other:?}");
    assert!(other.stderr_line().contains("key /other/default/x"), "{other:?}");
    for ended in [by_variable, by_file, wrong, none, other] {
        let output = format!("{}{}", ended.text(), ended.stderr);
        assert!(!output.contains("xyzzy"), "a password: {output}");
    }
}

#[tokio::test]
async fn a_password_in_the_url_of_a_node_is_refused_and_not_shown() {
    let node = "http://shop:xyzzy-secret@127.0.0.1:1";
    for args in [&["lock", "-vv", "--try", "x", "true"][..], &["status", "-vv"], &["demo"]] {
        let ended = Program::new(args.iter().copied()).env("LEASEHOLD_ETCD", node).end().await;

        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr_line().contains("127.0.0.1:1"), "{ended:?}");
        assert!(!ended.stderr.contains("secret") && ended.stdout.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
async fn certificates_are_read_from_files() {
    let Some(cluster) = EtcdCluster::start_with(1, &[], true).await else { return };
    let directory = tempfile::tempdir().unwrap();
    let (authority, certificate, key) = cluster.certificates();
    let [ca, cert, key] = [("ca", authority), ("cert", certificate), ("key", key)]
        .map(|(name, text)| written(directory.path(), name, &text));
    let nodes = cluster.addresses().join(",");
    let lock = |args: &[&str]| {
        let lock = ["lock", "--wait", "5s", "--etcd", &nodes].into_iter();
        Program::new(lock.chain(args.iter().copied()).chain(["x", "true"]).collect::<Vec<_>>())
    };

    let with = lock(&["--etcd-ca", &ca, "--etcd-cert", &cert, "--etcd-key", &key]).end().await;
    let without = lock(&["--etcd-ca", &ca]).end().await;
    let half = lock(&["--etcd-ca", &ca, "--etcd-cert", &cert]).end().await;
    let missing = lock(&["--etcd-ca", "/nowhere/ca.pem"]).end().await;
    let broken = lock(&["--etcd-ca", &written(directory.path(), "text", "hello")]).end().await;

    assert_eq!(with.code, Some(0), "{with:?}");
    assert_eq!(without.code, Some(69), "{without:?}");
    assert_eq!(half.code, Some(64), "{half:?}");
    assert_eq!(missing.code, Some(69), "{missing:?}");
    assert!(missing.stderr_line().contains("--etcd-ca: `/nowhere/ca.pem` cannot be read"));
    assert_eq!(broken.code, Some(69), "{broken:?}");
    assert!(broken.stderr_line().contains("BEGIN CERTIFICATE"), "{broken:?}");
}

#[tokio::test]
async fn options_of_kubernetes_are_refused_with_etcd_and_named() {
    let refused: [(&[&str], &str); 8] = [
        (&["lock", "--kubeconfig", "/x", "x", "true"], "--kubeconfig (LEASEHOLD_KUBECONFIG)"),
        (&["status", "--context", "x"], "--context (LEASEHOLD_CONTEXT)"),
        (&["lock", "--label", "a=b", "x", "true"], "--label (LEASEHOLD_LABELS)"),
        (&["elect", "--annotation", "a=b", "x", "true"], "--annotation (LEASEHOLD_ANNOTATIONS)"),
        (&["status", "-l", "a=b"], "--selector (LEASEHOLD_SELECTOR)"),
        (&["prune", "-l", "a=b"], "--selector (LEASEHOLD_SELECTOR)"),
        (&["elect", "--events", "x"], "--events (LEASEHOLD_EVENTS)"),
        (&["elect", "--label-leader", "x"], "--label-leader (LEASEHOLD_LABEL_LEADER)"),
    ];
    for (args, option) in refused {
        let nodes = "127.0.0.1:1";
        let ended = Program::new(args.iter().copied()).env("LEASEHOLD_ETCD", nodes).end().await;
        assert_eq!(ended.code, Some(64), "{args:?} {ended:?}");
        assert!(ended.stderr_line().contains(option), "{args:?} {ended:?}");
    }
    let pod = Program::new(["elect", "x"]).env("LEASEHOLD_ETCD", "127.0.0.1:1");
    let pod = pod.env("LEASEHOLD_POD", "p").end().await;
    assert!(pod.stderr_line().contains("--pod (LEASEHOLD_POD)"), "{pod:?}");
    for args in [["lock", "--etcd-prefix", "/x"], ["lock", "--etcd-user", "x"]] {
        let ended = Program::new(args.into_iter().chain(["x", "true"])).end().await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains("--etcd <NODES>"), "{ended:?}");
    }
}

#[tokio::test]
async fn errors_name_etcd_and_not_an_api_server() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nodes = closed.to_string();
    for args in [&["lock", "--try", "x", "true"][..], &["status"], &["sessions"], &["prune"]] {
        let begun = std::time::Instant::now();
        let ended = Program::new(args.iter().copied()).env("LEASEHOLD_ETCD", &nodes).end().await;
        let line = ended.stderr_line();

        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(line.contains(&nodes) && line.contains("etcdctl endpoint health"), "{line}");
        assert!(!line.contains("API server") && !line.contains("kubernetes"), "{line}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{args:?}");
    }
}

#[tokio::test]
async fn a_lock_inside_itself_is_refused_in_whatever_order_the_nodes_are_named() {
    let Some(keys) = Keys::new().await else { return };
    let inner = format!(
        "{} lock --etcd http://127.0.0.1:1,{} orders true",
        env!("CARGO_BIN_EXE_leasehold"),
        keys.nodes
    );
    let outer = format!("{},127.0.0.1:1", keys.nodes);

    let ended =
        keys.leasehold(["lock", "--etcd", &outer, "orders", "sh", "-c", &inner]).end().await;

    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.stderr.contains("LEASEHOLD_CHAIN"), "{ended:?}");
}

#[tokio::test]
async fn the_demonstration_plays_on_etcd_and_leaves_no_key() {
    let Some(keys) = Keys::new().await else { return };

    let ended = keys.leasehold(["demo"]).end().await;
    let serve = keys.leasehold(["demo", "--serve", "127.0.0.1:0"]).end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    for text in [&*keys.nodes, "CRASHES", "resigns", "LOSES THE NETWORK", "IS FROZEN", "SUMMARY"] {
        assert!(ended.text().contains(text), "{text}: {}", ended.text());
    }
    assert_eq!(keys.cluster.keys(&keys.prefix).await, [""; 0]);
    assert_eq!(serve.code, Some(64), "{serve:?}");
}

#[tokio::test]
async fn a_demonstration_that_is_interrupted_leaves_no_key() {
    let Some(keys) = Keys::new().await else { return };
    let mut demo = keys.leasehold(["demo"]).start();
    while !demo.line().await.contains("HOLDS") {}

    demo.signal(Signal::INT);
    let ended = demo.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(130), ""), "{ended:?}");
    assert_eq!(keys.cluster.keys(&keys.prefix).await, [""; 0]);
}
