//! `leasehold elect`.

use std::{ffi::OsString, sync::Arc, time::Duration};

use leasehold::{Leader, LeaderOptions, Sync as _};
use tokio::time::timeout;

use crate::{
    acquire::patiently,
    args::ElectArgs,
    chain::Chain,
    command,
    connect::Connection,
    failure::{About, Failure, Outcome, code},
    hold,
    output::print,
    run::{conclude, held, variables},
    sidecar::Sidecar,
    signals::Signals,
    stands::Stands,
};

/// How long resigning may take: the command has ended, and the record lapses by itself.
const RESIGN: Duration = Duration::from_secs(5);

/// Runs the command while leading, or prints who leads.
pub(crate) async fn run(args: ElectArgs) -> Outcome {
    let usage = |line| Failure::new(code::USAGE, line);
    let (name, command) = args.words().map_err(usage)?;
    let grace = args.tenure.grace().map_err(usage)?;
    if let Some(program) = command.first() {
        command::check(program)?;
    }
    let connection = Connection::open(&args.target, args.tenure.id.as_deref()).await?;
    let object = format!("election `{name}`");
    let about = connection.about(&object);
    let chain = Chain::inherited().with(name, about.namespace, about.server, code::BUSY)?;
    let mut signals = Signals::listen()?;

    let mut sidecar = tokio::select! {
        biased;
        signal = signals.fatal() => return Err(Failure::signal(signal.as_raw())),
        sidecar = Sidecar::prepare(&args, name, &connection, &about) => sidecar?,
    };
    let campaign = Campaign { args: &args, connection: &connection, about, chain, grace };
    let outcome = campaign.stand(name, command, &mut sidecar, &mut signals).await;
    sidecar.close().await;
    outcome
}

struct Campaign<'a> {
    args: &'a ElectArgs,
    connection: &'a Connection,
    about: About<'a>,
    chain: Chain,
    grace: Duration,
}

impl Campaign<'_> {
    /// Stands in the election, until it is over for this process.
    async fn stand(
        &self,
        name: &str,
        command: &[OsString],
        sidecar: &mut Sidecar,
        signals: &mut Signals,
    ) -> Outcome {
        let leader = self.join(name, signals).await?;
        sidecar.stands(&leader);
        let outcome = if command.is_empty() {
            self.tell(&leader, signals).await
        } else {
            self.run(&leader, command, sidecar, signals).await
        };
        sidecar.step_down().await;
        self.resign(&leader).await;
        outcome
    }

    async fn join(&self, name: &str, signals: &mut Signals) -> Outcome<Arc<Leader>> {
        let options = LeaderOptions::default().ttl(self.args.tenure.ttl);
        let mut standing = self.connection.sync.leader(name, options);
        match patiently(self.connection, &mut standing, &self.about, signals).await {
            Ok(leader) => Ok(Arc::new(leader?)),
            Err(stopped) => {
                // Its record may have been written already: dropped now, nobody would be left to remove it.
                let withdraw = async {
                    if let Ok(leader) = standing.await {
                        let _ = leader.resign().await;
                    }
                };
                let _ = timeout(RESIGN, withdraw).await;
                Err(stopped)
            }
        }
    }

    async fn resign(&self, leader: &Leader) {
        let told = timeout(RESIGN, leader.resign()).await;
        if !matches!(told, Ok(Ok(()))) && !self.args.say.quiet {
            let About { object, namespace, .. } = self.about;
            eprintln!(
                "leasehold: {object} in namespace `{namespace}` could not be resigned from. It lapses by itself after its ttl"
            );
        }
    }

    /// Runs the command with each tenure, until it ends by itself.
    async fn run(
        &self,
        leader: &Leader,
        command: &[OsString],
        sidecar: &Sidecar,
        signals: &mut Signals,
    ) -> Outcome {
        loop {
            sidecar.raise();
            let elected = tokio::select! {
                biased;
                signal = signals.fatal() => return Err(Failure::signal(signal.as_raw())),
                elected = leader.elected() => elected,
            };
            let guard = elected.map_err(|error| self.about.failure(&error))?;
            let variables = variables(&held(&guard, self.about.namespace), &self.chain);
            let end = hold::run(&guard, self.grace, command, &variables, signals).await;
            let again = matches!(&end, Ok(end) if end.lost) && !self.args.once;
            if !again {
                // The guard ends here.
                sidecar.step_down().await;
                return conclude(end, &guard, command, &self.about);
            }
            tracing::info!(election = guard.name(), "lost the lead, standing again");
            sidecar.lower().await;
        }
    }

    /// Prints each change, until a signal.
    async fn tell(&self, leader: &Arc<Leader>, signals: &mut Signals) -> Outcome {
        let mut stands = Stands::of(leader, self.about.namespace);
        loop {
            let stand = tokio::select! {
                biased;
                _ = signals.fatal() => return Ok(0),
                stand = stands.next() => stand,
            };
            if !stand.is_some_and(|stand| print(&stand, self.args.say.output)) {
                return Ok(0);
            }
        }
    }
}
