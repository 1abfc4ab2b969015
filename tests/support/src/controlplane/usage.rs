//! What the servers of a control plane use: processor time, memory, and bytes in etcd.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::etcd::{get_text, post_json};
use crate::processes::Process;

/// The kernel counts the processor time of a process in units of 10 ms.
const TICK: Duration = Duration::from_millis(10);

/// What one server has used since its start, and what it occupies now.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServerUse {
    /// The processor time of all its threads.
    pub processor: Duration,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// How many threads it has.
    pub threads: u64,
}

impl ServerUse {
    pub(super) fn of(pid: i32) -> Self {
        let process = Process::find(pid).expect("the server runs");
        let stat = std::fs::read_to_string(process.file("stat")).expect("the server runs");
        // The fields follow the name in parentheses, which may contain spaces.
        let fields = stat.rsplit_once(") ").expect("a name in parentheses").1;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
        let ticks: u32 = ticks.map(|ticks| ticks.expect("a number")).sum();
        let field = |name| {
            let value = process.field(name).expect("a field");
            value.trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        Self { processor: TICK * ticks, memory: field("VmRSS") * 1024, threads: field("Threads") }
    }
}

/// The size of the database of etcd, in bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EtcdSize {
    /// The size of the file, which the quota of etcd limits. It shrinks only when the database is defragmented.
    pub allocated: u64,
    /// The part of the file that is in use: all revisions that were not compacted, and indexes.
    pub in_use: u64,
}

/// Some keys of etcd and their values.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Stored {
    /// How many keys there are.
    pub keys: u64,
    /// The bytes of all keys and values.
    pub bytes: u64,
}

/// Reads the size of the database from the metrics of the etcd at `url`.
pub(super) async fn size(url: &str) -> EtcdSize {
    let text = get_text(&format!("{url}/metrics")).await;
    let metric = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value: f64 = line.expect("the metric").parse().expect("a number");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of bytes"
        )]
        let value = value as u64;
        value
    };
    EtcdSize {
        allocated: metric("etcd_mvcc_db_total_size_in_bytes"),
        in_use: metric("etcd_mvcc_db_total_size_in_use_in_bytes"),
    }
}

/// Reads all keys with `prefix` from the etcd at `url`.
pub(super) async fn stored(url: &str, prefix: &str) -> Stored {
    let end = format!("{prefix}\u{7f}");
    let request = json!({ "key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end) });
    let found = post_json(&format!("{url}/v3/kv/range"), &request).await;
    let found = found.unwrap_or_else(|error| panic!("/v3/kv/range: {error}"));
    let mut stored = Stored::default();
    for pair in found["kvs"].as_array().into_iter().flatten() {
        let length = |name: &str| {
            let text = pair[name].as_str().unwrap_or_default();
            STANDARD.decode(text).expect("base64").len() as u64
        };
        stored.keys += 1;
        stored.bytes += length("key") + length("value");
    }
    stored
}
