//! One store comes and one goes; `cargo xtask scale --minutes 5` does it with more of them, and with more kills.

use raftduck_tests::scale::{self, ScaleConfig};

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_lost_or_doubled_while_a_store_comes_and_another_goes() -> anyhow::Result<()> {
    println!("{}", scale::run(ScaleConfig::short()).await?);
    Ok(())
}
