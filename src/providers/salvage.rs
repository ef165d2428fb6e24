//! Splitting a list of records by its structure, for answers that aren't strict JSON.
//!
//! One record that isn't JSON must cost that record and nothing else. So the list is split where its elements end, and
//! whatever lies between two ends is a record, whether it can be read or not. What surrounds the list must still be
//! strict JSON: paging fields are read exactly or not at all. Where the list's end can't be found (a body that was cut
//! short, quotes that don't pair up to the end) there is no page.
//!
//! Elements that are JSON are taken as they are. The end of any other element is found by a scanner that expects what
//! broken JSON writers produce: quotes that aren't escaped, apostrophes for quotes, comments, brackets that don't match.
//! An element that seems to run on into the next record ends before it: where no object may stand (in a text, or after
//! a comma inside an object) an object that reads as a record is the next record.

use std::ops::Range;

use serde::de::IgnoredAny;

/// Whether a text reads as a record of the provider.
pub(super) type IsRecord<'a> = &'a dyn Fn(&str) -> bool;

/// An answer and its records, told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Salvaged {
    /// The answer with an empty list in the place of its records. Strict JSON.
    pub(super) envelope: String,
    /// Byte ranges of the records in the answer.
    pub(super) records: Vec<Range<usize>>,
}

/// Splits the list at `path`, a member of an object within objects. Returns nothing if the list or its end can't be
/// found, or if the rest of the answer isn't strict JSON.
pub(super) fn salvage(text: &str, path: &[&str], is_record: IsRecord<'_>) -> Option<Salvaged> {
    let list = DamagedList::new(text.as_bytes(), ListEnd::Bracket, is_record);
    let from = list.find(0, path)?;
    let (records, to) = list.elements(from)?;
    let envelope = format!("{}]{}", text.get(..from)?, text.get(to..)?);
    is_json(envelope.as_bytes()).then_some(Salvaged { envelope, records })
}

/// Splits a text that is a list and nothing else.
pub(super) fn array(text: &str, is_record: IsRecord<'_>) -> Option<Vec<Range<usize>>> {
    let list = DamagedList::new(text.as_bytes(), ListEnd::Bracket, is_record);
    let (records, to) = list.elements(list.expect(0, b'[')?)?;
    list.significant(to).byte.is_none().then_some(records)
}

/// Splits a text of records that follow one another, usually one on each line.
pub(super) fn lines(text: &str, is_record: IsRecord<'_>) -> Option<Vec<Range<usize>>> {
    let list = DamagedList::new(text.as_bytes(), ListEnd::Text, is_record);
    Some(list.elements(0)?.0)
}

/// Where the element ends that `bytes`, a part of a list, begin with. Returns nothing if they don't show that.
pub(super) fn first(bytes: &[u8], is_record: IsRecord<'_>) -> Option<usize> {
    DamagedList::new(bytes, ListEnd::Bracket, is_record).element(0)
}

/// Whether the bytes are one strict JSON value.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// What ends a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListEnd {
    Bracket,
    /// The end of the text. Elements may be separated by line ends alone.
    Text,
}

/// The next byte that isn't whitespace.
#[derive(Debug, Clone, Copy)]
struct Significant {
    at: usize,
    byte: Option<u8>,
    /// Whether there is a line end before it.
    after_line: bool,
}

/// How a quoted text ends.
#[derive(Debug, Clone, Copy)]
enum QuotedText {
    /// With a quote; the position behind it.
    Closed(usize),
    /// Not at all: the next record begins after the separator at this position.
    Boundary(usize),
    /// Not within the bytes.
    Open,
}

#[derive(Clone, Copy)]
struct DamagedList<'a> {
    bytes: &'a [u8],
    end: ListEnd,
    is_record: IsRecord<'a>,
}

impl<'a> DamagedList<'a> {
    fn new(bytes: &'a [u8], end: ListEnd, is_record: IsRecord<'a>) -> Self {
        Self {
            bytes,
            end,
            is_record,
        }
    }

    /// The position behind the opening bracket of the list at `path`. Everything before it is strict JSON.
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

