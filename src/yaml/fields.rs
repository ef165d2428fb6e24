//! Readers of the tree, which report each problem and continue.
//!
//! A method that reports a problem returns `None`. The caller may continue with any value, because a file with a
//! problem is refused as a whole.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use super::interpolate::{self, ScalarPiece};
use super::keys::{Key, Presence};
use super::node::{Content, Node, NodeKey};
use super::problem::{Position, Problem};
use super::value;
use url::Url;

use crate::secret::Secret;

/// The state shared by all readers of one file: the environment, and the problems found so far.
pub struct YamlReader<'r> {
    environment: &'r dyn Fn(&str) -> Option<String>,
    found: RefCell<Vec<FoundProblem>>,
    /// The variables used in secrets. No message shows their values.
    secret_variables: RefCell<BTreeSet<String>>,
}

/// A problem. Its text is built when all secret variables are known.
struct FoundProblem {
    at: Position,
    before: String,
    shown: Option<ShownValue>,
    after: String,
}

/// A value for a message.
struct ShownValue {
    written: String,
    expanded: String,
    variables: Vec<String>,
    from_file: bool,
}

impl<'r> YamlReader<'r> {
    /// Creates a reader that takes variables from `environment`.
    pub fn new(environment: &'r dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            environment,
            found: RefCell::default(),
            secret_variables: RefCell::default(),
        }
    }

    /// Reports a problem; `message` must not contain an expanded value.
    pub fn report(&self, at: Position, message: impl Into<String>) {
        self.found.borrow_mut().push(FoundProblem {
            at,
            before: message.into(),
            shown: None,
            after: String::new(),
        });
    }

    /// Returns a variable's value. If there is a default, an empty variable counts as missing, as in the shell.
    fn variable(&self, name: &str, default: Option<&str>) -> Option<String> {
        let value = (self.environment)(name);
        match default {
            None => value,
            Some(default) => value
                .filter(|value| !value.is_empty())
                .or_else(|| Some(default.to_owned())),
        }
    }

    /// Returns the problems reported so far.
    pub fn problems(&self) -> Vec<Problem> {
        let secret_variables = self.secret_variables.borrow();
        let problem = |found: &FoundProblem| {
            let shown = found.shown.as_ref();
            let shown = shown.map_or_else(String::new, |shown| shown.text(&secret_variables));
            Problem {
                at: Some(found.at),
                message: one_line(&format!("{}{shown}{}", found.before, found.after)),
            }
        };
        self.found.borrow().iter().map(problem).collect()
    }
}

impl std::fmt::Debug for YamlReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl ShownValue {
    /// Returns the value in backticks: as written if it contains a secret, otherwise expanded, with what was written.
    fn text(&self, secret_variables: &BTreeSet<String>) -> String {
        let is_secret = |name: &String| secret_variables.contains(name);
        let (written, expanded) = (excerpt(&self.written), excerpt(&self.expanded));
        if self.written == self.expanded {
            format!("`{written}`")
        } else if self.from_file || self.variables.iter().any(is_secret) {
            format!("the value of `{written}`")
        } else {
            format!("`{expanded}` (from `{written}`)")
        }
    }
}

/// Shortens a text that is too long for a message.
fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(120) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

