//! `leasehold lock`.

use std::{convert::Infallible, time::Duration};

use leasehold::{Guard, LockOptions, Tenure, TenureState};
use tokio::time::{sleep, timeout};

use crate::{
    cli::args::LockArgs,
    cluster::wait::acquire,
    commands::{
        child::{conclude, held, lost, variables},
        prepare::Start,
    },
    exec::{resign_request::Asks, signals::Signals, supervise},
    exit::{About, Outcome},
    output::{
        format::Output,
        lines::{Held, print},
        warn_once::Trouble,
    },
};

/// How long a release may take: the command has ended, and the record lapses by itself.
const RELEASE: Duration = Duration::from_secs(5);
/// How often to look whether something is wrong.
const LOOK: Duration = Duration::from_millis(500);

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
    let work = async {
        if command.is_empty() {
            return keep(&guard, &held, args.say.output, &about, &mut signals).await;
        }
        let variables = variables(&held, &chain);
        let end =
            supervise::run(&guard, grace, command, &variables, &mut signals, &mut Asks::none())
                .await;
        conclude(end, &guard, command, &about)
    };
    let outcome = tokio::select! {
        biased;
        outcome = work => outcome,
        never = complain(&guard, args.say.quiet, &about) => match never {},
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

/// Says so while it is in doubt; how it ends is said with the command.
async fn complain(guard: &Tenure, quiet: bool, about: &About<'_>) -> Infallible {
    let (object, namespace) = (about.object, about.namespace);
    let mut trouble = Trouble::new(object, Duration::ZERO, quiet);
    while guard.is_held() {
        let wrong = (guard.state() == TenureState::InDoubt).then(|| {
            format!(
                "{object} in namespace `{namespace}` is in doubt: a renewal is overdue, or the record asks for another holder"
            )
        });
        trouble.look(wrong);
        sleep(LOOK).await;
    }
    std::future::pending().await
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
