//! The clock on the wall: local time, which may jump, be set, and skip or repeat an hour twice a year.
//!
//! The only file that names jiff. What time it is says [`super::rt`], unless a test says it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::rt;
use crate::node::timetable::{DAY, Timetable, WeekMinute};

/// Days looked ahead for a change: a timetable begins anew each week, and the clocks may change within one.
const DAYS_AHEAD: i64 = 8;
const DAY_S: i64 = 86_400;

/// A clock on a wall, in a time zone.
#[derive(Clone)]
pub struct WallClock {
    unix_s: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// `None`: that of this machine, whichever it is by then.
    zone: Option<TimeZone>,
}

impl Default for WallClock {
    fn default() -> Self {
        Self {
            unix_s: Arc::new(rt::unix_s),
            zone: None,
        }
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = &self.zone;
        f.debug_struct("WallClock")
            .field("zone", zone)
            .finish_non_exhaustive()
    }
}

/// When a limit changes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Seconds until then.
    pub(crate) in_s: u64,
    /// When, for people of this machine: `Mon 18:00`.
    pub(crate) at: String,
    /// The limit from then on.
    pub(crate) rate: Option<u64>,
}

impl WallClock {
    /// One that shows what `unix_s` says, in seconds since 1970, in a zone as POSIX writes it
    /// (`CET-1CEST,M3.5.0,M10.5.0/3`). For tests.
    ///
    /// # Errors
    /// What is wrong with the zone.
    pub fn given(
        unix_s: impl Fn() -> u64 + Send + Sync + 'static,
        zone: &str,
    ) -> Result<Self, String> {
        let zone = TimeZone::posix(zone).map_err(|error| error.to_string())?;
        Ok(Self {
            unix_s: Arc::new(unix_s),
            zone: Some(zone),
        })
    }

    /// The limit that holds now, and when it changes; `None`: never.
    pub(crate) fn limit(&self, table: &Timetable) -> (Option<u64>, Option<Change>) {
        if table.periods.is_empty() {
            return (table.usual, None);
        }
        let zone = self.zone.clone().unwrap_or_else(TimeZone::system);
        let now = i64::try_from((self.unix_s)()).unwrap_or(i64::MAX);
        let rate = table.at(week_minute(&zone, now));
        let mut turns = turns(&zone, table, now);
        let next = turns.find(|at| table.at(week_minute(&zone, *at)) != rate);
        let change = next.map(|at| Change {
            in_s: at.abs_diff(now),
            at: timestamp(at)
                .to_zoned(zone.clone())
                .strftime("%a %H:%M")
                .to_string(),
            rate: table.at(week_minute(&zone, at)),
        });
        (rate, change)
    }
}

/// A time beyond what can be written is the last that can.
fn timestamp(unix_s: i64) -> Timestamp {
    Timestamp::from_second(unix_s).unwrap_or(Timestamp::MAX)
}

fn week_minute(zone: &TimeZone, unix_s: i64) -> WeekMinute {
    let local = zone.to_datetime(timestamp(unix_s));
    let weekday = local.weekday().to_monday_zero_offset();
    WeekMinute {
        weekday: weekday.unsigned_abs(),
        minute: u16::from(local.hour().unsigned_abs()) * 60
            + u16::from(local.minute().unsigned_abs()),
    }
}

