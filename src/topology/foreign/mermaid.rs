//! Mermaid flowcharts, for pages that draw them. Source: the flowchart chapter of Mermaid's documentation.

use std::fmt::Write as _;

use super::Network;

pub(super) fn write(network: &Network) -> String {
    let mut text = String::from("graph LR\n");
    // Some names are words of the language ("end"): nodes get plain ones, and their own as labels.
    let nodes = u32::try_from(network.names.len()).expect("nodes are counted in 32 bits");
    for node in 0..nodes {
        let name = network.names.name(node);
        writeln!(text, "  v{node}([\"{name}\"])").expect("a string takes all");
    }
    for edge in &network.edges {
        writeln!(text, "  v{} --- v{}", edge.a, edge.b).expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse_spec;

    #[test]
    fn a_line_is_a_flowchart() {
        let network = Network::new(&parse_spec("line:2", 1).unwrap()).unwrap();
        let text = write(&network);
        assert_eq!(
            text,
            "graph LR\n  v0([\"n0\"])\n  v1([\"n1\"])\n  v0 --- v1\n"
        );
    }
}
