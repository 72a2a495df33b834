//! What people would ask of a year of flights.

/// One question.
pub struct Question {
    /// As a person would put it.
    pub title: &'static str,
    /// As the database takes it.
    pub sql: String,
}

/// The flights' table.
pub const CREATE: &str = "CREATE TABLE flights (
    scheduled TIMESTAMP, carrier VARCHAR, flight INTEGER, origin VARCHAR, dest VARCHAR,
    dep_delay INTEGER, arr_delay INTEGER, air_time INTEGER, distance INTEGER
)";

/// Five questions. The last one compares the days around today with the same days of 2013, `years` years ago.
pub fn questions(years: i16) -> [Question; 5] {
    [
        Question {
            title: "Which destinations are reached latest?",
            sql: "SELECT dest, count(*) AS flights, round(avg(arr_delay), 1) AS mean_delay_min, \
                  median(arr_delay) AS median_min, max(arr_delay) AS worst_min \
                  FROM flights WHERE arr_delay IS NOT NULL GROUP BY dest HAVING count(*) >= 1000 \
                  ORDER BY mean_delay_min DESC, dest LIMIT 5"
                .to_owned(),
        },
        Question {
            title: "Which carriers are on time?",
            sql: "SELECT carrier, count(*) AS flights, \
                  round(100.0 * count(*) FILTER (arr_delay <= 15) / count(arr_delay), 1) AS on_time_pct, \
                  round(100.0 * count(*) FILTER (dep_delay IS NULL) / count(*), 1) AS cancelled_pct \
                  FROM flights GROUP BY carrier HAVING count(*) >= 5000 ORDER BY on_time_pct DESC, carrier LIMIT 6"
                .to_owned(),
        },
        Question {
            title: "Which routes are busiest?",
            sql: "SELECT origin, dest, count(*) AS flights, count(DISTINCT carrier) AS carriers, \
                  round(avg(air_time), 0) AS minutes_in_air, min(distance) AS miles \
                  FROM flights GROUP BY origin, dest ORDER BY flights DESC, origin, dest LIMIT 5"
                .to_owned(),
        },
        Question {
            title: "When in the day should one fly?",
            sql: "SELECT hour(scheduled) // 3 * 3 AS from_hour, count(*) AS flights, \
                  round(avg(dep_delay), 1) AS mean_delay_min, \
                  round(100.0 * count(*) FILTER (dep_delay > 60) / count(dep_delay), 1) AS over_an_hour_pct \
                  FROM flights GROUP BY ALL HAVING count(*) >= 100 ORDER BY from_hour"
                .to_owned(),
        },
        Question {
            title: "What awaits me in the seven days to come, going by 2013?",
            sql: format!(
                "SELECT origin, count(*) AS flights, round(avg(dep_delay), 1) AS mean_delay_min, \
                 round(100.0 * count(*) FILTER (dep_delay IS NULL) / count(*), 1) AS cancelled_pct \
                 FROM flights WHERE scheduled >= date_trunc('day', now() - INTERVAL {years} YEAR) \
                 AND scheduled < date_trunc('day', now() - INTERVAL {years} YEAR) + INTERVAL 7 DAY \
                 GROUP BY origin ORDER BY origin"
            ),
        },
    ]
}

/// `sql` for a plain DuckDB without time zones, whose `now()` cannot be reckoned with.
pub fn for_plain(sql: &str, now: &str) -> String {
    sql.replace("now()", &format!("TIMESTAMP '{now}'"))
}
