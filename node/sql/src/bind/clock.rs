//! The clock as SQL sees it, read once for a statement.

use raftduck_model::calendar::CivilDate;
use serde_json::{Value, json};

use crate::bind::constant;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Microseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// The microseconds.
    pub micros: i64,
}

/// A constant: a text and the type it is cast to.
pub(super) struct Cast {
    text: String,
    kind: &'static str,
}

impl Clock {
    /// What a function without arguments, or a word, reads off the clock; none where it reads nothing.
    pub(super) fn reading(self, name: &str) -> Option<Cast> {
        let (days, time) = (self.micros.div_euclid(MICROS_PER_DAY), self.micros.rem_euclid(MICROS_PER_DAY));
        Some(match name {
            "now"
            | "current_timestamp"
            | "get_current_timestamp"
            | "transaction_timestamp"
            | "localtimestamp"
            | "current_localtimestamp" => {
                Cast { text: format!("{} {}", date(days), time_text(time)), kind: "TIMESTAMP" }
            }
            "midnight" => Cast { text: format!("{} 00:00:00", date(days)), kind: "TIMESTAMP" },
            "today" | "current_date" => Cast { text: date(days), kind: "DATE" },
            "current_time" | "get_current_time" | "localtime" | "current_localtime" => {
                Cast { text: time_text(time), kind: "TIME" }
            }
            _ => return None,
        })
    }
}

impl Cast {
    pub(super) fn node(&self, alias: &str) -> Value {
        json!({
            "class": "CAST", "type": "OPERATOR_CAST", "alias": alias,
            "query_location": u64::MAX, "query_location_length": 0,
            "child": constant(json!({"kind": "STRING", "text": self.text}), ""),
            "try_cast": false,
            "type_expr": {
                "class": "TYPE", "type": "TYPE", "alias": "", "query_location": u64::MAX, "query_location_length": 0,
                "catalog": "", "schema": "", "type_name": self.kind, "children": [],
                "qualified_name": {"path": [self.kind]},
            },
        })
    }
}

/// Days since 1970-01-01 as `2026-11-21`.
fn date(days: i64) -> String {
    let CivilDate { year, month, day } = CivilDate::from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time_text(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3_600, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}
