//! `leasehold lock`.

use std::{convert::Infallible, time::Duration};

use leasehold::{Guard, LockOptions, Tenure};
use tokio::time::timeout;

use crate::{
    cli::args::LockArgs,
    cluster::{
        access::{self, Access},
        connect::Connection,
        wait::{PATIENCE, ServerWait, acquire},
    },
    commands::{
        child::{conclude, held, lost, variables},
        doubt,
        prepare::Prepared,
        server_progress::ServerProgress,
    },
    console,
    exec::{
        resign_request::ResignRequests,
        signals::Signals,
        supervise::{self, Task},
    },
    exit::{Outcome, Subject},
    log,
    output::{
        format::Format,
        lines::{Held, Printing},
    },
};

/// Time limit of the release. The command has ended, so a record that stays expires by itself.
const RELEASE: Duration = Duration::from_secs(5);

/// Runs the command under the lock, or holds the lock until a signal.
pub(crate) async fn run(args: LockArgs) -> Outcome {
    let busy_code = args.busy_code;
    let prepared =
        Prepared::prepare("lock", args.name_and_command(), &args.target, &args.tenure, busy_code);
    let Prepared { name, command, timing, grace, connection, nesting, mut signals, object } =
        prepared.await?;
    let subject = Subject { busy_code, ..connection.subject(&object) };
    let own = args.session_namespace.as_deref();
    let ttl = timing.durations().ttl();
    let mut options = LockOptions::default();
    let access = if args.is_queued() {
        Access::queue(access::session_options(ttl, own))
    } else {
        options = options.timing(timing);
        Access::Alone { ttl }
    };
    options.mode = access::mode(args.shared, args.slots);
    options.at_least = args.at_least;
    options.wait = if args.try_once { Some(Duration::ZERO) } else { args.wait };

    // A wait that the user has limited includes the wait for a server. Without a limit, a wrong address is an error soon.
    let awaits_server = options.wait.is_some_and(|wait| !wait.is_zero());
    let mut progress = ServerProgress::new(subject, args.report.quiet);
    let wait = ServerWait {
        limit: (!awaits_server).then_some(PATIENCE),
        wait: options.wait,
        first_answer_only: true,
        report: &mut |error| progress.update(error),
    };
    let guard = tokio::select! {
        biased;
        guard = acquire(&connection, &access, name, options, wait, &subject, &mut signals) => guard?,
        never = access.report(&connection, name, &subject), if !args.report.quiet => match never {},
    };
    log::reports_loss();
    let held = held(&guard, subject.namespace);
    let mut still_runs = false;
    let work = async {
        if command.is_empty() {
            return keep(&guard, &held, args.report.output, &connection, &subject, &mut signals)
                .await;
        }
        let variables = variables(&held, &nesting);
        let task = Task { tenure: &guard, grace, command, quiet: args.report.quiet };
        let mut requests = ResignRequests::none();
        let end = supervise::run(task, &variables, &mut signals, &mut requests).await;
        still_runs = matches!(&end, Ok(end) if end.survivors.is_some());
        conclude(end, &guard, command, &connection, &subject).await
    };
    let outcome = tokio::select! {
        biased;
        outcome = work => outcome,
        never = doubt::warn(&guard, &connection, args.report.quiet, &subject) => match never {},
    };
    if still_runs {
        // The lock is not free while the command runs. Nothing renews it after the end of this process.
        std::mem::forget((guard, access));
    } else {
        release(guard, &access, &connection, args.report.quiet, &subject).await;
    }
    outcome
}

/// Holds the lock until a signal arrives.
async fn keep(
    guard: &Tenure,
    held: &Held,
    output: Format,
    connection: &Connection,
    subject: &Subject<'_>,
    signals: &mut Signals,
) -> Outcome {
    let mut printing = Printing::default();
    printing.start(held.clone(), output);
    let printed = async {
        printing.done().await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        _ = guard.lost() => Err(lost(guard, None, connection, subject).await),
        _ = signals.fatal() => Ok(0),
        never = printed => match never {},
    }
}

async fn release(
    guard: Guard,
    access: &Access,
    connection: &Connection,
    quiet: bool,
    subject: &Subject<'_>,
) {
    let released = async {
        guard.release().await?;
        match access {
            Access::Alone { .. } => Ok(()),
            Access::Queue { .. } => access.close(connection).await,
        }
    };
    let cause = match timeout(RELEASE, released).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => connection.backend().silence().into(),
    };
    if !quiet {
        let (object, namespace) = (subject.object, subject.namespace);
        console::report(format_args!(
            "{object} in namespace `{namespace}` could not be released: {cause}. It expires after its ttl"
        ));
    }
}
