/* A failed check names its place and values and the test goes on; the last line counts. */
#ifndef MPCENSUS_CHECK_H
#define MPCENSUS_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned checks_passed, checks_failed;

static inline bool check_count(bool passed)
{
	if (passed)
		checks_passed++;
	else
		checks_failed++;
	return passed;
}

#define CHECK(condition)                                                                 \
	do {                                                                             \
		if (!check_count(condition))                                             \
			printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);   \
	} while (0)

/* `what` names the case in a table or loop. */
#define CHECK_EQ(what, actual, expected)                                                 \
	do {                                                                             \
		uint64_t check_actual = (uint64_t)(actual);                              \
		uint64_t check_expected = (uint64_t)(expected);                          \
		if (!check_count(check_actual == check_expected))                        \
			printf("%s:%d: %s: %s is 0x%" PRIx64 ", expected 0x%" PRIx64     \
			       "\n",                                                     \
			       __FILE__, __LINE__, (what), #actual, check_actual,        \
			       check_expected);                                          \
	} while (0)

#define CHECK_TEXT(actual, expected)                                                     \
	do {                                                                             \
		const char *check_actual = (actual);                                     \
		const char *check_expected = (expected);                                 \
		if (!check_count(strcmp(check_actual, check_expected) == 0))             \
			printf("%s:%d: %s is '%s', expected '%s'\n", __FILE__, __LINE__, \
			       #actual, check_actual, check_expected);                   \
	} while (0)

static inline int check_report(const char *test)
{
	printf("%s: %u passed, %u failed\n", test, checks_passed, checks_failed);
	return checks_failed == 0 && checks_passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* xorshift64 (Marsaglia 2003): reproducible bytes, independent of the code under test. */
static inline uint64_t check_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
