//! raftduck-operator-api
