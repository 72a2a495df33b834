//! Rows that follow from (seed, client, batch) alone, so that what must be in the table can be
//! computed again afterwards, by another road than the one the rows took.

use std::fmt::Write;

use raftduck_wire::client::Rows;
use raftduck_wire::http::media;
use serde_json::json;

/// The table that the load writes.
pub const CREATE: &str = "CREATE TABLE load (id BIGINT, client INTEGER, batch BIGINT, ordinal INTEGER, \
                          value BIGINT, text VARCHAR) PARTITIONED BY (id)";

/// For each batch of one client: what [`Batch::digest`] computes, by SQL. The text is a function
/// of the value, so that SQL can say where it is wrong.
pub fn digest_sql(client: u32) -> String {
    format!(
        "SELECT batch, count(*), count(DISTINCT ordinal), sum(value), bit_xor(xor(value, id)), \
         count(*) FILTER (WHERE text IS DISTINCT FROM \
         CASE WHEN ordinal % 7 = 0 THEN NULL ELSE 'r' || value::VARCHAR || ' ü,\"' END) \
         FROM load WHERE client = {client} GROUP BY batch ORDER BY batch"
    )
}

/// One batch of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Of the whole run.
    pub seed: u64,
    /// Which client sends it.
    pub client: u32,
    /// The client's how-manieth it is.
    pub number: u64,
    /// How many rows.
    pub rows: u32,
}

/// What can be said of a batch's rows in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Rows.
    pub count: u64,
    /// Different ordinals: fewer than `count` where a row is there twice.
    pub distinct: u64,
    /// The values' sum.
    pub sum: i128,
    /// The exclusive or of value and id of every row.
    pub xor: i64,
    /// Rows whose text is not the one that follows from their value.
    pub wrong_texts: u64,
}

struct Row {
    id: i64,
    value: i64,
}

impl Batch {
    /// The idempotency key.
    pub fn key(&self) -> String {
        format!("load-{:016x}-{}-{}", self.seed, self.client, self.number)
    }

    /// The sum of its rows' ordinals.
    pub fn ordinals(&self) -> u64 {
        let rows = u64::from(self.rows);
        rows * rows.saturating_sub(1) / 2
    }

    fn row(&self, ordinal: u32) -> Row {
        let place = mix(self.seed ^ mix(u64::from(self.client)) ^ mix(self.number << 20 | u64::from(ordinal)));
        // Ids are positive, values of either sign; both have more digits than a double can hold.
        Row { id: (place >> 1) as i64, value: mix(place) as i64 }
    }

    fn text(ordinal: u32, value: i64) -> Option<String> {
        (!ordinal.is_multiple_of(7)).then(|| format!("r{value} ü,\""))
    }

    /// What the table must say of it.
    pub fn digest(&self) -> Digest {
        let rows = (0..self.rows).map(|ordinal| self.row(ordinal));
        let (sum, xor) = rows.fold((0, 0), |(sum, xor), row| (sum + i128::from(row.value), xor ^ row.value ^ row.id));
        Digest { count: self.rows.into(), distinct: self.rows.into(), sum, xor, wrong_texts: 0 }
    }

    /// The request's body: JSON, NDJSON or CSV in turn.
    pub fn body(&self) -> Rows {
        let (body, content_type) = match self.number % 3 {
            0 => (format!("[{}]", self.objects().collect::<Vec<_>>().join(",")), media::JSON),
            1 => (self.objects().fold(String::new(), |text, object| text + &object + "\n"), media::NDJSON),
            _ => (self.csv(), media::CSV),
        };
        Rows { body: body.into(), content_type, encoding: None }
    }

    fn objects(&self) -> impl Iterator<Item = String> {
        (0..self.rows).map(|ordinal| {
            let Row { id, value } = self.row(ordinal);
            json!({"id": id, "client": self.client, "batch": self.number, "ordinal": ordinal, "value": value,
                   "text": Self::text(ordinal, value)})
            .to_string()
        })
    }

    fn csv(&self) -> String {
        let mut out = "id,client,batch,ordinal,value,text\n".to_owned();
        for ordinal in 0..self.rows {
            let Row { id, value } = self.row(ordinal);
            let text =
                Self::text(ordinal, value).map(|text| format!("\"{}\"", text.replace('"', "\"\""))).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{id},{},{},{ordinal},{value},{text}", self.client, self.number);
        }
        out
    }
}

/// splitmix64's finaliser (Steele, Lea and Flood 2014).
pub fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn batch(number: u64, rows: u32) -> Batch {
        Batch { seed: 42, client: 3, number, rows }
    }

    #[test]
    fn a_batch_is_the_same_bytes_each_time_and_no_other_batch_is() {
        assert_eq!(batch(5, 40).body().body, batch(5, 40).body().body);
        assert_ne!(batch(5, 40).digest(), batch(6, 40).digest());
        assert_ne!(batch(5, 40).digest(), Batch { seed: 43, ..batch(5, 40) }.digest());
    }

    #[test]
    fn the_digest_is_of_the_rows_that_the_body_carries() {
        for number in [0, 1] {
            let batch = batch(number, 30);
            let text = String::from_utf8(batch.body().body.to_vec()).unwrap();
            let rows: Vec<serde_json::Value> = match number {
                0 => serde_json::from_str(&text).unwrap(),
                _ => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            };
            let number = |row: &serde_json::Value, name: &str| row[name].as_i64().unwrap();
            let sum: i128 = rows.iter().map(|row| i128::from(number(row, "value"))).sum();
            let xor = rows.iter().fold(0, |xor, row| xor ^ number(row, "value") ^ number(row, "id"));
            assert_eq!((rows.len() as u64, sum, xor), (batch.digest().count, batch.digest().sum, batch.digest().xor));
            assert!(rows[0]["text"].is_null() && rows[1]["text"].as_str().unwrap().ends_with(" ü,\""));
        }
    }

    #[test]
    fn csv_quotes_what_must_be_quoted_and_leaves_null_empty() {
        let text = String::from_utf8(batch(2, 2).body().body.to_vec()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].ends_with(','), "{}", lines[1]);
        assert!(lines[2].ends_with(" ü,\"\"\""), "{}", lines[2]);
    }
}
