#include "fuzz.h"

#include "../tests/sample.h"
#include "../wire/reply.h"

bool fuzz_accepted;

static void require_within(const uint8_t *part, size_t length, const uint8_t *data,
			   size_t size)
{
	REQUIRE(part >= data && length <= size && (size_t)(part - data) <= size - length);
}

/* Whatever is accepted names our target, and points only into the packet. */
static void require_sound(const struct reply *reply, const uint8_t *data, size_t size)
{
	struct siphash_key secret = sample_secret();
	struct probe_state sent = probe_state(&secret, reply->target);

	REQUIRE(reply->target.port == SAMPLE_TARGET_PORT);
	REQUIRE(reply->our_port == sent.source_port);
	if (reply->kind == REPLY_ICMP) {
		REQUIRE(reply->quote_length >= 28);
		require_within(reply->quote, reply->quote_length, data, size);
		return;
	}
	REQUIRE(reply->ack == sent.seq + 1);
	REQUIRE(reply->options_length <= TCP_OPTIONS_MAX_BYTES);
	require_within(reply->options, reply->options_length, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct siphash_key secret = sample_secret();
	struct reply reply;

	fuzz_accepted = reply_parse(data, size, &secret, SAMPLE_TARGET_PORT, &reply) ==
			REPLY_ACCEPTED;
	if (fuzz_accepted)
		require_sound(&reply, data, size);
	return 0;
}
