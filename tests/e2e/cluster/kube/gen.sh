#!/usr/bin/env bash
# Writes go.mod and go.sum anew for VERSION. k8s.io/kubernetes names its own modules at v0.0.0, so each needs a replace.
set -euo pipefail
cd "$(dirname "$0")"
version=${1:-1.34.4}
etcd=${2:-3.6.5}
module=k8s.io/kubernetes@v$version
staging=v0.${version#1.}
requires=$(go mod download -json "$module" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p' | xargs cat)
cat > go.mod <<EOF
module raftduck.test/kube

go 1.26

require (
	k8s.io/kubernetes v$version
	go.etcd.io/etcd/server/v3 v$etcd
)

replace (
$(awk -v to="$staging" '$2 == "v0.0.0" { print "\t" $1 " => " $1 " " to }' <<<"$requires")
)
EOF
rm -f go.sum
nice -n 19 go mod tidy
