#!/bin/sh
# Scans a peer that answers as hostile_peer.py says, with the built plug-in ($1/mptcp.so) inside the
# installed ZMap, and with the ZMap 4 that $ZMAP4 names, if it does: genuine, forged and broken packets
# of every kind, through ZMap's own capture. Exactly the rows of the genuine ones must come, and every
# other packet must be counted by reason.
#
# No packet leaves: both ends are in network namespaces made here that hold nothing else.
# shellcheck source-path=SCRIPTDIR source=expect.sh
. "$(dirname "$0")/expect.sh"
# shellcheck source-path=SCRIPTDIR source=veth_pair.sh
. "$(dirname "$0")/veth_pair.sh"

# A skip is a failure where everything is supposed to be installed.
skip() {
	echo "hostile_test skipped: $1"
	[ "${CI:-}" != true ] && exit 0
	exit 1
}

if [ "${2:-}" != inside ]; then
	[ "$(zmap --version 2>/dev/null)" = "zmap 2.1.1" ] || skip "zmap 2.1.1 is not installed"
	command -v python3 >/dev/null || skip "python3 is not installed"
	namespace=$(own_namespace)
	[ -n "$namespace" ] || skip "network namespaces are not allowed here"
	# shellcheck disable=SC2086
	exec $namespace "$0" "$1" inside
fi

here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)
peer=
hostile=
trap 'kill $hostile $peer; rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1

# The same secrets in every run: a forged port would else be right once in 32,768 times. (The seed is fixed,
# too: of 256 targets or fewer ZMap 2.1.1 aborts with about one in 257.)
${CC:-cc} -shared -fPIC -o "$work/same_random.so" "$here/same_random.c" || exit 1

# scan SCAN PROBE-ARGS TARGET...: by $zmap. SCAN is direct, or the family of an indexed scan.
scan() {
	what="$zmap $1 $2"
	nsenter --net="/proc/$peer/ns/net" python3 "$here/hostile_peer.py" answer "$1" drop "$work/log" >"$work/ready" &
	hostile=$!
	read -r _ <"$work/ready"
	args=$2
	shift 2
	run timeout 60 env LD_PRELOAD="$preload" "$zmap" -C /dev/null -b /dev/null \
		-M mptcp_synscan "--probe-args=$args" -p 443 -i scanner -S 192.0.2.1 -G 02:00:00:00:00:99 \
		-r 200 -c 2 --seed=1 -q -v 0 -m "$work/metadata" -O json -f '*' \
		'--output-filter=success = 1 || success = 0' -o "$work/rows" "$@"
	kill $hostile
	wait $hostile 2>/dev/null
	hostile=
	expect "$what: status" "$status" 0
	expect "$what" "$(python3 "$here/hostile_peer.py" compare "$work/log" "$work/rows" "$work/err" "$work/metadata" 2>&1)" ""
}

make_pair
if ! is_isolated; then
	echo "hostile_test: the network namespaces are not isolated"
	exit 1
fi
# For packets longer than a capture.
ip link set scanner mtu 4000
in_peer ip link set drop mtu 4000
mkfifo "$work/ready"

set4=$(python3 "$here/hostile_peer.py" targets 4 "$work/targets4")
set6=$(python3 "$here/hostile_peer.py" targets 6 "$work/targets6")
addresses=$(python3 "$here/hostile_peer.py" addresses)

# Lists of CIDRs are words of their own.
# shellcheck disable=SC2086
scan_all() {
	scan direct probe=v1 $addresses
	scan 4 "probe=v0,targets=$work/targets4" $set4
	scan 4 "probe=plain,canary=on,targets=$work/targets4" $set4
	scan 6 "probe=v0,targets=$work/targets6,source=2001:db8::53" $set6
	scan 6 "probe=v1,targets=$work/targets6,source=2001:db8::53" $set6
	scan 6 "probe=plain,canary=on,targets=$work/targets6,source=2001:db8::53" $set6
}

zmap=zmap preload=$bin/mptcp.so:$work/same_random.so
scan_all
if [ -n "${ZMAP4:-}" ]; then
	zmap=$ZMAP4 preload=$work/same_random.so
	scan_all
fi
report
