//! Options in the environment: what counts as set, and which option wins. Without a server: code 69 means that the
//! options were accepted, and that the next check failed.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use crate::program::{Ended, Program};

const LOCK: [&str; 3] = ["lock", "orders", "true"];
const ELECT: [&str; 3] = ["elect", "orders", "true"];

async fn run(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut program = Program::new(args.iter().copied());
    for (name, value) in variables {
        program = program.env(name, value);
    }
    program.env("KUBECONFIG", "/nowhere").env("HOME", "/nowhere").end().await
}

#[tokio::test]
async fn an_empty_variable_counts_as_not_set() {
    let mut tried = 0;
    for command in
        [&LOCK[..], &ELECT, &["status"], &["members"], &["watch"], &["sessions"], &["prune"]]
    {
        let help = run(&[command[0], "--help"], &[]).await;
        let help = String::from_utf8(help.stdout).unwrap();
        for variable in help.split("[env: ").skip(1).filter_map(|rest| rest.split('=').next()) {
            let ended = run(command, &[(variable, "")]).await;

            // Without this one, the lock would be in another place than the user means.
            let code = if variable == "LEASEHOLD_ETCD" { 64 } else { 69 };
            assert_eq!(ended.code, Some(code), "{command:?} {variable}: {ended:?}");
            tried += 1;
        }
    }
    assert!(tried > 80, "the help names all variables: {tried}");
}

#[tokio::test]
async fn the_help_names_a_variable_that_does_not_count() {
    let help = run(&["lock", "--help"], &[("LEASEHOLD_TTL", ""), ("LEASEHOLD_SHARED", "no")]).await;

    assert_eq!(help.code, Some(0), "{help:?}");
    for variable in ["[env: LEASEHOLD_TTL=]", "[env: LEASEHOLD_SHARED=no]"] {
        assert!(String::from_utf8_lossy(&help.stdout).contains(variable), "{variable}: {help:?}");
    }
}

#[tokio::test]
async fn a_switch_that_a_variable_turns_off_neither_conflicts_nor_requires() {
    for (args, variables) in [
        (&LOCK, &[("LEASEHOLD_SHARED", "false"), ("LEASEHOLD_SLOTS", "3")][..]),
        (&ELECT, &[("LEASEHOLD_PAGE", "0")]),
        (&LOCK, &[("LEASEHOLD_TRY", "no"), ("LEASEHOLD_WAIT", "1s")]),
        (&LOCK, &[("LEASEHOLD_QUIET", "off")]),
    ] {
        let ended = run(args, variables).await;
        assert_eq!(ended.code, Some(69), "{variables:?}: {ended:?}");
    }
    let wrong = run(&LOCK, &[("LEASEHOLD_SHARED", "perhaps")]).await;
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
    assert!(wrong.stderr.contains("not a boolean"), "{wrong:?}");
}

#[tokio::test]
async fn an_option_of_the_command_line_wins_over_a_contradicting_variable() {
    for (option, variable) in [
        (&["--slots", "3"][..], ("LEASEHOLD_SHARED", "true")),
        (&["--shared"], ("LEASEHOLD_SLOTS", "3")),
        (&["--wait", "1s"], ("LEASEHOLD_TRY", "true")),
        (&["--try"], ("LEASEHOLD_WAIT", "1s")),
    ] {
        let ended = run(&[&["lock"], option, &LOCK[1..]].concat(), &[variable]).await;
        assert_eq!(ended.code, Some(69), "{option:?}: {ended:?}");
    }
    for (args, variables, text) in [
        (&["lock", "--slots", "3", "--shared"][..], &[][..], "remove one of them"),
        (&["lock"], &[("LEASEHOLD_SLOTS", "3"), ("LEASEHOLD_SHARED", "1")], "LEASEHOLD_SHARED"),
        (&["lock", "--try", "--wait", "1s"], &[], "remove --try or --wait"),
    ] {
        let ended = run(&[args, &LOCK[1..]].concat(), variables).await;
        assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(text), "{args:?}: {ended:?}");
    }
    let both = run(&["demo", "--serve", "127.0.0.1:0", "--etcd", "127.0.0.1:1"], &[]).await;
    assert_eq!(both.code, Some(64), "{both:?}");
}

#[tokio::test]
async fn an_option_without_an_effect_is_refused_and_its_variable_is_ignored() {
    for (args, variable, without) in [
        (
            &["lock", "--session-namespace", "s"][..],
            "LEASEHOLD_SESSION_NAMESPACE",
            "without --queue",
        ),
        (&["elect", "--session-namespace", "s"], "LEASEHOLD_SESSION_NAMESPACE", "without --queue"),
        (&["lock", "--shared", "--attempt", "1s"], "LEASEHOLD_ATTEMPT", "with --queue"),
        (&["elect", "--queue", "--attempt", "1s"], "LEASEHOLD_ATTEMPT", "with --queue"),
        (&["elect", "--page"], "LEASEHOLD_PAGE", "without --serve"),
        (&["elect", "--serve", ":0", "--leader-url", "http://a"], "LEASEHOLD_LEADER_URL", "--page"),
        (&["elect", "--serve", ":0", "--allow-host", "a.b"], "LEASEHOLD_ALLOW_HOST", "--page"),
        (&["elect", "--label-key", "a.b/c"], "LEASEHOLD_LABEL_KEY", "without --label-leader"),
        (&["elect", "--pod", "a"], "LEASEHOLD_POD", "without --label-leader or --events"),
    ] {
        let refused = run(&[args, &LOCK[1..]].concat(), &[]).await;
        assert_eq!(refused.code, Some(64), "{args:?}: {refused:?}");
        assert!(refused.stderr.contains("has no effect"), "{args:?}: {refused:?}");
        assert!(refused.stderr.contains(without), "{args:?}: {refused:?}");

        let at = args.iter().rposition(|word| word.starts_with("--")).unwrap();
        let value = args.get(at + 1).copied().unwrap_or("true");
        let ignored = run(&[&args[..at], &LOCK[1..]].concat(), &[(variable, value)]).await;
        assert_eq!(ignored.code, Some(69), "{variable}: {ignored:?}");
    }
    for command in ["lock", "elect"] {
        let args = [command, "--queue", "orders", "true"];
        let ignored = run(&args, &[("LEASEHOLD_ATTEMPT", "1h")]).await;
        assert_eq!(ignored.code, Some(69), "{command}: not even its bounds are checked");
    }
}

#[tokio::test]
async fn a_text_that_is_not_utf8_is_named() {
    let bytes = OsStr::from_bytes(b"a\xff");
    let of = |args: &[&'static str]| {
        let program = Program::new(args.iter().copied());
        program.env("KUBECONFIG", "/nowhere").env("HOME", "/nowhere")
    };
    for (program, named) in [
        (of(&LOCK).env("LEASEHOLD_TTL", bytes), "the variable LEASEHOLD_TTL is not UTF-8"),
        (of(&["status"]).env("LEASEHOLD_SELECTOR", bytes), "LEASEHOLD_SELECTOR is not UTF-8"),
        (of(&["status", "-n"]).arg(bytes), "the word \"a\u{fffd}\" is not UTF-8"),
        (of(&["lock"]).arg(bytes), "the name `a\u{fffd}` is not UTF-8"),
    ] {
        let ended = program.end().await;

        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains(named), "{named}: {ended:?}");
    }
    let path = of(&["status"]).env("LEASEHOLD_KUBECONFIG", bytes).end().await;
    assert_eq!(path.code, Some(69), "a path may be any bytes: {path:?}");
}
