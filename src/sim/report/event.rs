//! What came of the events of a file.

use serde::Serialize;

/// One event, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventReport {
    /// When the file has it, since the network was up, in milliseconds.
    pub at_ms: f64,
    /// Its `do`.
    pub r#do: &'static str,
    /// When it was begun: later when something before it took longer.
    pub begun_ms: f64,
    /// When it was done.
    pub done_ms: f64,
    /// What happened, for people.
    pub said: String,
    /// Nodes that it happened to, by name; of a search those who asked.
    pub nodes: Vec<String>,
    /// Links that it happened to.
    pub links: usize,
    /// What expected searches found: one for each asker.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<Expected>,
    /// All searches found what they must.
    pub ok: bool,
}

/// A search that must find so much in some time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// Who asked.
    pub from: String,
    /// Words.
    pub query: String,
    /// TTL it was sent with.
    pub ttl: u8,
    /// The condition on the files found.
    pub hits: String,
    /// Time it had, in milliseconds.
    pub within_ms: f64,
    /// Files found by then.
    pub got: u64,
    /// Nodes that the query had come to by then, the asker not counted.
    pub reached: u64,
    /// When it was certain, since it was asked, in milliseconds.
    pub after_ms: f64,
    /// Why it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The condition holds.
    pub ok: bool,
}

impl Expected {
    /// What these searches of one event were to find and found, for people.
    pub fn said(all: &[Self]) -> String {
        match all {
            [] => "nobody was there to search".to_owned(),
            [one] => {
                let outcome = match &one.refused {
                    None => format!("got {}", one.got),
                    Some(why) => why.clone(),
                };
                let (hits, query, from, ms) = (&one.hits, &one.query, &one.from, one.within_ms);
                format!("expected {hits} hits for {query:?} from {from} within {ms} ms: {outcome}")
            }
            [first, ..] => {
                let (hits, query, ms) = (&first.hits, &first.query, first.within_ms);
                let held = all.iter().filter(|found| found.ok).count();
                let of = all.len();
                format!(
                    "expected {hits} hits for {query:?} within {ms} ms from each of {of}: so at {held}"
                )
            }
        }
    }
}

impl EventReport {
    /// One line for people.
    pub fn line(&self) -> String {
        let Self {
            begun_ms,
            done_ms,
            said,
            ok,
            ..
        } = self;
        let verdict = match (self.expected.is_empty(), ok) {
            (true, _) => "",
            (false, true) => "   ok",
            (false, false) => "   FAILED",
        };
        let (begun, took) = (begun_ms / 1_000.0, (done_ms - begun_ms) / 1_000.0);
        format!("{begun:7.2} s {took:+7.2} s   {said}{verdict}")
    }
}
