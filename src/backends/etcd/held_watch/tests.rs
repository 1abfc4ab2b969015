//! Which records are watched and read, and what is reported of them.

use futures::channel::mpsc;
use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::{
    EtcdOptions,
    api::name::Namespace,
    backends::etcd::{
        keys::Prefix,
        messages::{KeyValue, WatchRequest},
        store::Cluster,
    },
    protocol::session::SessionId,
};

const ME: &str = "s15-k2j5q7w3x4y6z2a3b4c5";

struct Bench {
    watch: HeldWatch,
    requests: Requests,
    sent: mpsc::UnboundedReceiver<WatchRequest>,
}

impl Bench {
    fn new() -> Self {
        let client = EtcdOptions::default().client(&[]).unwrap();
        let cluster = Cluster { client, prefix: Prefix::parse("/p").unwrap() };
        let namespace = Namespace::stored("shop");
        let index = Index::new(&cluster, &namespace, &SessionId::parse(ME).unwrap());
        let (sender, sent) = mpsc::unbounded();
        Self { watch: HeldWatch::new(index), requests: Requests(sender), sent }
    }

    fn changed(&mut self, event: &Event) -> Option<HeldEvent> {
        self.watch.changed(&self.requests, event)
    }

    /// What was sent: the watches that begin, with their revision, and those that end.
    async fn sent(&mut self) -> Vec<(&'static str, i64)> {
        advance(DELAY).await;
        self.watch.watch_due(&self.requests);
        let sent = std::iter::from_fn(|| self.sent.try_recv().ok());
        let sent = sent.map(|request| match (request.create, request.cancel) {
            (Some(create), _) => ("create", create.start_revision),
            (_, cancel) => ("cancel", cancel.unwrap().watch_id),
        });
        sent.collect()
    }
}

fn record(holder: &str) -> String {
    let queue = json!({ "v": 1, "holders": [format!("{ME}/00000000000000ff")] });
    json!({ "v": 1, "kind": "lock", "name": "x", "holder": holder, "ttl": 60, "queue": queue })
        .to_string()
}

fn kv(key: &str, revision: i64, value: String) -> KeyValue {
    KeyValue { mod_revision: revision, ..KeyValue::example(&key.replace("ME", ME), value) }
}

fn put(key: &str, revision: i64, value: String) -> Event {
    Event { kind: 0, kv: Some(kv(key, revision, value)) }
}

fn deletion(key: &str, revision: i64) -> Event {
    Event { kind: 1, ..put(key, revision, String::new()) }
}

