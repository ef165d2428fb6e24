//! Each kind of fault, by name.

use std::io::Write as _;

use auditlake::sim::Fault;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A fault of this name.
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) fault: Fault,
}

fn status(status: u16, retry_after: Option<&str>) -> Fault {
    Fault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
    }
}

fn typed(kind: &'static str) -> Fault {
    Fault::rewritten(move |_, answer| answer.headers.push(("content-type", kind.to_owned())))
}

fn message(bytes: &'static [u8]) -> Fault {
    Fault::rewritten(move |_, answer| {
        answer.status = 200;
        answer.body = bytes.to_vec();
    })
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Faults at random, in one call of five: those that a provider may show occasionally.
pub(super) fn all() -> Vec<Named> {
    let named = |name, fault| Named { name, fault };
    vec![
        named("429, seconds", status(429, Some("7"))),
        named("429, now", status(429, Some("0"))),
        named(
            "429, a date",
            status(429, Some("Fri, 31 Dec 2100 23:59:59 GMT")),
        ),
        named("429, garbled", status(429, Some("soon"))),
        named("429, none", status(429, None)),
        named("400", status(400, None)),
        named("401", status(401, None)),
        named("403", status(403, None)),
        named("404", status(404, None)),
        named("408", status(408, None)),
        named("410", status(410, None)),
        named("500", status(500, None)),
        named("502, HTML", Fault::Html { status: 502 }),
        named("503, HTML", Fault::Html { status: 503 }),
        named("503, later", status(503, Some("0"))),
        named("504, HTML", Fault::Html { status: 504 }),
        named("200, HTML", Fault::Html { status: 200 }),
        named("reset before the effect", Fault::ResetBefore),
        named("reset after the effect", Fault::Reset),
        named("reset in the body", Fault::CutBody),
        named("half the JSON, as if whole", Fault::TruncatedBody),
        named("an empty body", message(b"")),
        named("spaces", message(b"  \r\n ")),
        named("null", message(b"null")),
        named("a bare list", message(b"[]")),
        named("a list in a list", message(b"[[],[]]")),
        named("an empty object", message(b"{\"maintenance\":true}")),
        named("JSON as text/html", typed("text/html")),
        named("JSON as nothing", typed("")),
        named("a type that is none", typed("\u{fffd}; charset=koi8-r")),
        named(
            "JSON twice",
            Fault::rewritten(|_, answer| answer.body.extend_from_within(..)),
        ),
        named(
            "garbage behind",
            Fault::rewritten(|_, answer| answer.body.extend_from_slice(b"</html>")),
        ),
        named(
            "gzip, unasked",
            Fault::rewritten(|_, answer| {
                answer.body = gzip(&answer.body);
                answer.headers.push(("content-encoding", "gzip".to_owned()));
            }),
        ),
        named(
            "deflate, broken",
            Fault::rewritten(|_, answer| {
                answer.body = (0..=255_u8).cycle().take(5_000).collect();
                answer
                    .headers
                    .push(("content-encoding", "deflate".to_owned()));
            }),
        ),
        named(
            "headers twice",
            Fault::Headers(vec![
                ("content-type", "text/plain".to_owned()),
                ("retry-after", "9".to_owned()),
                ("x-total-count", "many".to_owned()),
                ("ratelimit-remaining", "-1".to_owned()),
                ("inin-ratelimit-allowed", "99999999999999999999".to_owned()),
            ]),
        ),
        named(
            "a thousand headers",
            Fault::Headers(vec![("x-more", "more".to_owned()); 1_000]),
        ),
        named(
            "a huge header",
            Fault::Headers(vec![("x-more", "x".repeat(1 << 20))]),
        ),
    ]
}

/// Which last as long as the client's patience, so that they come one at a time.
pub(super) fn slow() -> Vec<Named> {
    vec![
        Named {
            name: "silence in the body",
            fault: Fault::Stall,
        },
        Named {
            name: "a body without end",
            fault: Fault::Endless,
        },
    ]
}
