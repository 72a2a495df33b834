//! A member's background tasks, each with a name and a say in what its end means: they end when the
//! process stops, and one that ends otherwise stops the process, which starts anew from its volume.

mod changing;
mod dropping;
mod following;
mod hosting;
mod placing;
mod purging;
mod registering;
mod remembering;

use std::sync::Arc;

pub use remembering::membership;

use crate::member::Member;

/// Starts all of them.
pub fn start(member: &Arc<Member>) {
    spawn(member, "register this store", registering::run(member.clone()));
    spawn(member, "follow the cluster state", following::run(member.clone()));
    spawn(member, "remember the cluster", remembering::run(member.clone()));
    spawn(member, "open and remove replicas", hosting::run(member.clone()));
    spawn(member, "change groups' members", changing::run(member.clone()));
    spawn(member, "drop tables", dropping::run(member.clone()));
    spawn(member, "purge logs", purging::run(member.clone()));
    spawn(member, "place replicas and leaders", placing::run(member.clone()));
}

fn spawn(member: &Arc<Member>, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let stop = member.stop.clone();
    tokio::spawn(async move {
        // Dropped on a panic too.
        let ending = stop.clone().drop_guard();
        tokio::select! {
            () = task => tracing::error!(task = name, "a background task ended: this process ends too"),
            () = stop.cancelled() => {}
        }
        drop(ending);
    });
}
