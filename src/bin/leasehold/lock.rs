//! `leasehold lock`.

use std::time::Duration;

use leasehold::{Guard, LockOptions, Tenure};
use tokio::time::timeout;

use crate::{
    acquire::acquire,
    args::{LockArgs, Output},
    failure::{About, Outcome},
    hold,
    output::{Held, print},
    page::Asks,
    run::{conclude, held, lost, variables},
    signals::Signals,
    start::Start,
};

/// How long a release may take: the command has ended, and the record lapses by itself.
const RELEASE: Duration = Duration::from_secs(5);

/// Runs the command under the lock, or holds the lock until a signal.
pub(crate) async fn run(args: LockArgs) -> Outcome {
    let busy = args.busy_code;
    let start = Start::prepare("lock", args.words(), &args.target, &args.tenure, busy);
    let Start { name, command, grace, connection, chain, mut signals, object } = start.await?;
    let about = About { busy, ..connection.about(&object) };
    let mut options = LockOptions::default().ttl(args.tenure.ttl);
    options.wait = if args.try_once { Some(Duration::ZERO) } else { args.wait };

    let guard = acquire(&connection, name, options, &about, &mut signals).await?;
    let held = held(&guard, about.namespace);
    let outcome = if command.is_empty() {
        keep(&guard, &held, args.say.output, &about, &mut signals).await
    } else {
        let variables = variables(&held, &chain);
        let end =
            hold::run(&guard, grace, command, &variables, &mut signals, &mut Asks::none()).await;
        conclude(end, &guard, command, &about)
    };
    release(guard, args.say.quiet, &about).await;
    outcome
}

async fn keep(
    guard: &Tenure,
    held: &Held,
    output: Output,
    about: &About<'_>,
    signals: &mut Signals,
) -> Outcome {
    print(held, output);
    tokio::select! {
        biased;
        _ = guard.lost() => Err(lost(guard, None, about)),
        _ = signals.fatal() => Ok(0),
    }
}

async fn release(guard: Guard, quiet: bool, about: &About<'_>) {
    let told = match timeout(RELEASE, guard.release()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".into(),
    };
    if !quiet {
        let (object, namespace) = (about.object, about.namespace);
        eprintln!(
            "leasehold: {object} in namespace `{namespace}` could not be released: {told}. It lapses by itself after its ttl"
        );
    }
}
