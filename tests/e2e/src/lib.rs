//! A real Kubernetes, whichever `KUBECONFIG` names, with Raftduck's operator in it, and databases that clients write to
//! while things happen to them. `tests/e2e/run` makes the cluster and says which kind it is.

pub mod database;
pub mod operator;
pub mod shell;
pub mod wait;
