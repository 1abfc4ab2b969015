//! A TCP proxy in front of one server, with faults.

use std::{io, net::SocketAddr, time::Duration};

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
    /// Increases when all connections are to be cut.
    cut: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port and forwards to `server`.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (link, cut) = (watch::Sender::new(Link::default()), watch::Sender::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, link.subscribe(), cut.subscribe()));
        Self { address, link, cut, _tasks: tasks }
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
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    link: watch::Receiver<Link>,
    cut: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        connections.spawn(connect(client, server, link.clone(), cut.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(
    mut client: TcpStream,
    server: SocketAddr,
    link: watch::Receiver<Link>,
    mut cut: watch::Receiver<u64>,
) {
    cut.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let reset = tokio::select! {
        biased;
        _ = cut.changed() => true,
        _ = pass(from_client, to_server, link.clone(), |link| link.requests) => false,
        _ = pass(from_server, to_client, link, |link| link.replies) => false,
    };
    if reset {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
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
