//! raftduck-tests
