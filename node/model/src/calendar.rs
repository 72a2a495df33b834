//! Days since 1970-01-01 and their dates of the proleptic Gregorian calendar: `civil_from_days` and `days_from_civil`
//! of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms",
//! <https://howardhinnant.github.io/date_algorithms.html>.
//!
//! SQL's dates reach millions of years beyond what date libraries hold.

/// The calendar repeats itself after 400 years.
const YEARS_PER_ERA: i64 = 400;
const DAYS_PER_ERA: i64 = 146_097;
/// From 0000-03-01, where an era begins, to 1970-01-01: a year that begins in March ends with its leap day.
const DAYS_TO_1970: i64 = 719_468;

/// A date without a time or a zone. The year 0 is 1 BC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CivilDate {
    /// The year.
    pub year: i64,
    /// From 1 to 12.
    pub month: u8,
    /// From 1 to 31.
    pub day: u8,
}

impl CivilDate {
    /// The date that is `days` after 1970-01-01; any number of days that fits in an `i32` or came from microseconds.
    pub fn from_days(days: i64) -> Self {
        let shifted = days + DAYS_TO_1970;
        let (era, day_of_era) = (shifted.div_euclid(DAYS_PER_ERA), shifted.rem_euclid(DAYS_PER_ERA));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * YEARS_PER_ERA + i64::from(month <= 2);
        Self { year, month: month as u8, day: day as u8 }
    }

    /// Its days since 1970-01-01.
    pub fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = self.year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(YEARS_PER_ERA), year.rem_euclid(YEARS_PER_ERA));
        let month_from_march = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_leap(year: i64) -> bool {
        year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    }

    fn next(date: CivilDate) -> CivilDate {
        let last = match date.month {
            2 => 28 + u8::from(is_leap(date.year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        match date {
            CivilDate { year, month, day } if day < last => CivilDate { year, month, day: day + 1 },
            CivilDate { year, month: 12, .. } => CivilDate { year: year + 1, month: 1, day: 1 },
            CivilDate { year, month, .. } => CivilDate { year, month: month + 1, day: 1 },
        }
    }

    #[test]
    fn known_days_have_their_dates() {
        for (days, year, month, day) in [
            (0, 1970, 1, 1),
            (-1, 1969, 12, 31),
            (11_016, 2000, 2, 29),
            (-719_162, 1, 1, 1),
            (-719_468, 0, 3, 1),
            (-719_529, -1, 12, 31),
            (2_932_897, 10_000, 1, 1),
        ] {
            let date = CivilDate { year, month, day };
            assert_eq!((CivilDate::from_days(days), date.days()), (date, days));
        }
    }

    #[test]
    fn every_day_of_more_than_an_era_follows_the_day_before_and_counts_back() {
        let mut date = CivilDate { year: -801, month: 12, day: 31 };
        for days in date.days()..4 * DAYS_PER_ERA {
            assert_eq!((CivilDate::from_days(days), date.days()), (date, days));
            date = next(date);
        }
    }

    #[test]
    fn days_count_back_as_far_as_sql_has_them() {
        let most = i64::MAX / 86_400_000_000;
        let spread = (i64::from(i32::MIN)..=i64::from(i32::MAX)).step_by(4_999);
        for days in spread.chain([i32::MIN, i32::MAX].map(i64::from)).chain([-most - 1, most]) {
            assert_eq!(CivilDate::from_days(days).days(), days);
        }
    }
}
