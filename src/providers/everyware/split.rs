//! Takes the one unbounded answer apart while it arrives: each element of `audit`, as its own text.

use std::borrow::Cow;

use super::value::{Broken, Value};
use crate::model::Kind;
use crate::providers::answer::{NOT_UTF8, failed, quoted};
use crate::providers::json::shortened;
use crate::providers::{Page, Refusal, Splitter};

/// What a record may grow to: many times over what any real one is.
pub(super) const RECORD_CAP: usize = 64 << 20;
/// How much of what isn't JSON is looked at, for the message.
const BEGINNING: usize = 600;
/// Counts of records at which providers tend to cut answers off.
const ROUND: [u64; 3] = [50, 100, 1_000];

/// Takes an answer's body apart. It holds one record, plus what it was fed and gives back.
#[derive(Debug)]
pub(super) struct AuditSplitter {
    max_rows: Option<u64>,
    record_cap: usize,
    state: State,
    /// The value that is passed over.
    value: Value,
    /// What of it has come, if it is wanted.
    kept: Vec<u8>,
    /// How many bytes have been read.
    read: u64,
    records: u64,
    /// Whether there was a member `audit`.
    audit: bool,
    /// The first member of no known meaning.
    other: Option<String>,
    /// What an error says of itself.
    message: Option<String>,
    limit_exceeded: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before the object.
    Start,
    /// In what is no JSON object.
    Foreign,
    /// Before a member's name, or before the object's end.
    Member { first: bool },
    /// In a member's name.
    Name,
    /// Between a member's name and its colon.
    Colon(Member),
    /// Between the colon and the value.
    Before(Member),
    /// In the value.
    Inside(Member),
    /// Behind a member.
    After,
    /// Before an element of `audit`, or before its end.
    Element { first: bool },
    /// In an element.
    InElement,
    /// Behind an element.
    AfterElement,
    /// Behind the object.
    Done,
}

/// Members of the object, by what they mean here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    /// The records.
    Audit,
    /// What an error says.
    Message,
    /// Sibling calls tell with it that there is more.
    LimitExceeded,
    Other,
}

impl AuditSplitter {
    pub(super) fn new(max_rows: Option<u64>) -> Self {
        Self {
            max_rows,
            record_cap: RECORD_CAP,
            state: State::Start,
            value: Value::default(),
            kept: Vec::new(),
            read: 0,
            records: 0,
            audit: false,
            other: None,
            message: None,
            limit_exceeded: false,
        }
    }

    /// One that takes no record of more than `record_cap` bytes.
    #[cfg(test)]
    fn capped(record_cap: usize) -> Self {
        Self {
            record_cap,
            ..Self::new(None)
        }
    }

    /// Reads some of the bytes: how many.
    fn step(&mut self, bytes: &[u8], page: &mut Page) -> Result<usize, Refusal> {
        let Some(&byte) = bytes.first() else {
            return Ok(0);
        };
        match self.state {
            State::Foreign => return self.foreign(bytes),
            State::Name | State::Inside(_) | State::InElement => {
                return self.within(bytes, page);
            }
            _ if byte.is_ascii_whitespace() => return Ok(1),
            _ => {}
        }
        // a value's first byte belongs to the value
        let mut read = 1;
        self.state = match (self.state, byte) {
            // the mark that some servers put before UTF-8
            (State::Start, 0xef | 0xbb | 0xbf) => State::Start,
            (State::Start, b'{') => State::Member { first: true },
            (State::Start, _) => {
                read = 0;
                State::Foreign
            }
            (State::Member { .. }, b'"') => {
                read = 0;
                State::Name
            }
            (State::Member { first: true } | State::After, b'}') => State::Done,
            (State::Colon(member), b':') => State::Before(member),
            (State::Before(Member::Audit), b'[') => State::Element { first: true },
            (State::Before(member), _) => {
                read = 0;
                State::Inside(member)
            }
            (State::After, b',') => State::Member { first: false },
            (State::Element { first: true } | State::AfterElement, b']') => State::After,
            (State::Element { .. }, _) => {
                read = 0;
                State::InElement
            }
            (State::AfterElement, b',') => State::Element { first: false },
            _ => return Err(self.broken(0)),
        };
        Ok(read)
    }

    /// Reads what belongs to a name or a value.
    fn within(&mut self, bytes: &[u8], page: &mut Page) -> Result<usize, Refusal> {
        let (read, ended) = match self.value.take(bytes) {
            Ok(taken) => taken,
            Err(Broken(at)) => return Err(self.broken(at)),
        };
        if !matches!(self.state, State::Inside(Member::Other)) {
            if self.kept.len() + read > self.record_cap {
                return Err(failed(
                    Kind::Data,
                    format!(
                        "the answer holds a record of more than {} bytes, record {} of it",
                        self.record_cap,
                        self.records + 1
                    ),
                ));
            }
            self.kept.extend_from_slice(&bytes[..read]);
        }
        if ended {
            self.ended(page)?;
            self.value = Value::default();
            self.kept.clear();
        }
        Ok(read)
    }

