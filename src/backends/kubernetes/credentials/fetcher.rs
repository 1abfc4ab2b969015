//! The task that fetches credentials, and when it does so.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kube::{Client, Config};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    Failure, Transport,
    credential::{Credential, Fetched},
    source::Source,
};
use crate::{
    api::error::Result,
    util::clock::{Clock, Moment},
};

/// The longest time without a credential to wait for one. A plugin may open a browser and wait for a person, and the
/// common ones do so for three minutes.
const FIRST_LIMIT: Duration = Duration::from_secs(200);
/// The longest time while there is a credential. Shorter, so that there is time for another attempt.
const RENEWAL_LIMIT: Duration = Duration::from_secs(60);
/// The time after which a line says what is waited for.
const SILENCE: Duration = Duration::from_secs(3);
/// The pause after the first credential in vain. Each further one doubles it.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The handle of the task. The task ends when this is dropped, and a running plugin with it.
pub(super) struct Fetcher {
    state: watch::Receiver<State>,
    demand: Arc<Demand>,
    task: JoinHandle<()>,
}

/// What the task has reached.
#[derive(Clone, Default)]
struct State {
    credential: Option<Arc<Credential>>,
    /// How many attempts have ended.
    attempts: u64,
    /// Why the last attempt failed.
    failure: Option<Failure>,
}

/// What requests report to the task.
#[derive(Default)]
struct Demand {
    wake: Notify,
    /// The number of the last credential that the server accepted.
    accepted: AtomicU64,
    /// The number of the last credential that the server refused.
    refused: AtomicU64,
}

impl Fetcher {
    pub(super) fn start(source: Source, config: Config, transport: Transport) -> Result<Self> {
        let (publish, state) = watch::channel(State::default());
        let demand = Arc::new(Demand::default());
        let client = transport(config.clone())?;
        let demanded = Arc::clone(&demand);
        let work = Work { source, config, transport, client, publish, demand: demanded, vain: 0 };
        Ok(Self { state, demand, task: tokio::spawn(work.run()) })
    }

    /// The present credential. Waits only if there is none.
    ///
    /// A credential is used after its end too, until there is another one: the clock of this host may be wrong, and
    /// only the server's counts.
    pub(super) async fn current(&self) -> Result<Arc<Credential>, Failure> {
        let (present, attempts) = {
            let state = self.state.borrow();
            (state.credential.clone(), state.attempts)
        };
        match present {
            Some(credential) => {
                if credential.renew_at <= Clock::Host.now() {
                    self.demand.wake.notify_one();
                }
                Ok(credential)
            }
            None => self.wait(attempts, 0).await,
        }
    }

    /// Waits for the credential after one that the server refused.
    pub(super) async fn replacement(
        &self,
        refused: &Credential,
    ) -> Result<Arc<Credential>, Failure> {
        let attempts = self.state.borrow().attempts;
        self.demand.refused.fetch_max(refused.number, Ordering::Relaxed);
        self.wait(attempts, refused.number).await
    }

    /// The server has accepted a credential.
    pub(super) fn accepted(&self, credential: &Credential) {
        self.demand.accepted.fetch_max(credential.number, Ordering::Relaxed);
    }

