#!/usr/bin/env bash
# The main job from end to end: brings the lab up, scans its port 443 over IPv4 and IPv6 with plain, v0,
# v1 and canary probes by the real ZMap, classifies, draws, and compares every verdict with what the lab
# knows to be true.
# Usage: scripts/demo.sh DIR. DIR is made anew and keeps the dataset, the truth and the figures.
set -euo pipefail

out=$1
mpcensus=$(dirname "$0")/../bin/mpcensus
# Below the rate at which ZMap itself loses replies on two shared cores.
rate=20000

# A lab that an earlier run left there would lose its directory, and then nobody could end it.
[ ! -e "$out/lab" ] || "$mpcensus" lab down --dir "$out/lab"
rm -rf "$out"
mkdir -p "$out"
trap '"$mpcensus" lab down --dir "$out/lab"' EXIT
"$mpcensus" lab up --dir "$out/lab"
"$mpcensus" lab hitlist --out "$out/hitlist.txt"

# campaign TARGETS...
campaign() {
	"$mpcensus" lab exec --dir "$out/lab" -- "$mpcensus" scan --paired --dataset "$out/census" \
		--port 443 --rate $rate --cooldown 2 --blocklist "$out/lab/blocklist.conf" "$@"
}
campaign 198.18.0.0/16 198.19.0.1 198.19.0.2 198.19.0.3 198.19.0.4
campaign --targets "$out/hitlist.txt"

"$mpcensus" classify --dataset "$out/census"
"$mpcensus" report --dataset "$out/census" --out "$out/figures"
"$mpcensus" lab truth --out "$out/truth.parquet"
"$mpcensus" lab check --dir "$out/lab" --dataset "$out/census" --truth "$out/truth.parquet" | sed '$ s/^/demo: /'
