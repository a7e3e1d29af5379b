/* Reading testdata/options: see the README there. */
#ifndef MPCENSUS_VECTOR_H
#define MPCENSUS_VECTOR_H

#include <stdbool.h>

#include "../wire/tcp_options.h"

struct vector {
	uint8_t options[TCP_OPTIONS_MAX_BYTES];
	size_t length;
	struct mptcp_facts expected;
	bool has_canary; /* the file says which nonce was sent, and what came of it */
	uint32_t nonce;
	enum canary_presence expected_canary;
};

/* False, with a line on stdout, if the file is not in the format. */
bool vector_read(const char *path, struct vector *vector);

#endif
