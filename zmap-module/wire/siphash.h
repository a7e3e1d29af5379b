/*
 * SipHash-2-4: a keyed 64-bit hash of short messages.
 * Aumasson and Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012.
 */
#ifndef MPCENSUS_SIPHASH_H
#define MPCENSUS_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_BYTES 16

struct siphash_key {
	uint64_t k0, k1;
};

struct siphash_key siphash_key(const uint8_t bytes[SIPHASH_KEY_BYTES]);

uint64_t siphash24(const struct siphash_key *key, const uint8_t *message, size_t length);

#endif
