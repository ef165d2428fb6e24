//! IP addresses in one form, so that an address is found by equality.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// Returns the addresses in canonical form: an IPv4 address in IPv6 form becomes IPv4, IPv6 is written as in RFC 5952, a
/// port is dropped. Empty texts are dropped; other texts that aren't addresses stay as they are.
pub(super) fn addresses(texts: Vec<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    let texts = texts.into_iter().filter(|text| !text.is_empty());
    texts.map(canonical).collect()
}

fn canonical(text: Cow<'_, str>) -> Cow<'_, str> {
    let given = text.trim();
    let bare = given
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(given).parse::<IpAddr>().ok();
    let address = address.or_else(|| Some(given.parse::<SocketAddr>().ok()?.ip()));
    match address {
        // most are canonical already, and stay borrowed
        Some(IpAddr::V4(_)) if is_v4(&text) => text,
        Some(address) => Cow::Owned(address.to_canonical().to_string()),
        None => text,
    }
}

/// Returns whether the text has only the characters of an IPv4 address.
fn is_v4(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        for (given, canonical) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("::FFFF:cb00:7107", "203.0.113.7"),
            ("203.0.113.7:51312", "203.0.113.7"),
            (" 203.0.113.7", "203.0.113.7"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("unknown", "unknown"),
            ("203.0.113.7, 10.0.0.1", "203.0.113.7, 10.0.0.1"),
        ] {
            assert_eq!(addresses(vec![given.into()]), [canonical], "{given}");
        }
        assert!(addresses(vec!["".into()]).is_empty());
    }
}