    /// The elements from `from` on, and the position behind the list.
    fn elements(&self, from: usize) -> Option<(Vec<Range<usize>>, usize)> {
        let mut records = Vec::new();
        let mut at = from;
        loop {
            let next = self.significant(at);
            match next.byte {
                // a separator too many separates nothing
                Some(b',') => at = next.at + 1,
                Some(b']') if self.end == ListEnd::Bracket => return Some((records, next.at + 1)),
                None => return (self.end == ListEnd::Text).then_some((records, next.at)),
                Some(_) => {
                    at = self.element(next.at)?;
                    records.push(next.at..at);
                }
            }
        }
    }

    /// The end of the element at `from`.
    fn element(&self, from: usize) -> Option<usize> {
        self.json(from)
            .filter(|end| self.is_delimited(*end))
            .or_else(|| self.broken(from))
    }

    /// The end of the strict JSON value at `from`.
    fn json(&self, from: usize) -> Option<usize> {
        let rest = self.bytes.get(from..)?;
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        Some(from + values.byte_offset())
    }

    /// Whether an element may end at `at`. A missing comma is no reason to lose the record after it.
    fn is_delimited(&self, at: usize) -> bool {
        let next = self.significant(at);
        match (next.byte, self.end) {
            (Some(b',' | b'{'), _) | (Some(b']'), ListEnd::Bracket) | (None, ListEnd::Text) => true,
            (_, ListEnd::Text) => next.after_line,
            _ => false,
        }
    }

    /// The end of an element that isn't JSON.
    fn broken(&self, from: usize) -> Option<usize> {
        // what closes the brackets that are open
        let mut open: Vec<u8> = Vec::new();
        // the last byte outside of texts that isn't whitespace
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
                    QuotedText::Boundary(at) => return Some(self.trimmed(from, at)),
                    QuotedText::Open => return None,
                },
                b'/' => {
                    if let Some(end) = self.comment(at) {
                        at = end;
                        continue;
                    }
                }
                b'{' if open.is_empty() && at > from => return Some(self.trimmed(from, at)),
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                b'}' => {
                    if let Some(opened) = open.iter().rposition(|closer| *closer == b'}') {
                        open.truncate(opened);
                    }
                }
                b']' => match open.iter().rposition(|closer| *closer == b']') {
                    Some(opened) => open.truncate(opened),
                    // of all lists, only the one of records can be open
                    None if self.end == ListEnd::Bracket => return Some(self.trimmed(from, at)),
                    None => {}
                },
                _ if self.separates(byte)
                    && (open.is_empty() || open.last() == Some(&b'}') && self.is_boundary(at)) =>
                {
                    return Some(self.trimmed(from, at));
                }
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
            at += 1;
        }
        (self.end == ListEnd::Text && open.is_empty()).then(|| self.trimmed(from, at))
    }

    /// The end of the text whose opening quote is at `from`. A quote closes it only if what follows can follow a text: a
    /// quote inside that should have been escaped is followed by something else.
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

    /// The end of the comment at `at`, if there is one.
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

    /// Whether a record begins after the separator at `at`.
    fn is_boundary(&self, at: usize) -> bool {
        let next = self.significant(at + 1);
        if next.byte != Some(b'{') {
            return false;
        }
        let end = self.json(next.at).filter(|end| self.is_delimited(*end));
        let record = end.and_then(|end| self.bytes.get(next.at..end));
        record.is_some_and(|record| (self.is_record)(&String::from_utf8_lossy(record)))
    }

    /// The position behind `byte`, if that is what comes next.
    fn expect(&self, at: usize, byte: u8) -> Option<usize> {
        let next = self.significant(at);
        (next.byte == Some(byte)).then_some(next.at + 1)
    }

    /// Where what begins at `from` and reaches to `to` ends without the whitespace at its end.
    fn trimmed(&self, from: usize, to: usize) -> usize {
        let bytes = self.bytes.get(from..to).unwrap_or_default();
        from + bytes.trim_ascii_end().len()
    }

    /// Byte order marks count as whitespace: files that were put together have one at the beginning of each.
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
