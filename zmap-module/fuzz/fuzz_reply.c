#include "fuzz.h"

#include "../tests/sample.h"
#include "../wire/reply.h"

bool fuzz_accepted;

/* The first byte of an input chooses the scan. */
static struct scan choose_scan(uint8_t choice)
{
	struct scan scan;

	switch (choice) {
	case 'T':
		return sample_trace(IP_FAMILY_4);
	case 'U':
		return sample_trace(IP_FAMILY_6);
	}
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
	uint32_t ttls;

	REQUIRE(reply->target.port == SAMPLE_TARGET_PORT);
	REQUIRE(reply->our_port == scan_probe_state(scan, &reply->target).source_port);
	REQUIRE(reply->target.address.family == scan->family);
	REQUIRE(reply->our_address.family == scan->family);
	if (scan->targets.count == 0)
		return;
	ttls = ttl_count(scan->ttls);
	REQUIRE(reply->target.index / ttls < scan->targets.count);
	REQUIRE(ip_address_equal(
	    reply->target.address,
	    target_file_address(&scan->targets, reply->target.index / ttls)));
}

/*
 * What a quote has of the probe that it is taken for: the rules of wire/quote.h, read at
 * the offsets of RFC 791, RFC 8200 and RFC 9293.
 */
static void require_quoted(const struct scan *scan, const struct reply *reply)
{
	struct probe_state sent = scan_probe_state(scan, &reply->target);
	bool is_ipv6 = scan->family == IP_FAMILY_6;
	const uint8_t *quote = reply->quote;
	const uint8_t *tcp = quote + (is_ipv6 ? 40 : (quote[0] & 15) * 4);
	struct ip_address destination =
	    is_ipv6 ? ip_address_6(quote + 24) : ip_address_4(load_u32(quote + 16));
	uint32_t label = is_ipv6 ? load_u32(quote) & 0xfffff : load_u32(quote + 4) >> 16;
	bool seq = load_u32(tcp + 4) == sent.seq;
	bool our_port = load_u32(tcp) >> 16 == sent.source_port;
	bool to_target = ip_address_equal(destination, reply->target.address) &&
			 (load_u32(tcp) & 0xffff) == SAMPLE_TARGET_PORT;
	bool same_label = label == (is_ipv6 ? sent.label : (uint16_t)sent.label);

	REQUIRE(tcp + 8 <= quote + reply->quote_length);
	if (!scan_is_trace(scan))
		REQUIRE(seq && our_port && to_target);
	REQUIRE((seq && to_target) || (our_port && same_label && (seq || to_target)));
	if (is_ipv6 && !seq)
		REQUIRE(tcp + 16 <= quote + reply->quote_length &&
			(load_u32(tcp + 12) & 0xffff) ==
			    64800u - 64 + scan_probe_ttl(scan, &reply->target));
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
		require_quoted(scan, reply);
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
