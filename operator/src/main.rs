//! `raftduck-operator`. Today it only prints the definition of its resource.

use clap::{Parser, Subcommand};

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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Crd => print!("{}", definition()?),
    }
    Ok(())
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
        let committed = std::fs::read_to_string("../crds/analyticsclusters.yaml").unwrap();
        assert_eq!(committed, definition().unwrap(), "run: raftduck-operator crd > crds/analyticsclusters.yaml");
    }
}
