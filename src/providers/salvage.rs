//! Splitting a list of records by its structure, for answers that aren't strict JSON.
//!
//! A record that isn't JSON must not affect others. Therefore the list is split at the ends of its elements, and the
//! text between two ends is a record, valid or not. The text around the list must still be
//! strict JSON: paging fields are parsed exactly or not at all. A bracket ends the list only if the text after it
//! completes the answer; any other bracket belongs to the damage. If the list's end can't be found (a truncated body),
//! there is no page.
//!
//! Elements that are JSON are kept verbatim. The end of any other element is found by a scanner that expects the errors
//! of broken JSON writers: unescaped quotes, apostrophes as quotes, comments, and brackets that don't match. An element
//! that seems to continue into the next record ends before it: where no object is possible (in a text, or after a comma
//! inside an object), an object that looks like a record is the next record.

use std::io::Read as _;
use std::ops::Range;

use serde::de::IgnoredAny;

/// A function that returns whether a text looks like a record of the provider.
pub(super) type IsRecord<'a> = &'a dyn Fn(&str) -> bool;

/// An answer, split into its envelope and its records.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Salvaged {
    /// The answer with an empty list instead of its records, as strict JSON.
    pub(super) envelope: String,
    /// Byte ranges of the records in the answer.
    pub(super) records: Vec<Range<usize>>,
}

/// How much of an answer was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The beginning: more may follow.
    Part,
    /// Everything that was received, which may be truncated.
    Received,
    /// Everything that was sent: the answer declared its length or its end.
    Sent,
}

/// Splits the list at `path`, a member of nested objects. Returns `None` if the list or its end can't be found, or if
/// the rest of the answer isn't strict JSON.
pub(super) fn salvage(
    text: &str,
    path: &[&str],
    extent: Extent,
    is_record: IsRecord<'_>,
) -> Option<Salvaged> {
    let bytes = text.as_bytes();
    let from = DamagedList::new(bytes, ListEnd::Text, extent, is_record).find(0, path)?;
    let list = DamagedList::new(
        bytes,
        ListEnd::Bracket(bytes.get(..from)?),
        extent,
        is_record,
    );
    let (records, to) = list.elements(from)?;
    let envelope = format!("{}]{}", text.get(..from)?, text.get(to..)?);
    is_json(envelope.as_bytes()).then_some(Salvaged { envelope, records })
}

/// Splits a text that is a bare list.
pub(super) fn array(
    text: &str,
    extent: Extent,
    is_record: IsRecord<'_>,
) -> Option<Vec<Range<usize>>> {
    let list = DamagedList::new(text.as_bytes(), ListEnd::Bracket(b"["), extent, is_record);
    let (records, to) = list.elements(list.expect(0, b'[')?)?;
    list.significant(to).byte.is_none().then_some(records)
}

/// Splits a text of consecutive records, usually one per line.
pub(super) fn lines(
    text: &str,
    extent: Extent,
    is_record: IsRecord<'_>,
) -> Option<Vec<Range<usize>>> {
    let list = DamagedList::new(text.as_bytes(), ListEnd::Text, extent, is_record);
    Some(list.elements(0)?.0)
}

/// The start of an answer whose records are a member of an object.
const MEMBER: &[u8] = br#"{"":["#;

/// Returns the end of the element at the start of `bytes`, a part of a list that is a member of an object; `None` if it
/// is still unknown.
pub(super) fn first(bytes: &[u8], extent: Extent, is_record: IsRecord<'_>) -> Option<usize> {
    DamagedList::new(bytes, ListEnd::Bracket(MEMBER), extent, is_record).element(0)
}

/// Returns whether `bytes` begin with an element that is JSON, or none, and a bracket.
pub(super) fn begins_with_last(bytes: &[u8]) -> bool {
    let list = DamagedList::new(bytes, ListEnd::Text, Extent::Part, &|_| false);
    let end = list.json(0).unwrap_or(0);
    list.significant(end).byte == Some(b']')
}

/// Returns whether the bracket at the start of `bytes` may end a list that is a member of an object, by the text after
/// it.
pub(super) fn may_close(bytes: &[u8], extent: Extent) -> bool {
    let list = DamagedList::new(bytes, ListEnd::Bracket(MEMBER), extent, &|_| false);
    list.closes(0) != Some(false)
}

