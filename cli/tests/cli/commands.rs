//! CMD: its arguments, its input and output, its environment and its exit code.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::FileTypeExt as _},
    time::Duration,
};

use crate::{Fixture, program::Program};

#[tokio::test]
async fn every_argument_of_the_command_arrives_unchanged() {
    let fixture = Fixture::new().await;
    let words = ["-x", "--try", "--", "a b", "", "*", "$HOME", "'\"\\", "-n", "zażółć", "--help"];
    let print = ["lock", "orders", "printf", "%s\\n"];

    let plain = fixture.leasehold(print.into_iter().chain(words)).end().await;
    let dashed =
        fixture.leasehold(["lock", "orders", "--", "printf", "%s\\n"].into_iter().chain(words));
    let bytes = fixture.leasehold(print).arg(OsStr::from_bytes(b"\xff\xfe")).end().await;

    assert_eq!(plain.text().lines().collect::<Vec<_>>(), words);
    assert_eq!(dashed.end().await.stdout, plain.stdout);
    assert_eq!(bytes.stdout, b"\xff\xfe\n");
    assert_eq!(plain.stderr, "", "no output without a problem");
}

#[tokio::test]
async fn input_and_output_pass_byte_for_byte() {
    let fixture = Fixture::new().await;
    let input: Vec<u8> =
        (0..10_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();

    let ended = fixture.leasehold(["lock", "orders", "cat"]).fed(&input).await;

    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout == input, "{} of {} bytes, or others", ended.stdout.len(), input.len());
}

#[tokio::test]
async fn the_exit_code_of_the_command_is_passed_on() {
    let fixture = Fixture::new().await;
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -HUP $$", 129),
    ] {
        let ended = fixture.leasehold(["lock", "orders", "sh", "-c", script]).end().await;
        assert_eq!((ended.code, &*ended.stderr), (Some(code), ""), "{script}");
    }
    assert_eq!(fixture.holder("orders").await, None, "released");
}

#[tokio::test]
async fn a_command_that_cannot_run_is_reported_before_a_lock_is_requested() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let circle = directory.path().join("circle");
    std::os::unix::fs::symlink("circle", &circle).unwrap();
    let circle = circle.to_str().unwrap();
    for (command, code, text) in [
        ("leasehold-no-such-program", 127, "it is in no directory of PATH"),
        ("/nowhere/at/all", 127, "the file does not exist"),
        ("--ttl", 127, "put options before NAME"),
        ("/etc/passwd", 126, "not executable"),
        ("/etc/passwd/file", 127, "the file does not exist"),
        ("/etc", 126, "it is a directory"),
        // As in a shell, also where a directory may not be searched, which root always may.
        (circle, 126, "cannot be reached"),
    ] {
        let ended = fixture.leasehold(["lock", "orders", command]).end().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(
            ended.stderr_line().contains(command) && ended.stderr_line().contains(text),
            "{ended:?}"
        );
    }
    assert!(fixture.leases().get_opt("orders").await.unwrap().is_none(), "nothing was locked");
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_64() {
    let fixture = Fixture::new().await;
    for args in [
        &["lock"][..],
        &["lock", "--no-such-option", "orders", "true"],
        &["lock", "--wait", "soon", "orders", "true"],
        &["lock", "--try", "--wait", "1s", "orders", "true"],
        &["lock", "--ttl", "15s", "--grace", "7s", "orders", "true"],
        &["lock", "--ttl", "0s", "orders", "true"],
        &["lock", "", "true"],
        &["lock", "a\nb", "true"],
        &["no-such-command"],
    ] {
        let ended = fixture.leasehold(args.iter().copied()).end().await;
        assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
        assert_ne!(ended.stderr, "", "{args:?}");
    }
}

#[tokio::test]
async fn the_environment_describes_the_inner_lock() {
    let fixture = Fixture::new().await;
    let print = "echo \"$LEASEHOLD_NAME|$LEASEHOLD_NAMESPACE|$LEASEHOLD_HOLDER|$LEASEHOLD_TOKEN|$LEASEHOLD_EXPIRES_AT\"; \
                 echo \"$LEASEHOLD_CHAIN\"";
    let program = env!("CARGO_BIN_EXE_leasehold");
    let args = ["lock", "--id", "out", "a", program, "lock", "--id", "in", "b", "sh", "-c", print];

    let ended = fixture.leasehold(args).end().await;

    let lines: Vec<_> = ended.text().lines().collect();
    let [variables, chain] = lines[..] else { panic!("{ended:?}") };
    let variables: Vec<_> = variables.split('|').collect();
    assert_eq!(variables[..3], ["b", &*fixture.namespace, "in"]);
    assert!(variables[3].parse::<u64>().unwrap() > 0);
    assert!(variables[4].parse::<jiff::Timestamp>().is_ok(), "{variables:?}");
    let chain: Vec<String> = serde_json::from_str(chain).unwrap();
    let at = |name| format!("{}/{name}@{}", fixture.namespace, fixture.plane.url());
    assert_eq!(chain, [at("a"), at("b")]);
}

