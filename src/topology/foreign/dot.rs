//! DOT, the language of Graphviz: nodes, links and chains of links, groups at either end of a link. Attributes,
//! ports and subgraph names are passed over. Source: the grammar in Graphviz' documentation, "The DOT Language".

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::CharIndices;

use super::{Drawing, Network, TopologyError};

/// Groups within groups: deeper ones are no graph that people drew.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name, bare or quoted.
    Name(String),
    /// The same, quoted: never a word of the language.
    Quoted(String),
    /// `--` or `->`.
    Join,
    /// One of `{ } [ ] ; , = :`.
    Mark(char),
}

/// The tokens of a text, each with the line it stands in.
struct Tokens<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    line: usize,
    next: Option<Token>,
}

impl<'a> Tokens<'a> {
    fn of(text: &'a str) -> Result<Self, TopologyError> {
        let mut tokens = Self {
            text,
            chars: text.char_indices().peekable(),
            line: 1,
            next: None,
        };
        tokens.next = tokens.scan()?;
        Ok(tokens)
    }

    fn place(&self) -> String {
        format!("line {}", self.line)
    }

    fn fault(&self, message: impl Into<String>) -> TopologyError {
        TopologyError::new(self.place(), message)
    }

    /// Takes the next token; `None` at the end.
    fn take(&mut self) -> Result<Option<Token>, TopologyError> {
        let next = self.scan()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// Takes the next token if it is this mark.
    fn takes(&mut self, mark: char) -> Result<bool, TopologyError> {
        let is = self.next == Some(Token::Mark(mark));
        if is {
            self.take()?;
        }
        Ok(is)
    }

    /// Is the next token this word of the language? These are written in any case.
    fn is_word(&self, word: &str) -> bool {
        matches!(&self.next, Some(Token::Name(name)) if name.eq_ignore_ascii_case(word))
    }

    fn step(&mut self) -> Option<char> {
        let (_, c) = self.chars.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn rest(&mut self) -> &'a str {
        let at = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        &self.text[at..]
    }

    fn scan(&mut self) -> Result<Option<Token>, TopologyError> {
        self.pass_over()?;
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            return Ok(None);
        };
        if rest.starts_with("--") || rest.starts_with("->") {
            self.step();
            self.step();
            return Ok(Some(Token::Join));
        }
        if matches!(c, '{' | '}' | '[' | ']' | ';' | ',' | '=' | ':' | '+') {
            self.step();
            return Ok(Some(Token::Mark(c)));
        }
        if c == '"' {
            return self.quoted().map(Some);
        }
        if c == '<' {
            return Err(self.fault("names in <HTML> are not read; give plain or quoted names"));
        }
        let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.' || !c.is_ascii();
        let mut name = String::new();
        // A number may have a sign.
        if c == '-' {
            name.extend(self.step());
        }
        while let Some((_, c)) = self.chars.peek()
            && in_name(*c)
        {
            name.extend(self.step());
        }
        if name.is_empty() || name == "-" {
            return Err(self.fault(format!("{c:?} makes no sense here")));
        }
        Ok(Some(Token::Name(name)))
    }

    /// Passes over blanks, comments, and lines that a preprocessor left.
    fn pass_over(&mut self) -> Result<(), TopologyError> {
        loop {
            let rest = self.rest();
            let at_line_start = self.text[..self.text.len() - rest.len()]
                .chars()
                .next_back()
                .is_none_or(|c| c == '\n');
            if rest.starts_with(char::is_whitespace) {
                self.step();
            } else if rest.starts_with("//") || (rest.starts_with('#') && at_line_start) {
                while self.step().is_some_and(|c| c != '\n') {}
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    return Err(self.fault("a comment has no end"));
                };
                let chars = rest[..end + 4].chars().count();
                for _ in 0..chars {
                    self.step();
                }
            } else {
                return Ok(());
            }
        }
    }

    fn quoted(&mut self) -> Result<Token, TopologyError> {
        let start = self.place();
        self.step();
        let mut text = String::new();
        loop {
            match self.step() {
                None => return Err(TopologyError::new(start, "a quoted name has no end")),
                Some('"') => return Ok(Token::Quoted(text)),
                Some('\\') => match self.step() {
                    Some('"') => text.push('"'),
                    // A line goes on.
                    Some('\n') => {}
                    other => {
                        text.push('\\');
                        text.extend(other);
                    }
                },
                Some(c) => text.push(c),
            }
        }
    }
}

pub(super) fn read(text: &str) -> Result<Drawing, TopologyError> {
    let mut tokens = Tokens::of(text)?;
    if tokens.is_word("strict") {
        tokens.take()?;
    }
    if !tokens.is_word("graph") && !tokens.is_word("digraph") {
        return Err(tokens.fault("a DOT file begins with graph or digraph"));
    }
    tokens.take()?;
    if matches!(tokens.next, Some(Token::Name(_) | Token::Quoted(_))) {
        tokens.take()?;
    }
    if !tokens.takes('{')? {
        return Err(tokens.fault("a { must follow"));
    }
    let mut drawing = Drawing::default();
    statements(&mut tokens, &mut drawing, 0)?;
    Ok(drawing)
}

