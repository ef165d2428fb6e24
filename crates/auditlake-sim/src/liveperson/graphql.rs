//! A parser for the part of GraphQL that a client of the audit trail needs: one field with arguments and names.
//! Anything else (fragments, aliases, variables, directives, objects, block strings) is refused as a syntax error.

/// The only field of a query.
#[derive(Debug)]
pub(super) struct RootField {
    pub(super) name: String,
    pub(super) arguments: Vec<(String, Literal)>,
    /// The selected names.
    pub(super) selection: Vec<String>,
}

/// A literal value.
#[derive(Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Int(i32),
    Flag(bool),
    Word(String),
    List(Vec<Literal>),
    /// A float, null, or a number that is too large: valid for no argument.
    Other,
}

const DEPTH: usize = 20;

/// Parses a whole text. The error is the provider's message.
pub(super) fn parse(text: &str) -> Result<RootField, String> {
    let mut reader = Reader { text, at: 0 };
    if let Some(keyword) = reader.name() {
        if keyword != "query" {
            return Err(reader.unlike("a query"));
        }
        reader.name();
    }
    reader.expect('{')?;
    let mut field = RootField {
        name: reader.needed_name()?,
        arguments: Vec::new(),
        selection: Vec::new(),
    };
    if reader.takes('(') {
        loop {
            let name = reader.needed_name()?;
            reader.expect(':')?;
            field.arguments.push((name, reader.value(0)?));
            if reader.takes(')') {
                break;
            }
        }
    }
    if reader.takes('{') {
        loop {
            field.selection.push(reader.needed_name()?);
            if reader.takes('}') {
                break;
            }
        }
    }
    reader.expect('}')?;
    if reader.rest().is_empty() {
        Ok(field)
    } else {
        Err(reader.unlike("the end"))
    }
}

#[derive(Debug)]
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Returns the text after the next white space, commas and comments.
    fn rest(&mut self) -> &'a str {
        loop {
            let rest = &self.text[self.at..];
            let found = rest.trim_start_matches([' ', '\t', '\n', '\r', ',', '\u{feff}']);
            self.at += rest.len() - found.len();
            if !found.starts_with('#') {
                return found;
            }
            self.at += found.find(['\n', '\r']).unwrap_or(found.len());
        }
    }

    fn unlike(&self, wanted: &str) -> String {
        format!("Invalid Syntax : expected {wanted} at offset {}", self.at)
    }

    fn takes(&mut self, sign: char) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        if self.takes(sign) {
            return Ok(());
        }
        Err(self.unlike(&format!("'{sign}'")))
    }

    fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.at += end;
        Some(name)
    }

    fn needed_name(&mut self) -> Result<String, String> {
        self.name()
            .map(str::to_owned)
            .ok_or_else(|| self.unlike("a name"))
    }

    fn value(&mut self, depth: usize) -> Result<Literal, String> {
        if self.takes('"') {
            return self.string();
        }
        if self.takes('[') {
            let mut items = Vec::new();
            while !self.takes(']') {
                if depth == DEPTH {
                    return Err(self.unlike("fewer lists"));
                }
                items.push(self.value(depth + 1)?);
            }
            return Ok(Literal::List(items));
        }
        match self.name() {
            Some("true") => Ok(Literal::Flag(true)),
            Some("false") => Ok(Literal::Flag(false)),
            Some("null") => Ok(Literal::Other),
            Some(word) => Ok(Literal::Word(word.to_owned())),
            None => self.number(),
        }
    }

    /// Parses the text after a quotation mark, up to the next one that isn't escaped.
    fn string(&mut self) -> Result<Literal, String> {
        let mut chars = self.text[self.at..].char_indices();
        let mut text = String::new();
        let mut next = || chars.next().map(|(_, c)| c);
        loop {
            let c = match next() {
                Some('"') => break,
                Some('\\') => match next() {
                    Some(c @ ('"' | '\\' | '/')) => Some(c),
                    Some('b') => Some('\u{8}'),
                    Some('f') => Some('\u{c}'),
                    Some('n') => Some('\n'),
                    Some('r') => Some('\r'),
                    Some('t') => Some('\t'),
                    Some('u') => {
                        let code: String = std::iter::from_fn(&mut next).take(4).collect();
                        let hex = code.len() == 4 && code.bytes().all(|b| b.is_ascii_hexdigit());
                        let code = u32::from_str_radix(&code, 16).ok().filter(|_| hex);
                        code.and_then(char::from_u32)
                    }
                    _ => None,
                },
                other => other.filter(|c| *c >= ' ' || *c == '\t'),
            };
            text.push(c.ok_or_else(|| self.unlike("a string"))?);
        }
        self.at = self.text.len() - chars.as_str().len();
        // three quotation marks in a row would open a block string
        if text.is_empty() && self.text[self.at..].starts_with('"') {
            return Err(self.unlike("a value"));
        }
        Ok(Literal::Text(text))
    }

    fn number(&mut self) -> Result<Literal, String> {
        let rest = self.rest();
        let part = |c: char| is_name(c) || ['-', '+', '.'].contains(&c);
        let text = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
        let whole = text.strip_prefix('-').unwrap_or(text);
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (before, after) = whole.split_once('.').unwrap_or((whole, "0"));
        if !digits(before) || !digits(after) || before.len() > 1 && before.starts_with('0') {
            return Err(self.unlike("a value"));
        }
        self.at += text.len();
        Ok(text.parse().map_or(Literal::Other, Literal::Int))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query with one character added, removed or replaced is refused whenever GraphQL's own grammar has an error in
    /// it.
    #[test]
    fn nothing_is_read_that_is_not_graphql() {
        let good = r#"query A{auditData(first:10,offset:-0,lpa:true,orderBy:[a],users:["é\"\u00e9"]){a b}} #c"#;
        let places: Vec<usize> = good.char_indices().map(|(at, _)| at).collect();
        let mut read = 0;
        for at in places {
            let (before, after) = good.split_at(at);
            let without = &after[after.chars().next().map_or(0, char::len_utf8)..];
            let signs = "\"{}()[]:,.-+$@#!|&=\\/ \n\u{1}x1_eé"
                .chars()
                .map(String::from);
            for sign in signs.chain([String::new(), "\"\"".to_owned(), "...".to_owned()]) {
                for text in [
                    format!("{before}{sign}{after}"),
                    format!("{before}{sign}{without}"),
                ] {
                    if parse(&text).is_err() {
                        continue;
                    }
                    read += 1;
                    let tree = apollo_parser::Parser::new(&text).parse();
                    assert_eq!(tree.errors().len(), 0, "{text}");
                }
            }
        }
        assert!(read > 500, "{read}");
    }
}
