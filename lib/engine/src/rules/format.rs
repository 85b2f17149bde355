//! Named string formats, each a predicate on the whole value.

use std::net::{Ipv4Addr, Ipv6Addr};

use windrow_core::contract::StringFormat;

/// Tells whether a text has a format.
pub(crate) fn has_format(text: &str, format: StringFormat) -> bool {
    match format {
        StringFormat::Uuid => is_uuid(text),
        StringFormat::Email => is_email(text),
        StringFormat::Uri => is_uri(text),
        StringFormat::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
        StringFormat::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
        StringFormat::Hostname => is_hostname(text),
    }
}

/// RFC 9562 section 4: 8-4-4-4-12 hex digits, either case.
fn is_uuid(text: &str) -> bool {
    let is_dash = |index| matches!(index, 8 | 13 | 18 | 23);
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| if is_dash(index) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let printable = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
    !local.is_empty() && !domain.is_empty() && local.chars().chain(domain.chars()).all(printable)
}

/// RFC 3986 section 3.1 for the scheme; after the colon anything printable without white space.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty()
        && rest.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

/// RFC 1123 section 2.1: labels of 1 to 63 letters, digits and inner hyphens, 253 characters in all.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_takes_its_own_and_refuses_the_rest() {
        let long_label = "a".repeat(64);
        let cases: [(StringFormat, &[&str], &[&str]); 6] = [
            (
                StringFormat::Uuid,
                &["00112233-4455-6677-8899-aAbBcCdDeEfF"],
                &["", "0011223344556677-8899-aabbccddeeff-0", "00112233-4455-6677-8899-aabbccddeefg"],
            ),
            (StringFormat::Email, &["a@b", "ü.x+y@example.org"], &["", "@b", "a@", "a b@c", "a@b@c", "ab"]),
            (StringFormat::Uri, &["https://x.org/a?b", "urn:isbn:1"], &["", "x", ":x", "1a:b", "http:", "http://a b"]),
            (StringFormat::Ipv4, &["0.0.0.0", "255.255.255.255"], &["", "256.0.0.1", "1.2.3", "01.2.3.4", " 1.2.3.4"]),
            (StringFormat::Ipv6, &["::1", "2001:db8::8a2e:370:7334", "::ffff:1.2.3.4"], &["", ":", "1::2::3", "::g", "1.2.3.4"]),
            (StringFormat::Hostname, &["a", "xn--a.example-1.org"], &["", "-a", "a-", "a..b", "a_b", "a.", &long_label]),
        ];
        for (format, good, bad) in cases {
            assert!(good.iter().all(|text| has_format(text, format)), "{format:?}");
            for text in bad {
                assert!(!has_format(text, format), "{format:?} {text}");
            }
        }
    }
}
