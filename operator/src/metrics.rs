//! What the operator counts.

use prometheus::{Encoder, HistogramVec, IntCounterVec, Registry, TextEncoder};
use prometheus::{HistogramOpts, Opts};

/// The operator's counters.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    seconds: HistogramVec,
    written: IntCounterVec,
    steps: IntCounterVec,
}

impl Metrics {
    /// At zero.
    ///
    /// # Errors
    /// Where a name is no metric's.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let reconciles = counter("raftduck_operator_reconciles_total", "Looks at a resource, by result.", "result")?;
        let written = counter("raftduck_operator_objects_written_total", "Objects made or changed, by kind.", "kind")?;
        let steps = counter("raftduck_operator_steps_total", "Steps done, by what they do.", "step")?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("raftduck_operator_reconcile_seconds", "How long a look at a resource took."),
            &["result"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { registry, reconciles, seconds, written, steps })
    }

    /// One look at a resource.
    pub fn reconciled(&self, failed: bool, seconds: f64) {
        let result = if failed { "error" } else { "ok" };
        self.reconciles.with_label_values(&[result]).inc();
        self.seconds.with_label_values(&[result]).observe(seconds);
    }

    /// One object made or changed.
    pub fn written(&self, kind: &str) {
        self.written.with_label_values(&[kind]).inc();
    }

    /// One step done.
    pub fn step(&self, step: &str) {
        self.steps.with_label_values(&[step]).inc();
    }

    /// All of them, as Prometheus reads them.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
