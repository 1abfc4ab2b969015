//! `leasehold lock`.

use std::{ffi::OsString, time::Duration};

use jiff::Timestamp;
use leasehold::{Error, Guard, LockOptions, Tenure};
use tokio::time::timeout;

use crate::{
    acquire::acquire,
    args::{LockArgs, Output},
    chain::{self, Chain},
    command,
    connect::Connection,
    failure::{About, Failure, Outcome, code},
    hold::{self, End},
    output::{Held, print},
    signals::Signals,
};

/// How long a release may take: the command has ended, and the record lapses by itself.
const RELEASE: Duration = Duration::from_secs(5);

/// Runs the command under the lock, or holds the lock until a signal.
pub(crate) async fn run(args: LockArgs) -> Outcome {
    let usage = |line| Failure::new(code::USAGE, line);
    let (name, command) = args.words().map_err(usage)?;
    let grace = args.tenure.grace().map_err(usage)?;
    if let Some(program) = command.first() {
        command::check(program)?;
    }
    let connection = Connection::open(&args.target, args.tenure.id.as_deref()).await?;
    let object = format!("lock `{name}`");
    let about = About { busy: args.busy_code, ..connection.about(&object) };
    let chain = Chain::inherited().with(name, about.namespace, about.server, args.busy_code)?;
    let mut signals = Signals::listen()?;
    let mut options = LockOptions::default().ttl(args.tenure.ttl);
    options.wait = if args.try_once { Some(Duration::ZERO) } else { args.wait };

    let guard = acquire(&connection, name, options, &about, &mut signals).await?;
    let held = held(&guard, about.namespace);
    let outcome = if command.is_empty() {
        keep(&guard, &held, args.say.output, &about, &mut signals).await
    } else {
        let variables = variables(&held, &chain);
        let end = hold::run(&guard, grace, command, &variables, &mut signals).await;
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

fn conclude(
    end: std::io::Result<End>,
    tenure: &Tenure,
    command: &[OsString],
    about: &About<'_>,
) -> Outcome {
    let program = command.first().map(|program| program.display().to_string()).unwrap_or_default();
    match end {
        Err(error) => Err(Failure::internal(&format!("cannot start `{program}`"), &error)),
        Ok(End { lost: true, .. }) => Err(lost(tenure, Some(&program), about)),
        Ok(End { code: Some(code), .. }) => Ok(code),
        Ok(End { code: None, .. }) => {
            Err(Failure::new(code::INTERNAL, format!("`{program}` was killed and does not end")))
        }
    }
}

fn lost(tenure: &Tenure, program: Option<&str>, about: &About<'_>) -> Failure {
    let why = match tenure.check() {
        Err(Error::Lost { why, .. }) => why.to_string(),
        _ => "renewals failed for too long".into(),
    };
    let (object, namespace) = (about.object, about.namespace);
    let stopped = program.map(|program| format!(" while `{program}` ran, which was stopped"));
    let stopped = stopped.unwrap_or_default();
    let line = format!(
        "{object} in namespace `{namespace}` was lost{stopped}: {why}. Find out what the work had done before it is run again"
    );
    Failure::new(code::LOST, line)
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

#[expect(clippy::disallowed_methods, reason = "written for people and for CMD")]
fn held(tenure: &Tenure, namespace: &str) -> Held {
    let expires_at = Timestamp::now() + tenure.remaining();
    Held {
        name: tenure.name().into(),
        namespace: namespace.into(),
        holder: tenure.holder().into(),
        token: tenure.token().get(),
        expires_at: format!("{expires_at:.3}"),
    }
}

/// What CMD sees, in place of what this process inherited.
fn variables(held: &Held, chain: &Chain) -> Vec<(&'static str, String)> {
    vec![
        ("LEASEHOLD_NAME", held.name.clone()),
        ("LEASEHOLD_NAMESPACE", held.namespace.clone()),
        ("LEASEHOLD_HOLDER", held.holder.clone()),
        ("LEASEHOLD_TOKEN", held.token.to_string()),
        ("LEASEHOLD_EXPIRES_AT", held.expires_at.clone()),
        (chain::VARIABLE, chain.variable()),
    ]
}
