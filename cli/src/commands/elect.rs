//! `leasehold elect`.

use std::{convert::Infallible, ffi::OsString, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use leasehold::{Guard, Leader, LeaderOptions, Session, Sync as _, Timing};
use tokio::{
    sync::OnceCell,
    time::{sleep, timeout},
};

use crate::{
    cli::args::ElectArgs,
    cluster::{
        access::session_options,
        connect::Connection,
        wait::{ServerWait, unless_stopped},
    },
    commands::{
        child::{conclude, held, still_candidate, variables},
        doubt,
        prepare::Prepared,
        server_progress::ServerProgress,
    },
    console,
    exec::{
        nesting::Nesting,
        resign_request::{ResignRequest, ResignRequests},
        signals::Signals,
        supervise::{self, Task},
    },
    exit::{Failure, Outcome, Subject, code},
    log,
    output::{
        format::Format,
        lines::{Line as _, Printing},
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
    args.target.refuse_with_etcd(&args.sidecar.for_kubernetes_only())?;
    let prepared = Prepared::prepare(
        "election",
        args.name_and_command(),
        &args.target,
        &args.tenure,
        code::BUSY,
    )
    .await?;
    let Prepared { name, command, timing, grace, connection, nesting, mut signals, object } =
        prepared;
    let subject = connection.subject(&object);

    let mut sidecar = tokio::select! {
        biased;
        signal = signals.fatal() => return Err(Failure::signal(signal.as_raw())),
        sidecar = Sidecar::prepare(&args.sidecar, name, command, args.report.quiet, &connection, &subject) => sidecar?,
    };
    let session = OnceCell::new();
    let connection = &connection;
    let candidacy = Candidacy { args: &args, connection, session, subject, nesting, timing, grace };
    let outcome = candidacy.take_part(name, command, &mut sidecar, &mut signals).await;
    sidecar.close().await;
    outcome
}

/// What the parts of the command share.
struct Candidacy<'a> {
    args: &'a ElectArgs,
    connection: &'a Connection,
    /// With --queue.
    session: OnceCell<Session>,
    subject: Subject<'a>,
    nesting: Nesting,
    timing: Timing,
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
        let leader = self.join(name, sidecar, signals).await?;
        sidecar.follow(&leader);
        let mut resign_requests = sidecar.resign_requests();
        let work = async {
            if command.is_empty() {
                let changes = self.print_changes(&leader, sidecar, signals, &mut resign_requests);
                Work::Over(changes.await)
            } else {
                self.run_command(&leader, command, sidecar, signals, &mut resign_requests).await
            }
        };
        let work = tokio::select! {
            biased;
            work = work => work,
            never = self.warn(&leader) => match never {},
        };
        sidecar.stop_reporting().await;
        match work {
            Work::Over(outcome) => {
                self.resign(&leader).await;
                self.end_session().await;
                outcome
            }
            Work::StillRuns(outcome) => outcome,
        }
    }

    /// Becomes a candidate, also if the server is not there yet.
    async fn join(
        &self,
        name: &str,
        sidecar: &Sidecar,
        signals: &mut Signals,
    ) -> Outcome<Arc<Leader>> {
        let mut options = LeaderOptions::default().timing(self.timing);
        options.payload.clone_from(&self.args.payload);
        let joining = || async {
            sidecar.clear_label().await?;
            if !self.args.queue {
                return self.connection.sync.leader(name, options.clone()).await;
            }
            let (ttl, own) =
                (self.timing.durations().ttl(), self.args.session_namespace.as_deref());
            let open = || self.connection.session(session_options(ttl, own));
            self.session.get_or_try_init(open).await?.leader(name, options.clone()).await
        };
        let mut progress = ServerProgress::new(self.subject, self.args.report.quiet);
        let wait = ServerWait {
            limit: self.args.wait_for_server,
            wait: self.args.wait_for_server,
            first_answer_only: false,
            report: &mut |error| {
                progress.update(error);
                sidecar.joining(error);
            },
        };
        match unless_stopped(self.connection, joining, wait, &self.subject, signals).await {
            Ok(leader) => Ok(Arc::new(leader?)),
            Err(stopped) => {
                // The candidate record may have been written. If it cannot be removed in time, it expires by itself.
                let _ = timeout(RESIGN, self.connection.sync.close()).await;
                self.end_session().await;
                Err(stopped)
            }
        }
    }

    /// Warns about refusals that last. The library warns about all other errors that keep a candidate waiting.
    async fn warn(&self, leader: &Leader) -> Infallible {
        let mut warnings = WarnOnce::new(self.subject.object, TOLERANCE, self.args.report.quiet);
        loop {
            let refusal = leader.last_error().filter(|error| !error.is_transient());
            let problem = refusal.map(|error| self.subject.failure(&error));
            warnings.update(problem.and_then(|failure| failure.line().map(ToOwned::to_owned)));
            sleep(POLL).await;
        }
    }

    async fn resign(&self, leader: &Leader) {
        let resigned = timeout(RESIGN, leader.resign()).await;
        if !matches!(resigned, Ok(Ok(()))) && !self.args.report.quiet {
            let Subject { object, namespace, .. } = self.subject;
            console::report(format_args!(
                "{object} in namespace `{namespace}`: could not resign. The lead expires after its ttl"
            ));
        }
    }

    /// Ends the session, whose record would otherwise stay for a day.
    async fn end_session(&self) {
        if let Some(session) = self.session.get() {
            let _ = timeout(RESIGN, session.end()).await;
        }
    }

    /// Runs the command in each tenure, until it ends by itself.
    async fn run_command(
        &self,
        leader: &Arc<Leader>,
        command: &[OsString],
        sidecar: &Sidecar,
        signals: &mut Signals,
        resign_requests: &mut ResignRequests,
    ) -> Work {
        loop {
            sidecar.resume_label();
            let elected = tokio::select! {
                biased;
                signal = signals.fatal() => {
                    return Work::Over(Err(Failure::signal(signal.as_raw())));
                }
                // Answered now: a request for an earlier tenure must not end the next one.
                request = resign_requests.next() => {
                    request.answer(format!("{} does not lead any more", leader.candidate_id()));
                    continue;
                }
                elected = leader.elected() => elected,
            };
            let guard = match elected {
                Ok(guard) => guard,
                Err(error) => return Work::Over(Err(self.subject.failure(&error))),
            };
            if self.args.once {
                log::reports_loss();
            }
            let variables = variables(&held(&guard, self.subject.namespace), &self.nesting);
            let (grace, quiet) = (self.grace, self.args.report.quiet);
            let task = Task { tenure: &guard, grace, command, quiet };
            let mut end = tokio::select! {
                biased;
                end = supervise::run(task, &variables, signals, resign_requests) => end,
                never = doubt::warn(&guard, self.connection, quiet, &self.subject) => match never {},
            };
            if matches!(&end, Ok(end) if end.survivors.is_some()) {
                let outcome = conclude(end, &guard, command, self.connection, &self.subject).await;
                // The record stays until it expires: no other candidate may lead while the command runs.
                std::mem::forget((guard, Arc::clone(leader)));
                return Work::StillRuns(outcome);
            }
            let requested = end.as_mut().ok().and_then(|end| end.resign_request.take());
            if let Some(request) = requested.filter(|_| guard.is_held()) {
                sidecar.remove_label().await;
                step_down(guard, request, &self.subject).await;
                continue;
            }
            let again = matches!(&end, Ok(end) if end.lost) && !self.args.once;
            if !again {
                // The guard is dropped at the end of this block.
                sidecar.stop_reporting().await;
                let outcome = conclude(end, &guard, command, self.connection, &self.subject).await;
                return Work::Over(outcome);
            }
            sidecar.remove_label().await;
            if !quiet {
                let line = still_candidate(&guard, command, self.connection, &self.subject).await;
                console::report(line);
            }
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
        let output = self.args.report.output;
        let mut statuses = CandidateStatus::changes(leader, self.subject.namespace);
        let mut last = None;
        let mut printing = Printing::default();
        loop {
            let status = tokio::select! {
                biased;
                _ = signals.fatal() => return Ok(0),
                request = resign_requests.next() => {
                    match leader.elected().now_or_never() {
                        Some(Ok(guard)) => {
                            sidecar.remove_label().await;
                            step_down(guard, request, &self.subject).await;
                            sidecar.resume_label();
                        }
                        _ => request.answer(format!("{} does not lead any more", leader.candidate_id())),
                    }
                    continue;
                }
                open = printing.done(), if printing.is_busy() => {
                    if open {
                        continue;
                    }
                    return Ok(0);
                }
                // While a line is printed, changes are not queued: the stream yields the latest status.
                status = statuses.next(), if !printing.is_busy() => status,
            };
            let Some(status) = status else { return Ok(0) };
            // The text does not have the token, so a token that becomes known is no change of it.
            let text = (output == Format::Text).then(|| status.text());
            if text.is_none() || text != last {
                printing.start(status, output);
            }
            last = text;
        }
    }
}

/// How the work of a candidate ended.
enum Work {
    /// The candidate may resign.
    Over(Outcome),
    /// The command still runs, so the lead must not be released.
    StillRuns(Outcome),
}

/// Ends the tenure on request. This process stays a candidate, behind the candidates that already wait.
async fn step_down(guard: Guard, request: ResignRequest, subject: &Subject<'_>) {
    let holder = guard.holder().to_owned();
    request.answer(match timeout(RESIGN, guard.release()).await {
        Ok(Ok(())) => format!("{holder} has resigned, and is a candidate again"),
        Ok(Err(error)) => {
            format!("{holder} does not lead any more, but could not release the lead: {error}")
        }
        Err(_) => format!("{holder} does not lead any more, but {}", subject.backend.silence()),
    });
}
