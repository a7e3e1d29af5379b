#include "../wire/syn.h"

#include "../wire/hex.h"
#include "check.h"

#define SOURCE 0xc0000201u /* 192.0.2.1 */

static const struct target target = {.address = 0xc6336407u,
				     .port = 443}; /* 198.51.100.7 */
static const struct probe_state state = {
    .seq = 0x01020304, .source_port = 40000, .ip_id = 0xbeef};
static const uint64_t key = 0x8899aabbccddeeff;

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
static void check_checksums(const char *what, const uint8_t *packet, size_t length)
{
	uint8_t pseudo[12] = {[9] = 6, [11] = (uint8_t)(length - 20)};

	memcpy(pseudo, packet + 12, 8);
	CHECK_EQ(what, naive_sum(0, packet, 20), 0xffff);
	CHECK_EQ(what, naive_sum(naive_sum(0, pseudo, 12), packet + 20, length - 20),
		 0xffff);
}

#define LINUX_OPTIONS                                                                    \
	"020405b4"                                                                       \
	"0402"                                                                           \
	"080a0a0b0c0d00000000"                                                           \
	"01"                                                                             \
	"03030a"
#define V0_OPTION                                                                        \
	"1e0c0081"                                                                       \
	"8899aabbccddeeff"
#define V1_OPTION "1e040101"

static const struct {
	const char *what;
	enum probe_kind kind;
	enum option_set options;
	const char *data_offset; /* with the reserved bits: one byte */
	const char *option_bytes;
} cases[] = {
    {"v0 linux", PROBE_V0, OPTIONS_LINUX, "d0", LINUX_OPTIONS V0_OPTION},
    {"v1 linux", PROBE_V1, OPTIONS_LINUX, "b0", LINUX_OPTIONS V1_OPTION},
    {"plain linux", PROBE_PLAIN, OPTIONS_LINUX, "a0", LINUX_OPTIONS},
    {"v0 bare", PROBE_V0, OPTIONS_BARE, "80", V0_OPTION},
    {"v1 bare", PROBE_V1, OPTIONS_BARE, "60", V1_OPTION},
    {"plain bare", PROBE_PLAIN, OPTIONS_BARE, "50", ""},
};

/* The packet in words: RFC 791 and RFC 9293 section 3.1 headers, checksums left out. */
static void expected_packet(char *text, size_t size, unsigned i, size_t length)
{
	snprintf(text, size,
		 "4500%04zx"
		 "beef4000"
		 "40060000"
		 "c0000201"
		 "c6336407" /* IPv4, DF, TTL 64 */
		 "9c4001bb"
		 "01020304"
		 "00000000"
		 "%s02faf0"
		 "00000000%s", /* SYN, 64240 */
		 length, cases[i].data_offset, cases[i].option_bytes);
}

static void test_all_combinations(void)
{
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct syn_template syn = syn_template(cases[i].kind, cases[i].options,
						       target.port, 0x0a0b0c0d);
		uint8_t packet[SYN_MAX_BYTES];
		char actual[2 * SYN_MAX_BYTES + 1], expected[2 * SYN_MAX_BYTES + 1];

		memcpy(packet, syn.packet, sizeof packet);
		syn_fill(&syn, packet, SOURCE, target, &state, key);
		check_checksums(cases[i].what, packet, syn.length);

		memset(packet + 10, 0, 2);
		memset(packet + 36, 0, 2);
		hex_encode(packet, syn.length, actual);
		expected_packet(expected, sizeof expected, i,
				40 + strlen(cases[i].option_bytes) / 2);
		CHECK_TEXT(actual, expected);
	}
}

/* A send thread fills the same buffer again and again. */
static void test_refill_leaves_nothing_behind(void)
{
	struct syn_template syn = syn_template(PROBE_V0, OPTIONS_LINUX, target.port, 1);
	uint8_t fresh[SYN_MAX_BYTES], reused[SYN_MAX_BYTES];
	uint64_t seed = 7;

	memcpy(reused, syn.packet, sizeof reused);
	for (int i = 0; i < 1000; i++) {
		struct target to = {.address = (uint32_t)check_random(&seed),
				    .port = target.port};
		struct probe_state sent = {.seq = (uint32_t)check_random(&seed),
					   .source_port = (uint16_t)check_random(&seed),
					   .ip_id = (uint16_t)check_random(&seed)};
		uint64_t random_key = check_random(&seed);

		memcpy(fresh, syn.packet, sizeof fresh);
		syn_fill(&syn, fresh, SOURCE, to, &sent, random_key);
		syn_fill(&syn, reused, SOURCE, to, &sent, random_key);
		CHECK(memcmp(fresh, reused, sizeof fresh) == 0);
		check_checksums("random target", fresh, syn.length);
	}
}

int main(void)
{
	test_all_combinations();
	test_refill_leaves_nothing_behind();
	return check_report("syn_test");
}
