//! raftduck
