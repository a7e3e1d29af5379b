#define _POSIX_C_SOURCE 200809L
#include "../wire/scan.h"

#include <unistd.h>

#include "../wire/index_set.h"
#include "../wire/quote.h"
#include "check.h"
#include "sample.h"

#define SOURCE "source=2001:db8::1"
#define SOURCE_4 0xc0000201u /* 192.0.2.1 */
#define RECORDS 300

static char targets_4[] = "/tmp/scan_test.4.XXXXXX";
static char targets_6[] = "/tmp/scan_test.6.XXXXXX";

static void expected_record(enum ip_family family, uint32_t index, uint8_t bytes[16])
{
	static const uint8_t prefix_6[4] = {0x20, 0x01, 0x0d, 0xb8};
	static const uint8_t prefix_4[2] = {198, 18};
	uint8_t *number = bytes + (family == IP_FAMILY_6 ? 14 : 2);

	memset(bytes, 0, 16);
	if (family == IP_FAMILY_6)
		memcpy(bytes, prefix_6, sizeof prefix_6);
	else
		memcpy(bytes, prefix_4, sizeof prefix_4);
	number[0] = (uint8_t)(index * 3 >> 8);
	number[1] = (uint8_t)(index * 3);
}

static void write_targets(char *path, enum ip_family family)
{
	uint8_t header[32] = "mptarget";
	FILE *file = fdopen(mkstemp(path), "wb");

	header[8] = 1;
	header[9] = (uint8_t)family;
	header[22] = RECORDS >> 8;
	header[23] = RECORDS & 0xff;
	fwrite(header, 1, sizeof header, file);
	for (uint32_t index = 0; index < RECORDS; index++) {
		uint8_t record[16];

		expected_record(family, index, record);
		fwrite(record, 1, family == IP_FAMILY_6 ? 16 : 4, file);
	}
	fclose(file);
}

/* A scan of the arguments, and the target file if `family` is not 0. */
static struct scan opened_by(enum scan_method method, const char *args, int family)
{
	struct scan scan;
	char text[256] = "", error[SCAN_ERROR_BYTES] = "";

	if (family == 4)
		snprintf(text, sizeof text, ",targets=%s", targets_4);
	if (family == 6)
		snprintf(text, sizeof text, ",targets=%s," SOURCE, targets_6);
	snprintf(text + strlen(text), sizeof text - strlen(text), ",%s", args);
	CHECK(scan_open(&scan, method, text + 1, 443, error) == SCAN_OK);
	CHECK_TEXT(error, "");
	return scan;
}

static struct scan opened(const char *args, int family)
{
	return opened_by(METHOD_SYNSCAN, args, family);
}

static void test_open_direct(void)
{
	struct scan one, other;
	char error[SCAN_ERROR_BYTES];

	CHECK(scan_open(&one, METHOD_SYNSCAN, NULL, 443, error) == SCAN_OK);
	CHECK(scan_open(&other, METHOD_SYNSCAN, "", 443, error) == SCAN_OK);
	CHECK_EQ("family", one.family, IP_FAMILY_4);
	CHECK_EQ("targets", one.targets.count, 0);
	CHECK_EQ("port", one.port, 443);
	/* Secrets are of one scan only. */
	CHECK(one.secret.k0 != other.secret.k0 && one.secret.k1 != other.secret.k1);
	CHECK(memcmp(&one.order, &other.order, sizeof one.order) != 0);
	CHECK(memcmp(&one.syn, &other.syn, sizeof one.syn) != 0); /* TCP timestamp */
	CHECK(scan_open(&one, METHOD_SYNSCAN, "help", 443, error) == SCAN_HELP_ASKED);
}

static void test_open_refused(void)
{
	const char *const no_source =
	    " lists IPv6 addresses: give our own by source=ADDRESS";
	const char *const for_ipv4 = "source= is for IPv6 targets only: "
				     "give an IPv4 source by ZMap's --source-ip";
	struct {
		const char *args, *path, *error;
	} refused[] = {
	    {"probe=v2", "--probe-args: bad value 'v2' for 'probe' ",
	     "(allowed: v0, v1 or plain)"},
	    {"targets=/no/such", "/no/such",
	     " cannot be read: No such file or directory"},
	    {"targets=/dev\n", "/dev?", " cannot be read: No such file or directory"},
	    {NULL, targets_6, no_source},
	    {SOURCE, "", for_ipv4},
	    {NULL, "", for_ipv4},
	};
	char without_source[64], with_source[64];

	snprintf(without_source, sizeof without_source, "targets=%s", targets_6);
	snprintf(with_source, sizeof with_source, SOURCE ",targets=%s", targets_4);
	refused[3].args = without_source;
	refused[5].args = with_source;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		struct scan scan;
		char error[SCAN_ERROR_BYTES] = "", expected[256];

		CHECK(scan_open(&scan, METHOD_SYNSCAN, refused[i].args, 443, error) ==
		      SCAN_BAD);
		snprintf(expected, sizeof expected, "%s%s", refused[i].path,
			 refused[i].error);
		CHECK_TEXT(error, expected);
	}
}

