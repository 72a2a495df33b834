//! raftduck-control
