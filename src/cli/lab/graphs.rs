//! `lab import`, `lab export`: graphs of other programs, in and out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::cli::args::lab::{ExportArgs, ImportArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::topology::Links;
use crate::topology::foreign::{self, Format, LeftOut, Piece, packed};

use super::source;

/// Bytes of a graph, unpacked: more links than a topology may have are longer in any format.
const GRAPH_BYTES_MAX: u64 = 4 << 30;
/// How a file packed with gzip begins. Source: RFC 1952, 2.3.1.
const GZIP: [u8; 2] = [0x1F, 0x8B];
/// What packed links are called: bytes, where all other formats are text.
pub(super) const PACKED: &str = "packed";

/// Prints a graph of another program as a topology; what was left out is said.
///
/// # Errors
/// The file cannot be read, or is none: with the line and the way out.
pub(super) fn import(args: &ImportArgs, output: &Output) -> Result<Exit, Failure> {
    let format = match &args.format {
        Some(name) => named(&Format::READ, name),
        None => Format::of_name(&args.file).unwrap_or(Format::Edges),
    };
    let wrong = |error: String| Failure::new(Exit::Usage, format!("{}: {error}", args.file));
    let text = read(&args.file).map_err(|error| {
        wrong(format!(
            "cannot be read: {error}; name an edge list, or a CSV, GraphML or DOT file"
        ))
    })?;
    let piece = if args.largest {
        Piece::Largest
    } else {
        Piece::Whole
    };
    let (mut topology, left) =
        foreign::read(format, &text, piece).map_err(|error| wrong(error.to_string()))?;
    let file = Path::new(&args.file);
    let stem = file.file_stem().map(|stem| stem.to_string_lossy());
    topology.name = stem
        .filter(|_| args.file != "-")
        .unwrap_or_default()
        .into_owned();
    let (nodes, links) = (topology.nodes.len(), topology.links.len());
    output.say(&format!("{nodes} nodes, {links} links{}", said(left)));
    output.bytes(topology.to_json().as_bytes())?;
    Ok(Exit::Good)
}

/// Prints a topology for another program.
///
/// # Errors
/// It is none, or says something wrong.
pub(super) fn export(args: &ExportArgs, output: &Output) -> Result<Exit, Failure> {
    let source = source::load(&args.topology, args.seed)?;
    if args.to == PACKED {
        let network = &source.network;
        let links = Links {
            nodes: u32::try_from(network.names.len()).expect("nodes are counted in 32 bits"),
            pairs: network.edges.iter().map(|edge| (edge.a, edge.b)).collect(),
        };
        let about = if source.topology.about.is_empty() {
            &network.describe
        } else {
            &source.topology.about
        };
        output.bytes(&packed::write(&links, about))?;
        return Ok(Exit::Good);
    }
    let text = foreign::write(named(&Format::WRITTEN, &args.to), &source.network);
    output.bytes(text.as_bytes())?;
    Ok(Exit::Good)
}

fn named(formats: &[(&str, Format)], name: &str) -> Format {
    let found = formats.iter().find(|(known, _)| *known == name);
    found.expect("the parser lets no others through").1
}

fn said(left: LeftOut) -> String {
    let parts = [
        (left.loops, "of a node to itself"),
        (left.doubles, "a second time between the same nodes"),
        (left.nodes, "outside the largest piece"),
    ];
    let mut text: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("left out {count} {what}"))
        .collect();
    if left.renamed > 0 {
        text.push(format!("renamed {}", left.renamed));
    }
    if text.is_empty() {
        String::new()
    } else {
        format!("; {}", text.join(", "))
    }
}

/// The graph of a file, which a topology names.
///
/// # Errors
/// It cannot be read, or is none: with the line.
pub(super) fn links(file: &Path) -> Result<Links, String> {
    let bytes = File::open(file).and_then(within_bounds);
    let bytes = bytes.map_err(|error| format!("cannot be read: {error}"))?;
    links_of(&file.to_string_lossy(), bytes)
}

/// The graph in these bytes of a file of that name.
///
/// # Errors
/// They are none: with the line.
pub(super) fn links_of(name: &str, bytes: Vec<u8>) -> Result<Links, String> {
    if bytes.starts_with(packed::MAGIC) {
        let read = packed::read(&bytes).map(|(links, _)| links);
        return read.map_err(|error| error.to_string());
    }
    let text = unpacked(bytes).map_err(|error| error.to_string())?;
    let format = Format::of_name(name).unwrap_or(Format::Edges);
    foreign::read_links(format, &text).map_err(|error| error.to_string())
}

fn read(name: &str) -> io::Result<String> {
    unpacked(if name == "-" {
        within_bounds(io::stdin().lock())?
    } else {
        within_bounds(File::open(name)?)?
    })
}

fn unpacked(bytes: Vec<u8>) -> io::Result<String> {
    let bytes = if bytes.starts_with(&GZIP) {
        within_bounds(MultiGzDecoder::new(bytes.as_slice()))?
    } else {
        bytes
    };
    String::from_utf8(bytes).map_err(|_| io::Error::other("is no text in UTF-8"))
}

fn within_bounds(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(GRAPH_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > GRAPH_BYTES_MAX {
        return Err(io::Error::other("has more than 4 GiB"));
    }
    Ok(bytes)
}
