//! `raftduck recover`: what is left of a cluster that lost a majority of its stores, and beginning again from it.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use raftduck_model::LogId;
use raftduck_model::meta::LEVEL;
use raftduck_wire::credential::Credential;
use raftduck_worker::recover::{GroupPlan, Plan, Reached, Recovering, Report, VolumeError, plan, reach};

use crate::cli::RecoverOptions;
use crate::tables::Text;

/// The command `recover`.
///
/// # Errors
/// Where the volume cannot be used, the reports make no plan, or a store that is to be given up answers.
pub async fn run(options: RecoverOptions) -> anyhow::Result<()> {
    let recovering = match Recovering::open(&options.data, LEVEL) {
        Err(VolumeError::InUse { path }) => bail!("a worker has {} open: end it first", path.display()),
        opened => opened?,
    };
    if let Some(begun) = recovering.begun()? {
        return finish(&recovering, &begun, &options);
    }
    let report = recovering.survey()?;
    if let Some(file) = &options.report {
        std::fs::write(file, report.encode()?).with_context(|| format!("cannot write {}", file.display()))?;
        say(&format!("what store {} holds is in {}\n", report.store, file.display()))?;
    }
    let mut reports = vec![report];
    for file in &options.with {
        add(&mut reports, file)?;
    }
    let plan = match plan(&reports) {
        Ok(plan) => plan,
        // It was written for the others: alone this store may have nothing to begin with.
        Err(error) if options.report.is_some() && options.apply.is_none() => {
            return say(&format!("no plan with what is known of {} stores yet: {error}\n", reports.len()));
        }
        Err(error) => return Err(error.into()),
    };
    let reached = reach(&plan.given_up, &Credential::new(&options.secret.credential(true)?)).await;
    say(&describe(&plan, &reached))?;
    let Some(asked) = &options.apply else {
        let (data, id) = (options.data.display(), &plan.id);
        return say(&format!(
            "\nNothing is changed yet. To do this, say it on each store that stays, with the same --with:\n\n  \
             raftduck recover --data {data} --apply {id}\n"
        ));
    };
    if *asked != plan.id {
        bail!("nothing is changed: this is plan {}, not {asked}; read it, and say its number", plan.id);
    }
    let alive = reached.iter().filter(|reached| **reached != Reached::Nothing).count();
    if alive > 0 {
        bail!("nothing is changed: {alive} of the stores to be given up answer; end them first, or recover with them");
    }
    recovering.apply(&plan)?;
    say(&format!("\ndone: {}\n", next(&plan)))
}

/// Goes on with a plan that was begun: nothing else is possible with this volume.
fn finish(recovering: &Recovering, begun: &Plan, options: &RecoverOptions) -> anyhow::Result<()> {
    if options.apply.as_ref() != Some(&begun.id) {
        bail!("recovery {} was begun here and not finished: finish it with --apply {}", begun.id, begun.id);
    }
    recovering.apply(begun)?;
    say(&format!("finished what was begun before: {}\n", next(begun)))
}

fn add(reports: &mut Vec<Report>, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report = Report::decode(&text).with_context(|| format!("{} cannot be used", file.display()))?;
    match reports.iter().find(|known| known.store == report.store) {
        // So that every store can be given the same files.
        Some(known) if *known == report => {}
        Some(_) => bail!("{} is of store {}, which has changed since: make it again", file.display(), report.store),
        None => reports.push(report),
    }
    Ok(())
}

/// All that a person has to know before saying yes.
fn describe(plan: &Plan, reached: &[Reached]) -> String {
    let mut text = format!("cluster {}, as these stores know it:\n\n", plan.cluster);
    for (store, address) in &plan.seeds {
        text += &format!("  stays     {store}  {address}\n");
    }
    for ((store, address), reached) in plan.given_up.iter().zip(reached) {
        let says = match reached {
            Reached::Nothing => "",
            Reached::Itself => "  ANSWERS: it is not lost",
            Reached::Stranger => "  something ANSWERS there, and refuses the cluster token (--cluster-token-file)",
        };
        text += &format!("  given up  {store}  {address}{says}\n");
    }
    let head = ["group", "from", "last entry", "perhaps not committed", "was"].map(str::to_owned);
    let rows = plan.groups.iter().map(|group| row(plan, group)).collect();
    text += &format!("\n{}\n\n", Text { head: head.to_vec(), rows }.table());
    for line in meaning(plan) {
        text += &format!("- {line}\n");
    }
    text
}

fn row(plan: &Plan, group: &GroupPlan) -> Vec<String> {
    let name = match group.group.partition() {
        None => "meta".to_owned(),
        Some(partition) => format!("partition {partition}"),
    };
    let place = plan.seeds.iter().find(|(store, _)| *store == group.replica.store);
    let from = place.map_or(group.replica.store.to_string(), |(_, address)| address.clone());
    let count = |id: Option<LogId>| id.map_or(0, |id| id.index + 1);
    let open = count(group.last).saturating_sub(count(group.committed));
    let Some(last) = group.last else {
        let was = if group.is_lost() { "LOST, begins empty" } else { "not created yet" };
        return vec![name, from, "none".to_owned(), String::new(), was.to_owned()];
    };
    let quorum = if group.lost_quorum { "without quorum" } else { "whole" };
    let vote = if group.voted { "" } else { ", a copy without a vote: PERHAPS FAR BEHIND" };
    vec![name, from, format!("{} of term {}", last.index, last.term), open.to_string(), format!("{quorum}{vote}")]
}

/// What is lost, what is perhaps, and what is to be kept in mind.
fn meaning(plan: &Plan) -> Vec<String> {
    let count = |wanted: fn(&GroupPlan) -> bool| plan.groups.iter().filter(|group| wanted(group)).count();
    let (lost, without) = (count(GroupPlan::is_lost), count(|group| group.lost_quorum && !group.is_lost()));
    let mut lines = Vec::new();
    if lost > 0 {
        lines.push(format!("ALL ROWS OF {lost} PARTITIONS ARE LOST: no store that stays has anything of them."));
    }
    lines.push(format!(
        "{without} groups have no majority left. Rows and table changes that the stores given up\n  \
         acknowledged after the last entry above are lost. How many, nobody can know any more."
    ));
    lines.push(
        "What is perhaps not committed is kept. Who was told of an unknown outcome, or may have lost\n  \
         rows, sends them again with their Idempotency-Key: nothing is written twice."
            .to_owned(),
    );
    for table in &plan.recovery.tables {
        lines.push(format!("Table {:?} is taken from the partitions: the catalog that is left is older.", table.name));
    }
    lines.push(
        "A store that is given up and starts again sets its data aside, if it reaches one that stays.\n  \
         Several that reach only each other would go on as the old cluster: keep their volumes off."
            .to_owned(),
    );
    lines
}

fn next(plan: &Plan) -> String {
    let first = match plan.seeds.len() {
        0 | 1 => "start this store's worker",
        _ => "do the same on every other store that stays, then start their workers",
    };
    format!("{first},\nthen empty ones with --join, until there are enough for all copies. Controls may go on running.")
}

/// Writes to standard output, which may have been closed: then nothing more is done.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}