fn grant(revision: i64) -> Event {
    let copy = format!(r#"{{"created":7,"writes":3,"record":{}}}"#, record(ME));
    put("/p/shop/~held/ME/x", revision, copy)
}

#[track_caller]
fn assert_set(event: Option<HeldEvent>, version: u64) {
    let Some(HeldEvent::Set(held)) = event else { panic!("{event:?}") };
    assert_eq!((held.record.as_str(), held.found.version.number.get()), ("x", version));
}

#[track_caller]
fn assert_gone(event: Option<HeldEvent>, version: u64) {
    let Some(HeldEvent::Gone(record, gone)) = event else { panic!("{event:?}") };
    assert_eq!((record.as_str(), gone.get()), ("x", version));
}

#[tokio::test(start_paused = true)]
async fn a_held_record_is_watched_from_its_last_known_state_until_it_is_lost() {
    let mut bench = Bench::new();
    assert_set(bench.changed(&grant(9)), 9);
    assert_set(bench.changed(&grant(11)), 11);
    assert_eq!(bench.sent().await, [("create", 12)]);

    assert_set(bench.changed(&put("/p/shop/x", 13, record(ME))), 13);
    assert!(bench.changed(&grant(13)).is_none(), "known");
    assert_gone(bench.changed(&put("/p/shop/x", 14, record("other"))), 14);

    assert_eq!(bench.sent().await, [("cancel", 2)]);
    assert!(bench.changed(&put("/p/shop/x", 15, record(ME))).is_none(), "a late event");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_key_of_the_index_makes_the_session_read_a_record_that_is_not_watched() {
    let mut bench = Bench::new();
    let deleted = |revision| deletion("/p/shop/~held/ME/x", revision);
    bench.changed(&grant(9));
    for (version, held) in [(9, true), (12, false)] {
        let holder = if held { ME } else { "other" };
        let record = Some(kv("/p/shop/x", version, record(holder)));
        let (name, revision) = (RecordName::stored("x"), 20 + version);
        assert!(bench.changed(&deleted(revision)).is_none(), "says nothing of the record");
        assert!(bench.watch.unread.is_empty(), "it may come back at once");
        assert_eq!(bench.sent().await, [], "no watch of what is not held");
        assert_eq!(std::mem::take(&mut bench.watch.unread), std::slice::from_ref(&name));
        let found = vec![Found { name, revision, record }];
        let event = bench.watch.read(&bench.requests, found).pop();
        let assert = if held { assert_set } else { assert_gone };
        assert(event, version.try_into().unwrap());
    }
    assert!(bench.changed(&deleted(40)).is_none(), "not held");
    assert!(bench.watch.unread.is_empty());

    bench.changed(&grant(42));
    bench.sent().await;

    assert!(bench.changed(&deleted(43)).is_none(), "the record may be as before");
    assert!(bench.watch.unread.is_empty());
    assert_gone(bench.changed(&deletion("/p/shop/x", 43)), 43);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_goes_from_hand_to_hand_costs_neither_a_watch_nor_a_read() {
    let mut bench = Bench::new();
    for revision in 1..40 {
        bench.changed(&grant(10 * revision));
        advance(DELAY / 4).await;
        bench.changed(&deletion("/p/shop/~held/ME/x", 10 * revision + 5));
        advance(DELAY / 4).await;
        bench.watch.watch_due(&bench.requests);
    }
    assert!(bench.sent.try_recv().is_err() && bench.watch.unread.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_without_a_copy_makes_the_session_read_the_record() {
    let mut bench = Bench::new();
    let found = |revision, record| Found { name: RecordName::stored("x"), revision, record };
    let hint = put("/p/shop/~held/ME/x", 9, String::new());
    assert!(bench.changed(&hint).is_none());
    assert_eq!(bench.watch.unread, [RecordName::stored("x")]);

    let held = found(20, Some(kv("/p/shop/x", 9, record(ME))));
    let held = bench.watch.read(&bench.requests, vec![held]);
    assert_set(held.into_iter().next(), 9);
    assert_eq!(bench.sent().await, [("create", 21)], "the record is known as of this revision");

    // The version of a record that exists is that of its last write, or no later read would be believed.
    for (record, version) in [(Some(kv("/p/shop/x", 15, record("other"))), 15), (None, 30)] {
        let lost = bench.watch.read(&bench.requests, vec![found(30, record)]);
        assert_gone(lost.into_iter().next(), version);
    }
    bench.changed(&grant(41));
    assert!(bench.watch.read(&bench.requests, vec![found(40, None)]).is_empty(), "older");
    assert_set(bench.changed(&grant(43)), 43);
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_changes_were_compacted_is_read_and_watched_again() {
    let mut bench = Bench::new();
    bench.changed(&grant(9));
    bench.sent().await;
    let response = |watch_id, compact_revision| WatchResponse {
        watch_id,
        canceled: true,
        compact_revision,
        ..WatchResponse::default()
    };

    let compacted = bench.watch.responded(&bench.requests, response(2, 50));

    assert!(compacted.unwrap().is_empty());
    assert_eq!(bench.watch.unread, [RecordName::stored("x")]);
    assert!(bench.watch.responded(&bench.requests, response(2, 0)).is_ok(), "not wanted");
    assert!(bench.watch.responded(&bench.requests, response(INDEX, 50)).is_err());
    bench.changed(&grant(60));
    assert!(bench.watch.responded(&bench.requests, response(3, 0)).is_err(), "by etcd");
}