/* The fields of a probe, read at the offsets of RFC 791, RFC 8200 and RFC 9293. */
struct sent {
	struct ip_address address;
	uint16_t source_port, port;
	uint32_t seq;
};

static struct sent read_probe(const uint8_t *packet)
{
	const uint8_t *tcp = packet + (packet[0] >> 4 == 6 ? 40 : 20);

	return (struct sent){
	    .address = packet[0] >> 4 == 6 ? ip_address_6(packet + 24)
					   : ip_address_4(load_u32(packet + 16)),
	    .source_port = (uint16_t)(tcp[0] << 8 | tcp[1]),
	    .port = (uint16_t)(tcp[2] << 8 | tcp[3]),
	    .seq = load_u32(tcp + 4),
	};
}

/* Every index leads to its record, and the probe's fields lead back to the index. */
static void test_indexed_probes(enum ip_family family)
{
	struct scan scan = opened("probe=v0,canary=on", family);
	size_t bytes = family == IP_FAMILY_6 ? 16 : 4;
	size_t ip_bytes = family == IP_FAMILY_6 ? 40 : 20;

	CHECK_EQ("family", scan.family, family);
	for (uint32_t index = 0; index < RECORDS; index++) {
		uint8_t packet[SYN_MAX_BYTES], record[16];
		struct target target = {.index = UINT32_MAX};
		struct sent sent;

		CHECK_EQ("length",
			 scan_make_syn(&scan, packet, SOURCE_4, INDEX_BASE + index),
			 ip_bytes + 60);
		expected_record(family, index, record);
		CHECK(memcmp(packet + ip_bytes - bytes, record, bytes) == 0);
		sent = read_probe(packet);
		CHECK_EQ("recognised",
			 scan_recognise(&scan, sent.address, sent.port, sent.source_port,
					sent.seq, &target),
			 SCAN_OURS);
		CHECK_EQ("index", target.index, index);
		CHECK(ip_address_equal(target.address, sent.address));
		CHECK_EQ("port", target.port, 443);
		CHECK_EQ("duplicate key", scan_duplicate_key(&scan, &target),
			 INDEX_BASE + index);
		/* Key and nonce are the last 16 bytes but the canary's first four. */
		CHECK_EQ("key", load_u64(packet + ip_bytes + 44),
			 scan_sent_key(&scan, &target));
		CHECK_EQ("nonce", load_u32(packet + ip_bytes + 56),
			 scan_sent_canary(&scan, &target));
	}
}

/*
 * Index i is record i / T with TTL first + i % T. Of a target, only TTL, checksums, sequence
 * number and identification (IPv6: window) differ; a TCP answer leads back to the TTL.
 */
