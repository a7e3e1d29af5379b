#!/bin/sh
# Traces a chain of routers and hosts that answer as trace_peer.py says, with the built plug-in
# ($1/mptcp.so) inside the installed ZMap, and with the ZMap 4 that $ZMAP4 names, if it does. The peer
# checks what was sent, tshark its checksums; exactly the rows of genuine answers must come, and every
# other packet must be counted by reason.
#
# No packet leaves: both ends are in network namespaces made here that hold nothing else.
# shellcheck source-path=SCRIPTDIR source=expect.sh
. "$(dirname "$0")/expect.sh"
# shellcheck source-path=SCRIPTDIR source=veth_pair.sh
. "$(dirname "$0")/veth_pair.sh"

# A skip is a failure where everything is supposed to be installed.
skip() {
	echo "trace_test skipped: $1"
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
routers=
trap 'kill $routers $peer; rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1

# The same secrets in every run: a forged port would else be right once in 32,768 times.
${CC:-cc} -shared -fPIC -o "$work/same_random.so" "$here/same_random.c" || exit 1

# The SYNs that came, one a line as TTL, by tshark, without those that it warns of or finds wrong checksums in.
dissected() {
	HOME=$work tshark -r "$work/pcap" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -T fields \
		-e ip.ttl -e ipv6.hlim -e ip.checksum.status -e tcp.checksum.status -e tcp.flags \
		-e tcp.options.mptcp.version -E separator=, -Y '!(_ws.expert.severity >= 0x600000)' 2>/dev/null |
		sort | uniq -c | tr -s ' '
}

# A probe for each of the 26 targets with each TTL.
every_ttl() {
	for ttl in 2 3 4 5 6 7 8 9; do
		case $1 in
		4) echo " 26 $ttl,,1,1,0x0002,1" ;;
		6) echo " 26 ,$ttl,,1,0x0002,1" ;;
		esac
	done
}

# trace FAMILY: by $zmap.
trace() {
	what="$zmap IPv$1"
	source=
	[ "$1" = 6 ] && source=,source=2001:db8::53
	set=$(python3 "$here/trace_peer.py" targets "$1" "$work/targets")
	nsenter --net="/proc/$peer/ns/net" \
		python3 "$here/trace_peer.py" answer "$1" drop "$work/log" "$work/pcap" >"$work/ready" &
	routers=$!
	read -r _ <"$work/ready"
	# shellcheck disable=SC2086
	run timeout 60 env LD_PRELOAD="$preload" "$zmap" -C /dev/null -b /dev/null -M mptcp_trace \
		"--probe-args=probe=v1,ttl=2-9,targets=$work/targets$source" -p 443 -i scanner -S 192.0.2.1 \
		-G 02:00:00:00:00:99 -r 500 -c 2 --seed=1 -q -v 0 -m "$work/metadata" -O json -f '*' \
		'--output-filter=success = 1' -o "$work/rows" $set
	kill $routers
	wait $routers 2>/dev/null
	routers=
	expect "$what: status" "$status" 0
	expect "$what" "$(python3 "$here/trace_peer.py" compare "$1" "$work/log" "$work/rows" "$work/err" "$work/metadata" 2>&1)" ""
	if command -v tshark >/dev/null; then
		expect "$what: as tshark reads it" "$(dissected)" "$(every_ttl "$1")"
	else
		expect "tshark where CI is" "${CI:-}" ""
	fi
}

make_pair
if ! is_isolated; then
	echo "trace_test: the network namespaces are not isolated"
	exit 1
fi
mkfifo "$work/ready"

zmap=zmap preload=$bin/mptcp.so:$work/same_random.so
trace 4
trace 6
if [ -n "${ZMAP4:-}" ]; then
	zmap=$ZMAP4 preload=$work/same_random.so
	trace 4
	trace 6
fi
report
