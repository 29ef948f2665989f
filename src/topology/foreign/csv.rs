//! Comma-, semicolon- or tab-separated values: the first two columns are the ends of a link, or those headed
//! `source` and `target`, `from` and `to`.

use csv::{ReaderBuilder, StringRecord, WriterBuilder};

use super::{Drawing, Network, TopologyError};

/// Headings of the two columns, in lower case.
const HEADINGS: [(&str, &str); 4] = [
    ("source", "target"),
    ("from", "to"),
    ("fromnodeid", "tonodeid"),
    ("node1", "node2"),
];

pub(super) fn read(text: &str) -> Result<Drawing, TopologyError> {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let delimiter = [b'\t', b';', b',']
        .into_iter()
        .find(|c| first.is_some_and(|line| line.as_bytes().contains(c)));
    let mut rows = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .delimiter(delimiter.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut drawing = Drawing::default();
    let mut columns = None;
    for row in rows.records() {
        let row = row.map_err(|error| TopologyError::new("", error.to_string()))?;
        let place = || format!("line {}", row.position().map_or(0, csv::Position::line));
        let (from, to) = if let Some(columns) = columns {
            columns
        } else {
            let headed = heading(&row);
            columns = Some(headed.unwrap_or((0, 1)));
            if headed.is_some() {
                continue;
            }
            (0, 1)
        };
        match (row.get(from), row.get(to)) {
            (Some(from), Some(to)) if !from.is_empty() && !to.is_empty() => {
                drawing.link(from, to, &place)?;
            }
            // A node that is linked to nobody.
            (Some(name), None | Some("")) if !name.is_empty() => drop(drawing.node(name, &place)?),
            _ => {
                let message = "must name the two ends of a link in its first two columns, or in those headed \
                               source and target";
                return Err(TopologyError::new(place(), message));
            }
        }
    }
    Ok(drawing)
}

/// The columns that hold the ends, if this row is a heading.
fn heading(row: &StringRecord) -> Option<(usize, usize)> {
    let at = |name: &str| row.iter().position(|cell| cell.eq_ignore_ascii_case(name));
    HEADINGS
        .iter()
        .find_map(|(from, to)| Some((at(from)?, at(to)?)))
}

pub(super) fn write(network: &Network) -> String {
    let mut rows = WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let put = |rows: &mut csv::Writer<Vec<u8>>, cells: &[&str]| {
        rows.write_record(cells).expect("memory takes all");
    };
    put(&mut rows, &["source", "target"]);
    let mut linked = vec![false; network.names.len()];
    for edge in &network.edges {
        linked[edge.a as usize] = true;
        linked[edge.b as usize] = true;
        let (a, b) = (network.names.name(edge.a), network.names.name(edge.b));
        put(&mut rows, &[&a, &b]);
    }
    for (node, _) in linked.iter().enumerate().filter(|(_, linked)| !**linked) {
        let node = u32::try_from(node).expect("nodes are counted in 32 bits");
        put(&mut rows, &[&network.names.name(node), ""]);
    }
    let bytes = rows.into_inner().expect("memory takes all");
    String::from_utf8(bytes).expect("names are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_heading_or_by_place() {
        for text in [
            "weight,Target,Source\n1,b,a\n2,c,b\n",
            "a;b\nb;c\n",
            "# crawl\na\tb\nb\tc\n",
            "a, b\nb, c\n",
        ] {
            let drawing = read(text).unwrap();
            let pairs: Vec<_> = drawing
                .links
                .iter()
                .map(|&(a, b)| {
                    (
                        drawing.names[a as usize].as_str(),
                        drawing.names[b as usize].as_str(),
                    )
                })
                .collect();
            assert_eq!(pairs, [("a", "b"), ("b", "c")], "{text}");
        }
    }

    #[test]
    fn a_row_without_ends_is_an_error_that_names_its_line() {
        let error = read("source,target\na,b\n,b\n").unwrap_err().to_string();
        assert!(error.starts_with("line 3: "), "{error}");
    }
}
