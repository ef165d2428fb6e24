//! A plain table: columns as wide as their widest cell, two spaces apart.

use std::fmt::Write;

/// The rows under a heading, numbers to the right where `right` says so.
pub(super) fn render<const N: usize>(
    heading: [&str; N],
    right: [bool; N],
    rows: &[[String; N]],
) -> String {
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells
                .chain([heading[column].chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut row = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let width = widths[column];
            // writing to a string doesn't fail
            let _ = if right[column] {
                write!(row, "{cell:>width$}  ")
            } else {
                write!(row, "{cell:<width$}  ")
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    };
    line(heading);
    rows.iter()
        .for_each(|row| line(row.each_ref().map(String::as_str)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["long".to_owned(), "1,000".to_owned()],
        ];
        assert_eq!(
            render(["job", "rows"], [false, true], &rows),
            "job    rows\na         1\nlong  1,000\n"
        );
    }
}
