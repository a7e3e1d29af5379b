#!/usr/bin/env bash
# Runs the notebooks from scratch on a small dataset: five months of a small lab's history, classified and
# enriched. build/notebooks is made anew, and keeps the dataset and the notebooks with their outputs.
set -euo pipefail

root=$(dirname "$0")/..
mpcensus=$root/bin/mpcensus
out=$root/build/notebooks

rm -rf "$out"
mkdir -p "$out"
# Enough hosts for every table and figure; shares as in lab/scenario/default.yaml.
cat > "$out/scenario.yaml" <<'YAML'
seed: 1
ranges: [198.18.0.0/20]
ipv6: {addresses: 2048}
ports: [80, 443]
behaviours:
  rst: 0.08
  icmp: 0.01
  tcp: 0.22
  mirror: 0.06
  true-v1: 0.025
  true-v0: 0.015
  tamper-half: 0.005
  constant-key: 0.005
  zero-key: 0.004
YAML
{
	"$mpcensus" lab history --scenario "$out/scenario.yaml" --months 5 --out "$out/rows"
	"$mpcensus" lab networks --out "$out/networks"
	"$mpcensus" ingest --dataset "$out/census" "$out/rows/*.json.zst"
	"$mpcensus" classify --dataset "$out/census"
	"$mpcensus" enrich --dataset "$out/census" \
		--asn "$out/networks/asn-ipv4.csv" --asn "$out/networks/asn-ipv6.csv" \
		--country "$out/networks/country-ipv4.csv" --country "$out/networks/country-ipv6.csv"
	"$mpcensus" dataset views --dataset "$out/census"
} > "$out/log.txt"

MPCENSUS_DATASET=$(realpath "$out/census")
export MPCENSUS_DATASET
"$root/.venv/bin/python" "$root/scripts/run-notebooks.py" "$out" "$root"/notebooks/*.ipynb
