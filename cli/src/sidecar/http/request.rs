//! Requests that mean the same as others.

use axum::http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{CONTENT_LENGTH, HOST},
    uri::PathAndQuery,
};

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// As the routes answer it.
    Plainly,
    /// With OPTIONS: like GET, without a body.
    Options,
}

/// The request as the routes know it: OPTIONS asks like HEAD, slashes at the end of the path mean nothing, and the host
/// of an absolute URL is the header Host.
pub(super) fn normalized<B>(mut request: Request<B>) -> (Request<B>, Asked) {
    let asked = if *request.method() == Method::OPTIONS { Asked::Options } else { Asked::Plainly };
    if asked == Asked::Options {
        *request.method_mut() = Method::HEAD;
    }
    let authority = request.uri().authority().map(|host| HeaderValue::from_str(host.as_str()));
    if let Some(Ok(host)) = authority {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(uri) = without_slashes(request.uri()) {
        *request.uri_mut() = uri;
    }
    (request, asked)
}

/// The URI without slashes at the end of its path; `None` if it has none there.
fn without_slashes(uri: &Uri) -> Option<Uri> {
    let path = uri.path().trim_end_matches('/');
    if path == uri.path() || uri.path() == "/" {
        return None;
    }
    let path = if path.is_empty() { "/" } else { path };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

/// The answer for `asked`.
pub(super) fn answered<B>(asked: Asked, mut answer: Response<B>) -> Response<B> {
    if asked == Asked::Options {
        // The length of the body of GET. This answer has none.
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_of_a_path_are_dropped() {
        for (written, meant) in [
            ("/leading/", "/leading"),
            ("/leading//?a=/", "/leading?a=/"),
            ("/leading?a=/", "/leading?a=/"),
            ("/", "/"),
            ("//", "/"),
            ("http://a:1/state/", "http://a:1/state"),
            ("*", "*"),
        ] {
            let request = Request::builder().uri(written).body(()).unwrap();
            assert_eq!(normalized(request).0.uri(), meant, "{written}");
        }
    }

    #[test]
    fn the_host_of_an_absolute_url_replaces_the_header() {
        let request =
            Request::builder().uri("http://a:1/state").header(HOST, "b").body(()).unwrap();

        let (request, _) = normalized(request);

        assert_eq!(request.headers()[HOST], "a:1");
    }
}
