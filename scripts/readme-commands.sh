#!/usr/bin/env bash
# Runs the commands of a Markdown page as a reader would paste them: every ```sh block, in order, each
# in a shell of its own. A block below a line `<!-- not run: WHY -->` is listed and passed over.
# Usage: scripts/readme-commands.sh PAGE
set -euo pipefail

page=$1
blocks=$(mktemp -d)
trap 'rm -rf "$blocks"' EXIT
awk -v dir="$blocks" '
	/^<!-- not run: / { why = $0; next }
	/^```sh$/ {
		inside = 1
		file = sprintf("%s/%02d%s", dir, ++n, why == "" ? ".sh" : ".not-run")
		printf "" > file
		next
	}
	/^```/ { if (inside) { close(file); why = "" }; inside = 0; next }
	inside { print >> file }
	!inside && NF { why = "" }
' "$page"

ran=0
for block in "$blocks"/*; do
	if [[ $block == *.not-run ]]; then
		echo "--- not run:"
		cat "$block"
		continue
	fi
	echo "--- $page:"
	cat "$block"
	bash -euo pipefail "$block" </dev/null
	ran=$((ran + 1))
done
echo "$page: $ran blocks of commands ran"
[ "$ran" -gt 0 ]
