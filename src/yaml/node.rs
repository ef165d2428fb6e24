//! The YAML tree with positions.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, NonFiniteFloatPolicy, Spanned};

use super::problem::{Position, Problem};

/// The maximum size of a file, which is enough for ten thousand jobs.
const MAX_BYTES: usize = 4 << 20;

/// A value and its position. An alias has the position of its anchor's value, where a mistake has to be corrected.
#[derive(Debug, Clone)]
pub struct Node {
    /// The position of its beginning.
    pub at: Position,
    /// The content.
    pub content: Content,
}

/// The content of a node.
#[derive(Debug, Clone)]
pub enum Content {
    /// No value, `~` or `null`.
    Null,
    /// The text of a scalar as written, without quotes and escapes; not expanded.
    Scalar(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the file's order, with merge keys applied.
    Mapping(Vec<(NodeKey, Node)>),
}

/// A mapping's key and its position.
#[derive(Debug, Clone)]
pub struct NodeKey {
    /// The position of its beginning.
    pub at: Position,
    /// The text.
    pub text: String,
}

impl Node {
    /// Parses one YAML document. Resolves anchors, aliases and merge keys.
    ///
    /// Also returns a problem for each duplicate key of a mapping; the tree has the first value. Time and memory are
    /// bounded for any text.
    pub fn parse(text: &str) -> Result<(Self, Vec<Problem>), Problem> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > MAX_BYTES {
            let message = format!("the file has {} bytes, more than {MAX_BYTES}", text.len());
            return Err(Problem { at: None, message });
        }
        let raw: Raw =
            serde_saphyr::from_str_with_options(text, options()).map_err(|error| syntax(&error))?;
        let mut problems = Vec::new();
        let node = raw.locate(text, &mut problems);
        Ok((node, problems))
    }

    /// Returns the name of its content in messages.
    pub fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Scalar(_) => "a single value",
            Content::List(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }
}

/// Returns limits that are far above legitimate files and stop malicious ones.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 24,
            max_total_scalar_bytes: MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        ignore_binary_tag_for_string: true,
        with_snippet: false,
    }
}

fn syntax(error: &serde_saphyr::Error) -> Problem {
    let at = error.location().map(position);
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    // the library appends the position, and the exceeded limit, to its message
    let text = [" at line ", ": limits breached", ": total_replayed", "\n"]
        .iter()
        .fold(text.as_str(), |text, end| {
            text.split(end).next().unwrap_or_default()
        });
    let message = format!("this can't be read as YAML: {text}");
    Problem { at, message }
}

fn position(location: Location) -> Position {
    Position {
        line: location.line(),
        column: location.column(),
    }
}

/// The tree from the deserializer.
struct Raw(Spanned<RawContent>);

