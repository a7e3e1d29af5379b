#define _POSIX_C_SOURCE 200809L
#include "../wire/scan.h"

#include <unistd.h>

#include "../wire/index_set.h"
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
static struct scan opened(const char *args, int family)
{
	struct scan scan;
	char text[256] = "", error[SCAN_ERROR_BYTES] = "";

	if (family == 4)
		snprintf(text, sizeof text, ",targets=%s", targets_4);
	if (family == 6)
		snprintf(text, sizeof text, ",targets=%s," SOURCE, targets_6);
	snprintf(text + strlen(text), sizeof text - strlen(text), ",%s", args);
	CHECK(scan_open(&scan, text + 1, 443, error) == SCAN_OK);
	CHECK_TEXT(error, "");
	return scan;
}

static void test_open_direct(void)
{
	struct scan one, other;
	char error[SCAN_ERROR_BYTES];

	CHECK(scan_open(&one, NULL, 443, error) == SCAN_OK);
	CHECK(scan_open(&other, "", 443, error) == SCAN_OK);
	CHECK_EQ("family", one.family, IP_FAMILY_4);
	CHECK_EQ("targets", one.targets.count, 0);
	CHECK_EQ("port", one.port, 443);
	/* Secrets are of one scan only. */
	CHECK(one.secret.k0 != other.secret.k0 && one.secret.k1 != other.secret.k1);
	CHECK(memcmp(&one.order, &other.order, sizeof one.order) != 0);
	CHECK(memcmp(&one.syn, &other.syn, sizeof one.syn) != 0); /* TCP timestamp */
	CHECK(scan_open(&one, "help", 443, error) == SCAN_HELP_ASKED);
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

		CHECK(scan_open(&scan, refused[i].args, 443, error) == SCAN_BAD);
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
