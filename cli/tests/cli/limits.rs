//! `leasehold elect --serve`: no number of clients costs the lead, or the answer to a probe.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use leasehold_test_support::processes::Process;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    Fixture,
    client::SidecarClient,
    program::{Program, Running},
};

/// A client of the socket itself.
async fn connect(client: &SidecarClient) -> TcpStream {
    TcpStream::connect(client.address()).await.unwrap()
}

/// Sends `text` and returns the connection. The server may close it first.
async fn sent(client: &SidecarClient, text: &str) -> TcpStream {
    let mut stream = connect(client).await;
    let _ = stream.write_all(text.as_bytes()).await;
    stream
}

/// Reads until the server closes the connection; false if it stays open for this long.
async fn closes_within(stream: &mut TcpStream, limit: Duration) -> bool {
    let mut read = Vec::new();
    timeout(limit, stream.read_to_end(&mut read)).await.is_ok()
}

/// The most memory that the process has used, in MiB.
fn memory(program: &Running) -> u64 {
    let process = Process::find(program.pid().as_raw_nonzero()).unwrap();
    let size = process.field("VmHWM").unwrap();
    size.trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// The soft and the hard limit of open files.
fn open_files(program: &Running) -> (String, String) {
    let process = Process::find(program.pid().as_raw_nonzero()).unwrap();
    let limits = fs::read_to_string(process.file("limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    (words[3].to_owned(), words[4].to_owned())
}

/// The token of the lead, in an answer that must come soon.
async fn token(client: &SidecarClient) -> u64 {
    let fresh = SidecarClient::of(&client.url);
    let answer = timeout(Duration::from_secs(5), fresh.try_get("/leading")).await;
    let answer = answer.expect("an answer in time").expect("an answer");
    answer.json()["token"].as_u64().expect("it leads")
}

#[tokio::test]
async fn unfinished_heads_cost_little_memory_and_no_answer() {
    let fixture = Fixture::new().await;
    let (program, client) = fixture.sidecar("first").await;
    client.until("/leading", 200).await;
    let (before, used) = (token(&client).await, memory(&program));
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nlong: {}", "x".repeat(400_000));

    let mut streams = Vec::new();
    for place in 0..300 {
        let mut stream = connect(&client).await;
        let part = head.as_bytes();
        // Without a reader the rest does not fit into the socket.
        let _ = timeout(Duration::from_millis(50), stream.write_all(part)).await;
        streams.push(stream);
        if place % 50 == 0 {
            assert_eq!(token(&client).await, before);
        }
    }

    let more = memory(&program) - used;
    assert!(more < 16, "{more} MiB more than {used} MiB");
    assert_eq!(token(&client).await, before);
    let mut refused = sent(&client, &format!("{}\r\n\r\n", &head[..20_000])).await;
    let mut answer = String::new();
    let _ = timeout(Duration::from_secs(5), refused.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn idle_connections_cost_neither_the_lead_nor_an_answer() {
    let fixture = Fixture::new().await;
    let few = "ulimit -S -n 64; exec \"$0\" \"$@\"";
    let args = ["-c", few, env!("CARGO_BIN_EXE_leasehold"), "elect", "--ttl", "2s"];
    let args = args.into_iter().chain(["--serve", "127.0.0.1:0", "billing"]);
    let mut program = Program::at(Path::new("/bin/sh"), args)
        .env("KUBECONFIG", fixture.kubeconfig.to_str().unwrap())
        .env("LEASEHOLD_NAMESPACE", &fixture.namespace)
        .start();
    let line = program.stderr_line().await;
    let client = SidecarClient::of(line.rsplit_once(" on ").unwrap().1);
    client.until("/leading", 200).await;
    let before = token(&client).await;

    let mut idle = Vec::new();
    for round in 0..15 {
        for place in 0..20 {
            let text = if place % 2 == 0 { "" } else { "GET /leading HTTP/1.1\r\nhost: a\r\n\r\n" };
            idle.push(sent(&client, text).await);
        }
        assert_eq!(token(&client).await, before, "round {round}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    assert_eq!(token(&client).await, before);
    assert_eq!(SidecarClient::of(&client.url).get("/healthz").await.status, 200);
    let (soft, hard) = open_files(&program);
    assert_eq!(soft, hard, "without a command, the soft limit is raised to the hard one");
}

#[tokio::test]
async fn a_command_inherits_no_large_limit_of_open_files() {
    let fixture = Fixture::new().await;
    let (mut program, _client) =
        fixture.sidecar_of(&fixture.kubeconfig, "first", &["sh", "-c", "ulimit -S -n"]).await;
    let own: u64 = open_files(&program).0.parse().unwrap();

    let inherited: u64 = program.line().await.parse().unwrap();

    let (soft, hard) = rlimit();
    assert!(inherited <= soft.max(1024), "{inherited} of {hard}");
    assert_eq!(inherited, own);
}

/// The soft and the hard limit of this process.
fn rlimit() -> (u64, u64) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX))
}

#[tokio::test]
async fn of_more_than_32_streams_the_oldest_ends() {
    let fixture = Fixture::new().await;
    let (_program, client) = fixture.sidecar("first").await;
    client.until("/leading", 200).await;

    let mut streams = Vec::new();
    for _ in 0..33 {
        let mut events = SidecarClient::of(&client.url).events().await;
        events.next().await.expect("the present status");
        streams.push(events);
    }

    assert!(streams[0].ends().await, "the oldest stream");
    for (place, events) in streams.iter_mut().enumerate().skip(1) {
        assert!(events.is_open().await, "stream {place}");
    }
}

#[tokio::test]
async fn a_head_has_5_seconds_and_a_connection_between_requests_has_more() {
    let fixture = Fixture::new().await;
    let (_program, client) = fixture.sidecar("first").await;
    let get = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut silent = connect(&client).await;
    let mut slow = sent(&client, "GET / HT").await;
    let mut later = sent(&client, get).await;
    let mut between = sent(&client, get).await;
    let mut buffer = vec![0; 64 * 1024];
    for stream in [&mut later, &mut between] {
        assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
    }
    later.write_all(b"GET").await.unwrap();

    assert!(!closes_within(&mut slow, Duration::from_secs(3)).await, "too early");
    let limit = Duration::from_secs(4);
    assert!(closes_within(&mut slow, limit).await, "a part of a head");
    assert!(closes_within(&mut silent, limit).await, "no head");
    assert!(closes_within(&mut later, limit).await, "a part of a second head");

    between.write_all(get.as_bytes()).await.unwrap();
    assert_ne!(between.read(&mut buffer).await.unwrap(), 0, "another answer");
}

#[tokio::test]
async fn options_is_answered_like_get_without_a_body() {
    let fixture = Fixture::new().await;
    let (_first, client) = fixture.sidecar("first").await;
    client.until("/leading", 200).await;
    let (_second, follower) = fixture.sidecar("second").await;
    follower.until("/healthz", 200).await;

    for path in ["/", "/leading", "/healthz", "/metrics", "/events", "/none"] {
        let get = if path == "/events" { 200 } else { client.get(path).await.status };
        let options = client.request("OPTIONS", path, None).await.unwrap();
        assert_eq!((options.status, &*options.text), (get, ""), "{path}");
    }
    assert_eq!(follower.request("OPTIONS", "/leading", None).await.unwrap().status, 503);
    // The check that HAProxy sends by default.
    let mut check = sent(&client, "OPTIONS / HTTP/1.0\r\n\r\n").await;
    let mut answer = String::new();
    timeout(Duration::from_secs(5), check.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_means_nothing() {
    let fixture = Fixture::new().await;
    let (_program, client) = fixture.sidecar("first").await;
    client.until("/leading", 200).await;

    for path in ["/leading/", "/healthz/", "/metrics/", "/leading/?a=b"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    client.listen("/events/").await.next().await.expect("the present status");
    assert_eq!(client.get("/none/").await.status, 404);
}

/// A user that only this test uses.
const USER: &str = "setpriv --reuid=65533 --clear-groups";

/// Whether a process of [`USER`] may be started, and may run the program.
fn is_possible() -> bool {
    let mut words = USER.split(' ').chain([env!("CARGO_BIN_EXE_leasehold"), "--version"]);
    let output = std::process::Command::new(words.next().unwrap()).args(words).output();
    let possible = output.is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!("not tested: needs root, and a program that each user may run");
    }
    possible
}

#[tokio::test]
async fn a_lock_survives_a_command_that_uses_up_the_processes_of_its_user() {
    if !is_possible() {
        return;
    }
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    // The name of a server is resolved by a thread, for each new connection.
    let text = fs::read_to_string(&kubeconfig).unwrap().replace("127.0.0.1", "localhost");
    fs::write(&kubeconfig, text).unwrap();
    fs::set_permissions(&kubeconfig, Permissions::from_mode(0o644)).unwrap();
    let args = ["lock", "--ttl", "6s", "orders", "sh", "-c", "echo ready; read -r line; exit 4"];
    let mut program = fixture.leasehold_of(&kubeconfig, args).under(USER).piped().start();
    assert_eq!(program.line().await, "ready");

    // 14 s: a thread without work ends after 10 s.
    fixture.until_requested("update", fixture.requests("update") + 7).await;
    let pid = program.pid().as_raw_nonzero();
    let limited = format!("{USER} prlimit --nproc=1:1 --pid {pid}");
    let mut words = limited.split(' ');
    let limited = std::process::Command::new(words.next().unwrap()).args(words).status();
    assert!(limited.unwrap().success());
    proxy.reset();
    fixture.until_requested("update", fixture.requests("update") + 3).await;
    program.write_line("end\n").await;
    let ended = program.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(4), ""), "{ended:?}");
    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn a_program_that_may_not_start_a_thread_says_so() {
    if !is_possible() {
        return;
    }
    let program = Program::new(["status"]).under(&format!("{USER} prlimit --nproc=1"));

    let ended = program.end().await;

    assert_eq!(ended.code, Some(70), "{ended:?}");
    assert!(ended.stderr_line().contains("cannot start a thread"), "{ended:?}");
}

#[tokio::test]
async fn a_program_that_may_open_too_few_files_says_so() {
    for files in 5..16 {
        let limit = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        let words = ["-c", &limit, env!("CARGO_BIN_EXE_leasehold"), "status"];
        let program = Program::at(Path::new("/bin/sh"), words).env("KUBECONFIG", "/none");

        let ended = program.end().await;

        let line = ended.stderr_line();
        let is_started = ended.code == Some(69) && line.contains("no cluster is configured");
        let is_refused = ended.code == Some(70) && line.contains("Too many open files");
        assert!(is_started || is_refused, "{files}: {ended:?}");
    }
}
