//! `leasehold elect`.

use std::{convert::Infallible, ffi::OsString, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use leasehold::{Guard, Leader, LeaderOptions, Sync as _};
use tokio::time::{sleep, timeout};

use crate::{
    cli::args::ElectArgs,
    cluster::{connect::Connection, wait::unless_stopped},
    commands::{
        child::{conclude, held, variables},
        prepare::Prepared,
    },
    exec::{
        nesting::Nesting,
        resign_request::{ResignRequest, ResignRequests},
        signals::Signals,
        supervise,
    },
    exit::{Failure, Outcome, Subject, code},
    output::{
        lines::print,
        status::CandidateStatus,
        warn_once::{TOLERANCE, WarnOnce},
    },
    sidecar::Sidecar,
};

/// Time limit of the resignation. The command has ended, so a record that stays expires by itself.
const RESIGN: Duration = Duration::from_secs(5);
/// How often the candidate is checked for errors to warn about.
const POLL: Duration = Duration::from_secs(1);

/// Runs the command while this process leads, or prints the changes of the leader.
pub(crate) async fn run(args: ElectArgs) -> Outcome {
    let prepared = Prepared::prepare(
        "election",
        args.name_and_command(),
        &args.target,
        &args.tenure,
        code::BUSY,
    )
    .await?;
    let Prepared { name, command, grace, connection, nesting, mut signals, object } = prepared;
    let subject = connection.subject(&object);

    let mut sidecar = tokio::select! {
        biased;
        signal = signals.fatal() => return Err(Failure::signal(signal.as_raw())),
        sidecar = Sidecar::prepare(&args.sidecar, name, args.report.quiet, &connection, &subject) => sidecar?,
    };
    let candidacy = Candidacy { args: &args, connection: &connection, subject, nesting, grace };
    let outcome = candidacy.take_part(name, command, &mut sidecar, &mut signals).await;
    sidecar.close().await;
    outcome
}

/// What the parts of the command share.
struct Candidacy<'a> {
    args: &'a ElectArgs,
    connection: &'a Connection,
    subject: Subject<'a>,
    nesting: Nesting,
    grace: Duration,
}

impl Candidacy<'_> {
    /// Is a candidate until the command ends, the lead is lost with --once, or a signal arrives.
    async fn take_part(
        &self,
        name: &str,
        command: &[OsString],
        sidecar: &mut Sidecar,
        signals: &mut Signals,
    ) -> Outcome {
        let leader = self.join(name, signals).await?;
        sidecar.follow(&leader);
        let mut resign_requests = sidecar.resign_requests();
        let work = async {
            if command.is_empty() {
                self.print_changes(&leader, sidecar, signals, &mut resign_requests).await
            } else {
                self.run_command(&leader, command, sidecar, signals, &mut resign_requests).await
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            never = self.warn(&leader) => match never {},
        };
        sidecar.stop_reporting().await;
        self.resign(&leader).await;
        outcome
    }

    async fn join(&self, name: &str, signals: &mut Signals) -> Outcome<Arc<Leader>> {
        let options = LeaderOptions::default().ttl(self.args.tenure.ttl);
        let joining = self.connection.sync.leader(name, options);
        match unless_stopped(self.connection, joining, &self.subject, signals).await {
            Ok(leader) => Ok(Arc::new(leader?)),
            Err(stopped) => {
                // The candidate record may have been written. If it cannot be removed in time, it expires by itself.
                let _ = timeout(RESIGN, self.connection.sync.close()).await;
                Err(stopped)
            }
        }
    }

    /// Warns about errors of the candidate that last.
    async fn warn(&self, leader: &Leader) -> Infallible {
        let mut warnings = WarnOnce::new(self.subject.object, TOLERANCE, self.args.report.quiet);
        loop {
            let problem = leader.last_error().map(|error| self.subject.failure(&error));
            warnings.update(problem.and_then(|failure| failure.line().map(ToOwned::to_owned)));
            sleep(POLL).await;
        }
    }

    async fn resign(&self, leader: &Leader) {
        let resigned = timeout(RESIGN, leader.resign()).await;
        if !matches!(resigned, Ok(Ok(()))) && !self.args.report.quiet {
            let Subject { object, namespace, .. } = self.subject;
            eprintln!(
                "leasehold: {object} in namespace `{namespace}`: could not resign. The lead expires after its ttl"
            );
        }
    }

    /// Runs the command in each tenure, until it ends by itself.
    async fn run_command(
        &self,
        leader: &Leader,
        command: &[OsString],
        sidecar: &Sidecar,
        signals: &mut Signals,
        resign_requests: &mut ResignRequests,
    ) -> Outcome {
        loop {
            sidecar.resume_label();
            let elected = tokio::select! {
                biased;
                signal = signals.fatal() => return Err(Failure::signal(signal.as_raw())),
                elected = leader.elected() => elected,
            };
            let guard = elected.map_err(|error| self.subject.failure(&error))?;
            let variables = variables(&held(&guard, self.subject.namespace), &self.nesting);
            let mut end =
                supervise::run(&guard, self.grace, command, &variables, signals, resign_requests)
                    .await;
            let requested = end.as_mut().ok().and_then(|end| end.resign_request.take());
            if let Some(request) = requested.filter(|_| guard.is_held()) {
                sidecar.remove_label().await;
                step_down(guard, request).await;
                continue;
            }
            let again = matches!(&end, Ok(end) if end.lost) && !self.args.once;
            if !again {
                // The guard is dropped at the end of this block.
                sidecar.stop_reporting().await;
                return conclude(end, &guard, command, &self.subject);
            }
            tracing::info!(election = guard.name(), "lost the lead, still a candidate");
            sidecar.remove_label().await;
        }
    }

    /// Prints each change until a signal arrives.
    async fn print_changes(
        &self,
        leader: &Arc<Leader>,
        sidecar: &Sidecar,
        signals: &mut Signals,
        resign_requests: &mut ResignRequests,
    ) -> Outcome {
        let mut statuses = CandidateStatus::changes(leader, self.subject.namespace);
        loop {
            let status = tokio::select! {
                biased;
                _ = signals.fatal() => return Ok(0),
                request = resign_requests.next() => {
                    match leader.elected().now_or_never() {
                        Some(Ok(guard)) => {
                            sidecar.remove_label().await;
                            step_down(guard, request).await;
                            sidecar.resume_label();
                        }
                        _ => request.answer(format!("{} does not lead any more", leader.candidate_id())),
                    }
                    continue;
                }
                status = statuses.next() => status,
            };
            if !status.is_some_and(|status| print(&status, self.args.report.output)) {
                return Ok(0);
            }
        }
    }
}

/// Ends the tenure on request. This process stays a candidate, behind the candidates that already wait.
async fn step_down(guard: Guard, request: ResignRequest) {
    let holder = guard.holder().to_owned();
    request.answer(match timeout(RESIGN, guard.release()).await {
        Ok(Ok(())) => format!("{holder} has resigned, and is a candidate again"),
        Ok(Err(error)) => {
            format!("{holder} does not lead any more, but could not release the lead: {error}")
        }
        Err(_) => format!("{holder} does not lead any more, but the API server does not answer"),
    });
}
