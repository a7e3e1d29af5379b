#!/bin/sh
# A ZMap 4 that $ZMAP4 names, built with the module (zmap4/add-to-zmap.sh); beside it, where it
# is installed, ZMap 2.1.1 with the plug-in of the folder $1, whose probes and rows must be equal.
#
# Everything happens in a network namespace of its own: it has a loopback interface and one
# end of a veth pair, whose other end, with peer.py, is in another such namespace. Neither
# end has an IPv4 address. Needs root, python3 and tshark.
if [ -z "${ZMAP4:-}" ]; then
	echo "zmap4_test skipped: ZMAP4 names no ZMap 4 built with the module"
	exit 0
fi
if ! "$ZMAP4" --config=/dev/null --list-probe-modules 2>/dev/null | grep -qx mptcp_synscan; then
	echo "zmap4_test: ZMAP4=$ZMAP4 does not list mptcp_synscan: is it a ZMap 4, built after zmap4/add-to-zmap.sh?"
	exit 1
fi
if [ -z "${MPCENSUS_TEST_NAMESPACE:-}" ]; then
	if ! unshare -n true 2>/dev/null; then
		echo "zmap4_test: needs root: it scans in network namespaces"
		exit 1
	fi
	exec unshare -n env MPCENSUS_TEST_NAMESPACE=1 "$0" "$@"
fi
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/expect.sh
. "$here/expect.sh"
bin=$(cd "$1" && pwd)
export PYTHONDONTWRITEBYTECODE=1

# What zmap4 is given, unless a test changes it.
ports=443
blocklist=/dev/null
seed=1

our_mac=02:00:00:00:00:01
peer_mac=02:00:00:00:00:02

# Each scan draws the same secrets.
${CC:-cc} -shared -fPIC -o "$work/same_random.so" "$here/same_random.c" || exit 1

# zmap4 ARGUMENT... (/etc/zmap/zmap.conf may be the other ZMap's, and would be refused.)
zmap4() {
	run env LD_PRELOAD="$work/same_random.so" "$ZMAP4" --config=/dev/null --blocklist-file="$blocklist" \
		--probe-module=mptcp_synscan --target-ports=$ports --interface=scan --gateway-mac=$peer_mac \
		--disable-syslog --quiet --verbosity=0 --output-module=json '--output-fields=*' \
		--seed=$seed --rate=2000 --source-ip=192.0.2.1 "$@"
}

zmap4_dry() {
	zmap4 --dryrun --cooldown-time=0 "$@"
}

# Without the launcher, which would give ZMap the targets, as the arguments do.
zmap211() {
	run env LD_PRELOAD="$bin/mptcp.so:$work/same_random.so" zmap --config=/dev/null \
		--blacklist-file=/dev/null --probe-module=mptcp_synscan --target-port=443 --interface=scan \
		--gateway-mac=$peer_mac --disable-syslog --quiet --verbosity=0 --output-module=json \
		'--output-fields=*' '--output-filter=success = 1 || success = 0' \
		--seed=1 --rate=2000 --source-ip=192.0.2.1 "$@"
}

have_zmap211() {
	[ "$(zmap --config=/dev/null --version 2>/dev/null)" = "zmap 2.1.1" ] && [ -r "$bin/mptcp.so" ]
}

