//! `--limit-up` and `--limit-down`: a rate, and others at times of the day.

use std::str::FromStr;

use super::values::{BadValue, Rate};
use crate::cli::exit::{Exit, Failure};
use crate::node::timetable::{DAY, Days, Period, Timetable};

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One value of such a flag: `5MB/s`, `none`, `22:00-07:00=off` or `mon-fri,08:00-18:00=200K`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitWord {
    /// What holds unless a period says otherwise.
    Usual(Option<u64>),
    /// What holds then.
    During(Period),
}

impl FromStr for LimitWord {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let rate = |text: &str| match text {
            "off" => Ok(None),
            text => text.parse::<Rate>().map(|rate| rate.0),
        };
        let Some((when, how_much)) = text.split_once('=') else {
            return rate(text).map(Self::Usual);
        };
        let bad = |what: &str| {
            BadValue::new(format!(
                "`{text}`: {what}; give a rate such as 5MB/s, or when and how much, such as 22:00-07:00=off or \
                 mon-fri,08:00-18:00=200kB/s"
            ))
        };
        let rate = rate(how_much).map_err(|_| bad(&format!("`{how_much}` is not a rate")))?;
        let (days, hours) = when
            .rsplit_once(',')
            .map_or((None, when), |(days, hours)| (Some(days), hours));
        let days = match days {
            None => Days::ALL,
            Some(days) => days.split(',').try_fold(Days::NONE, |all, one| {
                let (from, to) = one.split_once('-').unwrap_or((one, one));
                let days = weekday(from).zip(weekday(to));
                let (from, to) =
                    days.ok_or_else(|| bad(&format!("`{one}` is no day, mon to sun")))?;
                Ok(all.with(from, to))
            })?,
        };
        let (from, to) = hours
            .split_once('-')
            .and_then(|(from, to)| time(from).zip(time(to)))
            .ok_or_else(|| bad(&format!("`{hours}` are no hours, such as 22:00-07:00")))?;
        if from == to || from == DAY {
            return Err(bad("it has no length; a whole day is 00:00-24:00"));
        }
        Ok(Self::During(Period {
            days,
            from,
            to,
            rate,
        }))
    }
}

fn weekday(text: &str) -> Option<u8> {
    let at = WEEKDAYS
        .iter()
        .position(|day| text.eq_ignore_ascii_case(day))?;
    u8::try_from(at).ok()
}

/// `07:00`, as minutes of the day; up to `24:00`.
fn time(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (digits(hour)?, digits(minute).filter(|_| minute.len() == 2)?);
    let time = hour * 60 + minute;
    (minute < 60 && time <= DAY).then_some(time)
}

/// What all values of one flag say together.
///
/// # Errors
/// Exit 2: two rates for the same time.
pub fn timetable(flag: &str, words: &[LimitWord]) -> Result<Timetable, Failure> {
    let (mut usual, mut table) = (None, Timetable::default());
    for word in words {
        match word {
            LimitWord::During(period) => table.periods.push(*period),
            LimitWord::Usual(rate) if usual.is_none() => usual = Some(*rate),
            LimitWord::Usual(_) => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!(
                        "{flag} has two rates; give one, and others with their hours, such as 22:00-07:00=off"
                    ),
                ));
            }
        }
    }
    table.usual = usual.flatten();
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn during(days: Days, from: u16, to: u16, rate: Option<u64>) -> LimitWord {
        LimitWord::During(Period {
            days,
            from,
            to,
            rate,
        })
    }

    #[test]
    fn rates_stand_alone_or_with_their_hours() {
        let weekdays = Days::NONE.with(0, 4);
        let some = Days::NONE.with(0, 0).with(5, 6);
        for (text, word) in [
            ("5MB/s", LimitWord::Usual(Some(5_000_000))),
            ("none", LimitWord::Usual(None)),
            ("off", LimitWord::Usual(None)),
            ("22:00-07:00=off", during(Days::ALL, 22 * 60, 7 * 60, None)),
            (
                "mon-fri,08:00-18:00=200K",
                during(weekdays, 480, 1080, Some(200_000)),
            ),
            (
                "Sat-sun,MON,0:00-24:00=1MiB/s",
                during(some, 0, DAY, Some(1 << 20)),
            ),
        ] {
            assert_eq!(text.parse(), Ok(word), "{text}");
        }
    }

    #[test]
    fn what_is_no_limit_says_what_would_be_one() {
        for (text, part) in [
            ("fast", "5MB/s"),
            ("22:00-07:00=fast", "`fast` is not a rate"),
            ("22-7=off", "`22-7` are no hours"),
            ("22:00=off", "are no hours"),
            ("22:60-23:00=off", "are no hours"),
            ("24:01-23:00=off", "are no hours"),
            ("8:5-9:00=off", "are no hours"),
            ("08:00-08:00=off", "00:00-24:00"),
            ("24:00-08:00=off", "00:00-24:00"),
            ("mon-foo,08:00-09:00=off", "`mon-foo` is no day"),
            ("=off", "are no hours"),
            ("08:00-09:00=0", "not a rate"),
        ] {
            let error = text.parse::<LimitWord>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn one_rate_is_the_usual_one_and_two_are_a_mistake() {
        let words = ["22:00-07:00=off", "1MB/s"].map(|text| text.parse().expect("a limit"));
        let table = timetable("--limit-up", &words).expect("a timetable");
        assert_eq!((table.usual, table.periods.len()), (Some(1_000_000), 1));
        let twice = ["1MB/s", "2MB/s"].map(|text| text.parse().expect("a limit"));
        assert!(timetable("--limit-up", &twice).is_err());
        assert_eq!(
            timetable("--limit-up", &[]).expect("none"),
            Timetable::default()
        );
    }
}
