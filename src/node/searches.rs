//! Our own searches: which ticket a hit belongs to.

use std::borrow::Cow;

use bytes::Bytes;

use crate::wire::query::{Query, QueryFlags};
use crate::wire::{Frame, Guid, Header, Kind, WireError};

use super::event::{SearchSpec, Ticket};
use super::{limits, words};

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) ticket: Ticket,
    /// The query as it goes out, with its TTL.
    pub(super) query: Frame,
    /// Records in the hits so far.
    results: u16,
}

/// The searches under way; at most [`limits::SEARCHES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Searches {
    running: Vec<Search>,
}

impl Searches {
    pub(super) fn is_full(&self) -> bool {
        self.running.len() >= limits::SEARCHES_MAX
    }

    pub(super) fn start(&mut self, ticket: Ticket, query: Frame) {
        self.running.push(Search {
            ticket,
            query,
            results: 0,
        });
    }

    /// Ends a search; gives its message id.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<Guid> {
        let at = self
            .running
            .iter()
            .position(|search| search.ticket == ticket)?;
        Some(self.running.remove(at).query.header.guid)
    }

    /// Results came for a search of ours.
    pub(super) fn count_results(&mut self, guid: &Guid, results: u16) {
        if let Some(search) = self
            .running
            .iter_mut()
            .find(|search| search.query.header.guid == *guid)
        {
            // One below "stop", which has a meaning of its own.
            search.results = search.results.saturating_add(results).min(u16::MAX - 1);
        }
    }

    /// Results a search of ours has so far.
    pub(super) fn results(&self, guid: &Guid) -> Option<u16> {
        self.running
            .iter()
            .find(|search| search.query.header.guid == *guid)
            .map(|search| search.results)
    }

    pub(super) fn ticket(&self, guid: &Guid) -> Option<Ticket> {
        self.running
            .iter()
            .find(|search| search.query.header.guid == *guid)
            .map(|search| search.ticket)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Search> {
        self.running.iter()
    }
}

/// The query frame of a search: words folded, each once (overlay, "Search text rules").
///
/// # Errors
/// Nothing to look for, or more than fits in one query.
pub(super) fn query_frame(
    spec: &SearchSpec,
    guid: Guid,
    ttl: u8,
    flags: QueryFlags,
) -> Result<Frame, String> {
    let mut text = String::new();
    words::each_word(&spec.text, |word| {
        if !text.split(' ').any(|known| known == word) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
    });
    if text.chars().count() < 2 && spec.sha1.is_none() {
        return Err(
            "nothing to search for: give at least one word of two characters, or a hash".to_owned(),
        );
    }
    let query = Query {
        flags,
        text: Cow::Owned(text),
        sha1s: spec.sha1.into_iter().collect(),
        media: spec.media,
    };
    let payload = query.build().map_err(|error| match error {
        WireError::Limit(_) => {
            "the search is too long for one query of 256 bytes: use fewer words".to_owned()
        }
        other => other.to_string(),
    })?;
    Ok(Frame {
        header: Header {
            guid,
            kind: Kind::Query,
            ttl,
            hops: 0,
        },
        payload: Bytes::from(payload),
    })
}
