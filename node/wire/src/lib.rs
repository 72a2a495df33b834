//! raftduck-wire
