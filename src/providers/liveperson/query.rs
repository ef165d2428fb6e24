//! The GraphQL text of a query for audits. No text of a user or a provider is inserted verbatim.

use std::fmt::Write as _;

use chrono::NaiveDate;

/// The documented fields of a row, always all of them and in this order, because the hash of a row is its id.
pub const FIELDS: [&str; 13] = [
    "accountId",
    "objectType",
    "objectName",
    "element",
    "oldValue",
    "newValue",
    "originator",
    "originatorLoginName",
    "originatorUserId",
    "originatorUserAgent",
    "originatorAuthType",
    "originatorIsLpa",
    "changeDate",
];

/// The form of list items, which is undocumented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    /// `["changeTimestamp"]`.
    Strings,
    /// `[changeTimestamp]`, also for component types. Users are data and always strings.
    Words,
    /// The columns and directions of the order as words, everything else as strings.
    OrderWords,
}

/// A query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// The first day.
    pub(super) from: NaiveDate,
    /// The last day.
    pub(super) to: NaiveDate,
    /// The maximum number of rows.
    pub(super) first: u64,
    /// The number of rows to skip.
    pub(super) offset: u64,
    pub(super) lists: Lists,
    pub(super) timezone: &'a str,
    pub(super) language: &'a str,
    /// Empty for all.
    pub(super) users: &'a [String],
    /// Empty for all.
    pub(super) component_types: &'a [String],
}

impl Question<'_> {
    /// Returns the text, including rows that are hidden by default: changes by the vendor's staff and by the system.
    pub(super) fn text(&self) -> String {
        let order_words = self.lists != Lists::Strings;
        let (from, to) = (self.from.format("%Y-%m-%d"), self.to.format("%Y-%m-%d"));
        let mut text = format!(
            r#"{{auditData(fromDate:"{from}",toDate:"{to}",first:{},offset:{}"#,
            self.first, self.offset
        );
        let mut list = |name: &str, items: &[&str], words: bool| {
            let write = |item: &&str| {
                if words {
                    (*item).to_owned()
                } else {
                    string(item)
                }
            };
            let written: Vec<String> = items.iter().map(write).collect();
            // writing to a string doesn't fail
            let _ = write!(text, ",{name}:[{}]", written.join(","));
        };
        list("orderBy", &["changeTimestamp"], order_words);
        list("orderDirection", &["ASC"], order_words);
        let type_words = self.lists == Lists::Words;
        for (name, items, words) in [
            ("users", self.users, false),
            ("componentTypes", self.component_types, type_words),
        ] {
            if !items.is_empty() {
                let items: Vec<&str> = items.iter().map(String::as_str).collect();
                list(name, &items, words);
            }
        }
        let _ = write!(
            text,
            ",timezone:{},language:{},lpa:true,automaticUpdates:true){{{}}}}}",
            string(self.timezone),
            string(self.language),
            FIELDS.join(" ")
        );
        text
    }
}

/// Returns a string literal of GraphQL.
fn string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for letter in text.chars() {
        match letter {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            // control characters, and the line separators that some parsers treat as line ends
            letter if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                let _ = write!(literal, "\\u{:04x}", u32::from(letter));
            }
            letter => literal.push(letter),
        }
    }
    literal.push('"');
    literal
}

/// Returns whether the text is a name in GraphQL.
pub(super) fn is_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(text, "true" | "false" | "null")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use apollo_parser::Parser;
    use apollo_parser::cst::{Argument, Definition, Selection, Value};
    use proptest::prelude::*;

    use super::*;

    /// Returns the arguments of the only field of the only operation, parsed independently of the adapter.
    fn arguments(text: &str) -> Vec<(String, Value)> {
        let tree = Parser::new(text).parse();
        assert_eq!(tree.errors().len(), 0, "{text}");
        let definitions: Vec<Definition> = tree.document().definitions().collect();
        let [Definition::OperationDefinition(operation)] = definitions.as_slice() else {
            panic!("one operation: {text}");
        };
        let selections: Vec<Selection> = operation.selection_set().unwrap().selections().collect();
        let [Selection::Field(field)] = selections.as_slice() else {
            panic!("one field: {text}");
        };
        assert_eq!(field.name().unwrap().text(), "auditData");
        assert_eq!(
            field.selection_set().unwrap().selections().count(),
            FIELDS.len()
        );
        let argument = |argument: Argument| {
            let name = argument.name().unwrap().text().to_string();
            (name, argument.value().unwrap())
        };
        field
            .arguments()
            .unwrap()
            .arguments()
            .map(argument)
            .collect()
    }

    fn strings(value: &Value) -> Vec<String> {
        let Value::ListValue(list) = value else {
            panic!("a list");
        };
        let string = |value| match value {
            Value::StringValue(text) => String::from(text),
            _ => panic!("a string"),
        };
        list.values().map(string).collect()
    }

    fn question(lists: Lists) -> Question<'static> {
        Question {
            from: NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(),
            to: NaiveDate::from_ymd_opt(2026, 3, 2).unwrap(),
            first: 50,
            offset: 0,
            lists,
            timezone: "UTC",
            language: "en-US",
            users: &[],
            component_types: &[],
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(
            users in prop::collection::vec(any::<String>(), 1..4),
            types in prop::collection::vec(any::<String>(), 1..3),
            language in any::<String>(),
        ) {
            let text = Question {
                language: &language,
                users: &users,
                component_types: &types,
                ..question(Lists::Strings)
            }
            .text();
            let arguments = arguments(&text);
            let of = |name: &str| &arguments.iter().find(|(have, _)| have == name).unwrap().1;
            prop_assert_eq!(strings(of("users")), users);
            prop_assert_eq!(strings(of("componentTypes")), types);
            let Value::StringValue(read) = of("language") else { panic!("a string") };
            prop_assert_eq!(String::from(read), language);
            prop_assert_eq!(arguments.len(), 12);
        }
    }

    #[test]
    fn what_breaks_a_string_is_escaped() {
        assert_eq!(
            string("a\"b\\c\n\u{7f}{}$é🙂\u{2028}"),
            "\"a\\\"b\\\\c\\u000a\\u007f{}$é🙂\\u2028\""
        );
    }

    #[test]
    fn lists_are_written_in_each_of_the_forms() {
        let types = ["ACUserObject".to_owned()];
        let users = ["ada@example.com".to_owned()];
        for (lists, written) in [
            (
                Lists::Strings,
                r#"orderBy:["changeTimestamp"],orderDirection:["ASC"],users:["ada@example.com"],componentTypes:["ACUserObject"],"#,
            ),
            (
                Lists::Words,
                r#"orderBy:[changeTimestamp],orderDirection:[ASC],users:["ada@example.com"],componentTypes:[ACUserObject],"#,
            ),
            (
                Lists::OrderWords,
                r#"orderBy:[changeTimestamp],orderDirection:[ASC],users:["ada@example.com"],componentTypes:["ACUserObject"],"#,
            ),
        ] {
            let text = Question {
                users: &users,
                component_types: &types,
                ..question(lists)
            }
            .text();
            assert!(text.contains(written), "{text}");
            assert_eq!(arguments(&text).len(), 12);
        }
    }

    #[test]
    fn names_are_what_graphql_takes_for_names() {
        for (text, name) in [
            ("ACUserObject", true),
            ("_x1", true),
            ("1x", false),
            ("", false),
            ("a b", false),
            ("é", false),
            ("true", false),
        ] {
            assert_eq!(is_name(text), name, "{text}");
        }
    }
}
