//! What goes wrong with TLS, each in one line that a person understands: what is wrong, at whose
//! end, and what to do.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use std::fmt::Write as _;
use std::io;

/// Why a handshake with `authority` failed, to whoever dialled it.
pub(crate) fn of_dial(error: &io::Error, authority: &str) -> String {
    match tls_error(error) {
        Some(Error::InvalidCertificate(why)) => of_certificate(why, authority),
        Some(Error::AlertReceived(alert)) => of_alert(*alert, authority),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => format!(
            "no TLS is spoken at {authority}: dial ws:// (or tcp://) if that is a port without \
             TLS, or let that node listen with TLS"
        ),
        Some(Error::PeerIncompatible(why)) => {
            format!("{authority} and this node have no version or cipher of TLS in common: {why:?}")
        }
        Some(other) => format!("the TLS handshake with {authority} failed: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => format!(
            "{authority} closed the connection in the TLS handshake: is that a port for TLS?"
        ),
        None => format!("the TLS handshake with {authority} broke off: {error}"),
    }
}

/// Why the certificate of `authority` is not believed.
pub(crate) fn of_certificate(why: &CertificateError, authority: &str) -> String {
    let whose = format!("the certificate of {authority}");
    match why {
        CertificateError::NotValidForNameContext { expected, presented } => {
            let wanted = expected.to_str();
            match names(presented).as_str() {
                "" => format!(
                    "{whose} names no host at all (subjectAltName): one for {wanted} is needed"
                ),
                names => format!(
                    "{whose} is for other names ({names}): dial one of these, or have one made \
                     for {wanted}"
                ),
            }
        }
        CertificateError::UnknownIssuer => format!(
            "{whose} was signed by a CA that is not known here: name the file of the CA's \
             certificate (--tls-ca)"
        ),
        CertificateError::ExpiredContext { time, not_after } => {
            let past = time.as_secs().saturating_sub(not_after.as_secs());
            let at = date(not_after.as_secs());
            format!("{whose} expired at {at}, {} ago: that node needs a new one", days(past))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let left = not_before.as_secs().saturating_sub(time.as_secs());
            let at = date(not_before.as_secs());
            format!(
                "{whose} is valid from {at} on, in {}: look at the clock of this machine",
                days(left)
            )
        }
        CertificateError::InvalidPurposeContext { .. } => {
            format!("{whose} is not made for servers: its extendedKeyUsage must hold serverAuth")
        }
        CertificateError::BadSignature => {
            format!("{whose} or its handshake has a wrong signature")
        }
        other if is_a_ca(other) => format!(
            "{whose} is that of a CA and cannot stand for a node: have one signed by it \
             (docs/tls.md), and give the CA to those who dial (--tls-ca)"
        ),
        other => format!("{whose} cannot be believed: {other}"),
    }
}

/// What `authority` said when it ended the handshake.
pub(crate) fn of_alert(alert: AlertDescription, authority: &str) -> String {
    match alert {
        AlertDescription::NoApplicationProtocol => format!(
            "another protocol is spoken at {authority} over TLS: dial wss:// at an HTTP port, \
             tls:// at a port for relay links"
        ),
        AlertDescription::CertificateRequired => {
            format!("{authority} asks for a certificate of this node (--tls-cert and --tls-key)")
        }
        AlertDescription::UnknownCA | AlertDescription::BadCertificate => {
            format!("{authority} does not believe the certificate of this node ({alert:?})")
        }
        other => format!("{authority} ended the TLS handshake: {other:?}"),
    }
}

/// Why a handshake failed, to the node that was dialled; nothing when the client just went away,
/// as monitors of a port do.
pub(crate) fn of_accept(error: &io::Error) -> Option<String> {
    Some(match tls_error(error) {
        Some(Error::AlertReceived(alert)) => of_server_alert(*alert),
        Some(Error::NoApplicationProtocol) => String::from(
            "the client speaks another protocol over TLS than this port: wss:// and https:// go \
             to the HTTP port, tls:// to a port for relay links",
        ),
        Some(Error::NoCertificatesPresented) => String::from(
            "the client shows no certificate, and this node asks for one (tls.client_ca)",
        ),
        Some(Error::InvalidCertificate(why)) => {
            format!("the certificate of the client is not believed: {why}")
        }
        Some(other) => format!("the TLS handshake failed: {other}"),
        None => return None,
    })
}

/// What a client said when it ended the handshake.
pub(crate) fn of_server_alert(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => "it does not know the CA (it needs --tls-ca)",
        AlertDescription::BadCertificate => {
            "mostly because it is for another name than was dialled"
        }
        AlertDescription::CertificateExpired => "it has expired, or is not valid yet",
        AlertDescription::CertificateUnknown => "it does not know it",
        other => return format!("the client ended the TLS handshake: {other:?}"),
    };
    format!("the client does not believe the certificate of this node: {why}")
}

/// The alert in a code of QUIC, where 0x100 to 0x1ff are those of TLS (RFC 9001, section 4.8).
pub(crate) fn alert_number(code: u64) -> Option<AlertDescription> {
    let number = u8::try_from(code.checked_sub(0x100)?).ok()?;
    Some(AlertDescription::from(number))
}

/// Why a link broke off. In TLS 1.3 a server refuses the certificate of a client only when the
/// client takes the handshake for done.
pub(crate) fn of_link(error: io::Error) -> io::Error {
    match tls_error(&error) {
        Some(Error::AlertReceived(alert)) => {
            io::Error::new(error.kind(), of_alert(*alert, "the peer"))
        }
        _ => error,
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn is_a_ca(error: &CertificateError) -> bool {
    let CertificateError::Other(inner) = error else { return false };
    inner.to_string().contains("CaUsedAsEndEntity")
}

/// The names in a certificate without the notation of the parser. A stranger wrote them.
fn names(presented: &[String]) -> String {
    let mut text = String::new();
    for name in presented.iter().take(NAMES_MAX) {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        let inner = inner.trim_end_matches(')').trim_matches('"');
        let legal = inner.chars().filter(char::is_ascii_graphic).take(NAME_LETTERS_MAX);
        let _ = write!(
            text,
            "{}{}",
            if text.is_empty() { "" } else { ", " },
            legal.collect::<String>()
        );
    }
    if presented.len() > NAMES_MAX {
        text.push_str(", …");
    }
    text
}

fn days(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} seconds"),
        60..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A moment as RFC 3339 writes it.
fn date(unix_seconds: u64) -> String {
    // The year from a count of days, by the proleptic Gregorian calendar.
    let (days, rest) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

const NAMES_MAX: usize = 8;
const NAME_LETTERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn names_are_written_plainly() {
        let presented =
            ["DnsName(\"a.example.com\")", "IpAddress(127.0.0.1)", "DnsName(\"x\u{1b}[31m\")"];
        let presented = presented.map(String::from);
        assert_eq!(names(&presented), "a.example.com, 127.0.0.1, x[31m");
        let many: Vec<String> = (0..20).map(|n| format!("DnsName(\"{n}\")")).collect();
        assert!(names(&many).ends_with("7, …"));
    }

    #[test]
    fn alerts_of_quic_are_those_of_tls() {
        assert_eq!(alert_number(0x130), Some(AlertDescription::UnknownCA));
        assert_eq!(alert_number(0x0a), None);
        assert_eq!(alert_number(0x200), None);
    }
}
