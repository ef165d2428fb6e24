//! A streaming parser of the answer, whose size is unlimited: returns each element of `audit` as a text of its own.

use std::borrow::Cow;

use super::entry::read_record;
use super::value::{Broken, RECORD_CAP, SkippedValue};
use crate::model::FailureKind;
use crate::providers::answer::{failed, legible, quoted};
use crate::providers::json::shortened;
use crate::providers::salvage::{Extent, begins_with_last, first, is_json, may_close};
use crate::providers::{Page, Refusal, Splitter};

/// The number of bytes of a complete answer that are parsed at once.
const PIECE: usize = 64 << 10;
/// The number of bytes after a broken record that are first searched for its end, doubled each time.
const LOOK_AHEAD: usize = 1 << 10;
/// The number of bytes after a bracket that are checked before it counts as the end of `audit`.
const TAIL: usize = 64 << 10;
/// The number of bytes of an answer that isn't JSON that are kept for the message.
const BEGINNING: usize = 600;
/// The numbers of records at which providers tend to truncate answers.
const ROUND: [u64; 3] = [50, 100, 1_000];

/// A parser of an answer's body. Holds one record, and the bytes that it was given and returns.
#[derive(Debug)]
pub(super) struct AuditSplitter {
    max_rows: Option<u64>,
    record_cap: usize,
    state: SplitState,
    /// The value that is being scanned.
    value: SkippedValue,
    /// The received bytes of the value, if it is needed.
    kept: Vec<u8>,
    /// The bytes after a broken record's end, which are parsed again.
    again: Vec<u8>,
    /// The number of parsed bytes.
    read: u64,
    records: u64,
    /// Whether there was a member `audit`.
    audit: bool,
    /// The first unknown member.
    other: Option<String>,
    /// The message of an error.
    message: Option<String>,
    limit_exceeded: bool,
}

#[derive(Debug, Clone, Copy)]
enum SplitState {
    /// Before the object.
    Start,
    /// In an answer that isn't a JSON object.
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
    /// After a member.
    After,
    /// Before an element of `audit`, or before its end.
    Element,
    /// In an element.
    InElement,
    /// After an element of this number of bytes, before the separator.
    AfterElement { length: usize },
    /// After a bracket at `bracket` of the kept bytes, which begin with an element of `length` bytes, or none if that
    /// is 0. The bracket ends `audit` unless the next bytes show otherwise, which are checked when this number of bytes
    /// has arrived.
    Tail {
        length: usize,
        bracket: usize,
        look_at: usize,
    },
    /// Before the bracket that ends `audit`.
    Close,
    /// In an element that isn't JSON, whose end is searched when this number of its bytes has arrived.
    Broken { look_at: usize },
    /// After the object.
    Done,
}

/// The members of the object by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    /// The records.
    Audit,
    /// The message of an error.
    Message,
    /// The member with which similar calls report a truncated list.
    LimitExceeded,
    Other,
}

impl AuditSplitter {
    pub(super) fn new(max_rows: Option<u64>) -> Self {
        Self {
            max_rows,
            record_cap: RECORD_CAP,
            state: SplitState::Start,
            value: SkippedValue::default(),
            kept: Vec::new(),
            again: Vec::new(),
            read: 0,
            records: 0,
            audit: false,
            other: None,
            message: None,
            limit_exceeded: false,
        }
    }

    /// Parses a complete answer.
    pub(super) fn whole(&mut self, body: &[u8], is_whole: bool) -> Result<Page, Refusal> {
        let mut page = Page::default();
        for piece in body.chunks(PIECE) {
            self.take(piece, &mut page)?;
        }
        self.finish(page, is_whole)
    }

    /// Creates a parser that refuses records of more than `record_cap` bytes.
    #[cfg(test)]
    fn capped(record_cap: usize) -> Self {
        Self {
            record_cap,
            ..Self::new(None)
        }
    }

    /// Parses all of the bytes.
    fn take(&mut self, bytes: &[u8], page: &mut Page) -> Result<(), Refusal> {
        let (mut rest, mut at) = (Cow::Borrowed(bytes), 0);
        loop {
            if !self.again.is_empty() {
                let mut again = std::mem::take(&mut self.again);
                again.extend_from_slice(&rest[at..]);
                (rest, at) = (Cow::Owned(again), 0);
            }
            if at == rest.len() {
                return Ok(());
            }
            let read = self.step(&rest[at..], page)?;
            at += read;
            self.read += read as u64;
        }
    }

