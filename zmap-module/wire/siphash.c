#include "siphash.h"

/* SipHash's words are little-endian, unlike everything on the wire. */
static inline uint64_t load_word(const uint8_t *bytes)
{
	return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
	       (uint64_t)bytes[3] << 24 | (uint64_t)bytes[4] << 32 |
	       (uint64_t)bytes[5] << 40 | (uint64_t)bytes[6] << 48 |
	       (uint64_t)bytes[7] << 56;
}

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], unsigned count)
{
	while (count-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate_left(v[1], 13) ^ v[0];
		v[3] = rotate_left(v[3], 16) ^ v[2];
		v[0] = rotate_left(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate_left(v[1], 17) ^ v[2];
		v[3] = rotate_left(v[3], 21) ^ v[0];
		v[2] = rotate_left(v[2], 32);
	}
}

static void absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
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
	uint64_t v[4] = {
	    key->k0 ^ 0x736f6d6570736575u,
	    key->k1 ^ 0x646f72616e646f6du,
	    key->k0 ^ 0x6c7967656e657261u,
	    key->k1 ^ 0x7465646279746573u,
	};
	size_t whole = length - length % 8;
	uint64_t last = (uint64_t)length << 56;

	for (size_t i = 0; i < whole; i += 8)
		absorb(v, load_word(message + i));
	for (size_t i = whole; i < length; i++)
		last |= (uint64_t)message[i] << (8 * (i - whole));
	absorb(v, last);
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
