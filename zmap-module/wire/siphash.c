#include "siphash.h"

/* SipHash's words are little-endian, unlike everything on the wire. */
static inline uint64_t load_word(const uint8_t *bytes)
{
	return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
	       (uint64_t)bytes[3] << 24 | (uint64_t)bytes[4] << 32 |
	       (uint64_t)bytes[5] << 40 | (uint64_t)bytes[6] << 48 |
	       (uint64_t)bytes[7] << 56;
}

static inline uint64_t rotate_left(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

/* Passed by value and inlined: the state stays in registers. */
struct state {
	uint64_t v0, v1, v2, v3;
};

static inline struct state sip_round(struct state s)
{
	s.v0 += s.v1;
	s.v2 += s.v3;
	s.v1 = rotate_left(s.v1, 13) ^ s.v0;
	s.v3 = rotate_left(s.v3, 16) ^ s.v2;
	s.v0 = rotate_left(s.v0, 32);
	s.v2 += s.v1;
	s.v0 += s.v3;
	s.v1 = rotate_left(s.v1, 17) ^ s.v2;
	s.v3 = rotate_left(s.v3, 21) ^ s.v0;
	s.v2 = rotate_left(s.v2, 32);
	return s;
}

static inline struct state absorb(struct state s, uint64_t word)
{
	s.v3 ^= word;
	s = sip_round(sip_round(s));
	s.v0 ^= word;
	return s;
}

struct siphash_key siphash_key(const uint8_t bytes[SIPHASH_KEY_BYTES])
{
	return (struct siphash_key){
	    .k0 = load_word(bytes),
	    .k1 = load_word(bytes + 8),
	};
}

uint64_t siphash24(const struct siphash_key *key, const uint8_t *message, size_t length)
{
	struct state s = {
	    .v0 = key->k0 ^ 0x736f6d6570736575u,
	    .v1 = key->k1 ^ 0x646f72616e646f6du,
	    .v2 = key->k0 ^ 0x6c7967656e657261u,
	    .v3 = key->k1 ^ 0x7465646279746573u,
	};
	size_t whole = length - length % 8;
	uint64_t last = (uint64_t)length << 56;

	for (size_t i = 0; i < whole; i += 8)
		s = absorb(s, load_word(message + i));
	for (size_t i = whole; i < length; i++)
		last |= (uint64_t)message[i] << (8 * (i - whole));
	s = absorb(s, last);
	s.v2 ^= 0xff;
	s = sip_round(sip_round(sip_round(sip_round(s))));
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