enum RawContent {
    Null,
    /// A plain scalar that was parsed as a number or another type; with the text of the parsed value.
    Inferred(String),
    Text(String),
    List(Vec<Raw>),
    Mapping(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    fn locate(self, text: &str, problems: &mut Vec<Problem>) -> Node {
        let Spanned { value, defined, .. } = self.0;
        let content = match value {
            RawContent::Null => Content::Null,
            RawContent::Inferred(inferred) => {
                Content::Scalar(slice(text, defined).map_or(inferred, str::to_owned))
            }
            RawContent::Text(text) => Content::Scalar(text),
            RawContent::List(items) => Content::List(
                items
                    .into_iter()
                    .map(|item| item.locate(text, problems))
                    .collect(),
            ),
            RawContent::Mapping(entries) => Content::Mapping(mapping(entries, text, problems)),
        };
        let at = position(defined);
        Node { at, content }
    }
}

fn mapping(
    entries: Vec<(Spanned<String>, Raw)>,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(NodeKey, Node)> {
    let mut seen: HashMap<String, Position> = HashMap::new();
    let mut mapping = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key = NodeKey {
            at: position(key.defined),
            text: key.value,
        };
        let value = value.locate(text, problems);
        if let Some(first) = seen.get(&key.text) {
            problems.push(Problem {
                at: Some(key.at),
                message: format!(
                    "the key `{}` stands here for the second time, after line {}; keep one of them",
                    key.text, first.line
                ),
            });
        } else {
            seen.insert(key.text.clone(), key.at);
            mapping.push((key, value));
        }
    }
    mapping
}

/// Returns a plain scalar as written, so that `client_id: 0123` keeps its zero.
fn slice(text: &str, location: Location) -> Option<&str> {
    let span = location.span();
    let from = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let slice = text.get(from..from.checked_add(length)?)?.trim();
    (!slice.is_empty()).then_some(slice)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for RawContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawContent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<RawContent, E> {
        Ok(RawContent::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawContent, E> {
        Ok(RawContent::Inferred(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawContent, E> {
        Ok(RawContent::Inferred(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawContent, E> {
        Ok(RawContent::Inferred(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawContent, E> {
        Ok(RawContent::Inferred(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawContent, E> {
        Ok(RawContent::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawContent, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawContent::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawContent, A::Error> {
        let mut mapping = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            mapping.push(entry);
        }
        Ok(RawContent::Mapping(mapping))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    /// Writes a line per node with its position, indented by its depth.
    fn show(node: &Node, depth: usize, out: &mut String) {
        let Position { line, column } = node.at;
        let text = match &node.content {
            Content::Scalar(text) => text,
            _ => node.kind(),
        };
        writeln!(out, "{line}:{column} {text}").unwrap();
        let mut child = |name: &str, node: &Node| {
            write!(out, "{}{name} ", "  ".repeat(depth)).unwrap();
            show(node, depth + 1, out);
        };
        match &node.content {
            Content::List(items) => items.iter().for_each(|item| child("-", item)),
            Content::Mapping(entries) => {
                for (key, value) in entries {
                    child(
                        &format!("{}:{} {}:", key.at.line, key.at.column, key.text),
                        value,
                    );
                }
            }
            Content::Null | Content::Scalar(_) => {}
        }
    }

    fn parsed(text: &str) -> String {
        let mut out = String::new();
        let problems = match Node::parse(text) {
            Ok((node, problems)) => {
                show(&node, 0, &mut out);
                problems
            }
            Err(problem) => vec![problem],
        };
        for problem in problems {
            let at = problem.at.map(|at| (at.line, at.column));
            writeln!(out, "{at:?} {}", problem.message).unwrap();
        }
        out
    }

    #[test]
    fn scalars_keep_what_was_written() {
        insta::assert_snapshot!(parsed(
            "a: 0123\nb: yes\nc: 1e3\nd: .nan\ne: 2026-01-01\nf: 'it''s'\ng: \"x\\ty\"\nh:\ni: ~\nj: |\n  two\n  lines\nk: 99999999999999999999999\nl: !!str 5\n1: one\nm: é 0x1F # comment\nn: 0x1F # comment\n"
        ), @"
        1:1 a mapping
        1:1 a: 1:4 0123
        2:1 b: 2:4 yes
        3:1 c: 3:4 1e3
        4:1 d: 4:4 .nan
        5:1 e: 5:4 2026-01-01
        6:1 f: 6:4 it's
        7:1 g: 7:4 x	y
        8:1 h: 8:2 nothing
        9:1 i: 9:4 nothing
        10:1 j: 11:3 two
        lines

        13:1 k: 13:4 99999999999999999999999
        14:1 l: 14:10 5
        15:1 1: 15:4 one
        16:1 m: 16:4 é 0x1F
        17:1 n: 17:4 0x1F
        ");
    }

    #[test]
    fn aliases_and_merges_are_resolved_and_keep_their_origin() {
        insta::assert_snapshot!(parsed(
            "x-base: &base\n  lag: 2m\n  window: 1h\njobs:\n  - <<: *base\n    window: 2h\n  - *base\n  - <<: [{a: 1}, *base]\n"
        ), @"
        1:1 a mapping
        1:1 x-base: 2:3 a mapping
          2:3 lag: 2:8 2m
          3:3 window: 3:11 1h
        4:1 jobs: 5:3 a list
          - 5:5 a mapping
            6:5 window: 6:13 2h
            2:3 lag: 2:8 2m
          - 2:3 a mapping
            2:3 lag: 2:8 2m
            3:3 window: 3:11 1h
          - 8:5 a mapping
            8:11 a: 8:14 1
            2:3 lag: 2:8 2m
            3:3 window: 3:11 1h
        ");
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        insta::assert_snapshot!(parsed("a: [1, 2\nb: 3\n"), @"Some((2, 2)) this can't be read as YAML: illegal placement of ':' indicator");
        insta::assert_snapshot!(parsed("a: 1\n  b: 2\n"), @"Some((2, 4)) this can't be read as YAML: mapping values are not allowed in this context");
        insta::assert_snapshot!(parsed("a: 'x\n"), @"Some((2, 1)) this can't be read as YAML: invalid indentation in multiline quoted scalar");
        insta::assert_snapshot!(parsed("a: *nobody\n"), @"Some((1, 4)) this can't be read as YAML: reference to unknown value");
        insta::assert_snapshot!(parsed("a: 1\n---\nb: 2\n"), @"Some((3, 1)) this can't be read as YAML: only single YAML document expected but multiple found");
        insta::assert_snapshot!(parsed("a:\n\t- b\n"), @"Some((2, 2)) this can't be read as YAML: tabs disallowed within this context (block indentation)");
        insta::assert_snapshot!(parsed("? [a]\n: b\n"), @"Some((1, 3)) this can't be read as YAML: expected string scalar");
        insta::assert_snapshot!(parsed("~: b\n"), @"Some((1, 1)) this can't be read as YAML: null is not allowed here");
        insta::assert_snapshot!(parsed("<<: 5\n"), @"Some((1, 5)) this can't be read as YAML: YAML merge value must be mapping or sequence of mappings");
        insta::assert_snapshot!(parsed(""), @"1:1 nothing");
    }

    #[test]
    fn every_doubled_key_is_reported() {
        insta::assert_snapshot!(parsed("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n"), @"
        1:1 a mapping
        1:1 a: 1:4 1
        2:1 b: 2:4 a mapping
          2:5 c: 2:8 1
        Some((2, 11)) the key `c` stands here for the second time, after line 2; keep one of them
        Some((3, 1)) the key `a` stands here for the second time, after line 1; keep one of them
        Some((4, 1)) the key `a` stands here for the second time, after line 1; keep one of them
        ");
    }

    #[test]
    fn a_bomb_is_defused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let below = vec![format!("*a{}", level - 1); 9].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{below}]").unwrap();
        }
        insta::assert_snapshot!(parsed(&bomb), @"Some((6, 15)) this can't be read as YAML: YAML document too large or too complex");
        let deep = "[".repeat(100_000);
        insta::assert_snapshot!(parsed(&deep), @"Some((1, 256)) this can't be read as YAML: recursion limit exceeded");
        let mut chain = "a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n".to_owned();
        for level in 1..400 {
            writeln!(
                chain,
                "a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]",
                level - 1
            )
            .unwrap();
        }
        insta::assert_snapshot!(parsed(&chain), @"Some((3, 19)) this can't be read as YAML: YAML document too large or too complex");
    }

    proptest! {
        #[test]
        fn it_never_panics(text in "[-\\[\\]{}:,&*!|>'\"%@`#a-c0-9 \t\n~<?.é]{0,60}") {
            let _ = Node::parse(&text);
        }
    }
}
