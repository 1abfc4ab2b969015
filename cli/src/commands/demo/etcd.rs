//! `leasehold demo --etcd`: the scenes on a cluster of etcd.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use leasehold::{
    Etcd, EtcdOptions, Inspect as _, Options, PruneOptions, RecordKind, RecordOptions, Session,
    SessionOptions, Sync as _,
};
use tokio::time::sleep;

use super::{
    played,
    relay::Relay,
    scenes::{
        self,
        world::{Actor, Network, Sessions, World},
    },
};
use crate::{
    backend::Backend,
    clock,
    cluster::{etcd::EtcdArgs, wait::in_time},
    exec::signals::Signals,
    exit::{Failure, Outcome, Subject, code},
};

/// How long an interrupted scene may take to release what it held, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// Plays the scenes with keys that no other process uses, and deletes the keys.
pub(super) async fn run(args: &EtcdArgs) -> Outcome {
    let server = args.nodes();
    let object = "the demonstration";
    let (namespace, backend, busy_code) = ("default", Backend::Etcd, code::BUSY);
    let subject = Subject { object, namespace, server: &server, backend, busy_code };
    let first = args.connect(Options::default(), |error| subject.failure(error)).await?;
    let cluster = Cluster {
        nodes: server.clone(),
        etcd: args.options()?,
        tls: args.has_certificates(),
        options: args.handle_options(Options::default()).prefix(own_prefix(&first)),
    };
    let sync = cluster.handle("operator").await.map_err(|error| subject.failure(&error))?;
    let mut signals = Signals::listen()?;
    in_time(sync.init(), &subject).await?;
    let signal = tokio::select! {
        biased;
        signal = signals.fatal() => signal,
        scenes = scenes::play(&cluster) => {
            let ended = played(scenes);
            delete(&sync, &subject).await?;
            return ended;
        }
    };
    tokio::select! {
        biased;
        // A second signal ends without a wait for the keys.
        _ = signals.fatal() => {}
        deleted = delete_what_ends(&sync, &subject) => deleted?,
    }
    Err(Failure::signal(signal.as_raw()))
}

/// Deletes the keys that no process of the demonstration uses any more. Returns whether there is no other key.
async fn delete(sync: &Etcd, subject: &Subject<'_>) -> Outcome<bool> {
    let all = PruneOptions::default().older_than(Duration::ZERO);
    in_time(sync.prune(all), subject).await?;
    // The crash of a scene leaves the record of a session.
    for session in in_time(sync.list_sessions(RecordOptions::default()), subject).await? {
        in_time(sync.delete_session(&session.id), subject).await?;
    }
    Ok(in_time(sync.list_records(RecordOptions::default()), subject).await?.is_empty())
}

/// Deletes the keys while the interrupted scenes release what they held, and takes away what they do not release.
async fn delete_what_ends(sync: &Etcd, subject: &Subject<'_>) -> Outcome<()> {
    let begun = clock::now();
    while !delete(sync, subject).await? && clock::now() < begun + PATIENCE {
        sleep(PAUSE).await;
    }
    let left = in_time(sync.list_records(RecordOptions::default()), subject).await?;
    for record in left.into_iter().filter(|record| record.kind != RecordKind::Candidate) {
        in_time(sync.force_release(&record), subject).await?;
    }
    delete(sync, subject).await.map(|_| ())
}

/// A prefix below that of the options. The identity of a handle ends with a random uuid.
fn own_prefix(sync: &Etcd) -> String {
    let options = sync.options();
    let identity = options.identity.as_deref().unwrap_or_default();
    let uuid = identity.rsplit('_').next().unwrap_or_default();
    let prefix = options.prefix.trim_end_matches('/');
    format!("{}/demo/{uuid}", if prefix.is_empty() { "/leasehold" } else { prefix })
}

/// A cluster of etcd.
struct Cluster {
    /// The nodes, as a line names them.
    nodes: String,
    etcd: EtcdOptions,
    /// Also for a node without `https://`.
    tls: bool,
    options: Options,
}

impl Cluster {
    async fn handle(&self, actor: &str) -> leasehold::Result<Etcd> {
        Etcd::connect_with(self.etcd.clone(), self.options.clone().identity(actor)).await
    }

    /// A handle whose requests pass a relay to the first node.
    async fn behind_relay(&self, actor: &str) -> scenes::Outcome<(Etcd, Relay)> {
        let node = self.options.nodes.first().ok_or("there is no node")?;
        let (scheme, server) = node.split_once("://").unwrap_or(("", node));
        let relay = Relay::start(server.to_owned()).await?;
        let options = self.options.clone().identity(actor);
        let address = relay.address.clone();
        let (etcd, node) = if scheme == "http" || (scheme.is_empty() && !self.tls) {
            (self.etcd.clone(), address)
        } else {
            // The certificate of the node has the name of the node.
            let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
            (self.etcd.clone().server_name(host), format!("https://{address}"))
        };
        let sync = Etcd::connect_with(etcd, options.nodes([node])).await?;
        Ok((sync, relay))
    }
}

impl World for Cluster {
    fn place(&self) -> String {
        format!("on etcd at {}", self.nodes)
    }

    fn actor<'a>(&'a self, actor: &'a str) -> BoxFuture<'a, scenes::Outcome<Actor>> {
        Box::pin(async move {
            let (sync, relay) = self.behind_relay(actor).await?;
            let (sync, sessions) = (Arc::new(sync.clone()), Box::new(sync));
            Ok(Actor { sync, sessions, network: Box::new(relay) })
        })
    }
}

impl Sessions for Etcd {
    fn open(&self, options: SessionOptions) -> BoxFuture<'_, leasehold::Result<Session>> {
        Box::pin(self.session(options))
    }
}

impl Network for Relay {
    fn cut(&self) {
        Self::cut(self);
    }
}
