#!/bin/sh
# Loads the built plug-in ($1/mptcp.so, by $1/zmap-mptcp) into the installed ZMap.
#
# No packet leaves: ZMap runs with --dryrun, in a network namespace of its own that has
# nothing but a loopback interface.
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/expect.sh
. "$here/expect.sh"
bin=$(cd "$1" && pwd)

# A skip is a failure where everything is supposed to be installed.
skip() {
	echo "plug-in load tests skipped: $1"
	[ "${CI:-}" != true ] && exit 0
	exit 1
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

# What the tests try, but those of traces.
module=mptcp_synscan

# dryrun ZMAP'S-ARGUMENTS...: prints probes instead of sending them. Without the launcher: here is only what
# the module itself takes and refuses.
dryrun() {
	# The parts of $namespace are words of their own.
	# shellcheck disable=SC2086
	run $namespace sh -c 'ip link set lo up && exec "$@"' sh env LD_PRELOAD="$bin/mptcp.so" zmap \
		-C /dev/null -M "$module" -p 443 -i lo -S 192.0.2.1 -G 02:00:00:00:00:01 --dryrun \
		-c 0 -q -v 0 -o /dev/null "$@"
}

# scan ARGUMENT...: three probes. (Of 256 targets or fewer ZMap 2.1.1 aborts with about one seed in 257.)
scan() {
	dryrun -b /dev/null -n 3 "$@" 198.18.0.0/16
}

test_listed() {
	run "$bin/zmap-mptcp" --list-probe-modules
	expect "modules" "$(tr '\n' ' ' <"$work/out")" \
		"tcp_synscan icmp_echoscan icmp_echo_time udp mptcp_trace mptcp_synscan "
	for module in mptcp_trace mptcp_synscan; do
		run "$bin/zmap-mptcp" -M $module --help
		expect "$module --help" "$(grep -c -e '--probe-args=name=value' "$work/out")" 1
	done
}

# name:type of the row contract, and of the fields that ZMap itself brings to it.
contract="saddr:string daddr:string sport:int dport:int window:int ttl:int tcp_flags:int
	ipid:int seqnum:string acknum:string probe:string tcp_options:string mptcp:string
	mptcp_version:int mptcp_flags:int mptcp_length:int mptcp_key:string sent_key:string
	sent_canary:string canary:string classification:string success:int icmp_type:int icmp_code:int responder:string
	quote:string repeat:int cooldown:int timestamp-ts:int timestamp-us:int"

# output_fields MODULE NAME:TYPE...
output_fields() {
	run "$bin/zmap-mptcp" -M "$1" --list-output-fields
	shift
	for field; do
		expect "output field $field" "$(awk -v name="${field%:*}" -v type="${field#*:}:" \
			'$1 == name && $2 == type' "$work/out" | wc -l)" 1
	done
	expect "double fields" "$(awk '{ print $1 }' "$work/out" | sort | uniq -d)" ""
}

test_output_fields() {
	# shellcheck disable=SC2086
	output_fields mptcp_synscan $contract
	expect "fields of traces in a scan" "$(grep -c -e '^probe_ttl ' -e '^sent ' "$work/out")" 0
	# shellcheck disable=SC2086
	output_fields mptcp_trace $contract probe_ttl:int sent:string
}

test_probe_args_help() {
	scan --probe-args=help
	expect "help: status" "$status" 0
	expect "help: names" "$(grep -c -e '^  probe=' -e '^  key=' -e '^  options=' -e '^  canary=' \
		-e '^  targets=' -e '^  source=' -e '^  ttl=' -e '^  flow=' "$work/out")" 8
	expect "help: probes" "$(grep -c '{ ip:' "$work/out")" 0
}

# refused WHAT: of the last run. Exit code, one line that is ours, and no probe.
refused() {
	expect "$1: status" "$status" 1
	expect "$1: lines on stderr" "$(lines "$work/err")" 1
	expect "$1: whose" "$(cut -d: -f1 "$work/err")" "$module"
	expect "$1: probes" "$(grep -c '{ ip:' "$work/out")" 0
}

test_refused_args() {
	for args in --probe-args=prob=v1 --probe-args=probe=v2 --probe-args=probe=v1,probe=v1 \
		--probe-args=key=static:12 --probe-args=options=none "--probe-args=probe=v1," \
		--probe-args=canary=yes --probe-args=source=192.0.2.1 \
		--probe-args=source=2001:db8::1 --probe-args=ttl=1-24 "--probe-args=targets=$work/none" \
		"--probe-args=$(printf '%01100d' 0)" --source-port=40000 --vpn; do
		scan "$args"
		refused "$args"
	done
}

# octets NUMBER...
octets() {
	for number in "$@"; do
		# shellcheck disable=SC2059
		printf "\\$(printf %03o "$number")"
	done
}

# header FAMILY COUNT: of a target file, COUNT below 65536
header() {
	printf mptarget
	octets 1 "$1" 0 0 0 0 0 0 0 0 0 0 0 0 $(($2 >> 8)) $(($2 & 255)) 0 0 0 0 0 0 0 0
}

# records FAMILY COUNT: 198.18.0.0 or 2001:db8:: and those behind it
records() {
	i=0
	while [ "$i" -lt "$2" ]; do
		if [ "$1" = 4 ]; then octets 198 18; else octets 32 1 13 184 0 0 0 0 0 0 0 0 0 0; fi
		octets $((i >> 8)) $((i & 255))
		i=$((i + 1))
	done
}

make_target_files() {
	for family in 4 6; do
		{
			header "$family" 300
			records "$family" 300
		} >"$work/targets$family"
	done
}

# indexed FILE ARGS ZMAP'S-ARGUMENTS...: ARGS begins with a comma.
indexed() {
	args=targets=$1$2
	shift 2
	dryrun "--probe-args=$args" "$@"
}

set300="1.0.0.0/24 1.0.1.0/27 1.0.1.32/29 1.0.1.40/30"
six=,source=2001:db8::53

# The probes' destinations, in order, one a line: the last word of the IP header.
numbers() {
	sed -n "s/^mptcp_synscan { ip: $1\\([0-9a-f]\\{4\\}\\).*/\\1/p" "$work/out" | sort
}

every_number() {
	i=0
	while [ "$i" -lt 300 ]; do
		printf '%04x\n' "$i"
		i=$((i + 1))
	done
}

test_index_set() {
	# IPv4 header up to the last two bytes of the destination, IPv6 header likewise.
	header4='45.\{22\}c0000201c612' header6='60.\{14\}20010db8.\{20\}005320010db8.\{20\}'
	every_number >"$work/every"
	# shellcheck disable=SC2086
	indexed "$work/targets4" "" -b /dev/null $set300
	expect "IPv4: status" "$status" 0
	expect "IPv4: every target once" "$(numbers "$header4" | diff "$work/every" - | head -n 3)" ""
	# shellcheck disable=SC2086
	indexed "$work/targets6" $six -b /dev/null $set300
	expect "IPv6: status" "$status" 0
	expect "IPv6: every target once" "$(numbers "$header6" | diff "$work/every" - | head -n 3)" ""
	# shellcheck disable=SC2086
	indexed "$work/targets6" $six -b /dev/null -n 5 $set300
	expect "IPv6 -n 5: probes" "$(numbers "$header6" | uniq | wc -l)" 5
	for shard in 0 1 2; do
		# shellcheck disable=SC2086
		indexed "$work/targets6" $six -b /dev/null --seed 7 --shards 3 --shard $shard $set300
		cat "$work/out" >>"$work/shards"
	done
	mv "$work/shards" "$work/out"
	expect "IPv6: every target once in 3 shards" "$(numbers "$header6" | diff "$work/every" - | head -n 3)" ""
}

test_wrong_index_set() {
	for cidrs in "1.0.0.0/24 1.0.1.0/27 1.0.1.32/29 1.0.1.40/31 1.0.1.42/32" "$set300 1.0.1.44/32" \
		"1.0.0.0/24 1.0.1.0/27 1.0.1.32/29" "1.0.0.0/24 1.0.1.0/27 1.0.1.40/30" \
		"1.0.1.40/30 1.0.0.0/24 1.0.1.0/27 1.0.1.32/29" "1.0.0.0/23" "11.0.0.0/24 11.0.1.0/27 11.0.1.32/29 11.0.1.40/30" ""; do
		# shellcheck disable=SC2086
		indexed "$work/targets6" $six -b /dev/null $cidrs
		refused "index set '$cidrs'"
	done
	# The right first addresses and the right number, but of two blocks in each other's size.
	{
		header 4 257
		records 4 257
	} >"$work/targets257"
	indexed "$work/targets257" "" -b /dev/null 1.0.0.0/32 1.0.1.0/24
	refused "index set of swapped sizes"

	echo 1.0.0.7 >"$work/seven"
	# shellcheck disable=SC2086
	indexed "$work/targets6" $six -b "$work/seven" $set300
	refused "blocklist"
	expect "blocklist: error" "$(cut -d' ' -f2- "$work/err")" \
		"ZMap's blocklist leaves 299 of the 300 indices of $work/targets6: give -b /dev/null, and the blocklist to mpcensus targets build"
	echo "$set300" | tr ' ' '\n' >"$work/whitelist"
	indexed "$work/targets6" $six -b /dev/null -w "$work/whitelist"
	refused "whitelist"
	# shellcheck disable=SC2086
	indexed "$work/targets6" $six -b /dev/null -w "$work/whitelist" $set300
	refused "whitelist and index set"
	# shellcheck disable=SC2086
	indexed "$work/targets6" "" -b /dev/null $set300
	refused "IPv6 without source"
	# shellcheck disable=SC2086
	indexed "$work/targets4" $six -b /dev/null $set300
	refused "IPv4 with source"
}

# Every target once with every TTL, in the packets' own words: TTL, then the destination's last word.
test_trace() {
	module=mptcp_trace
	set900="1.0.0.0/23 1.0.2.0/24 1.0.3.0/25 1.0.3.128/30"
	for ttl in 05 06 07; do
		sed "s/^/$ttl /" "$work/every"
	done | sort >"$work/every_pair"
	for family in 4 6; do
		pair='.\{16\}\(..\).\{14\}c612\(....\)'
		[ $family = 6 ] && pair='.\{14\}\(..\).\{32\}20010db8.\{20\}\(....\)'
		source=
		[ $family = 6 ] && source=$six
		# shellcheck disable=SC2086
		indexed "$work/targets$family" "$source,ttl=5-7" -b /dev/null $set900
		expect "trace IPv$family: status" "$status" 0
		expect "trace IPv$family: every pair once" \
			"$(sed -n "s/^mptcp_trace { ip: $pair.*/\1 \2/p" "$work/out" | sort | diff "$work/every_pair" - | head -n 3)" ""
		# shellcheck disable=SC2086
		indexed "$work/targets$family" "$source,ttl=5-8" -b /dev/null $set900
		refused "trace IPv$family: the indices of one TTL less"
		# shellcheck disable=SC2086
		indexed "$work/targets$family" "$source" -b /dev/null $set300
		refused "trace IPv$family: the targets' indices"
	done
	scan --probe-args=probe=v1
	refused "trace without target file"
	for ttl in 0-5 5 6-5 1-65; do
		# shellcheck disable=SC2086
		indexed "$work/targets4" ",ttl=$ttl" -b /dev/null $set900
		refused "trace with ttl=$ttl"
	done
	module=mptcp_synscan
}

# defect WHAT: of the target file $work/defect
defect() {
	indexed "$work/defect" "" -b /dev/null 1.0.0.0/32
	refused "$1"
	expect "$1: names the file" "$(grep -c "$work/defect" "$work/err")" 1
}

test_target_file_defects() {
	{ header 4 1 && octets 192 0 2 1; } >"$work/one"
	# A fixed seed: see scan.
	indexed "$work/one" "" -b /dev/null --seed 1 1.0.0.0/32
	expect "one target: status and probes" "$status $(grep -c '{ ip:' "$work/out")" "0 1"

	: >"$work/defect"
	defect "empty"
	head -c 35 "$work/one" >"$work/defect"
	defect "truncated"
	{ cat "$work/one" && octets 0; } >"$work/defect"
	defect "longer"
	{ printf mptargeT && tail -c +9 "$work/one"; } >"$work/defect"
	defect "magic"
	{ printf mptarget && octets 2 && tail -c +10 "$work/one"; } >"$work/defect"
	defect "version 2"
	{ header 5 1 && octets 192 0 2 1; } >"$work/defect"
	defect "family 5"
	{ head -c 15 "$work/one" && octets 1 && tail -c +17 "$work/one"; } >"$work/defect"
	defect "reserved bytes"
	{ head -c 31 "$work/one" && octets 1 && tail -c +33 "$work/one"; } >"$work/defect"
	defect "reserved bytes behind the count"
	header 4 0 >"$work/defect"
	defect "count 0"
	# 2^62 + 1 records of 4 bytes: 4 in 64 bits.
	{ head -c 16 "$work/one" && octets 64 && tail -c +18 "$work/one"; } >"$work/defect"
	defect "count that overflows"
}

# How tshark reads the probes, without those that it warns of (severity "warning" and up).
dissected() {
	text2pcap -q -l 101 -r '^mptcp_synscan \{ ip: (?<data>[0-9a-f]+) \}$' "$work/out" "$work/pcap" \
		>/dev/null 2>&1
	# Away from the user's own Wireshark preferences.
	HOME=$work tshark -r "$work/pcap" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -T fields \
		-e ip.checksum.status -e tcp.checksum.status -e tcp.flags -e tcp.options.mss_val \
		-e tcp.options.mptcp.version -e tcp.options.mptcp.sendkey \
		-e tcp.options.experimental.exid -e tcp.options.experimental.data -E separator=, \
		-Y '!(_ws.expert.severity >= 0x600000)' 2>/dev/null | sed 's/,[0-9a-f]\{8\}$/,nonce/'
}

test_dissected() {
	if ! command -v tshark >/dev/null || ! command -v text2pcap >/dev/null; then
		echo "probe dissection skipped: tshark is not installed"
		expect "tshark where CI is" "${CI:-}" ""
		return
	fi
	key=00000000ffff0000
	for options in linux bare; do
		for probe in v0/0 v1/1 plain/; do
			for canary in on off; do
				dissect_both "${probe%/*}" "${probe#*/}" $options $canary
			done
		done
	done
}

# dissect_both PROBE MPTCP-VERSION OPTIONS CANARY
dissect_both() {
	mss4='' mss6='' shown='' canary=,
	[ "$3" = linux ] && mss4=1460 mss6=1440
	[ "$1" = v0 ] && shown=4294901760
	[ "$4" = on ] && canary=0x4d43,nonce
	args=probe=$1,options=$3,canary=$4,key=static:$key
	scan "--probe-args=$args"
	expect "$args: status" "$status" 0
	expect "$args: IPv4" "$(dissected | sort | uniq -c | tr -s ' ' | head -n 3)" \
		" 3 1,1,0x0002,$mss4,$2,$shown,$canary"
	# shellcheck disable=SC2086
	indexed "$work/targets6" "$six,$args" -b /dev/null $set300
	expect "$args: IPv6" "$(dissected | sort | uniq -c | tr -s ' ' | head -n 3)" \
		" 300 ,1,0x0002,$mss6,$2,$shown,$canary"
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
	echo "$2" | ${CC:-cc} -rdynamic -x c -o "$work/$1" -
	expect "fake $1: built" $? 0
}

test_unknown_zmap() {
	fake zmap 'const char *volatile v = "4.3.4"; int main(void) { return 0; }'
	run env ZMAP="$work/zmap" "$bin/zmap-mptcp"
	expect "unknown zmap: status" "$status" 1
	expect "unknown zmap" "$(cat "$work/out" "$work/err")" \
		"mptcp.so: cannot work inside this ZMap (version 4.3.4): it exports no probe modules; supported is ZMap 2.1.1 as Debian and Ubuntu package it"

	functions="int fs_add_string, fs_add_uint64, fs_add_null, fs_modify_string, fs_modify_uint64,
		fs_modify_null; char zsend[56];"
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

make_target_files
test_listed
test_output_fields
test_probe_args_help
test_refused_args
test_index_set
test_wrong_index_set
test_trace
test_target_file_defects
test_dissected
test_other_programs
test_unknown_zmap
test_launcher_without_module
report
