//! What can be named, and what is refused.

use std::time::Duration;

use super::{Pair, held_by, identity, must, once, patient, secs, unique};
use crate::{
    Error, LeaderOptions, ListMembersOptions, LockOptions, Result, Timing, WatchElectOptions,
};

/// Names that cannot be used, with a word of the reason.
fn bad_names() -> [(String, &'static str); 7] {
    [
        (String::new(), "at least one"),
        ("x".repeat(254), "253"),
        ("ł".repeat(127), "253"),
        ("a\nb".into(), "control"),
        ("a\0b".into(), "control"),
        (" a".into(), "blank"),
        ("a\u{2003}".into(), "blank"),
    ]
}

/// The value must have been refused, and be named with its bound.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, value: &str, bound: &str) {
    match result {
        Err(error @ Error::Invalid { .. }) => {
            let text = error.to_string();
            let start: String = value.chars().take(10).collect();
            let shown = format!("{start:?}");
            assert!(text.contains(shown.trim_matches('"')), "an error names the value: {text}");
            assert!(text.contains(bound), "an error names the bound, {bound:?}: {text}");
            assert!(text.len() < 500, "an error is one readable line: {text}");
            assert!(!error.is_transient(), "what cannot be used does not get better by waiting");
        }
        other => panic!("{value:?} cannot be used: {other:?}"),
    }
}

pub(super) async fn a_handle_says_what_it_is(pair: Pair<'_>) {
    must(pair.a.init().await, "a backend that can be used passes its own check");
    must(pair.a.init().await, "which may be made twice");
    let options = pair.a.options();
    assert!(options.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()));
    assert_ne!(identity(pair.a), identity(pair.b), "two handles never share an identity");
    let shown = pair.a.to_string();
    assert!(shown.contains(pair.a.backend()), "a handle shows which backend it uses: {shown}");
}

pub(super) async fn names_that_cannot_be_used_are_refused(pair: Pair<'_>) {
    for (name, bound) in bad_names() {
        refused(pair.a.lock(&name, patient()).await, &name, bound);
        refused(pair.a.unlock(&name).await, &name, bound);
        refused(pair.a.leader(&name, LeaderOptions::default()).await, &name, bound);
        let list = ListMembersOptions::default().election(&*name);
        refused(pair.a.list_members(list).await, &name, bound);
        let watch = WatchElectOptions::default().election(&*name);
        refused(pair.a.watch_elect(watch).await, &name, bound);
    }
}

pub(super) async fn ids_that_cannot_be_used_are_refused(pair: Pair<'_>) {
    let name = unique("ids");
    for (id, bound) in bad_names() {
        refused(
            pair.a.leader(&name, LeaderOptions::default().candidate_id(&*id)).await,
            &id,
            bound,
        );
    }
    let list = ListMembersOptions::default().election(&*name);
    let listed = must(pair.a.list_members(list).await, "members can be listed");
    assert_eq!(listed, [], "what was refused leaves no candidate");
}

pub(super) async fn namespaces_that_cannot_be_used_are_refused(pair: Pair<'_>) {
    let name = unique("namespaces");
    let long = "x".repeat(64);
    for namespace in ["", "A", "a.b", "a/b", "../a", "-a", "a-", "a b", "ł", &long] {
        let options = LeaderOptions::default().namespace(namespace);
        refused(pair.a.leader(&name, options).await, namespace, "63");
        let options = ListMembersOptions::default().namespace(namespace);
        refused(pair.a.list_members(options).await, namespace, "63");
        let options = WatchElectOptions::default().namespace(namespace);
        refused(pair.a.watch_elect(options).await, namespace, "63");
    }
}

