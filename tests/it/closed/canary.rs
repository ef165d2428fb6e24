//! Secrets that sing when they get out, and the search for them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// How long a piece of a secret is that may not get out.
const PIECE: usize = 12;

/// A secret for one place, like no other, with characters that every encoding changes.
pub(crate) fn canary(place: &str) -> String {
    let mut hash = String::new();
    for byte in Sha256::digest(place).iter().take(18) {
        write!(hash, "{byte:02x}").unwrap();
    }
    format!("{}/+{}=&\"{}", &hash[..13], &hash[13..20], &hash[20..])
}

/// The secrets of one test, and all the outputs that were searched for them.
#[derive(Clone, Default)]
pub(crate) struct Canaries(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By their place.
    secrets: BTreeMap<String, String>,
    outputs: Vec<(String, Vec<u8>)>,
}

impl Canaries {
    /// A new one for this place.
    pub(crate) fn hatch(&self, place: &str) -> String {
        let text = canary(place);
        self.know(place, &text);
        text
    }

    /// A canary made elsewhere: a token. A text too short to be distinguished from other text isn't one.
    pub(crate) fn know(&self, place: &str, text: &str) {
        assert!(text.len() >= PIECE, "{place}: `{text}` is no canary");
        let mut state = self.0.lock().unwrap();
        let number = state.secrets.len();
        if !state.secrets.values().any(|known| known == text) {
            state
                .secrets
                .insert(format!("{place} #{number}"), text.to_owned());
        }
    }

    /// Something that may hold none.
    pub(crate) fn output(&self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let output = (name.into(), bytes.into());
        self.0.lock().unwrap().outputs.push(output);
    }

    /// Whether this text has anything of one in it, in any form; the place of the first that it has.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Option<String> {
        let state = self.0.lock().unwrap();
        find(&pieces(&state.secrets), bytes)
    }

    /// No output has anything of any of them. Says how much was searched.
    #[track_caller]
    pub(crate) fn assert_silent(&self, test: &str) {
        let state = self.0.lock().unwrap();
        let pieces = pieces(&state.secrets);
        let bytes: usize = state.outputs.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(!state.secrets.is_empty() && bytes > 0, "nothing to search");
        for (name, output) in &state.outputs {
            if let Some(place) = find(&pieces, output) {
                let shown = String::from_utf8_lossy(output);
                panic!("the secret {place} is in {name}:\n{shown}");
            }
        }
        println!(
            "tried: {test}: {} canaries in {} forms ({} pieces of {PIECE} bytes) in none of {} outputs of {bytes} bytes",
            state.secrets.len(),
            FORMS,
            pieces.len(),
            state.outputs.len(),
        );
    }
}

/// How many forms of each secret are looked for.
const FORMS: usize = 13;

/// What a secret looks like: plain; in base64, both alphabets, wherever it stands in what is encoded; percent-encoded in
/// upper and in lower case, also as in forms; and escaped as in JSON, once and twice.
fn forms(text: &str) -> [String; FORMS] {
    let inside = |before: usize, url: bool| {
        let bytes: Vec<u8> = std::iter::repeat_n(b'x', before)
            .chain(text.bytes())
            .collect();
        let (first, last) = ([0, 2, 3][before], bytes.len() * 4 / 3);
        let encoded = if url {
            URL_SAFE_NO_PAD.encode(&bytes)
        } else {
            STANDARD.encode(&bytes)
        };
        encoded[first..last].to_owned()
    };
    let json = |text: &str| {
        let quoted = serde_json::to_string(text).unwrap();
        quoted[1..quoted.len() - 1].to_owned()
    };
    let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    [
        text.to_owned(),
        inside(0, false),
        inside(1, false),
        inside(2, false),
        inside(0, true),
        inside(1, true),
        inside(2, true),
        percent.to_lowercase(), // the secrets themselves are in lower case
        percent,
        form.to_lowercase(),
        form,
        json(text),
        json(&json(text)),
    ]
}

fn pieces(secrets: &BTreeMap<String, String>) -> HashMap<[u8; PIECE], String> {
    let mut pieces = HashMap::new();
    for (place, text) in secrets {
        for form in forms(text) {
            for piece in form.as_bytes().windows(PIECE) {
                let piece = piece.try_into().unwrap();
                pieces.insert(piece, format!("{place} (`{text}`)"));
            }
        }
    }
    pieces
}

fn find(pieces: &HashMap<[u8; PIECE], String>, bytes: &[u8]) -> Option<String> {
    let mut windows = bytes.windows(PIECE);
    windows.find_map(|window| {
        let window: &[u8; PIECE] = window.try_into().unwrap();
        pieces.get(window).cloned()
    })
}

#[test]
fn the_search_finds_every_form_and_every_piece() {
    let canaries = Canaries::default();
    let secret = canaries.hatch("a password");
    let other = canary("another place");
    let is_found = |text: &str| canaries.found_in(text.as_bytes()).is_some();
    for before in ["", "a", "ab", "user:", "Bearer "] {
        let around = format!("{before}{secret} after");
        for form in [
            around.clone(),
            STANDARD.encode(&around),
            URL_SAFE_NO_PAD.encode(&around),
            utf8_percent_encode(&around, NON_ALPHANUMERIC).to_string(),
            utf8_percent_encode(&around, NON_ALPHANUMERIC)
                .to_string()
                .to_lowercase(),
            url::form_urlencoded::byte_serialize(around.as_bytes()).collect(),
            serde_json::to_string(&around).unwrap(),
            serde_json::to_string(&serde_json::to_string(&around).unwrap()).unwrap(),
            format!("{around:?}"),
        ] {
            assert!(is_found(&form), "{form}");
        }
    }
    for from in 0..=secret.len() - PIECE {
        assert!(is_found(&format!("…{}…", &secret[from..from + PIECE])));
        assert!(!is_found(&secret[from..from + PIECE - 1]));
    }
    for nothing in ["", "nothing at all", &other, &STANDARD.encode(&other)] {
        assert!(!is_found(nothing), "{nothing}");
    }
}

#[test]
#[should_panic(expected = "the secret a token #0")]
fn one_leak_among_many_outputs_is_told() {
    let canaries = Canaries::default();
    let token = canaries.hatch("a token");
    canaries.output("one", "nothing");
    canaries.output(
        "two",
        [b"\0\xff ".as_slice(), &token.as_bytes()[5..25]].concat(),
    );
    canaries.assert_silent("the search");
}
