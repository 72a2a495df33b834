//! `raftduck recover`: what is left of a cluster that lost a majority of its stores, and beginning again from it.

use std::path::Path;

use anyhow::{Context, bail};
use raftduck_model::meta::LEVEL;
use raftduck_model::{GroupId, LogId};
use raftduck_wire::credential::Credential;
use raftduck_worker::recover::{GroupPlan, Plan, Reached, Recovering, Report, plan, reach};

use crate::cli::RecoverOptions;
use crate::tables::Text;

/// The command `recover`.
///
/// # Errors
/// Where the volume cannot be used, the reports make no plan, or a store that is to be given up answers.
pub async fn run(options: RecoverOptions) -> anyhow::Result<()> {
    let recovering = Recovering::open(&options.data, LEVEL)?;
    if let Some(begun) = recovering.begun()? {
        return finish(&recovering, &begun, &options);
    }
    let report = recovering.survey()?;
    if let Some(file) = &options.report {
        std::fs::write(file, report.encode()?).with_context(|| format!("cannot write {}", file.display()))?;
        println!("What store {} holds is in {}.", report.store, file.display());
    }
    let mut reports = vec![report];
    for file in &options.with {
        add(&mut reports, file)?;
    }
    let plan = plan(&reports)?;
    let credential = Credential::new(&options.secret.credential(true)?);
    let reached = reach(&plan.given_up, &credential).await;
    print!("{}", describe(&plan, &reached, &options.data));
    let alive = reached.iter().filter(|reached| **reached != Reached::Nothing).count();
    let Some(asked) = &options.apply else { return Ok(()) };
    if *asked != plan.id {
        bail!("nothing is changed: this is plan {}, not {asked}; read it, and say its number", plan.id);
    }
    if alive > 0 {
        bail!("nothing is changed: {alive} of the stores to be given up answer; end them first, or recover with them");
    }
    recovering.apply(&plan)?;
    println!("\nDone: {}", next(&plan));
    Ok(())
}

/// Goes on with a plan that was begun: nothing else is possible with this volume.
fn finish(recovering: &Recovering, begun: &Plan, options: &RecoverOptions) -> anyhow::Result<()> {
    if options.apply.as_ref() != Some(&begun.id) {
        bail!("recovery {} was begun here and not finished: finish it with --apply {}", begun.id, begun.id);
    }
    recovering.apply(begun)?;
    println!("Finished what was begun before: {}", next(begun));
    Ok(())
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
fn describe(plan: &Plan, reached: &[Reached], data: &Path) -> String {
    let mut text = format!("Cluster {}, as these stores know it:\n\n", plan.cluster);
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
    let head = ["group", "from store", "last entry", "not known committed", "was"].map(str::to_owned);
    let rows = plan.groups.iter().map(row).collect();
    text += &format!("\n{}\n\n", Text { head: head.to_vec(), rows }.table());
    text += &losses(plan);
    text += &format!(
        "\nNothing is changed yet. To do this, on each store that stays (give --with as you did here):\n\n  \
         raftduck recover --data {} --apply {}\n",
        data.display(),
        plan.id
    );
    text
}

fn row(plan: &GroupPlan) -> Vec<String> {
    let name = |group: GroupId| match group.partition() {
        None => "meta".to_owned(),
        Some(partition) => format!("partition {partition}"),
    };
    let next = |id: Option<LogId>| id.map_or(0, |id| id.index + 1);
    let last = plan.last.map_or("nothing left".to_owned(), |last| format!("{} of term {}", last.index, last.term));
    let was = match (plan.is_lost(), plan.lost_quorum) {
        (true, _) => "LOST: begins empty",
        (_, true) => "without quorum",
        (_, false) => "whole",
    };
    let open = next(plan.last) - next(plan.committed).min(next(plan.last));
    vec![name(plan.group), plan.replica.store.to_string(), last, open.to_string(), was.to_owned()]
}

/// What is lost, and what is perhaps.
fn losses(plan: &Plan) -> String {
    let count = |wanted: fn(&GroupPlan) -> bool| plan.groups.iter().filter(|group| wanted(group)).count();
    let (lost, without) = (count(GroupPlan::is_lost), count(|group| group.lost_quorum && !group.is_lost()));
    let mut text = String::from("What this means:\n");
    let mut say = |line: String| text += &format!("  - {line}\n");
    if lost > 0 {
        say(format!("ALL ROWS OF {lost} PARTITIONS ARE LOST: no store that stays has anything of them."));
    }
    say(format!(
        "{without} groups have no majority left. What the stores given up acknowledged after the last entry above is \
         lost, rows and table changes alike. How much that is, nobody can know any more."
    ));
    say("Entries not known to be committed are kept, as acknowledged ones are: clients may have been told of an \
         unknown outcome, and a repeated Idempotency-Key shows it."
        .to_owned());
    for table in &plan.recovery.tables {
        say(format!(
            "Table {:?} is taken from the partitions' logs: the catalog that is left does not have it so.",
            table.name
        ));
    }
    say("A store that is given up and comes back sets its data aside and joins empty, if it reaches one that stays. \
         Two of them that reach only each other would go on as the old cluster: keep them off."
        .to_owned());
    text
}

fn next(plan: &Plan) -> String {
    let others = match plan.seeds.len() {
        1 => "start this store's worker".to_owned(),
        stores => format!("do the same on the other {} stores that stay, then start their workers", stores - 1),
    };
    format!(
        "{others}, then empty ones with --join until there are enough for all copies. Controls may stay as they are."
    )
}
