//! The public interface: types, signatures and messages that programs rely on.

use std::{error::Error as StdError, fmt::Debug, marker, sync::Arc, time::Duration};

use futures::{FutureExt as _, Stream};
use leasehold::{
    Clock, DynSync, ElectEvent, ElectWatcher, Error, Fault, Guard, Leader, LeaderOptions,
    ListMembersOptions, LockOptions, Loss, Member, Memory, Options, Role, Status, Sync as _,
    Tenure, TenureState, Timing, Token, WatchElectOptions,
};
use proptest::prelude::*;

const fn thread_safe<T: Send + marker::Sync + 'static>() {}
const fn sent<T: Send>(_: &T) {}
const fn owned<T: Send + 'static>(_: &T) {}

/// Every public type is `Send` and `Sync`.
const _: () = {
    thread_safe::<Memory>();
    thread_safe::<DynBox>();
    thread_safe::<Guard>();
    thread_safe::<Tenure>();
    thread_safe::<TenureState>();
    thread_safe::<Leader>();
    thread_safe::<Member>();
    thread_safe::<ElectEvent>();
    thread_safe::<Role>();
    thread_safe::<Status>();
    thread_safe::<Token>();
    thread_safe::<Timing>();
    thread_safe::<Clock>();
    thread_safe::<Fault>();
    thread_safe::<Error>();
    thread_safe::<Loss>();
    thread_safe::<Options>();
    thread_safe::<LockOptions>();
    thread_safe::<LeaderOptions>();
    thread_safe::<ListMembersOptions>();
    thread_safe::<WatchElectOptions>();
};

type DynBox = Box<DynSync>;

#[tokio::test(start_paused = true)]
async fn a_handle_can_be_used_as_a_trait_object() {
    async fn through(sync: &DynSync) -> u64 {
        let guard = sync.lock("x", LockOptions::default()).await.unwrap();
        let token = guard.token().get();
        guard.release().await.unwrap();
        token
    }
    async fn generic(sync: impl leasehold::Sync) -> u64 {
        through(&sync).await
    }
    let a = Memory::default();
    let boxed: Box<DynSync> = Box::new(a.another(Options::default()).unwrap());
    let shared: Arc<DynSync> = Arc::new(a.another(Options::default()).unwrap());

    let first = through(&*boxed).await;
    let second = generic(Arc::clone(&shared)).await;
    let third = generic(boxed).await;
    let fourth = generic(Arc::new(a)).await;

    assert!(first < second && second < third && third < fourth, "all handles share one store");
    assert_eq!(shared.backend(), "memory");
}

