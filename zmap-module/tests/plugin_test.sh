#!/bin/sh
# Loads the built plug-in ($1/mptcp.so, by $1/zmap-mptcp) into the installed ZMap.
#
# No packet leaves: ZMap runs with --dryrun, in a network namespace of its own that has
# nothing but a loopback interface.
set -u
PATH=$PATH:/usr/sbin:/usr/local/sbin
bin=$(cd "$1" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

passed=0
failed=0

pass() {
	passed=$((passed + 1))
}

fail() {
	failed=$((failed + 1))
	echo "plugin_test: $1"
}

# expect WHAT ACTUAL EXPECTED
expect() {
	if [ "$2" = "$3" ]; then pass; else fail "$1: got '$2', expected '$3'"; fi
}

# A skip is a failure where everything is supposed to be installed.
skip() {
	echo "plug-in load tests skipped: $1"
	[ "${CI:-}" != true ] && exit 0
	exit 1
}

# run COMMAND...: leaves $status, $work/out and $work/err.
run() {
	"$@" >"$work/out" 2>"$work/err"
	status=$?
}

lines() {
	wc -l <"$1" | tr -d ' '
}

alone() {
	unshare "$@" sh -c 'ip link set lo up' 2>/dev/null
}

if [ "$(zmap --version 2>/dev/null)" != "zmap 2.1.1" ]; then
	skip "zmap 2.1.1 is not installed"
elif alone -n; then
	namespace="unshare -n"
elif alone -rn; then
	namespace="unshare -rn"
else
	skip "network namespaces are not allowed here"
fi

# scan NAME=VALUE...: prints three probes instead of sending them. (Of 256 targets or fewer ZMap 2.1.1
# aborts with about one seed in 257.)
scan() {
	run $namespace sh -c 'ip link set lo up && exec "$@"' sh "$bin/zmap-mptcp" \
		-C /dev/null -b /dev/null -M mptcp_synscan -p 443 -i lo -S 192.0.2.1 \
		-G 02:00:00:00:00:01 -n 3 --dryrun -c 0 -q -v 0 -o /dev/null "$@" 198.18.0.0/16
}

test_listed() {
	run "$bin/zmap-mptcp" --list-probe-modules
	expect "modules" "$(tr '\n' ' ' <"$work/out")" \
		"tcp_synscan icmp_echoscan icmp_echo_time udp ntp mptcp_synscan "
	run "$bin/zmap-mptcp" -M mptcp_synscan --help
	expect "--help" "$(grep -c -e '--probe-args=name=value' "$work/out")" 1
}

# name:type of the row contract, and of the fields that ZMap itself brings to it.
contract="saddr:string daddr:string sport:int dport:int window:int ttl:int tcp_flags:int
	ipid:int seqnum:string acknum:string probe:string tcp_options:string mptcp:string
	mptcp_version:int mptcp_flags:int mptcp_length:int mptcp_key:string sent_key:string
	classification:string success:int icmp_type:int icmp_code:int responder:string
	quote:string repeat:int cooldown:int timestamp-ts:int timestamp-us:int"

test_output_fields() {
	run "$bin/zmap-mptcp" -M mptcp_synscan --list-output-fields
	for field in $contract; do
		expect "output field $field" "$(awk -v name="${field%:*}" -v type="${field#*:}:" \
			'$1 == name && $2 == type' "$work/out" | wc -l)" 1
	done
	expect "double fields" "$(awk '{ print $1 }' "$work/out" | sort | uniq -d)" ""
}

test_probe_args_help() {
	scan --probe-args=help
	expect "help: status" "$status" 0
	expect "help: names" "$(grep -c -e '^  probe=' -e '^  key=' -e '^  options=' "$work/out")" 3
	expect "help: probes" "$(grep -c '{ ip:' "$work/out")" 0
}

test_refused_args() {
	for args in --probe-args=prob=v1 --probe-args=probe=v2 --probe-args=probe=v1,probe=v1 \
		--probe-args=key=static:12 --probe-args=options=none "--probe-args=probe=v1," \
		"--probe-args=$(printf '%0300d' 0)" --source-port=40000 --vpn; do
		scan "$args"
		expect "$args: status" "$status" 1
		expect "$args: lines on stderr" "$(lines "$work/err")" 1
		expect "$args: whose" "$(cut -d: -f1 "$work/err")" mptcp_synscan
		expect "$args: probes" "$(grep -c '{ ip:' "$work/out")" 0
	done
}

# How tshark reads the probes, without those that it warns of (severity "warning" and up).
dissected() {
	text2pcap -q -l 101 -r '^mptcp_synscan \{ ip: (?<data>[0-9a-f]+) \}$' "$work/out" "$work/pcap" \
		>/dev/null 2>&1
	# Away from the user's own Wireshark preferences.
	HOME=$work tshark -r "$work/pcap" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -T fields \
		-e ip.checksum.status -e tcp.checksum.status -e tcp.flags \
		-e tcp.options.mptcp.version -e tcp.options.mptcp.sendkey -E separator=, \
		-Y '!(_ws.expert.severity >= 0x600000)' 2>/dev/null
}

test_dissected() {
	if ! command -v tshark >/dev/null || ! command -v text2pcap >/dev/null; then
		echo "probe dissection skipped: tshark is not installed"
		[ "${CI:-}" != true ] || fail "tshark is required in CI"
		return
	fi
	key=00000000ffff0000
	for options in linux bare; do
		for probe in v0/0 v1/1 plain/; do
			scan "--probe-args=probe=${probe%/*},options=$options,key=static:$key"
			expect "$probe $options: status" "$status" 0
			shown=
			[ "${probe%/*}" = v0 ] && shown=4294901760
			expect "$probe $options" "$(dissected | sort | uniq -c | tr -s ' ')" \
				" 3 1,1,0x0002,${probe#*/},$shown"
		done
	done
}

test_other_programs() {
	run env LD_PRELOAD="$bin/mptcp.so" /bin/true
	expect "/bin/true: status" "$status" 0
	expect "/bin/true: output" "$(cat "$work/out" "$work/err")" ""
	run env LD_PRELOAD="$bin/mptcp.so" LD_BIND_NOW=1 /bin/sh -c 'echo sh; /bin/true'
	expect "sh: output" "$(cat "$work/out" "$work/err")" sh
	run env ZMAP=/bin/echo "$bin/zmap-mptcp" "a b" c
	expect "launcher passes arguments on" "$(cat "$work/out" "$work/err")" "a b c"
}

# fake NAME CODE: a program that calls itself so and has nothing of ZMap in it.
fake() {
	echo "$2" | ${CC:-cc} -rdynamic -x c -o "$work/$1" - || fail "no fake $1"
}

test_unknown_zmap() {
	fake zmap 'const char *volatile v = "4.3.4"; int main(void) { return 0; }'
	run env ZMAP="$work/zmap" "$bin/zmap-mptcp"
	expect "unknown zmap: status" "$status" 1
	expect "unknown zmap" "$(cat "$work/out" "$work/err")" \
		"mptcp.so: cannot work inside this ZMap (version 4.3.4): it exports no probe modules; supported is ZMap 2.1.1 as Debian and Ubuntu package it"

	functions="int fs_add_string, fs_add_uint64, fs_add_null, fs_modify_string, fs_modify_uint64;"
	fake zmap2 "$functions"' void *probe_modules[7]; char zconf[7072];
		const char *volatile v = "2.1.1"; int main(void) { return 0; }'
	run env ZMAP="$work/zmap2" "$bin/zmap-mptcp"
	expect "zmap of another build: status" "$status" 1
	expect "zmap of another build" "$(grep -c 'version 2.1.1): it was built with other' "$work/err")" 1

	fake zmap3 "$functions"' void *probe_modules[6]; char zconf[7072];
		const char *volatile v = "2.1.0"; int main(void) { return 0; }'
	run env ZMAP="$work/zmap3" "$bin/zmap-mptcp"
	expect "zmap 2.1.0" "$(grep -c 'version 2.1.0): its version differs' "$work/err")" 1

	fake zmapper 'int main(void) { return 0; }'
	run env ZMAP="$work/zmapper" "$bin/zmap-mptcp"
	expect "zmapper: status and output" "$status$(cat "$work/out" "$work/err")" 0
}

test_launcher_without_module() {
	cp "$bin/zmap-mptcp" "$work/"
	run "$work/zmap-mptcp" --version
	expect "no mptcp.so: status" "$status" 1
	expect "no mptcp.so: lines" "$(lines "$work/err")" 1
	mkdir -p "$work/prefix/bin" "$work/prefix/lib/mpcensus"
	cp "$bin/zmap-mptcp" "$work/prefix/bin/"
	cp "$bin/mptcp.so" "$work/prefix/lib/mpcensus/"
	ln -s "$work/prefix/bin/zmap-mptcp" "$work/link"
	run "$work/link" --list-probe-modules
	expect "installed and linked" "$(grep -c mptcp_synscan "$work/out")" 1
}

test_listed
test_output_fields
test_probe_args_help
test_refused_args
test_dissected
test_other_programs
test_unknown_zmap
test_launcher_without_module
echo "plugin_test: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