    /// A name or a value is complete.
    fn ended(&mut self, page: &mut Page) -> Result<(), Refusal> {
        self.state = match self.state {
            State::Name => {
                // a name that can't be read is none of those that are known
                let name: String = serde_json::from_slice(&self.kept).unwrap_or_default();
                let member = match name.as_str() {
                    "audit" => Member::Audit,
                    "message" | "error" => Member::Message,
                    "limitExceeded" => Member::LimitExceeded,
                    _ => Member::Other,
                };
                self.audit |= member == Member::Audit;
                if member == Member::Other && self.other.is_none() {
                    self.other = Some(shortened(&name).into_owned());
                }
                State::Colon(member)
            }
            State::InElement => {
                self.emit(page);
                State::AfterElement
            }
            State::Inside(member) => {
                match member {
                    Member::Audit => self.lone(page)?,
                    Member::Message => {
                        let text = String::from_utf8_lossy(&self.kept);
                        let said = serde_json::from_str::<String>(&text);
                        let said = said.unwrap_or_else(|_| text.into_owned());
                        let is_nothing = matches!(said.as_str(), "" | "null" | "false");
                        self.message = (!is_nothing).then(|| shortened(&said).into_owned());
                    }
                    Member::LimitExceeded => {
                        self.limit_exceeded = self.kept == b"true" || self.kept == b"\"true\"";
                    }
                    Member::Other => {}
                }
                State::After
            }
            other => other,
        };
        Ok(())
    }

    /// `audit` is no list: one record, or none.
    fn lone(&mut self, page: &mut Page) -> Result<(), Refusal> {
        if self.kept.starts_with(b"{") {
            self.emit(page);
        } else if self.kept != b"null" && self.kept != b"\"\"" {
            let text = String::from_utf8_lossy(&self.kept);
            return Err(failed(
                Kind::Data,
                format!(
                    "the answer's `audit` is neither a list nor a record: {}",
                    quoted(&text)
                ),
            ));
        }
        Ok(())
    }

    /// What was kept is a record. Bytes that are no UTF-8 are replaced, so that they cost one record at most.
    fn emit(&mut self, page: &mut Page) {
        let from = page.text.len();
        let text = String::from_utf8_lossy(&self.kept);
        if matches!(text, Cow::Owned(_)) {
            page.remark = Some(NOT_UTF8.to_owned());
        }
        page.text.push_str(&text);
        page.records.push(from..page.text.len());
        self.records += 1;
    }

    /// Collects the beginning of what is no JSON object, then says so.
    fn foreign(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let read = bytes.len().min(BEGINNING - self.kept.len());
        self.kept.extend_from_slice(&bytes[..read]);
        if self.kept.len() == BEGINNING {
            return Err(self.not_an_object());
        }
        Ok(read)
    }

    fn not_an_object(&self) -> Refusal {
        // a bare list may be one of records, and those may hold secrets
        let shown = if self.kept.starts_with(b"[") {
            b"["
        } else {
            self.kept.as_slice()
        };
        let beginning = quoted(&String::from_utf8_lossy(shown));
        failed(
            Kind::Data,
            format!("the answer is no JSON object, it begins with {beginning}"),
        )
    }

    /// `at` bytes ahead, the answer is no JSON.
    fn broken(&self, at: usize) -> Refusal {
        let place = self.read + at as u64 + 1;
        // where, not what: records may hold secrets
        failed(
            Kind::Data,
            format!("the answer is not the JSON that was expected, at byte {place}"),
        )
    }
}

impl Splitter for AuditSplitter {
    fn feed(&mut self, bytes: &[u8]) -> Result<Page, Refusal> {
        let mut page = Page::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let read = self.step(rest, &mut page)?;
            rest = &rest[read..];
            self.read += read as u64;
        }
        Ok(page)
    }

    fn end(&mut self) -> Result<Page, Refusal> {
        match self.state {
            State::Done => {}
            State::Foreign => return Err(self.not_an_object()),
            _ => {
                let read = self.read;
                return Err(Refusal::TooSlow(format!(
                    "the answer ended in the middle, after {read} bytes"
                )));
            }
        }
        if let (false, Some(message)) = (self.audit, &self.message) {
            return Err(failed(
                Kind::Data,
                format!("the answer has no `audit`, but a message: {message}"),
            ));
        }
        // an object without any member is how some servers write an empty list; what says something else is no list
        if let (false, Some(other)) = (self.audit, &self.other) {
            return Err(failed(
                Kind::Data,
                format!("the answer has no `audit`, but a member `{other}`"),
            ));
        }
        let rows = self.records;
        if self.limit_exceeded {
            return Err(Refusal::TooLarge(format!(
                "it says that a limit is exceeded, and shows {rows} records; {SMALLER}"
            )));
        }
        if let Some(max_rows) = self.max_rows.filter(|max_rows| rows >= *max_rows) {
            return Err(Refusal::TooLarge(format!(
                "its answer has {rows} records, and from {max_rows} (`max_rows`) on it may hide some; {SMALLER}"
            )));
        }
        Ok(Page {
            remark: ROUND.contains(&rows).then(|| {
                format!(
                    "the provider's answer has exactly {rows} records, as if it were cut off there; \
                     if days like this one have as many, set `max_rows: {rows}` and {SMALLER}"
                )
            }),
            ..Page::default()
        })
    }
}

/// What to do where an answer shows too few.
const SMALLER: &str = "set `timezone`, so that fewer days are asked for at once, or split the job by `action` and \
     `result_code` (records of other types than the four actions may then be missing: compare the counts)";

#[cfg(test)]
mod tests;