#[tokio::test]
async fn a_lock_inside_itself_fails_at_once() {
    let fixture = Fixture::new().await;
    let program = env!("CARGO_BIN_EXE_leasehold");

    let direct = ["lock", "a", program, "lock", "a", "echo", "in"];
    let further = ["lock", "a", program, "lock", "b", "sh", "-c", "\"$0\" lock a echo in", program];
    for nested in [&direct[..], &further] {
        let ended = fixture.leasehold(nested.iter().copied()).end().await;

        assert_eq!((ended.code, ended.text()), (Some(75), ""), "{ended:?}");
        assert!(ended.stderr_line().contains("LEASEHOLD_CHAIN"), "{ended:?}");
    }
}

#[tokio::test]
async fn processes_left_in_the_group_are_stopped_before_the_release() {
    let fixture = Fixture::new().await;
    let script = "(trap '' TERM; while :; do sleep 1; done) >&2 & echo $!";

    let ended =
        fixture.leasehold(["lock", "--ttl", "5s", "orders", "sh", "-c", script]).end().await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!super::program::runs(ended.text().trim()));
    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn an_output_that_cannot_be_written_is_a_failure_but_a_reader_that_leaves_is_none() {
    for words in [&["schema"][..], &["man"], &["completions", "bash"], &["lock", "--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Program::new(words.iter().copied()).into_command();
        let ended = command.stdout(full).spawn().unwrap().wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(70), "{words:?}");
        assert!(String::from_utf8(ended.stderr).unwrap().contains("not complete"), "{words:?}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Program::new(words.iter().copied()).into_command();
        let ended = command.stdout(writer).spawn().unwrap().wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(0), "{words:?}");
    }
}

/// As in `leasehold watch | head -1`.
#[tokio::test]
async fn a_command_that_prints_changes_ends_when_its_reader_has_left_although_nothing_changes() {
    let fixture = Fixture::new().await;
    let created = fixture.leasehold(["lock", "orders", "true"]).end().await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let mut holder = fixture.leasehold(["lock", "nightly", "sh", "-c", "echo; sleep 60"]).start();
    assert_eq!(holder.line().await, "");

    for words in [&["watch", "nightly"][..], &["status", "-w", "orders"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = fixture.leasehold(words.iter().copied()).into_command();
        let mut program = command.stdout(writer).spawn().unwrap();
        drop(command); // with its end of the pipe
        let first = tokio::task::spawn_blocking(move || {
            std::io::BufRead::lines(std::io::BufReader::new(reader)).next()
        });
        first.await.unwrap().expect("a line").unwrap();

        let ended = tokio::time::timeout(Duration::from_secs(10), program.wait()).await;

        assert_eq!(ended.expect("it ends").unwrap().code(), Some(0), "{words:?}");
    }
}

#[tokio::test]
async fn an_error_that_is_not_printed_changes_no_exit_code() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();

    for stderr in [std::process::Stdio::from(closed), full.into()] {
        let program = fixture.leasehold(["lock", "orders", script.to_str().unwrap()]);
        let mut command = program.into_command();
        let status = command.stderr(stderr).spawn().unwrap().wait().await.unwrap();
        assert_eq!(status.code(), Some(127));
        assert_eq!(fixture.holder("orders").await, None);
    }
    let quiet = fixture.leasehold(["lock", "-q", "orders", script.to_str().unwrap()]).end().await;
    assert_eq!((quiet.code, &*quiet.stderr), (Some(127), ""), "{quiet:?}");
}

#[tokio::test]
async fn install_copies_the_program_into_a_directory_or_to_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (inside, file) = (directory.path().join("leasehold"), directory.path().join("other"));

    for path in [directory.path(), &file] {
        let ended = Program::new(["install", path.to_str().unwrap()]).end().await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    }
    let refused = Program::new(["install", "/nowhere/at/all"]).end().await;

    let pipe = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let special = Program::new(["install", pipe.to_str().unwrap()]).end().await;
    assert_eq!(special.code, Some(70), "{special:?}");
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo(), "it is no program now");
    std::fs::remove_file(pipe).unwrap();

    for copy in [inside, file] {
        let version = std::process::Command::new(copy).arg("--version").output().unwrap();
        assert!(version.status.success());
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2, "no partial file is left");
    assert_eq!(refused.code, Some(70));
    assert!(refused.stderr.contains("`/nowhere/at/all` could not be written"), "{refused:?}");
}
