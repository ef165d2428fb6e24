//! Finds where a JSON value ends, in bytes that arrive in pieces.

/// What a record may grow to: many times over what any real one is.
pub(super) const RECORD_CAP: usize = 64 << 20;
/// The deepest nesting that is followed: a byte is held for each. A record has no room for more, and whether it can be
/// read is a question of its own.
const DEEPEST: usize = RECORD_CAP;

/// A value that is being passed over: where it stands, not what it says. Brackets must match and strings must end;
/// whether all else is JSON, whoever reads the value finds out.
#[derive(Debug, Default)]
pub(super) struct SkippedValue {
    begun: Option<Shape>,
    /// What closes the brackets that are open.
    closers: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// Whether it has apostrophes or slashes outside of strings, which JSON hasn't: they may hide brackets.
    pub(super) is_odd: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Ends with a byte of its own.
    Closed,
    /// A number or a word: ends before the byte that can't belong to it.
    Bare,
}

/// At this many bytes from where the value was taken up, it is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub(super) usize);

impl SkippedValue {
    /// How many of these bytes belong to the value, and whether it ends with them. The first byte of all is its own.
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

/// Whether a number or a word (`true`, `null`, also `NaN`) may hold this byte.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}