# Both ends of the veth pair are up, and the peer listens, when this returns.
make_network() {
	unshare -n sleep 600 &
	holder=$!
	peer=
	trap 'kill $holder $peer 2>/dev/null; rm -rf "$work"' EXIT
	while [ "$(readlink /proc/$holder/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do
		sleep 0.05
	done
	ip link add scan address $our_mac type veth peer name peer address $peer_mac netns $holder
	nsenter -t $holder -n ip link set peer up
	ip link set scan up
	mkfifo "$work/ready"
	nsenter -t $holder -n python3 "$here/peer.py" peer >"$work/ready" &
	peer=$!
	read -r _ <"$work/ready"
}

test_help() {
	run "$ZMAP4" --config=/dev/null --probe-module=mptcp_synscan --help
	expect "--help" "$(grep -c -e '--probe-args=name=value' "$work/out")" 1
}

# name:type of the row contract, and of the fields that ZMap itself brings to it.
contract="saddr:string daddr:string ipid:int ttl:int sport:int dport:int seqnum:string acknum:string
	window:int tcp_flags:int probe:string tcp_options:string mptcp:string mptcp_version:int
	mptcp_flags:int mptcp_length:int mptcp_key:string sent_key:string canary:string sent_canary:string
	classification:string success:bool icmp_type:int icmp_code:int responder:string quote:string
	repeat:bool cooldown:bool timestamp_ts:int timestamp_us:int"

fields() {
	"$@" --config=/dev/null --probe-module=mptcp_synscan --list-output-fields 2>/dev/null |
		sed -n 's/^\([a-z_-]*\)  *\([a-z]*\): .*/\1:\2/p'
}

test_output_fields() {
	fields "$ZMAP4" >"$work/fields"
	for field in $contract; do
		expect "output field $field" "$(grep -cx "$field" "$work/fields")" 1
	done
	expect "other fields" "$(echo "$contract" | tr -s ' \n\t' '\n' | grep -vxf - "$work/fields" | tr '\n' ' ')" \
		"saddr_raw:int daddr_raw:int timestamp_str:string "
	have_zmap211 || return
	fields env LD_PRELOAD="$bin/mptcp.so" zmap | sed 's/^\(success\|repeat\|cooldown\):int/\1:bool/' | tr - _ >"$work/fields211"
	expect "as in 2.1.1" "$(diff "$work/fields211" "$work/fields")" ""
}

# refused WORD ARGUMENT...: stopped before any packet, in one line that has the word.
refused() {
	word=$1
	shift
	zmap4_dry "$@"
	expect "$*: status" "$status" 1
	expect "$*: lines on stderr" "$(lines "$work/err") $(cut -d: -f1 "$work/err")" "1 mptcp_synscan"
	expect "$*: message" "$(grep -c -e "$word" "$work/err")" 1
	expect "$*: probes" "$(lines "$work/out")" 0
}

test_refused_arguments() {
	for refusal in "prob --probe-args=prob=v1" "v2 --probe-args=probe=v2" "key --probe-args=key=static:12" \
		"source= --probe-args=source=2001:db8::1" "/nonexistent --probe-args=targets=/nonexistent" \
		"--source-port --source-port=40000-50000" "--probe-ttl --probe-ttl=5" "--iplayer --iplayer" \
		"--dedup-method --dedup-method=window"; do
		refused "${refusal%% *}" "${refusal#* }" 198.18.0.0/26
	done
	ports=443,80
	refused --target-ports 198.18.0.0/26
	ports=443
	zmap4_dry --probe-args=help 198.18.0.0/26
	expect "help" "$status $(grep -c '^  probe=' "$work/out") $(lines "$work/err")" "0 1 0"
}

test_wrong_index_sets() {
	targets="--probe-args=targets=$work/targets4"
	echo 1.0.0.0/26 >"$work/list"
	echo 1.0.0.7 >"$work/one"
	for set in 198.18.0.0/26 1.0.0.0/25 1.0.0.0/27 1.0.0.1 "1.0.0.0/27 1.0.0.64/27" \
		"1.0.0.0/26 1.0.0.0/27" "--allowlist-file=$work/list" \
		"--allowlist-file=$work/list 1.0.0.0/26" "--list-of-ips-file=$work/one 1.0.0.0/26"; do
		# shellcheck disable=SC2086
		refused targets4 $targets $set
	done
	refused targets4 "$targets"
	blocklist=$work/one
	refused blocklist "$targets" 1.0.0.0/26
	blocklist=/dev/null
	refused source=ADDRESS "--probe-args=targets=$work/targets6" 1.0.0.0/26
	refused source= "$targets,source=2001:db8::1" 1.0.0.0/26
	zmap4_dry "$targets" 1.0.0.0/27 1.0.0.32/27
	expect "right set in two blocks" "$status $(lines "$work/out")" "0 64"
}

# scan_arguments KIND PROBE: the 64 targets as a target file of family 4 or 6, or "direct" as addresses.
scan_arguments() {
	case $1 in
	direct) echo "--probe-args=$(probe_args "$2") 198.18.0.0/26" ;;
	4) echo "--probe-args=$(probe_args "$2"),targets=$work/targets4 1.0.0.0/26" ;;
	6) echo "--probe-args=$(probe_args "$2"),targets=$work/targets6,source=2001:db8::1 1.0.0.0/26" ;;
	esac
}

family_of() {
	[ "$1" = 6 ] && echo 6 || echo 4
}

probe_args() {
	case $1 in
	canary) echo probe=plain,canary=on ;;
	*) echo "probe=$1" ;;
	esac
}

# How tshark reads the probes, without those that it warns of (severity "warning" and up).
dissected() {
	text2pcap -q -l 101 -r '^mptcp_synscan \{ ip: (?<data>[0-9a-f]+) \}$' "$work/out" "$work/pcap" \
		>/dev/null 2>&1
	# Away from the user's own Wireshark preferences.
	HOME=$work tshark -r "$work/pcap" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -T fields \
		-e ip.checksum.status -e tcp.checksum.status -e tcp.flags -e tcp.dstport -e ipv6.src \
		-e ip.ttl -e ipv6.hlim -e tcp.options.mptcp.version -e tcp.options.experimental.exid \
		-E separator=, -Y '!(_ws.expert.severity >= 0x600000)' 2>/dev/null
}