/// Returns whether the bytes are one strict JSON value.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// The end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListEnd<'a> {
    /// A bracket after which the answer continues; contains the answer's start up to the list's opening bracket.
    Bracket(&'a [u8]),
    /// The end of the text. Elements may only be separated by line ends.
    Text,
}

/// The next byte that isn't white space.
#[derive(Debug, Clone, Copy)]
struct Significant {
    at: usize,
    byte: Option<u8>,
    /// Whether there is a line end before it.
    after_line: bool,
}

/// The end of a quoted text.
#[derive(Debug, Clone, Copy)]
enum QuotedText {
    /// A quote, with the position after it.
    Closed(usize),
    /// None: the next record begins after the separator at this position.
    Boundary(usize),
    /// None within the bytes.
    Open,
}

/// The reason why an element seems to have no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unended {
    /// A text in it isn't closed.
    Text,
    /// A list in it isn't closed when the next record begins, which may be inside the list.
    List,
    /// Its brackets aren't closed.
    Element,
}

#[derive(Clone, Copy)]
struct DamagedList<'a> {
    bytes: &'a [u8],
    end: ListEnd<'a>,
    extent: Extent,
    is_record: IsRecord<'a>,
}

impl<'a> DamagedList<'a> {
    fn new(bytes: &'a [u8], end: ListEnd<'a>, extent: Extent, is_record: IsRecord<'a>) -> Self {
        Self {
            bytes,
            end,
            extent,
            is_record,
        }
    }

    /// Returns the position after the opening bracket of the list at `path`. Everything before it is strict JSON.
    fn find(&self, from: usize, path: &[&str]) -> Option<usize> {
        let (wanted, path) = path.split_first()?;
        let mut at = self.expect(from, b'{')?;
        loop {
            let name = self.significant(at).at;
            let name_end = self.json(name)?;
            let member: String = serde_json::from_slice(self.bytes.get(name..name_end)?).ok()?;
            let value = self.expect(name_end, b':')?;
            if member == *wanted {
                return if path.is_empty() {
                    self.expect(value, b'[')
                } else {
                    self.find(value, path)
                };
            }
            let value = self.significant(value).at;
            at = self.expect(self.json(value)?, b',')?;
        }
    }

    /// Returns the elements from `from` on, and the position after the list.
    fn elements(&self, from: usize) -> Option<(Vec<Range<usize>>, usize)> {
        let mut records = Vec::new();
        let mut at = from;
        loop {
            let next = self.significant(at);
            match next.byte {
                // an excess separator separates nothing
                Some(b',') => at = next.at + 1,
                Some(b']') if self.closes(next.at) == Some(true) => {
                    return Some((records, next.at + 1));
                }
                None => return (self.end == ListEnd::Text).then_some((records, next.at)),
                Some(_) => {
                    at = self.element(next.at)?;
                    records.push(next.at..at);
                }
            }
        }
    }

    /// Returns the end of the element at `from`.
    fn element(&self, from: usize) -> Option<usize> {
        let whole = self.json(from).filter(|end| self.is_delimited(*end));
        if whole.is_some() {
            return whole;
        }
        let unended = match self.broken(from, false) {
            Ok(end) => return Some(end),
            Err(unended) => unended,
        };
        if self.extent == Extent::Part && unended != Unended::List {
            return None;
        }
        self.broken(from, true)
            .ok()
            .or_else(|| self.last(from, unended))
    }

    /// Returns the end of the strict JSON value at `from`.
    fn json(&self, from: usize) -> Option<usize> {
        let rest = self.bytes.get(from..)?;
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        Some(from + values.byte_offset())
    }

    /// Returns whether an element may end at `at`. A missing comma must not lose the next record.
    fn is_delimited(&self, at: usize) -> bool {
        let next = self.significant(at);
        match (next.byte, self.end) {
            (Some(b','), _) => !self.is_member(next.at + 1),
            (Some(b'{'), _) | (None, ListEnd::Text) => true,
            (Some(b']'), ListEnd::Bracket(_)) => self.closes(next.at) == Some(true),
            (_, ListEnd::Text) => next.after_line,
            _ => false,
        }
    }

