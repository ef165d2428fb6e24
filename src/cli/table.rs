//! A plain table: columns as wide as their widest cell, two spaces apart, or narrowed to fit the terminal.
//!
//! If it doesn't fit, names are shortened in the middle and texts are wrapped; numbers and other values that have to be
//! complete aren't. If that isn't enough, columns with only `-` are omitted, and finally each row becomes a block of
//! lines.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::terminal::{Terminal, Tone};
use crate::foreign;

/// The separator of columns.
const GAP: usize = 2;
/// The minimum length of a shortened name.
const NAME: usize = 8;
/// The minimum length of the parts of a broken word.
const WORD: usize = 16;

/// The kind of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// A number: aligned to the right, never shortened.
    Number,
    /// Never shortened.
    Whole,
    /// May be shortened in the middle.
    Name,
    /// May be wrapped, as may times.
    Text,
}

/// A cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        let tone = Tone::Plain;
        Self { text, tone }
    }
}

impl Cell {
    pub(super) fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    /// Returns the lines of a cell in a given width, sanitised for the terminal.
    fn lines(&self, kind: ColumnKind, width: usize) -> Vec<String> {
        let text = foreign::line(&self.text).into_owned();
        match kind {
            _ if text.width() <= width => vec![text],
            ColumnKind::Number | ColumnKind::Whole => vec![text],
            ColumnKind::Name => vec![cut(&text, width)],
            ColumnKind::Text => wrapped(&text, width),
        }
    }
}

/// A table with a heading.
pub(super) fn render<const N: usize>(
    columns: [(&'static str, ColumnKind); N],
    rows: &[[Cell; N]],
    terminal: Terminal,
) -> String {
    let heading = columns.map(|(name, _)| Cell::from(name.to_owned()).toned(Tone::Heading));
    let column = |at: usize| TextColumn {
        kind: columns[at].1,
        cells: [&heading[at]]
            .into_iter()
            .chain(rows.iter().map(|row| &row[at]))
            .collect(),
    };
    let mut columns: Vec<TextColumn> = (0..N).map(column).collect();
    let Some(width) = terminal.width else {
        let widths = vec![usize::MAX; N];
        return lines(&columns, &widths, terminal);
    };
    if let Some(widths) = fitting(&columns, width) {
        return lines(&columns, &widths, terminal);
    }
    columns.retain(|column| !column.is_blank());
    match fitting(&columns, width) {
        Some(widths) => lines(&columns, &widths, terminal),
        None => blocks(&columns, width, terminal),
    }
}

/// A column with its cells, beginning with the heading.
struct TextColumn<'c> {
    kind: ColumnKind,
    cells: Vec<&'c Cell>,
}

impl TextColumn<'_> {
    /// Returns the length of the longest line in a given width.
    fn widest(&self, width: usize) -> usize {
        let lines = self
            .cells
            .iter()
            .flat_map(|cell| cell.lines(self.kind, width));
        lines.map(|line| line.width()).max().unwrap_or(0)
    }

    /// Returns the number of lines of its texts.
    fn height(&self, width: usize) -> usize {
        let texts = self.cells.iter().filter(|_| self.kind == ColumnKind::Text);
        texts.map(|cell| cell.lines(self.kind, width).len()).sum()
    }

    /// Returns the minimum width.
    fn least(&self) -> usize {
        let whole = self.widest(usize::MAX);
        match self.kind {
            ColumnKind::Number | ColumnKind::Whole => whole,
            ColumnKind::Name => whole.min(NAME),
            ColumnKind::Text => self.widest(1),
        }
    }

    fn is_blank(&self) -> bool {
        self.cells.iter().skip(1).all(|cell| cell.text == "-")
    }
}

