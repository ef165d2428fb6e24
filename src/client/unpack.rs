//! Decoding of bodies: compression and text encodings other than UTF-8, which proxies and gateways may apply without
//! being asked. A body that can't be decoded stays unchanged with its headers, so that its reader can describe it.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::body::BodyError;
use super::error::Cause;

/// The first bytes of gzip.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The compression of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentEncoding {
    Gzip,
    Deflate,
}

/// Returns the body of a textual answer, decompressed within `cap` bytes and in UTF-8 if its encoding is declared, with
/// its headers except those about the compressed body.
///
/// A truncated compressed body is [`BodyError::Packed`].
pub(super) async fn whole(
    mut headers: HeaderMap,
    body: Bytes,
    cap: u64,
) -> Result<(HeaderMap, Bytes), BodyError> {
    let mut body = body;
    let packings = packings(&headers, &body);
    if !packings.is_empty() {
        let packed = body.clone();
        // several hundred milliseconds for the largest
        let unpacking = tokio::task::spawn_blocking(move || unpacked(packed, &packings, cap));
        let unpacked = unpacking
            .await
            .map_err(|error| packed_error(io::Error::other(error)))?;
        match unpacked? {
            Some(unpacked) => body = unpacked,
            None => return Ok((headers, body)),
        }
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    let body = match in_utf8(headers.get(CONTENT_TYPE), &body) {
        Some(text) => Bytes::from(text),
        None => body,
    };
    Ok((headers, body))
}

/// Returns the compressions, outermost first, by the header or the first bytes; `None` if one of them is unknown.
fn packings(headers: &HeaderMap, body: &[u8]) -> Vec<ContentEncoding> {
    let named: Vec<String> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    if named.is_empty() && body.starts_with(GZIP) {
        return vec![ContentEncoding::Gzip];
    }
    let known = named.iter().rev().map(|name| match name.as_str() {
        "gzip" | "x-gzip" => Some(ContentEncoding::Gzip),
        "deflate" => Some(ContentEncoding::Deflate),
        _ => None,
    });
    known.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// Returns the decompressed body; `None` if it isn't compressed that way.
fn unpacked(
    body: Bytes,
    packings: &[ContentEncoding],
    cap: u64,
) -> Result<Option<Bytes>, BodyError> {
    let mut body = body;
    for packing in packings {
        let unpacked = match packing {
            // declared, but not compressed
            ContentEncoding::Gzip if !body.starts_with(GZIP) => return Ok(None),
            ContentEncoding::Gzip => read(MultiGzDecoder::new(&*body), cap),
            // the name means zlib's format; some servers send raw deflate
            ContentEncoding::Deflate => match read(ZlibDecoder::new(&*body), cap) {
                Err(BodyError::Packed(_)) => match read(DeflateDecoder::new(&*body), cap) {
                    Err(BodyError::Packed(_)) => return Ok(None),
                    bare => bare,
                },
                zlib => zlib,
            },
        };
        body = Bytes::from(unpacked?);
    }
    Ok(Some(body))
}

fn read(decoder: impl Read, cap: u64) -> Result<Vec<u8>, BodyError> {
    let mut unpacked = Vec::new();
    decoder
        .take(cap.saturating_add(1))
        .read_to_end(&mut unpacked)
        .map_err(packed_error)?;
    if unpacked.len() as u64 > cap {
        return Err(BodyError::TooLarge);
    }
    Ok(unpacked)
}

fn packed_error(error: io::Error) -> BodyError {
    BodyError::Packed(packed(error))
}

/// The reason why a compressed body can't be read.
pub(super) fn packed(source: io::Error) -> Cause {
    Arc::new(EncodingError { source })
}

/// A truncated or damaged compressed body.
#[derive(Debug, thiserror::Error)]
#[error("the body is compressed without being asked to, and broke off")]
struct EncodingError {
    source: io::Error,
}

/// Returns the text in UTF-8, if it is UTF-16 or, by its content type, in a single-byte encoding.
fn in_utf8(content_type: Option<&HeaderValue>, body: &[u8]) -> Option<String> {
    let charset = content_type
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| {
            let kind = kind.to_ascii_lowercase();
            let (_, charset) = kind.split_once("charset=")?;
            let charset = charset.split([';', ',', ' ']).next()?;
            Some(charset.trim_matches(['"', '\'']).to_owned())
        })
        .unwrap_or_default();
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let units = units.iter().map(|pair| read(*pair));
        let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
        rest.is_empty().then_some(text)
    };
    // a byte order mark, or the start of JSON, whose first two characters are ASCII
    match body {
        [0xff, 0xfe, rest @ ..] => return wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => return wide(rest, u16::from_be_bytes),
        [first, 0, second, 0, ..] if *first > 0 && *second > 0 => {
            return wide(body, u16::from_le_bytes);
        }
        [0, first, 0, second, ..] if *first > 0 && *second > 0 => {
            return wide(body, u16::from_be_bytes);
        }
        _ => {}
    }
    let is_latin = matches!(
        charset.as_str(),
        "iso-8859-1"
            | "iso8859-1"
            | "latin1"
            | "latin-1"
            | "windows-1252"
            | "cp1252"
            | "iso-8859-15"
    );
    // often declared for UTF-8
    (is_latin && std::str::from_utf8(body).is_err())
        .then(|| body.iter().copied().map(latin).collect())
}

