//! `raftduck-operator`: runs the operator, or prints the definition of its resource.

use std::net::SocketAddr;

use anyhow::Context;
use axum::http::header::{HeaderValue, USER_AGENT};
use clap::{Parser, Subcommand, ValueEnum};
use kube::{Client, Config};
use raftduck_operator::check::check;
use raftduck_operator::names::Namespace;
use raftduck_operator::run::{Settings, run};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Raftduck's Kubernetes operator.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the CustomResourceDefinition as YAML: what `crds/` holds.
    Crd,
    /// Says whether an operator is at work: the definition is there, rights suffice, the lease is held.
    Check(Check),
    /// Runs the operator, in a pod or, for trying it out, beside a kubeconfig.
    Run(Box<Run>),
}

#[derive(clap::Args)]
struct Check {
    /// The namespace the operator runs in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    namespace: String,
    /// The namespaces it looks at; all of them where none is named.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
}

#[derive(clap::Args)]
struct Run {
    /// The namespace it runs in: its lease is there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Its name among several operators.
    #[arg(long, env = "POD_NAME", default_value = "raftduck-operator")]
    name: String,
    /// Look at these namespaces only; all of them where none is named.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// Where probes and metrics are served.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// What is logged, such as info or raftduck_operator=debug.
    #[arg(long, env = "LOG", default_value = "info")]
    log: EnvFilter,
    /// How it is logged.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Crd => print!("{}", definition()?),
        Command::Check(arguments) => look(arguments)?,
        Command::Run(arguments) => operate(*arguments)?,
    }
    Ok(())
}

fn namespace(name: &String) -> anyhow::Result<Namespace> {
    Namespace::new(name).with_context(|| format!("the namespace {name:?}"))
}

fn namespaces(names: &[String]) -> anyhow::Result<Vec<Namespace>> {
    names.iter().filter(|name| !name.is_empty()).map(namespace).collect()
}

#[tokio::main]
async fn look(arguments: Check) -> anyhow::Result<()> {
    let client = client().await?;
    let watched = namespaces(&arguments.watch_namespaces)?;
    println!("{}", check(client, &namespace(&arguments.namespace)?, &watched).await?);
    Ok(())
}

async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context("finding Kubernetes: run in a pod, or set KUBECONFIG")?;
    // By this name the API server's audit log and its metrics know the operator.
    let agent = HeaderValue::from_static(concat!("raftduck-operator/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    Ok(Client::try_from(config)?)
}

#[tokio::main]
async fn operate(arguments: Run) -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt().with_env_filter(arguments.log).with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().with_span_list(false).init(),
    }
    let settings = Settings {
        namespace: namespace(&arguments.namespace)?,
        watched: namespaces(&arguments.watch_namespaces)?,
        identity: arguments.name,
        listen: arguments.listen,
    };
    let client = client().await?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    };
    run(client, settings, stop).await
}

fn definition() -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(&raftduck_operator_api::definition())?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_definition_is_the_codes() {
        // Cargo runs tests in their package's folder.
        for committed in ["../crds/analyticsclusters.yaml", "../charts/raftduck/files/analyticsclusters.yaml"] {
            let text = std::fs::read_to_string(committed).unwrap();
            assert_eq!(text, definition().unwrap(), "{committed} is old: run charts/render");
        }
    }
}