static void test_trace_probes(enum ip_family family)
{
	struct scan scan = opened_by(METHOD_TRACE, "probe=v0,canary=on,ttl=3-13", family);
	size_t ip_bytes = family == IP_FAMILY_6 ? 40 : 20;
	size_t bytes = family == IP_FAMILY_6 ? 16 : 4;

	CHECK_EQ("probes", scan_probe_count(&scan), RECORDS * 11);
	for (uint32_t i = 0; i < RECORDS; i++) {
		uint8_t first[SYN_MAX_BYTES], record[16];
		uint32_t first_label = 0;

		expected_record(family, i, record);
		for (uint32_t step = 0; step < 11; step++) {
			uint8_t packet[SYN_MAX_BYTES];
			struct target target = {.index = UINT32_MAX};
			struct sent sent;
			uint32_t label, window;

			CHECK_EQ("length",
				 scan_make_syn(&scan, packet, SOURCE_4,
					       INDEX_BASE + i * 11 + step),
				 ip_bytes + 60);
			CHECK(memcmp(packet + ip_bytes - bytes, record, bytes) == 0);
			CHECK_EQ("TTL", packet[family == IP_FAMILY_6 ? 7 : 8], 3 + step);
			sent = read_probe(packet);
			CHECK_EQ("recognised",
				 scan_recognise(&scan, sent.address, sent.port,
						sent.source_port, sent.seq, &target),
				 SCAN_OURS);
			CHECK_EQ("index", target.index, i * 11 + step);
			CHECK_EQ("TTL", scan_probe_ttl(&scan, &target), 3 + step);
			CHECK_EQ("duplicate key", scan_duplicate_key(&scan, &target),
				 INDEX_BASE + i * 11 + step);
			label = family == IP_FAMILY_6 ? load_u32(packet) & 0xfffff
						      : load_u32(packet + 4) >> 16;
			if (step == 0) {
				memcpy(first, packet, sizeof first);
				first_label = label;
			}
			/*
			 * Of a scan it is 64240 and, with hop limit 64, 64800. Of the
			 * kinds of trace, v0 with a canary is number 4.
			 */
			window = load_u32(packet + ip_bytes + 12) & 0xffff;
			if (family == IP_FAMILY_6) {
				CHECK_EQ("label", label, first_label);
				CHECK_EQ("window", window,
					 64800 - 64 + 4 * 64 + 3 + step);
			} else {
				CHECK_EQ("label", label, (first_label + step) % 65536);
				CHECK_EQ("window", window, 64240);
			}
			CHECK(memcmp(first + ip_bytes, packet + ip_bytes, 4) == 0);
			CHECK(memcmp(first + ip_bytes + 20, packet + ip_bytes + 20, 40) ==
			      0);
		}
	}
	CHECK_EQ("beyond",
		 scan_make_syn(&scan, (uint8_t[SYN_MAX_BYTES]){0}, SOURCE_4,
			       INDEX_BASE + RECORDS * 11),
		 0);
}

/*
 * Traces of one flow send all their probes to a target from one port and with one IPv6
 * flow label. Nothing that one sent is the other's, even with another sequence number.
 */
static void test_shared_flow(enum ip_family family)
{
#define FLOW "flow=000102030405060708090a0B0c0d0e0f"
	struct scan v1 = opened_by(METHOD_TRACE, "probe=v1,ttl=1-64," FLOW, family);
	struct scan kinds[] = {
	    opened_by(METHOD_TRACE, "probe=plain,ttl=1-64," FLOW, family),
	    opened_by(METHOD_TRACE, "probe=v0,ttl=1-64," FLOW, family),
	    opened_by(METHOD_TRACE, "probe=plain,canary=on,ttl=1-64," FLOW, family),
	};
	struct scan alone = opened_by(METHOD_TRACE, "probe=v1,ttl=1-64", family);
	unsigned same = 0;

	for (uint32_t index = 0; index < RECORDS * 64; index++) {
		struct target target = scan_target_at(&v1, index);
		struct probe_state sent = scan_probe_state(&v1, &target);

		same += scan_probe_state(&alone, &target).source_port == sent.source_port;
		for (int i = 0; i < 3; i++) {
			struct probe_state other = scan_probe_state(&kinds[i], &target);
			struct quote quote = {
			    .destination = target.address,
			    .label = other.label,
			    .our_port = other.source_port,
			    .port = target.port,
			    .seq = other.seq,
			    .has_window = true,
			    .window =
				syn_window_ipv6(scan_probe_mark(&kinds[i], &target)),
			};
			struct target found;

			CHECK_EQ("source port", other.source_port, sent.source_port);
			if (family == IP_FAMILY_6)
				CHECK_EQ("flow label", other.label, sent.label);
			CHECK(other.seq != sent.seq);
			CHECK(quote_recognise(&kinds[i], &quote, &found));
			CHECK(!quote_recognise(&v1, &quote, &found));
		}
	}
	CHECK(same < RECORDS); /* by chance, 64 for each of the targets that have it */
}

