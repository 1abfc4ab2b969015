//! The address to listen on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use tokio::net::TcpListener;

use crate::exit::{Failure, Outcome, code};

/// An address and a port, or a port on all addresses of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    One(SocketAddr),
    All(u16),
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "write it like 127.0.0.1:8080, [::1]:8080, or :8080 for all addresses; port 0 \
            selects a free port";
        let parsed = match text.strip_prefix(':') {
            Some(port) => port.parse().ok().map(Self::All),
            None => text.parse().ok().map(Self::One),
        };
        parsed.ok_or(HELP)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(address) => address.fmt(f),
            Self::All(port) => write!(f, ":{port}"),
        }
    }
}

impl Address {
    /// Listens, and returns the address.
    pub(crate) async fn listen(self) -> Outcome<(TcpListener, SocketAddr)> {
        let bound = match self {
            Self::One(address) => TcpListener::bind(address).await,
            Self::All(port) => listen_on_all(port).await,
        };
        let listening = bound.and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        listening.map_err(|error| {
            let line = format!(
                "cannot serve on {self}: {error}. Pass another address with --serve, or stop the program that \
                    listens there"
            );
            Failure::new(code::INTERNAL, line)
        })
    }
}

/// Listens on IPv6, which includes IPv4, or on IPv4 if the host has no IPv6.
async fn listen_on_all(port: u16) -> io::Result<TcpListener> {
    let of = |ip: IpAddr| SocketAddr::new(ip, port);
    match TcpListener::bind(of(Ipv6Addr::UNSPECIFIED.into())).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(of(Ipv4Addr::UNSPECIFIED.into())).await
        }
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_address_or_all() {
        assert_eq!(":8080".parse(), Ok(Address::All(8080)));
        let one = "127.0.0.1:0".parse::<Address>();
        assert_eq!(one, Ok(Address::One(SocketAddr::from(([127, 0, 0, 1], 0)))));
        for bad in ["", "8080", ":", ":x", "localhost", "127.0.0.1", "1.2.3.4:99999"] {
            assert!(bad.parse::<Address>().unwrap_err().contains(":8080"), "{bad}");
        }
    }
}
