#include "../wire/permutation.h"

#include "check.h"

#define SAMPLE (1u << 22)

/* IACR ePrint 2013/404, appendix C: Speck32/64. */
static void test_published_vector(void)
{
	static const uint8_t key[PERMUTATION_KEY_BYTES] = {0x19, 0x18, 0x11, 0x10,
							   0x09, 0x08, 0x01, 0x00};
	struct permutation order = permutation(key);

	CHECK_EQ("encrypt", permutation_apply(&order, 0x6574694c), 0xa86842f2);
	CHECK_EQ("decrypt", permutation_invert(&order, 0xa86842f2), 0x6574694c);
}

/* No two of the first four million indices share a number, and each leads back. */
static void test_is_a_bijection(void)
{
	static uint8_t seen[(UINT64_C(1) << 32) / 8];
	static const uint8_t key[PERMUTATION_KEY_BYTES] = "permute";
	struct permutation order = permutation(key);
	unsigned collisions = 0, lost = 0;

	for (uint32_t index = 0; index < SAMPLE; index++) {
		uint32_t number = permutation_apply(&order, index);
		uint8_t bit = (uint8_t)(1 << number % 8);

		collisions += (seen[number / 8] & bit) != 0;
		seen[number / 8] |= bit;
		lost += permutation_invert(&order, number) != index;
	}
	CHECK_EQ("collisions", collisions, 0);
	CHECK_EQ("indices that do not come back", lost, 0);
}

static void test_edges(void)
{
	static const uint32_t edges[] = {0, 1, 0xffff, 0x10000, 0x7fffffff, 0xffffffff};
	static const uint8_t key[PERMUTATION_KEY_BYTES] = {0};
	struct permutation order = permutation(key);

	for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
		CHECK_EQ("back and forth",
			 permutation_apply(&order, permutation_invert(&order, edges[i])),
			 edges[i]);
}

/* Every bit of the key matters. */
static void test_depends_on_key(void)
{
	static const uint8_t zero[PERMUTATION_KEY_BYTES] = {0};
	struct permutation order = permutation(zero);

	for (int bit = 0; bit < 64; bit++) {
		uint8_t key[PERMUTATION_KEY_BYTES] = {0};
		struct permutation other;
		unsigned same = 0;

		key[bit / 8] = (uint8_t)(1 << bit % 8);
		other = permutation(key);
		for (uint32_t index = 0; index < 1000; index++)
			same += permutation_apply(&order, index) ==
				permutation_apply(&other, index);
		CHECK_EQ("indices with the same number under another key", same, 0);
	}
}

int main(void)
{
	test_published_vector();
	test_is_a_bijection();
	test_edges();
	test_depends_on_key();
	return check_report("permutation_test");
}
