//! What goes with a candidacy: the server that tells of it, the label of the pod, and the Events.

pub(crate) mod http;
pub(crate) mod options;
pub(crate) mod page;
mod pod_events;
mod pod_label;

use std::sync::Arc;

use leasehold::{Leader, Sync as _};

use self::{
    http::Server,
    options::SidecarArgs,
    page::{Page, Reach, Screen, feed},
    pod_events::{Notices, Scribe},
    pod_label::{Label, Pen},
};
use crate::{
    cluster::{connect::Connection, pod::OwnPod},
    exec::resign_request::Asks,
    exit::{About, Failure, Outcome, code},
    output::status::Stand,
};

/// All of it that was asked for.
#[derive(Debug)]
pub(crate) struct Sidecar {
    server: Option<Server>,
    /// What the page asks for.
    asks: Asks,
    pen: Option<Pen>,
    label: Option<Label>,
    scribe: Option<Scribe>,
    notices: Option<Notices>,
}

impl Sidecar {
    /// Prepares it, and finds out whether it can be, before the election is joined.
    pub(crate) async fn prepare(
        args: &SidecarArgs,
        name: &str,
        quiet: bool,
        connection: &Connection,
        about: &About<'_>,
    ) -> Outcome<Self> {
        let mut asks = Asks::none();
        let server = match args.serve {
            Some(address) => {
                let id = connection.sync.options().identity.as_deref().unwrap_or_default();
                let joining = Stand::joining(name, &connection.namespace, id);
                let page = args.page.then(|| page(args, connection, &joining, &mut asks));
                Some(Server::start(address, joining, page, quiet).await?)
            }
            None => None,
        };
        let pod = OwnPod::of_this_process(args.pod.as_deref(), &connection.own_namespace);
        let scribe = if args.events {
            let client = connection.client()?;
            let lease = connection.sync.lease_name(name).map_err(|error| about.failure(&error))?;
            let lease = (connection.namespace.clone(), lease);
            Some(Scribe::new(client, pod.clone(), lease, quiet))
        } else {
            None
        };
        let pen = if args.label_leader { Some(pen(args, pod, quiet, connection)?) } else { None };
        if let Some(pen) = &pen {
            pod_label::clear(pen, about).await?;
        }
        Ok(Self { server, asks, pen, label: None, scribe, notices: None })
    }

    /// The candidacy stands.
    pub(crate) fn stands(&mut self, leader: &Arc<Leader>) {
        if let Some(server) = &self.server {
            server.stands(leader);
        }
        self.label = self.pen.take().map(|pen| Label::follow(pen, leader));
        self.notices = self.scribe.take().map(|scribe| Notices::follow(scribe, leader));
    }

    /// Where it arrives what the page asks for: taken once.
    pub(crate) fn asks(&mut self) -> Asks {
        std::mem::replace(&mut self.asks, Asks::none())
    }

    /// This tenure ends, and another may follow.
    pub(crate) async fn lower(&self) {
        if let Some(label) = &self.label {
            label.lower().await;
        }
    }

    /// Another may come.
    pub(crate) fn raise(&self) {
        if let Some(label) = &self.label {
            label.raise();
        }
    }

    /// From here on nothing says that it leads: before the lead is given back.
    pub(crate) async fn step_down(&self) {
        if let Some(server) = &self.server {
            server.step_down();
        }
        self.lower().await;
    }

    /// Ends it, in time.
    pub(crate) async fn close(self) {
        if let Some(notices) = self.notices {
            notices.finish().await;
        }
        if let Some(server) = self.server {
            server.close().await;
        }
    }
}

/// The page; what is asked of it arrives at `asks`.
fn page(args: &SidecarArgs, connection: &Connection, joining: &Stand, asks: &mut Asks) -> Page {
    let Stand { election, namespace, id, .. } = joining;
    let screen = Screen::new(election, namespace, id, args.leader_url.is_some());
    let (counter, heard) = Asks::open();
    *asks = heard;
    let feeding = feed(Arc::clone(&connection.sync), election.clone(), screen.clone());
    let reach = args.leader_url.clone().map_or(Reach::Own, Reach::Peer);
    Page::new(screen, counter, reach, feeding)
}

fn pen(
    args: &SidecarArgs,
    pod: Option<OwnPod>,
    quiet: bool,
    connection: &Connection,
) -> Outcome<Pen> {
    let pod = pod.ok_or_else(|| {
        let line = "--label-leader: which pod is this? Set POD_NAME by the downward API (fieldRef metadata.name), or pass --pod";
        Failure::new(code::USAGE, line)
    })?;
    Ok(Pen::new(connection.client()?, pod, args.label_key.clone(), quiet))
}
