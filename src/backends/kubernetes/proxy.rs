//! Which proxy a server is reached through. The rules are those of Go programs, and so of `kubectl`.

use std::{env, net::IpAddr};

use http::{HeaderValue, Uri, uri::Authority};

use super::url;

/// A proxy, as its URL names it.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) kind: ProxyKind,
    /// Host and port.
    pub(super) authority: Authority,
    /// User and password.
    pub(super) credentials: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Http,
    Https,
    Socks5,
}

/// Why a proxy cannot be used. The text never shows a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no proxy: its URL must begin with http://, https:// or socks5://, followed by a host"
)]
pub(super) struct NotAProxy(String);

impl Proxy {
    /// The proxy with this URL. Without a scheme it is an HTTP proxy.
    pub(super) fn of(url: &Uri) -> Result<Self, NotAProxy> {
        let unusable = || NotAProxy(url::without_credentials(url).to_string());
        let (kind, port) = match url.scheme_str() {
            None | Some("http") => (ProxyKind::Http, 80),
            Some("https") => (ProxyKind::Https, 443),
            Some("socks5" | "socks5h") => (ProxyKind::Socks5, 1080),
            Some(_) => return Err(unusable()),
        };
        let host = url.host().filter(|host| !host.is_empty()).ok_or_else(unusable)?;
        let port = url.port_u16().unwrap_or(port);
        let authority = format!("{host}:{port}").parse().map_err(|_| unusable())?;
        Ok(Self { kind, authority, credentials: url::credentials(url) })
    }

    /// The URL to connect to.
    pub(super) fn address(&self) -> Uri {
        let scheme = match self.kind {
            ProxyKind::Http | ProxyKind::Socks5 => "http",
            ProxyKind::Https => "https",
        };
        let url = Uri::builder().scheme(scheme).authority(self.authority.clone());
        url.path_and_query("/").build().expect("scheme, authority and path make a URL")
    }

    /// The value of the header `Proxy-Authorization`.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};

        let (user, password) = self.credentials.as_ref()?;
        let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Parses the URL of a proxy.
pub(super) fn parse(text: &str) -> Result<Uri, NotAProxy> {
    let url: Uri = text.trim().parse().map_err(|_| NotAProxy(url::redacted(text)))?;
    Proxy::of(&url)?;
    Ok(url)
}

/// The proxy that the environment selects for `server`.
pub(super) fn of_environment(server: &Uri) -> Result<Option<Uri>, NotAProxy> {
    let variables = match server.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    let Some(proxy) = variable(variables) else { return Ok(None) };
    let exceptions = variable(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if is_direct(server, &exceptions) {
        return Ok(None);
    }
    parse(&proxy).map(Some)
}

/// Whether `url` is a proxy that the environment names. kube puts it into its `Config`, but compares `NO_PROXY` with
/// the proxy's own address.
pub(super) fn is_of_environment(url: &Uri) -> bool {
    let same = |text: String| text.parse::<Uri>().is_ok_and(|proxy| proxy == *url);
    variable(["HTTPS_PROXY"]).is_some_and(same) || variable(["https_proxy"]).is_some_and(same)
}

/// The first variable that is set and not empty.
fn variable<const N: usize>(names: [&str; N]) -> Option<String> {
    names.into_iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
}

/// Whether the environment's proxy is not for `server`: it is this machine, or `exceptions` (the value of `NO_PROXY`)
/// names it.
fn is_direct(server: &Uri, exceptions: &str) -> bool {
    let host = server.host().unwrap_or_default().to_lowercase();
    let host = unbracketed(&host);
    let port = server.port_u16().unwrap_or(match server.scheme_str() {
        Some("http") => 80,
        _ => 443,
    });
    let ip = host.parse::<IpAddr>().ok();
    host == "localhost"
        || ip.is_some_and(|ip| ip.is_loopback())
        || exceptions.split(',').any(|entry| names(entry.trim(), host, ip, port))
}

/// Whether an entry of `NO_PROXY` names this server.
///
/// It is `*`, a network (`10.0.0.0/8`), an address, a domain with all its subdomains (`example.com`), or only the
/// subdomains (`.example.com`, `*.example.com`). All but a network may end with a port.
fn names(entry: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    let entry = entry.to_lowercase();
    if entry == "*" {
        return true;
    }
    if let Some((network, length)) = network(&entry) {
        return ip.is_some_and(|ip| contains(network, length, ip));
    }
    let (name, entry_port) = split_port(&entry);
    if name.is_empty() || entry_port.is_some_and(|entry_port| entry_port != port) {
        return false;
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        return ip == Some(address);
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    }
}

fn network(entry: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = entry.split_once('/')?;
    let (address, length) = (address.parse().ok()?, length.parse().ok()?);
    let bits = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
    (length <= bits).then_some((address, length))
}

fn contains(network: IpAddr, length: u32, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            (network.to_bits() ^ ip.to_bits()).leading_zeros() >= length
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            (network.to_bits() ^ ip.to_bits()).leading_zeros() >= length
        }
        _ => false,
    }
}

