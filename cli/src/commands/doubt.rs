//! The warning that a lock or a lead is in doubt.

use std::{convert::Infallible, time::Duration};

use leasehold::{Tenure, TenureState};
use tokio::time::{sleep, timeout};

use crate::{
    cluster::{connect::Connection, probe::Presence},
    exit::Subject,
    output::warn_once::WarnOnce,
};

/// Time limit of the request that shows why a tenure is in doubt. Its loss may be near.
const PROBE: Duration = Duration::from_secs(1);
/// How often the state of the tenure is checked for warnings.
const POLL: Duration = Duration::from_millis(500);

/// Warns while the tenure is in doubt. Its loss is reported with the end of the command.
pub(super) async fn warn(
    guard: &Tenure,
    connection: &Connection,
    quiet: bool,
    subject: &Subject<'_>,
) -> Infallible {
    let mut warnings = WarnOnce::new(subject.object, Duration::ZERO, quiet);
    let mut problem = None;
    while guard.is_held() {
        if guard.state() != TenureState::InDoubt {
            problem = None;
        } else if problem.is_none() {
            problem = Some(doubt(connection, subject).await);
        }
        warnings.update(problem.clone().filter(|_| guard.is_held()));
        sleep(POLL).await;
    }
    std::future::pending().await
}

/// Why it is in doubt, as far as a request to the server shows it.
async fn doubt(connection: &Connection, subject: &Subject<'_>) -> String {
    let Subject { object, namespace, server, .. } = *subject;
    let error = match timeout(PROBE, connection.probe()).await {
        Ok(Presence::Present) => None,
        Ok(Presence::Absent(error) | Presence::Foreign(error)) => Some(error),
        Err(_) => Some(connection.backend().no_answer()),
    };
    let why = match error {
        Some(error) => {
            format!("its renewals do not reach {server}: {}", error.with_causes())
        }
        None => format!(
            "a renewal is overdue although {server} answers now, or the record prefers another holder"
        ),
    };
    format!("{object} in namespace `{namespace}` is in doubt: {why}")
}
