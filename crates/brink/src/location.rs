//! Where a target is, as people write it: `host:7000`, `tcp://host:7000` or `http://host/path`.
//!
//! Pure: no name is looked up.

use std::str::FromStr;

use crate::cli;

/// A target's address, and what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `host:port`
    pub address: String,
    /// What HTTP asks for there; `None`: not HTTP.
    pub http: Option<HttpPlace>,
}

/// The part of an HTTP address that goes into a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPlace {
    /// For the Host header: the host, and the port where it is not 80 (RFC 9110, section 7.2).
    pub host: String,
    /// Path and query.
    pub path: String,
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self { address: cli::host_and_port(text)?, http: None });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "tcp" => {
                let address = rest.strip_suffix('/').unwrap_or(rest);
                Ok(Self { address: cli::host_and_port(address)?, http: None })
            }
            "http" => http(text, rest),
            "https" => Err(format!("`{text}`: TLS is not spoken here: http:// and tcp:// are")),
            other => Err(format!("`{text}`: `{other}://` is not spoken here: http:// and tcp:// are")),
        }
    }
}

fn http(text: &str, rest: &str) -> Result<Location, String> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(format!("`{text}`: a user name has no place here; send it as a header with -H"));
    }
    // What follows # stays with the client (RFC 3986, section 3.5).
    let path = path.split('#').next().unwrap_or_default();
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("`{text}`: a path is printable ASCII without blanks; write others as %NN"));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(host, _)| {
        !host.ends_with(':') && {
            // The colons of an IPv6 address are inside its brackets.
            !host.starts_with('[') || host.ends_with(']')
        }
    });
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let address = cli::host_and_port(&address)?;
    let host = address.strip_suffix(":80").unwrap_or(&address).to_owned();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Location { address, http: Some(HttpPlace { host, path }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Location {
        text.parse().unwrap()
    }

    fn web(address: &str, host: &str, path: &str) -> Location {
        let http = HttpPlace { host: host.to_owned(), path: path.to_owned() };
        Location { address: address.to_owned(), http: Some(http) }
    }

    #[test]
    fn reads_addresses_with_and_without_scheme() {
        let plain = |address: &str| Location { address: address.to_owned(), http: None };
        assert_eq!(at("localhost:7000"), plain("localhost:7000"));
        assert_eq!(at("tcp://[::1]:7"), plain("[::1]:7"));
        assert_eq!(at("tcp://a:7/"), plain("a:7"));
        assert_eq!(at("http://a"), web("a:80", "a", "/"));
        assert_eq!(at("HTTP://a:8080/x?y=1#z"), web("a:8080", "a:8080", "/x?y=1"));
        assert_eq!(at("http://a:80?q"), web("a:80", "a", "/?q"));
        assert_eq!(at("http://[::1]/x"), web("[::1]:80", "[::1]", "/x"));
        assert_eq!(at("http://[::1]:81/x"), web("[::1]:81", "[::1]:81", "/x"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, word) in [
            ("https://a/", "TLS"),
            ("ftp://a/", "`ftp://`"),
            ("http://u:p@a/", "user name"),
            ("http://a/x y", "%NN"),
            ("http://", "port"),
            ("http://:80/", "port"),
            ("tcp://a", "port"),
            ("a", "port"),
            ("http://a:99999/", "port"),
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(error.contains(word) && error.lines().count() == 1, "{text}: {error}");
        }
    }
}
