#!/bin/sh
# How fast the probe module is, beside ZMap's own tcp_synscan: what a packet costs, and what a
# send thread reaches on a veth pair. Usage: bench_probe.sh BIN BENCH, the folders of mptcp.so
# and of what bench/ builds.
#
# No packet leaves: both ends of the veth pair are in network namespaces made here that hold
# nothing else, which is looked at before the first packet. Each run ends after RUN_SECONDS.
set -eu
PATH=$PATH:/usr/sbin:/usr/local/sbin
ROUNDS=${ROUNDS:-5}
WARM_SECONDS=0.5
RUN_SECONDS=1.5

stop() {
	echo "bench-probe: $1" >&2
	exit 1
}

# shellcheck source-path=SCRIPTDIR source=../tests/veth_pair.sh
. "$(dirname "$0")/../tests/veth_pair.sh"

if [ "${3:-}" != inside ]; then
	[ "$(zmap --version 2>/dev/null)" = "zmap 2.1.1" ] || stop "zmap 2.1.1 is not installed"
	namespace=$(own_namespace)
	[ -n "$namespace" ] || stop "network namespaces are not allowed here: run it as root"
	# shellcheck disable=SC2086
	exec $namespace "$0" "$1" "$2" inside
fi

bin=$(cd "$1" && pwd)
bench=$(cd "$2" && pwd)
work=$(mktemp -d)
peer=
scan=
clean() {
	for process in $scan $peer; do kill "$process" 2>/dev/null || true; done
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM

# Nobody's MAC address: the peer's kernel drops the frames as soon as it has received and
# counted them. tcp_synscan runs in a ZMap without the plug-in.
start_scan() {
	probe=$1
	shift
	case $probe in
	mptcp_synscan) preload=$bin/mptcp.so ;;
	*) preload= ;;
	esac
	LD_PRELOAD=$preload $priority zmap -C /dev/null -b /dev/null -M "$probe" -p 443 -i scanner \
		-S 192.0.2.1 -G 02:00:00:00:00:99 -T 1 -r 0 -P 1 -n 4194304 -c 0 -q -v 0 \
		-o /dev/null "$@" 2>"$work/err" &
	scan=$!
}

# Nanoseconds, and frames that the peer has received.
reading() {
	date +%s%N
	received
}

# kpps NAME SCAN...: appends the frames a millisecond that reached the peer to NAME's file.
kpps() {
	name=$1
	shift
	start_scan "$@"
	sleep $WARM_SECONDS
	reading >"$work/readings"
	sleep $RUN_SECONDS
	reading >>"$work/readings"
	kill -0 $scan 2>/dev/null || stop "$name: the scan ended early: $(head -1 "$work/err")"
	kill $scan
	wait $scan 2>/dev/null || true
	scan=
	xargs <"$work/readings" | awk 'NF != 4 || $4 == $2 { exit 1 }
		{ printf "%.1f\n", ($4 - $2) / ($3 - $1) * 1e6 }' >>"$work/$name" ||
		stop "$name: nothing reached the peer"
}

# quantiles NAME: minimum, median and maximum.
quantiles() {
	sort -n "$work/$1" | awk '{ value[NR] = $1 }
		END { print value[1], (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2, value[NR] }'
}

# Other work on the machine is kept out of what is measured, where that is allowed.
priority="chrt --fifo 1"
$priority true 2>/dev/null || priority=

"$bench/write_targets" >"$work/targets"
LD_PRELOAD=$bench/make_packet.so:$bin/mptcp.so IPV6_TARGETS=$work/targets $priority zmap 1.0.0.0/10

make_pair
# tcp_synscan's sender wants an address on its interface. It brings no route.
ip addr add 192.0.2.1/32 dev scanner
is_isolated || stop "the network namespaces are not isolated"
for _ in $(seq "$ROUNDS"); do
	kpps tcp_synscan tcp_synscan
	kpps v0 mptcp_synscan --probe-args=probe=v0
	kpps v1 mptcp_synscan --probe-args=probe=v1
	kpps ipv6 mptcp_synscan "--probe-args=probe=v1,source=2001:db8::1,targets=$work/targets" 1.0.0.0/10
done

echo
awk -F ': *' '/^model name/ { model = $2; cpus++ }
	END { printf "%s, %d processors; send thread pinned by ZMap to the second of them\n", model, cpus }' /proc/cpuinfo
echo "$(uname -sr); scheduling: ${priority:-normal}"
echo
printf '%-14s %8s %8s %8s %8s\n' "kpps at peer" min median max ratio
stock=$(quantiles tcp_synscan | cut -d ' ' -f 2)
summary="bench-probe:"
for name in tcp_synscan v0 v1 ipv6; do
	quantiles $name >"$work/quantiles"
	read -r min median max <"$work/quantiles"
	ratio=$(awk "BEGIN { printf \"%.2f\", $median / $stock }")
	printf '%-14s %8s %8s %8s %8s\n' $name "$min" "$median" "$max" "$ratio"
	[ $name = tcp_synscan ] || summary="$summary $name $ratio"
done
echo
echo "$summary"
