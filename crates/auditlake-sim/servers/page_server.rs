//! A provider that is never the bottleneck, for `make bench`: audits of Genesys Cloud, generated once and kept in
//! memory.
//!
//! ```text
//! cargo run --release --package auditlake-sim --bin page_server -- --records 1000000 --days 20
//! ```
//!
//! It knows just enough of Genesys Cloud for a backfill by query jobs: sign-in, a query that has succeeded when it is
//! submitted, its results in pages of 500. A page belongs to the query whose interval its first instant lies in, so
//! windows should hold whole pages. Under `/audits?from=A&to=B&cursor=C` it shows pages A to B as simpler clients
//! want them; `/stats` counts what was asked. Options: `--port`, `--records`, `--days` (over how many they are spread),
//! `--latency-ms` (of each answer), `--per-minute` (how many calls any 60 seconds may have; the others get a 429).

#![expect(clippy::print_stdout, reason = "what it prints is for a script")]

use std::collections::VecDeque;
use std::error::Error;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

mod audits;

use audits::{FIRST_MS, Serving, Slots};

/// How many audits a page has.
const PAGE: u64 = 500;
/// The number of generated pages; after the last one they are repeated with other ids and times.
const MADE_UP: u64 = 500;
const MINUTE: Duration = Duration::from_mins(1);

struct Options {
    port: u16,
    records: u64,
    days: u64,
    latency: Duration,
    per_minute: Option<usize>,
}

/// The records of a page, and where each has its slots.
struct Page {
    text: Vec<u8>,
    slots: Vec<Slots>,
}

struct World {
    options: Options,
    made_up: Vec<Page>,
    asked: Mutex<Asked>,
}

/// What was asked so far.
#[derive(Default)]
struct Asked {
    /// When, since the first call, for the rate limit: those of the last minute that were answered.
    recent: VecDeque<Instant>,
    first: Option<Instant>,
    /// The first call of all, sign-in or not.
    began: Option<Instant>,
    /// How many calls each second since the first was answered, and refused.
    answered: Vec<u32>,
    refused: u64,
    sign_ins: u64,
    queries: u64,
    pages: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1))?;
    let listener = TcpListener::bind(("127.0.0.1", options.port))?;
    let pages = options.records.div_ceil(PAGE);
    let world = Arc::new(World {
        made_up: (0..pages.min(MADE_UP)).map(made_up).collect(),
        asked: Mutex::default(),
        options,
    });
    println!("http://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, world) = (stream?, world.clone());
        // a client that disconnects isn't a failure
        std::thread::spawn(move || world.serve(stream).is_ok());
    }
    Ok(())
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        port: 0,
        records: 1_000_000,
        days: 20,
        latency: Duration::ZERO,
        per_minute: None,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option without a value")?;
        match name.as_str() {
            "--port" => options.port = value.parse()?,
            "--records" => options.records = value.parse()?,
            "--days" => options.days = value.parse()?,
            "--latency-ms" => options.latency = Duration::from_millis(value.parse()?),
            "--per-minute" => options.per_minute = Some(value.parse()?),
            _ => return Err(format!("no such option: `{name}`").into()),
        }
    }
    Ok(options)
}

fn made_up(page: u64) -> Page {
    let mut text = String::with_capacity(520_000);
    let mut slots = Vec::new();
    for number in page * PAGE..(page + 1) * PAGE {
        if !text.is_empty() {
            text.push(',');
        }
        slots.push(audits::record(&mut text, number));
    }
    Page {
        text: text.into_bytes(),
        slots,
    }
}

impl World {
    fn every_us(&self) -> u64 {
        self.options.days * 86_400_000_000 / self.options.records
    }

    fn pages(&self) -> u64 {
        self.options.records.div_ceil(PAGE)
    }

