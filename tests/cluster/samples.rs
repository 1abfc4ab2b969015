//! Repeated requests through the Service of the leader, and their answers.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::node::command_on_node;

/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Right before the request was sent.
    pub(crate) asked: Instant,
    /// Right after the answer had come.
    pub(crate) answered: Instant,
    pub(crate) answer: Answer,
}

/// The answer to `/leading`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No answer.
    Nothing,
    /// From a pod that does not lead.
    Follower,
    /// From a pod that leads: its token, and its identity if the same connection returned it.
    Leader { token: u64, id: Option<String> },
}

impl Answer {
    pub(crate) const fn token(&self) -> Option<u64> {
        match self {
            Self::Leader { token, .. } => Some(*token),
            Self::Nothing | Self::Follower => None,
        }
    }
}

/// Sends one request after the other, each over a new connection, until this is dropped.
#[derive(Debug)]
pub(crate) struct Samples {
    taken: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Samples {
    pub(crate) fn take(address: &str) -> Self {
        let taken = Arc::<Mutex<Vec<Sample>>>::default();
        let task = tokio::spawn(ask(address.to_owned(), Arc::clone(&taken)));
        Self { taken, task }
    }

    pub(crate) fn so_far(&self) -> Vec<Sample> {
        assert!(!self.task.is_finished(), "the task that sends requests has ended");
        self.taken.lock().unwrap().clone()
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends the requests from the node. A program there waits for a line before each request, so that the times before
/// and after it are exact.
async fn ask(address: String, taken: Arc<Mutex<Vec<Sample>>>) {
    // Both requests use one connection, so that the same pod answers both.
    let script = format!(
        r"while read -r _; do
          curl --silent --max-time 1 --write-out ' %{{http_code}} %{{num_connects}}\n' http://{address}/leading http://{address}/
        done"
    );
    let mut program = Command::from(command_on_node(&script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut words = program.stdin.take().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    loop {
        let asked = Instant::now();
        words.write_all(b"ask\n").await.unwrap();
        let leading = lines.next_line().await.unwrap().expect("a line for each request");
        let answered = Instant::now();
        let state = lines.next_line().await.unwrap().expect("a line for each request");
        taken.lock().unwrap().push(Sample { asked, answered, answer: read(&leading, &state) });
        sleep(PAUSE).await;
    }
}

/// Parses the output of curl: body, status and number of new connections of each request.
fn read(leading: &str, state: &str) -> Answer {
    match split(leading) {
        Some((lead, "200", _)) => Answer::Leader {
            token: lead["token"].as_u64().expect("a leader has a token"),
            id: split(state)
                .filter(|(_, status, connections)| (*status, *connections) == ("200", "0"))
                .map(|(state, ..)| state["candidate_id"].as_str().expect("an id").to_owned()),
        },
        Some((lead, "503", _)) => {
            assert_eq!(lead["leading"], false, "{leading}");
            Answer::Follower
        }
        Some((_, status, _)) => panic!("{status}: {leading}"),
        None => Answer::Nothing,
    }
}

fn split(line: &str) -> Option<(Value, &str, &str)> {
    let mut parts = line.rsplitn(3, ' ');
    let (connections, status, body) = (parts.next()?, parts.next()?, parts.next()?);
    (status != "000").then(|| (serde_json::from_str(body).expect("JSON"), status, connections))
}
