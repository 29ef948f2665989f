//! How many bytes a second the files of a node may take, up and down: kept at what the timetables say now.

use std::sync::Arc;
use std::time::Duration;

use super::download::Limit;
use super::local_time::{Change, WallClock};
use super::rt;
use super::upload::Serving;
use crate::control;
use crate::node::timetable::Timetable;

/// The clock on the wall is looked at so often: it may be set, and other clocks do not notice. Our choice.
const LOOK: Duration = Duration::from_secs(10);

/// The limits of a node.
#[derive(Debug)]
pub(crate) struct Limits {
    up: Timetable,
    down: Timetable,
    clock: WallClock,
    serving: Arc<Serving>,
    /// Of all its downloads together.
    downloads: Limit,
}

impl Limits {
    /// From now on, as far as [`keep`](Self::keep) runs.
    pub(crate) fn new(
        up: Timetable,
        down: Timetable,
        clock: WallClock,
        serving: Arc<Serving>,
    ) -> Self {
        let limits = Self {
            up,
            down,
            clock,
            serving,
            downloads: Limit::for_the_line(),
        };
        limits.set();
        limits
    }

    /// What its downloads share.
    pub(crate) fn downloads(&self) -> Limit {
        self.downloads.clone()
    }

    /// Keeps both at what holds, as long as that may change.
    pub(crate) async fn keep(self: Arc<Self>) {
        while !(self.up.periods.is_empty() && self.down.periods.is_empty()) {
            let next = self.set();
            let wait = next.map_or(LOOK, |in_s| Duration::from_secs(in_s).min(LOOK));
            rt::sleep(wait).await;
        }
    }

    /// Sets both to what holds now; seconds until the next change.
    fn set(&self) -> Option<u64> {
        let (up, up_next) = self.clock.limit(&self.up);
        let (down, down_next) = self.clock.limit(&self.down);
        self.serving.set_limit(up);
        self.downloads.set(down);
        [up_next, down_next]
            .into_iter()
            .flatten()
            .map(|next| next.in_s)
            .min()
    }

    /// What holds now, for people.
    pub(crate) fn shown(&self) -> control::Limits {
        let shown = |table| {
            let (rate, next) = self.clock.limit(table);
            let next =
                next.map(|Change { in_s, at, rate }| control::LimitChange { in_s, at, rate });
            control::Limit { rate, next }
        };
        control::Limits {
            up: shown(&self.up),
            down: shown(&self.down),
        }
    }
}
