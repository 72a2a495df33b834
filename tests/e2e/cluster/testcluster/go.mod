module raftduck.test/testcluster

go 1.26