/// Renders the rows in columns of these widths.
fn lines(columns: &[TextColumn<'_>], widths: &[usize], terminal: Terminal) -> String {
    let rows = columns.first().map_or(0, |first| first.cells.len());
    let widths: Vec<(usize, usize)> = (columns.iter().zip(widths))
        .map(|(column, width)| (*width, column.widest(*width)))
        .collect();
    let mut text = String::new();
    for row in 0..rows {
        let cells: Vec<Vec<String>> = (columns.iter().zip(&widths))
            .map(|(column, (width, _))| column.cells[row].lines(column.kind, *width))
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let mut written = String::new();
            for ((column, lines), (_, width)) in columns.iter().zip(&cells).zip(&widths) {
                let part = lines.get(line).map_or("", String::as_str);
                let space = " ".repeat(width - part.width());
                let painted = terminal.paint(column.cells[row].tone, part);
                let (before, after) = match column.kind {
                    ColumnKind::Number => (space.as_str(), ""),
                    _ => ("", space.as_str()),
                };
                written.extend([before, &painted, after, &" ".repeat(GAP)]);
            }
            text.push_str(written.trim_end());
            text.push('\n');
        }
    }
    text
}

/// Returns the widths with which the table fits, shrinking the widest columns first; `None` if it can't fit.
fn fitting(columns: &[TextColumn<'_>], width: usize) -> Option<Vec<usize>> {
    let mut widths: Vec<usize> = columns
        .iter()
        .map(|column| column.widest(usize::MAX))
        .collect();
    let least: Vec<usize> = columns.iter().map(TextColumn::least).collect();
    let gaps = GAP * columns.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        let may_shrink = (0..columns.len()).filter(|at| widths[*at] > least[*at]);
        let at = may_shrink.max_by_key(|at| widths[*at])?;
        let column = &columns[at];
        let narrower = |width: usize| column.widest(width - 1);
        widths[at] = narrower(widths[at]);
        // unused width of a text is given to the others
        while column.kind == ColumnKind::Text
            && widths[at] > least[at]
            && column.height(widths[at] - 1) == column.height(widths[at])
        {
            widths[at] = narrower(widths[at]);
        }
    }
    Some(widths)
}

/// Renders each row as lines of `heading cell`.
fn blocks(columns: &[TextColumn<'_>], width: usize, terminal: Terminal) -> String {
    let rows = columns.first().map_or(0, |first| first.cells.len());
    let names = columns.iter().map(|column| column.cells[0].text.width());
    let indent = names.max().unwrap_or(0) + GAP;
    let block = |row: usize| {
        let mut text = String::new();
        for column in columns {
            let (name, cell) = (column.cells[0], column.cells[row]);
            text.push_str(&terminal.paint(name.tone, &name.text));
            let mut space = indent - name.text.width();
            for line in cell.lines(column.kind, width.saturating_sub(indent).max(WORD)) {
                text.push_str(&" ".repeat(space));
                text.push_str(&terminal.paint(cell.tone, &line));
                text.push('\n');
                space = indent;
            }
        }
        text
    };
    (1..rows).map(block).collect::<Vec<_>>().join("\n")
}

/// Returns the beginning and the end of a text.
fn cut(text: &str, width: usize) -> String {
    let room = width.saturating_sub(1);
    let begin: String = fitting_chars(text.chars(), room.div_ceil(2)).collect();
    let end: Vec<char> = fitting_chars(text.chars().rev(), room / 2).collect();
    let end: String = end.into_iter().rev().collect();
    format!("{begin}…{end}")
}

/// Returns as many as fit.
fn fitting_chars(chars: impl Iterator<Item = char>, room: usize) -> impl Iterator<Item = char> {
    chars.scan(0, move |used, c| {
        *used += c.width().unwrap_or(0);
        (*used <= room).then_some(c)
    })
}

/// Wraps a text in lines of at most this width, or that of its longest unbreakable part.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for piece in pieces(text) {
        let mut rest = piece;
        // a word longer than a line continues in the next
        while rest.trim_end().width() > width.max(WORD) {
            let room = width.max(WORD);
            let part: String = fitting_chars(rest.chars(), room).collect();
            rest = &rest[part.len()..];
            lines.push(part);
        }
        match lines.last_mut() {
            Some(line) if line.width() + rest.trim_end().width() <= width => line.push_str(rest),
            _ => lines.push(rest.to_owned()),
        }
    }
    let trimmed = lines.iter().map(|line| line.trim_end().to_owned());
    trimmed.filter(|line| !line.is_empty()).collect()
}

