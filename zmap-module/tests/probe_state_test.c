#include "../wire/probe_state.h"

#include "check.h"
#include "sample.h"

#define TARGETS 65536

static bool near_half(unsigned count)
{
	/* Six standard deviations of Binomial(65536, 1/2): 6 * 128. */
	return count > TARGETS / 2 - 768 && count < TARGETS / 2 + 768;
}

static void count_bits(uint32_t value, unsigned *set, int bits)
{
	for (int bit = 0; bit < bits; bit++)
		set[bit] += value >> bit & 1;
}

static void check_balance(const unsigned *set, int bits)
{
	for (int bit = 0; bit < bits; bit++)
		CHECK(near_half(set[bit]));
}

/* Every bit of every field varies from target to target, as often set as not. */
static void test_direct_bits_are_balanced(void)
{
	struct siphash_key secret = sample_secret();
	unsigned seq_bits[32] = {0}, port_bits[15] = {0}, id_bits[16] = {0};
	unsigned low_ports = 0;

	for (uint32_t i = 0; i < TARGETS; i++) {
		struct target target = {.address = ip_address_4(0xc6120000u + i),
					.port = 443};
		struct probe_state state = probe_state_direct(&secret, &target);

		low_ports += state.source_port < SOURCE_PORT_FIRST;
		count_bits(state.seq, seq_bits, 32);
		count_bits(state.source_port, port_bits, 15);
		count_bits(state.label, id_bits, 16);
	}
	CHECK_EQ("source ports below the range", low_ports, 0);
	check_balance(seq_bits, 32);
	check_balance(port_bits, 15);
	check_balance(id_bits, 16);
}

/* The same for a row of neighbours that differ in their last bits alone. */
static void test_indexed_bits_are_balanced(void)
{
	struct siphash_key secret = sample_secret();
	struct permutation order = sample_indexed_scan(IP_FAMILY_6).order;
	unsigned seq_bits[32] = {0}, port_bits[15] = {0}, label_bits[20] = {0};
	unsigned low_ports = 0, not_the_index = 0;

	for (uint32_t i = 0; i < TARGETS; i++) {
		struct target target = {.address = {.family = IP_FAMILY_6,
						    .high = 0x20010db800000000,
						    .low = i},
					.port = 443,
					.index = i};
		struct probe_state state =
		    probe_state_indexed(&secret, &order, &target, 64);

		low_ports += state.source_port < SOURCE_PORT_FIRST;
		not_the_index += permutation_invert(&order, state.seq) != i;
		count_bits(state.seq, seq_bits, 32);
		count_bits(state.source_port, port_bits, 15);
		count_bits(state.label, label_bits, 20);
	}
	CHECK_EQ("source ports below the range", low_ports, 0);
	CHECK_EQ("sequence numbers of another index", not_the_index, 0);
	check_balance(seq_bits, 32);
	check_balance(port_bits, 15);
	check_balance(label_bits, 20);
}

static void test_depends_on_all_inputs(void)
{
	struct siphash_key secret = sample_secret(),
			   other = {.k0 = secret.k0, .k1 = ~secret.k1};
	struct target target = sample_target(), port = target, address = target;
	uint32_t seq = probe_state_direct(&secret, &target).seq;

	port.port++;
	address.address.low++;
	CHECK(probe_state_direct(&secret, &target).seq == seq);
	CHECK(probe_state_direct(&other, &target).seq != seq);
	CHECK(probe_state_direct(&secret, &port).seq != seq);
	CHECK(probe_state_direct(&secret, &address).seq != seq);
	CHECK(target_hash(&secret, 'S', 0, &target) !=
	      target_hash(&secret, 'K', 0, &target));
	CHECK(target_hash(&secret, 'K', 0, &target) !=
	      target_hash(&secret, 'K', 1, &target));
}

/* What is hashed, written out: the table in probe_state.h. */
static void test_messages(void)
{
	static const uint8_t ipv4[8] = {'K', 5, 0x01, 0xbb, 198, 51, 100, 7};
	static const uint8_t ipv6[24] = {'N',  5,    0x01, 0xbb, 0, 0, 0, 0,
					 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2,
					 0,    3,    0,    4,    0, 5, 0, 7};
	struct siphash_key secret = sample_secret();
	struct target target = {.address = ip_address_4(0xc6336407), .port = 443};

	CHECK_EQ("IPv4", target_hash(&secret, 'K', 5, &target),
		 siphash24(&secret, ipv4, sizeof ipv4));
	target.address = ip_address_6(ipv6 + 8);
	CHECK_EQ("IPv6", target_hash(&secret, 'N', 5, &target),
		 siphash24(&secret, ipv6, sizeof ipv6));
	/* The index names the same target: it is not hashed. */
	target.index = 9;
	CHECK_EQ("IPv6, another index", target_hash(&secret, 'N', 5, &target),
		 siphash24(&secret, ipv6, sizeof ipv6));
}

/* The fields as the header draws them: disjoint bits of one hash. */
static void test_layout(void)
{
	struct siphash_key secret = sample_secret();
	struct scan scan = sample_indexed_scan(IP_FAMILY_6);
	struct target target = sample_target();
	uint64_t hash = target_hash(&secret, 'S', 0, &target);
	struct probe_state state = probe_state_direct(&secret, &target);
	uint64_t joined = (uint64_t)state.label << 47 |
			  (uint64_t)(state.source_port - SOURCE_PORT_FIRST) << 32 |
			  state.seq;

	CHECK_EQ("direct: bits 0-62", joined, hash & ~(UINT64_C(1) << 63));

	target = sample_target_of(&scan);
	hash = target_hash(&scan.secret, 'S', 0, &target);
	state = probe_state_indexed(&scan.secret, &scan.order, &target, 0);
	joined = (uint64_t)state.label << 15 |
		 (uint64_t)(state.source_port - SOURCE_PORT_FIRST);
	CHECK_EQ("indexed: bits 0-34", joined, hash & ((UINT64_C(1) << 35) - 1));
}

/* Only the label of IPv4 tells a TTL from another. */
static void test_ttl(enum ip_family family)
{
	struct siphash_key secret = sample_secret();
	struct permutation order = sample_indexed_scan(family).order;
	struct target target = sample_target();

	target.address.family = family;
	/* Enough that some labels wrap. */
	for (uint32_t i = 0; i < 100000; i++) {
		struct probe_state without, with;
		uint8_t ttl = (uint8_t)(i % 64 + 1);

		target.address.low = i;
		without = probe_state_indexed(&secret, &order, &target, 0);
		with = probe_state_indexed(&secret, &order, &target, ttl);
		CHECK_EQ("label", with.label,
			 family == IP_FAMILY_4 ? (without.label + ttl) % (1u << 16)
					       : without.label);
		CHECK_EQ("port", with.source_port, without.source_port);
		CHECK_EQ("sequence number", with.seq, without.seq);
	}
}

int main(void)
{
	test_direct_bits_are_balanced();
	test_indexed_bits_are_balanced();
	test_depends_on_all_inputs();
	test_messages();
	test_layout();
	test_ttl(IP_FAMILY_4);
	test_ttl(IP_FAMILY_6);
	return check_report("probe_state_test");
}
