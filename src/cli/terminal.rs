//! The properties of standard output: its width, and whether it shows colours.

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use clap::ValueEnum;

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// The properties of standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Terminal {
    /// Its width; `None` for a pipe or a file, where lines aren't limited.
    pub(super) width: Option<usize>,
    /// Whether it shows colours.
    pub(super) colour: bool,
}

/// The meaning of a word, for its colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Heading,
    Good,
    Warning,
    Bad,
    Aside,
}

impl Terminal {
    pub(super) fn of_stdout(when: ColorWhen) -> Self {
        let stdout = io::stdout();
        let width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
        Self {
            width: width.filter(|width| *width > 0 && stdout.is_terminal()),
            colour: has_colours(when, stdout.is_terminal(), |name| std::env::var_os(name)),
        }
    }

    /// Returns the text in the colour of its meaning.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Heading => 1,
            Tone::Aside => 2,
            Tone::Bad => 31,
            Tone::Good => 32,
            Tone::Warning => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Returns whether stderr shows colours.
pub(super) fn stderr_has_colours(when: ColorWhen) -> bool {
    has_colours(when, io::stderr().is_terminal(), |name| {
        std::env::var_os(name)
    })
}

/// Returns whether to use colours: the option takes precedence, then `NO_COLOR`, then `CLICOLOR_FORCE`, then the
/// terminal's support.
fn has_colours(
    when: ColorWhen,
    is_terminal: bool,
    environment: impl Fn(&str) -> Option<OsString>,
) -> bool {
    let value = |name| environment(name).filter(|value| !value.is_empty());
    let says = |name, text: &str| value(name).is_some_and(|value| value == *text);
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto if value("NO_COLOR").is_some() => false,
        ColorWhen::Auto if value("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorWhen::Auto => {
            let can = value("TERM").is_some_and(|term| term != "dumb");
            is_terminal && can && !says("CLICOLOR", "0")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_can_and_never_with_no_color() {
        let has = |when, is_terminal, environment: &[(&str, &str)]| {
            has_colours(when, is_terminal, |name| {
                let found = environment.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        let auto = |is_terminal, environment: &[(&str, &str)]| {
            has(ColorWhen::Auto, is_terminal, environment)
        };
        let (can, none) = (("TERM", "xterm"), ("NO_COLOR", "1"));
        assert!(auto(true, &[can]));
        assert!(auto(true, &[can, ("NO_COLOR", "")]));
        assert!(auto(true, &[can, ("CLICOLOR", "1")]));
        assert!(!auto(false, &[can]));
        assert!(!auto(false, &[can, ("CLICOLOR", "1")]));
        assert!(!auto(true, &[]));
        assert!(!auto(true, &[("TERM", "dumb")]));
        assert!(!auto(true, &[can, none]));
        assert!(!auto(true, &[can, ("CLICOLOR", "0")]));
        // the option takes precedence
        assert!(auto(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!auto(false, &[can, ("CLICOLOR_FORCE", "0")]));
        assert!(!auto(true, &[can, none, ("CLICOLOR_FORCE", "1")]));
        assert!(has(ColorWhen::Always, false, &[none]));
        assert!(!has(
            ColorWhen::Never,
            true,
            &[can, ("CLICOLOR_FORCE", "1")]
        ));
    }

    #[test]
    fn only_what_has_a_meaning_is_painted() {
        let colours = Terminal {
            colour: true,
            width: None,
        };
        assert_eq!(
            colours.paint(Tone::Bad, "FAILED"),
            "\u{1b}[31mFAILED\u{1b}[0m"
        );
        assert_eq!(colours.paint(Tone::Plain, "ok"), "ok");
        assert_eq!(colours.paint(Tone::Bad, ""), "");
        assert_eq!(Terminal::default().paint(Tone::Bad, "FAILED"), "FAILED");
    }
}