/// Returns where a line may end: after a space, after the `..` of a range, and between a date and its time.
fn pieces(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut begin = 0;
    for at in 1..bytes.len() {
        let ends = match (bytes[at - 1], bytes[at]) {
            (b' ', next) => next != b' ',
            (b'.', _) => at >= 2 && bytes[at - 2] == b'.',
            (b'0'..=b'9', b'T') => bytes.get(at + 1).is_some_and(u8::is_ascii_digit),
            _ => false,
        };
        if ends {
            pieces.push(&text[begin..at]);
            begin = at;
        }
    }
    pieces.push(&text[begin..]);
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [(&str, ColumnKind); 4] = [
        ("job", ColumnKind::Name),
        ("range", ColumnKind::Text),
        ("rows", ColumnKind::Number),
        ("state", ColumnKind::Whole),
    ];

    fn row(cells: [&str; 4]) -> [Cell; 4] {
        cells.map(|text| Cell::from(text.to_owned()))
    }

    fn at_width(width: usize, rows: &[[Cell; 4]]) -> String {
        let terminal = Terminal {
            width: Some(width),
            colour: false,
        };
        render(COLUMNS, rows, terminal)
    }

    fn rows() -> Vec<[Cell; 4]> {
        let range = "2026-03-02T00:00:00Z..2026-03-03T00:08:00Z";
        vec![
            row(["genesys-production-emea", range, "1,234,567", "due"]),
            row(["a", "-", "0", "never ran"]),
        ]
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            row(["a", "-", "1", "due"]),
            row(["long", "-", "1,000", "idle"]),
        ];
        let text = render(COLUMNS, &rows, Terminal::default());
        insta::assert_snapshot!(text, @r"
        job   range   rows  state
        a     -          1  due
        long  -      1,000  idle
        ");
        assert_eq!(at_width(80, &rows), text);
    }

    #[test]
    fn what_may_shrink_does_so_and_numbers_never() {
        let full = render(COLUMNS, &rows(), Terminal::default());
        assert_eq!(at_width(89, &rows()), full);
        let shown = [88, 60, 42, 30].map(|width| format!("{width}:\n{}", at_width(width, &rows())));
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn a_column_that_says_nothing_gives_way_to_the_others() {
        let rows = [row(["genesys-production-emea", "-", "1,234,567", "due"])];
        assert!(at_width(49, &rows).contains("range"));
        insta::assert_snapshot!(at_width(28, &rows));
    }

    #[test]
    fn wide_letters_count_twice_and_nothing_steers_the_terminal() {
        let rows = [
            row(["監査ログ監査ログ", "-", "1", "due"]),
            row(["a\u{1b}[31mb\nc", "-", "2", "idle"]),
        ];
        let shown = [80, 32].map(|width| at_width(width, &rows));
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn only_cells_are_painted() {
        let mut rows = [row(["a", "-", "1", "due"])];
        rows[0][3].tone = Tone::Warning;
        let colours = Terminal {
            width: None,
            colour: true,
        };
        assert_eq!(
            render(COLUMNS, &rows, colours),
            "\u{1b}[1mjob\u{1b}[0m  \u{1b}[1mrange\u{1b}[0m  \u{1b}[1mrows\u{1b}[0m  \u{1b}[1mstate\u{1b}[0m\n\
             a    -         1  \u{1b}[33mdue\u{1b}[0m\n"
        );
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_the_terminal_is_wide(
            width in 30_usize..120,
            texts in prop::collection::vec((r"[a-z監é]{0,40}", r"([a-z]{1,30} ?){0,6}", 0_u32..u32::MAX), 1..6),
        ) {
            let rows: Vec<[Cell; 4]> = texts
                .iter()
                .map(|(name, text, number)| row([name, text, &number.to_string(), "due"]))
                .collect();
            let shown = at_width(width, &rows);
            for line in shown.lines() {
                prop_assert!(line.width() <= width, "{width}: {shown}");
            }
            for (_, text, number) in &texts {
                prop_assert!(shown.contains(&number.to_string()));
                // nothing of a text is lost
                if shown.starts_with("job ") && shown.lines().count() == 1 + texts.len() {
                    prop_assert!(shown.contains(text.trim_end()));
                }
            }
        }
    }
}
