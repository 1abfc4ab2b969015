//! A network between one process and a server, which can be cut.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Passes connections to a server on, until it is cut. It runs as long as its task.
#[derive(Debug)]
pub(super) struct Relay {
    /// Its own address.
    pub(super) address: String,
    cut: Arc<watch::Sender<bool>>,
}

impl Relay {
    /// A relay to `server`, which is `HOST:PORT`.
    pub(super) async fn start(server: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let cut = Arc::new(watch::Sender::new(false));
        tokio::spawn(accept(listener, server, Arc::clone(&cut)));
        Ok(Self { address, cut })
    }

    /// From now on nothing arrives. The connections stay open, as on a network that loses everything.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }
}

async fn accept(listener: TcpListener, server: String, cut: Arc<watch::Sender<bool>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (server, cut) = (server.clone(), cut.subscribe());
        connections.spawn(async move {
            let server = TcpStream::connect(server).await?;
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let requests = pass(from_client, to_server, cut.clone());
            tokio::try_join!(requests, pass(from_server, to_client, cut)).map(drop)
        });
    }
}

/// Passes on what `from` has, until its end.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    cut: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if *cut.borrow() {
            std::future::pending::<()>().await;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..read]).await?;
    }
}