# The part of a line of `dissected` that the family makes, then the probe's.
expected_dissection() {
	case $2 in
	v0) options=0, ;;
	v1) options=1, ;;
	plain) options=, ;;
	canary) options=,0x4d43 ;;
	esac
	case $1 in
	6) echo " 64 ,1,0x0002,443,2001:db8::1,,64,$options" ;;
	*) echo " 64 1,1,0x0002,443,,64,,$options" ;;
	esac
}

# The addresses that tshark found in the probes.
destinations() {
	HOME=$work tshark -r "$work/pcap" -T fields -e ip.dst -e ipv6.dst 2>/dev/null | tr -d '\t' | sort
}

test_probes() {
	for scan in "4 v0" "4 v1" "4 plain" "4 canary" "6 v0" "6 v1" "6 plain" "6 canary" "direct v1"; do
		kind=${scan% *}
		probe=${scan#* }
		# shellcheck disable=SC2046
		zmap4_dry $(scan_arguments "$kind" "$probe")
		expect "$scan: status" "$status" 0
		expect "$scan: dissected" "$(dissected | sort | uniq -c | tr -s ' ')" \
			"$(expected_dissection "$kind" "$probe")"
		expect "$scan: targets" "$(destinations)" "$(sort "$work/addresses$(family_of "$kind")")"
		have_zmap211 || continue
		sort "$work/out" >"$work/probes4"
		# shellcheck disable=SC2046
		zmap211 --dryrun --cooldown-time=0 $(scan_arguments "$kind" "$probe")
		expect "$scan: equal probes" "$(sort "$work/out" | diff - "$work/probes4" | head -n 2)" ""
	done
}

# Of a line of --dryrun: the destination of an IPv6 probe.
ipv6_destinations() {
	cut -c 72-103 "$1" | sort -u | wc -l
}

# ZMap's permutation of few targets, and shards.
test_each_target_once() {
	for count in 1 2 255 256 257; do
		cidrs=$(python3 "$here/rows.py" targets 6 "$work/few" $count)
		for seed in 1 2 3 4 5 6 7 8; do
			# shellcheck disable=SC2086
			zmap4_dry "--probe-args=targets=$work/few,source=2001:db8::1" $cidrs
			expect "$count targets, seed $seed" \
				"$status $(ipv6_destinations "$work/out") $(lines "$work/out")" "0 $count $count"
		done
	done
	seed=1
	: >"$work/shards"
	for shard in 0 1 2; do
		# shellcheck disable=SC2046
		zmap4_dry --shards=3 --shard=$shard $(scan_arguments 6 v1)
		cat "$work/out" >>"$work/shards"
	done
	expect "three shards" "$(ipv6_destinations "$work/shards") $(lines "$work/shards")" "64 64"
}

metadata() {
	python3 -c 'import json, sys; m = json.load(open(sys.argv[1])); print(*(m[n] for n in sys.argv[2:]))' \
		"$work/metadata" "$@"
}

test_scan() {
	for scan in "4 v0" "6 v0" "6 v1" "6 canary" "direct v1"; do
		kind=${scan% *}
		probe=${scan#* }
		# shellcheck disable=SC2046
		zmap4 --cooldown-time=1 "--metadata-file=$work/metadata" $(scan_arguments "$kind" "$probe")
		expect "$scan: status" "$status" 0
		expect "$scan: rows" \
			"$(python3 "$here/rows.py" check "$(family_of "$kind")" "$probe" <"$work/out")" ""
		# Each kind of answer comes from 8 targets; "twice" sends two, "forged" a wrong acknowledgement.
		expect "$scan: counts" "$(cat "$work/err")" \
			'mptcp_synscan: counts {"received":64,"invalid":8,"invalid_by_reason":{"wrong-ack":8}}'
		expect "$scan: metadata" "$(metadata packets_sent send_to_failures blocklist_total_allowed \
			success_total success_unique failure_total validation_failed source_port_first source_port_last)" \
			"64 0 64 40 32 16 8 32768 65535"
		have_zmap211 || continue
		mv "$work/out" "$work/rows4"
		# shellcheck disable=SC2046
		zmap211 --cooldown-time=1 $(scan_arguments "$kind" "$probe")
		expect "$scan: equal rows" "$(python3 "$here/rows.py" same "$work/rows4" "$work/out")" ""
	done
	# A NULL in an --output-filter is compared as an empty text, not as a pointer.
	zmap4 --cooldown-time=1 '--output-filter=mptcp = capable' 198.18.0.0/26
	expect "filter on text" "$status $(lines "$work/out")" "0 16"
}

make_network
for family in 4 6; do
	python3 "$here/rows.py" targets $family "$work/targets$family" 64 >/dev/null
	python3 "$here/rows.py" addresses $family >"$work/addresses$family"
done
test_help
test_output_fields
test_refused_arguments
test_wrong_index_sets
test_probes
test_each_target_once
test_scan
have_zmap211 || echo "zmap4_test: not compared with ZMap 2.1.1, which is not installed or has no plug-in in $bin"
report
