//! `--attempt`: how long the program waits for the answer to one request.

use std::time::{Duration, Instant};

use leasehold_test_support::Link;

use crate::Fixture;

#[tokio::test]
async fn an_attempt_outside_its_range_ends_with_64_and_names_the_bound() {
    let fixture = Fixture::new().await;
    // The hold of 13 s minus the renewal interval of 5 s is 8 s.
    for (options, texts) in [
        (&["--attempt", "0s"][..], &["--attempt", "at least 1ms"][..]),
        (&["--attempt", "2667ms"], &["3 attempts (8.001s)", "into the 8s", "1ms too much"]),
        (&["--attempt", "3s"], &["\"3s\"", "into the 8s", "1s too much", "shorter --attempt"]),
        (&["--ttl", "3s", "--attempt", "1s"], &["1.4s too much", "longer --ttl"]),
        (&["--attempt", "2500ms", "--grace", "6s"], &["--grace 6s", "at most 5.5s"]),
    ] {
        for command in ["lock", "elect"] {
            let args = [command].into_iter().chain(options.iter().copied());
            let ended = fixture.leasehold(args.chain(["orders", "true"])).end().await;

            assert_eq!(ended.code, Some(64), "{options:?}: {ended:?}");
            for text in texts {
                assert!(ended.stderr.contains(text), "{text}: {ended:?}");
            }
        }
    }
    let by_env = fixture.leasehold(["lock", "orders", "true"]).env("LEASEHOLD_ATTEMPT", "3s");
    assert!(by_env.end().await.stderr_line().contains("1s too much"));
    assert!(fixture.leases().get_opt("orders").await.unwrap().is_none(), "nothing was locked");
}

#[tokio::test]
async fn the_longest_attempt_and_the_longest_grace_are_accepted() {
    let fixture = Fixture::new().await;
    for options in [&["--attempt", "2666ms"][..], &["--grace", "6s"], &["--attempt", "1ms"]] {
        let args = ["elect"].into_iter().chain(options.iter().copied());
        let ended = fixture.leasehold(args.chain(["orders", "--no-such-program"])).end().await;

        assert_eq!(ended.code, Some(127), "accepted, and the next check failed: {ended:?}");
    }
    let ended = fixture.leasehold(["lock", "--attempt", "2666ms", "orders", "true"]).end().await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

/// A renewal is due 3 s after the last one. It puts the lock in doubt when it has no answer after one attempt.
#[tokio::test]
async fn an_unanswered_renewal_is_reported_after_one_attempt() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let begun = Instant::now();
    let holding = async |name, attempt| {
        let args = ["lock", "--ttl", "9s", "--attempt", attempt, name];
        let mut program = fixture.leasehold_of(&kubeconfig, args).start();
        program.line().await;
        program
    };
    let (mut short, mut long) = tokio::join!(holding("a", "100ms"), holding("b", "1600ms"));

    proxy.set(Link::BLACK_HOLE);
    let in_doubt = async |program: &mut crate::program::Running| {
        let warning = program.stderr_line().await;
        assert!(warning.contains("is in doubt: its renewals do not reach"), "{warning}");
        begun.elapsed()
    };
    let (short, long) = tokio::join!(in_doubt(&mut short), in_doubt(&mut long));

    assert!(short >= Duration::from_millis(3100), "{short:?}");
    assert!(long >= Duration::from_millis(4600), "{long:?}");
    assert!(short < long, "{short:?} {long:?}");
}
