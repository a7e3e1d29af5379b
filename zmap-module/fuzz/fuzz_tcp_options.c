#include "fuzz.h"

#include "../tests/naive_options.h"

#define SENT_NONCE 0x89abcdefu /* as in testdata/options */

bool fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mptcp_facts actual, expected;

	if (size > TCP_OPTIONS_MAX_BYTES)
		return 0;
	actual = tcp_options_find_mptcp(data, size);
	expected = naive_find_mptcp(data, size);
	REQUIRE(same_facts(&actual, &expected));
	REQUIRE(tcp_options_find_canary(data, size, SENT_NONCE) ==
		naive_find_canary(data, size, SENT_NONCE));
	fuzz_accepted = actual.presence != MPTCP_MALFORMED;
	return 0;
}