    /// Answers one connection's calls, one after the other.
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut received, mut records) = (Vec::new(), Vec::new());
        while let Some((head, body)) = receive(&mut stream, &mut received)? {
            let target = head.split(' ').nth(1).unwrap_or_default();
            if target == "/stats" {
                respond(&mut stream, "200 OK", &[self.stats().as_bytes()])?;
                continue;
            }
            let admitted = self.admit(target);
            std::thread::sleep(self.options.latency);
            if let Err(wait) = admitted {
                let status = format!(
                    "429 Too Many Requests\r\nretry-after: {}",
                    wait.as_secs() + 1
                );
                respond(&mut stream, &status, &[b"{}"])?;
                continue;
            }
            match self.answer(target, &body) {
                None => respond(&mut stream, "404 Not Found", &[b"{}"])?,
                Some(Told::Text(text)) => respond(&mut stream, "200 OK", &[text.as_bytes()])?,
                Some(Told::Page { number, end }) => {
                    let cursor = if number + 1 < end {
                        format!(r#""cursor":"{}","#, number + 1)
                    } else {
                        String::new()
                    };
                    let before = format!(r#"{{"id":"p","pageSize":{PAGE},{cursor}"entities":["#);
                    self.page(number, &mut records);
                    respond(&mut stream, "200 OK", &[before.as_bytes(), &records, b"]}"])?;
                }
            }
        }
        Ok(())
    }

    /// Counts a call; how long to wait if the minute has had enough of them.
    fn admit(&self, target: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.began.get_or_insert(now);
        if target == "/oauth/token" {
            asked.sign_ins += 1; // another host's, with no part in the API's budget
            return Ok(());
        }
        let first = *asked.first.get_or_insert(now);
        if let Some(most) = self.options.per_minute {
            while asked.recent.front().is_some_and(|at| now - *at >= MINUTE) {
                asked.recent.pop_front();
            }
            if asked.recent.len() >= most {
                asked.refused += 1;
                return Err(MINUTE.saturating_sub(now - asked.recent[0]));
            }
            asked.recent.push_back(now);
        }
        let second = usize::try_from((now - first).as_secs()).unwrap_or_default();
        if asked.answered.len() <= second {
            asked.answered.resize(second + 1, 0);
        }
        asked.answered[second] += 1;
        match target {
            "/api/v2/audits/query" => asked.queries += 1,
            _ => asked.pages += 1,
        }
        Ok(())
    }

    fn stats(&self) -> String {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        format!(
            r#"{{"began_s_ago":{},"sign_ins":{},"queries":{},"pages":{},"refused":{},"answered_by_second":{:?}}}"#,
            asked
                .began
                .map_or(0.0, |began| began.elapsed().as_secs_f64()),
            asked.sign_ins,
            asked.queries,
            asked.pages,
            asked.refused,
            asked.answered
        )
    }

    fn answer(&self, target: &str, body: &str) -> Option<Told> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let cursor = of_query(query, "cursor");
        match path {
            "/oauth/token" => Some(Told::Text(
                r#"{"access_token":"of-the-page-server","token_type":"bearer","expires_in":86400}"#
                    .to_owned(),
            )),
            "/api/v2/audits/query" => {
                let interval = body.split_once(r#""interval":""#)?.1.split('"').next()?;
                let (from, to) = interval.split_once('/')?;
                let (from, to) = (self.page_at(from)?, self.page_at(to)?);
                Some(Told::Text(format!(
                    r#"{{"id":"{from}-{to}","state":"Succeeded"}}"#
                )))
            }
            "/audits" => {
                let from = of_query(query, "from").unwrap_or(0);
                let end = of_query(query, "to").map_or(self.pages(), |to| to.min(self.pages()));
                let number = cursor.unwrap_or(from);
                (number < end).then_some(Told::Page { number, end })
            }
            _ => {
                let transaction = path.strip_prefix("/api/v2/audits/query/")?;
                let (from, to) = transaction.strip_suffix("/results")?.split_once('-')?;
                let (number, end) = (cursor.or(from.parse().ok())?, to.parse().ok()?);
                if number < end {
                    return Some(Told::Page { number, end });
                }
                let nothing = format!(r#"{{"id":"p","pageSize":{PAGE},"entities":[]}}"#);
                Some(Told::Text(nothing))
            }
        }
    }

    /// The first page that begins at this instant (RFC 3339, UTC) or later.
    fn page_at(&self, instant: &str) -> Option<u64> {
        let at = chrono::DateTime::parse_from_rfc3339(instant).ok()?;
        let since = at.timestamp_millis() - i64::try_from(FIRST_MS).ok()?;
        let since = u64::try_from(since).unwrap_or(0) * 1_000;
        Some(since.div_ceil(self.every_us() * PAGE).min(self.pages()))
    }

    /// A page's records; replaces the contents of `records`.
    fn page(&self, number: u64, records: &mut Vec<u8>) {
        let round = number / MADE_UP;
        let page = &self.made_up[usize::try_from(number % MADE_UP).unwrap_or_default()];
        records.clear();
        records.extend_from_slice(&page.text);
        for (slots, number) in page.slots.iter().zip(number * PAGE..) {
            let serving = Serving {
                number,
                round,
                every_us: self.every_us(),
            };
            serving.fill(records, *slots);
        }
    }
}

enum Told {
    Text(String),
    /// This page, of those up to `end`.
    Page {
        number: u64,
        end: u64,
    },
}

fn of_query(query: &str, name: &str) -> Option<u64> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|pair| pair.0 == name)?.1.parse().ok()
}

/// The next request's head and body; nothing once the client is gone.
fn receive(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> std::io::Result<Option<(String, String)>> {
    let mut buffer = [0; 16_384];
    let mut needed = None;
    loop {
        if needed.is_none()
            && let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&received[..at]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok());
            needed = Some((head, at + 4, at + 4 + length.unwrap_or(0)));
        }
        if let Some((head, start, end)) = &needed
            && received.len() >= *end
        {
            let body = String::from_utf8_lossy(&received[*start..*end]).into_owned();
            let head = head.clone();
            received.drain(..*end);
            return Ok(Some((head, body)));
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        received.extend_from_slice(&buffer[..count]);
    }
}

fn respond(stream: &mut TcpStream, status: &str, body: &[&[u8]]) -> std::io::Result<()> {
    let length: usize = body.iter().map(|part| part.len()).sum();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    let parts: Vec<&[u8]> = std::iter::once(head.as_bytes())
        .chain(body.iter().copied())
        .collect();
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = stream.write_vectored(rest)?;
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}
