//! `leasehold demo` on a terminal.

use crate::program::Program;

#[tokio::test]
async fn the_demonstration_needs_no_cluster() {
    let demo =
        Program::new(["demo"]).env("KUBECONFIG", "/nowhere/kubeconfig").env("HOME", "/nowhere");

    let ended = demo.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    for text in
        ["CRASHES", "resigns", "LOSES THE NETWORK", "IS FROZEN", "joins the queue", "SUMMARY"]
    {
        assert!(ended.text().contains(text), "{text}: {}", ended.text());
    }
}

#[tokio::test]
async fn a_demonstration_whose_output_cannot_be_written_fails() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Program::new(["demo"]).into_command();

    let ended = command.stdout(full).spawn().unwrap().wait_with_output().await.unwrap();

    assert_eq!(ended.status.code(), Some(70), "{ended:?}");
    let line = String::from_utf8(ended.stderr).unwrap();
    assert!(line.contains("the output is not complete"), "{line}");
}