/// Instants after `now` at which a limit may change, in order: the minutes that the timetable names, twice where the
/// clocks show them twice, and each change of the clocks, which may skip such a minute.
fn turns(zone: &TimeZone, table: &Timetable, now: i64) -> impl Iterator<Item = i64> + use<> {
    let end = now.saturating_add(DAYS_AHEAD * DAY_S);
    let mut all: Vec<i64> = zone
        .following(timestamp(now))
        .map(|transition| transition.timestamp().as_second())
        .take_while(|at| *at <= end)
        .collect();
    let minutes: Vec<u16> = table.turns().map(|minute| minute % DAY).collect();
    let today = zone.to_datetime(timestamp(now)).date();
    // From the day before on: by dates, since not every day has as many seconds.
    let mut date = today.yesterday();
    for _ in -1..=DAYS_AHEAD {
        let Ok(this) = date else { break };
        date = this.tomorrow();
        for minute in &minutes {
            let [hour, minute] = [minute / 60, minute % 60].map(|part| i8::try_from(part).ok());
            let (Some(hour), Some(minute)) = (hour, minute) else {
                continue;
            };
            let shown = this.at(hour, minute, 0, 0);
            all.extend(instants(zone, shown));
        }
    }
    all.retain(|at| *at > now);
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

/// When the clocks show this: once, twice, or never.
fn instants(zone: &TimeZone, shown: DateTime) -> impl Iterator<Item = i64> + use<> {
    let offsets = match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
        AmbiguousOffset::Gap { .. } => [None, None],
        AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
    };
    let instants = offsets.map(|offset| offset?.to_timestamp(shown).ok());
    instants.into_iter().flatten().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::timetable::{Days, Period};

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    /// Sunday 30 March 2025, when 02:00 became 03:00 at 01:00 UTC.
    const SPRING: u64 = 1_743_296_400;
    /// Sunday 26 October 2025, when 03:00 became 02:00 at 01:00 UTC.
    const AUTUMN: u64 = 1_761_440_400;

    fn period(days: Days, from: (u16, u16), to: (u16, u16), rate: Option<u64>) -> Period {
        let [from, to] = [from, to].map(|(hour, minute)| hour * 60 + minute);
        Period {
            days,
            from,
            to,
            rate,
        }
    }

    fn limit(table: &Timetable, unix_s: u64) -> (Option<u64>, Option<Change>) {
        let clock = WallClock::given(move || unix_s, BERLIN).expect("a zone");
        clock.limit(table)
    }

    /// As seen by looking at each minute.
    fn next_by_looking(table: &Timetable, unix_s: u64) -> Option<u64> {
        let zone = TimeZone::posix(BERLIN).expect("a zone");
        let at = |unix_s: u64| table.at(week_minute(&zone, i64::try_from(unix_s).expect("small")));
        let mut minutes = (1..8 * 24 * 60).map(|minute| (unix_s / 60 + minute) * 60);
        minutes
            .find(|minute| at(*minute) != at(unix_s))
            .map(|at| at - unix_s)
    }

    #[test]
    fn the_limit_of_now_and_its_next_change_are_those_of_the_clock_on_the_wall() {
        let weekdays = Days::NONE.with(0, 4);
        let table = Timetable {
            usual: None,
            periods: vec![period(weekdays, (8, 0), (18, 0), Some(200_000))],
        };
        // Friday 28 March 2025, 17:00 CET.
        let friday = SPRING - 2 * 86_400 + 15 * 3_600;
        let (rate, change) = limit(&table, friday);
        assert_eq!(rate, Some(200_000));
        let change = change.expect("at six");
        assert_eq!(
            (change.in_s, &*change.at, change.rate),
            (3_600, "Fri 18:00", None)
        );
        // The weekend has an hour less.
        let (rate, change) = limit(&table, friday + 3_600);
        let change = change.expect("on Monday");
        assert_eq!((rate, &*change.at), (None, "Mon 08:00"));
        assert_eq!(change.in_s, (6 + 24 + 23 + 8) * 3_600);
    }

    #[test]
    fn a_minute_that_the_clocks_skip_begins_when_they_have_and_one_shown_twice_counts_twice() {
        // Begins at half past two, which there is not.
        let table = Timetable {
            usual: None,
            periods: vec![period(Days::ALL, (2, 30), (4, 0), Some(1))],
        };
        let (rate, change) = limit(&table, SPRING - 60);
        let change = change.expect("with the clocks");
        assert_eq!((rate, change.in_s, &*change.at), (None, 60, "Sun 03:00"));
        assert_eq!(limit(&table, SPRING).0, Some(1));
        // Ends at half past two, and begins again as the clocks go back behind it.
        let early = Timetable {
            usual: None,
            periods: vec![period(Days::ALL, (1, 0), (2, 30), Some(1))],
        };
        let half = 30 * 60;
        for (at, rate) in [
            (AUTUMN - half - 60, Some(1)),
            (AUTUMN - half, None),
            (AUTUMN - 60, None),
            (AUTUMN, Some(1)),
            (AUTUMN + half, None),
        ] {
            assert_eq!(limit(&early, at).0, rate, "{at}");
        }
        let change = limit(&early, AUTUMN - half).1.expect("again");
        assert_eq!((change.in_s, change.rate), (half, Some(1)));
    }

    #[test]
    fn the_next_change_is_what_looking_at_each_minute_finds() {
        let tables = [
            vec![period(Days::ALL, (22, 0), (7, 0), None)],
            vec![
                period(Days::NONE.with(6, 6), (2, 15), (2, 45), Some(3)),
                period(Days::NONE.with(5, 6), (0, 0), (24, 0), Some(2)),
            ],
            vec![
                period(Days::NONE.with(4, 0), (23, 30), (2, 30), Some(3)),
                period(Days::ALL, (3, 0), (3, 1), None),
            ],
        ];
        for periods in tables {
            let table = Timetable {
                usual: Some(9),
                periods,
            };
            for change in [SPRING, AUTUMN] {
                for step in 0..40 {
                    let now = change - 3 * 86_400 + step * 13_127;
                    let found = limit(&table, now).1.map(|change| change.in_s);
                    assert_eq!(found, next_by_looking(&table, now), "{table:?} at {now}");
                }
            }
        }
    }

    #[test]
    fn what_never_changes_says_so() {
        let always = Timetable {
            usual: Some(9),
            periods: vec![period(Days::ALL, (0, 0), (24, 0), Some(1))],
        };
        assert_eq!(limit(&always, SPRING), (Some(1), None));
        assert_eq!(limit(&Some(9).into(), SPRING), (Some(9), None));
    }

    #[test]
    fn clocks_that_are_far_off_do_no_harm() {
        let table = Timetable {
            usual: Some(9),
            periods: vec![period(Days::ALL, (22, 0), (7, 0), None)],
        };
        for now in [0, 1 << 40, u64::MAX] {
            let (rate, _) = limit(&table, now);
            assert!([None, Some(9)].contains(&rate), "{now}");
        }
    }
}