/// Escapes control characters, so that a message fits on one line.
fn one_line(text: &str) -> String {
    text.chars().fold(String::new(), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

/// A mapping that is read key by key. [`Fields::finish`] reports the keys that weren't read.
#[derive(Debug)]
#[must_use = "unknown keys are reported by `finish`"]
pub struct Fields<'r> {
    reader: &'r YamlReader<'r>,
    name: String,
    at: Position,
    entries: &'r [(NodeKey, Node)],
    asked: Vec<&'static str>,
    missing: Vec<&'static str>,
}

impl<'r> Fields<'r> {
    /// Returns the keys of a mapping, which messages call `name`. Reports any other node.
    pub fn of(reader: &'r YamlReader<'r>, node: &'r Node, name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let Content::Mapping(entries) = &node.content else {
            let kind = node.kind();
            reader.report(
                node.at,
                format!("{name} must be a mapping of keys, not {kind}"),
            );
            return None;
        };
        Some(Self {
            reader,
            name,
            at: node.at,
            entries,
            asked: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// Changes the name used in messages.
    pub fn rename(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// Returns the name used in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the position of its beginning.
    pub fn at(&self) -> Position {
        self.at
    }

    /// Reports a problem with the mapping as a whole.
    pub fn report(&self, message: impl Into<String>) {
        self.reader.report(self.at, message);
    }

    /// Reports a problem at a position in the mapping.
    pub fn report_at(&self, at: Position, message: impl Into<String>) {
        self.reader.report(at, message);
    }

    /// Returns a variable of the environment.
    pub fn environment(&self, name: &str) -> Option<String> {
        self.reader.variable(name, None)
    }

    /// Returns a mapping without keys, for one that was left out.
    pub fn empty(&self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            entries: &[],
            asked: Vec::new(),
            missing: Vec::new(),
            ..*self
        }
    }

    /// Returns the value of a key; `None` if it is left out.
    ///
    /// An optional key without a value, or with a scalar that expands to nothing, counts as left out. A required key
    /// that is missing or empty is reported.
    pub fn get(&mut self, key: &Key) -> Option<YamlValue<'r>> {
        let value = self.find(key.name);
        if key.presence != Presence::Required {
            return value.filter(|value| !value.is_blank());
        }
        if value.is_none() {
            self.missing.push(key.name);
        }
        value.map(|value| YamlValue {
            required: true,
            ..value
        })
    }

    /// Parses the value of a key. Returns the declared default if the key is left out or its value has a problem.
    pub fn get_or_default<T, E: Display>(
        &mut self,
        key: &Key,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let given = self.get(key).and_then(|value| value.parse(&parse));
        given.or_else(|| key.default_value(parse))
    }

    /// Returns the position of a key that is no longer supported, if it is given. Such a key isn't reported as unknown.
    pub fn retired(&mut self, key: &'static str) -> Option<Position> {
        let (found, _) = self.entries.iter().find(|(found, _)| found.text == key)?;
        self.asked.push(key);
        Some(found.at)
    }

    /// Reports at the end that an optional key is missing which another key makes required.
    pub fn lack(&mut self, key: &Key) {
        self.missing.push(key.name);
    }

    fn find(&mut self, key: &'static str) -> Option<YamlValue<'r>> {
        self.asked.push(key);
        let (found, node) = self.entries.iter().find(|(found, _)| found.text == key)?;
        (!matches!(node.content, Content::Null)).then(|| YamlValue {
            reader: self.reader,
            node,
            at: node.at,
            key: found.text.clone(),
            required: false,
        })
    }

    /// Returns all entries of a mapping whose keys are names.
    pub fn entries(&self) -> impl Iterator<Item = (&'r NodeKey, YamlValue<'r>)> {
        let (reader, entries) = (self.reader, self.entries);
        let named = entries.iter().filter(|(key, _)| !is_extension(&key.text));
        named.map(move |(key, node)| {
            let value = YamlValue {
                reader,
                node,
                at: node.at,
                key: key.text.clone(),
                required: false,
            };
            (key, value)
        })
    }

    /// Reports the required keys that are missing, but no unknown keys: the valid keys aren't known.
    pub fn finish_open(self) {
        for key in &self.missing {
            self.report(format!("{} lacks the key `{key}`", self.name));
        }
    }

    /// Reports the required keys that are missing, and the keys that weren't read.
    pub fn finish(mut self) {
        for (key, node) in self.entries {
            if is_extension(&key.text) {
                continue;
            }
            let null = matches!(node.content, Content::Null);
            if let Some(known) = self.asked.iter().find(|known| **known == key.text) {
                if null && self.missing.contains(known) {
                    self.missing.retain(|missing| missing != known);
                    let message = format!("`{known}` in {} has no value", self.name);
                    self.reader.report(key.at, message);
                }
                continue;
            }
            let mut message = format!("unknown key `{}` in {}; ", excerpt(&key.text), self.name);
            if let Some(meant) = closest(&key.text, self.asked.iter().copied()) {
                self.missing.retain(|missing| *missing != meant);
                let _ = write!(message, "did you mean `{meant}`? ");
            }
            let _ = write!(message, "valid keys: {}", self.asked.join(", "));
            self.reader.report(key.at, message);
        }
        self.finish_open();
    }
}

/// Returns whether a key is the user's own, for anchors and notes.
fn is_extension(key: &str) -> bool {
    key.starts_with("x-")
}

/// The value of a key, or an item of a list.
#[derive(Debug, Clone)]
pub struct YamlValue<'r> {
    reader: &'r YamlReader<'r>,
    node: &'r Node,
    at: Position,
    key: String,
    required: bool,
}

impl<'r> YamlValue<'r> {
    /// Returns the position of its beginning.
    pub fn at(&self) -> Position {
        self.at
    }

    /// Returns its key, or the key of its list.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Reports a problem that doesn't show the value.
    pub fn report(&self, message: impl Into<String>) {
        self.reader.report(self.at, message);
    }

    /// Returns its keys. Reports a value that isn't a mapping.
    pub fn fields(&self, name: impl Into<String>) -> Option<Fields<'r>> {
        Fields::of(self.reader, self.node, name)
    }

    /// Returns its items, all of which must have a value. Reports a value that isn't a list.
    pub fn list(&self) -> Option<Vec<Self>> {
        let Content::List(items) = &self.node.content else {
            let (key, kind) = (&self.key, self.node.kind());
            self.report(format!(
                "`{key}` must be a list, not {kind}; write `[a, b]`"
            ));
            return None;
        };
        let item = |node: &'r Node| Self {
            node,
            at: node.at,
            required: true,
            ..self.clone()
        };
        Some(items.iter().map(item).collect())
    }

    /// Returns its text, expanded.
    pub fn text(&self) -> Option<String> {
        self.shown().map(|shown| shown.expanded)
    }

    /// Parses its text. An error of `parse` is a predicate of the text, like "isn't a number", and doesn't contain the
    /// text.
    pub fn parse<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let shown = self.shown()?;
        match parse(&shown.expanded) {
            Ok(value) => Some(value),
            Err(why) => {
                let before = format!("invalid `{}`: ", self.key);
                self.report_shown(before, shown, format!(" {why}"));
                None
            }
        }
    }

    /// Returns the choice with its name.
    pub fn choose<'c, T>(&self, choices: impl IntoIterator<Item = (&'c str, T)>) -> Option<T> {
        let shown = self.shown()?;
        let mut names = Vec::new();
        for (name, choice) in choices {
            if name == shown.expanded {
                return Some(choice);
            }
            names.push(name);
        }
        let mut after = "; ".to_owned();
        if let Some(meant) = closest(&shown.expanded, names.iter().copied()) {
            let _ = write!(after, "did you mean `{meant}`? ");
        }
        let _ = write!(after, "valid: {}", names.join(", "));
        self.report_shown(format!("unknown `{}` ", self.key), shown, after);
        None
    }

    /// Parses `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        self.parse(value::flag)
    }

    /// Parses the base URL of an API; see [`value::base_url`].
    pub fn base_url(&self, allow_http: bool) -> Option<Url> {
        // checked first, because no message may show the URL
        if value::has_userinfo(&self.text()?) {
            let key = &self.key;
            self.report(format!(
                "`{key}` holds a user or a password; give them in keys of their own"
            ));
            return None;
        }
        self.parse(|text| value::base_url(text, allow_http))
    }

    /// Parses a whole number within bounds.
    pub fn number<T>(&self, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.parse(|text| value::whole(text, bounds))
    }

    /// Returns its text as a secret. Its files are read at each use, and must be readable now.
    pub fn secret(&self) -> Option<Secret> {
        let pieces = match interpolate::pieces(self.scalar()?) {
            Ok(pieces) => pieces,
            // the malformed text may be the secret itself, so only the reason is shown
            Err(malformed) => {
                self.report(format!(
                    "invalid `{}`: a `${{` in it {}",
                    self.key, malformed.why
                ));
                return None;
            }
        };
        let names = pieces.iter().filter_map(|piece| match piece {
            ScalarPiece::Variable { name, .. } => Some(name.clone()),
            ScalarPiece::Text(_) | ScalarPiece::File(_) => None,
        });
        self.reader.secret_variables.borrow_mut().extend(names);
        let mut whole: Option<Secret> = None;
        let mut complete = true;
        let mut empty = true;
        for piece in pieces {
            let part = match &piece {
                ScalarPiece::File(path) => self.file(path).map(|text| {
                    empty &= text.is_empty();
                    Secret::file(path)
                }),
                other => self
                    .expand(other, |_| "`${file:PATH}`".to_owned())
                    .map(|text| {
                        empty &= text.is_empty();
                        Secret::text(text)
                    }),
            };
            match part {
                Some(part) => whole = Some(whole.map_or(part.clone(), |whole| whole.then(part))),
                None => complete = false,
            }
        }
        if complete && empty {
            if self.required {
                self.report_empty();
            }
            return None;
        }
        whole.filter(|_| complete)
    }

    /// Returns its text as a credential: a secret without control characters, which no server accepts and which aren't
    /// valid in headers.
    pub fn credential(&self) -> Option<Secret> {
        self.fit(
            self.secret()?,
            "a line break or another control character",
            char::is_control,
        )
    }

    /// Returns a credential that is a header's whole value: printable ASCII.
    pub fn header(&self) -> Option<Secret> {
        let secret = self.credential()?;
        let odd = |character: char| !(' '..='~').contains(&character);
        let secret = self.fit(secret, "a character that a header can't hold", odd)?;
        if secret
            .reveal()
            .is_ok_and(|text| text.trim_matches(' ') != text)
        {
            self.report(format!(
                "invalid `{}`: it begins or ends with a space, which a header can't hold",
                self.key
            ));
            return None;
        }
        Some(secret)
    }

    /// Returns the secret, or reports it if it contains an odd character.
    fn fit(&self, secret: Secret, what: &str, odd: impl Fn(char) -> bool) -> Option<Secret> {
        // a secret that can't be read has been reported
        let Some(at) = secret.reveal().ok()?.chars().position(odd) else {
            return Some(secret);
        };
        let of = secret.file_name().map_or_else(String::new, |file| {
            format!(" of the file `{}`", file.display())
        });
        self.report(format!(
            "invalid `{}`: its text{of} holds {what}, at character {}",
            self.key,
            at + 1
        ));
        None
    }

    /// Reports a problem with a value, shown between `before` and `after`.
    fn report_shown(&self, before: String, shown: ShownValue, after: String) {
        self.reader.found.borrow_mut().push(FoundProblem {
            at: self.at,
            before,
            shown: Some(shown),
            after,
        });
    }

    /// Returns whether it is a scalar that expands to nothing.
    fn is_blank(&self) -> bool {
        let Content::Scalar(written) = &self.node.content else {
            return false;
        };
        interpolate::pieces(written).is_ok_and(|pieces| {
            pieces.iter().all(|piece| match piece {
                ScalarPiece::Text(_) | ScalarPiece::File(_) => false,
                ScalarPiece::Variable { name, default } => self
                    .reader
                    .variable(name, default.as_deref())
                    .is_some_and(|value| value.is_empty()),
            })
        })
    }

    fn report_empty(&self) {
        self.report(format!("`{}` is empty", self.key));
    }

    /// Returns the scalar as written.
    fn scalar(&self) -> Option<&'r str> {
        match &self.node.content {
            Content::Scalar(text) => Some(text),
            Content::Null => {
                if self.required {
                    self.report(format!("`{}` has no value here", self.key));
                }
                None
            }
            Content::List(_) | Content::Mapping(_) => {
                let (key, kind) = (&self.key, self.node.kind());
                self.report(format!("`{key}` must be a single value, not {kind}"));
                None
            }
        }
    }

    /// Returns the scalar as written and expanded; `None` if it is empty.
    fn shown(&self) -> Option<ShownValue> {
        let written = self.scalar()?;
        let pieces = match interpolate::pieces(written) {
            Ok(pieces) => pieces,
            Err(malformed) => {
                let (key, text, why) = (&self.key, excerpt(&malformed.text), malformed.why);
                self.report(format!("invalid `{key}`: `{text}` {why}"));
                return None;
            }
        };
        let mut shown = ShownValue {
            written: written.to_owned(),
            expanded: String::new(),
            variables: Vec::new(),
            from_file: false,
        };
        let mut complete = true;
        for piece in &pieces {
            match piece {
                ScalarPiece::Variable { name, .. } => shown.variables.push(name.clone()),
                ScalarPiece::File(_) => shown.from_file = true,
                ScalarPiece::Text(_) => {}
            }
            match self.expand(piece, |name| format!("`${{{name}:-default}}`")) {
                Some(text) => shown.expanded.push_str(&text),
                None => complete = false,
            }
        }
        if complete && shown.expanded.is_empty() {
            if self.required {
                self.report_empty();
            }
            return None;
        }
        complete.then_some(shown)
    }

    /// Expands a piece. `instead` returns what the message suggests for a missing variable.
    fn expand(&self, piece: &ScalarPiece, instead: impl Fn(&str) -> String) -> Option<String> {
        match piece {
            ScalarPiece::Text(text) => Some(text.clone()),
            ScalarPiece::File(path) => self.file(path),
            ScalarPiece::Variable { name, default } => {
                let value = self.reader.variable(name, default.as_deref());
                if value.is_none() {
                    let (key, instead) = (&self.key, instead(name));
                    self.report(format!(
                        "`{key}` needs the environment variable `{name}`, which isn't set; set it, or write {instead}"
                    ));
                }
                value
            }
        }
    }

    /// Returns the content of a file that must be readable, as [`Secret::reveal`] does.
    fn file(&self, path: &Path) -> Option<String> {
        let text = Secret::file(path).reveal();
        if text.is_err() {
            let why = std::fs::read_to_string(path).err();
            let why = why.map_or_else(String::new, |error| format!(": {}", reason(&error)));
            let (key, path) = (&self.key, path.display());
            self.report(format!(
                "`{key}` needs the file `{path}`, which can't be read{why}"
            ));
        }
        text.ok()
    }
}