static void test_trace_refused(void)
{
	static const uint8_t header[32] = {
	    'm', 'p', 't', 'a',         'r',         'g',     'e',
	    't', 1,   4,   [20] = 0x0a, [21] = 0xa0, [23] = 1};
	char many[] = "/tmp/scan_test.many.XXXXXX", text[64];
	char error[SCAN_ERROR_BYTES] = "", expected[256];
	struct scan scan = opened_by(METHOD_TRACE, "canary=off", 6);
	FILE *file = fdopen(mkstemp(many), "wb");

	CHECK_EQ("TTLs by default", scan.ttls.first << 8 | scan.ttls.last, 1 << 8 | 24);
	CHECK_TEXT(scan_module_name(&scan), "mptcp_trace");
	CHECK(!scan_check_index_set(&scan, NULL, 0, NULL, RECORDS, error));
	snprintf(
	    expected, sizeof expected,
	    "ZMap's targets are not the 7200 indices of %s and these TTLs: start it by "
	    "zmap-mptcp or mpcensus scan, or as mpcensus targets arguments says",
	    targets_6);
	CHECK_TEXT(error, expected);
	CHECK(scan_open(&scan, METHOD_TRACE, "probe=v1", 443, error) == SCAN_BAD);
	CHECK_TEXT(error, "a trace needs targets=FILE, made by mpcensus targets build");
	CHECK(scan_open(&scan, METHOD_SYNSCAN, "ttl=1-24", 443, error) == SCAN_BAD);
	CHECK_TEXT(error, "ttl= is an argument of mptcp_trace only");
	CHECK(scan_open(&scan, METHOD_SYNSCAN, FLOW, 443, error) == SCAN_BAD);
	CHECK_TEXT(error, "flow= is an argument of mptcp_trace only");

	/* A sparse file of 0xaa00001 records: 24 times that is above 2^32 - 2^24. */
	fwrite(header, 1, sizeof header, file);
	fflush(file);
	CHECK_EQ("sparse file", ftruncate(fileno(file), 32 + 4 * 178257921l), 0);
	fclose(file);
	snprintf(text, sizeof text, "targets=%s", many);
	CHECK(scan_open(&scan, METHOD_TRACE, text, 443, error) == SCAN_BAD);
	snprintf(expected, sizeof expected,
		 "%s lists 178257921 addresses, a trace with 24 TTLs takes 178257920: "
		 "split the file",
		 many);
	CHECK_TEXT(error, expected);
	unlink(many);
}

static void test_no_such_index(void)
{
	static const uint32_t outside[] = {0, INDEX_BASE - 1, INDEX_BASE + RECORDS,
					   UINT32_MAX};
	struct scan scan = opened("canary=off", 6);
	uint8_t packet[SYN_MAX_BYTES];

	for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
		CHECK_EQ("length", scan_make_syn(&scan, packet, SOURCE_4, outside[i]), 0);
}

static void test_direct_probe(void)
{
	struct scan scan = opened("canary=off", 0);
	uint8_t packet[SYN_MAX_BYTES];
	struct target target;
	struct sent sent;

	CHECK_EQ("length", scan_make_syn(&scan, packet, SOURCE_4, 0x01000007), 64);
	sent = read_probe(packet);
	CHECK(ip_address_equal(sent.address, ip_address_4(0x01000007)));
	CHECK_EQ("source", load_u32(packet + 12), SOURCE_4);
	CHECK_EQ(
	    "recognised",
	    scan_recognise(&scan, sent.address, 443, sent.source_port, sent.seq, &target),
	    SCAN_OURS);
	CHECK_EQ("duplicate key", scan_duplicate_key(&scan, &target), 0x01000007);
	CHECK_EQ("key of a v1 probe", scan_sent_key(&scan, &target), 0);
}

/* One field wrong at a time. */
static void test_not_ours(int family)
{
	struct scan scan = opened("canary=off", family);
	bool indexed = family != 0;
	uint8_t packet[SYN_MAX_BYTES], other_packet[SYN_MAX_BYTES];
	struct ip_address foreign = {.family = IP_FAMILY_6, .high = 1};
	struct ip_address neighbour;
	struct target target;
	struct sent sent, other;

	scan_make_syn(&scan, packet, SOURCE_4, INDEX_BASE + 7);
	scan_make_syn(&scan, other_packet, SOURCE_4, INDEX_BASE + 8);
	sent = read_probe(packet);
	other = read_probe(other_packet);
	neighbour = sent.address;
	neighbour.low++;
	if (family == 6)
		foreign = ip_address_4((uint32_t)sent.address.low);

#define RECOGNISED(address, port, our_port, seq)                                         \
	scan_recognise(&scan, address, (uint16_t)(port), (uint16_t)(our_port), seq,      \
		       &target)
	CHECK_EQ("all right", RECOGNISED(sent.address, 443, sent.source_port, sent.seq),
		 SCAN_OURS);
	CHECK_EQ("port", RECOGNISED(sent.address, 444, sent.source_port, sent.seq),
		 SCAN_WRONG_PORT);
	CHECK_EQ("our port",
		 RECOGNISED(sent.address, 443, sent.source_port ^ 1, sent.seq),
		 SCAN_WRONG_PORT);
	CHECK_EQ("our port, low",
		 RECOGNISED(sent.address, 443, sent.source_port & 0x7fff, sent.seq),
		 SCAN_WRONG_PORT);
	/* Of 300 indices and 2^32 numbers, a neighbour is another index with chance 1e-7. */
	CHECK_EQ("sequence number",
		 RECOGNISED(sent.address, 443, sent.source_port, sent.seq + 1),
		 SCAN_WRONG_SEQ);
	CHECK(RECOGNISED(sent.address, 443, sent.source_port, other.seq) ==
	      (indexed ? SCAN_WRONG_ADDRESS : SCAN_WRONG_SEQ));
	CHECK(RECOGNISED(neighbour, 443, sent.source_port, sent.seq) != SCAN_OURS);
	CHECK_EQ("family", RECOGNISED(foreign, 443, sent.source_port, sent.seq),
		 SCAN_WRONG_ADDRESS);
#undef RECOGNISED
}

