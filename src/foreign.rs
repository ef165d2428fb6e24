//! Sanitising of external text for display: text of a provider, a store, a proxy or a file may control a terminal,
//! forge log lines, or look different from its content.
//!
//! [`line()`] is for text that becomes part of a message: errors, reasons, names. [`OutputForm`] is the last line of
//! defence, for output to a terminal, a log or a page. Data (a record in the lake, a JSON document) is never changed;
//! in JSON, such characters are escaped, which keeps the content.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// The maximum length of a text in a message, in characters.
const LONGEST: usize = 2_000;
/// The maximum number of combining marks on a letter: more than any language uses, and too few to cover adjacent lines.
const MARKS: usize = 4;

/// Returns whether a character is invisible but changes the display of others: control characters, direction marks,
/// joiners and other zero-width characters, tags, line separators, noncharacters.
pub fn is_unseen(character: char) -> bool {
    let code = u32::from(character);
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || code & 0xfffe == 0xfffe
}

/// Returns the text as one line of visible characters: control characters and separators become spaces, invisible
/// characters are removed, combining marks are limited, and a very long text is shortened, with the length of the rest.
pub fn line(text: &str) -> Cow<'_, str> {
    if is_plain(text, false) && text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(4 * LONGEST));
    let mut marks = Marks::default();
    for (at, character) in text.chars().enumerate() {
        if at == LONGEST {
            let rest = text.chars().count() - LONGEST;
            // writing to a string doesn't fail
            let _ = write!(shown, "… ({rest} more characters)");
            break;
        }
        if let Some(character) = replaced(character).filter(|character| marks.fit(*character)) {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// The form of output to a surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputForm {
    /// Lines of text.
    Text,
    /// Lines of text with auditlake's own colours.
    Painted,
    /// JSON: such characters are escaped, so that the content stays the same.
    Json,
}

impl OutputForm {
    /// Returns the sanitised text. Line breaks are kept, as auditlake's own texts contain them.
    pub fn of(self, text: &str) -> Cow<'_, str> {
        if is_plain(text, true) {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        let mut marks = Marks::default();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if self == Self::Painted
                && let Some(colour) = colour(rest)
            {
                shown.push_str(colour);
                rest = &rest[colour.len()..];
                continue;
            }
            rest = &rest[character.len_utf8()..];
            match self {
                _ if character == '\n' => shown.push('\n'),
                Self::Json if is_unseen(character) && character != '\t' => {
                    escape(character, &mut shown);
                }
                Self::Json => shown.push(character),
                Self::Text | Self::Painted if character == '\t' => shown.push('\t'),
                Self::Text | Self::Painted => {
                    shown.extend(replaced(character).filter(|character| marks.fit(*character)));
                }
            }
        }
        Cow::Owned(shown)
    }

    /// Returns a sanitised line, with its line break but no other.
    pub fn line_of(self, line: &str) -> String {
        let (text, end) = match line.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (line, ""),
        };
        let mut shown = self.of(text).into_owned();
        if shown.contains('\n') {
            shown = shown.replace('\n', " ");
        }
        shown + end
    }
}

/// Returns whether the text needs no sanitising: printable ASCII, and line breaks if permitted.
fn is_plain(text: &str, lines: bool) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' '..=b'~') || (lines && byte == b'\n'))
}

/// Returns the replacement of a character, if any.
fn replaced(character: char) -> Option<char> {
    match character {
        '\u{2028}' | '\u{2029}' => Some(' '),
        character if character.is_control() => Some(' '),
        character if is_unseen(character) => None,
        character => Some(character),
    }
}

/// Counts the combining marks on a letter.
#[derive(Debug, Default)]
struct Marks(usize);

impl Marks {
    /// Returns whether the character is kept.
    fn fit(&mut self, character: char) -> bool {
        if character.width() != Some(0) {
            self.0 = 0;
            return true;
        }
        self.0 += 1;
        self.0 <= MARKS
    }
}

