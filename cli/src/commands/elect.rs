//! `leasehold elect`.

use std::{convert::Infallible, ffi::OsString, sync::Arc, time::Duration};

use futures::FutureExt as _;
use leasehold::{Guard, Leader, LeaderOptions, Sync as _};
use tokio::time::{sleep, timeout};

use crate::{
    cli::args::ElectArgs,
    cluster::{connect::Connection, wait::patiently},
    commands::{
        child::{conclude, held, variables},
        prepare::Start,
    },
    exec::{
        nesting::Chain,
        resign_request::{Ask, Asks},
        signals::Signals,
        supervise,
    },
    exit::{About, Failure, Outcome, code},
    output::{
        lines::print,
        status::Stands,
        warn_once::{MOMENT, Trouble},
    },
    sidecar::Sidecar,
};

/// How long resigning may take: the command has ended, and the record lapses by itself.
const RESIGN: Duration = Duration::from_secs(5);
/// How often to look whether something is wrong.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the command while leading, or prints who leads.
pub(crate) async fn run(args: ElectArgs) -> Outcome {
    let start =
        Start::prepare("election", args.words(), &args.target, &args.tenure, code::BUSY).await?;
    let Start { name, command, grace, connection, chain, mut signals, object } = start;
    let about = connection.about(&object);

    let mut sidecar = tokio::select! {
        biased;
        signal = signals.fatal() => return Err(Failure::signal(signal.as_raw())),
        sidecar = Sidecar::prepare(&args.sidecar, name, args.say.quiet, &connection, &about) => sidecar?,
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
        let mut asks = sidecar.asks();
        let work = async {
            if command.is_empty() {
                self.tell(&leader, sidecar, signals, &mut asks).await
            } else {
                self.run(&leader, command, sidecar, signals, &mut asks).await
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            never = self.complain(&leader) => match never {},
        };
        sidecar.step_down().await;
        self.resign(&leader).await;
        outcome
    }

    async fn join(&self, name: &str, signals: &mut Signals) -> Outcome<Arc<Leader>> {
        let options = LeaderOptions::default().ttl(self.args.tenure.ttl);
        let standing = self.connection.sync.leader(name, options);
        match patiently(self.connection, standing, &self.about, signals).await {
            Ok(leader) => Ok(Arc::new(leader?)),
            Err(stopped) => {
                // Its record may have been written already. What cannot be removed in time lapses by itself.
                let _ = timeout(RESIGN, self.connection.sync.close()).await;
                Err(stopped)
            }
        }
    }

    /// Says what keeps going wrong with the candidacy, for as long as it stands.
    async fn complain(&self, leader: &Leader) -> Infallible {
        let mut trouble = Trouble::new(self.about.object, MOMENT, self.args.say.quiet);
        loop {
            let wrong = leader.last_error().map(|error| self.about.failure(&error));
            trouble.look(wrong.and_then(|failure| failure.line().map(ToOwned::to_owned)));
            sleep(LOOK).await;
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
        asks: &mut Asks,
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
            let mut end =
                supervise::run(&guard, self.grace, command, &variables, signals, asks).await;
            let asked = end.as_mut().ok().and_then(|end| end.asked.take());
            if let Some(ask) = asked.filter(|_| guard.is_held()) {
                sidecar.lower().await;
                step_down(guard, ask).await;
                continue;
            }
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
    async fn tell(
        &self,
        leader: &Arc<Leader>,
        sidecar: &Sidecar,
        signals: &mut Signals,
        asks: &mut Asks,
    ) -> Outcome {
        let mut stands = Stands::of(leader, self.about.namespace);
        loop {
            let stand = tokio::select! {
                biased;
                _ = signals.fatal() => return Ok(0),
                ask = asks.next() => {
                    match leader.elected().now_or_never() {
                        Some(Ok(guard)) => {
                            sidecar.lower().await;
                            step_down(guard, ask).await;
                            sidecar.raise();
                        }
                        _ => ask.answer(format!("{} leads no more", leader.id())),
                    }
                    continue;
                }
                stand = stands.next() => stand,
            };
            if !stand.is_some_and(|stand| print(&stand, self.args.say.output)) {
                return Ok(0);
            }
        }
    }
}

/// Ends the tenure, since somebody asked for that. The candidacy goes on; whoever stands by is first.
async fn step_down(guard: Guard, ask: Ask) {
    let holder = guard.holder().to_owned();
    ask.answer(match timeout(RESIGN, guard.release()).await {
        Ok(Ok(())) => format!("{holder} has resigned, and stands again"),
        Ok(Err(error)) => format!("{holder} leads no more, but could not say so: {error}"),
        Err(_) => format!("{holder} leads no more, but the API server does not answer"),
    });
}
