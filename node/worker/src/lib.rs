//! raftduck-worker
