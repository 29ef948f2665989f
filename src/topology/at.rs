//! A place in a JSON document: its value, and the path to it for errors.

use std::fmt::Write as _;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::TopologyError;
use super::names::nearest;
use super::units::{parse_duration, parse_rate, parse_size};

type Result<T> = std::result::Result<T, TopologyError>;

/// A JSON document in which no object names a key twice.
pub(super) struct Document(pub(super) Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Strict).map(Self)
    }
}

struct Strict;

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Document(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Document(value))) = map.next_entry::<String, _>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!(
                    "the key {key:?} is there twice; keep one"
                )));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    value: &'a Value,
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self {
            value,
            parent: None,
            step: Step::Root,
        }
    }

    fn path(&self) -> String {
        let mut path = self.parent.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => {
                let _ = write!(path, ".{key}");
            }
            Step::Index(index) => {
                let _ = write!(path, "[{index}]");
            }
        }
        path
    }

    /// An error about this value.
    pub(super) fn fault(&self, message: impl Into<String>) -> TopologyError {
        TopologyError::new(self.path(), message)
    }

    fn wrong(&self, wanted: &str) -> TopologyError {
        let mut is = self.value.to_string();
        if let Some((cut, _)) = is.char_indices().nth(40) {
            is.truncate(cut);
            is.push_str("...");
        }
        self.fault(format!("must be {wanted}, but is {is}"))
    }

    pub(super) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_string()
    }

    /// This value as an object that has no other keys than `keys`.
    pub(super) fn object(&'a self, keys: &[&str]) -> Result<Object<'a>> {
        let Value::Object(map) = self.value else {
            return Err(self.wrong("an object"));
        };
        match map.keys().find(|key| !keys.contains(&key.as_str())) {
            None => Ok(Object { at: self, map }),
            Some(unknown) => {
                let stray = At {
                    value: self.value,
                    parent: Some(self),
                    step: Step::Key(unknown),
                };
                Err(stray.fault(match nearest(unknown, keys.iter().copied()) {
                    Some(near) => format!("unknown key; did you mean {near:?}?"),
                    None => format!("unknown key; known here: {}", keys.join(", ")),
                }))
            }
        }
    }

    /// The items of this array.
    pub(super) fn list(&'a self) -> Result<impl ExactSizeIterator<Item = At<'a>>> {
        let Value::Array(items) = self.value else {
            return Err(self.wrong("an array"));
        };
        let at = move |(index, value)| At {
            value,
            parent: Some(self),
            step: Step::Index(index),
        };
        Ok(items.iter().enumerate().map(at))
    }

    pub(super) fn text(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.wrong("a text"))
    }

    pub(super) fn flag(&self) -> Result<bool> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong("true or false"))
    }

    /// A whole number from `min` to `max`.
    pub(super) fn whole(&self, min: u64, max: u64) -> Result<u64> {
        let number = self.value.as_u64().filter(|n| (min..=max).contains(n));
        number.ok_or_else(|| self.wrong(&format!("a whole number from {min} to {max}")))
    }

    /// As [`whole`](Self::whole), as a size in memory.
    pub(super) fn count(&self, min: usize, max: usize) -> Result<usize> {
        let number = self.whole(min as u64, max as u64)?;
        Ok(usize::try_from(number).expect("it is at most a usize"))
    }

    /// A number from `min` to `max`.
    pub(super) fn real(&self, min: f64, max: f64) -> Result<f64> {
        let number = self.value.as_f64().filter(|n| (min..=max).contains(n));
        number.ok_or_else(|| self.wrong(&format!("a number from {min} to {max}")))
    }

    pub(super) fn duration(&self) -> Result<Duration> {
        let span = self.value.as_str().and_then(parse_duration);
        span.ok_or_else(|| self.wrong("a time with its unit, such as \"5ms\""))
    }

    pub(super) fn size(&self) -> Result<u64> {
        let size = self
            .value
            .as_u64()
            .or_else(|| self.value.as_str().and_then(parse_size));
        size.ok_or_else(|| self.wrong("a number of bytes, such as 1200 or \"1.2MB\""))
    }

    pub(super) fn rate(&self) -> Result<u64> {
        let rate = self.value.as_str().and_then(parse_rate);
        rate.ok_or_else(|| self.wrong("bytes a second, such as \"2MB/s\""))
    }

    /// One of these words.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&'static str, T)]) -> Result<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let known = || words.iter().map(|(word, _)| *word);
        Err(self.fault(match nearest(text, known()) {
            Some(near) => format!("unknown word {text:?}; did you mean {near:?}?"),
            None => format!(
                "unknown word {text:?}; known here: {}",
                known().collect::<Vec<_>>().join(", ")
            ),
        }))
    }
}

/// An object whose keys are known to be right.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    at: &'a At<'a>,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn get(&self, key: &'a str) -> Option<At<'a>> {
        self.map.get(key).map(|value| At {
            value,
            parent: Some(self.at),
            step: Step::Key(key),
        })
    }

    pub(super) fn need(&self, key: &'a str) -> Result<At<'a>> {
        self.get(key)
            .ok_or_else(|| self.at.fault(format!("the key {key:?} is missing")))
    }

    /// The value of a key, read by `read`, if the key is there.
    pub(super) fn read<T>(
        &self,
        key: &'a str,
        read: impl FnOnce(&At<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.get(key).map(|at| read(&at)).transpose()
    }

    /// The items of an array, each read by `read`; none when the key is not there.
    pub(super) fn each<T>(
        &self,
        key: &'a str,
        read: impl Fn(&At<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(at) => at.list()?.map(|item| read(&item)).collect(),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.map.keys().map(String::as_str)
    }
}