static void test_names(void)
{
	static const char *const names[][2] = {
	    {"probe=v0", "v0"},
	    {"probe=v1", "v1"},
	    {"probe=plain", "plain"},
	    {"probe=v0,canary=on", "v0"},
	    {"probe=v1,canary=on", "v1"},
	    {"probe=plain,canary=on", "canary"},
	    {"probe=plain,canary=off", "plain"},
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct scan scan = opened(names[i][0], 0);

		CHECK_TEXT(scan_probe_name(&scan), names[i][1]);
		CHECK_EQ(names[i][0], scan_sends_canary(&scan),
			 strstr(names[i][0], "canary=on") != NULL);
	}
}

static void test_link_and_filter(void)
{
	struct scan direct = opened("canary=off", 0), ipv6 = opened("canary=off", 6);
	char text[SCAN_PCAP_FILTER_BYTES];

	CHECK_EQ("ethertype", scan_ethertype(&direct), 0x0800);
	CHECK_EQ("ethertype", scan_ethertype(&ipv6), 0x86dd);
	scan_pcap_filter(&direct, text, sizeof text);
	CHECK_TEXT(text,
		   "ip and ((tcp src port 443 and tcp dst portrange 32768-65535 and "
		   "(tcp[13] & 0x12 = 0x12 or tcp[13] & 0x04 != 0)) or "
		   "icmp[0] = 3 or icmp[0] = 11 or icmp[0] = 12)");
	scan_pcap_filter(&ipv6, text, sizeof text);
	CHECK_TEXT(text, "ip6 and ((ip6[6] = 6 and ip6[40:2] = 443 and "
			 "ip6[42:2] >= 32768 and "
			 "(ip6[53] & 0x12 = 0x12 or ip6[53] & 0x04 != 0)) or "
			 "(ip6[6] = 58 and ip6[40] >= 1 and ip6[40] <= 4))");
}

/* The right set needs ZMap's command line: tests/plugin_test.sh. */
static void test_index_set(void)
{
	struct scan direct = opened("canary=off", 0), indexed = opened("canary=off", 6);
	char all[] = "0.0.0.0/0", error[SCAN_ERROR_BYTES] = "", expected[256];
	char *cidrs[] = {all};

	CHECK(scan_check_index_set(&direct, cidrs, 1, "whitelist", 17, error));
	CHECK_TEXT(error, "");

	CHECK(!scan_check_index_set(&indexed, NULL, 0, "whitelist", RECORDS, error));
	snprintf(expected, sizeof expected,
		 "%s says what to probe, and so does ZMap's -w: give one of them",
		 targets_6);
	CHECK_TEXT(error, expected);

	CHECK(!scan_check_index_set(&indexed, cidrs, 1, NULL, RECORDS, error));
	snprintf(
	    expected, sizeof expected,
	    "ZMap's targets are not the 300 indices of %s: start it by zmap-mptcp or "
	    "mpcensus scan, or as mpcensus targets arguments says",
	    targets_6);
	CHECK_TEXT(error, expected);
}

int main(void)
{
	write_targets(targets_4, IP_FAMILY_4);
	write_targets(targets_6, IP_FAMILY_6);
	test_open_direct();
	test_open_refused();
	test_indexed_probes(IP_FAMILY_4);
	test_indexed_probes(IP_FAMILY_6);
	test_trace_probes(IP_FAMILY_4);
	test_trace_probes(IP_FAMILY_6);
	test_shared_flow(IP_FAMILY_4);
	test_shared_flow(IP_FAMILY_6);
	test_trace_refused();
	test_no_such_index();
	test_direct_probe();
	test_not_ours(0);
	test_not_ours(4);
	test_not_ours(6);
	test_names();
	test_link_and_filter();
	test_index_set();
	unlink(targets_4);
	unlink(targets_6);
	return check_report("scan_test");
}