/// Returns the colour code at the start of the text, if it is one of those used in logs and tables, none of which
/// blinks or hides text.
fn colour(text: &str) -> Option<&str> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let (codes, _) = codes.split_once('m')?;
    let ours = |code: &str| {
        matches!(
            code,
            "0" | "1" | "2" | "3" | "31" | "32" | "33" | "34" | "35" | "36"
        )
    };
    codes
        .split(';')
        .all(ours)
        .then(|| &text[..codes.len() + "\u{1b}[m".len()])
}

/// Escapes a character as in JSON, as a surrogate pair beyond 16 bits.
fn escape(character: char, into: &mut String) {
    for half in character.encode_utf16(&mut [0; 2]) {
        // writing to a string doesn't fail
        let _ = write!(into, "\\u{half:04x}");
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A text, and how it is shown in a line.
    const ODD: &[(&str, &str)] = &[
        ("\u{1b}[2J\u{1b}[1;1Hgone", " [2J [1;1Hgone"),
        (
            "\u{1b}]0;title\u{7}\u{1b}]8;;http://x\u{7}y",
            " ]0;title  ]8;;http://x y",
        ),
        ("a\r\nerror: job is fine", "a  error: job is fine"),
        ("a\u{85}b\u{9b}2Kc\u{90}d\u{7f}e\0f", "a b 2Kc d e f"),
        ("a\u{2028}b\u{2029}c\u{b}d\u{c}e\tf", "a b c d e f"),
        (
            "\u{202e}fdp.exe\u{202c}\u{2066}x\u{2069}\u{200f}\u{61c}",
            "fdp.exex",
        ),
        ("ad\u{200b}m\u{200d}i\u{2060}n\u{feff}\u{ad}", "admin"),
        ("a\u{e0041}\u{e007f}b\u{fe0f}\u{fff9}c", "abc"),
        ("a\u{ffff}b\u{1fffe}c\u{fdd0}", "abc"),
        (
            "été 監査 \u{1f600} `q` \u{fffd}",
            "été 監査 \u{1f600} `q` \u{fffd}",
        ),
        ("", ""),
    ];

    #[test]
    fn a_line_shows_itself_and_steers_nothing() {
        for (text, shown) in ODD {
            assert_eq!(line(text), *shown, "{}", text.escape_unicode());
        }
        let flood = format!("z{}a", "\u{301}".repeat(500));
        assert_eq!(line(&flood).chars().count(), 2 + MARKS);
        let long = "x".repeat(10_000);
        assert_eq!(
            line(&long),
            format!("{}… (8000 more characters)", &long[..2_000])
        );
        assert!(matches!(line("an ordinary message"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_leaves_keeps_its_lines_and_our_own_colours() {
        assert_eq!(
            OutputForm::Text.of("a\n\tb\u{1b}[31mc\r\n"),
            "a\n\tb [31mc \n"
        );
        let painted = "\u{1b}[31mFAILED\u{1b}[0m \u{1b}[2;3mx\u{1b}[0m";
        assert_eq!(OutputForm::Painted.of(painted), painted);
        for other in [
            "\u{1b}[8mhidden",
            "\u{1b}[5m",
            "\u{1b}[31;8m",
            "\u{1b}[m",
            "\u{1b}[31",
            "\u{1b}[2J",
        ] {
            assert!(
                !OutputForm::Painted.of(other).contains('\u{1b}'),
                "{other:?}"
            );
        }
        assert_eq!(OutputForm::Text.line_of("a\nb\u{2028}c\n"), "a b c\n");
        assert_eq!(OutputForm::Text.line_of("a\nb"), "a b");
    }

    proptest! {
        #[test]
        fn json_says_the_same(text in "\\PC*|[\\u{0}-\\u{2fff}]*|.*") {
            let json = serde_json::to_string(&text).unwrap();
            let shown = OutputForm::Json.of(&json).into_owned();
            prop_assert!(!shown.chars().any(is_unseen), "{}", shown.escape_unicode());
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }

        #[test]
        fn nothing_unseen_is_left(text in "[\\u{0}-\\u{10ffff}]*") {
            prop_assert!(!line(&text).chars().any(is_unseen));
            prop_assert!(!OutputForm::Text.of(&text).chars().any(|c| is_unseen(c) && c != '\n' && c != '\t'));
        }
    }
}
