//! Nothing is left behind.

use crate::{Place, program::left_behind};

/// A hundred here; a thousand have been run by hand.
const RUNS: i32 = 100;

#[tokio::test]
async fn a_hundred_locks_in_a_row_leave_one_free_lease_and_no_process() {
    let place = Place::new().await;

    for _ in 0..RUNS {
        assert_eq!(place.leasehold(["lock", "orders", "true"]).end().await.code, Some(0));
    }

    let leases = place.leases().list(&kube::api::ListParams::default()).await.unwrap().items;
    assert_eq!(leases.len(), 1);
    assert_eq!(place.holder("orders").await, None);
    assert_eq!(left_behind(&place.namespace), Vec::<String>::new());
}