/// Returns why a file can't be read, in a few lowercase words.
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is none".to_owned(),
        ErrorKind::InvalidData => "it isn't UTF-8".to_owned(),
        kind => kind.to_string(),
    }
}

/// Returns the candidate that `text` probably misspells.
fn closest<'c>(text: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let most = (text.chars().count() / 3).clamp(1, 3);
    candidates
        .map(|candidate| (slips(text, candidate), candidate))
        .filter(|(slips, _)| *slips <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns the number of characters to insert, delete, replace or swap with their neighbour to get from `a` to `b`.
fn slips(a: &str, b: &str) -> usize {
    // the cost is quadratic, and texts of such different lengths aren't misspellings of each other
    if a.len().abs_diff(b.len()) > 12 {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut fewest = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let before_last: &Vec<usize> = &before_last;
                fewest = fewest.min(before_last[j - 2] + 1);
            }
            row.push(fewest);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::yaml::keys::KeyKind;

    const fn optional(name: &'static str) -> Key {
        Key::optional(name, KeyKind::Text("text"), "a text")
    }

    const fn required(name: &'static str) -> Key {
        Key::required(name, KeyKind::Text("text"), "a text")
    }

    /// Returns what `read` returned, and the problems that it reported.
    fn read<T>(text: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> (T, String) {
        let environment = |name: &str| match name {
            "SET" => Some("set".to_owned()),
            "EMPTY" => Some(String::new()),
            "PASSWORD" => Some("hunter2".to_owned()),
            _ => None,
        };
        let reader = YamlReader::new(&environment);
        let (node, _) = Node::parse(text).unwrap();
        let mut fields = Fields::of(&reader, &node, "the file").unwrap();
        let value = read(&mut fields);
        fields.finish();
        let mut messages = String::new();
        for problem in reader.problems() {
            let at = problem.at.unwrap();
            writeln!(messages, "{}:{} {}", at.line, at.column, problem.message).unwrap();
        }
        (value, messages)
    }

    fn text(yaml: &str) -> (Option<String>, String) {
        read(&format!("a: {yaml}\n"), |fields| {
            fields.get(&optional("a")).and_then(|a| a.text())
        })
    }

    #[test]
    fn values_expand() {
        let value = |yaml: &str| text(yaml).0;
        assert_eq!(value("x-${SET}-y").unwrap(), "x-set-y");
        assert_eq!(value("${SET:-other}").unwrap(), "set");
        assert_eq!(value("${EMPTY:-other}").unwrap(), "other");
        assert_eq!(value("\"${UNSET:-a: b}\"").unwrap(), "a: b");
        assert_eq!(value("x${EMPTY}").unwrap(), "x");
        assert_eq!(text("${EMPTY}"), (None, String::new()));
        assert_eq!(value("$${SET}").unwrap(), "${SET}");
        assert_eq!(value("123").unwrap(), "123");
    }

    #[test]
    fn what_does_not_expand_is_reported() {
        insta::assert_snapshot!(text("${UNSET}-${UNSET_TOO}").1, @"
        1:4 `a` needs the environment variable `UNSET`, which isn't set; set it, or write `${UNSET:-default}`
        1:4 `a` needs the environment variable `UNSET_TOO`, which isn't set; set it, or write `${UNSET_TOO:-default}`
        ");
        insta::assert_snapshot!(text("\"${UNSET\"").1, @"1:4 invalid `a`: `${UNSET` lacks its `}`; write `$${` for a plain `${`");
        insta::assert_snapshot!(text("${file:/no/such/file}").1, @"1:4 `a` needs the file `/no/such/file`, which can't be read: there is none");
        insta::assert_snapshot!(text("[1]").1, @"1:4 `a` must be a single value, not a list");
        let (_, required) = read("a: ${EMPTY}\nb:\n", |fields| {
            (
                fields.get(&required("a")).and_then(|a| a.text()),
                fields.get(&required("b")).is_none(),
            )
        });
        insta::assert_snapshot!(required, @"
        1:4 `a` is empty
        2:1 `b` in the file has no value
        ");
    }

    #[test]
    fn a_file_is_read_at_load_or_kept_by_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "one\n").unwrap();
        let yaml = format!("a: x-${{file:{0}}}\nb: x-${{file:{0}}}\n", path.display());
        let ((plain, secret), messages) = read(&yaml, |fields| {
            let plain = fields.get(&required("a")).and_then(|a| a.text());
            (plain, fields.get(&required("b")).and_then(|b| b.secret()))
        });
        assert_eq!((plain.as_deref(), messages.as_str()), (Some("x-one"), ""));
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(secret.unwrap().reveal().unwrap(), "x-two");
    }

    #[test]
    fn a_credential_is_what_a_header_can_hold() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (written, credential, header) in [
            ("plain", true, true),
            ("plain\n", true, true),
            ("plain\n\n", false, false),
            ("two\r\nlines\n", false, false),
            ("nul\0", false, false),
            ("del\u{7f}", false, false),
            ("n\u{f6}n-ascii", true, false),
            ("tr4iling \n", true, false),
        ] {
            std::fs::write(&path, written).unwrap();
            let yaml = format!("a: ${{file:{0}}}\nb: ${{file:{0}}}\n", path.display());
            let ((a, b), messages) = read(&yaml, |fields| {
                let a = fields.get(&required("a")).and_then(|a| a.credential());
                (a, fields.get(&required("b")).and_then(|b| b.header()))
            });
            assert_eq!(
                (a.is_some(), b.is_some()),
                (credential, header),
                "{written:?}: {messages:?}"
            );
            let wrong = usize::from(!credential) + usize::from(!header);
            assert_eq!(messages.lines().count(), wrong, "{messages}");
            assert!(!messages.contains(written.trim()), "{messages:?}");
        }
    }

    #[test]
    fn no_message_shows_a_secret() {
        let yaml = "a: ${PASSWORD}\nb: ${PASSWORD}\nc: 'sw${ordfish'\nd: [hunter3]\ne: ${EMPTY}\nf: ${SET}\n";
        let ((), messages) = read(yaml, |fields| {
            fields.get(&required("a")).and_then(|a| a.flag());
            for key in ["b", "c", "d", "e"] {
                fields.get(&required(key)).and_then(|value| value.secret());
            }
            fields.get(&required("f")).and_then(|f| f.number(1..=3));
        });
        insta::assert_snapshot!(messages, @"
        1:4 invalid `a`: the value of `${PASSWORD}` is neither `true` nor `false`
        3:4 invalid `c`: a `${` in it lacks its `}`; write `$${` for a plain `${`
        4:4 `d` must be a single value, not a list
        5:4 `e` is empty
        6:4 invalid `f`: `set` (from `${SET}`) isn't a whole number from 1 to 3
        ");
    }

    #[test]
    fn unknown_and_missing_keys_are_reported_with_what_was_meant() {
        let ((), messages) = read("shedule: 1\nx-note: 2\nzzz: 3\n", |fields| {
            fields.get(&required("schedule"));
            fields.get(&required("name"));
            fields.get(&optional("window"));
        });
        insta::assert_snapshot!(messages, @"
        1:1 unknown key `shedule` in the file; did you mean `schedule`? valid keys: schedule, name, window
        3:1 unknown key `zzz` in the file; valid keys: schedule, name, window
        1:1 the file lacks the key `name`
        ");
    }

    #[test]
    fn slips_are_counted() {
        assert_eq!(slips("shedule", "schedule"), 1);
        assert_eq!(slips("cleint_id", "client_id"), 1);
        assert_eq!(slips("abc", "xyz"), 3);
        assert_eq!(
            closest("us-est-1", ["us-east-1", "us-west-2"].into_iter()),
            Some("us-east-1")
        );
        assert_eq!(closest("nonsense", ["us-east-1"].into_iter()), None);
    }
}
