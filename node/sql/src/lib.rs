//! raftduck-sql