/// The name and the port of an entry, without the brackets of an IPv6 address.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if entry.parse::<IpAddr>().is_ok() {
        return (entry, None);
    }
    match entry.rsplit_once(':') {
        Some((name, port)) => match port.parse() {
            Ok(port) => (unbracketed(name), Some(port)),
            Err(_) => (unbracketed(entry), None),
        },
        None => (entry, None),
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(server: &str, exceptions: &str, direct: bool) {
        let server = server.parse().unwrap();
        assert_eq!(is_direct(&server, exceptions), direct, "{server} with {exceptions}");
    }

    #[test]
    fn no_proxy_is_compared_with_the_server() {
        let server = "https://kube.example.com:6443";
        for direct in ["*", "example.com", ".example.com", "*.example.com", "KUBE.example.com"] {
            check(server, direct, true);
            check(server, &format!("a, {direct} ,b"), true);
        }
        for direct in ["kube.example.com:6443", "example.com:6443", ".example.com:6443"] {
            check(server, direct, true);
        }
        for proxied in ["", "ample.com", "com:443", "example.com:443", "kube", "10.0.0.0/8", "x.y"]
        {
            check(server, proxied, false);
        }
        check("https://example.com", ".example.com", false);
        check("https://example.com", "example.com:443", true);
    }

    #[test]
    fn no_proxy_takes_addresses_and_networks() {
        let server = "https://10.1.2.3:6443";
        for direct in ["10.1.2.3", "10.1.2.3:6443", "10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0"] {
            check(server, direct, true);
        }
        for proxied in ["10.1.2.3:443", "10.2.0.0/16", "10.1.2", "fd00::/8", "10.0.0.0/33"] {
            check(server, proxied, false);
        }
        for direct in ["fd00::1", "[fd00::1]", "[fd00::1]:6443", "fd00::/8"] {
            check("https://[fd00::1]:6443", direct, true);
        }
        check("https://[fd00::1]:6443", "[fd00::1]:443", false);
    }

    #[test]
    fn a_server_on_this_machine_needs_no_proxy() {
        for server in ["https://localhost:6443", "https://127.0.0.9", "https://[::1]:6443"] {
            check(server, "", true);
        }
    }

    #[test]
    fn a_proxy_has_a_kind_a_port_and_credentials() {
        let proxy = |text: &str| Proxy::of(&text.parse().unwrap()).unwrap();

        let http = proxy("http://ann:p%40ss@proxy.example");
        assert_eq!((http.kind, http.authority.as_str()), (ProxyKind::Http, "proxy.example:80"));
        assert_eq!(http.authorization().unwrap(), "Basic YW5uOnBAc3M=");
        let plain = proxy("proxy.example:3128");
        assert_eq!((plain.kind, plain.authority.as_str()), (ProxyKind::Http, "proxy.example:3128"));
        assert_eq!(proxy("https://proxy.example").address(), "https://proxy.example:443/");
        assert_eq!(proxy("socks5h://[::1]").authority.as_str(), "[::1]:1080");
    }

    #[test]
    fn an_unusable_proxy_is_named_without_its_password() {
        for text in ["ftp://ann:secret@proxy.example", "http://ann:secret@proxy example"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("proxy") && !error.contains("secret"), "{error}");
        }
    }
}
