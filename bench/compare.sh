#!/bin/bash
# Usage: bench/compare.sh REVISION-A REVISION-B [OPTION OF DDBENCH...]
# Builds ddumbfs of two revisions of this repository, measures both interleaved in one run of the present ddbench, and says what differs.
# The record is bin/compare.json, the picture bin/compare.svg and .png. It takes root, as ddbench does.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -lt 2 ] || [ -z "$1" ] || [ -z "$2" ]; then
	echo "usage: make bench-compare A=REVISION B=REVISION [BENCH=options of ddbench]" >&2
	exit 2
fi
a=$(git rev-parse --verify --short "$1^{commit}")
b=$(git rev-parse --verify --short "$2^{commit}")
shift 2
go=${GO:-go}

tmp=$(mktemp -d)
cleanup() {
	for side in A B; do
		[ ! -e "$tmp/$side" ] || git worktree remove --force "$tmp/$side" || true
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

build() { # SIDE REVISION
	git worktree add --quiet --detach "$tmp/$1" "$2"
	(cd "$tmp/$1" && $go build -o "$tmp/ddumbfs-$1" ./cmd/ddumbfs)
}
build A "$a"
build B "$b"
mkdir -p bin
$go build -o bin/ddbench ./cmd/ddbench

# What says nothing about the two, hashes and the programs of others, is left out unless options ask for it.
only=(--only ' ([AB]:|null$|raw$|loopback$)')
for option in "$@"; do
	case $option in --only | --only=*) only=() ;; esac
done
failed=0
bin/ddbench --ddumbfs "A:$a=$tmp/ddumbfs-A" --ddumbfs "B:$b=$tmp/ddumbfs-B" ${only[@]+"${only[@]}"} \
	--json bin/compare.json --svg bin/compare.svg --png bin/compare.png "$@" || failed=$?
[ "$failed" = 0 ] || [ "$failed" = 1 ] || exit "$failed" # 1: something could not be measured; the rest can be compared
bin/ddbench compare bin/compare.json
exit "$failed"
