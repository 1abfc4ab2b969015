//! Which requests may reach the page: those of the page itself.
//!
//! A page of another origin can make a browser send requests to this server. By DNS rebinding it can even make the
//! browser believe that both have one origin: its name then resolves to the address of this server. But the browser
//! sends that name as the header Host, and it is none of the names of this server.

use std::{net::Ipv6Addr, str::FromStr};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A name of this server, or with a dot before it, all names below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(String);

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "write a name without a port, like billing.example.com, or .example.com for all names \
            below example.com";
        let name = text.strip_prefix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        if name.split('.').all(is_label) { Ok(Self(text.to_ascii_lowercase())) } else { Err(HELP) }
    }
}

impl HostName {
    fn includes(&self, host: &str) -> bool {
        if self.0.starts_with('.') { host.ends_with(&self.0) } else { host == self.0 }
    }
}

/// The names of this server. IP addresses and `localhost` are always allowed, because no page of another origin has
/// such a name.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedHosts(Vec<HostName>);

impl AllowedHosts {
    pub(crate) fn new(names: impl IntoIterator<Item = HostName>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Checks that the request names this server.
    ///
    /// # Errors
    ///
    /// What to do about it, as a line.
    pub(super) fn check_host(&self, headers: &HeaderMap) -> Result<(), String> {
        let mut hosts = headers.get_all(HOST).iter().peekable();
        if hosts.peek().is_none() {
            return Err("refused: the request has no header Host\n".into());
        }
        match hosts.find(|host| !self.allows(host)) {
            None => Ok(()),
            Some(host) => Err(format!(
                "refused: {host:?} is not a known name of this server. If it is one, pass it to --allow-host; an IP \
                    address and localhost are always allowed\n"
            )),
        }
    }

    /// Checks that the request names this server, and is not from a page of another origin.
    ///
    /// # Errors
    ///
    /// What to do about it, as a line.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        self.check_host(headers)?;
        if is_own_origin(headers) {
            return Ok(());
        }
        Err("refused: the request comes from a page of another origin\n".into())
    }

    fn allows(&self, host: &HeaderValue) -> bool {
        let Some(authority) = authority(host) else { return false };
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_ip = host.parse::<std::net::Ipv4Addr>().is_ok()
            || bracketed.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
        is_ip || host == "localhost" || self.0.iter().any(|name| name.includes(host))
    }
}

/// Whether no page sent the request, or a page of this server. A browser that sends `Sec-Fetch-Site` has compared the
/// origins itself, before a proxy could change the host.
fn is_own_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let origin = origin.and_then(|origin| origin.into_parts().authority);
    origin.is_some() && origin == headers.get(HOST).and_then(authority)
}

fn authority(host: &HeaderValue) -> Option<Authority> {
    host.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs =
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn addresses_localhost_and_allowed_names_are_hosts_of_this_server() {
        let names = ["billing.example.com", ".members.shop.svc"].map(|name| name.parse().unwrap());
        let hosts = AllowedHosts::new(names);

        for own in [
            "127.0.0.1",
            "10.0.0.7:8080",
            "[::1]:8080",
            "localhost:8080",
            "LOCALHOST",
            "billing.example.com",
            "Billing.Example.com.:80",
            "pod-0.members.shop.svc:8080",
        ] {
            assert_eq!(hosts.check(&headers(&[(HOST, own)])), Ok(()), "{own}");
        }
        for foreign in [
            "evil.example",
            "example.com",
            "billing.example.com.evil.example",
            "members.shop.svc",
            "xmembers.shop.svc",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "::1",
            "a b",
        ] {
            assert!(hosts.check(&headers(&[(HOST, foreign)])).is_err(), "{foreign}");
        }
        assert!(hosts.check(&headers(&[])).is_err(), "no host");
    }

    #[test]
    fn a_request_of_another_origin_is_refused() {
        let hosts = AllowedHosts::default();
        let check = |more: &[(HeaderName, &'static str)]| {
            let own = [(HOST, "localhost:8080")];
            hosts.check(&headers(&[&own[..], more].concat())).is_ok()
        };

        for own in ["same-origin", "none"] {
            assert!(check(&[(SEC_FETCH_SITE, own)]), "{own}");
        }
        assert!(check(&[(ORIGIN, "http://localhost:8080")]));
        assert!(
            check(&[(ORIGIN, "https://x.example"), (SEC_FETCH_SITE, "same-origin")]),
            "a proxy"
        );
        for foreign in ["cross-site", "same-site", ""] {
            assert!(!check(&[(SEC_FETCH_SITE, foreign)]), "{foreign}");
        }
        for foreign in ["http://localhost:3000", "http://evil.example", "null", ""] {
            assert!(!check(&[(ORIGIN, foreign)]), "{foreign}");
        }
    }

    #[test]
    fn a_name_has_no_port_and_no_star() {
        for wrong in ["", ".", "a:1", "*.a", "a..b", "http://a", "..a", "a/b"] {
            assert!(wrong.parse::<HostName>().is_err(), "{wrong}");
        }
    }
}
