/* libFuzzer's entry point, also called by replay.c. */
#ifndef MPCENSUS_FUZZ_H
#define MPCENSUS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the last input; replay.c holds it against the names of valid-* and invalid-* files. */
extern bool fuzz_accepted;

/* Unlike assert(), there with NDEBUG too. */
#define REQUIRE(condition)                                                               \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: violated: %s\n", __FILE__, __LINE__,     \
				#condition);                                             \
			abort();                                                         \
		}                                                                        \
	} while (0)

#endif
