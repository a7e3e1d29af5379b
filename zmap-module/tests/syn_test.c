#include "../wire/syn.h"

#include "../wire/hex.h"
#include "check.h"

#define SOURCE 0xc0000201u /* 192.0.2.1 */
#define SOURCE_6 "20010db8000000000000000000000001"
#define TARGET_6 "20010db8fedcba980001000200030004"

static const struct target target_4 = {
    .address = {.family = IP_FAMILY_4, .low = 0xc6336407}, /* 198.51.100.7 */
    .port = 443};
static const struct target target_6 = {.address = {.family = IP_FAMILY_6,
						   .high = 0x20010db8fedcba98,
						   .low = 0x0001000200030004},
				       .port = 443};
static const struct syn_values values = {
    .ttl = 0x3b,
    .mark = 0x3b,
    .source = SOURCE,
    .state = {.seq = 0x01020304, .source_port = 40000, .label = 0xabeef},
    .key = 0x8899aabbccddeeff,
    .canary = 0x5a6b7c8d,
};

static struct syn_shape shape_of(enum ip_family family, enum probe_kind kind,
				 enum option_set options, bool canary)
{
	return (struct syn_shape){
	    .family = family,
	    .kind = kind,
	    .options = options,
	    .canary = canary,
	    .target_port = 443,
	    .ts_value = 0x0a0b0c0d,
	    .source = {.family = IP_FAMILY_6, .high = 0x20010db800000000, .low = 1},
	};
}

