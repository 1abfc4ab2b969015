//! Checks of valid and invalid input.

use std::time::Duration;

use super::{Pair, held_by, identity, must, once, patient, secs, unique};
use crate::{
    Error, LeaderOptions, ListMembersOptions, LockOptions, Result, Timing, WatchElectOptions,
};

/// Invalid names, each with a word of the reason.
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

/// Asserts that the value was rejected, and that the error names the value and its bound.
#[track_caller]
fn rejected<T: std::fmt::Debug>(result: Result<T>, value: &str, bound: &str) {
    match result {
        Err(error @ Error::Invalid { .. }) => {
            let text = error.to_string();
            let start: String = value.chars().take(10).collect();
            let shown = format!("{start:?}");
            assert!(text.contains(shown.trim_matches('"')), "an error names the value: {text}");
            assert!(text.contains(bound), "an error names the bound, {bound:?}: {text}");
            assert!(text.len() < 500, "an error is one readable line: {text}");
            assert!(!error.is_transient(), "an invalid value is not a transient error");
        }
        other => panic!("{value:?} must be rejected: {other:?}"),
    }
}

pub(super) async fn a_handle_describes_itself(pair: Pair<'_>) {
    must(pair.a.init().await, "init succeeds on a working backend");
    must(pair.a.init().await, "init can be called twice");
    let options = pair.a.options();
    assert!(options.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()));
    assert_ne!(identity(pair.a), identity(pair.b), "two handles have different identities");
    let shown = pair.a.to_string();
    assert!(shown.contains(pair.a.backend()), "a handle shows which backend it uses: {shown}");
}

pub(super) async fn invalid_names_are_rejected(pair: Pair<'_>) {
    for (name, bound) in bad_names() {
        rejected(pair.a.lock(&name, patient()).await, &name, bound);
        rejected(pair.a.unlock(&name).await, &name, bound);
        rejected(pair.a.leader(&name, LeaderOptions::default()).await, &name, bound);
        let list = ListMembersOptions::default().election(&*name);
        rejected(pair.a.list_members(list).await, &name, bound);
        let watch = WatchElectOptions::default().election(&*name);
        rejected(pair.a.watch_elect(watch).await, &name, bound);
    }
}

pub(super) async fn invalid_candidate_ids_are_rejected(pair: Pair<'_>) {
    let name = unique("ids");
    for (id, bound) in bad_names() {
        rejected(
            pair.a.leader(&name, LeaderOptions::default().candidate_id(&*id)).await,
            &id,
            bound,
        );
    }
    let list = ListMembersOptions::default().election(&*name);
    let listed = must(pair.a.list_members(list).await, "members can be listed");
    assert_eq!(listed, [], "a rejected call leaves no candidate");
}

pub(super) async fn invalid_namespaces_are_rejected(pair: Pair<'_>) {
    let name = unique("namespaces");
    // No backend accepts these. Each may refuse more.
    for namespace in ["", "a/b", "../a", "a\nb", " a"] {
        let options = LeaderOptions::default().namespace(namespace);
        rejected(pair.a.leader(&name, options).await, namespace, "");
        let options = ListMembersOptions::default().namespace(namespace);
        rejected(pair.a.list_members(options).await, namespace, "");
        let options = WatchElectOptions::default().namespace(namespace);
        rejected(pair.a.watch_elect(options).await, namespace, "");
    }
}

pub(super) async fn invalid_timings_are_rejected(pair: Pair<'_>) {
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
        rejected(pair.a.lock(&name, LockOptions::default().timing(timing)).await, value, bound);
        rejected(pair.a.leader(&name, LeaderOptions::default().timing(timing)).await, value, bound);
    }
    let guard = must(pair.b.lock(&name, once()).await, "a rejected call holds no lock");
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_rejected_call_leaves_no_candidate(pair: Pair<'_>) {
    let name = unique("nothing");
    let never = LeaderOptions::default().ttl(Duration::ZERO);
    rejected(pair.a.leader(&name, never).await, "0ns", "1s");
    let nowhere = LeaderOptions::default().namespace("no/where");
    rejected(pair.a.leader(&name, nowhere).await, "no/where", "");
    for (bad, bound) in bad_names() {
        rejected(
            pair.a.leader(&name, LeaderOptions::default().candidate_id(&*bad)).await,
            &bad,
            bound,
        );
    }

    let all =
        must(pair.b.list_members(ListMembersOptions::default()).await, "members can be listed");

    assert!(
        all.iter().all(|member| member.election != name),
        "a rejected call leaves no candidate"
    );
    let leader = must(
        pair.a.leader(&name, LeaderOptions::default()).await,
        "a rejected call does not count as a candidacy",
    );
    must(leader.resign().await, "a leader can resign");
}

/// Names that are easy to confuse or to damage: not ASCII, like paths, different in one character only.
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

pub(super) async fn every_valid_name_is_a_lock_of_its_own(pair: Pair<'_>) {
    let mut held = Vec::new();
    for name in odd_names() {
        let guard = must(pair.a.lock(&name, once()).await, "every valid name is a lock of its own");
        assert_eq!(guard.name(), name, "a guard has the name as the caller gave it");
        held.push(guard);
    }
    for guard in held {
        let taken = pair.b.lock(guard.name(), once()).await;
        held_by(identity(pair.a), taken, "a held lock excludes other handles, whatever its name");
        must(guard.release().await, "a held lock can be released");
    }
}

pub(super) async fn every_valid_name_is_an_election_of_its_own(pair: Pair<'_>) {
    let names = odd_names();
    let mut leaders = Vec::new();
    for (name, id) in names.iter().zip(names.iter().rev()).step_by(4) {
        let options = LeaderOptions::default().candidate_id(&**id);
        let leader = must(
            pair.a.leader(name, options).await,
            "every valid name is an election, and every valid name is a candidate id",
        );
        must(leader.elected().await, "the only candidate is elected").keep();
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
            "a member has the election and the id as the caller gave them"
        );
        must(leader.resign().await, "a leader can resign");
    }
}

pub(super) async fn a_name_of_the_maximum_length_is_valid(pair: Pair<'_>) {
    let id = unique("long");
    for filler in ["x", "/", "."] {
        let name = format!("{id}{}y", filler.repeat(252 - id.len()));
        assert_eq!(name.len(), 253);
        let guard = must(pair.a.lock(&name, once()).await, "a name of 253 bytes can be used");
        held_by(
            identity(pair.a),
            pair.b.lock(&name, once()).await,
            "a lock with a name of 253 bytes excludes other handles",
        );
        must(guard.release().await, "a held lock can be released");
        let options = LeaderOptions::default().candidate_id(&*name);
        let leader =
            must(pair.a.leader(&name, options).await, "the name can also be that of an election");
        must(leader.resign().await, "a leader can resign");
    }
}
