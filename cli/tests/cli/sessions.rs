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