    /// Parses some of the bytes; returns their number.
    fn step(&mut self, bytes: &[u8], page: &mut Page) -> Result<usize, Refusal> {
        let Some(&byte) = bytes.first() else {
            return Ok(0);
        };
        match self.state {
            SplitState::Foreign => return self.foreign(bytes),
            SplitState::Name | SplitState::Inside(_) | SplitState::InElement => {
                return self.within(bytes, page);
            }
            SplitState::Broken { look_at } => return self.broken_element(bytes, look_at, page),
            SplitState::AfterElement { length } => {
                return Ok(self.after_element(byte, length, page));
            }
            SplitState::Tail {
                length,
                bracket,
                look_at,
            } => return Ok(self.tail(bytes, (length, bracket, look_at), page)),
            _ if byte.is_ascii_whitespace() => return Ok(1),
            _ => {}
        }
        // a value's first byte belongs to the value
        let mut read = 1;
        self.state = match (self.state, byte) {
            // the byte order mark that some servers send with UTF-8
            (SplitState::Start, 0xef | 0xbb | 0xbf) => SplitState::Start,
            (SplitState::Start, b'{') => SplitState::Member { first: true },
            (SplitState::Start, _) => {
                read = 0;
                SplitState::Foreign
            }
            (SplitState::Member { .. }, b'"') => {
                read = 0;
                SplitState::Name
            }
            (SplitState::Member { first: true } | SplitState::After, b'}') => SplitState::Done,
            (SplitState::Colon(member), b':') => SplitState::Before(member),
            // an excess separator separates nothing
            (SplitState::Before(Member::Audit), b'[') | (SplitState::Element, b',') => {
                SplitState::Element
            }
            (SplitState::Before(member), _) => {
                read = 0;
                SplitState::Inside(member)
            }
            (SplitState::After, b',') => SplitState::Member { first: false },
            (SplitState::Element, b']') => {
                read = 0;
                Self::at_bracket(0, 0)
            }
            (SplitState::Close, b']') => SplitState::After,
            (SplitState::Element, _) => {
                read = 0;
                SplitState::InElement
            }
            _ => return Err(self.broken(0)),
        };
        Ok(read)
    }

    /// Parses the bytes of a name or a value.
    fn within(&mut self, bytes: &[u8], page: &mut Page) -> Result<usize, Refusal> {
        let (read, ended) = match self.value.take(bytes) {
            Ok(taken) => taken,
            Err(Broken(_)) if matches!(self.state, SplitState::InElement) => {
                self.look_for_end();
                return Ok(0);
            }
            Err(Broken(at)) => return Err(self.broken(at)),
        };
        if matches!(self.state, SplitState::InElement) {
            let room = self.record_cap.saturating_sub(self.kept.len());
            if read > room {
                // its quotes may not be paired, so that it seems to continue
                self.kept.extend_from_slice(&bytes[..room]);
                self.split_off(Extent::Part, page)
                    .ok_or_else(|| self.too_large())?;
                return Ok(room);
            }
        }
        if !matches!(self.state, SplitState::Inside(Member::Other)) {
            if self.kept.len() + read > self.record_cap {
                return Err(self.too_large());
            }
            self.kept.extend_from_slice(&bytes[..read]);
        }
        if ended {
            let is_odd = std::mem::take(&mut self.value).is_odd;
            if is_odd && matches!(self.state, SplitState::InElement) {
                self.look_for_end();
            } else if matches!(self.state, SplitState::InElement) {
                let length = self.kept.len();
                self.state = SplitState::AfterElement { length };
            } else {
                self.ended(page)?;
                self.kept.clear();
            }
        }
        Ok(read)
    }

    fn too_large(&self) -> Refusal {
        failed(
            FailureKind::Data,
            format!(
                "the answer holds a record of more than {} bytes, record {} of it",
                self.record_cap,
                self.records + 1
            ),
        )
    }

    /// Checks the byte after an element, which shows whether the element is complete.
    fn after_element(&mut self, byte: u8, length: usize, page: &mut Page) -> usize {
        let behind = self.kept.get(length..).unwrap_or_default();
        let has_comma = behind.contains(&b',');
        if byte.is_ascii_whitespace() || (byte == b',' && !has_comma) {
            self.kept.push(byte);
            return 1;
        }
        let element = self.kept.get(..length).unwrap_or_default();
        // an element that contains an object may contain the next record, if its quotes aren't paired
        let holds_object = element.get(1..).is_some_and(|rest| rest.contains(&b'{'));
        // a text may be the name of another member, so that the object hasn't ended although its braces are paired
        let may_follow = if has_comma {
            byte != b'"'
        } else {
            matches!(byte, b']' | b'{')
        };
        let is_complete = may_follow && (!holds_object || is_json(element));
        if !is_complete {
            self.look_for_end();
            return 0;
        }
        if byte == b']' && !has_comma {
            self.state = Self::at_bracket(length, self.kept.len());
            return 0;
        }
        self.emit(length, page);
        self.kept.clear();
        self.state = SplitState::Element;
        0
    }

