//! A scanner for the end of a JSON value in bytes that arrive in pieces.

/// The maximum size of a record, far above that of real ones.
pub(super) const RECORD_CAP: usize = 64 << 20;
/// The maximum nesting depth, as a byte is held per level. A record has no room for more levels; whether it can be
/// parsed is checked separately.
const DEEPEST: usize = RECORD_CAP;

/// A value that is being scanned for its end. Brackets have to match and strings have to end; whether the value is JSON
/// is checked when it is parsed.
#[derive(Debug, Default)]
pub(super) struct SkippedValue {
    begun: Option<Shape>,
    /// The closing brackets of the open ones.
    closers: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// Whether it has apostrophes or slashes outside of strings, which aren't JSON and may hide brackets.
    pub(super) is_odd: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A value with a closing byte.
    Closed,
    /// A number or a word, which ends before the first byte that can't belong to it.
    Bare,
}

/// The value isn't JSON, at this number of bytes from the start of the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub(super) usize);

impl SkippedValue {
    /// Returns how many of these bytes belong to the value, and whether it ends with them. The very first byte belongs
    /// to it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), Broken> {
        let Some(&first) = bytes.first() else {
            return Ok((0, false));
        };
        let shape = match self.begun {
            Some(shape) => shape,
            None if matches!(first, b'{' | b'[' | b'"') => Shape::Closed,
            None if is_bare(first) => Shape::Bare,
            None => return Err(Broken(0)),
        };
        self.begun = Some(shape);
        match shape {
            Shape::Closed => self.take_closed(bytes),
            Shape::Bare => {
                let end = bytes.iter().position(|byte| !is_bare(*byte));
                Ok((end.unwrap_or(bytes.len()), end.is_some()))
            }
        }
    }

    fn take_closed(&mut self, bytes: &[u8]) -> Result<(usize, bool), Broken> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                let rest = bytes[at..].iter();
                let Some(more) = rest.copied().position(|byte| matches!(byte, b'"' | b'\\')) else {
                    return Ok((bytes.len(), false));
                };
                at += more;
                self.escaped = bytes.get(at) == Some(&b'\\');
                self.in_string = self.escaped;
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' => self.closers.push(b'}'),
                    b'[' => self.closers.push(b']'),
                    b'\'' | b'/' => self.is_odd = true,
                    b'}' | b']' if self.closers.pop() != Some(byte) => return Err(Broken(at)),
                    _ => {}
                }
                if self.closers.len() > DEEPEST {
                    return Err(Broken(at));
                }
            }
            at += 1;
            if self.closers.is_empty() && !self.in_string {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }
}

/// Returns whether a number or a word (`true`, `null`, also `NaN`) may contain this byte.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}
