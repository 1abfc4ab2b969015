//! `leasehold elect`.

use std::{ffi::OsString, time::Duration};

use futures::StreamExt as _;
use leasehold::{Leader, LeaderOptions, Sync as _};
use tokio::time::timeout;

use crate::{
    acquire::patiently,
    args::{ElectArgs, Output},
    chain::Chain,
    failure::{About, Failure, Outcome, code},
    hold,
    output::{Stand, print},
    run::{conclude, held, variables},
    signals::Signals,
    start::Start,
};

/// How long resigning may take: the command has ended, and the record lapses by itself.
const RESIGN: Duration = Duration::from_secs(5);

/// Runs the command while leading, or prints who leads.
pub(crate) async fn run(args: ElectArgs) -> Outcome {
    let start =
        Start::prepare("election", args.words(), &args.target, &args.tenure, code::BUSY).await?;
    let Start { name, command, grace, connection, chain, mut signals, object } = start;
    let about = connection.about(&object);

    let options = LeaderOptions::default().ttl(args.tenure.ttl);
    let standing = connection.sync.leader(name, options);
    let leader = match patiently(&connection, standing, &about, &mut signals).await {
        Ok(leader) => leader?,
        Err(stopped) => {
            // Its record may have been written already. What cannot be removed in time lapses by itself.
            let _ = timeout(RESIGN, connection.sync.close()).await;
            return Err(stopped);
        }
    };
    let campaign = Campaign { leader: &leader, about, chain, grace, once: args.once };
    let outcome = if command.is_empty() {
        campaign.tell(args.say.output, &mut signals).await
    } else {
        campaign.run(command, &mut signals).await
    };
    let told = timeout(RESIGN, leader.resign()).await;
    if !matches!(told, Ok(Ok(()))) && !args.say.quiet {
        let namespace = &connection.namespace;
        eprintln!(
            "leasehold: {object} in namespace `{namespace}` could not be resigned from. It lapses by itself after its ttl"
        );
    }
    outcome
}

struct Campaign<'a> {
    leader: &'a Leader,
    about: About<'a>,
    chain: Chain,
    grace: Duration,
    once: bool,
}

impl Campaign<'_> {
    /// Runs the command with each tenure, until it ends by itself.
    async fn run(&self, command: &[OsString], signals: &mut Signals) -> Outcome {
        loop {
            let elected = tokio::select! {
                biased;
                signal = signals.fatal() => return Err(Failure::signal(signal.as_raw())),
                elected = self.leader.elected() => elected,
            };
            let guard = elected.map_err(|error| self.about.failure(&error))?;
            let variables = variables(&held(&guard, self.about.namespace), &self.chain);
            let end = hold::run(&guard, self.grace, command, &variables, signals).await;
            let again = matches!(&end, Ok(end) if end.lost) && !self.once;
            if !again {
                return conclude(end, &guard, command, &self.about);
            }
            tracing::info!(election = guard.name(), "lost the lead, standing again");
        }
    }

    /// Prints each change, until a signal.
    async fn tell(&self, output: Output, signals: &mut Signals) -> Outcome {
        let (mut leads, mut statuses) = (self.leader.observe(), self.leader.status());
        let mut stand = Stand::new(self.leader, self.about.namespace);
        loop {
            tokio::select! {
                biased;
                _ = signals.fatal() => return Ok(0),
                Some(status) = statuses.next() => stand.status = Some(status),
                Some(leader) = leads.next() => stand.leader = leader,
                else => return Ok(0),
            }
            if !print(&stand, output) {
                return Ok(0);
            }
        }
    }
}