#[tokio::test(start_paused = true)]
async fn every_future_can_be_spawned() {
    let sync: Arc<DynSync> = Arc::new(Memory::default());
    let task = tokio::spawn(async move {
        sync.init().await?;
        let guard = sync.lock("x", LockOptions::default()).await?;
        tokio::select! {
            biased;
            () = std::future::ready(()) => {}
            _ = guard.lost() => {}
        }
        guard.release().await?;
        sync.lock("x", LockOptions::default()).await?.keep();
        sync.unlock("x").await?;
        let leader = sync.leader("e", LeaderOptions::default()).await?;
        drop(leader.elected().await?);
        sync.list_members(ListMembersOptions::default()).await?;
        leader.run(|_| async {}).await?;
        leader.resign().await
    });
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn futures_are_send_and_streams_own_their_data() {
    fn stream<S: Stream + Send + Unpin + 'static>(_: &S) {}
    let sync = Memory::default();
    sent(&sync.init());
    sent(&sync.lock("x", LockOptions::default()));
    sent(&sync.unlock("x"));
    sent(&sync.close());
    sent(&sync.leader("e", LeaderOptions::default()));
    sent(&sync.list_members(ListMembersOptions::default()));
    sent(&sync.watch_elect(WatchElectOptions::default()));

    let leader = sync.leader("e", LeaderOptions::default()).await.unwrap();
    sent(&leader.elected());
    sent(&leader.resign());
    sent(&leader.run(|_| async {}));
    stream(&leader.watch());

    let guard = leader.elected().await.unwrap();
    sent(&guard.lost());
    stream(&guard.states());
    owned(&guard.release());
    let events: ElectWatcher = sync.watch_elect(WatchElectOptions::default()).await.unwrap();
    stream(&events);
}

/// Every error, with its message and whether it is transient.
fn errors() -> Vec<(Error, &'static str, bool)> {
    let text = String::from;
    let source: Arc<dyn StdError + Send + marker::Sync> = Arc::new(std::io::Error::other("reset"));
    let config = Error::Config {
        backend: "kubernetes",
        reason: text("no kubeconfig"),
        source: Some(Arc::clone(&source)),
    };
    vec![
        (
            Error::Invalid { what: "lock name", value: text("a\nb"), bound: text("no") },
            "lock name \"a\\nb\" cannot be used: no",
            false,
        ),
        (Error::Held { name: text("x"), holder: text("h") }, "lock `x` is held by `h`", true),
        (
            Error::TooEarly {
                name: text("x"),
                holder: text("h"),
                not_before: std::time::SystemTime::UNIX_EPOCH,
                remaining: Duration::from_secs(2),
            },
            "lock `x` may not be acquired for another 2s: `h` has set the time between two starts",
            true,
        ),
        (
            Error::Timeout { name: text("x"), holder: text("h"), waited: Duration::from_secs(2) },
            "lock `x` is still held by `h` after 2s",
            true,
        ),
        (
            Error::Lost { name: text("x"), why: Loss::Expired },
            "`x` is no longer held: no renewal was confirmed within the hold",
            true,
        ),
        (
            Error::NotHeld { name: text("x") },
            "lock `x` is not held through this handle: a handle can only unlock what it locked itself",
            false,
        ),
        (
            Error::AlreadyCandidate { election: text("e"), candidate_id: text("i") },
            "`i` is already a candidate in election `e` through this handle: resign it first, or choose another id",
            false,
        ),
        (
            Error::PermissionDenied {
                verb: "update",
                resource: text("leases/x"),
                namespace: text("n"),
                reason: text("no"),
            },
            "not allowed to update leases/x in namespace `n`: no",
            false,
        ),
        (
            Error::QuotaExceeded {
                verb: "create",
                resource: text("leases/x"),
                namespace: text("n"),
                reason: text("no"),
            },
            "a quota does not permit to create leases/x in namespace `n`: no",
            true,
        ),
        (
            Error::Namespace { namespace: text("n"), reason: text("it is being deleted") },
            "namespace `n` cannot be used: it is being deleted",
            false,
        ),
        (
            Error::Rejected { backend: "kubernetes", name: text("x"), reason: text("no") },
            "the kubernetes backend rejected the record of `x`: no",
            false,
        ),
        (
            Error::InvalidRecord { name: text("x"), reason: text("no") },
            "the record of `x` cannot be used: no",
            false,
        ),
        (
            Error::Unavailable { backend: "kubernetes", source, retry_after: None },
            "the kubernetes backend is unavailable",
            true,
        ),
        (config, "the kubernetes backend cannot be configured: no kubeconfig", false),
        (Error::Closed { name: text("x") }, "the handle that drove `x` has shut down", false),
    ]
}

#[test]
fn every_error_has_a_message_and_says_whether_it_is_transient() {
    for (error, text, transient) in errors() {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.is_transient(), transient, "{text}");
        if let Some(source) = error.source() {
            assert!(
                !text.contains(&source.to_string()),
                "the message must not repeat the source: {text}"
            );
        }
        let error: Box<dyn StdError + Send + marker::Sync> = error.clone().into();
        assert!(!error.to_string().ends_with('.') && !error.to_string().contains('\n'));
    }
}

#[test]
fn errors_keep_their_source() {
    let with: Vec<_> =
        errors().iter().filter_map(|(error, ..)| error.source().map(ToString::to_string)).collect();
    assert_eq!(with, ["reset", "reset"], "`Unavailable` and `Config` have a source");
}

#[test]
fn every_loss_has_a_message() {
    let losses = [
        (Loss::Released, "it was released"),
        (Loss::Expired, "no renewal was confirmed within the hold"),
        (Loss::Deleted, "its record was deleted"),
        (Loss::Taken, "the record no longer names this holder"),
        (Loss::Altered, "its record was changed by another client"),
        (Loss::Abandoned, "the task that renewed it has ended"),
    ];
    for (loss, text) in losses {
        assert_eq!(loss.to_string(), text);
    }
}

#[test]
fn options_hold_the_values_that_were_set() {
    let options = Options::default()
        .prefix("p-")
        .namespace("n")
        .identity("i")
        .nodes(["https://one", "https://two"])
        .clock(Clock::Runtime);
    assert_eq!((&*options.prefix, options.namespace.as_deref()), ("p-", Some("n")));
    assert_eq!((options.identity.as_deref(), options.clock), (Some("i"), Clock::Runtime));
    assert_eq!(options.nodes, ["https://one", "https://two"]);
    assert_eq!(options, options.clone());

    let timing = Timing::new(Duration::from_secs(30));
    let lock = LockOptions::default().timing(timing).wait(Duration::from_secs(9));
    assert_eq!((lock.timing, lock.wait), (timing, Some(Duration::from_secs(9))));
    assert_eq!(LockOptions::default().ttl(timing.ttl).timing, timing);
    assert_eq!(LockOptions::default().wait, None, "waits without limit by default");
    assert_eq!(lock.try_once().wait, Some(Duration::ZERO));

    let leader = LeaderOptions::default().namespace("n").candidate_id("i").ttl(timing.ttl);
    assert_eq!(
        (leader.namespace.as_deref(), leader.candidate_id.as_deref()),
        (Some("n"), Some("i"))
    );
    assert_eq!(leader.timing, timing);
    let list = ListMembersOptions::default().namespace("n").election("e");
    assert_eq!((list.namespace.as_deref(), list.election.as_deref()), (Some("n"), Some("e")));
    let watch = WatchElectOptions::default().namespace("n").election("e");
    assert_eq!((watch.namespace.as_deref(), watch.election.as_deref()), (Some("n"), Some("e")));
}