/// Reads up to the closing brace. Returns the nodes named within.
fn statements(
    tokens: &mut Tokens<'_>,
    drawing: &mut Drawing,
    depth: usize,
) -> Result<Vec<u32>, TopologyError> {
    if depth > DEPTH_MAX {
        return Err(tokens.fault(format!("groups are nested deeper than {DEPTH_MAX}")));
    }
    let mut named = Vec::new();
    loop {
        if tokens.takes('}')? {
            return Ok(named);
        }
        if tokens.takes(';')? || tokens.takes(',')? {
            continue;
        }
        if tokens.next.is_none() {
            return Err(tokens.fault("a closing } is missing"));
        }
        let attributes_only = ["graph", "node", "edge"]
            .iter()
            .any(|word| tokens.is_word(word));
        if attributes_only {
            tokens.take()?;
            attributes(tokens)?;
            continue;
        }
        let mut left = end(tokens, drawing, depth)?;
        // `key = value` of the whole graph.
        if left.len() == 1 && tokens.next == Some(Token::Mark('=')) {
            return Err(tokens.fault("attributes stand in [ ] here, or behind graph"));
        }
        named.extend_from_slice(&left);
        while tokens.next == Some(Token::Join) {
            tokens.take()?;
            let right = end(tokens, drawing, depth)?;
            let line = tokens.place();
            let place = || line.clone();
            for &from in &left {
                for &to in &right {
                    drawing.join(from, to, &place)?;
                }
            }
            named.extend_from_slice(&right);
            left = right;
        }
        attributes(tokens)?;
    }
}

/// One end of a link: a node, or a group of them.
fn end(
    tokens: &mut Tokens<'_>,
    drawing: &mut Drawing,
    depth: usize,
) -> Result<Vec<u32>, TopologyError> {
    if tokens.is_word("subgraph") {
        tokens.take()?;
        if matches!(tokens.next, Some(Token::Name(_) | Token::Quoted(_))) {
            tokens.take()?;
        }
    }
    if tokens.takes('{')? {
        return statements(tokens, drawing, depth + 1);
    }
    let place = tokens.place();
    let Some(Token::Name(mut name) | Token::Quoted(mut name)) = tokens.take()? else {
        return Err(TopologyError::new(
            place,
            "the name of a node must stand here",
        ));
    };
    // "a" + "b" is one name.
    while tokens.takes('+')? {
        match tokens.take()? {
            Some(Token::Quoted(more)) => name.push_str(&more),
            _ => return Err(tokens.fault("a quoted name must follow a +")),
        }
    }
    if tokens.next == Some(Token::Mark('=')) {
        tokens.take()?;
        tokens.take()?;
        return Ok(Vec::new());
    }
    while tokens.takes(':')? {
        tokens.take()?;
    }
    Ok(vec![drawing.node(&name, &|| place.clone())?])
}

fn attributes(tokens: &mut Tokens<'_>) -> Result<(), TopologyError> {
    while tokens.takes('[')? {
        loop {
            match tokens.take()? {
                Some(Token::Mark(']')) => break,
                Some(_) => {}
                None => return Err(tokens.fault("a closing ] is missing")),
            }
        }
    }
    Ok(())
}

pub(super) fn write(network: &Network) -> String {
    let mut text = String::from("graph {\n  node [shape=circle];\n");
    let nodes = u32::try_from(network.names.len()).expect("nodes are counted in 32 bits");
    for node in 0..nodes {
        writeln!(text, "  \"{}\";", network.names.name(node)).expect("a string takes all");
    }
    for edge in &network.edges {
        let (a, b) = (network.names.name(edge.a), network.names.name(edge.b));
        writeln!(text, "  \"{a}\" -- \"{b}\";").expect("a string takes all");
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<String> {
        let drawing = read(text).unwrap();
        let name = |node: u32| drawing.names[node as usize].clone();
        let pair = |&(a, b): &(u32, u32)| format!("{}-{}", name(a), name(b));
        drawing.links.iter().map(pair).collect()
    }

    #[test]
    fn links_chains_and_groups_are_read() {
        assert_eq!(pairs("graph { a -- b -- c; d }"), ["a-b", "b-c"]);
        assert_eq!(
            pairs("digraph G { rankdir=LR; node [shape=box]; a -> {b c} [weight=2] }"),
            ["a-b", "a-c"]
        );
        assert_eq!(
            pairs("strict graph {\n# line\n/* a -- z */ \"a b\":n -- -1.5 // end\n}"),
            ["a b--1.5"]
        );
        assert_eq!(
            pairs("graph { subgraph cluster_0 { label=\"x\"; a -- b } \"a\" + \"b\" -- b }"),
            ["a-b", "ab-b"]
        );
    }

    #[test]
    fn what_is_no_dot_says_where() {
        for (text, part) in [
            ("a -- b", "line 1: a DOT file begins"),
            ("graph {\na -- b", "line 2: a closing } is missing"),
            ("graph {\n\na -- ; }", "line 3: the name of a node"),
            ("graph { \"a", "a quoted name has no end"),
            ("graph { /* a", "a comment has no end"),
            ("graph { a [label=<b>] }", "<HTML>"),
            ("graph { a ! b }", "makes no sense"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let deep = "graph ".to_owned() + &"{".repeat(100_000);
        assert!(read(&deep).unwrap_err().to_string().contains("nested"));
    }
}
