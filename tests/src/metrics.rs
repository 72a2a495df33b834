//! What a worker's `/metrics` says, read as its scrapers do.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use raftduck_wire::client::{Client, ClientConfig};

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Scrapes the worker at an address.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn of(worker: &str) -> Result<Self> {
        Ok(Self(Client::new(&format!("http://{worker}"), ClientConfig::default())?.metrics().await?))
    }

    /// The value of one series: a name, with its labels as they are written.
    ///
    /// # Errors
    /// Where there is none.
    pub fn value(&self, series: &str) -> Result<f64> {
        let mut values = self.0.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = values.next().with_context(|| format!("no {series}"))?;
        value.trim().parse().with_context(|| format!("{series} is {value}"))
    }

    /// A metric of each partition's group, by the group's label.
    pub fn of_partitions(&self, name: &str) -> BTreeMap<String, f64> {
        let values = self.0.lines().filter_map(|line| {
            let (group, value) = line.strip_prefix(name)?.strip_prefix("{group=\"")?.split_once("\"} ")?;
            (group != "0").then_some((group.to_owned(), value.parse().ok()?))
        });
        values.collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn series_are_told_apart_by_their_whole_name() {
        let text = "a_total 7\na_total_more 8\nb{part=\"x\"} 1\nc{group=\"0\"} 2\nc{group=\"3\"} -1\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!((metrics.value("a_total").unwrap(), metrics.value("b{part=\"x\"}").unwrap()), (7.0, 1.0));
        assert!(metrics.value("a").is_err());
        assert_eq!(metrics.of_partitions("c"), BTreeMap::from([("3".to_owned(), -1.0)]));
    }
}
