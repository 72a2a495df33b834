//! What travels between Raftduck's processes, and between them and their users.

pub mod client;
pub mod credential;
pub mod http;
pub mod metric;
pub mod rpc;

/// The protocols between processes, generated from `proto/`; the comments are in those files.
pub mod proto {
    /// Store to store: Raft.
    #[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub mod peer {
        tonic::include_proto!("raftduck.peer.v1");
    }

    /// Control to store, and store to store where it is not Raft.
    #[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub mod store {
        tonic::include_proto!("raftduck.store.v1");
    }
}
