//! The image and the chart on a real cluster. `make e2e` starts a cluster and runs these tests one after the other.
//!
//! | variable | |
//! |---|---|
//! | `KUBECONFIG` | the cluster |
//! | `LEASEHOLD_E2E_LOAD` | a command that loads an image into the cluster; its argument is the file |
//! | `LEASEHOLD_E2E_NODE` | a command that runs its arguments on the node, as root |
//! | `LEASEHOLD_E2E_IMAGE` | the file of the image of leasehold |
//! | `LEASEHOLD_E2E_PROGRAMS` | a directory with images: `conformance.tar`, `controller.tar`, `earlier.tar` (leasehold, tagged 0.0.9) |
//! | `HELM`, `KUBECTL` | commands, if they are not in the path |

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test says where it fails and what it measured, and reads the clock"
)]

mod history;
mod inside;
mod installed;
mod killed;
mod kubectl;
mod node;
mod outage;
mod page;
mod release;
mod replaced;
mod routed;
mod samples;
mod wrapped;

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

/// The pause between two looks.
const POLL: Duration = Duration::from_millis(50);
/// A limit for everything that is not measured.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `look` returns a value.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain for {what}");
        sleep(POLL).await;
    }
}

/// Prints a measurement, with the load of the machine.
fn measured(what: &str, figure: impl std::fmt::Display) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("measured: {what}: {figure} (load {})", load.split(' ').next().unwrap_or("?"));
}

/// The median.
fn middle(mut figures: Vec<Duration>) -> Duration {
    figures.sort_unstable();
    figures[figures.len() / 2]
}
