//! GraphML: `node` and `edge` elements, wherever they stand; data, keys and hyperedges are passed over. Source: the
//! GraphML primer, and files that `NetworkX` and igraph wrote.

use std::fmt::Write as _;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{Drawing, Network, TopologyError};

pub(super) fn read(text: &str) -> Result<Drawing, TopologyError> {
    let mut reader = Reader::from_str(text);
    let mut drawing = Drawing::default();
    let mut is_graphml = false;
    loop {
        let event = reader.read_event();
        let place = || {
            let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
            let line = before.split(|byte| *byte == b'\n').count();
            format!("line {line}")
        };
        let fault = |message: String| TopologyError::new(place(), message);
        match event {
            Err(error) => return Err(fault(format!("is no XML: {error}"))),
            Ok(Event::Eof) => break,
            Ok(Event::Start(element) | Event::Empty(element)) => {
                match element.local_name().as_ref() {
                    "graphml" => is_graphml = true,
                    "node" if is_graphml => {
                        let id = attribute(&element, "id").map_err(fault)?;
                        drawing.node(&id, &place)?;
                    }
                    "edge" if is_graphml => {
                        let from = attribute(&element, "source").map_err(fault)?;
                        let to = attribute(&element, "target").map_err(fault)?;
                        drawing.link(&from, &to, &place)?;
                    }
                    _ => {}
                }
            }
            Ok(_) => {}
        }
    }
    if is_graphml {
        Ok(drawing)
    } else {
        Err(TopologyError::new("", "holds no graphml element"))
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<String, String> {
    let kind = element.local_name().as_ref().to_owned();
    let found = element
        .try_get_attribute(name)
        .map_err(|error| format!("<{kind}> is no XML: {error}"))?;
    let found = found.ok_or_else(|| format!("<{kind}> has no {name}"))?;
    let value = found.normalized_value(XmlVersion::Implicit1_0);
    let value = value.map_err(|error| format!("{name} of <{kind}> cannot be read: {error}"))?;
    Ok(value.into_owned())
}

pub(super) fn write(network: &Network) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n  <graph edgedefault=\"undirected\">\n",
    );
    // Names hold letters, digits, '-', '_' and '.': nothing to escape.
    let nodes = u32::try_from(network.names.len()).expect("nodes are counted in 32 bits");
    for node in 0..nodes {
        let name = network.names.name(node);
        writeln!(text, "    <node id=\"{name}\"/>").expect("a string takes all");
    }
    for edge in &network.edges {
        let (a, b) = (network.names.name(edge.a), network.names.name(edge.b));
        writeln!(text, "    <edge source=\"{a}\" target=\"{b}\"/>").expect("a string takes all");
    }
    text.push_str("  </graph>\n</graphml>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_edges_are_read_with_what_xml_does_to_names() {
        let text = "<?xml version='1.0'?><graphml xmlns='x'><key id='d0' for='node'/>\n\
                    <graph edgedefault='undirected'><node id='a'><data key='d0'>1</data></node>\n\
                    <node id='b &amp; c'/><edge source='a' target='b &#38; c'/></graph></graphml>";
        let drawing = read(text).unwrap();
        assert_eq!(drawing.names, ["a", "b & c"]);
        assert_eq!(drawing.links, [(0, 1)]);
    }

    #[test]
    fn what_is_no_graphml_says_where() {
        for (text, part) in [
            ("<html></html>", "no graphml element"),
            (
                "<graphml><graph>\n<node/></graph></graphml>",
                "line 2: <node> has no id",
            ),
            ("<graphml><edge source='a'/></graphml>", "has no target"),
            ("<graphml><node id='&bomb;'/></graphml>", "cannot be read"),
            ("<graphml><node id='a></graphml>", "is no XML"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
