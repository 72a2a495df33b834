//! raftduck-operator
