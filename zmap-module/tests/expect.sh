# shellcheck shell=sh
# Sourced by shell tests. $work is a folder that goes with the test.
set -u
PATH=$PATH:/usr/sbin:/usr/local/sbin
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

passed=0
failed=0

# expect WHAT ACTUAL EXPECTED
expect() {
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$(basename "$0" .sh): $1: got '$2', expected '$3'"
	fi
}

# run COMMAND...: leaves $status, $work/out and $work/err.
# shellcheck disable=SC2034
run() {
	"$@" >"$work/out" 2>"$work/err"
	status=$?
}

lines() {
	wc -l <"$1" | tr -d ' '
}

report() {
	echo "$(basename "$0" .sh): $passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}
