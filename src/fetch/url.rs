//! The few URLs that are called: http and https, a host, a path.
//!
//! Owns:       their grammar (RFC 3986, narrowed).
//! Promises:   a value has a scheme we speak, a host without user and password, no fragment, and
//!             nothing that could break out of a request line.
//! Knows not:  addresses.

use hyper::Uri;

/// A longer one is refused; servers answer 414 at about this length.
pub const URL_BYTES_MAX: usize = 2048;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("a URL is at most {URL_BYTES_MAX} octets long")]
    TooLong,
    #[error("'{0}' is not a URL such as https://app.example.com/hooks/mail")]
    Malformed(String),
    #[error("only http:// and https:// are called, not '{0}'")]
    Scheme(String),
    #[error("a user and a password do not belong in a URL: use a header or the signature")]
    UserInfo,
}

/// Parsed, and printed as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    text: String,
    uri: Uri,
}

impl Url {
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let malformed = || UrlError::Malformed(text.chars().take(100).collect());
        if text.bytes().any(|byte| byte <= b' ' || byte == b'\\' || byte >= 0x7f) {
            return Err(malformed());
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(UrlError::Scheme(scheme));
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let without_fragment = text.split('#').next().unwrap_or_default();
        let uri: Uri = without_fragment.parse().map_err(|_| malformed())?;
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || uri.port().is_some_and(|port| port.as_u16() == 0) {
            return Err(malformed());
        }
        if is_odd_number(host) {
            return Err(malformed());
        }
        if authority.ends_with(':') || (uri.port().is_none() && port_of(authority).is_some()) {
            return Err(malformed());
        }
        Ok(Url { text: text.to_owned(), uri })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    pub fn is_https(&self) -> bool {
        self.uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// What the request line says.
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// What `Host` says.
    pub fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }
}

/// `2130706433`, `0x7f.1`, `127.1`: a name that ends in a number is an address in an old spelling,
/// which resolvers read each in their own way.
fn is_odd_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let digits = last.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = last.starts_with("0x") || last.starts_with("0X");
    (digits || hexadecimal) && !host.contains(':') && host.parse::<std::net::Ipv4Addr>().is_err()
}

fn port_of(authority: &str) -> Option<&str> {
    let after = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    after.rsplit_once(':').map(|(_, port)| port)
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Url, UrlError> {
        Url::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_its_parts() {
        let url = Url::parse("https://hooks.example.com:8443/a/b?c=d").expect("lawful");
        assert_eq!((url.host(), url.port(), url.is_https()), ("hooks.example.com", 8443, true));
        assert_eq!(url.path_and_query(), "/a/b?c=d");
        let url = Url::parse("http://[2001:db8::1]").expect("lawful");
        assert_eq!((url.host(), url.port(), url.path_and_query()), ("2001:db8::1", 80, "/"));
    }

    #[test]
    fn what_is_no_plain_url_is_refused() {
        let refused = [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "javascript://x/%0aalert(1)",
            "http://",
            "https:///path",
            "http://a.example:0/",
            "http://a.example:99999/",
            "http://a.example:/",
            "http://a.example:x/",
            "http://user:pass@a.example/",
            "http://a.example@evil.example/",
            "http://a.example\\@evil.example/",
            "http://a.example/\r\nX: y",
            "http://a b.example/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://127.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://a.example/\u{e9}",
            "gopher://a.example/",
        ];
        for text in refused {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Url::parse(&format!("http://a/{}", "x".repeat(3000))), Err(UrlError::TooLong));
    }

    #[test]
    fn a_fragment_is_never_sent() {
        let url = Url::parse("http://a.example/x?y#z").expect("lawful");
        assert_eq!(url.path_and_query(), "/x?y");
    }
}