pub(super) async fn times_to_live_that_cannot_be_used_are_refused(pair: Pair<'_>) {
    let name = unique("times");
    let years = secs(10 * 365 * 86_400);
    let timings = [
        (Timing::new(Duration::ZERO), "0ns", "1s"),
        (Timing::new(years), "315360000s", "86400s"),
        (Timing::new(Duration::MAX), "s", "86400s"),
        (Timing::new(secs(15)).hold(secs(15)), "15s", "13.5s"),
        (Timing::new(secs(15)).renew_interval(secs(14)), "14s", "13s"),
        (Timing::new(secs(15)).attempt_timeout(secs(9)), "9s", "too much"),
    ];
    for (timing, value, bound) in timings {
        refused(pair.a.lock(&name, LockOptions::default().timing(timing)).await, value, bound);
        refused(pair.a.leader(&name, LeaderOptions::default().timing(timing)).await, value, bound);
    }
    let guard = must(pair.b.lock(&name, once()).await, "what was refused holds nothing");
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn what_was_refused_leaves_nothing(pair: Pair<'_>) {
    let name = unique("nothing");
    let never = LeaderOptions::default().ttl(Duration::ZERO);
    refused(pair.a.leader(&name, never).await, "0ns", "1s");
    let nowhere = LeaderOptions::default().namespace("NOWHERE");
    refused(pair.a.leader(&name, nowhere).await, "NOWHERE", "63");
    for (bad, bound) in bad_names() {
        refused(
            pair.a.leader(&name, LeaderOptions::default().candidate_id(&*bad)).await,
            &bad,
            bound,
        );
    }

    let all =
        must(pair.b.list_members(ListMembersOptions::default()).await, "members can be listed");

    assert!(
        all.iter().all(|member| member.election != name),
        "what was refused leaves no candidate"
    );
    let leader = must(
        pair.a.leader(&name, LeaderOptions::default()).await,
        "what was refused does not count as a candidacy",
    );
    must(leader.resign().await, "a leader can resign");
}

/// Names that need care: not ASCII, like paths, alike but for one character.
fn odd_names() -> Vec<String> {
    let id = unique("odd");
    let forms = [
        "zażółć gęślą",
        "日本語",
        "🔒",
        "../../etc/passwd",
        "/",
        "a/b",
        "a\\b",
        "a b",
        "a-b",
        "a_b",
        "A-B",
        "a:b",
        "a?b=c&d",
        "%2e%2e",
        "-",
        ".",
        "..",
        "a..b",
        "'\"",
        "e\u{301}",
        "é",
    ];
    forms.iter().flat_map(|form| [format!("{form}{id}"), format!("{id}{form}")]).collect()
}

pub(super) async fn any_other_name_can_be_locked_and_is_its_own(pair: Pair<'_>) {
    let mut held = Vec::new();
    for name in odd_names() {
        let guard =
            must(pair.a.lock(&name, once()).await, "any name that is not refused is its own lock");
        assert_eq!(guard.name(), name, "a guard has the name as it was given");
        held.push(guard);
    }
    for guard in held {
        let taken = pair.b.lock(guard.name(), once()).await;
        held_by(identity(pair.a), taken, "any lock excludes others, whatever its name");
        must(guard.release().await, "a held lock can be released");
    }
}

pub(super) async fn any_other_name_can_be_led_and_is_listed(pair: Pair<'_>) {
    let names = odd_names();
    let mut leaders = Vec::new();
    for (name, id) in names.iter().zip(names.iter().rev()).step_by(4) {
        let options = LeaderOptions::default().candidate_id(&**id);
        let leader = must(pair.a.leader(name, options).await, "any name can be led, under any id");
        must(leader.elected().await, "who stands alone leads").keep();
        leaders.push(leader);
    }

    for leader in leaders {
        let list = ListMembersOptions::default().election(leader.election());
        let listed = must(pair.b.list_members(list).await, "members can be listed");
        assert_eq!(listed.len(), 1, "an election lists its own members: {listed:?}");
        let shown = (&*listed[0].election, &*listed[0].candidate_id);
        assert_eq!(
            shown,
            (leader.election(), leader.candidate_id()),
            "with names and ids as they were given"
        );
        must(leader.resign().await, "a leader can resign");
    }
}

pub(super) async fn the_longest_name_can_be_used(pair: Pair<'_>) {
    let id = unique("long");
    for filler in ["x", "/", "."] {
        let name = format!("{id}{}y", filler.repeat(252 - id.len()));
        assert_eq!(name.len(), 253);
        let guard = must(pair.a.lock(&name, once()).await, "a name of 253 bytes can be used");
        held_by(identity(pair.a), pair.b.lock(&name, once()).await, "and excludes others");
        must(guard.release().await, "a held lock can be released");
        let options = LeaderOptions::default().candidate_id(&*name);
        let leader = must(pair.a.leader(&name, options).await, "and led");
        must(leader.resign().await, "a leader can resign");
    }
}
