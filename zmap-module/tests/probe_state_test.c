#include "../wire/probe_state.h"

#include "check.h"
#include "sample.h"

#define TARGETS 65536

static bool near_half(unsigned count)
{
	/* Six standard deviations of Binomial(65536, 1/2): 6 * 128. */
	return count > TARGETS / 2 - 768 && count < TARGETS / 2 + 768;
}

/* Every bit of every field varies from target to target, as often set as not. */
static void test_bits_are_balanced(void)
{
	struct siphash_key secret = sample_secret();
	unsigned seq_bits[32] = {0}, port_bits[15] = {0}, id_bits[16] = {0};
	unsigned low_ports = 0;

	for (uint32_t i = 0; i < TARGETS; i++) {
		struct target target = {.address = 0xc6120000u + i, .port = 443};
		struct probe_state state = probe_state(&secret, target);

		low_ports += state.source_port < SOURCE_PORT_FIRST;
		for (int bit = 0; bit < 32; bit++)
			seq_bits[bit] += state.seq >> bit & 1;
		for (int bit = 0; bit < 15; bit++)
			port_bits[bit] += state.source_port >> bit & 1;
		for (int bit = 0; bit < 16; bit++)
			id_bits[bit] += state.ip_id >> bit & 1;
	}
	CHECK_EQ("source ports below the range", low_ports, 0);
	for (int bit = 0; bit < 32; bit++)
		CHECK(near_half(seq_bits[bit]));
	for (int bit = 0; bit < 15; bit++)
		CHECK(near_half(port_bits[bit]));
	for (int bit = 0; bit < 16; bit++)
		CHECK(near_half(id_bits[bit]));
}

static void test_depends_on_all_inputs(void)
{
	struct siphash_key secret = sample_secret(),
			   other = {.k0 = secret.k0, .k1 = ~secret.k1};
	struct target target = sample_target(), port = target, address = target;
	uint32_t seq = probe_state(&secret, target).seq;

	port.port++;
	address.address++;
	CHECK(probe_state(&secret, target).seq == seq);
	CHECK(probe_state(&other, target).seq != seq);
	CHECK(probe_state(&secret, port).seq != seq);
	CHECK(probe_state(&secret, address).seq != seq);
	CHECK(target_hash(&secret, 'S', 0, target) !=
	      target_hash(&secret, 'K', 0, target));
	CHECK(target_hash(&secret, 'K', 0, target) !=
	      target_hash(&secret, 'K', 1, target));
}

/* The fields as the header draws them: disjoint bits of one hash. */
static void test_layout(void)
{
	struct siphash_key secret = sample_secret();
	uint64_t hash = target_hash(&secret, 'S', 0, sample_target());
	struct probe_state state = probe_state(&secret, sample_target());
	uint64_t joined = (uint64_t)state.ip_id << 47 |
			  (uint64_t)(state.source_port - SOURCE_PORT_FIRST) << 32 |
			  state.seq;

	CHECK_EQ("bits 0-62", joined, hash & ~(UINT64_C(1) << 63));
}

int main(void)
{
	test_bits_are_balanced();
	test_depends_on_all_inputs();
	test_layout();
	return check_report("probe_state_test");
}
