#include "../wire/tcp_options.h"

#include <glob.h>

#include "check.h"
#include "naive_options.h"
#include "vector.h"

/* A copy that is exactly as long as the options, so that AddressSanitizer sees overreads. */
static struct mptcp_facts find_in_exact_copy(const uint8_t *options, size_t length)
{
	uint8_t *copy = malloc(length > 0 ? length : 1);
	struct mptcp_facts facts;

	if (length > 0)
		memcpy(copy, options, length);
	facts = tcp_options_find_mptcp(copy, length);
	free(copy);
	return facts;
}

static void check_vector(const char *path)
{
	struct vector vector;
	struct mptcp_facts facts;

	if (!check_count(vector_read(path, &vector)))
		return;
	facts = find_in_exact_copy(vector.options, vector.length);
	CHECK_EQ(path, facts.presence, vector.expected.presence);
	CHECK_EQ(path, facts.has_version, vector.expected.has_version);
	CHECK_EQ(path, facts.version, vector.expected.version);
	CHECK_EQ(path, facts.has_flags, vector.expected.has_flags);
	CHECK_EQ(path, facts.flags, vector.expected.flags);
	CHECK_EQ(path, facts.has_length, vector.expected.has_length);
	CHECK_EQ(path, facts.length, vector.expected.length);
	CHECK_EQ(path, facts.has_key, vector.expected.has_key);
	CHECK_EQ(path, facts.key, vector.expected.key);
	CHECK_EQ(path, strstr(path, "/invalid-") != NULL,
		 vector.expected.presence == MPTCP_MALFORMED);
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

/* Random bytes, half of them from those that mean something to the walk. */
static uint8_t telling_byte(uint64_t *seed)
{
	static const uint8_t telling[] = {0,  1,  2,  3,    4,    8, 12,
					  30, 30, 30, 0x01, 0x10, 16};
	uint64_t random = check_random(seed) >> 8;

	return (uint8_t)(random & 1 ? random >> 1
				    : telling[(random >> 1) % sizeof telling]);
}

static void test_against_naive_walk(void)
{
	uint64_t seed = 8684;
	unsigned seen[4] = {0};

	for (int round = 0; round < 200000; round++) {
		uint8_t options[TCP_OPTIONS_MAX_BYTES];
		size_t length = check_random(&seed) % (sizeof options + 1);
		struct mptcp_facts actual, expected;

		for (size_t i = 0; i < length; i++)
			options[i] = telling_byte(&seed);
		/* Chance alone seldom makes a whole MP_CAPABLE. */
		if (round % 4 == 0 && length >= 12)
			memcpy(options, "\x1e\x0c", 2);
		actual = find_in_exact_copy(options, length);
		expected = naive_find_mptcp(options, length);
		CHECK(same_facts(&actual, &expected));
		seen[expected.presence]++;
	}
	for (int presence = 0; presence < 4; presence++)
		CHECK(seen[presence] > 1000);
}

int main(void)
{
	test_shared_vectors();
	test_against_naive_walk();
	return check_report("tcp_options_test");
}
