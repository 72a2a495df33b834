//! raftduck-wal
