//! Sessions as the holders of locks, in what the program reports.

use std::time::Duration;

use leasehold::Inspect as _;

use crate::Fixture;

impl Fixture {
    /// The session that holds `name`, once one does.
    async fn holding_session(&self, name: &str) -> String {
        for _ in 0..600 {
            if let Some(holder) = self.holder(name).await {
                return holder;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for a holder");
    }
}

#[tokio::test]
async fn the_end_of_a_session_is_reported_on_one_line_with_the_loss_of_the_lock() {
    let fixture = Fixture::new().await;
    for command in [
        &["lock", "--queue", "--ttl", "3s", "orders"][..],
        &["elect", "--queue", "--once", "--ttl", "3s", "billing"],
    ] {
        let args = [command, &["sleep", "60"]].concat();
        let program = fixture.leasehold(args).start();
        let session = fixture.holding_session(command[command.len() - 1]).await;

        fixture.handle().delete_session(&session).await.unwrap();
        let ended = program.end().await;

        assert_eq!(ended.code, Some(79), "{ended:?}");
        assert!(ended.stderr_line().contains("its session is over"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_process_without_a_queue_is_told_the_identity_of_the_session_that_holds_the_lock() {
    let fixture = Fixture::new().await;
    let args = ["lock", "--queue", "--id", "worker-1", "orders", "sleep", "60"];
    let _holder = fixture.leasehold(args).start();
    let session = fixture.holding_session("orders").await;

    let tried = fixture.leasehold(["lock", "--try", "orders", "true"]).end().await;
    let waited = fixture.leasehold(["lock", "--wait", "3s", "orders", "true"]).end().await;

    for ended in [&tried, &waited] {
        assert_eq!(ended.code, Some(75), "{ended:?}");
        for line in ended.stderr.lines() {
            assert!(line.contains("held by `worker-1`") && !line.contains(&session), "{line}");
        }
    }
}
