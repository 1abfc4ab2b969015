//! The resource that refuses old tokens: a small server in the runner, and its client.
//!
//! It compares and writes in one step, and remembers the highest token of all reads and writes of each file. The tokens
//! of shared holders are apart: a shared one is compared with the highest exclusive one, and an exclusive one with both.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    task::JoinSet,
};

use crate::updates;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The name of the file.
    file: String,
    token: u64,
    /// The holder shares the lock, and only reads.
    shared: bool,
    /// The new contents; None for a read.
    write: Option<Vec<u64>>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The contents.
    Holds(Vec<u64>),
    /// The token is lower than the highest seen.
    Refused,
}

/// The highest tokens that were used for one file.
#[derive(Debug, Default)]
struct Highest {
    exclusive: u64,
    shared: u64,
}

impl Highest {
    fn refuses(&self, request: &Request) -> bool {
        let old = request.token < self.exclusive;
        old || !request.shared && request.token <= self.shared
    }
}

#[derive(Debug)]
pub(crate) struct Resource {
    directory: PathBuf,
    highest: BTreeMap<String, Highest>,
    /// False for the deliberate bug that ignores tokens.
    fenced: bool,
}

impl Resource {
    pub(crate) const fn new(directory: PathBuf, fenced: bool) -> Self {
        Self { directory, highest: BTreeMap::new(), fenced }
    }

    /// Reads or writes the contents.
    ///
    /// # Panics
    ///
    /// If its file cannot be read or written.
    pub(crate) fn access(&mut self, request: Request) -> Reply {
        let path = self.directory.join(&request.file);
        let highest = self.highest.entry(request.file.clone()).or_default();
        if self.fenced && highest.refuses(&request) {
            return Reply::Refused;
        }
        let of = if request.shared { &mut highest.shared } else { &mut highest.exclusive };
        *of = request.token.max(*of);
        let Some(write) = request.write else {
            return Reply::Holds(updates::read(&path).expect("the file"));
        };
        updates::write(&path, &path.with_extension("new"), &write).expect("the file");
        Reply::Holds(write)
    }

    /// Serves at `socket` until the returned set is dropped.
    pub(crate) fn serve(self, socket: &Path) -> JoinSet<()> {
        let listener = UnixListener::bind(socket).expect("a free path");
        let this = Arc::new(Mutex::new(self));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(answer(Arc::clone(&this), stream));
                while connections.try_join_next().is_some() {}
            }
        });
        serving
    }
}

async fn answer(resource: Arc<Mutex<Resource>>, stream: tokio::net::UnixStream) {
    let (requests, mut replies) = stream.into_split();
    let mut requests = tokio::io::BufReader::new(requests).lines();
    // A killed process ends its connection, perhaps after half a request.
    while let Ok(Some(line)) = requests.next_line().await {
        let Ok(request) = serde_json::from_str(&line) else { return };
        let reply = resource.lock().unwrap_or_else(PoisonError::into_inner).access(request);
        let mut line = serde_json::to_vec(&reply).expect("JSON");
        line.push(b'\n');
        if replies.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// The connection of a process to the resource.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: UnixStream,
    replies: BufReader<UnixStream>,
}

impl Connection {
    pub(crate) fn new(socket: &Path) -> io::Result<Self> {
        let requests = UnixStream::connect(socket)?;
        let replies = BufReader::new(requests.try_clone()?);
        Ok(Self { requests, replies })
    }

    /// Reads the file of an exclusive holder, or writes it.
    pub(crate) fn access(
        &mut self,
        file: &str,
        token: u64,
        write: Option<Vec<u64>>,
    ) -> io::Result<Reply> {
        self.send(&Request { file: file.into(), token, shared: false, write })
    }

    /// Reads the file of a shared holder.
    pub(crate) fn read_shared(&mut self, file: &str, token: u64) -> io::Result<Reply> {
        self.send(&Request { file: file.into(), token, shared: true, write: None })
    }

    fn send(&mut self, request: &Request) -> io::Result<Reply> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.requests.write_all(&line)?;
        let mut reply = String::new();
        self.replies.read_line(&mut reply)?;
        Ok(serde_json::from_str(&reply)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies to accesses with these tokens, shared or not, and contents.
    fn accesses<const N: usize>(
        fenced: bool,
        all: [(u64, bool, Option<Vec<u64>>); N],
    ) -> [Reply; N] {
        let directory = tempfile::tempdir().unwrap();
        let mut resource = Resource::new(directory.path().to_owned(), fenced);
        all.map(|(token, shared, write)| {
            resource.access(Request { file: "file".into(), token, shared, write })
        })
    }

    fn holds(updates: &[u64]) -> Reply {
        Reply::Holds(updates.to_vec())
    }

    #[test]
    fn after_a_read_with_a_higher_token_lower_tokens_are_refused() {
        let all = [
            (1, false, None),
            (2, false, None),
            (1, false, Some(vec![1])),
            (2, false, Some(vec![2])),
        ];
        let replies = [holds(&[]), holds(&[]), Reply::Refused, holds(&[2])];
        assert_eq!(accesses(true, all.clone()), replies);
        assert_eq!(accesses(false, all)[2..], [holds(&[1]), holds(&[2])], "an update is lost");
    }

    #[test]
    fn shared_tokens_are_compared_with_exclusive_ones_and_not_with_each_other() {
        let all = [
            (1, false, None),
            (3, true, None),
            (2, true, None),
            (1, false, Some(vec![1])),
            (4, false, Some(vec![4])),
            (3, true, None),
        ];
        let replies =
            [holds(&[]), holds(&[]), holds(&[]), Reply::Refused, holds(&[4]), Reply::Refused];
        assert_eq!(accesses(true, all), replies);
    }
}
