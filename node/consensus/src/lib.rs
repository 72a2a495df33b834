//! raftduck-consensus
