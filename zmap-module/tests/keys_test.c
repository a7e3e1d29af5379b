#include "../wire/keys.h"

#include <math.h>

#include "check.h"
#include "sample.h"

#define TARGETS 100000

static unsigned weight(uint64_t key)
{
	unsigned count = 0;

	for (; key != 0; key >>= 1)
		count += key & 1;
	return count;
}

/* Within five standard deviations of a binomial count. */
static bool plausible(unsigned count, double probability)
{
	double mean = TARGETS * probability;

	return fabs(count - mean) < 5 * sqrt(mean * (1 - probability));
}

/*
 * Uniform over all C(64, 16) keys means: a position is set with probability 16/64, a pair
 * of positions with 16/64 * 15/63.
 */
static void test_weight16_is_uniform(void)
{
	static unsigned singles[64], pairs[64][64];
	struct siphash_key secret = sample_secret();
	unsigned wrong_weight = 0, worst_pairs = 0;

	for (uint32_t i = 0; i < TARGETS; i++) {
		struct target target = {.address = ip_address_4(0x0b000000u + i),
					.port = 443};
		uint64_t key = key_weight16(&secret, &target);
		unsigned set[64], count = 0;

		wrong_weight += weight(key) != 16;
		for (unsigned bit = 0; bit < 64; bit++) {
			if (key >> bit & 1)
				set[count++] = bit;
		}
		for (unsigned a = 0; a < count; a++) {
			singles[set[a]]++;
			for (unsigned b = 0; b < a; b++)
				pairs[set[a]][set[b]]++;
		}
	}
	CHECK_EQ("keys of another weight", wrong_weight, 0);
	for (unsigned a = 0; a < 64; a++) {
		CHECK(plausible(singles[a], 16.0 / 64));
		for (unsigned b = 0; b < a; b++)
			worst_pairs += !plausible(pairs[a][b], 16.0 / 64 * 15 / 63);
	}
	CHECK_EQ("pairs set together too often or too rarely", worst_pairs, 0);
}

static void test_differs_by_target(void)
{
	struct siphash_key secret = sample_secret();
	struct target target = sample_target(), other = target;

	other.port = 80;
	CHECK(key_weight16(&secret, &target) == key_weight16(&secret, &target));
	CHECK(key_weight16(&secret, &target) != key_weight16(&secret, &other));
}

static void test_sources(void)
{
	struct siphash_key secret = sample_secret();
	struct key_source fixed = {.method = KEY_STATIC, .fixed = 0xff000000000000ffu};
	struct key_source keyed = {.method = KEY_WEIGHT16};
	struct target target = sample_target();

	CHECK_EQ("static", sender_key(&fixed, &secret, &target), 0xff000000000000ffu);
	CHECK_EQ("weight16", sender_key(&keyed, &secret, &target),
		 key_weight16(&secret, &target));
}

int main(void)
{
	test_weight16_is_uniform();
	test_differs_by_target();
	test_sources();
	return check_report("keys_test");
}
