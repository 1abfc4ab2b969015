//! Readers that do not read what the program prints.

use std::{
    io::{ErrorKind, PipeReader, PipeWriter, Read as _, Write as _, pipe},
    process::Stdio,
};

use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};

use crate::{Fixture, program::Program};

/// A pipe without space for one more byte.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        let full = loop {
            if let Err(error) = writer.write_all(&vec![b'.'; size]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}

/// Holds `orders` for many renewals, then reads the output to the end.
async fn expect_renewals(
    fixture: &Fixture,
    program: Program,
    stderr: bool,
) -> (Option<i32>, String) {
    let (mut reader, writer) = full_pipe();
    let mut command = program.into_command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let command = if stderr { command.stderr(writer) } else { command.stdout(writer) };
    let mut process = command.spawn().unwrap();
    // The test must not keep the writing end open.
    drop(std::mem::replace(command, tokio::process::Command::new("true")));

    fixture.until_requested("update", 6).await;
    assert_eq!(fixture.holder("orders").await.as_deref(), Some("me"));

    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let pid = Pid::from_raw(process.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let code = process.wait().await.unwrap().code();
    assert_eq!(fixture.holder("orders").await, None);
    (code, read.await.unwrap())
}

#[tokio::test]
async fn a_reader_of_the_log_that_does_not_read_does_not_stop_renewals() {
    let fixture = Fixture::new().await;
    let args = ["lock", "-vv", "--id", "me", "--ttl", "2s", "orders", "sleep", "60"];

    let (code, text) = expect_renewals(&fixture, fixture.leasehold(args), true).await;

    assert_eq!(code, Some(143));
    assert!(text.contains("acquired") && text.contains("released"), "{text}");
}

#[tokio::test]
async fn a_reader_of_changes_that_does_not_read_does_not_stop_renewals() {
    for command in ["lock", "elect"] {
        let fixture = Fixture::new().await;
        let args = [command, "--id", "me", "--ttl", "2s", "orders"];

        let (code, _) = expect_renewals(&fixture, fixture.leasehold(args), false).await;

        assert_eq!(code, Some(0), "{command}");
    }
}
