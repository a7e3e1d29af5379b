#!/usr/bin/env bash
# The main job from end to end: brings the lab up, scans its port 443 over IPv4 and IPv6 with plain, v0,
# v1 and canary probes by the real ZMap, adds a simulated past of eleven months, classifies, traces the
# paths to all targets, makes real MPTCP connections to the lab's kernels, concludes, compares every verdict
# and path with what the lab knows to be true, and writes the report.
# Usage: scripts/demo.sh DIR. DIR is made anew and keeps the dataset, the truth, the report,
# and what ingest and classify print for each scan.
set -euo pipefail

out=$1
mpcensus=$(dirname "$0")/../bin/mpcensus
# Below the rate at which ZMap itself loses replies on two shared cores.
rate=20000
# A trace that loses some answers concludes less, and nothing wrong.
trace_rate=100000

# A lab that an earlier run left there would lose its directory, and then nobody could end it.
[ ! -e "$out/lab" ] || "$mpcensus" lab down --dir "$out/lab"
rm -rf "$out"
mkdir -p "$out"
trap '"$mpcensus" lab down --dir "$out/lab"' EXIT
"$mpcensus" lab up --dir "$out/lab"

# census COMMAND ARGUMENT...: what sends, on port 443.
census() {
	local command=$1
	shift
	"$mpcensus" lab exec --dir "$out/lab" -- "$mpcensus" "$command" --dataset "$out/census" --port 443 \
		--blocklist "$out/lab/blocklist.conf" "$@"
}

# The simulated Internet, the kernels in it, and those behind chains of routers.
"$mpcensus" lab hitlist --out "$out/hitlist.txt"
"$mpcensus" lab chains --out "$out/chains.txt"
printf '%s\n' 198.18.0.0/16 198.19.0.1 198.19.0.2 198.19.0.3 198.19.0.4 > "$out/ipv4.txt"
grep -v : "$out/chains.txt" >> "$out/ipv4.txt"
grep : "$out/chains.txt" | cat "$out/hitlist.txt" - > "$out/ipv6.txt"
for family in ipv4 ipv6; do
	census scan --paired --rate $rate --cooldown 2 --targets "$out/$family.txt"
done

# The same hosts in the months before, with what came, went and came back, and the paths to those that were
# potential.
last=$(date -u -d "$(date -u +%Y-%m-15) -1 month" +%F)
"$mpcensus" lab history --out "$out/history" --port 443 --months 11 --last "$last"
"$mpcensus" ingest --dataset "$out/census" "$out/history/*.json.zst" > "$out/ingest.txt"
"$mpcensus" lab traces --out "$out/traces" --port 443 --months 11 --ttl 1-21 --last "$last"
for month in $(find "$out/traces" -name '*.json.zst' -printf '%f\n' | cut -c 1-10 | sort -u); do
	for probe in v0 v1; do
		"$mpcensus" trace --dataset "$out/census" --rows "$out/traces/$month-*-$probe-*.json.zst" >> "$out/ingest.txt"
	done
done
"$mpcensus" lab networks --out "$out/networks"
"$mpcensus" enrich --dataset "$out/census" --date "$(date -u +%F)" \
	--asn "$out/networks/asn-ipv4.csv" --asn "$out/networks/asn-ipv6.csv" \
	--country "$out/networks/country-ipv4.csv" --country "$out/networks/country-ipv6.csv"
"$mpcensus" classify --dataset "$out/census" > "$out/classify.txt"

# Every path, so that boxes of all kinds are met; of v0 those to potential hosts, as in a census.
for family in ipv4 ipv6; do
	census trace --rate $trace_rate --cooldown 2 --ttl 1-21 --targets "$out/$family.txt"
done
census trace --probe v0 --rate $rate --cooldown 2 --ttl 1-21
{ printf '%s\n' 198.19.0.1 198.19.0.2 198.19.0.3 198.19.0.4; cat "$out/chains.txt"; } > "$out/kernels.txt"
census verify --rounds 2 --targets "$out/kernels.txt"

"$mpcensus" classify --dataset "$out/census" > "$out/classify.txt"
"$mpcensus" dataset views --dataset "$out/census"
"$mpcensus" lab truth --out "$out/truth.parquet"
"$mpcensus" lab paths --out "$out/paths.parquet"
"$mpcensus" lab check --dir "$out/lab" --dataset "$out/census" --truth "$out/truth.parquet" --paths "$out/paths.parquet" | sed '$ s/^/demo: /'
"$mpcensus" report --dataset "$out/census" --out "$out/report"
