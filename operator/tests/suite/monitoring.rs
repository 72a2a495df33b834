//! Alerts and the dashboard against what there is: metrics, their labels, procedures and unit tests.

use std::collections::{BTreeMap, BTreeSet};

use raftduck_operator::metrics::Metrics;
use serde_json::Value;

type Asked = Vec<(String, BTreeSet<String>)>;
type Known = BTreeMap<String, BTreeSet<String>>;

/// What a scrape adds by our PodMonitors.
const TARGET: [&str; 7] = [
    "namespace",
    "pod",
    "container",
    "job",
    "app_kubernetes_io_name",
    "app_kubernetes_io_instance",
    "app_kubernetes_io_component",
];
/// Metrics of others: Prometheus itself, the kubelet, kube-state-metrics.
const OTHERS: [(&str, &[&str]); 4] = [
    ("up", &[]),
    ("kubelet_volume_stats_used_bytes", &["persistentvolumeclaim"]),
    ("kubelet_volume_stats_capacity_bytes", &["persistentvolumeclaim"]),
    ("kube_pod_container_status_restarts_total", &[]),
];

fn file(path: &str) -> String {
    // Cargo runs tests in their package's folder.
    std::fs::read_to_string(format!("../{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn alerts() -> Vec<Value> {
    let alerts: Value = serde_yaml::from_str(&file("charts/raftduck/files/alerts.yaml")).unwrap();
    alerts["alerts"].as_array().unwrap().clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The metrics that an expression names, each with the labels that it is picked by. Whatever is no function, operator,
/// label or text counts as a metric, so that a misspelt name is one too.
fn asked(expression: &str) -> Asked {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let unquoted: String = expression.split('"').step_by(2).collect();
    let mut rest = unquoted.as_str();
    let mut asked = Vec::new();
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '[') {
        rest = &rest[start..];
        if rest.starts_with('[') {
            rest = rest.split_once(']').unwrap().1;
            continue;
        }
        let (word, after) = rest.split_at(rest.find(|c| !part(c)).unwrap_or(rest.len()));
        rest = after.trim_start();
        match word {
            "by" | "without" | "on" | "ignoring" | "group_left" | "group_right" => {
                rest = rest.split_once(')').unwrap().1
            }
            "and" | "or" | "unless" | "bool" => {}
            _ if ["(", "by ", "without "].iter().any(|one| rest.starts_with(one)) => {}
            _ => {
                let mut labels = BTreeSet::new();
                if let Some(braces) = rest.strip_prefix('{') {
                    let (inside, behind) = braces.split_once('}').unwrap();
                    labels.extend(inside.split(',').map(|one| one.trim().split(['=', '!']).next().unwrap().to_owned()));
                    rest = behind;
                }
                asked.push((word.to_owned(), labels));
            }
        }
    }
    asked
}

/// Every metric there is, with its labels: README's, which a test of the program holds to the code, the operator's own,
/// and others'.
fn known() -> Known {
    let names = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<BTreeSet<_>>();
    let mut known: Known = OTHERS.iter().map(|(name, labels)| ((*name).to_owned(), names(labels))).collect();
    let readme = file("README.md");
    let (_, table) = readme.split_once("<!-- metrics -->\n").unwrap();
    let (table, _) = table.split_once("<!-- /metrics -->").unwrap();
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("| metric | type | labels | what it says |"));
    for row in rows.skip(1) {
        let [_, name, kind, labels, ..] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("no row of metrics: {row}");
        };
        let name = name.trim_matches('`');
        let mut labels = names(&labels.split(", ").collect::<Vec<_>>());
        if kind == "histogram" {
            known.extend(["sum", "count"].map(|part| (format!("{name}_{part}"), labels.clone())));
            labels.insert("le".to_owned());
            known.insert(format!("{name}_bucket"), labels);
        } else {
            known.insert(name.to_owned(), labels);
        }
    }
    let metrics = Metrics::new().unwrap();
    metrics.reconciled(true, 1.0);
    metrics.written("Service");
    metrics.step("restart");
    let samples = metrics.text().unwrap();
    // A sample reads as an expression that picks exactly it.
    known.extend(samples.lines().filter(|line| !line.starts_with('#')).flat_map(asked));
    known
}

/// What an expression asks for and nobody has.
fn missing(expression: &str, known: &Known) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, labels) in asked(expression) {
        match known.get(&name) {
            None => missing.push(name),
            Some(has) => missing.extend(
                labels
                    .into_iter()
                    .filter(|label| !has.contains(label) && !TARGET.contains(&label.as_str()))
                    .map(|label| format!("{name}{{{label}}}")),
            ),
        }
    }
    missing
}

#[test]
fn every_alert_and_panel_asks_for_what_there_is() {
    let known = known();
    let dashboard: Value = serde_json::from_str(&file("charts/raftduck/files/dashboard.json")).unwrap();
    let alerts = alerts().into_iter().map(|alert| (alert["name"].clone(), alert["expr"].clone()));
    let panels = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{} shows nothing", panel["title"]);
        targets.iter().map(|target| (panel["title"].clone(), target["expr"].clone()))
    });
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables = variables.filter(|one| one["type"] == "query").map(|one| {
        // label_values(METRIC, LABEL)
        let (query, _) = text(&one["query"]).rsplit_once(',').unwrap();
        (one["name"].clone(), query.into())
    });
    for (place, expression) in alerts.chain(panels).chain(variables) {
        let expression = text(&expression);
        assert!(!asked(expression).is_empty(), "{place} asks for no metric: {expression}");
        assert_eq!(missing(expression, &known), [""; 0], "{place} asks for what nobody has: {expression}");
    }
}

#[test]
fn a_misspelt_metric_or_label_is_noticed() {
    let known = known();
    for (expression, nobody_has) in [
        ("sum by (pod) (rate(raftduck_rows_total[5m])) / 2", "raftduck_rows_total"),
        ("raftduck_node_up == bool 1 or vector(0) and rafduck_node_up", "rafduck_node_up"),
        (r#"max(raftduck_stores{namespace="$namespace", states="missing"}) > 0"#, "raftduck_stores{states}"),
        ("rate(raftduck_http_request_seconds[5m])", "raftduck_http_request_seconds"),
        ("rate(raftduck_rows_applied_total_sum[5m])", "raftduck_rows_applied_total_sum"),
        (r#"raftduck_operator_reconciles_total{code!~"5.."}"#, "raftduck_operator_reconciles_total{code}"),
    ] {
        assert_eq!(missing(expression, &known), [nobody_has], "{expression}");
    }
}

#[test]
fn every_alert_has_a_procedure_and_a_unit_test() {
    let procedures = file("charts/raftduck/procedures.md");
    let tests: Value = serde_yaml::from_str(&file("charts/tests/alerts.yaml")).unwrap();
    let tests = tests["tests"].as_array().unwrap().iter().flat_map(|one| one["alert_rule_test"].as_array().unwrap());
    let (loud, quiet): (Vec<_>, Vec<_>) = tests.partition(|one| one.get("exp_alerts").is_some());
    let named = |tests: &[&Value], name: &str| tests.iter().any(|one| text(&one["alertname"]) == name);
    for alert in alerts() {
        let name = text(&alert["name"]);
        let procedure = procedures.split("\n## ").find_map(|part| part.strip_prefix(name)?.strip_prefix("\n\n"));
        assert!(procedure.is_some_and(|text| text.len() > 100), "{name} has no procedure");
        assert!(named(&loud, name) && named(&quiet, name), "no unit test shows when {name} comes, and when not yet");
    }
}
