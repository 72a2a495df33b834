//! What was acknowledged survives `kill -9` of everything and a full disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use raftduck_tests::cluster::{Cluster, PATIENCE, Role};
use raftduck_tests::load::{Load, LoadConfig};
use raftduck_tests::{check, content, wait};
use raftduck_wire::http::SqlRequest;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_of_everything_at_any_moment() -> Result<()> {
    const TIMES: u64 = 4;
    let mut cluster = Cluster::start().await?;
    let client = cluster.patient_client()?;
    client.ddl(content::CREATE).await?;
    let load = Load::start(cluster.client(Duration::from_secs(10))?, LoadConfig { seed: 7, ..LoadConfig::default() });
    for _ in 0..TIMES {
        let before = load.rows();
        wait::until("a batch is acknowledged", PATIENCE, async || (load.rows() > before).then_some(())).await?;
        cluster.kill_all()?;
        cluster.restart_ended()?;
        cluster.wait_ready().await?;
    }
    let written = load.stop().await?;
    let checked = check::exactly_once(&client, &written).await?;
    ensure!(checked.rows > 0, "nothing was written");
    check::replicas_are_equal(&cluster, "load").await?;
    println!("{TIMES} times everything killed: {} rows there exactly once", checked.rows);
    Ok(())
}

/// A file system of its own, unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// None where mounting is not permitted here.
    fn mount(bytes: u64) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        Ok(matches!(mounted, Ok(output) if output.status.success()).then_some(Self(folder)))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process that was just killed may still be letting go of its files.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_disk_is_full_loses_nothing_and_comes_back() -> Result<()> {
    let Some(small) = Small::mount(1 << 30)? else {
        println!("not run: mounting a tmpfs is not permitted here");
        return Ok(());
    };
    let data = small.path().join("data");
    // After `small`: the processes end before their file system goes.
    let mut cluster = Cluster::start_on(|number| (number == 0).then(|| data.clone())).await?;
    let client = cluster.patient_client()?;
    client.ddl(content::CREATE).await?;
    let load = Load::start(cluster.client(Duration::from_secs(10))?, LoadConfig { seed: 8, ..LoadConfig::default() });
    wait::until("rows are written", PATIENCE, async || (load.rows() > 20_000).then_some(())).await?;

    let filler = small.path().join("filler");
    fill(&filler)?;
    let full = load.rows();
    wait::until("the other two go on", PATIENCE, async || (load.rows() > full + 20_000).then_some(())).await?;

    fs::remove_file(&filler).context("making room again")?;
    let worker = cluster.process(Role::Worker(0))?;
    let ended = worker.ended();
    println!(
        "with its disk full, the store {}",
        ended.map_or("kept running".to_owned(), |how| format!("ended: {how}"))
    );
    cluster.restart_ended()?;
    cluster.wait_ready().await?;
    let written = load.stop().await?;
    check::exactly_once(&client, &written).await?;
    check::replicas_are_equal(&cluster, "load").await
}

/// At 85 % of the volume its leaders refuse rows, long before anything is in danger.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_refused_while_a_volume_is_nearly_full_and_taken_again_once_it_has_room() -> Result<()> {
    let Some(small) = Small::mount(1 << 30)? else {
        println!("not run: mounting a tmpfs is not permitted here");
        return Ok(());
    };
    let data = small.path().join("data");
    let cluster = Cluster::start_on(|number| (number == 0).then(|| data.clone())).await?;
    let client = cluster.client(Duration::from_secs(10))?;
    client.ddl("CREATE TABLE t (id BIGINT) PARTITIONED BY (id)").await?;
    // Ids enough to meet every partition, those that the first worker leads among them.
    let ids: Vec<String> = (0..100).map(|id| format!("({id})")).collect();
    let insert = SqlRequest::new(format!("INSERT INTO t VALUES {}", ids.join(", ")));
    client.insert_sql(&insert, None).await?;

    let filler = small.path().join("filler");
    fill_to(&filler, 88)?;
    let refused =
        async || client.insert_sql(&insert, None).await.err().filter(|error| error.code() == Some("disk_full"));
    let refusal = wait::until("rows are refused", PATIENCE, refused).await?;
    ensure!(refusal.to_string().contains("add space"), "{refusal}");
    // What is there is read all the same.
    let before = client.query(&SqlRequest::new("SELECT count(*) FROM t")).await?;
    ensure!(!before.is_partial, "{before:?}");

    fs::remove_file(&filler).context("making room again")?;
    wait::until("rows are taken again", PATIENCE, async || client.insert_sql(&insert, None).await.ok()).await?;
    check::replicas_are_equal(&cluster, "t").await
}

/// Writes until this share of the file system is used.
fn fill_to(path: &Path, percent: u64) -> Result<()> {
    let mut file = File::create(path).context("making the filler")?;
    let block = vec![0_u8; 1 << 20];
    loop {
        let volume = rustix::fs::statvfs(path)?;
        if (volume.f_blocks - volume.f_bavail) * 100 >= volume.f_blocks * percent {
            return Ok(());
        }
        file.write_all(&block)?;
    }
}

/// Writes until there is no space left.
fn fill(path: &Path) -> Result<()> {
    let mut file = File::create(path).context("making the filler")?;
    for size in [1 << 20, 4096, 1] {
        let block = vec![0_u8; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}
