//! `leasehold lock`.

use std::{convert::Infallible, time::Duration};

use leasehold::{Guard, LockOptions, Tenure, TenureState};
use tokio::time::{sleep, timeout};

use crate::{
    cli::args::LockArgs,
    cluster::wait::acquire,
    commands::{
        child::{conclude, held, lost, variables},
        prepare::Prepared,
    },
    exec::{resign_request::ResignRequests, signals::Signals, supervise},
    exit::{Outcome, Subject},
    output::{
        format::Format,
        lines::{Held, print},
        warn_once::WarnOnce,
    },
};

/// Time limit of the release. The command has ended, so a record that stays expires by itself.
const RELEASE: Duration = Duration::from_secs(5);
/// How often the state of the lock is checked for warnings.
const POLL: Duration = Duration::from_millis(500);

/// Runs the command under the lock, or holds the lock until a signal.
pub(crate) async fn run(args: LockArgs) -> Outcome {
    let busy_code = args.busy_code;
    let prepared =
        Prepared::prepare("lock", args.name_and_command(), &args.target, &args.tenure, busy_code);
    let Prepared { name, command, grace, connection, nesting, mut signals, object } =
        prepared.await?;
    let subject = Subject { busy_code, ..connection.subject(&object) };
    let mut options = LockOptions::default().ttl(args.tenure.ttl);
    options.wait = if args.try_once { Some(Duration::ZERO) } else { args.wait };

    let guard = acquire(&connection, name, options, &subject, &mut signals).await?;
    let held = held(&guard, subject.namespace);
    let work = async {
        if command.is_empty() {
            return keep(&guard, &held, args.report.output, &subject, &mut signals).await;
        }
        let variables = variables(&held, &nesting);
        let end = supervise::run(
            &guard,
            grace,
            command,
            &variables,
            &mut signals,
            &mut ResignRequests::none(),
        )
        .await;
        conclude(end, &guard, command, &subject)
    };
    let outcome = tokio::select! {
        biased;
        outcome = work => outcome,
        never = warn(&guard, args.report.quiet, &subject) => match never {},
    };
    release(guard, args.report.quiet, &subject).await;
    outcome
}

/// Holds the lock until a signal arrives.
async fn keep(
    guard: &Tenure,
    held: &Held,
    output: Format,
    subject: &Subject<'_>,
    signals: &mut Signals,
) -> Outcome {
    print(held, output);
    tokio::select! {
        biased;
        _ = guard.lost() => Err(lost(guard, None, subject)),
        _ = signals.fatal() => Ok(0),
    }
}

/// Warns while the lock is in doubt. Its loss is reported with the end of the command.
async fn warn(guard: &Tenure, quiet: bool, subject: &Subject<'_>) -> Infallible {
    let (object, namespace) = (subject.object, subject.namespace);
    let mut warnings = WarnOnce::new(object, Duration::ZERO, quiet);
    while guard.is_held() {
        let problem = (guard.state() == TenureState::InDoubt).then(|| {
            format!(
                "{object} in namespace `{namespace}` is in doubt: a renewal is overdue, or the record prefers \
                    another holder"
            )
        });
        warnings.update(problem);
        sleep(POLL).await;
    }
    std::future::pending().await
}

async fn release(guard: Guard, quiet: bool, subject: &Subject<'_>) {
    let cause = match timeout(RELEASE, guard.release()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the API server does not answer".into(),
    };
    if !quiet {
        let (object, namespace) = (subject.object, subject.namespace);
        eprintln!(
            "leasehold: {object} in namespace `{namespace}` could not be released: {cause}. It expires after its ttl"
        );
    }
}
