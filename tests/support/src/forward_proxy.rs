//! A forward proxy, as of a company: HTTP CONNECT and SOCKS5, also with encryption.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// A connection that a client has requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRequest {
    /// Host and port.
    pub target: String,
    /// `USER:PASSWORD`; empty without them.
    pub credentials: String,
}

/// The proxy. It connects to one server, whatever the requested host is. Dropping it cuts all connections.
#[derive(Debug)]
pub struct ForwardProxy {
    address: SocketAddr,
    certificate: Option<String>,
    requests: Arc<Mutex<Vec<ProxyRequest>>>,
    _tasks: JoinSet<()>,
}

impl ForwardProxy {
    /// Listens on a free port, without encryption.
    pub async fn start(server: SocketAddr) -> Self {
        Self::start_with(server, None).await
    }

    /// Listens on a free port, with encryption and a new certificate, signed by itself: that of an authority, as
    /// `openssl req -x509` makes it.
    pub async fn start_encrypted(server: SocketAddr) -> Self {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let (params, key) = (CertificateParams::new(names), KeyPair::generate());
        let (mut params, key) = (params.expect("names"), key.expect("a key"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key in DER");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .expect("a certificate with its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start_with(server, Some((certificate.pem(), acceptor))).await
    }

    async fn start_with(server: SocketAddr, tls: Option<(String, TlsAcceptor)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (certificate, acceptor) = tls.unzip();
        let requests = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, acceptor, Arc::clone(&requests)));
        Self { address, certificate, requests, _tasks: tasks }
    }

    /// Host and port of the proxy.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The certificate of an encrypted proxy, in PEM.
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().expect("started with encryption")
    }

    /// The connections that were requested until now.
    pub fn requests(&self) -> Vec<ProxyRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    requests: Arc<Mutex<Vec<ProxyRequest>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, requests) = (acceptor.clone(), Arc::clone(&requests));
        connections.spawn(async move {
            match acceptor {
                Some(acceptor) => serve(acceptor.accept(client).await?, server, &requests).await,
                None => serve(client, server, &requests).await,
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    server: SocketAddr,
    requests: &Mutex<Vec<ProxyRequest>>,
) -> io::Result<()> {
    let first = client.read_u8().await?;
    let (request, answer) = match first {
        5 => (socks(&mut client).await?, &b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"[..]),
        first => (connect(first, &mut client).await?, &b"HTTP/1.1 200 OK\r\n\r\n"[..]),
    };
    requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let mut server = TcpStream::connect(server).await?;
    client.write_all(answer).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Reads a CONNECT request, of which `first` is the first byte.
async fn connect(first: u8, client: &mut (impl AsyncRead + Unpin)) -> io::Result<ProxyRequest> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let basic = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: Basic "));
    let credentials = STANDARD.decode(basic.unwrap_or_default()).unwrap_or_default();
    Ok(ProxyRequest {
        target: target.unwrap_or_default().to_owned(),
        credentials: String::from_utf8_lossy(&credentials).into_owned(),
    })
}

/// The handshake of SOCKS5, after its first byte. The host must be a name.
async fn socks(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<ProxyRequest> {
    let methods = text(client).await?;
    let with_password = methods.contains('\x02');
    client.write_all(&[5, if with_password { 2 } else { 0 }]).await?;
    let mut credentials = String::new();
    if with_password {
        client.read_u8().await?;
        credentials = format!("{}:{}", text(client).await?, text(client).await?);
        client.write_all(&[1, 0]).await?;
    }
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let host = text(client).await?;
    let target = format!("{host}:{}", client.read_u16().await?);
    Ok(ProxyRequest { target, credentials })
}

/// A length of one byte and that many bytes.
async fn text(client: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let length = client.read_u8().await?;
    let mut bytes = vec![0; length.into()];
    client.read_exact(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