    /// Returns whether a member follows, so that an object hasn't ended although its braces are paired.
    fn is_member(&self, at: usize) -> bool {
        let name = self.significant(at);
        let end = (name.byte == Some(b'"')).then(|| self.json(name.at));
        (end.flatten()).is_some_and(|end| self.significant(end).byte == Some(b':'))
    }

    /// Returns whether the bracket at `at` ends the list because the text after it completes the answer; `None` if that
    /// text is incomplete.
    fn closes(&self, at: usize) -> Option<bool> {
        let ListEnd::Bracket(before) = self.end else {
            return Some(false);
        };
        let rest = self.bytes.get(at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_reader(before.chain(rest)).into_iter();
        let is_part = self.extent == Extent::Part;
        match values.next()? {
            Ok(IgnoredAny) => {
                let end = values.byte_offset().saturating_sub(before.len());
                match self.significant(at + end).byte {
                    None => (!is_part).then_some(true),
                    // a second answer follows: both together are invalid, instead of one answer with damage inside
                    Some(b'{' | b'[') => Some(true),
                    Some(_) => Some(false),
                }
            }
            Err(error) if is_part && error.is_eof() => None,
            Err(_) => Some(false),
        }
    }

    /// Returns the end of an element that isn't JSON. The next record may begin inside its lists only if `in_lists`, as
    /// they may contain texts that look like a record.
    fn broken(&self, from: usize, in_lists: bool) -> Result<usize, Unended> {
        // the closing brackets of the open ones
        let mut open: Vec<u8> = Vec::new();
        // the number of open brackets, the last of a list, where a text that looks like a record began
        let mut passed: Option<usize> = None;
        // the last byte outside of texts that isn't white space
        let mut before = b',';
        let mut at = from;
        while let Some(&byte) = self.bytes.get(at) {
            let begins_value = matches!(before, b',' | b':' | b'{' | b'[');
            match byte {
                b'"' | b'\'' if byte == b'"' || begins_value => match self.text(at) {
                    QuotedText::Closed(end) => {
                        (at, before) = (end, byte);
                        continue;
                    }
                    QuotedText::Boundary(_) if !in_lists && open.contains(&b']') => {
                        return Err(Unended::List);
                    }
                    QuotedText::Boundary(at) => return Ok(self.trimmed(from, at)),
                    QuotedText::Open => return Err(Unended::Text),
                },
                b'/' => {
                    if let Some(end) = self.comment(at) {
                        at = end;
                        continue;
                    }
                }
                b'{' if open.is_empty() && at > from => return Ok(self.trimmed(from, at)),
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                b'}' => {
                    if let Some(opened) = open.iter().rposition(|closer| *closer == b'}') {
                        if passed.is_some_and(|passed| opened < passed) {
                            return Err(Unended::List);
                        }
                        open.truncate(opened);
                    }
                }
                b']' => match open.iter().rposition(|closer| *closer == b']') {
                    Some(opened) => {
                        passed = passed.filter(|passed| opened >= *passed);
                        open.truncate(opened);
                    }
                    // only the list of records can be open
                    None => match self.closes(at) {
                        Some(true) => return Ok(self.trimmed(from, at)),
                        Some(false) => {}
                        None => return Err(Unended::Element),
                    },
                },
                _ if self.separates(byte)
                    && (open.is_empty() && !self.is_member(at + 1)
                        || (open.last() == Some(&b'}') || in_lists) && self.is_boundary(at)) =>
                {
                    if !in_lists && open.contains(&b']') {
                        return Err(Unended::List);
                    }
                    return Ok(self.trimmed(from, at));
                }
                _ if self.separates(byte) && passed.is_none() && self.is_boundary(at) => {
                    passed = Some(open.len());
                }
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
            at += 1;
        }
        if self.end == ListEnd::Text && open.is_empty() {
            return Ok(self.trimmed(from, at));
        }
        Err(Unended::Element)
    }

    /// Returns the end of the last element, whose quotes or brackets aren't paired: the position at which the rest
    /// completes the answer. If the answer may be truncated inside that element, there is none.
    fn last(&self, from: usize, unended: Unended) -> Option<usize> {
        if self.extent != Extent::Sent || self.may_be_cut(from, unended) {
            return None;
        }
        if self.end == ListEnd::Text {
            let is_line = self.bytes.ends_with(b"\n");
            return is_line.then(|| self.trimmed(from, self.bytes.len()));
        }
        let rest = self.bytes.get(from..)?.iter().enumerate();
        let mut brackets = rest.filter(|(_, byte)| **byte == b']');
        let (length, _) = brackets.find(|(at, _)| self.closes(from + at) == Some(true))?;
        Some(self.trimmed(from, from + length))
    }

    /// Returns whether the text ends with a record that is complete or only lacks its end, as in a truncated page.
    fn may_be_cut(&self, from: usize, unended: Unended) -> bool {
        let mut before = b'[';
        let bytes = self.bytes.iter().enumerate().skip(from);
        let mut begins = bytes.filter(|(at, byte)| {
            let begins = **byte == b'{' && (*at == from || before == b',');
            if !byte.is_ascii_whitespace() {
                before = **byte;
            }
            begins
        });
        begins.any(|(at, _)| (at > from || unended != Unended::Text) && self.is_beginning(at))
    }

    /// Returns whether the elements from `from` on are strict JSON as far as they are complete.
    fn is_beginning(&self, from: usize) -> bool {
        let rest = self.bytes.get(from..).unwrap_or_default();
        let list = b"[".as_slice().chain(rest);
        serde_json::from_reader::<_, IgnoredAny>(list).map_or_else(|error| error.is_eof(), |_| true)
    }

    /// Returns the end of the text whose opening quote is at `from`. A quote closes it only if the next character can
    /// follow a text, which isn't so for an unescaped quote inside.
    fn text(&self, from: usize) -> QuotedText {
        let quote = self.bytes.get(from);
        let mut at = from + 1;
        while let Some(byte) = self.bytes.get(at) {
            if *byte == b'\\' {
                at += 1;
            } else if Some(byte) == quote && self.may_follow_text(at + 1) {
                return QuotedText::Closed(at + 1);
            } else if self.separates(*byte) && self.is_boundary(at) {
                return QuotedText::Boundary(at);
            }
            at += 1;
        }
        QuotedText::Open
    }

    fn may_follow_text(&self, at: usize) -> bool {
        let next = self.significant(at);
        match next.byte {
            Some(b',' | b':' | b'}' | b']') => true,
            Some(b'/') => self.comment(next.at).is_some(),
            _ => false,
        }
    }

    /// Returns the end of the comment at `at`, if there is one.
    fn comment(&self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..)?;
        if rest.starts_with(b"//") {
            let line = rest.iter().position(|byte| *byte == b'\n');
            return Some(at + line?);
        }
        let inside = rest.strip_prefix(b"/*")?;
        let length = inside.windows(2).position(|pair| pair == b"*/")?;
        Some(at + 2 + length + 2)
    }

    fn separates(&self, byte: u8) -> bool {
        byte == b',' || byte == b'\n' && self.end == ListEnd::Text
    }

    /// Returns whether a record begins after the separator at `at`.
    fn is_boundary(&self, at: usize) -> bool {
        let next = self.significant(at + 1);
        if next.byte != Some(b'{') {
            return false;
        }
        let end = self.json(next.at).filter(|end| self.is_delimited(*end));
        let record = end.and_then(|end| self.bytes.get(next.at..end));
        record.is_some_and(|record| (self.is_record)(&String::from_utf8_lossy(record)))
    }

    /// Returns the position after `byte`, if it is the next one.
    fn expect(&self, at: usize, byte: u8) -> Option<usize> {
        let next = self.significant(at);
        (next.byte == Some(byte)).then_some(next.at + 1)
    }

    /// Returns the end of the text from `from` to `to` without trailing white space.
    fn trimmed(&self, from: usize, to: usize) -> usize {
        let bytes = self.bytes.get(from..to).unwrap_or_default();
        from + bytes.trim_ascii_end().len()
    }

    /// Byte order marks count as white space, as concatenated files have one at the start of each.
    fn significant(&self, from: usize) -> Significant {
        let mut at = from;
        let mut after_line = false;
        loop {
            match self.bytes.get(at) {
                Some(b'\n') => after_line = true,
                Some(b' ' | b'\t' | b'\r') => {}
                Some(0xef) if self.bytes.get(at..at + 3) == Some(b"\xef\xbb\xbf") => at += 2,
                byte => {
                    return Significant {
                        at,
                        byte: byte.copied(),
                        after_line,
                    };
                }
            }
            at += 1;
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
