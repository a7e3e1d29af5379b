#include "../wire/quote.h"

#include "../wire/syn.h"
#include "check.h"
#include "sample.h"

#define SOURCE 0xc0000201u
#define RECORDS 40
#define TTLS 24
#define PROBES (RECORDS * TTLS)

/* Beside what a router can quote, the TTL, which it cannot. */
struct sent {
	struct quote seen;
	uint32_t index;
};

static struct sent probes[PROBES];

/* As RFC 791, RFC 8200 and RFC 9293 have the fields. */
static struct quote read_probe(const uint8_t *packet)
{
	bool is_ipv6 = packet[0] >> 4 == 6;
	const uint8_t *tcp = packet + (is_ipv6 ? 40 : 20);

	return (struct quote){
	    .destination =
		is_ipv6 ? ip_address_6(packet + 24) : ip_address_4(load_u32(packet + 16)),
	    .label = is_ipv6 ? load_u32(packet) & 0xfffff : load_u32(packet + 4) >> 16,
	    .our_port = (uint16_t)(tcp[0] << 8 | tcp[1]),
	    .port = (uint16_t)(tcp[2] << 8 | tcp[3]),
	    .seq = load_u32(tcp + 4),
	    .has_window = true,
	    .window = (uint16_t)(tcp[14] << 8 | tcp[15]),
	};
}

static struct scan make_probes(enum ip_family family)
{
	static uint8_t records[RECORDS * 16];
	size_t bytes = family == IP_FAMILY_6 ? 16 : 4;
	struct scan scan = sample_trace(family);

	for (unsigned i = 0; i < RECORDS; i++) {
		memset(records + i * bytes, 0x20, bytes);
		records[(i + 1) * bytes - 1] = (uint8_t)(3 * i);
	}
	scan.targets.records = records;
	scan.targets.count = RECORDS;
	scan.ttls = (struct ttl_range){1, TTLS};
	scan.syn = syn_template(&(struct syn_shape){.family = family,
						    .target_port = SAMPLE_TARGET_PORT,
						    .source = {.family = family}});
	for (uint32_t index = 0; index < PROBES; index++) {
		uint8_t packet[SYN_MAX_BYTES];

		scan_make_syn(&scan, packet, SOURCE, INDEX_BASE + index);
		probes[index] = (struct sent){read_probe(packet), index};
	}
	return scan;
}

/* The rules of quote.h, one probe after the other: the index, or PROBES. */
static uint32_t model(enum ip_family family, const struct quote *quote)
{
	for (int by_seq = 1; by_seq >= 0; by_seq--) {
		for (uint32_t i = 0; i < PROBES; i++) {
			const struct quote *sent = &probes[i].seen;
			bool seq = sent->seq == quote->seq;
			bool destination =
			    ip_address_equal(sent->destination, quote->destination) &&
			    sent->port == quote->port;
			bool source = sent->our_port == quote->our_port &&
				      sent->label == quote->label;

			if (by_seq ? seq && (destination || source)
				   : destination && source &&
					 (family == IP_FAMILY_4 ||
					  (quote->has_window &&
					   sent->window == quote->window)))
				return probes[i].index;
		}
	}
	return PROBES;
}

static uint64_t seed = 5;

static uint32_t some(uint32_t below)
{
	return (uint32_t)(check_random(&seed) >> 16) % below;
}

/* The field of another probe, a neighbouring value or any; a label's bits stay in place. */
static struct quote rewritten(struct quote quote, unsigned fields, uint32_t label_mask)
{
	const struct quote *other = &probes[some(PROBES)].seen;
	uint32_t way = some(3);
	uint32_t any = (uint32_t)check_random(&seed);

	if (fields & 1)
		quote.seq = way == 0   ? other->seq
			    : way == 1 ? quote.seq + some(3) - 1
				       : any;
	if (fields & 2)
		quote.our_port =
		    way == 0 ? other->our_port : (uint16_t)(quote.our_port ^ way);
	if (fields & 4)
		quote.label = (way == 0   ? other->label
			       : way == 1 ? quote.label + some(2 * TTLS) - TTLS
					  : any) &
			      label_mask;
	if (fields & 8)
		quote.port = (uint16_t)(quote.port + way);
	if (fields & 16 && way == 0)
		quote.destination = other->destination;
	else if (fields & 16)
		quote.destination.low += way;
	if (fields & 32)
		quote.window =
		    (uint16_t)(way == 0 ? other->window
					: quote.window + some(2 * TTLS) - TTLS);
	quote.has_window = way > 0 || some(2) > 0;
	return quote;
}

static void test_against_model(enum ip_family family)
{
	struct scan scan = make_probes(family);
	uint32_t mask = family == IP_FAMILY_6 ? 0xfffff : 0xffff;
	unsigned ours = 0, other_ttl = 0;

	for (uint32_t i = 0; i < 64 * 500; i++) {
		struct sent from = probes[some(PROBES)];
		struct quote quote = rewritten(from.seen, i % 64, mask);
		struct target target = {.index = PROBES};
		uint32_t expected = model(family, &quote);

		CHECK_EQ("ours", quote_recognise(&scan, &quote, &target),
			 expected < PROBES);
		if (expected == PROBES)
			continue;
		CHECK_EQ("index", target.index, expected);
		CHECK(
		    ip_address_equal(target.address, probes[expected].seen.destination));
		CHECK_EQ("port", target.port, SAMPLE_TARGET_PORT);
		ours++;
		other_ttl += expected != from.index;
	}
	/* Both outcomes are common, and some quotes tell of another probe. */
	CHECK(ours > 8000 && ours < 24000 && other_ttl > 100);
}

/* In a scan nothing may be rewritten of what names a probe. */
static void test_scan(enum ip_family family)
{
	struct scan scan = make_probes(family);

	scan.method = METHOD_SYNSCAN;
	for (uint32_t i = 0; i < PROBES; i++) {
		struct target target;
		struct quote quote = probes[i].seen;

		CHECK(quote_recognise(&scan, &quote, &target));
		CHECK_EQ("index", target.index, i);
		quote.label ^= 1;
		CHECK(quote_recognise(&scan, &quote, &target));
		quote.seq ^= 1;
		CHECK(!quote_recognise(&scan, &quote, &target));
		quote = probes[i].seen;
		quote.our_port ^= 1;
		CHECK(!quote_recognise(&scan, &quote, &target));
		quote = probes[i].seen;
		quote.destination.low ^= 1;
		CHECK(!quote_recognise(&scan, &quote, &target));
	}
}

/* Other families never match, whatever their numbers. */
static void test_other_family(void)
{
	struct scan scan = make_probes(IP_FAMILY_4);
	struct quote quote = probes[7].seen;
	struct target target;

	quote.seq ^= 1;
	CHECK(quote_recognise(&scan, &quote, &target));
	quote.destination.family = IP_FAMILY_6;
	CHECK(!quote_recognise(&scan, &quote, &target));
}

int main(void)
{
	test_against_model(IP_FAMILY_4);
	test_against_model(IP_FAMILY_6);
	test_scan(IP_FAMILY_4);
	test_scan(IP_FAMILY_6);
	test_other_family();
	return check_report("quote_test");
}
