//! What a metric is called, counts and carries as labels: said once, for the code and for README.

/// How a metric behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows, from 0 at the process's start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Definition {
    /// Its name, with the unit as Prometheus has it.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels' names.
    pub labels: &'static [&'static str],
    /// What it says, as a sentence.
    pub help: &'static str,
}

/// The metrics as a Markdown table, by name.
pub fn markdown(definitions: &[Definition]) -> String {
    let mut sorted = definitions.to_vec();
    sorted.sort_by_key(|definition| definition.name);
    let mut table = String::from("| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for Definition { name, kind, labels, help } in sorted {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        table.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
    }
    table
}