    fn at_bracket(length: usize, bracket: usize) -> SplitState {
        SplitState::Tail {
            length,
            bracket,
            look_at: bracket + LOOK_AHEAD,
        }
    }

    /// Collects bytes after a bracket until they show whether it ends `audit`, independent of how they arrive.
    fn tail(
        &mut self,
        bytes: &[u8],
        (length, bracket, look_at): (usize, usize, usize),
        page: &mut Page,
    ) -> usize {
        let wanted = look_at.saturating_sub(self.kept.len());
        let read = wanted.min(bytes.len());
        self.kept.extend_from_slice(&bytes[..read]);
        if read == wanted {
            let tail = self.kept.get(bracket..).unwrap_or_default();
            if !may_close(tail, Extent::Part) {
                self.look_for_end();
            } else if tail.len() >= TAIL {
                self.close(length, page);
            } else {
                self.state = SplitState::Tail {
                    length,
                    bracket,
                    look_at: bracket + 2 * tail.len(),
                };
            }
        }
        read
    }

    /// Handles the end of `audit`: the kept bytes are an element of `length` bytes and a bracket.
    fn close(&mut self, length: usize, page: &mut Page) {
        if length > 0 {
            self.emit(length, page);
        }
        self.read_again_from(length);
        self.state = SplitState::Close;
    }

    /// Returns the kept bytes from `at` on, to be parsed again.
    fn read_again_from(&mut self, at: usize) {
        self.again = self.kept.split_off(at);
        self.kept.clear();
        self.value = SkippedValue::default();
        self.read = self.read.saturating_sub(self.again.len() as u64);
    }

    /// Handles an element that isn't JSON at the start of the kept bytes.
    fn look_for_end(&mut self) {
        self.value = SkippedValue::default();
        let look_at = self.kept.len() + LOOK_AHEAD;
        self.state = SplitState::Broken { look_at };
    }

    /// Collects bytes of an element that isn't JSON until its end is known, independent of how they arrive.
    fn broken_element(
        &mut self,
        bytes: &[u8],
        look_at: usize,
        page: &mut Page,
    ) -> Result<usize, Refusal> {
        let wanted = look_at.min(self.record_cap).saturating_sub(self.kept.len());
        let read = wanted.min(bytes.len());
        self.kept.extend_from_slice(&bytes[..read]);
        if read == wanted && self.split_off(Extent::Part, page).is_none() {
            if self.kept.len() >= self.record_cap {
                return Err(self.too_large());
            }
            self.state = SplitState::Broken {
                look_at: look_at.saturating_mul(2),
            };
        }
        Ok(read)
    }

    /// Emits the element at the start of the kept bytes, and returns the rest to be parsed again. Does nothing if its
    /// end is unknown.
    fn split_off(&mut self, extent: Extent, page: &mut Page) -> Option<()> {
        let end = first(&self.kept, extent, &|raw| read_record(raw).is_ok())?;
        self.emit(end, page);
        self.read_again_from(end);
        self.state = SplitState::Element;
        Some(())
    }

    /// Handles a complete name or value.
    fn ended(&mut self, page: &mut Page) -> Result<(), Refusal> {
        self.state = match self.state {
            SplitState::Name => {
                // an invalid name counts as unknown
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
                SplitState::Colon(member)
            }
            SplitState::Inside(member) => {
                match member {
                    Member::Audit => self.lone(page)?,
                    Member::Message => {
                        let text = String::from_utf8_lossy(&self.kept);
                        let message = serde_json::from_str::<String>(&text);
                        let message = message.unwrap_or_else(|_| text.into_owned());
                        let is_nothing = matches!(message.as_str(), "" | "null" | "false");
                        self.message = (!is_nothing).then(|| shortened(&message).into_owned());
                    }
                    Member::LimitExceeded => {
                        self.limit_exceeded = self.kept == b"true" || self.kept == b"\"true\"";
                    }
                    Member::Other => {}
                }
                SplitState::After
            }
            other => other,
        };
        Ok(())
    }

    /// Handles an `audit` that isn't a list: one record, or none.
    fn lone(&mut self, page: &mut Page) -> Result<(), Refusal> {
        if self.kept.starts_with(b"{") {
            self.emit(self.kept.len(), page);
        } else if self.kept != b"null" && self.kept != b"\"\"" {
            let text = String::from_utf8_lossy(&self.kept);
            return Err(failed(
                FailureKind::Data,
                format!(
                    "the answer's `audit` is neither a list nor a record: {}",
                    quoted(&text)
                ),
            ));
        }
        Ok(())
    }