#[test]
fn a_handle_shows_the_options_in_use() {
    let chosen = Memory::new(Options::default().prefix("p-").namespace("n").identity("i")).unwrap();
    assert_eq!(chosen.to_string(), "memory (n, i)");
    assert_eq!(chosen.options().prefix, "p-");
    let default = Memory::default();
    assert_eq!(default.options().namespace.as_deref(), Some("default"));
    assert!(default.options().identity.as_deref().is_some_and(|identity| identity.len() > 36));
    for bad in [
        Options::default().prefix("a\nb"),
        Options::default().namespace("a/b"),
        Options::default().identity(" "),
    ] {
        assert!(matches!(Memory::new(bad), Err(Error::Invalid { .. })));
    }
}

proptest! {
    #[test]
    fn any_options_are_kept_unchanged_or_rejected_by_the_name_of_the_field(
        prefix in "[a-c./-]{0,4}|\\PC{0,3}", namespace in "[a-z0-9/~-]{1,8}|\\PC{0,3}", identity in any::<String>(),
    ) {
        let options = Options::default().prefix(&prefix).namespace(&namespace).identity(&identity);
        match Memory::new(options) {
            Ok(sync) => {
                let used = sync.options();
                prop_assert_eq!(&used.prefix, &prefix);
                prop_assert_eq!(used.namespace.as_deref(), Some(&*namespace));
                prop_assert_eq!(used.identity.as_deref(), Some(&*identity));
            }
            Err(Error::Invalid { what, value, .. }) => {
                let given = [("prefix", prefix), ("namespace", namespace), ("identity", identity)];
                prop_assert!(given.contains(&(what, value)), "{what}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn calls_without_a_tokio_runtime_return_an_error_and_do_not_panic() {
    /// The future must be ready at once: no runtime could wake it.
    fn poll(future: impl Future<Output = ()>) {
        assert!(future.now_or_never().is_some(), "the future is pending");
    }
    fn failed<T: Debug>(result: &leasehold::Result<T>) {
        assert!(matches!(result, Err(Error::Config { .. })), "{result:?}");
    }
    let sync = Memory::default();
    poll(async {
        failed(&sync.lock("x", LockOptions::default()).await);
        failed(&sync.leader("x", LeaderOptions::default()).await);
        failed(&sync.watch_elect(WatchElectOptions::default()).await);
        failed(&sync.list_members(ListMembersOptions::default()).await);
        failed(&sync.init().await);
        assert!(matches!(sync.unlock("x").await, Err(Error::NotHeld { .. })));
    });
}

#[tokio::test(start_paused = true)]
async fn reported_values_have_a_stable_json_form() {
    let sync = Memory::new(Options::default().identity("i")).unwrap();
    let leader = sync.leader("e", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    let member = sync.list_members(ListMembersOptions::default()).await.unwrap().remove(0);
    let token = guard.token();

    let json = serde_json::to_string(&ElectEvent::Elected(member)).unwrap();

    let expected = format!(
        r#"{{"event":"elected","member":{{"election":"e","candidate_id":"i","role":"leader","namespace":"default","token":{token},"payload":null,"succession":null}}}}"#
    );
    assert_eq!(json, expected);
    assert_eq!(serde_json::to_string(&Status::InDoubt).unwrap(), r#""in_doubt""#);
    let shown = format!("{guard:?}");
    assert!(shown.contains("Held") && shown.contains("\"e\""), "{shown}");
}

#[test]
fn every_backend_checks_labels_and_annotations() {
    let good = Options::default().labels([("team", "shop")]).annotations([("note", "any text")]);
    let memory = Memory::new(good).unwrap();
    assert_eq!(memory.options().labels["team"], "shop");

    for bad in [
        Options::default().labels([("team", "not a value")]),
        Options::default().annotations([("leasehold.dev/name", "x")]),
    ] {
        let error = Memory::new(bad).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
}
