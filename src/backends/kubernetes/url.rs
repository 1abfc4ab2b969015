//! URLs that carry a user and a password.

use http::Uri;
use kube::Config;

/// `url` without the user and the password.
pub(super) fn without_credentials(url: &Uri) -> Uri {
    let mut parts = url.clone().into_parts();
    parts.authority = parts.authority.map(|authority| match authority.as_str().rsplit_once('@') {
        Some((_, host)) => host.parse().unwrap_or(authority),
        None => authority,
    });
    Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
}

/// `text` without the user and the password, also if it is not a URL.
pub(super) fn redacted(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (None, Some((_, rest))) => rest.into(),
        (_, None) => text.into(),
    }
}

/// The user and the password of `url`.
pub(super) fn credentials(url: &Uri) -> Option<(String, String)> {
    let (user_info, _) = url.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    Some((decoded(user), decoded(password)))
}

/// Moves the user and the password of the server's URL to where no message shows them. They are sent only if there is
/// no other credential, as `kubectl` does.
pub(super) fn move_credentials(config: &mut Config) {
    let Some((user, password)) = credentials(&config.cluster_url) else { return };
    config.cluster_url = without_credentials(&config.cluster_url);
    let auth = &mut config.auth_info;
    let others = auth.username.is_some()
        || auth.token.is_some()
        || auth.token_file.is_some()
        || auth.exec.is_some()
        || auth.auth_provider.is_some();
    if !others {
        auth.username = Some(user);
        auth.password = Some(password.into());
    }
}

/// `text` with its percent-escapes replaced. One that is not an escape stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escape {
            bytes.push(high * 16 + low);
            rest = &rest[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_user_and_password() {
        let url = "https://ann:p%40ss@kube.example:6443/k8s".parse().unwrap();

        assert_eq!(without_credentials(&url).to_string(), "https://kube.example:6443/k8s");
        assert_eq!(credentials(&url), Some(("ann".into(), "p@ss".into())));
        assert_eq!(redacted("https://ann:se/cr@et@kube example"), "https://kube example");
        assert_eq!(redacted("https://kube.example"), "https://kube.example");
    }

    #[test]
    fn an_escape_that_is_none_stays() {
        assert_eq!(decoded("100%+A%4"), "100%+A%4");
        assert_eq!(decoded("%41%3a"), "A:");
    }

    #[test]
    fn credentials_in_the_url_are_used_only_without_others() {
        let url = "https://ann:secret@kube.example/";
        let mut alone = Config::new(url.parse().unwrap());
        let mut with_token = alone.clone();
        with_token.auth_info.token = Some(String::from("t").into());

        move_credentials(&mut alone);
        move_credentials(&mut with_token);

        assert_eq!(alone.auth_info.username.as_deref(), Some("ann"));
        assert_eq!(with_token.auth_info.username, None);
        assert_eq!(alone.cluster_url, "https://kube.example/");
        assert_eq!(with_token.cluster_url, "https://kube.example/");
    }
}
