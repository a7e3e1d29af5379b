#include "../wire/tcp_options.h"

#include <glob.h>

#include "check.h"
#include "naive_options.h"
#include "vector.h"

struct walked {
	struct mptcp_facts mptcp;
	enum canary_presence canary;
};

/* A copy that is exactly as long as the options, so that AddressSanitizer sees overreads. */
static struct walked walk_exact_copy(const uint8_t *options, size_t length,
				     uint32_t nonce)
{
	uint8_t *copy = malloc(length > 0 ? length : 1);
	struct walked walked;

	if (length > 0)
		memcpy(copy, options, length);
	walked.mptcp = tcp_options_find_mptcp(copy, length);
	walked.canary = tcp_options_find_canary(copy, length, nonce);
	free(copy);
	return walked;
}

static void check_vector(const char *path)
{
	struct vector vector;
	struct walked walked;

	if (!check_count(vector_read(path, &vector)))
		return;
	walked = walk_exact_copy(vector.options, vector.length, vector.nonce);
	CHECK_EQ(path, walked.mptcp.presence, vector.expected.presence);
	CHECK_EQ(path, walked.mptcp.has_version, vector.expected.has_version);
	CHECK_EQ(path, walked.mptcp.version, vector.expected.version);
	CHECK_EQ(path, walked.mptcp.has_flags, vector.expected.has_flags);
	CHECK_EQ(path, walked.mptcp.flags, vector.expected.flags);
	CHECK_EQ(path, walked.mptcp.has_length, vector.expected.has_length);
	CHECK_EQ(path, walked.mptcp.length, vector.expected.length);
	CHECK_EQ(path, walked.mptcp.has_key, vector.expected.has_key);
	CHECK_EQ(path, walked.mptcp.key, vector.expected.key);
	CHECK_EQ(path, strstr(path, "/invalid-") != NULL,
		 vector.expected.presence == MPTCP_MALFORMED);
	if (vector.has_canary)
		CHECK_EQ(path, walked.canary, vector.expected_canary);
}

static void test_shared_vectors(void)
{
	glob_t found;

	CHECK(glob("testdata/options/*.txt", 0, NULL, &found) == 0);
	CHECK(found.gl_pathc >= 25);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_vector(found.gl_pathv[i]);
	globfree(&found);
}

#define NONCE 0x10fe0408u

/* Random bytes, half of them from those that mean something to the walk. */
static uint8_t telling_byte(uint64_t *seed)
{
	static const uint8_t telling[] = {0,  1,  2,    3,    4,  8,   12,
					  30, 30, 0x01, 0x10, 16, 254, 'M'};
	uint64_t random = check_random(seed) >> 8;

	return (uint8_t)(random & 1 ? random >> 1
				    : telling[(random >> 1) % sizeof telling]);
}

/* Chance alone seldom makes a whole MP_CAPABLE, and hardly ever a canary. */
static void plant(uint8_t *options, size_t length, uint64_t *seed)
{
	size_t at = check_random(seed) % 8;

	switch (check_random(seed) % 6) {
	case 0:
		if (length >= at + 12)
			memcpy(options + at, "\x1e\x0c", 2);
		break;
	case 1:
		if (length >= at + 4)
			memcpy(options + at, "\xfe\x08MC", 4);
		break;
	case 2:
		if (length >= at + 8)
			memcpy(options + at, "\xfe\x08MC\x10\xfe\x04\x08", 8);
		break;
	}
}

static void test_against_naive_walk(void)
{
	uint64_t seed = 8684;
	unsigned seen_mptcp[4] = {0}, seen_canary[3] = {0};

	for (int round = 0; round < 200000; round++) {
		uint8_t options[TCP_OPTIONS_MAX_BYTES];
		size_t length = check_random(&seed) % (sizeof options + 1);
		struct mptcp_facts expected;
		enum canary_presence canary;
		struct walked walked;

		for (size_t i = 0; i < length; i++)
			options[i] = telling_byte(&seed);
		plant(options, length, &seed);
		walked = walk_exact_copy(options, length, NONCE);
		expected = naive_find_mptcp(options, length);
		canary = naive_find_canary(options, length, NONCE);
		CHECK(same_facts(&walked.mptcp, &expected));
		CHECK_EQ("canary", walked.canary, canary);
		seen_mptcp[expected.presence]++;
		seen_canary[canary]++;
	}
	for (int presence = 0; presence < 4; presence++)
		CHECK(seen_mptcp[presence] > 1000);
	for (int presence = 0; presence < 3; presence++)
		CHECK(seen_canary[presence] > 1000);
}

int main(void)
{
	test_shared_vectors();
	test_against_naive_walk();
	return check_report("tcp_options_test");
}
