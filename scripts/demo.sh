#!/usr/bin/env bash
# The main job from end to end: brings the lab up, scans its port 443 over IPv4 and IPv6 with plain, v0,
# v1 and canary probes by the real ZMap, adds a simulated past of eleven months, classifies, compares every
# verdict with what the lab knows to be true, and writes the report.
# Usage: scripts/demo.sh DIR. DIR is made anew and keeps the dataset, the truth, the report,
# and what ingest and classify print for each scan.
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

# The same hosts in the months before, with what came, went and came back.
"$mpcensus" lab history --out "$out/history" --port 443 --months 11 --last "$(date -u -d "$(date -u +%Y-%m-15) -1 month" +%F)"
"$mpcensus" ingest --dataset "$out/census" "$out/history/*.json.zst" > "$out/ingest.txt"
"$mpcensus" lab networks --out "$out/networks"
"$mpcensus" enrich --dataset "$out/census" --date "$(date -u +%F)" \
	--asn "$out/networks/asn-ipv4.csv" --asn "$out/networks/asn-ipv6.csv" \
	--country "$out/networks/country-ipv4.csv" --country "$out/networks/country-ipv6.csv"

"$mpcensus" classify --dataset "$out/census" > "$out/classify.txt"
"$mpcensus" dataset views --dataset "$out/census"
"$mpcensus" lab truth --out "$out/truth.parquet"
"$mpcensus" lab check --dir "$out/lab" --dataset "$out/census" --truth "$out/truth.parquet" | sed '$ s/^/demo: /'
"$mpcensus" report --dataset "$out/census" --out "$out/report"
