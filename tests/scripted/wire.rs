//! A tower service in front of the store. Each request runs in its own task, as on a server, so that a request
//! is carried out even if its client has gone.

use std::time::Duration;

use http::Response;
use http_body_util::channel::{Channel, Sender};
use kube::{Client, client::Body};
use leasehold_test_support::wire::{Asked, Failure, parse, reset};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    answer::Answer,
    cluster::Cluster,
    script::{Feed, Play, Reply},
    server::{Request, selects},
};

type Replied = Result<Answered, Failure>;

/// What to send: a complete answer, one with a broken body, or a watch.
enum Answered {
    Whole(Answer),
    Broken(Answer),
    Watch(Request, Vec<Feed>),
}

pub(crate) fn client(cluster: &Cluster, who: &str) -> Client {
    let (cluster, who) = (cluster.clone(), who.to_owned());
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (cluster, who) = (cluster.clone(), who.clone());
        async move {
            let (reply, replied) = oneshot::channel();
            let Asked { verb, namespace, name, query, body } = parse(request).await;
            let request =
                Request { verb, namespace, name, by: who, at: cluster.now(), query, body };
            let play = cluster.arrives(&request);
            tokio::spawn(serve(cluster.clone(), request, play, reply));
            let answered = replied.await.unwrap_or_else(|_| Err(reset()))?;
            Ok::<_, Failure>(respond(&cluster, answered))
        }
    });
    Client::new(service, "default")
}

async fn serve(
    cluster: Cluster,
    request: Request,
    play: Play,
    mut reply: oneshot::Sender<Replied>,
) {
    sleep(cluster.latency(&request.by) + play.delay).await;
    let watches = request.verb == "watch" && !cluster.denies("watch");
    let own = if play.carried_out && !watches {
        cluster.carry_out(&request, play.webhook.as_ref())
    } else {
        Answer::text(500, "not carried out")
    };
    sleep(cluster.latency(&request.by) + play.late).await;
    let answered = match play.reply {
        Reply::Own if watches => Ok(Answered::Watch(request, vec![Feed::Live(Duration::MAX, 1)])),
        Reply::Feed(feed) => Ok(Answered::Watch(request, feed)),
        Reply::Own => Ok(Answered::Whole(own)),
        Reply::Is(answer) => Ok(Answered::Whole(answer)),
        Reply::Edited(edit) => {
            let mut object = serde_json::from_slice(&own.body).expect("an object");
            edit(&mut object);
            Ok(Answered::Whole(Answer::object(own.status, &object)))
        }
        Reply::Never => return reply.closed().await,
        Reply::Reset => Err(reset()),
        Reply::ResetMidBody => Ok(Answered::Broken(own)),
        Reply::Truncated => {
            let mut own = own;
            own.body.truncate(own.body.len() / 2);
            Ok(Answered::Whole(own))
        }
    };
    // Ignore the error: the client may have gone.
    let _ = reply.send(answered);
}

fn respond<D>(cluster: &Cluster, answered: Answered) -> Response<Channel<D, Failure>>
where
    D: From<Vec<u8>> + Send + 'static,
{
    let (mut sender, body) = Channel::new(64);
    let cluster = cluster.clone();
    let head = match &answered {
        Answered::Whole(answer) | Answered::Broken(answer) => answer.clone(),
        Answered::Watch(..) => Answer::text(200, ""),
    };
    tokio::spawn(async move {
        match answered {
            Answered::Whole(answer) => {
                let _ = sender.send_data(answer.body.into()).await;
            }
            Answered::Broken(answer) => {
                let half = answer.body.len() / 2;
                let _ = sender.send_data(answer.body[..half].to_vec().into()).await;
                // Let the client read the first half before the reset.
                tokio::task::yield_now().await;
                sender.abort(reset());
            }
            Answered::Watch(request, feed) => stream(&cluster, &request, feed, sender).await,
        }
    });
    head.response(body)
}

/// Sends the body of a watch, at most for the timeout that the request names.
async fn stream<D>(
    cluster: &Cluster,
    request: &Request,
    feed: Vec<Feed>,
    mut sender: Sender<D, Failure>,
) where
    D: From<Vec<u8>> + Send + 'static,
{
    let number = |key: &str| request.query.get(key).and_then(|value| value.parse::<u64>().ok());
    let mut after = number("resourceVersion").unwrap_or_else(|| cluster.version());
    for piece in feed {
        match piece {
            Feed::Text(text) => {
                let _ = sender.send_data(text.into_bytes().into()).await;
            }
            Feed::Silence(long) => sleep(long).await,
            Feed::Live(long, times) => {
                let long = long.min(Duration::from_secs(number("timeoutSeconds").unwrap_or(290)));
                let live = follow(cluster, request, &mut after, times, &mut sender);
                let _ = timeout(long, live).await;
            }
            Feed::Reset => {
                tokio::task::yield_now().await;
                return sender.abort(reset());
            }
        }
    }
}

async fn follow<D>(
    cluster: &Cluster,
    request: &Request,
    after: &mut u64,
    times: usize,
    sender: &mut Sender<D, Failure>,
) where
    D: From<Vec<u8>> + Send + 'static,
{
    let mut news = cluster.news();
    loop {
        news.mark_unchanged();
        for commit in cluster.commits_after(*after) {
            *after = commit.number;
            let event = commit.event();
            if event["object"]["metadata"]["namespace"] != request.namespace.as_str()
                || !selects(request, &event["object"])
            {
                continue;
            }
            sleep((commit.at + cluster.distance(&request.by)).saturating_sub(cluster.now())).await;
            for _ in 0..times {
                let line = format!("{event}\n").into_bytes();
                if sender.send_data(line.into()).await.is_err() {
                    return;
                }
            }
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}
