#include "../wire/checksum.h"

#include "check.h"

/* RFC 1071 section 3, the worked example: the sum of these words is ddf2. */
static void test_rfc_1071_example(void)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	CHECK_EQ("RFC 1071", checksum_finish(checksum_add(0, bytes, sizeof bytes)),
		 (uint16_t)~0xddf2u);
}

/* One's complement addition as RFC 1071 section 1 defines it, folded at every byte. */
static uint16_t naive_checksum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i++) {
		sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)(0xffff - sum);
}

static void test_against_naive(void)
{
	static uint8_t bytes[65535];
	static const size_t lengths[] = {0, 1, 2, 3, 20, 60, 61, 1500, 65534, 65535};
	uint64_t seed = 1;

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)check_random(&seed);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
		CHECK_EQ("random bytes",
			 checksum_finish(checksum_add(0, bytes, lengths[i])),
			 naive_checksum(bytes, lengths[i]));
	memset(bytes, 0xff, sizeof bytes);
	CHECK_EQ("largest sum", checksum_finish(checksum_add(0, bytes, 65534)), 0);
	CHECK_EQ("carry of a carry",
		 checksum_finish(checksum_add_u32(0xfffe0000, 0x00010001)), 0xfffe);
}

int main(void)
{
	test_rfc_1071_example();
	test_against_naive();
	return check_report("checksum_test");
}
