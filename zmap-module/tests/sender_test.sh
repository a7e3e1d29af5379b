#!/bin/sh
# Sends with the built plug-in ($1/mptcp.so) inside the installed ZMap, and counts at the other
# end of a veth pair what it says it has sent.
#
# No packet leaves: both ends are in network namespaces made here that hold nothing else.
# shellcheck source-path=SCRIPTDIR source=expect.sh
. "$(dirname "$0")/expect.sh"
# shellcheck source-path=SCRIPTDIR source=veth_pair.sh
. "$(dirname "$0")/veth_pair.sh"

# A skip is a failure where everything is supposed to be installed.
skip() {
	echo "sender_test skipped: $1"
	[ "${CI:-}" != true ] && exit 0
	exit 1
}

if [ "${2:-}" != inside ]; then
	[ "$(zmap --version 2>/dev/null)" = "zmap 2.1.1" ] || skip "zmap 2.1.1 is not installed"
	namespace=$(own_namespace)
	[ -n "$namespace" ] || skip "network namespaces are not allowed here"
	# shellcheck disable=SC2086
	exec $namespace "$0" "$1" inside
fi

bin=$(cd "$1" && pwd)
peer=
trap 'kill $peer; rm -rf "$work"' EXIT

# scan ARGUMENT...: leaves what ZMap printed in $work/err, and its exit code in $status. The
# frames go to nobody's MAC address: the peer counts and drops them.
scan() {
	run timeout 30 env LD_PRELOAD="$bin/mptcp.so" zmap -C /dev/null -b /dev/null \
		-M "${probe:-mptcp_synscan}" -p 443 -i scanner -S 192.0.2.1 -G 02:00:00:00:00:99 \
		-c 0 -q -v 0 -o /dev/null "$@" 198.18.0.0/15
}

# count NAME: the number that the counts line gives it.
count() {
	sed -n "s/^mptcp_synscan: counts .*\"$1\":\([0-9]*\).*/\1/p" "$work/err"
}

# The interface has no IPv4 address here: without the ioctl shim ZMap would hang.
test_every_frame_arrives() {
	for case in 20/1/7 1500/1/800 1500/2/801 30000/1/20001 30000/2/20000 0/1/130000 0/2/130001; do
		rate=${case%%/*}
		threads=${case#*/}
		threads=${threads%/*}
		probes=${case##*/}
		before=$(received)
		start=$(date +%s%N)
		scan -r "$rate" -T "$threads" -n "$probes"
		end=$(date +%s%N)
		what="rate $rate, $threads threads"
		expect "$what: status" "$status" 0
		expect "$what: packets_sent" "$(count packets_sent)" "$probes"
		expect "$what: send_failures" "$(count send_failures)" 0
		expect "$what: received" "$(($(received) - before))" "$probes"
		# Start and end of the process are in it: to look at, not to hold against.
		echo "sender_test: $what: $probes frames in $(((end - start) / 1000000)) ms"
	done
}

# At a low rate no packet waits for others: the first is there long before the last is made.
test_sent_at_once() {
	before=$(received)
	scan -r 10 -n 20 &
	for _ in $(seq 100); do
		arrived=$(($(received) - before))
		[ $arrived -eq 0 ] || break
		sleep 0.05
	done
	wait $!
	expect "rate 10: some came first" "$((arrived > 0 && arrived < 20))" 1
	expect "rate 10: received" "$(($(received) - before))" 20
}

# refused WHAT COMMAND...: the interface goes down in the middle of a scan, by COMMAND down.
refused() {
	what=$1
	shift
	before=$(received)
	(
		for _ in $(seq 200); do
			[ $(($(received) - before)) -lt 1000 ] || break
			sleep 0.05
		done
		"$@" down
	) &
	scan -r 10000 -n 20000
	wait $!
	"$@" up
	sent=$(count packets_sent)
	failures=$(count send_failures)
	expect "$what: status" "$status" 0
	expect "$what: received" "$(($(received) - before))" "$sent"
	expect "$what: sum" "$((sent + failures))" 20000
	expect "$what: some sent, some refused" "$((sent > 0))$((failures > 0))" 11
	echo "sender_test: $what: $sent sent, $failures refused"
}

# ENETDOWN, and, for want of a carrier, ENOBUFS.
test_refused_frames_are_counted() {
	refused "interface down" ip link set scanner
	refused "peer down" in_peer ip link set drop
}

# ZMap's own limit works: its monitor looks once a second.
test_failures_reach_the_monitor() {
	in_peer ip link set drop down
	scan -r 2000 -n 20000 --retries=0 --max-sendto-failures=10
	in_peer ip link set drop up
	expect "too many failures: status" "$status" 1
	expect "too many failures: message" "$(grep -c 'sendto failures (10) exceeded' "$work/err")" 1
}

# A device whose queue is full is waited for, also without retries: ENOBUFS is no loss. Descriptors 3 and 4
# are the pipes to and from slow_device.py, which takes the scanner's end.
test_slow_device() {
	if ! [ -w /dev/net/tun ] || ! command -v python3 >/dev/null; then
		echo "sender_test: slow device skipped: needs /dev/net/tun and python3"
		expect "slow device where CI is" "${CI:-}" ""
		return
	fi
	ip link del scanner
	mkfifo "$work/to_device" "$work/from_device"
	python3 "$(dirname "$0")/slow_device.py" scanner <"$work/to_device" >"$work/from_device" &
	exec 3>"$work/to_device" 4<"$work/from_device"
	read -r _ <&4
	ip link set scanner txqueuelen 16 addrgenmode none up
	scan -r 0 -n 5000 --retries=0 4<&- 3>&-
	exec 3>&-
	read -r arrived <&4
	exec 4<&-
	wait $!
	expect "slow device: counts" "$status $(count packets_sent) $(count send_failures)" "0 5000 0"
	expect "slow device: received" "$arrived" 5000
}

# Stock modules go past the plug-in's sendto().
test_other_modules() {
	ip addr add 192.0.2.1/32 dev scanner
	before=$(received)
	probe=tcp_synscan scan -r 1000 -n 300
	expect "tcp_synscan: received" "$(($(received) - before))" 300
	ip addr del 192.0.2.1/32 dev scanner
}

make_pair
if ! is_isolated; then
	echo "sender_test: the network namespaces are not isolated"
	exit 1
fi
test_every_frame_arrives
test_sent_at_once
test_refused_frames_are_counted
test_failures_reach_the_monitor
test_other_modules
test_slow_device
report
