//! Milliseconds since 1970 as a date of the proleptic Gregorian calendar, in UTC.

/// A moment, split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    year: i64,
    month: i64,
    day: i64,
    /// Within the day.
    ms: u64,
}

impl Date {
    /// The moment `unix_ms` after 1970.
    pub(super) fn of(unix_ms: u64) -> Self {
        // Days are counted from 0000-03-01, so that the leap day is the last of its year; 400 years are one cycle.
        let days = i64::try_from(unix_ms / DAY_MS).unwrap_or(0) + 719_468;
        let cycle = days.div_euclid(146_097);
        let day_of_cycle = days.rem_euclid(146_097);
        let year_of_cycle =
            (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
        Self { year, month, day, ms: unix_ms % DAY_MS }
    }

    /// `2026-11-22`.
    pub(super) fn day(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `2026-11-22T07:38:08.735Z`.
    pub(super) fn iso(self) -> String {
        let (seconds, ms) = (self.ms / 1_000, self.ms % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        format!("{}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z", self.day())
    }
}

/// The moment that a text like `2026-11-22T07:38:08.735Z` means, in milliseconds since 1970; `None` for any other form.
pub(super) fn parse_iso(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let ms: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let year = if month <= 2 { year - 1 } else { year };
    let cycle = year.div_euclid(400);
    let year_of_cycle = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = cycle * 146_097 + 365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year
        - 719_468;
    let days = u64::try_from(days).ok()?;
    days.checked_mul(DAY_MS)?.checked_add((hour * 3_600 + minute * 60 + second) * 1_000 + ms)
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_read_and_written() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_333_088_735, "2026-11-22T07:38:08.735Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(Date::of(ms).iso(), text);
            assert_eq!(parse_iso(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in 0..146_097 {
            let ms = day * DAY_MS;
            assert_eq!(parse_iso(&Date::of(ms).iso()), Some(ms));
        }
    }

    #[test]
    fn other_forms_are_no_moment() {
        for text in
            ["", "2026-11-22", "2026-13-01T00:00:00Z", "2026-11-22T07:38:08+01:00", "1969-12-31T00:00:00Z"]
        {
            assert_eq!(parse_iso(text), None, "{text}");
        }
        assert_eq!(parse_iso("1970-01-01T00:00:01Z"), Some(1_000));
    }
}
