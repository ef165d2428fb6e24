//! Redaction of external texts: a server's message may repeat the request in any form.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// The length in bytes of pieces of secrets that are also redacted, as servers shorten texts that they repeat.
const PIECE: usize = 12;

/// The replacement of redacted text.
const REDACTED: &str = "[redacted]";

/// RFC 3986, unreserved.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A redactor of texts, verbatim or in base64 (at any offset), percent-encoded, or escaped as in JSON or XML, and of
/// any piece of 12 bytes of these forms. Cheap to clone; never shown itself.
#[derive(Clone, Default)]
pub struct Redactor {
    /// The forms that are shorter than a piece, longest first, so that no rest of one remains.
    short: Arc<[String]>,
    /// All pieces of the other forms.
    pieces: Arc<HashSet<[u8; PIECE]>>,
}

impl Redactor {
    /// Creates a redactor of these texts; empty ones are ignored.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut short = Vec::new();
        let mut pieces = HashSet::new();
        for form in texts
            .into_iter()
            .filter(|text| !text.is_empty())
            .flat_map(forms)
        {
            if form.len() < PIECE {
                short.push(form);
            } else {
                pieces.extend(form.as_bytes().windows(PIECE).map(piece));
            }
        }
        Self::of(short, pieces)
    }

    /// Returns a redactor of the texts of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let short = self.short.iter().chain(&*other.short).cloned().collect();
        Self::of(short, self.pieces.union(&other.pieces).copied().collect())
    }

    fn of(mut short: Vec<String>, pieces: HashSet<[u8; PIECE]>) -> Self {
        short.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        short.dedup();
        Self {
            short: short.into(),
            pieces: Arc::new(pieces),
        }
    }

    /// Returns the text without the redacted parts.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut found = self.found(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_by_key(|range| range.start);
        let mut shown = String::new();
        let mut end = 0;
        for range in found {
            let (from, to) = (floor(text, range.start), ceil(text, range.end));
            if from > end || shown.is_empty() {
                shown.push_str(&text[end..from.max(end)]);
                shown.push_str(REDACTED);
            }
            end = end.max(to);
        }
        shown.push_str(&text[end..]);
        Cow::Owned(shown)
    }

    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        if !self.pieces.is_empty() {
            for (at, window) in text.as_bytes().windows(PIECE).enumerate() {
                if !self.pieces.contains(&piece(window)) {
                    continue;
                }
                match found.last_mut().filter(|last| at <= last.end) {
                    Some(last) => last.end = at + PIECE,
                    None => found.push(at..at + PIECE),
                }
            }
        }
        let short = self.short.iter().flat_map(|form| {
            let length = form.len();
            text.match_indices(form.as_str())
                .map(move |(at, _)| at..at + length)
        });
        found.extend(short);
        found
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

fn piece(bytes: &[u8]) -> [u8; PIECE] {
    let mut piece = [0; PIECE];
    piece.copy_from_slice(bytes);
    piece
}

/// Returns the forms in which servers repeat a text.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned(), json(text), json(&json(text)), xml(text)];
    for set in [NON_ALPHANUMERIC, UNRESERVED] {
        let upper = utf8_percent_encode(text, set).to_string();
        forms.extend([in_lower_hex(&upper), upper]);
    }
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    forms.extend([in_lower_hex(&form), form]);
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.push(engine.encode(text));
        // so short a rest reveals nothing, and would match everywhere
        let inner = (0..3).map(|before| inside_base64(&engine, text, before));
        forms.extend(inner.filter(|inner| inner.len() >= 6));
    }
    forms
}

/// Returns the base64 characters that depend only on `text`, if it follows this number of bytes (modulo 3).
fn inside_base64(engine: &GeneralPurpose, text: &str, before: usize) -> String {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(text.as_bytes());
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    let encoded = engine.encode(bytes);
    encoded.get(first..last).unwrap_or_default().to_owned()
}

fn json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Returns the text with `%2F` as `%2f`.
fn in_lower_hex(encoded: &str) -> String {
    let mut lower = String::new();
    let mut parts = encoded.split('%');
    lower.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        // writing to a string doesn't fail
        let _ = write!(lower, "%{}{rest}", hex.to_ascii_lowercase());
    }
    lower
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

fn ceil(text: &str, at: usize) -> usize {
    (at..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const SECRET: &str = "p4ss/W0rd+with=\"odd\"&letters<é>";

    fn shown(text: &str) -> String {
        Redactor::new([SECRET]).apply(text).into_owned()
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in ["", "nothing", "p4ss/W0rd+w", "é<>&"] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(
            Redactor::default().apply("anything at all"),
            "anything at all"
        );
        assert_eq!(Redactor::new([""]).apply("anything"), "anything");
    }

    #[test]
    fn a_secret_and_its_pieces_are_hidden() {
        assert_eq!(shown(&format!("bad {SECRET}!")), "bad [redacted]!");
        assert_eq!(shown(&format!("{SECRET}{SECRET}")), "[redacted]");
        assert_eq!(shown("bad W0rd+with=\"od… é"), "bad [redacted]… é");
        assert_eq!(
            shown(&format!("{SECRET} and {SECRET}.")),
            "[redacted] and [redacted]."
        );
        // a piece that ends inside a character
        let inside = Redactor::new(["0123456789ab\u{e9}"]);
        assert_eq!(inside.apply("x123456789ab\u{e8}y"), "x[redacted]y");
    }

    #[test]
    fn whatever_a_server_encodes_it_in_it_is_hidden() {
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "z", "zy"] {
                let around = format!("{before}{SECRET}{after}");
                for form in [
                    STANDARD.encode(&around),
                    URL_SAFE_NO_PAD.encode(&around),
                    utf8_percent_encode(&around, NON_ALPHANUMERIC).to_string(),
                    in_lower_hex(&utf8_percent_encode(&around, UNRESERVED).to_string()),
                    json(&around),
                    json(&json(&around)),
                    xml(&around),
                ] {
                    let shown = shown(&format!("<{form}>"));
                    assert!(shown.contains(REDACTED), "{form}");
                    // at most the text before and after remains
                    assert!(shown.len() <= REDACTED.len() + 14, "{form} became {shown}");
                }
            }
        }
    }

    #[test]
    fn a_short_secret_is_hidden_as_a_whole() {
        let hidden = Redactor::new(["s3cr&t/+", "abc"]);
        for (text, left) in [
            ("bad s3cr&t/+!", "bad [redacted]!"),
            ("bad s3cr%26t%2F%2B!", "bad [redacted]!"),
            ("bad czNjciZ0Lys=!", "bad [redacted]=!"),
            ("abc.abc", "[redacted].[redacted]"),
            ("ab s3cr&t", "ab s3cr&t"),
        ] {
            assert_eq!(hidden.apply(text), left);
        }
    }

    #[test]
    fn two_of_them_hide_what_each_hides() {
        let both = Redactor::new([SECRET]).and(&Redactor::new(["abc"]));
        assert_eq!(
            both.apply(&format!("{SECRET} abc")),
            "[redacted] [redacted]"
        );
        assert_eq!(format!("{both:?}"), "[redacted]");
    }
}
