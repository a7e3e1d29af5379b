#!/usr/bin/env bash
# Runs every Go fuzz target for the given number of seconds. What is found is kept beside the target,
# in testdata/fuzz, and replayed by go test.
set -euo pipefail

seconds=$1
grep --recursive --include='*_test.go' --only-matching --no-filename --with-filename '^func Fuzz[A-Za-z0-9]*' . |
	while IFS=: read -r file target; do
		go test -run '^$' -fuzz "^${target#func }\$" -fuzztime "${seconds}s" "./$(dirname "$file")"
	done