/// Decodes a byte of windows-1252, which is ISO 8859-1 with 27 characters instead of unused control characters
/// (WHATWG).
fn latin(byte: u8) -> char {
    const LETTERS: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}',
        '\u{2021}', '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}',
        '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}',
        '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}',
        '\u{178}',
    ];
    match byte {
        0x80..=0x9f => LETTERS[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// A streaming decoder of a body.
pub(super) struct BodyDecoder(DecoderState);

enum DecoderState {
    /// No byte has arrived yet; the headers declare this compression.
    Unknown(HeaderMap),
    /// The body isn't compressed.
    Plain,
    Gzip(Box<flate2::write::MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<flate2::write::ZlibDecoder<Vec<u8>>>),
}

impl BodyDecoder {
    /// Creates a decoder for the body of an answer with these headers.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        Self(DecoderState::Unknown(headers.clone()))
    }

    /// Decodes these bytes; the result may be empty.
    pub(super) fn feed(&mut self, bytes: Bytes) -> io::Result<Bytes> {
        if let DecoderState::Unknown(headers) = &self.0 {
            self.0 = match packings(headers, &bytes)[..] {
                [ContentEncoding::Gzip] if bytes.starts_with(GZIP) => {
                    DecoderState::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Vec::new())))
                }
                [ContentEncoding::Deflate] => {
                    DecoderState::Deflate(Box::new(flate2::write::ZlibDecoder::new(Vec::new())))
                }
                _ => DecoderState::Plain,
            };
        }
        match &mut self.0 {
            DecoderState::Unknown(_) | DecoderState::Plain => Ok(bytes),
            DecoderState::Gzip(decoder) => {
                decoder.write_all(&bytes)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()).into())
            }
            DecoderState::Deflate(decoder) => {
                decoder.write_all(&bytes)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()).into())
            }
        }
    }

    /// Ends the body; returns its last bytes.
    pub(super) fn end(&mut self) -> io::Result<Bytes> {
        match std::mem::replace(&mut self.0, DecoderState::Plain) {
            DecoderState::Unknown(_) | DecoderState::Plain => Ok(Bytes::new()),
            DecoderState::Gzip(decoder) => Ok(decoder.finish()?.into()),
            DecoderState::Deflate(decoder) => Ok(decoder.finish()?.into()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderName;

    use super::*;

    const TEXT: &[u8] = br#"{"entities":[{"a":"b"}]}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    async fn of(
        pairs: &[(HeaderName, &str)],
        body: &[u8],
    ) -> Result<(HeaderMap, Bytes), BodyError> {
        whole(headers(pairs), Bytes::copy_from_slice(body), 1_000).await
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_undone() {
        for (encoding, body) in [
            ("gzip", gzip(TEXT)),
            ("x-gzip", gzip(TEXT)),
            ("GZIP, identity", gzip(TEXT)),
            ("deflate", zlib(TEXT)),
            ("deflate", raw_deflate(TEXT)),
            ("deflate, gzip", gzip(&zlib(TEXT))),
            ("gzip", [gzip(&TEXT[..7]), gzip(&TEXT[7..])].concat()),
        ] {
            let (headers, body) = of(&[(CONTENT_ENCODING, encoding)], &body).await.unwrap();
            assert_eq!(body, TEXT, "{encoding}");
            assert!(!headers.contains_key(CONTENT_ENCODING));
        }
        assert_eq!(
            of(&[], &gzip(TEXT)).await.unwrap().1,
            TEXT,
            "without a word"
        );
    }

    #[tokio::test]
    async fn what_is_not_packed_so_stays_with_its_headers() {
        for (encoding, body) in [
            ("gzip", TEXT),
            ("br", b"\x0b\x02\x80"),
            ("gzip, zstd", b"\x28\xb5"),
            ("deflate", TEXT),
        ] {
            let (headers, left) = of(&[(CONTENT_ENCODING, encoding)], body).await.unwrap();
            assert_eq!((&left[..], headers.len()), (body, 1), "{encoding}");
        }
    }

    #[tokio::test]
    async fn a_bomb_is_too_large_and_half_a_body_breaks_off() {
        let gzip_named = [(CONTENT_ENCODING, "gzip")];
        let bomb = gzip(&vec![b' '; 1_000_000]);
        assert!(bomb.len() < 50_000);
        assert!(matches!(
            of(&gzip_named, &bomb).await,
            Err(BodyError::TooLarge)
        ));
        let half = gzip(TEXT);
        let half = &half[..half.len() - 12];
        assert!(matches!(
            of(&gzip_named, half).await,
            Err(BodyError::Packed(_))
        ));
    }

    #[tokio::test]
    async fn other_encodings_of_text_become_utf8() {
        let text = "{\"a\":\"é\u{1f600}\"}";
        let wide = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
        for body in [
            little.clone(),
            big.clone(),
            [&[0xff, 0xfe][..], &little].concat(),
            [&[0xfe, 0xff][..], &big].concat(),
            text.as_bytes().to_vec(),
        ] {
            assert_eq!(of(&[], &body).await.unwrap().1, text);
        }
        let latin = [(CONTENT_TYPE, "application/json; charset=\"ISO-8859-1\"")];
        assert_eq!(
            of(&latin, b"{\"a\":\"caf\xe9 \x80\"}").await.unwrap().1,
            "{\"a\":\"café €\"}"
        );
        assert_eq!(
            of(&latin, "{\"a\":\"café\"}".as_bytes()).await.unwrap().1,
            "{\"a\":\"café\"}"
        );
        assert_eq!(of(&[], b"caf\xe9").await.unwrap().1, &b"caf\xe9"[..]);
    }

    #[test]
    fn a_body_that_arrives_in_pieces_is_unpacked_in_pieces() {
        for (encoding, body) in [
            ("gzip", gzip(TEXT)),
            ("deflate", zlib(TEXT)),
            ("identity", TEXT.to_vec()),
            ("", gzip(TEXT)),
        ] {
            let mut unpacking = BodyDecoder::new(&headers(&[(CONTENT_ENCODING, encoding)]));
            let mut whole = Vec::new();
            // gzip is recognised by its first two bytes
            for piece in body.chunks(3) {
                whole.extend(unpacking.feed(Bytes::copy_from_slice(piece)).unwrap());
            }
            whole.extend(unpacking.end().unwrap());
            assert_eq!(whole, TEXT, "{encoding}");
            let mut unpacking = BodyDecoder::new(&headers(&[(CONTENT_ENCODING, encoding)]));
            let _ = unpacking.feed(Bytes::copy_from_slice(&body[..body.len() - 10]));
            assert_eq!(
                unpacking.end().is_err(),
                encoding != "identity",
                "{encoding}"
            );
        }
    }
}
