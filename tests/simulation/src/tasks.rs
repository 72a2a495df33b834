//! A member's background tasks: the worker's own, but for those that serve DuckDB or files.

use std::sync::Arc;

use crate::member::Member;

#[path = "../../../node/worker/src/tasks/changing.rs"]
mod changing;
#[path = "../../../node/worker/src/tasks/following.rs"]
mod following;
#[path = "../../../node/worker/src/tasks/hosting.rs"]
mod hosting;
#[path = "../../../node/worker/src/tasks/placing.rs"]
mod placing;
#[path = "../../../node/worker/src/tasks/purging.rs"]
mod purging;
#[path = "../../../node/worker/src/tasks/registering.rs"]
mod registering;
#[path = "../../../node/worker/src/tasks/remembering.rs"]
mod remembering;

pub use remembering::membership;

/// Starts all of them.
pub fn start(member: &Arc<Member>) {
    spawn(member, registering::run(member.clone()));
    spawn(member, remembering::run(member.clone()));
    spawn(member, following::run(member.clone()));
    spawn(member, hosting::run(member.clone()));
    spawn(member, changing::run(member.clone()));
    spawn(member, purging::run(member.clone()));
    spawn(member, placing::run(member.clone()));
}

/// A task that ends stops the process, as in the worker.
fn spawn(member: &Arc<Member>, task: impl Future<Output = ()> + Send + 'static) {
    let stop = member.stop.clone();
    tokio::spawn(async move {
        let ending = stop.clone().drop_guard();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = task => {}
        }
        drop(ending);
    });
}