static uint16_t naive_sum(uint32_t sum, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i += 2) {
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

/* A right checksum makes the sum over everything that it covers all ones (RFC 1071). */
static void check_ipv4_checksums(const char *what, const uint8_t *packet, size_t length)
{
	uint8_t pseudo[12] = {[9] = 6, [11] = (uint8_t)(length - 20)};

	memcpy(pseudo, packet + 12, 8);
	CHECK_EQ(what, naive_sum(0, packet, 20), 0xffff);
	CHECK_EQ(what, naive_sum(naive_sum(0, pseudo, 12), packet + 20, length - 20),
		 0xffff);
}

/* The pseudo-header of RFC 8200 section 8.1. */
static void check_ipv6_checksum(const char *what, const uint8_t *packet, size_t length)
{
	uint8_t pseudo[40] = {[35] = (uint8_t)(length - 40), [39] = 6};

	memcpy(pseudo, packet + 8, 32);
	CHECK_EQ(what, naive_sum(naive_sum(0, pseudo, 40), packet + 40, length - 40),
		 0xffff);
}

#define LINUX_OPTIONS_BEHIND_MSS                                                         \
	"0402"                                                                           \
	"080a0a0b0c0d00000000"                                                           \
	"01"                                                                             \
	"03030a"
#define LINUX_4 "020405b4" LINUX_OPTIONS_BEHIND_MSS
#define LINUX_6 "020405a0" LINUX_OPTIONS_BEHIND_MSS
#define V0_OPTION                                                                        \
	"1e0c0081"                                                                       \
	"8899aabbccddeeff"
#define V1_OPTION "1e040101"
#define CANARY_OPTION                                                                    \
	"fe084d43"                                                                       \
	"5a6b7c8d"

/* The options behind those of Linux, if there are any. */
static const struct {
	const char *what;
	enum probe_kind kind;
	bool canary;
	const char *option_bytes;
} cases[] = {
    {"v0", PROBE_V0, false, V0_OPTION},
    {"v1", PROBE_V1, false, V1_OPTION},
    {"plain", PROBE_PLAIN, false, ""},
    {"v0 canary", PROBE_V0, true, V0_OPTION CANARY_OPTION},
    {"v1 canary", PROBE_V1, true, V1_OPTION CANARY_OPTION},
    {"canary", PROBE_PLAIN, true, CANARY_OPTION},
};

/* RFC 9293 section 3.1, checksum left out: SYN, data offset from the options' length. */
static void expect_tcp(char *text, size_t size, const char *window,
		       const char *linux_options, const char *options)
{
	size_t words = 5 + (strlen(linux_options) + strlen(options)) / 8;

	snprintf(text, size, "9c4001bb0102030400000000%zx002%s00000000%s%s", words,
		 window, linux_options, options);
}

static void check_packet(const char *what, const uint8_t *packet, size_t length,
			 const char *expected)
{
	char actual[2 * SYN_MAX_BYTES + 1];

	hex_encode(packet, length, actual);
	CHECK_TEXT(actual, expected);
	CHECK_EQ(what, length, strlen(expected) / 2);
}

/* RFC 791 section 3.1: DF, TTL, checksum left out. */
static void test_ipv4(unsigned i, enum option_set options)
{
	struct syn_shape shape =
	    shape_of(IP_FAMILY_4, cases[i].kind, options, cases[i].canary);
	struct syn_template syn = syn_template(&shape);
	uint8_t packet[SYN_MAX_BYTES];
	char tcp[200], expected[300];

	syn_make(&syn, packet, &target_4, &values);
	check_ipv4_checksums(cases[i].what, packet, syn.length);
	memset(packet + 10, 0, 2);
	memset(packet + 36, 0, 2);
	expect_tcp(tcp, sizeof tcp, "faf0", options == OPTIONS_LINUX ? LINUX_4 : "",
		   cases[i].option_bytes);
	snprintf(expected, sizeof expected, "4500%04zxbeef40003b060000c0000201c6336407%s",
		 20 + strlen(tcp) / 2, tcp);
	check_packet(cases[i].what, packet, syn.length, expected);
}

/* RFC 8200 section 3: flow label, next header TCP, hop limit; 64800 - 64 + 59 of window. */
static void test_ipv6(unsigned i, enum option_set options)
{
	struct syn_shape shape =
	    shape_of(IP_FAMILY_6, cases[i].kind, options, cases[i].canary);
	struct syn_template syn = syn_template(&shape);
	uint8_t packet[SYN_MAX_BYTES];
	char tcp[200], expected[300];

	syn_make(&syn, packet, &target_6, &values);
	check_ipv6_checksum(cases[i].what, packet, syn.length);
	memset(packet + 56, 0, 2);
	expect_tcp(tcp, sizeof tcp, "fd1b", options == OPTIONS_LINUX ? LINUX_6 : "",
		   cases[i].option_bytes);
	snprintf(expected, sizeof expected, "600abeef%04zx063b" SOURCE_6 TARGET_6 "%s",
		 strlen(tcp) / 2, tcp);
	check_packet(cases[i].what, packet, syn.length, expected);
}

/* RFC 9293 section 3.1: options of at most 40 bytes. That one probe fills them. */
static void test_longest(void)
{
	struct syn_shape shape = shape_of(IP_FAMILY_6, PROBE_V0, OPTIONS_LINUX, true);

	CHECK_EQ("longest probe", syn_template(&shape).length, 100);
	CHECK_EQ("room for a probe", SYN_MAX_BYTES, 100);
}

static uint64_t seed = 7;

static struct syn_values random_values(void)
{
	return (struct syn_values){
	    .ttl = (uint8_t)check_random(&seed),
	    .mark = (uint16_t)check_random(&seed),
	    .source = (uint32_t)check_random(&seed),
	    .state = {.seq = (uint32_t)check_random(&seed),
		      .source_port = (uint16_t)check_random(&seed),
		      .label = (uint32_t)check_random(&seed)},
	    .key = check_random(&seed),
	    .canary = (uint32_t)check_random(&seed),
	};
}

/* A send thread makes every probe in the same buffer. */
static void test_same_buffer(enum ip_family family)
{
	struct syn_shape shape = shape_of(family, PROBE_V0, OPTIONS_LINUX, true);
	struct syn_template syn = syn_template(&shape);
	uint8_t fresh[SYN_MAX_BYTES], reused[SYN_MAX_BYTES];

	memset(reused, 0xff, sizeof reused);
	for (int i = 0; i < 1000; i++) {
		struct syn_values some = random_values();
		struct target to = {
		    .address = {.family = family, .low = (uint32_t)check_random(&seed)},
		    .port = 443};

		if (family == IP_FAMILY_6) {
			to.address.high = check_random(&seed);
			to.address.low = check_random(&seed);
		}
		memset(fresh, 0, sizeof fresh);
		syn_make(&syn, fresh, &to, &some);
		syn_make(&syn, reused, &to, &some);
		CHECK(memcmp(fresh, reused, syn.length) == 0);
		if (family == IP_FAMILY_6)
			check_ipv6_checksum("random target", fresh, syn.length);
		else
			check_ipv4_checksums("random target", fresh, syn.length);
	}
}

/* The values that make sums carry most. */
static void test_all_ones(void)
{
	struct syn_shape shape = shape_of(IP_FAMILY_6, PROBE_V0, OPTIONS_LINUX, true);
	struct syn_template syn;
	struct target to = {
	    .address = {.family = IP_FAMILY_6, .high = UINT64_MAX, .low = UINT64_MAX}};
	uint8_t packet[SYN_MAX_BYTES];

	shape.source.high = shape.source.low = UINT64_MAX;
	syn = syn_template(&shape);
	syn_make(&syn, packet, &to,
		 &(struct syn_values){.state = {.seq = UINT32_MAX,
						.source_port = UINT16_MAX,
						.label = UINT32_MAX},
				      .key = UINT64_MAX,
				      .canary = UINT32_MAX});
	check_ipv6_checksum("all ones", packet, syn.length);
	CHECK_EQ("version and traffic class", packet[0] << 8 | packet[1], 0x600f);
}

int main(void)
{
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		test_ipv4(i, OPTIONS_LINUX);
		test_ipv4(i, OPTIONS_BARE);
		test_ipv6(i, OPTIONS_LINUX);
		test_ipv6(i, OPTIONS_BARE);
	}
	test_longest();
	test_same_buffer(IP_FAMILY_4);
	test_same_buffer(IP_FAMILY_6);
	test_all_ones();
	return check_report("syn_test");
}
