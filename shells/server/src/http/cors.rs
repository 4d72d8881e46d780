//! Which web pages may call this node: origins, and the CORS headers that tell browsers.
//!
//! An origin is one exact tuple of scheme, host and port, compared as browsers write it. `*`
//! never goes together with credentials; such a configuration cannot be built.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::str::FromStr;

/// Which pages of other origins may read answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cors(Policy);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Policy {
    Off,
    Any,
    List { origins: Vec<Origin>, has_credentials: bool },
}

/// Why a CORS configuration is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CorsInvalid {
    /// `*` together with credentials.
    AnyWithCredentials,
    /// `*` beside other origins.
    AnyWithOthers,
    /// An entry that is not an origin.
    Origin(OriginInvalid),
}

impl Cors {
    /// No page of another origin may read answers.
    #[must_use]
    pub const fn off() -> Self {
        Self(Policy::Off)
    }

    /// Every page may read answers; browsers send no credentials.
    #[must_use]
    pub const fn any() -> Self {
        Self(Policy::Any)
    }

    /// Only these origins may, or all of them when the one entry is `*`. An empty list is off.
    ///
    /// # Errors
    /// [`CorsInvalid`] for `*` with credentials or beside others, and for what is no origin.
    pub fn list<T: AsRef<str>>(origins: &[T], has_credentials: bool) -> Result<Self, CorsInvalid> {
        if origins.iter().any(|origin| origin.as_ref() == "*") {
            return match (origins.len(), has_credentials) {
                (_, true) => Err(CorsInvalid::AnyWithCredentials),
                (1, false) => Ok(Self::any()),
                (_, false) => Err(CorsInvalid::AnyWithOthers),
            };
        }
        let parse = |origin: &T| origin.as_ref().parse().map_err(CorsInvalid::Origin);
        let origins = origins.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let is_off = origins.is_empty();
        Ok(if is_off { Self::off() } else { Self(Policy::List { origins, has_credentials }) })
    }

    pub(super) const fn is_off(&self) -> bool {
        matches!(self.0, Policy::Off)
    }

    /// Writes the headers that let a page read this response.
    pub(super) fn permit_reading(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if self.permit_origin(headers, origin) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    /// Writes the headers that answer a preflight; none for an origin that may not.
    pub(super) fn permit_request(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if self.permit_origin(headers, origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }

    fn permit_origin(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) -> bool {
        match &self.0 {
            Policy::Off => false,
            Policy::Any => {
                if origin.is_some() {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
                }
                origin.is_some()
            }
            Policy::List { origins, has_credentials } => {
                // Caches must not give one origin the answer made for another.
                headers.insert(header::VARY, VARY);
                let listed = origin.filter(|origin| origins.iter().any(|one| one.is(origin)));
                let Some(origin) = listed else { return false };
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                if *has_credentials {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
                }
                true
            }
        }
    }
}

/// An origin as browsers write it: `scheme://host`, with a port unless it is the scheme's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin(String);

/// The text is not an origin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginInvalid(String);

impl Origin {
    /// Whether `header` is exactly this origin.
    pub(super) fn is(&self, header: &HeaderValue) -> bool {
        header.as_bytes() == self.0.as_bytes()
    }
}

impl FromStr for Origin {
    type Err = OriginInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || OriginInvalid(text.escape_debug().to_string());
        let (scheme, authority) = text.split_once("://").ok_or_else(invalid)?;
        let own_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return Err(invalid()),
        };
        let (host, port) = match authority.rfind(':') {
            // The colons inside the brackets of an IPv6 address begin no port.
            Some(at) if !authority.ends_with(']') => authority.split_at(at),
            Some(_) | None => (authority, ""),
        };
        let is_v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = match is_v6 {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let legal =
                    |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
                !host.is_empty() && host.len() <= 253 && host.bytes().all(legal)
            }
        };
        let is_port = port.is_empty()
            || port != own_port
                && port[1..].parse::<u16>().is_ok_and(|number| format!(":{number}") == port);
        if is_host && is_port { Ok(Self(text.to_owned())) } else { Err(invalid()) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OriginInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not an origin: write it as browsers do, such as https://app.example.com \
             or http://localhost:3000, in lower case, without a path and without the usual port",
            self.0
        )
    }
}

impl std::error::Error for OriginInvalid {}

impl fmt::Display for CorsInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyWithCredentials => {
                f.write_str("CORS for '*' cannot allow credentials: list the origins instead")
            }
            Self::AnyWithOthers => {
                f.write_str("CORS for '*' covers every origin: remove the other entries or '*'")
            }
            Self::Origin(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CorsInvalid {}

const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const VARY: HeaderValue = HeaderValue::from_static("origin");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, authorization, relay-timeout-ms, relay-idempotent, relay-timeout, \
     relay-priority, relay-trace, traceparent, tracestate",
);
const EXPOSED: HeaderValue = HeaderValue::from_static("relay-error");
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Says in one word why the relay failed the one call of a request.
pub(crate) const RELAY_ERROR: HeaderName = HeaderName::from_static("relay-error");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w04_w08_origins_are_exact_tuples() {
        for good in [
            "http://localhost:3000",
            "https://app.example.com",
            "http://[::1]:8080",
            "http://[::1]",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "null",
            "*",
            "file://",
            "https://",
            "https://A.com",
            "https://a.com/",
            "https://a.com:443",
            "http://a:080",
            "http://a:",
            "http://a:b",
            "ftp://a",
            "http://[x]",
            "https://a@b",
            "http://a:0x1",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
        let origin: Origin = "https://good.example".parse().unwrap();
        for other in [
            "https://good.example.evil",
            "http://good.example",
            "https://good.example:8443",
            "https://Good.example",
            "https://xgood.example",
            "null",
        ] {
            assert!(!origin.is(&HeaderValue::from_static(other)), "{other}");
        }
    }

    #[test]
    fn w08_any_never_goes_with_credentials() {
        assert_eq!(Cors::list(&["*"], true), Err(CorsInvalid::AnyWithCredentials));
        assert_eq!(Cors::list(&["*", "http://a"], false), Err(CorsInvalid::AnyWithOthers));
        assert_eq!(Cors::list(&["*"], false), Ok(Cors::any()));
        assert_eq!(Cors::list::<&str>(&[], true), Ok(Cors::off()));
        assert!(Cors::list(&["https://a"], true).is_ok());
    }
}
