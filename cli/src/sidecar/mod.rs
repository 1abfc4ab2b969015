//! What runs besides a candidate: the HTTP server with its page, the label of the pod, and the Events.

pub(crate) mod http;
pub(crate) mod options;
pub(crate) mod page;
mod pod_events;
mod pod_label;

use std::{
    ffi::OsString,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kube::Client;
use leasehold::{Error, Inspect as _, Leader, Sync as _};

use self::{
    http::{Server, open_files},
    options::SidecarArgs,
    page::{AllowedHosts, ElectionView, Page, Peer, Reach, feed},
    pod_events::{EventRecorder, PodEvents},
    pod_label::{LabelPatch, PodLabel},
};
use crate::{
    cluster::{connect::Connection, pod::OwnPod},
    exec::resign_request::ResignRequests,
    exit::{Failure, Outcome, Subject, code},
    output::status::CandidateStatus,
};

/// The parts that the options select.
#[derive(Debug)]
pub(crate) struct Sidecar {
    server: Option<Server>,
    /// Requests from the page.
    resign_requests: ResignRequests,
    patch: Option<LabelPatch>,
    /// The API server answers, as far as is known before the election is joined.
    server_answers: AtomicBool,
    label: Option<PodLabel>,
    recorder: Option<EventRecorder>,
    pod_events: Option<PodEvents>,
}

impl Sidecar {
    /// Starts the parts, before the election is joined. `command` is what this process runs while it leads; empty if it
    /// runs nothing.
    pub(crate) async fn prepare(
        args: &SidecarArgs,
        name: &str,
        command: &[OsString],
        quiet: bool,
        connection: &Connection,
        subject: &Subject<'_>,
    ) -> Outcome<Self> {
        let mut resign_requests = ResignRequests::none();
        let server = match args.serve {
            Some(address) => {
                let id = connection.sync.options().identity.as_deref().unwrap_or_default();
                let joining = CandidateStatus::joining(name, &connection.namespace, id);
                let page =
                    args.page.then(|| page(args, connection, &joining, &mut resign_requests));
                let open_files = open_files::raise(!command.is_empty());
                Some(Server::start(address, joining, page, open_files, quiet).await?)
            }
            None => None,
        };
        let pod = OwnPod::of_this_process(args.pod.as_deref(), &connection.own_namespace);
        let recorder = match connection.client().filter(|_| args.events) {
            Some(client) => {
                let lease = connection.inspect.record_name(name);
                let lease = lease.map_err(|error| subject.failure(&error))?;
                let lease = (connection.namespace.clone(), lease);
                Some(EventRecorder::new(client, pod.clone(), lease, quiet))
            }
            None => None,
        };
        let patch = match connection.client().filter(|_| args.label_leader) {
            Some(client) => Some(patch(args, pod, quiet, client)?),
            None => None,
        };
        Ok(Self {
            server,
            resign_requests,
            patch,
            server_answers: AtomicBool::new(false),
            label: None,
            recorder,
            pod_events: None,
        })
    }

    /// Removes a label that an earlier process of this pod may have left. This also checks the permission.
    pub(crate) async fn clear_label(&self) -> Result<(), Error> {
        match &self.patch {
            Some(patch) => {
                pod_label::clear(patch, || self.server_answers.load(Ordering::Relaxed)).await
            }
            None => Ok(()),
        }
    }

    /// Reports that the election cannot be joined yet because of `error`, or that the server answers.
    pub(crate) fn joining(&self, error: Option<&Error>) {
        self.server_answers.store(error.is_none(), Ordering::Relaxed);
        if let Some(server) = &self.server {
            server.joining(error);
        }
    }

    /// Starts to follow the candidate `leader`.
    pub(crate) fn follow(&mut self, leader: &Arc<Leader>) {
        if let Some(server) = &self.server {
            server.follow(leader);
        }
        self.label = self.patch.take().map(|patch| PodLabel::follow(patch, leader));
        self.pod_events = self.recorder.take().map(|recorder| PodEvents::follow(recorder, leader));
    }

    /// Takes the receiving end of the requests from the page.
    pub(crate) fn resign_requests(&mut self) -> ResignRequests {
        std::mem::replace(&mut self.resign_requests, ResignRequests::none())
    }

    /// Removes the label before this tenure ends. Another tenure may follow.
    pub(crate) async fn remove_label(&self) {
        if let Some(label) = &self.label {
            label.remove().await;
        }
    }

    /// Sets the label again with the next tenure.
    pub(crate) fn resume_label(&self) {
        if let Some(label) = &self.label {
            label.resume();
        }
    }

    /// Stops to report that this candidate leads. Called before the lead is released.
    pub(crate) async fn stop_reporting(&self) {
        if let Some(server) = &self.server {
            server.stop_reporting();
        }
        self.remove_label().await;
    }

    /// Ends all parts, within a time limit.
    pub(crate) async fn close(self) {
        if let Some(pod_events) = self.pod_events {
            pod_events.finish().await;
        }
        if let Some(server) = self.server {
            server.close().await;
        }
    }
}

/// The page. Its requests arrive at `resign_requests`.
fn page(
    args: &SidecarArgs,
    connection: &Connection,
    joining: &CandidateStatus,
    resign_requests: &mut ResignRequests,
) -> Page {
    let CandidateStatus { election, namespace, candidate_id: id, .. } = joining;
    let view = ElectionView::new(election, namespace, id, args.leader_url.is_some());
    let (resign_sender, receiver) = ResignRequests::open();
    *resign_requests = receiver;
    let feeding = feed(Arc::clone(&connection.inspect), election.clone(), view.clone());
    let reach = args.leader_url.clone().map_or(Reach::Own, Reach::Peer);
    let leader = args.leader_url.as_ref().and_then(Peer::host_name);
    let hosts = AllowedHosts::new(args.allow_host.iter().cloned().chain(leader));
    Page::new(view, resign_sender, reach, hosts, feeding)
}

fn patch(
    args: &SidecarArgs,
    pod: Option<OwnPod>,
    quiet: bool,
    client: Client,
) -> Outcome<LabelPatch> {
    let pod = pod.ok_or_else(|| {
        let line = "--label-leader needs the name of this pod. Set POD_NAME from the downward API (fieldRef \
            metadata.name), or pass --pod";
        Failure::new(code::USAGE, line)
    })?;
    Ok(LabelPatch::new(client, pod, args.label_key.clone(), quiet))
}
