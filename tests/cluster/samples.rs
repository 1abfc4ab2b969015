//! What is answered through the leader's Service, asked again and again.

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

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// One question, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// A moment before it was sent.
    pub(crate) asked: Instant,
    /// A moment after the answer had come.
    pub(crate) answered: Instant,
    pub(crate) answer: Answer,
}

/// What `/leading` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    /// Somebody who does not lead.
    Follower,
    /// Somebody who leads, with this token; its identity, where the same connection told it.
    Leader {
        token: u64,
        id: Option<String>,
    },
}

impl Answer {
    pub(crate) const fn token(&self) -> Option<u64> {
        match self {
            Self::Leader { token, .. } => Some(*token),
            Self::Nothing | Self::Follower => None,
        }
    }
}

/// Questions from now on until this is dropped, one after the other, each over a connection of its own.
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
        assert!(!self.task.is_finished(), "nobody asks any more");
        self.taken.lock().unwrap().clone()
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks from the node, where one program waits for the word: what is before a question and what after it is sure.
async fn ask(address: String, taken: Arc<Mutex<Vec<Sample>>>) {
    // Both over one connection, so that both are of one pod.
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
        let leading = lines.next_line().await.unwrap().expect("a line for each question");
        let answered = Instant::now();
        let stand = lines.next_line().await.unwrap().expect("a line for each question");
        taken.lock().unwrap().push(Sample { asked, answered, answer: read(&leading, &stand) });
        sleep(PAUSE).await;
    }
}

/// Reads what curl wrote: of each question the body, the status and the number of new connections.
fn read(leading: &str, stand: &str) -> Answer {
    match split(leading) {
        Some((lead, "200", _)) => Answer::Leader {
            token: lead["token"].as_u64().expect("who leads has a token"),
            id: split(stand)
                .filter(|(_, status, connections)| (*status, *connections) == ("200", "0"))
                .map(|(stand, ..)| stand["id"].as_str().expect("an id").to_owned()),
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