    /// Emits this number of the kept bytes as a record.
    fn emit(&mut self, length: usize, page: &mut Page) {
        let from = page.text.len();
        let bytes = self.kept.get(..length).unwrap_or_default();
        if let Ok(text) = std::str::from_utf8(bytes) {
            page.text.push_str(text);
        } else {
            page.text.push_str(&legible(bytes).0);
            page.foreign.insert(page.records.len(), bytes.to_vec());
        }
        page.records.push(from..page.text.len());
        self.records += 1;
    }

    /// Collects the beginning of an answer that isn't a JSON object, then fails.
    fn foreign(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let read = bytes.len().min(BEGINNING - self.kept.len());
        self.kept.extend_from_slice(&bytes[..read]);
        if self.kept.len() == BEGINNING {
            return Err(self.not_an_object());
        }
        Ok(read)
    }

    fn not_an_object(&self) -> Refusal {
        // a bare list may contain records, which may contain secrets
        let shown = if self.kept.starts_with(b"[") {
            b"["
        } else {
            self.kept.as_slice()
        };
        let beginning = quoted(&String::from_utf8_lossy(shown));
        failed(
            FailureKind::Data,
            format!("the answer is no JSON object, it begins with {beginning}"),
        )
    }

    /// Returns the error for an answer that isn't JSON at the position `at`.
    fn broken(&self, at: usize) -> Refusal {
        let place = self.read + at as u64 + 1;
        // only the position: records may contain secrets
        failed(
            FailureKind::Data,
            format!("the answer is not the JSON that was expected, at byte {place}"),
        )
    }
}

impl Splitter for AuditSplitter {
    fn feed(&mut self, bytes: &[u8]) -> Result<Page, Refusal> {
        let mut page = Page::default();
        self.take(bytes, &mut page)?;
        Ok(page)
    }

    fn end(&mut self, is_whole: bool) -> Result<Page, Refusal> {
        self.finish(Page::default(), is_whole)
    }
}

impl AuditSplitter {
    /// Ends the body: adds its last records to the page.
    fn finish(&mut self, mut page: Page, is_whole: bool) -> Result<Page, Refusal> {
        let extent = if is_whole {
            Extent::Sent
        } else {
            Extent::Received
        };
        // the end of the first of several apparent elements may be known by now
        loop {
            match self.state {
                SplitState::InElement
                | SplitState::AfterElement { .. }
                | SplitState::Broken { .. } => {
                    if self.split_off(extent, &mut page).is_none() {
                        break;
                    }
                }
                SplitState::Tail {
                    length, bracket, ..
                } => {
                    let tail = self.kept.get(bracket..).unwrap_or_default();
                    // the parser of the rest reports a truncated rest
                    if may_close(tail, Extent::Part) {
                        self.close(length, &mut page);
                    } else {
                        self.look_for_end();
                    }
                }
                _ => break,
            }
            self.take(&[], &mut page)?;
        }
        match self.state {
            SplitState::Done => {}
            SplitState::Foreign => return Err(self.not_an_object()),
            // the text after the end of `audit` isn't JSON
            SplitState::Broken { .. } if begins_with_last(&self.kept) => {
                self.read = self.read.saturating_sub(self.kept.len() as u64);
                return Err(self.broken(0));
            }
            _ => {
                let read = self.read;
                return Err(Refusal::TooSlow(format!(
                    "the answer ended in the middle, after {read} bytes"
                )));
            }
        }
        if let (false, Some(message)) = (self.audit, &self.message) {
            return Err(failed(
                FailureKind::Data,
                format!("the answer has no `audit`, but a message: {message}"),
            ));
        }
        // some servers return an object without members for an empty list; other members mean that it isn't a list
        if let (false, Some(other)) = (self.audit, &self.other) {
            return Err(failed(
                FailureKind::Data,
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
        let is_round = ROUND.contains(&rows).then(|| {
            format!(
                "the provider's answer has exactly {rows} records, as if it were cut off there; \
                 if days like this one have as many, set `max_rows: {rows}` and {SMALLER}"
            )
        });
        page.remark = is_round.or(page.remark);
        Ok(page)
    }
}

/// The advice about truncated answers.
const SMALLER: &str = "set `timezone`, so that fewer days are asked for at once, or split the job by `action` and \
     `result_code` (records of other types than the four actions may then be missing: compare the counts)";

#[cfg(test)]
mod tests;
