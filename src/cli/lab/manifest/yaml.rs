//! YAML for people to read, from our own values only: block style, names plain, all else in quotes.
//!
//! Reading is not ours. Whatever could be taken for something else than text (`no`, `1e3`, `a: b`) is quoted, so that
//! readers of YAML 1.1 and 1.2 agree. Source: YAML 1.2.2, 5.1 (characters), 7.3.1 (double quotes), 8.1.2 (literals).

use std::fmt::Write as _;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yaml {
    /// Text.
    Text(String),
    /// Text of several lines, as it stands.
    Lines(String),
    /// Whole number.
    Number(u64),
    /// Yes or no.
    Bool(bool),
    /// List, one item a line.
    List(Vec<Yaml>),
    /// List of words on one line.
    Words(Vec<String>),
    /// Keys in this order.
    Map(Vec<(String, Yaml)>),
    /// A map that others may take over by this name.
    Anchor(&'static str, Vec<(String, Yaml)>),
    /// That map.
    Alias(&'static str),
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Yaml {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Yaml {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// A map with these keys.
pub(super) fn map<const N: usize>(pairs: [(&str, Yaml); N]) -> Yaml {
    Yaml::Map(pairs.map(|(key, value)| (key.to_owned(), value)).into())
}

/// A list of these.
pub(super) fn list<const N: usize>(items: [Yaml; N]) -> Yaml {
    Yaml::List(items.into())
}

/// A list of words on one line.
pub(super) fn words(words: &[&str]) -> Yaml {
    Yaml::Words(words.iter().map(|word| (*word).to_owned()).collect())
}

impl Yaml {
    /// The text of a document whose root this is.
    pub(super) fn document(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    /// Writes what follows a key or a dash, up to the end of its last line.
    fn after(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(pairs) if !pairs.is_empty() => {
                out.push('\n');
                self.write(out, indent + 2);
            }
            Self::List(items) if !items.is_empty() => {
                out.push('\n');
                self.write(out, indent + 2);
            }
            Self::Anchor(name, pairs) => {
                let _ = writeln!(out, " &{name}");
                write_map(out, pairs, indent + 2);
            }
            Self::Lines(text) if fits_literal(text) => {
                out.push_str(" |\n");
                for line in text.lines() {
                    let _ = writeln!(out, "{:1$}{line}", "", indent + 2);
                }
            }
            other => {
                let _ = writeln!(out, " {}", other.flow());
            }
        }
    }

    fn write(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(pairs) => write_map(out, pairs, indent),
            Self::List(items) => {
                for item in items {
                    let at = out.len();
                    match item {
                        Self::Map(pairs) if !pairs.is_empty() => {
                            write_map(out, pairs, indent + 2);
                            // The first key stands on the line of the dash.
                            let dash = at + indent;
                            out.replace_range(dash..=dash, "-");
                        }
                        item => {
                            let _ = write!(out, "{:indent$}-", "");
                            item.after(out, indent);
                        }
                    }
                }
            }
            other => {
                let _ = writeln!(out, "{:indent$}{}", "", other.flow());
            }
        }
    }

    /// On one line.
    fn flow(&self) -> String {
        let joined = |parts: Vec<String>| format!("[{}]", parts.join(", "));
        match self {
            Self::Text(text) | Self::Lines(text) => scalar(text),
            Self::Number(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Words(words) => joined(words.iter().map(|word| scalar(word)).collect()),
            Self::List(items) => joined(items.iter().map(Self::flow).collect()),
            Self::Map(pairs) | Self::Anchor(_, pairs) => {
                let pair = |(key, value): &(String, Self)| format!("{key}: {}", value.flow());
                let pairs: Vec<String> = pairs.iter().map(pair).collect();
                format!("{{{}}}", pairs.join(", "))
            }
            Self::Alias(name) => format!("*{name}"),
        }
    }
}

fn write_map(out: &mut String, pairs: &[(String, Yaml)], indent: usize) {
    for (key, value) in pairs {
        let key = if key == "<<" {
            key.clone()
        } else {
            scalar(key)
        };
        let _ = write!(out, "{:indent$}{key}:", "");
        value.after(out, indent);
    }
}

/// Text as a plain scalar where nobody can take it for anything else, else in double quotes.
fn scalar(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    let first = |b: &u8| b.is_ascii_alphabetic() || *b == b'/';
    if text.as_bytes().first().is_some_and(first) && text.bytes().all(plain) && !is_word(text) {
        return text.to_owned();
    }
    // A JSON string is a YAML one but for characters that YAML wants escaped, and those that are line breaks in 1.1.
    let json = serde_json::to_string(text).expect("text is JSON");
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_printable(c) {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
    }
    out
}

/// Words that some reader takes for a truth value, nothing or a number (YAML 1.1 types bool, null, float).
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan",
    ];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// May stand in a document as it is. Line breaks of YAML 1.1 may not.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}'
        )
}

/// Can stand as a literal block, which has no escapes, and says the same with its one line break at the end.
fn fits_literal(text: &str) -> bool {
    let printable = |c: char| c == '\n' || is_printable(c);
    text.chars().all(printable)
        && text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_go_without_quotes() {
        for plain in [
            "n0",
            "/lab/topology.json",
            "ring-12",
            "v1",
            "NetworkPolicy",
            "a.b_c",
        ] {
            assert_eq!(scalar(plain), plain);
        }
        for quoted in [
            "", "no", "Off", "NULL", "y", "12", "1e3", "0x1F", "-", "-a", "a: b", "a #b", "{id}",
            "*a", "&a", "!a", "~", "=", "<<", "64M", "a:b", " a", "a ", "%", "@a", "`", ".nan",
            "é",
        ] {
            assert_eq!(scalar(quoted), format!("{quoted:?}"), "{quoted}");
        }
        assert_eq!(scalar("a\"\\\n\t"), r#""a\"\\\n\t""#);
        assert_eq!(
            scalar("\u{7f}\u{85}\u{2028}\u{feff}"),
            r#""\u007f\u0085\u2028\ufeff""#
        );
    }

    #[test]
    fn blocks_are_indented_as_readers_want_them() {
        let value = map([
            (
                "x-node",
                Yaml::Anchor("node", vec![("image".to_owned(), "a:b".into())]),
            ),
            ("empty", map([])),
            ("none", list([])),
            (
                "ports",
                list([
                    map([("name", "tcp".into()), ("port", 6346.into())]),
                    map([("name", "udp".into()), ("to", map([("a", true.into())]))]),
                    "word".into(),
                    list([words(&["a", "b c"])]),
                ]),
            ),
            ("node", map([("<<", Yaml::Alias("node"))])),
            ("text", Yaml::Lines("{\n  \"a\": 1\n}\n".to_owned())),
            ("odd", Yaml::Lines(" a\n".to_owned())),
        ]);
        let text = "\
x-node: &node
  image: \"a:b\"
empty: {}
none: []
ports:
  - name: tcp
    port: 6346
  - name: udp
    to:
      a: true
  - word
  -
    - [a, \"b c\"]
node:
  <<: *node
text: |
  {
    \"a\": 1
  }
odd: \" a\\n\"
";
        assert_eq!(value.document(), text);
    }
}
