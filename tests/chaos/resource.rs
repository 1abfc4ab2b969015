//! The resource that refuses old tokens: a small server in the runner, and its client.
//!
//! It compares and writes in one step, and remembers the highest token of all reads and writes.

use std::{
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
    token: u64,
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

#[derive(Debug)]
pub(crate) struct Resource {
    path: PathBuf,
    highest: u64,
    /// False for the deliberate bug that ignores tokens.
    fenced: bool,
}

impl Resource {
    pub(crate) const fn new(path: PathBuf, fenced: bool) -> Self {
        Self { path, highest: 0, fenced }
    }

    /// Reads or writes the contents.
    ///
    /// # Panics
    ///
    /// If its file cannot be read or written.
    pub(crate) fn access(&mut self, request: Request) -> Reply {
        if self.fenced && request.token < self.highest {
            return Reply::Refused;
        }
        self.highest = self.highest.max(request.token);
        let Some(write) = request.write else {
            return Reply::Holds(updates::read(&self.path).expect("the file"));
        };
        updates::write(&self.path, &self.path.with_extension("new"), &write).expect("the file");
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

    pub(crate) fn access(&mut self, token: u64, write: Option<Vec<u64>>) -> io::Result<Reply> {
        let mut line = serde_json::to_vec(&Request { token, write })?;
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

    fn accesses(fenced: bool) -> [Reply; 4] {
        let directory = tempfile::tempdir().unwrap();
        let mut resource = Resource::new(directory.path().join("file"), fenced);
        [(1, None), (2, None), (1, Some(vec![1])), (2, Some(vec![2]))]
            .map(|(token, write)| resource.access(Request { token, write }))
    }

    #[test]
    fn after_a_read_with_a_higher_token_lower_tokens_are_refused() {
        let empty = || Reply::Holds(vec![]);
        assert_eq!(accesses(true), [empty(), empty(), Reply::Refused, Reply::Holds(vec![2])]);
    }

    #[test]
    fn a_resource_that_ignores_tokens_loses_an_update() {
        assert_eq!(accesses(false)[2..], [Reply::Holds(vec![1]), Reply::Holds(vec![2])]);
    }
}
