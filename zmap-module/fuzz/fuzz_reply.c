#include "fuzz.h"

#include "../tests/sample.h"
#include "../wire/reply.h"

bool fuzz_accepted;

/* The first byte of an input chooses the scan. */
static struct scan choose_scan(uint8_t choice)
{
	struct scan scan;

	switch (choice % 3) {
	case 0:
		scan = sample_direct_scan();
		break;
	case 1:
		scan = sample_indexed_scan(IP_FAMILY_4);
		break;
	default:
		scan = sample_indexed_scan(IP_FAMILY_6);
	}
	scan.args.canary = choice % 6 >= 3;
	return scan;
}

static void require_within(const uint8_t *part, size_t length, const uint8_t *data,
			   size_t size)
{
	REQUIRE(part >= data && length <= size && (size_t)(part - data) <= size - length);
}

/* A target that the scan has, and the source port that its probe had. */
static void require_sent(const struct scan *scan, const struct reply *reply)
{
	REQUIRE(reply->target.port == SAMPLE_TARGET_PORT);
	REQUIRE(reply->our_port == scan_probe_state(scan, &reply->target).source_port);
	REQUIRE(reply->target.address.family == scan->family);
	REQUIRE(reply->our_address.family == scan->family);
	if (scan->targets.count == 0)
		return;
	REQUIRE(reply->target.index < scan->targets.count);
	REQUIRE(
	    ip_address_equal(reply->target.address,
			     target_file_address(&scan->targets, reply->target.index)));
}

/* Whatever is accepted answers a probe of ours, and points only into the packet. */
static void require_sound(const struct scan *scan, const struct reply *reply,
			  const uint8_t *packet, size_t size)
{
	require_sent(scan, reply);
	if (reply->kind == REPLY_ICMP) {
		REQUIRE(reply->quote_length >= sample_ip_bytes(scan) + 8);
		require_within(reply->quote, reply->quote_length, packet, size);
		REQUIRE(reply->quote[0] >> 4 == (int)scan->family);
		return;
	}
	REQUIRE(reply->ack == scan_probe_state(scan, &reply->target).seq + 1);
	REQUIRE(reply->options_length <= TCP_OPTIONS_MAX_BYTES);
	require_within(reply->options, reply->options_length, packet, size);
	REQUIRE(reply->canary == CANARY_NONE || scan_sends_canary(scan));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scan scan;
	struct reply reply;
	enum reply_status status;

	fuzz_accepted = false;
	if (size == 0)
		return 0;
	scan = choose_scan(data[0]);
	status = reply_parse(&scan, data + 1, size - 1, &reply);
	REQUIRE(reply_status_name(status) != NULL);
	fuzz_accepted = status == REPLY_ACCEPTED;
	if (fuzz_accepted)
		require_sound(&scan, &reply, data + 1, size - 1);
	return 0;
}