    /// A credential with a number greater than `after`, or the failure of an attempt after `attempts`.
    async fn wait(&self, attempts: u64, after: u64) -> Result<Arc<Credential>, Failure> {
        let newer = |state: &State| state.credential.clone().filter(|it| it.number > after);
        let mut state = self.state.clone();
        if newer(&state.borrow()).is_none() {
            self.demand.wake.notify_one();
        }
        let reached = state.wait_for(|it| newer(it).is_some() || it.attempts > attempts).await;
        let ended = || Failure::new("the Tokio runtime of the credentials has ended");
        let reached = reached.map_err(|_| ended())?;
        newer(&reached).ok_or_else(|| reached.failure.clone().unwrap_or_else(ended))
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

/// The task.
struct Work {
    source: Source,
    config: Config,
    transport: Transport,
    /// For credentials without a certificate of their own.
    client: Client,
    publish: watch::Sender<State>,
    demand: Arc<Demand>,
    /// How many attempts in a row have failed, or have fetched what the server refused.
    vain: u32,
}

impl Work {
    async fn run(mut self) {
        loop {
            self.demand.wake.notified().await;
            let Some(pause) = self.due() else { continue };
            sleep(pause).await;
            let fetched = self.fetch().await.and_then(|fetched| self.credential(fetched));
            match &fetched {
                Ok(_) => tracing::debug!("{} has delivered a credential", self.source),
                // Without a credential, requests wait for this one and report the failure.
                Err(failure) if self.vain == 0 && self.publish.borrow().credential.is_some() => {
                    tracing::warn!("{failure}");
                }
                Err(failure) => tracing::debug!("{failure}"),
            }
            if fetched.is_err() {
                self.vain += 1;
            }
            self.publish.send_modify(|state| {
                state.attempts += 1;
                state.failure = fetched.as_ref().err().cloned();
                if let Ok(credential) = fetched {
                    state.credential = Some(Arc::new(credential));
                }
            });
        }
    }

    /// The pause before the next attempt; `None` if none is needed.
    fn due(&mut self) -> Option<Duration> {
        let state = self.publish.borrow();
        if let Some(credential) = &state.credential {
            let at_least = |number: &AtomicU64| number.load(Ordering::Relaxed) >= credential.number;
            let refused = at_least(&self.demand.refused);
            if !refused && credential.renew_at > Clock::Host.now() {
                return None;
            }
            if state.failure.is_none() {
                let in_vain = refused && !at_least(&self.demand.accepted);
                self.vain = if in_vain { self.vain + 1 } else { 0 };
            }
        }
        let pause = PAUSE.saturating_mul(1 << self.vain.saturating_sub(1).min(6)).min(MAX_PAUSE);
        Some(if self.vain == 0 { Duration::ZERO } else { pause })
    }

    async fn fetch(&self) -> Result<Fetched, Failure> {
        let waited_for = self.publish.borrow().credential.as_ref().is_none_or(|credential| {
            self.demand.refused.load(Ordering::Relaxed) >= credential.number
        });
        let limit = if waited_for { FIRST_LIMIT } else { RENEWAL_LIMIT };
        let source = &self.source;
        let report = async {
            sleep(SILENCE).await;
            if waited_for {
                tracing::warn!("waiting for {source}, for at most {limit:?}");
            } else {
                tracing::debug!("{source} has not answered for {SILENCE:?}");
            }
            std::future::pending::<Result<Fetched, Failure>>().await
        };
        let fetch = async {
            tokio::select! {
                biased;
                fetched = source.fetch() => fetched,
                never = report => never,
            }
        };
        timeout(limit, fetch).await.unwrap_or_else(|_| {
            Err(Failure::new(format_args!(
                "{source} has not answered for {limit:?}, and was ended"
            )))
        })
    }

    /// With a certificate that differs from the present one, the credential has connections of its own.
    fn credential(&self, fetched: Fetched) -> Result<Credential, Failure> {
        let Fetched { token, identity, next_in } = fetched;
        let present = self.publish.borrow().credential.clone();
        let client = match (&identity, &present) {
            (None, _) => self.client.clone(),
            (Some(_), Some(present)) if identity == present.identity => present.client.clone(),
            (Some(new), _) => {
                let mut config = self.config.clone();
                new.clone().set(&mut config.auth_info);
                (self.transport)(config).map_err(|error| {
                    let unusable = "the client certificate or its key cannot be used";
                    Failure::new(format_args!("{}: {unusable}: {error}", self.source))
                })?
            }
        };
        let number = present.map_or(0, |present| present.number) + 1;
        let renew_at = next_in.map_or(Moment::NEVER, |next_in| Clock::Host.now() + next_in);
        Ok(Credential { number, renew_at, token, identity, client })
    }
}
