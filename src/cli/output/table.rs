//! Plain tables for people: a header, columns two blanks apart, no lines.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::escape::shown;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table as text; hostile characters in cells are escaped. Rows shorter than the header are filled up.
pub fn plain<const N: usize>(
    header: [(&str, Side); N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(header.map(|(title, _)| title));
    for row in rows {
        table.add_row(row.map(|cell| shown(&cell).into_owned()));
    }
    for (column, (_, side)) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        column.set_cell_alignment(match side {
            Side::Left => CellAlignment::Left,
            Side::Right => CellAlignment::Right,
        });
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_are_harmless() {
        let rows = [
            ["a\x1b".to_owned(), "7".to_owned()],
            ["long name".to_owned(), "1,000".to_owned()],
        ];
        let text = plain([("NAME", Side::Left), ("FILES", Side::Right)], rows);
        assert_eq!(
            text,
            "NAME       FILES\na\\x1b          7\nlong name  1,000"
        );
    }
}
