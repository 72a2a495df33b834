//! raftduck-engine
