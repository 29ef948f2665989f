//! Edge lists: two names a line, blanks between them, `#` or `%` before comments. Source: the SNAP collection
//! and the Network Repository, which write them so.

use std::fmt::Write as _;

use super::{Drawing, Network, TopologyError};

pub(super) fn read(text: &str) -> Result<Drawing, TopologyError> {
    let mut drawing = Drawing::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '%']) {
            continue;
        }
        let place = || format!("line {}", number + 1);
        let mut words = line.split_whitespace();
        // A third column is a weight or a time.
        let (Some(from), Some(to)) = (words.next(), words.next()) else {
            let message = format!("{line:?} must hold two names with a blank between them");
            return Err(TopologyError::new(place(), message));
        };
        drawing.link(from, to, &place)?;
    }
    Ok(drawing)
}

pub(super) fn write(network: &Network) -> String {
    let mut text = format!(
        "# {}\n# Nodes: {} Edges: {}\n",
        network.describe.replace('\n', " "),
        network.names.len(),
        network.edges.len()
    );
    for edge in &network.edges {
        let (a, b) = (network.names.name(edge.a), network.names.name(edge.b));
        writeln!(text, "{a}\t{b}").expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_weights_are_passed_over() {
        let drawing = read("# x\n\n% y\n1 2\n2\t3 0.5\r\n").unwrap();
        assert_eq!(drawing.names, ["1", "2", "3"]);
        assert_eq!(drawing.links, [(0, 1), (1, 2)]);
    }

    #[test]
    fn a_line_of_one_word_is_an_error_that_names_it() {
        let error = read("1 2\n3\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2: \"3\""), "{error}");
    }
}
