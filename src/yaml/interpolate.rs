//! The references in a scalar: `${VAR}`, `${VAR:-default}` and `${file:PATH}`; `$${` is a literal `${`.

use std::path::PathBuf;

/// A part of a scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScalarPiece {
    /// Literal text.
    Text(String),
    /// `${VAR}` or `${VAR:-default}`.
    Variable {
        /// The variable's name.
        name: String,
        /// The value if the variable is missing or empty.
        default: Option<String>,
    },
    /// `${file:PATH}`: the file's content without one trailing newline.
    File(PathBuf),
}

/// A `${` that doesn't begin a valid reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The text from the `${`.
    pub text: String,
    /// What is wrong with it, and what would be valid; a predicate of the text.
    pub why: &'static str,
}

/// Splits a scalar into its parts. Texts are never empty and never adjacent.
pub fn pieces(scalar: &str) -> Result<Vec<ScalarPiece>, Malformed> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = scalar;
    while let Some(dollar) = rest.find('$') {
        let (before, from) = rest.split_at(dollar);
        text.push_str(before);
        if let Some(after) = from.strip_prefix("$${") {
            text.push_str("${");
            rest = after;
        } else if let Some(inside) = from.strip_prefix("${") {
            let malformed = |text: &str, why| Malformed {
                text: text.to_owned(),
                why,
            };
            let (inside, after) = inside
                .split_once('}')
                .ok_or_else(|| malformed(from, "lacks its `}`; write `$${` for a plain `${`"))?;
            let piece =
                piece(inside).map_err(|why| malformed(&from[..from.len() - after.len()], why))?;
            if !text.is_empty() {
                pieces.push(ScalarPiece::Text(std::mem::take(&mut text)));
            }
            pieces.push(piece);
            rest = after;
        } else {
            text.push('$');
            rest = &from[1..];
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(ScalarPiece::Text(text));
    }
    Ok(pieces)
}

fn piece(inside: &str) -> Result<ScalarPiece, &'static str> {
    if inside.contains("${") {
        return Err("holds another `${`, which isn't expanded; use one variable");
    }
    if let Some(path) = inside.strip_prefix("file:") {
        return if path.is_empty() {
            Err("names no file; write `${file:/run/secrets/name}`")
        } else {
            Ok(ScalarPiece::File(path.into()))
        };
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (inside, None),
    };
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !begins_well || name.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        return Err(
            "is none of `${VAR}`, `${VAR:-default}`, `${file:PATH}`; write `$${` for a plain `${`",
        );
    }
    Ok(ScalarPiece::Variable {
        name: name.to_owned(),
        default,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variable(name: &str, default: Option<&str>) -> ScalarPiece {
        ScalarPiece::Variable {
            name: name.to_owned(),
            default: default.map(str::to_owned),
        }
    }

    fn text(text: &str) -> ScalarPiece {
        ScalarPiece::Text(text.to_owned())
    }

    #[test]
    fn references_stand_among_text() {
        let cases = [
            ("", vec![]),
            ("plain $HOME $$ $", vec![text("plain $HOME $$ $")]),
            ("${A}", vec![variable("A", None)]),
            (
                "x-${A:-b:-c d}-${file:/run/s}.",
                vec![
                    text("x-"),
                    variable("A", Some("b:-c d")),
                    text("-"),
                    ScalarPiece::File("/run/s".into()),
                    text("."),
                ],
            ),
            ("${A:-}", vec![variable("A", Some(""))]),
            ("a$${A}${_b1}", vec![text("a${A}"), variable("_b1", None)]),
            ("$${${A}", vec![text("${"), variable("A", None)]),
        ];
        for (scalar, expected) in cases {
            assert_eq!(pieces(scalar), Ok(expected), "{scalar}");
        }
    }

    #[test]
    fn what_begins_no_reference_says_why() {
        for (scalar, shown) in [
            ("a${B", "${B"),
            ("${}", "${}"),
            ("x${my var}y", "${my var}"),
            ("${1A}", "${1A}"),
            ("${file:}", "${file:}"),
            ("${A:-${B}}", "${A:-${B}"),
            ("${A:?unset}", "${A:?unset}"),
        ] {
            assert_eq!(
                pieces(scalar).map_err(|malformed| malformed.text),
                Err(shown.to_owned())
            );
        }
    }

    proptest! {
        #[test]
        fn it_never_panics_and_escaped_text_stays_itself(scalar in "[$ {}a:f-]{0,20}") {
            let _ = pieces(&scalar);
            let escaped = scalar.replace("${", "$${");
            // a dollar before the escape would become part of it
            prop_assume!(!scalar.contains("$$"));
            let whole = if scalar.is_empty() { vec![] } else { vec![text(&scalar)] };
            prop_assert_eq!(pieces(&escaped), Ok(whole));
        }
    }
}
