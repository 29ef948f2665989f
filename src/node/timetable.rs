//! Limits that change with the time of day: which one holds at which minute of a week. Knows no clock and no time zone.

/// Minutes of a day.
pub const DAY: u16 = 24 * 60;

/// A minute of a week on the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeekMinute {
    /// 0: Monday, 6: Sunday.
    pub weekday: u8,
    /// Since midnight, below [`DAY`].
    pub minute: u16,
}

/// Days of a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// All of them.
    pub const ALL: Self = Self(0x7F);
    /// None.
    pub const NONE: Self = Self(0);

    /// From one weekday to another, both included, over the end of the week if need be. 0: Monday, 6: Sunday.
    #[must_use]
    pub fn with(self, from: u8, to: u8) -> Self {
        let mut days = self;
        let (from, to) = (from % 7, to % 7);
        for day in 0..=(to + 7 - from) % 7 {
            days.0 |= 1 << ((from + day) % 7);
        }
        days
    }

    fn has(self, weekday: u8) -> bool {
        self.0 & 1 << (weekday % 7) != 0
    }
}

/// A limit for part of the day; not to be mixed up with upload slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Days on which it begins.
    pub days: Days,
    /// First minute of the day.
    pub from: u16,
    /// Minute after the last one, up to [`DAY`]; at or before `from` it is one of the next day.
    pub to: u16,
    /// Bytes a second; `None`: no limit.
    pub rate: Option<u64>,
}

impl Period {
    fn holds(&self, at: WeekMinute) -> bool {
        let yesterday = (at.weekday + 6) % 7;
        if self.from < self.to {
            self.days.has(at.weekday) && (self.from..self.to).contains(&at.minute)
        } else {
            self.days.has(at.weekday) && at.minute >= self.from
                || self.days.has(yesterday) && at.minute < self.to
        }
    }
}

/// Which limit holds when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timetable {
    /// Bytes a second where no period says otherwise; `None`: no limit.
    pub usual: Option<u64>,
    /// Of those that hold at a time, the first counts.
    pub periods: Vec<Period>,
}

impl Timetable {
    /// The limit at this minute.
    pub fn at(&self, at: WeekMinute) -> Option<u64> {
        let period = self.periods.iter().find(|period| period.holds(at));
        period.map_or(self.usual, |period| period.rate)
    }

    /// The lowest that ever holds; `None`: there is never a limit.
    pub fn least(&self) -> Option<u64> {
        let periods = self.periods.iter().filter_map(|period| period.rate);
        periods.chain(self.usual).min()
    }

    /// Minutes of a day at which it may change.
    pub fn turns(&self) -> impl Iterator<Item = u16> {
        self.periods
            .iter()
            .flat_map(|period| [period.from, period.to])
    }
}

impl From<Option<u64>> for Timetable {
    fn from(usual: Option<u64>) -> Self {
        Self {
            usual,
            periods: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MON: u8 = 0;
    const FRI: u8 = 4;
    const SAT: u8 = 5;
    const SUN: u8 = 6;

    fn at(weekday: u8, hour: u16, minute: u16) -> WeekMinute {
        let minute = hour * 60 + minute;
        WeekMinute { weekday, minute }
    }

    fn period(days: Days, from: u16, to: u16, rate: Option<u64>) -> Period {
        let [from, to] = [from, to].map(|hour| hour * 60);
        Period {
            days,
            from,
            to,
            rate,
        }
    }

    #[test]
    fn the_first_period_that_holds_counts_and_else_the_usual_limit() {
        let table = Timetable {
            usual: Some(5),
            periods: vec![
                period(Days::ALL, 22, 7, None),
                period(Days::NONE.with(MON, FRI), 6, 18, Some(2)),
            ],
        };
        for (when, limit) in [
            (at(MON, 6, 59), None),
            (at(MON, 7, 0), Some(2)),
            (at(MON, 17, 59), Some(2)),
            (at(MON, 18, 0), Some(5)),
            (at(MON, 22, 0), None),
            (at(SAT, 12, 0), Some(5)),
        ] {
            assert_eq!(table.at(when), limit, "{when:?}");
        }
        assert_eq!(table.least(), Some(2));
        assert_eq!(Timetable::from(None).least(), None);
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let table = Timetable {
            usual: None,
            periods: vec![period(Days::NONE.with(FRI, FRI), 22, 7, Some(1))],
        };
        for (when, limit) in [
            (at(FRI, 6, 0), None),
            (at(FRI, 22, 0), Some(1)),
            (at(SAT, 6, 59), Some(1)),
            (at(SAT, 7, 0), None),
            (at(SAT, 22, 0), None),
        ] {
            assert_eq!(table.at(when), limit, "{when:?}");
        }
    }

    #[test]
    fn days_go_over_the_end_of_the_week_and_whole_days_have_no_gap() {
        let weekend = Days::NONE.with(FRI, MON);
        assert!([FRI, SAT, SUN, MON].iter().all(|day| weekend.has(*day)));
        assert!(![1, 2, 3].iter().any(|day| weekend.has(*day)));
        assert_eq!(Days::NONE.with(MON, SUN), Days::ALL);
        let whole = period(Days::ALL, 0, 24, Some(1));
        assert!((0..7).all(|day| whole.holds(at(day, 0, 0)) && whole.holds(at(day, 23, 59))));
    }
}
