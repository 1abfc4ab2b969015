//! A TCP proxy in front of one server, with faults.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// What happens to bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Bytes pass.
    #[default]
    Open,
    /// Bytes are held back, in order, until the way is open again. Neither side gets an error. If the sender closes
    /// the connection meanwhile, the receiver sees its end one second after the bytes.
    Held,
    /// Each piece is delayed by this time.
    Slow(Duration),
    /// Each connection ends after this many more bytes, perhaps in the middle of a message.
    Cut(usize),
}

/// The state of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// From the client to the server.
    pub requests: Way,
    /// From the server to the client.
    pub replies: Way,
}

impl Link {
    /// No bytes pass in either direction, and connections stay open.
    pub const BLACK_HOLE: Self = Self { requests: Way::Held, replies: Way::Held };
    /// Requests arrive, but their answers do not.
    pub const NO_REPLIES: Self = Self { requests: Way::Open, replies: Way::Held };
    /// Requests do not arrive. Bytes from the server still do.
    pub const NO_REQUESTS: Self = Self { requests: Way::Held, replies: Way::Open };
}

/// The proxy. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    /// The end of the connections so far.
    end: watch::Sender<End>,
    connections: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// How the connections that are open at this moment end.
#[derive(Clone, Copy, Debug, Default)]
enum End {
    #[default]
    Reset,
    /// Without a word: no bytes pass any more.
    Silence,
}

impl Proxy {
    /// Listens on a free port and forwards to `server`.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (link, end) = (watch::Sender::new(Link::default()), watch::Sender::default());
        let (connections, accepted) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        let counted = (Arc::clone(&connections), Arc::clone(&accepted));
        tasks.spawn(accept(listener, server, link.subscribe(), end.subscribe(), counted));
        Self { address, link, end, connections, accepted, _tasks: tasks }
    }

    /// How many connections the client has now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections the client has opened.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The port that the proxy listens on.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of the proxy, `https`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Changes how bytes pass, on old and new connections.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// Resets all present connections on both sides. New ones are accepted.
    pub fn reset(&self) {
        self.end.send_replace(End::Reset);
    }

    /// Lets all present connections break without a reset, as the power failure of a server does. New ones work.
    pub fn silence(&self) {
        self.end.send_replace(End::Silence);
    }
}

/// Counts an open connection.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    link: watch::Receiver<Link>,
    end: watch::Receiver<End>,
    (open, accepted): (Arc<AtomicUsize>, Arc<AtomicUsize>),
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        accepted.fetch_add(1, Ordering::Relaxed);
        open.fetch_add(1, Ordering::Relaxed);
        let (link, end, open) = (link.clone(), end.clone(), Open(Arc::clone(&open)));
        connections.spawn(async move {
            let _open = open;
            connect(client, server, link, end).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(
    mut client: TcpStream,
    server: SocketAddr,
    link: watch::Receiver<Link>,
    mut end: watch::Receiver<End>,
) {
    end.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::select! {
        biased;
        _ = end.changed() => {}
        _ = pass(from_client, to_server, link.clone(), |link| link.requests) => return,
        _ = pass(from_server, to_client, link, |link| link.replies) => return,
    }
    if let End::Silence = { *end.borrow() } {
        pending::<()>().await;
    }
    let _ = (client.set_zero_linger(), server.set_zero_linger());
}

/// The delay between bytes that were held back and the end of their connection.
const END_AFTER_HELD: Duration = Duration::from_secs(1);

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut link: watch::Receiver<Link>,
    way: fn(&Link) -> Way,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    let (mut passed, mut held) = (0, false);
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            if held {
                sleep(END_AFTER_HELD).await;
            }
            return Ok(());
        }
        held = way(&link.borrow()) == Way::Held;
        let Ok(now) = link.wait_for(|link| way(link) != Way::Held).await.map(|link| way(&link))
        else {
            return Ok(());
        };
        match now {
            Way::Open | Way::Held => passed = 0,
            Way::Slow(by) => sleep(by).await,
            Way::Cut(after) if passed + read >= after => {
                return to.write_all(&bytes[..after.saturating_sub(passed)]).await;
            }
            Way::Cut(_) => passed += read,
        }
        to.write_all(&bytes[..read]).await?;
    }
}
